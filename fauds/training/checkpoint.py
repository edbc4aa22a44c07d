"""Weights and optimiser state as safetensors with a JSON header: no pickle, written whole."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from fauds import store
from fauds.errors import DataError

_META = "fauds"


def save(path: Path, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
    """Write tensors with their metadata, atomically."""
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with store.atomic(path) as temporary:
        try:
            save_file(kept, temporary, metadata={_META: json.dumps(meta)})
        except SafetensorError as error:
            raise OSError(str(error)) from error


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read tensors and their metadata.

    Raises:
        DataError: the file is missing, damaged or not a safetensors file of fauds.
    """
    hint = "copy it again, or name another file"
    try:
        with safe_open(path, framework="pt") as file:
            header = (file.metadata() or {}).get(_META)
            if header is None:
                raise DataError(
                    "The file is safetensors, but its header is not one of fauds.",
                    where=path,
                    hint=hint,
                )
            return {name: file.get_tensor(name) for name in sorted(file.keys())}, json.loads(header)
    except FileNotFoundError as error:
        raise DataError("There is no such weights file.", where=path, hint=hint) from error
    except (SafetensorError, ValueError, OSError) as error:
        raise DataError(
            f"The file is not a whole safetensors file of fauds: {error}.", where=path, hint=hint
        ) from error


def training_state(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return everything that training needs to go on, named by parameter."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer.{key}.{name}"] = value
    return tensors


def restore(tensors: dict[str, Tensor], model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Put a state of `training_state` back into a model and its optimiser."""
    weights = {
        name.removeprefix("model."): tensor
        for name, tensor in tensors.items()
        if name.startswith("model.")
    }
    model.load_state_dict(weights)
    for name, parameter in model.named_parameters():
        state = {
            key.split(".")[1]: tensor.to(parameter.device)
            for key, tensor in tensors.items()
            if key.startswith("optimizer.") and key.split(".", 2)[2] == name
        }
        if state:
            optimizer.state[parameter] = state


def load_backbone(model: nn.Module, path: Path) -> dict[str, Any]:
    """Load a backbone's weights into ``model.stem.body``; returns the file's metadata.

    Raises:
        DataError: the file's tensors are not those of this backbone.
    """
    tensors, meta = load(path)
    try:
        model.stem.body.load_state_dict(tensors)
    except RuntimeError as error:
        raise DataError(
            f"The weights are not those of this backbone: {str(error).splitlines()[-1].strip()}",
            where=path,
            hint="model.backbone.args must be those that the weights were made with, or give "
            "--set model.backbone.weights=null to start from scratch",
        ) from error
    return meta
