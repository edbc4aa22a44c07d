"""How deep in a backbone each parameter lies, for learning rates that fall towards the input."""

import re
from collections.abc import Callable
from typing import Any, cast

import timm
import torch
from timm.models._manipulate import group_with_matcher
from torch import nn

from fauds.errors import UsageError
from fauds.nn.layers.backbone_weights import full_names

_JOINED = re.compile(r"^(?:model\.)?([a-z]+)_(\d+)\.")
"""The names that timm gives to the parts of a network that returns the features of its stages."""


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
    own_names = [name for name, _ in network.named_parameters()]
    whole = network if hasattr(network, "group_matcher") else _whole(network)
    in_full = full_names([name for name, _ in whole.named_parameters()])
    # A network with more blocks than timm's has names that timm's whole network lacks.
    names = {in_full.get(name) or _JOINED.sub(r"\1.\2.", name): name for name in own_names}
    parts, whole_parts = ({name.split(".")[0] for name in n} for n in (names, in_full.values()))
    if not hasattr(whole, "group_matcher") or not parts <= whole_parts:
        raise _not_known(network)
    # nn.Module's attributes have the type Tensor or Module.
    matcher = cast(Callable[..., dict[str, Any]], whole.group_matcher)(coarse=False)
    grouped = group_with_matcher(((name, None) for name in names), matcher, reverse=True)
    return {names[name]: int(number) for name, number in grouped.items()}


def _whole(network: nn.Module) -> nn.Module:
    """Return the whole network of a network that returns the features of its stages.

    Such a network has lost timm's rule by which parameters are grouped into layers. The whole
    network is built without memory for its weights.
    """
    config = getattr(network, "pretrained_cfg", None)
    architecture = config.get("architecture") if isinstance(config, dict) else None
    if architecture is None or not timm.is_model(architecture):
        raise _not_known(network)
    with torch.device("meta"):
        return timm.create_model(architecture, num_classes=0)


def _not_known(network: nn.Module) -> UsageError:
    return UsageError(
        f"The layers of this backbone, a {type(network).__name__}, are not known.",
        where="training.layer_decay",
        hint="set training.layer_decay=1, or choose another backbone of timm",
    )
