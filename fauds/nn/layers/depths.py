"""How deep in a backbone each parameter lies, for learning rates that fall towards the input."""

import re
from collections.abc import Callable
from typing import Any, cast

import timm
import torch
from timm.models._manipulate import group_with_matcher
from torch import nn

from fauds.errors import UsageError

_RENAMED = re.compile(r"^(layers|stages|blocks|stem)_(\d+)\.")
"""The names that timm gives to parts of a network that returns the features of its stages."""


def layer_numbers(network: nn.Module) -> dict[str, int]:
    """Return the number of the layer of each parameter: 0 at the input, the highest at the output.

    The layers are those of timm: the patch embedding or stem is layer 0, and every block is a layer
    of its own. A norm after the last block belongs to the last block, and a downsampling layer
    between two stages is counted as timm counts it.

    Args:
        network: a network of timm, whole or as one that returns the features of its stages; or
            another network with timm's method ``group_matcher``.

    Returns:
        Maps the name of every parameter, as ``named_parameters`` gives it, to its number.

    Raises:
        UsageError: the layers of the network are not known.
    """
    names = {_name_in_timm(name): name for name, _ in network.named_parameters()}
    grouped = group_with_matcher(
        ((name, None) for name in names), _matcher_of(network), reverse=True
    )
    return {names[name]: int(number) for name, number in grouped.items()}


def _name_in_timm(name: str) -> str:
    return _RENAMED.sub(r"\1.\2.", name.removeprefix("model."))


def _matcher_of(network: nn.Module) -> dict[str, Any]:
    """Return timm's rule by which the parameters of a network are grouped into layers.

    A network that returns the features of its stages has lost the rule. It is then taken from a
    whole network of the same architecture, which is built without memory for its weights.
    """
    if not hasattr(network, "group_matcher"):
        config = getattr(network, "pretrained_cfg", None)
        architecture = config.get("architecture") if isinstance(config, dict) else None
        if architecture is None or not timm.is_model(architecture):
            raise UsageError(
                f"The layers of this backbone, a {type(network).__name__}, are not known.",
                where="training.layer_decay",
                hint="set training.layer_decay=1, or choose a backbone of timm",
            )
        with torch.device("meta"):
            network = timm.create_model(architecture)
    # nn.Module's attributes have the type Tensor or Module.
    matcher = cast(Callable[..., dict[str, Any]], network.group_matcher)
    return matcher(coarse=False)
