"""Files of weights and checkpoints: safetensors with a JSON header, written atomically.

No pickle is read or written here, since a pickle can run code.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from reprlib import repr as short
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from fauds.datasets.base import natural
from fauds.errors import DataError
from fauds.settings import with_added_settings
from fauds.tables.atomic import atomic

_HEADER_KEY = "fauds"
_DIGEST_KEY = "sha256"
_HINT = "copy the file again, or name another file"
_PICKLES = (b"PK", *(bytes([0x80, version]) for version in range(2, 6)))
"""The first bytes of files of torch.save: a zip of pickles, or, before PyTorch 1.6, a pickle."""

_COMPARED = (
    "model",
    "preset",
    "benchmark",
    "benchmark_version",
    "fold",
    "aus",
    "target",
    "vocabulary",
    "normalisation",
)
_NOT_COMPARED = (
    "settings.training.device",
    *(
        f"settings.model.{key}"
        for key in ("backbone.pretrained", "backbone.weights", "mean", "std", "image_size")
    ),
)
"""Settings that are not compared.

They are the device, which may be another one when a run is resumed, the initial weights, and
settings that "normalisation" repeats.
"""

_MISSING = object()


def save(path: Path, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
    """Write tensors and their metadata to a safetensors file, atomically.

    Args:
        path: the file to write.
        tensors: the tensors by name.
        meta: the metadata, which is stored as JSON in the header of the file.

    Raises:
        DataError: the file system refuses to write.
    """
    on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # The digest is part of the JSON, since safetensors writes several keys in varying order.
    header = json.dumps({**meta, _DIGEST_KEY: _digest(on_cpu)})
    with atomic(path) as temporary:
        try:
            save_file(on_cpu, temporary, metadata={_HEADER_KEY: header})
        except SafetensorError as error:
            raise _file_system_error(str(error)) from error


def _file_system_error(message: str) -> OSError:
    """Return the OSError that made safetensors fail to write a file.

    Args:
        message: the message of safetensors' own error, which contains the number of the OSError.
    """
    number = re.search(r"\(os error (\d+)\)", message)
    return OSError(int(number[1]), os.strerror(int(number[1]))) if number else OSError(message)


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors of a safetensors file, by name, and the metadata in its header.

    Raises:
        DataError: the file is missing, cannot be read, is damaged, or is not a safetensors file
            that fauds wrote.
    """
    if is_pickle(path):
        raise DataError(
            "The file is a PyTorch pickle, which can run code; fauds reads safetensors only.",
            where=path,
            hint="give a file that fauds wrote, such as a run's weights.safetensors",
        )
    tensors, meta = read_safetensors(path)
    if meta is None:
        raise DataError(
            "The file is in safetensors format, but fauds did not write it: its header is missing.",
            where=path,
            hint=_HINT,
        )
    return tensors, meta


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any] | None]:
    """Return the tensors of any safetensors file, by name, and the metadata that fauds wrote.

    The metadata are None if another program wrote the file.

    Raises:
        DataError: the file cannot be read or is damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = (file.metadata() or {}).get(_HEADER_KEY)
            meta = None if header is None else _parse_header(header, path)
            tensors = {name: file.get_tensor(name) for name in sorted(file.keys())}
    except (SafetensorError, ValueError, OSError) as error:
        raise DataError(
            f"The file is incomplete or not a safetensors file: {error}.",
            where=path,
            hint=_HINT,
        ) from error
    # Files of older versions have no digest.
    if meta is not None and meta.pop(_DIGEST_KEY, None) not in (None, _digest(tensors)):
        raise DataError(
            "The file is damaged: its tensors have changed since it was written.",
            where=path,
            hint=_HINT,
        )
    return tensors, meta


def _digest(tensors: dict[str, Tensor]) -> str:
    """Return the SHA-256 of tensors as hexadecimal text.

    The digest shows whether a file is damaged: safetensors itself checks only the file's length.

    Args:
        tensors: tensors on the CPU, by name.
    """
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def is_pickle(path: Path) -> bool:
    """Return whether a weights file is a pickle, as torch.save writes, and not safetensors.

    Raises:
        DataError: the file is missing or cannot be read.
    """
    try:
        with path.open("rb") as file:
            first_bytes = file.read(9)
    except FileNotFoundError as error:
        raise DataError(
            "There is no such weights file.", where=path, hint="check the path of the file"
        ) from error
    except OSError as error:
        raise DataError(
            f"The weights file cannot be read: {error.strerror}.", where=path, hint=_HINT
        ) from error
    # A safetensors file begins with a length of 8 bytes, which may look like a pickle, then JSON.
    return first_bytes.startswith(_PICKLES) and not first_bytes.endswith(b"{")


def _parse_header(header: str, path: Path) -> dict[str, Any]:
    try:
        meta = json.loads(header)
    except ValueError as error:
        raise DataError(
            f"The file's header is not JSON: {error}.", where=path, hint=_HINT
        ) from error
    except RecursionError as error:
        raise DataError(
            "The file's header is nested too deeply: fauds did not write it.",
            where=path,
            hint=_HINT,
        ) from error
    if not isinstance(meta, dict):
        raise DataError(
            "The file's header is not a JSON object: it has no keys and values.",
            where=path,
            hint=_HINT,
        )
    return meta


def check(meta: dict[str, Any], expected: dict[str, Any], path: Path) -> None:
    """Check that the header of a weights file describes the expected model and training.

    The model, the preset, the benchmark and its version, the fold, the action units, the
    vocabulary, the normalisation of images, the architecture and the training settings are
    compared.

    Args:
        meta: the header of the file, as `load` returns it.
        expected: the expected header.
        path: the path of the file, for the error message.

    Raises:
        DataError: the headers differ; the message names every difference.
    """
    # JSON turns tuples into lists, as in the header that was read.
    expected = json.loads(json.dumps(expected))
    # A file of an older version lacks settings that were added later.
    meta = {**meta, "settings": with_added_settings(meta.get("settings", _MISSING))}
    keys = [(key,) for key in _COMPARED] + [("settings", "model"), ("settings", "training")]
    differences = [
        difference
        for key in keys
        for difference in _differences(
            ".".join(key), _value_at(meta, key), _value_at(expected, key)
        )
    ]
    if differences:
        raise DataError(
            "The weights were trained with other settings or tables than this run has: "
            f"{'; '.join(differences)}.",
            where=path,
            hint="use the settings and tables that the weights were trained with, or move the "
            "file away and train again",
        )


def _value_at(header: Any, keys: tuple[str, ...]) -> Any:
    for key in keys:
        header = header.get(key, _MISSING) if isinstance(header, dict) else _MISSING
    return header


def _differences(name: str, value: Any, expected: Any) -> Iterator[str]:
    if name in _NOT_COMPARED or value == expected:
        return
    if value is _MISSING:
        yield f"{name}: not in the file"
    elif expected is _MISSING:
        yield f"{name}: the file has {short(value)}, expected none"
    elif isinstance(value, dict) and isinstance(expected, dict):
        for key in sorted(value.keys() | expected.keys()):
            inner, inner_expected = value.get(key, _MISSING), expected.get(key, _MISSING)
            yield from _differences(f"{name}.{key}", inner, inner_expected)
    elif name == "aus" and isinstance(value, list):
        yield f"aus: {_au_difference(list(map(str, value)), expected)}"
    else:
        yield f"{name}: the file has {short(value)}, expected {short(expected)}"


def _au_difference(aus: list[str], expected: list[str]) -> str:
    missing = [au for au in expected if au not in aus]
    extra = [au for au in aus if au not in expected]
    parts = [f"the file lacks {', '.join(missing)}"] if missing else []
    parts += [f"the file has {', '.join(extra)} in addition"] if extra else []
    return " and ".join(parts) or f"the file has them in another order, {', '.join(aus)}"


def training_state(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the tensors that a resumed training needs, by name.

    They are the weights of the model ("model.NAME") and what the optimiser keeps of every
    gradient, such as AdamW's moments ("optimizer.exp_avg.NAME").
    """
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer.{key}.{name}"] = value
    return tensors


def restore(tensors: dict[str, Tensor], model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Load a saved state into a model and its optimiser.

    Args:
        tensors: the state, as `training_state` returned it.
        model: the model, whose weights are replaced.
        optimizer: the optimiser, whose moments are replaced.
    """
    model.load_state_dict(part_of(tensors, "model."))
    for name, parameter in model.named_parameters():
        state = {
            key.split(".")[1]: tensor.to(parameter.device)
            for key, tensor in tensors.items()
            if key.startswith("optimizer.") and key.split(".", 2)[2] == name
        }
        if state:
            optimizer.state[parameter] = state


def part_of(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin with a prefix; the prefix is removed from the names."""
    return {k.removeprefix(prefix): tensor for k, tensor in tensors.items() if k.startswith(prefix)}


_NAME = "checkpoint-epoch{}.safetensors"
_TEMPORARY = (".*.part", ".tmp??????")
"""Patterns of temporary files: those of `fauds.tables.atomic`, and those of safetensors."""


def list_checkpoints(folder: Path) -> list[Path]:
    """Return the paths of the checkpoints in the folder of a fold, the newest first."""
    return sorted(folder.glob(_NAME.format("*")), key=lambda p: natural(p.name), reverse=True)


def epochs_done(folder: Path) -> int:
    """Return the number of epochs after which the newest checkpoint of a fold was saved; 0 if none.

    Args:
        folder: the folder of the fold.
    """
    newest = list_checkpoints(folder)[:1]
    return max(
        (int(number) for path in newest for number in re.findall(r"\d+", path.name)), default=0
    )


def save_checkpoint(
    folder: Path, state: dict[str, Tensor], meta: dict[str, Any], epochs: int
) -> None:
    """Save a checkpoint after an epoch; keep the checkpoint before it and remove older ones.

    Args:
        folder: the folder of the fold.
        state: the tensors that a resumed training needs.
        meta: the metadata that describe the model and its training.
        epochs: the number of finished epochs.
    """
    save(folder / _NAME.format(epochs), state, {**meta, "epochs_done": epochs})
    # Damaged checkpoints, which were skipped, may have higher numbers.
    kept = {_NAME.format(epochs), _NAME.format(epochs - 1)}
    for path in list_checkpoints(folder):
        if path.name not in kept:
            path.unlink()


def load_newest(
    folder: Path, meta: dict[str, Any], say: Callable[[str], None] = lambda line: None
) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Return the tensors and header of the newest undamaged checkpoint; None if there is none.

    Args:
        folder: the folder of the fold.
        meta: the metadata that the checkpoint's header must match; see `check`.
        say: called with a line for the user about each damaged checkpoint, which is skipped, and
            about the checkpoint that is used.

    Raises:
        DataError: the checkpoint belongs to another model, benchmark or vocabulary.
    """
    for path in list_checkpoints(folder):
        try:
            tensors, header = load(path)
        except DataError as error:
            say(f"skipping the damaged checkpoint {path}: {error.what}")
            continue
        check(header, meta, path)
        say(f"resuming after epoch {header['epochs_done']}: {path}")
        return tensors, header
    return None


def remove_temporary_files(folder: Path) -> None:
    """Remove the unfinished files that a killed process left in a fold's folder.

    Call it before writing: only one process at a time writes in a fold's folder.
    """
    for pattern in _TEMPORARY:
        for path in folder.glob(pattern):
            path.unlink()


def remove_checkpoints(folder: Path) -> None:
    """Remove all checkpoints in the folder of a fold, whose training is finished."""
    for path in list_checkpoints(folder):
        path.unlink()
