"""Fits the tensors of a weights file to a timm network, under whichever names they were saved.

The file may come from fauds, from timm, or from the authors of a network. Names and shapes of the
authors are converted by timm's own function for the network, where timm has one; it also resizes
position embeddings to the network's image size.
"""

import inspect
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from textwrap import shorten
from typing import NamedTuple, cast

import torch
from timm.models import model_entrypoint
from torch import Tensor, nn

from fauds.nn.loaded_tensors import LoadedTensors

PREFIXES = (
    "module.",
    "_orig_mod.",
    "teacher.",
    "student.",
    "base_encoder.",
    "model.",
    "backbone.",
    "encoder.",
)
"""What training programs put before the names of a network's tensors, in the order of preference.

A prefix is removed if at least a third of a file's tensors have it. The other tensors are then left
over. Names with several prefixes lose one after the other.
"""

AFTER_LAST_STAGE = ("norm", "head", "fc_norm")
"""The parts of timm's networks that follow the last stage, and that a file may lack."""

_LISTED = 10
"""The largest number of parts in a summary."""

Converter = Callable[[dict[str, Tensor], nn.Module], Mapping[str, Tensor]]


class FittedTensors(NamedTuple):
    """The tensors of a weights file that fit a network.

    Attributes:
        tensors: the values for the network by the names of its own state dict.
        names: which tensors of the file these are, and which are not among them.
    """

    tensors: dict[str, Tensor]
    names: LoadedTensors


def converter(name: str) -> Converter | None:
    """Return timm's function that converts official weights of a network; None if it has none.

    Args:
        name: the timm name of the network.
    """
    module = sys.modules[model_entrypoint(name).__module__]
    convert = getattr(module, "checkpoint_filter_fn", None)
    if convert is not None and "adapt_layer_scale" in inspect.signature(convert).parameters:
        # DeiT III calls the scales of its layers gamma_1 and gamma_2.
        convert = partial(convert, adapt_layer_scale=True)
    return cast(Converter | None, convert)


def fit(
    tensors: Mapping[str, Tensor],
    body: nn.Module,
    network: nn.Module,
    convert: Converter | None,
) -> FittedTensors:
    """Return the tensors of a weights file under the names of a timm network.

    The file is accepted if it has every tensor of the network, in the network's shape, apart from
    layers after the last stage; and if it has no further tensors in the parts that the network
    has, such as the blocks of a deeper network. Other parts may be left over: a classifier, a
    decoder, a text encoder.

    Args:
        tensors: the tensors of the file by name.
        body: the network that is filled: `network` itself, or its form that returns feature maps,
            in which timm names some tensors differently.
        network: the whole timm network without classifier, which may be on PyTorch's meta device.
        convert: timm's function that converts official weights; see `converter`.

    Raises:
        RuntimeError: the tensors belong to another network.
    """
    in_full = full_names(network.state_dict())
    body_names = {in_full.get(name, name): name for name in body.state_dict()}
    shapes = {in_full.get(name, name): t.shape for name, t in body.state_dict().items()}
    needed = [name for name in shapes if _is_needed(name)]
    stripped = _without_prefixes(tensors, network.state_dict())
    sources = {in_full.get(name, name): source for name, source in stripped.items()}
    # Tensors whose origin is of interest: see `_origins`.
    leaves = {name: _leaf(tensors[source]) for name, source in sources.items()}
    converted: Mapping[str, Tensor] = leaves
    if convert is not None and not all(
        name in leaves and leaves[name].shape == shapes[name] for name in needed
    ):
        converted = _converted(leaves, network, convert)
    _check(converted, shapes, needed, network)
    fitting = {name: converted[name] for name in shapes if name in converted}
    used = _origins(fitting, leaves)
    used_in_file = {sources[name] for name in used}
    return FittedTensors(
        {body_names[name]: tensor.detach() for name, tensor in fitting.items()},
        LoadedTensors(
            used=tuple(name for name in tensors if name in used_in_file),
            left_over=tuple(name for name in tensors if name not in used_in_file),
            missing=tuple(name for name in shapes if name not in fitting),
        ),
    )


def full_names(known: Iterable[str]) -> dict[str, str]:
    """Return the names of a whole timm network's tensors under all names that timm gives them.

    In networks that return feature maps, timm puts "model." or "body." before the names, or joins
    their first two parts, as in layers_0.downsample.weight.

    Args:
        known: the names in the whole network.
    """
    names = {f"{wrapper}{name}": name for name in known for wrapper in ("model.", "body.")}
    names |= {name.replace(".", "_", 1): name for name in known}
    return names | {name: name for name in known}


def _without_prefixes(tensors: Iterable[str], own_names: Iterable[str]) -> dict[str, str]:
    """Return the names of a file's tensors without the prefixes of training programs.

    Args:
        tensors: the names in the file.
        own_names: the names of the network's tensors, which may begin like such a prefix.

    Returns:
        Maps each shortened name to the name in the file. Tensors without the prefix that most
        others have are left out.
    """
    names = {name: name for name in tensors}
    own_names = tuple(own_names)
    prefixes = [p for p in PREFIXES if not any(name.startswith(p) for name in own_names)]
    while True:
        for prefix in prefixes:
            with_prefix = {n: source for n, source in names.items() if n.startswith(prefix)}
            if with_prefix and 3 * len(with_prefix) >= len(names):
                names = {n.removeprefix(prefix): source for n, source in with_prefix.items()}
                break
        else:
            return names


def _leaf(tensor: Tensor) -> Tensor:
    """Return a tensor that shares memory with another one, and whose uses autograd records."""
    leaf = tensor.detach()
    return leaf.requires_grad_() if leaf.is_floating_point() else leaf


def _converted(
    leaves: Mapping[str, Tensor], network: nn.Module, convert: Converter
) -> Mapping[str, Tensor]:
    try:
        with torch.enable_grad():
            return convert(dict(leaves), network)
    except Exception as error:  # timm's functions expect certain names, and raise any error
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise RuntimeError(
            f"timm cannot convert its tensors to this network ({shorten(reason, 200)})"
        ) from error


def _origins(tensors: Mapping[str, Tensor], leaves: Mapping[str, Tensor]) -> set[str]:
    """Return the names of the leaves from which tensors were computed.

    Converting may join tensors, split them or rename them. Which tensors of the file are in the
    results is therefore read from autograd's graph. Where the graph has a gap, an equal name
    counts.

    Args:
        tensors: the converted tensors by name.
        leaves: the tensors before converting by name.
    """
    by_identity = {id(leaf): name for name, leaf in leaves.items()}
    origins = {name for name in tensors if name in leaves}
    origins |= {by_identity[id(t)] for t in tensors.values() if id(t) in by_identity}
    nodes = [tensor.grad_fn for tensor in tensors.values() if tensor.grad_fn is not None]
    visited = set(nodes)
    while nodes:
        node = nodes.pop()
        leaf = getattr(node, "variable", None)
        if id(leaf) in by_identity:
            origins.add(by_identity[id(leaf)])
        following = {n for n, _ in node.next_functions if n is not None} - visited
        visited |= following
        nodes += following
    return origins


def _check(
    converted: Mapping[str, Tensor],
    shapes: Mapping[str, torch.Size],
    needed: list[str],
    network: nn.Module,
) -> None:
    """Check that the tensors of a file are those of a network; see `fit`.

    Args:
        converted: the tensors of the file under the names of the whole network.
        shapes: the shapes of the tensors that are filled, by their names in the whole network.
        needed: the tensors that the file must have.
        network: the whole network, whose other tensors and buffers may also be in the file.

    Raises:
        RuntimeError: they are not.
    """
    missing = [name for name in needed if name not in converted]
    if len(missing) == len(needed):
        raise RuntimeError(
            f"none of its {len(converted)} tensors ({summary(converted)}) is one of this network "
            f"({summary(needed)})"
        )
    for name, shape in shapes.items():
        if name in converted and converted[name].shape != shape:
            raise RuntimeError(
                f"{name} is {list(converted[name].shape)} in the file, and {list(shape)} in this "
                "network"
            )
    if missing:
        raise RuntimeError(
            f"the file lacks {len(missing)} of the network's {len(needed)} tensors: "
            f"{summary(missing)}"
        )
    # Older versions of a network save buffers, such as masks, that newer ones compute.
    known = {*network.state_dict(), *(name for name, _ in network.named_buffers())}
    parts = {_part(name) for name in needed}
    excess = [name for name in converted if name not in known and _part(name) in parts]
    if excess:
        raise RuntimeError(
            f"the file has {len(excess)} tensors that this network lacks: {summary(excess)}, for "
            f"example {excess[0]}"
        )


def summary(names: Iterable[str]) -> str:
    """Return the names of tensors by part of the network, such as "pos_embed, blocks.* 144".

    The number of tensors follows each part that has several. At most ten parts are named. A prefix
    of training programs, as in "module.blocks.* 144", does not count as a part.

    Args:
        names: the names of tensors in a file or a network.
    """
    counts = Counter(map(_shown_part, names))
    parts = [f"{part} {n}" if part.endswith(".*") else part for part, n in counts.items()]
    more = [f"{len(parts) - _LISTED} more parts"] if len(parts) > _LISTED else []
    return ", ".join(parts[:_LISTED] + more)


def _shown_part(name: str) -> str:
    prefix = next((prefix for prefix in PREFIXES if name.startswith(prefix)), None)
    if prefix is not None:
        return prefix + _shown_part(name.removeprefix(prefix))
    return _part(name) + (".*" if "." in name else "")


def _part(name: str) -> str:
    return name.partition(".")[0]


def _is_needed(name: str) -> bool:
    # Files of PyTorch before 0.4.1 have no counters of batches, which are not used here.
    return _part(name) not in AFTER_LAST_STAGE and not name.endswith(".num_batches_tracked")
