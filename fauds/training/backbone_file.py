"""Reads weights files of backbones, which fauds, timm or the authors of a network wrote.

A file of torch.save is a pickle, which can run code. It is read with ``weights_only=True`` alone:
PyTorch then refuses everything but tensors and plain values.
"""

import argparse
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from torch import Tensor

from fauds.errors import DataError
from fauds.nn.base import Model
from fauds.nn.layers.backbone_weights import summary
from fauds.nn.loaded_tensors import LoadedTensors
from fauds.training import checkpoint

WRAPPERS = (
    "model_ema",
    "state_dict_ema",
    "teacher",
    "state_dict",
    "model",
    "model_state_dict",
    "backbone",
    "encoder",
    "module",
    "net",
    "student",
)
"""Keys under which training programs save the tensors of a network, in the order of preference."""


def load_backbone(model: Model, path: Path) -> str:
    """Load a weights file into a model's backbone (its image network).

    Args:
        model: the model.
        path: a safetensors file or a file of torch.save.

    Returns:
        A line for the user: how many tensors of the file were used, and which were left over or
        missing.

    Raises:
        DataError: the file cannot be read, contains more than tensors and plain values, or holds
            the weights of another network; see `fauds.nn.layers.backbone_weights.fit`.
    """
    tensors = read(path)
    try:
        names = model.load_backbone(tensors)
    except RuntimeError as error:
        raise DataError(
            f"The weights do not fit this backbone: {str(error).splitlines()[-1].strip()}.",
            where=path,
            hint="set model.backbone.name and model.backbone.args to the network that these "
            "weights were trained with, or start without them: --set model.backbone.weights=null",
        ) from error
    return f"backbone weights from {path.name}: {_described(names)}"


def _described(names: LoadedTensors) -> str:
    parts = [f"{len(names.used)} tensors used ({summary(names.used)})"]
    for state, some in (
        ("left over in the file", names.left_over),
        ("missing in the file", names.missing),
    ):
        parts.append(f"{len(some)} {state} ({summary(some)})" if some else f"none {state}")
    return ", ".join(parts)


def pretraining(path: Path) -> str:
    """Return a phrase that describes how the weights in a file were trained.

    It is the file's own phrase if fauds wrote one into the file, and otherwise the file's name. The
    file may be gone, for example when a run that has been trained is finished elsewhere.

    Args:
        path: the weights file.
    """
    plain = not path.exists() or checkpoint.is_pickle(path)
    meta = None if plain else checkpoint.read_safetensors(path)[1]
    return str((meta or {}).get("pretraining", f"weights from {path.name}"))


def read(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a network in a weights file, by name.

    If a file of torch.save holds several networks, an average over the training is preferred, then
    a teacher; see `WRAPPERS`.

    Args:
        path: a safetensors file or a file of torch.save.

    Raises:
        DataError: the file cannot be read, is damaged, contains more than tensors and plain values,
            or contains no tensors.
    """
    if not checkpoint.is_pickle(path):
        return checkpoint.read_safetensors(path)[0]
    tensors = _unwrapped(_unpickled(path))
    if not tensors:
        raise DataError(
            "The file holds no tensors under names.",
            where=path,
            hint="give a file that holds the state dict of a network",
        )
    return tensors


def _unpickled(path: Path) -> Any:
    try:
        # Many training programs save their options, too; a Namespace only holds them. The file is
        # opened here, since PyTorch would judge its format by its name.
        with torch.serialization.safe_globals([argparse.Namespace]), path.open("rb") as file:
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        raise DataError(
            "The file was not opened: it is a pickle with more than tensors and plain values"
            f"{f' ({named[1]})' if named else ''}, which could run code.",
            where=path,
            hint="give another file; or, only if you trust it, open it elsewhere with torch.load, "
            "and save the state dict of the network with safetensors.torch.save_file",
        ) from error
    except Exception as error:  # damaged files make PyTorch raise various errors
        reason = shorten(str(error) or type(error).__name__, 200, placeholder=" ...")
        raise DataError(
            f"The file is damaged or no weights file of PyTorch: {reason}",
            where=path,
            hint="copy the file again, or give a file that holds the state dict of a network",
        ) from error


def _unwrapped(content: Any) -> dict[str, Tensor]:
    """Return the tensors of the network in the content of a file of torch.save, by name."""
    if not isinstance(content, Mapping):
        return {}
    for key in WRAPPERS:
        if isinstance(content.get(key), Mapping) and (inner := _unwrapped(content[key])):
            return inner
    return {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
