"""Weights and optimiser state as safetensors with a JSON header: no pickle, written whole."""

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
from fauds.nn.base import Model
from fauds.tables.atomic import atomic

_META = "fauds"
_DIGEST = "sha256"
_HINT = "copy it again, or name another file"
_PICKLES = (b"PK", *(bytes([0x80, version]) for version in range(2, 6)))
"""How files of torch.save begin: a zip of pickles, or, before PyTorch 1.6, a pickle."""

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
_ELSEWHERE = tuple(
    f"settings.model.{key}"
    for key in ("backbone.pretrained", "backbone.weights", "mean", "std", "image_size")
)
"""Settings that say where training began, or that the normalisation says already."""

_ABSENT = object()


def save(path: Path, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
    """Write tensors with their metadata, atomically."""
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # In the same JSON: safetensors writes several keys in an order that changes.
    header = json.dumps({**meta, _DIGEST: _digest(kept)})
    with atomic(path) as temporary:
        try:
            save_file(kept, temporary, metadata={_META: header})
        except SafetensorError as error:
            raise _refusal(str(error)) from error


def _refusal(said: str) -> OSError:
    """Return the file system's own error, whose number safetensors names in its text alone."""
    number = re.search(r"\(os error (\d+)\)", said)
    return OSError(int(number[1]), os.strerror(int(number[1]))) if number else OSError(said)


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read tensors and their metadata.

    Raises:
        DataError: the file is missing, cannot be read, is damaged, or is not a safetensors file
            of fauds.
    """
    _refuse_pickle(path)
    try:
        with safe_open(path, framework="pt") as file:
            meta = _meta((file.metadata() or {}).get(_META), path)
            tensors = {name: file.get_tensor(name) for name in sorted(file.keys())}
    except (SafetensorError, ValueError, OSError) as error:
        raise DataError(
            f"The file is not a whole safetensors file of fauds: {error}.", where=path, hint=_HINT
        ) from error
    # Files of an older fauds have none.
    if meta.pop(_DIGEST, None) not in (None, _digest(tensors)):
        raise DataError(
            "The file is damaged: its tensors are not those that were written.",
            where=path,
            hint=_HINT,
        )
    return tensors, meta


def _digest(tensors: dict[str, Tensor]) -> str:
    """Return the SHA-256 of tensors on the CPU: safetensors checks the length alone."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _refuse_pickle(path: Path) -> None:
    try:
        with path.open("rb") as file:
            begins = file.read(9)
    except FileNotFoundError as error:
        raise DataError("There is no such weights file.", where=path, hint=_HINT) from error
    except OSError as error:
        raise DataError(
            f"The weights file cannot be read: {error.strerror}.", where=path, hint=_HINT
        ) from error
    # A safetensors file begins with a length, which may be any bytes, and then its JSON.
    if begins.startswith(_PICKLES) and not begins.endswith(b"{"):
        raise DataError(
            "The file is a PyTorch pickle, which can run code; fauds reads safetensors only.",
            where=path,
            hint="name a file that fauds wrote, such as a run's weights.safetensors",
        )


def _meta(header: str | None, path: Path) -> dict[str, Any]:
    if header is None:
        raise DataError(
            "The file is safetensors, but its header is not one of fauds.", where=path, hint=_HINT
        )
    try:
        meta = json.loads(header)
    except ValueError as error:
        raise DataError(
            f"The file's header is not JSON: {error}.", where=path, hint=_HINT
        ) from error
    except RecursionError as error:
        raise DataError(
            "The file's header is not one of fauds: it is nested too deeply.",
            where=path,
            hint=_HINT,
        ) from error
    if not isinstance(meta, dict):
        raise DataError("The file's header holds no keys and values.", where=path, hint=_HINT)
    return meta


def check(meta: dict[str, Any], wanted: dict[str, Any], path: Path) -> None:
    """Compare what a file's header says of its model with what is asked for.

    Compared are the model, the preset, the benchmark and its version, the fold, the action units,
    the vocabulary, the normalisation, the architecture and the training.

    Args:
        meta: the header of the file, as `load` gives it.
        wanted: a header with the same keys.
        path: of the file, for the error.

    Raises:
        DataError: they differ; every difference is named.
    """
    # As it would be read back: tuples are lists then.
    wanted = json.loads(json.dumps(wanted))
    keys = [(key,) for key in _COMPARED] + [("settings", "model"), ("settings", "training")]
    found = [
        difference
        for key in keys
        for difference in _differences(".".join(key), _at(meta, key), _at(wanted, key))
    ]
    if found:
        raise DataError(
            f"The weights are not those that are asked for. {'; '.join(found)}.",
            where=path,
            hint="use them with the settings and tables that they were trained with, or move the "
            "file away and train again",
        )


def _at(header: Any, keys: tuple[str, ...]) -> Any:
    for key in keys:
        header = header.get(key, _ABSENT) if isinstance(header, dict) else _ABSENT
    return header


def _differences(name: str, have: Any, want: Any) -> Iterator[str]:
    if name in _ELSEWHERE or have == want:
        return
    if have is _ABSENT:
        yield f"{name}: not in the file"
    elif want is _ABSENT:
        yield f"{name}: the file has {short(have)}, asked is none"
    elif isinstance(have, dict) and isinstance(want, dict):
        for key in sorted(have.keys() | want.keys()):
            there, asked = have.get(key, _ABSENT), want.get(key, _ABSENT)
            yield from _differences(f"{name}.{key}", there, asked)
    elif name == "aus" and isinstance(have, list):
        yield f"aus: {_of_aus(list(map(str, have)), want)}"
    else:
        yield f"{name}: the file has {short(have)}, asked is {short(want)}"


def _of_aus(have: list[str], want: list[str]) -> str:
    missing = [au for au in want if au not in have]
    extra = [au for au in have if au not in want]
    parts = [f"the file lacks {', '.join(missing)}"] if missing else []
    parts += [f"the file has {', '.join(extra)}, which is not asked for"] if extra else []
    return " and ".join(parts) or f"the file has them in another order, {', '.join(have)}"


def training_state(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return everything that training needs to go on, named by parameter."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer.{key}.{name}"] = value
    return tensors


def restore(tensors: dict[str, Tensor], model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Put a state of `training_state` back into a model and its optimiser."""
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
    """Return the tensors whose names begin with a prefix, without it."""
    return {k.removeprefix(prefix): tensor for k, tensor in tensors.items() if k.startswith(prefix)}


def load_backbone(model: Model, path: Path) -> dict[str, Any]:
    """Load a backbone's own weights into a model; return the file's metadata.

    Raises:
        DataError: the file's tensors are not those of this backbone.
    """
    tensors, meta = load(path)
    try:
        model.load_backbone(tensors)
    except RuntimeError as error:
        raise DataError(
            f"The weights are not those of this backbone: {str(error).splitlines()[-1].strip()}",
            where=path,
            hint="model.backbone.args must be those that the weights were made with, or give "
            "--set model.backbone.weights=null to start from scratch",
        ) from error
    return meta


_NAME = "checkpoint-epoch{}.safetensors"
_HALF = (".*.part", ".tmp??????")
"""Names of temporary files: those of `fauds.tables.atomic`, and those of safetensors within."""


def there(folder: Path) -> list[Path]:
    """Return the checkpoints of a fold, the newest first."""
    return sorted(folder.glob(_NAME.format("*")), key=lambda p: natural(p.name), reverse=True)


def keep(folder: Path, state: dict[str, Tensor], meta: dict[str, Any], epochs: int) -> None:
    """Save the state after so many epochs; keep it and the one before it, no other."""
    save(folder / _NAME.format(epochs), state, {**meta, "epochs_done": epochs})
    # A damaged one that was passed over may have a higher number.
    kept = {_NAME.format(epochs), _NAME.format(epochs - 1)}
    for path in there(folder):
        if path.name not in kept:
            path.unlink()


def newest(
    folder: Path, meta: dict[str, Any], say: Callable[[str], None] = lambda line: None
) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Return the newest checkpoint that is whole, and say which; None where there is none.

    Damaged ones are passed over, and named.

    Args:
        meta: the header of the weights that are being trained.

    Raises:
        DataError: the checkpoint is of another model, benchmark or vocabulary.
    """
    for path in there(folder):
        try:
            tensors, header = load(path)
        except DataError as error:
            say(f"{path} is passed over: {error.what}")
            continue
        check(header, meta, path)
        say(f"going on after epoch {header['epochs_done']}: {path}")
        return tensors, header
    return None


def sweep(folder: Path) -> None:
    """Remove what a kill left half written: nobody else writes in a fold's folder."""
    for pattern in _HALF:
        for path in folder.glob(pattern):
            path.unlink()


def clear(folder: Path) -> None:
    """Remove the checkpoints of a fold that is trained."""
    for path in there(folder):
        path.unlink()
