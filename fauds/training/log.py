"""The log of a training: log.jsonl, and TensorBoard event files if requested."""

import json
import math
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fauds.errors import UsageError
from fauds.tables.atomic import atomic, write_errors
from fauds.tables.paths import LOG, TENSORBOARD

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class TrainingLog:
    """Writes the log of a training: losses, learning rate and speed of steps and epochs.

    It is a context manager that closes its files. When a stopped training is resumed, the lines of
    epochs that are trained again are removed from the log. Damaged lines are removed too, so that
    they never prevent a training from being resumed.

    Args:
        folder: an existing folder, where ``log.jsonl`` and, if requested, ``tensorboard/`` are
            written.
        terms: the names of the logged values that are losses, besides ``total``.
        epochs_done: the number of finished epochs; lines of later epochs are removed.
        tensorboard: whether to write the values of steps for TensorBoard too.

    Attributes:
        notes: messages for the user about damaged lines that were removed.

    Raises:
        UsageError: TensorBoard is requested, but its package is not installed.
        DataError: the file system refuses to write, here or in a later call.
    """

    notes: tuple[str, ...]

    def __init__(
        self,
        folder: Path,
        *,
        terms: Collection[str] = (),
        epochs_done: int = 0,
        tensorboard: bool = False,
    ) -> None:
        # If the package is missing, the error comes before any file is changed.
        writer = _summary_writer() if tensorboard else None
        next_step, self.notes = _remove_unfinished(folder / LOG, epochs_done)
        self._path = folder / LOG
        self._losses = {*terms, "total"}
        with write_errors(self._path):
            self._file = self._path.open("a", encoding="utf-8")
        self._scalars: SummaryWriter | None = None
        self._events = folder / TENSORBOARD
        if writer is not None:
            # TensorBoard discards older points from this step on; new ones replace them.
            with write_errors(self._events):
                self._scalars = writer(str(self._events), purge_step=next_step)

    def __enter__(self) -> "TrainingLog":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def step(self, step: int, figures: Mapping[str, float]) -> None:
        """Write the values of one optimiser step as a line of the log.

        Args:
            step: the number of the step, from 1, counted through all epochs.
            figures: the losses and other values by name, including ``epoch``, counted from 1.
        """
        self._write({"step": step, **figures})
        if self._scalars is None:
            return
        with write_errors(self._events):
            for name, value in figures.items():
                if name != "epoch":
                    label = f"loss/{name}" if name in self._losses else name
                    self._scalars.add_scalar(label, float(value), step)

    def epoch(self, epoch: int, figures: Mapping[str, float]) -> None:
        """Write the values of an epoch as a line of the log, and sync the log to disk.

        Args:
            epoch: the number of the epoch, from 1.
            figures: the mean losses and other values by name.
        """
        self._write({"epoch": epoch, **figures})
        with write_errors(self._path):
            os.fsync(self._file.fileno())
        if self._scalars is not None:
            with write_errors(self._events):
                self._scalars.flush()

    def close(self) -> None:
        """Write buffered lines and close the files."""
        with write_errors(self._path):
            self._file.close()
        if self._scalars is not None:
            with write_errors(self._events):
                self._scalars.close()

    def _write(self, line: Mapping[str, float]) -> None:
        plain = {name: _json_number(value) for name, value in line.items()}
        with write_errors(self._path):
            self._file.write(json.dumps(plain, allow_nan=False) + "\n")
            self._file.flush()


def _summary_writer() -> type["SummaryWriter"]:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UsageError(
            "--log tensorboard needs the package tensorboard, which is not installed.",
            hint="pip install 'fauds[log]'",
        ) from error
    return SummaryWriter


def _json_number(value: float) -> int | float | None:
    """Return a number as it is written to JSON.

    An int stays as it is, a float is rounded to six significant digits, and infinity and NaN, which
    JSON lacks, become None.
    """
    if isinstance(value, int):
        return value
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _remove_unfinished(path: Path, epochs_done: int) -> tuple[int, tuple[str, ...]]:
    """Remove from a log the damaged lines, and the lines of epochs that are not finished.

    Args:
        path: the file log.jsonl, which need not exist.
        epochs_done: the number of finished epochs.

    Returns:
        The number of the next step, and messages for the user about damaged lines.
    """
    if not path.exists():
        return 0, ()
    content = path.read_bytes()
    lines = [(line, _parse(line)) for line in content.split(b"\n")]
    if lines[-1][1] is None:
        # After the last line end there is nothing, or a partial line of a killed process.
        lines.pop()
    kept = [(line, entry) for line, entry in lines if entry and entry["epoch"] <= epochs_done]
    kept_content = b"".join(line + b"\n" for line, _ in kept)
    if kept_content != content:
        with atomic(path) as temporary:
            temporary.write_bytes(kept_content)
    next_step = max((entry["step"] + 1 for _, entry in kept if "step" in entry), default=0)
    damaged = [number for number, (_, entry) in enumerate(lines, 1) if not entry]
    if not damaged:
        return next_step, ()
    note = f"{path}: damaged lines removed: {len(damaged)}, the first was line {damaged[0]}"
    return next_step, (note,)


def _parse(line: bytes) -> dict[str, Any] | None:
    """Return a line of log.jsonl as a dict; None if the line is damaged."""
    try:
        entry = json.loads(line.decode())
    except (ValueError, RecursionError):
        return None
    valid = isinstance(entry, dict) and isinstance(entry.get("epoch"), int)
    return entry if valid and isinstance(entry.get("step", 0), int) else None
