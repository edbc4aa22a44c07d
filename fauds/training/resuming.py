"""The checkpoints of one fold: the newest two epochs, and going on from the newest whole one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from fauds.datasets.base import natural
from fauds.errors import DataError
from fauds.training import checkpoint

_NAME = "checkpoint-epoch{}.safetensors"
_HALF = (".*.part", ".tmp??????")
"""Names of temporary files: those of `fauds.files`, and those of safetensors within."""


def there(folder: Path) -> list[Path]:
    """Return the checkpoints of a fold, the newest first."""
    return sorted(folder.glob(_NAME.format("*")), key=lambda p: natural(p.name), reverse=True)


def keep(folder: Path, state: dict[str, Tensor], meta: dict[str, Any], epochs: int) -> None:
    """Save the state after so many epochs; keep it and the one before it, no other."""
    checkpoint.save(folder / _NAME.format(epochs), state, {**meta, "epochs_done": epochs})
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
            tensors, header = checkpoint.load(path)
        except DataError as error:
            say(f"{path} is passed over: {error.what}")
            continue
        checkpoint.check(header, meta, path)
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
