"""What a training says of itself: log.jsonl always, TensorBoard where asked for."""

import json
import math
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fauds.errors import UsageError
from fauds.tables.atomic import atomic, writing
from fauds.tables.paths import LOG, TENSORBOARD

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class TrainingLog:
    """Takes down the figures of steps and epochs; a context that closes its files.

    Lines of epochs that a stopped training has to do again are removed when it goes on, and so
    are damaged ones: they never keep a training from going on.

    Args:
        folder: takes ``log.jsonl`` and, where asked for, ``tensorboard/``; it is there already.
        terms: names of the losses among the figures, besides ``total``.
        epochs_done: epochs that are behind the training; what was said of later ones is removed.
        tensorboard: whether steps are written for TensorBoard too.

    Attributes:
        notes: what was removed although nothing explains it, for people to read.

    Raises:
        UsageError: TensorBoard is asked for, but its package is not installed.
        DataError: the file system refuses to write, here or later.
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
        # A package that is missing is found before anything is changed.
        writer = _summary_writer() if tensorboard else None
        to_come, self.notes = _cut(folder / LOG, epochs_done)
        self._path = folder / LOG
        self._losses = {*terms, "total"}
        with writing(self._path):
            self._file = self._path.open("a", encoding="utf-8")
        self._scalars: SummaryWriter | None = None
        self._events = folder / TENSORBOARD
        if writer is not None:
            # TensorBoard drops older points from this step on: the redone ones take their place.
            with writing(self._events):
                self._scalars = writer(str(self._events), purge_step=to_come)

    def __enter__(self) -> "TrainingLog":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def step(self, step: int, figures: Mapping[str, float]) -> None:
        """Take down one step's figures.

        Args:
            step: from 1, counted through all epochs.
            figures: by name; ``epoch``, from 1, must be among them.
        """
        self._write({"step": step, **figures})
        if self._scalars is None:
            return
        with writing(self._events):
            for name, value in figures.items():
                if name != "epoch":
                    label = f"loss/{name}" if name in self._losses else name
                    self._scalars.add_scalar(label, float(value), step)

    def epoch(self, epoch: int, figures: Mapping[str, float]) -> None:
        """Take down the figures of an epoch, from 1; what was said so far then outlasts a crash."""
        self._write({"epoch": epoch, **figures})
        with writing(self._path):
            os.fsync(self._file.fileno())
        if self._scalars is not None:
            with writing(self._events):
                self._scalars.flush()

    def close(self) -> None:
        """Write what is left and close the files."""
        with writing(self._path):
            self._file.close()
        if self._scalars is not None:
            with writing(self._events):
                self._scalars.close()

    def _write(self, line: Mapping[str, float]) -> None:
        plain = {name: _plain(value) for name, value in line.items()}
        with writing(self._path):
            self._file.write(json.dumps(plain, allow_nan=False) + "\n")
            self._file.flush()


def _summary_writer() -> type["SummaryWriter"]:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UsageError(
            "--log tensorboard needs the package tensorboard.", hint="pip install 'fauds[log]'"
        ) from error
    return SummaryWriter


def _plain(value: float) -> int | float | None:
    """Return a figure as JSON can say it: six significant digits, null where it is not finite."""
    if isinstance(value, int):
        return value
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _cut(path: Path, epochs_done: int) -> tuple[int, tuple[str, ...]]:
    """Remove what is damaged or will be said again; return the first step to come, and notes."""
    if not path.exists():
        return 0, ()
    content = path.read_bytes()
    lines = [(line, _read(line)) for line in content.split(b"\n")]
    if lines[-1][1] is None:
        # After the last line end: nothing, or half a line, which a kill leaves.
        lines.pop()
    kept = [(line, said) for line, said in lines if said and said["epoch"] <= epochs_done]
    whole = b"".join(line + b"\n" for line, _ in kept)
    if whole != content:
        with atomic(path) as temporary:
            temporary.write_bytes(whole)
    to_come = max((said["step"] + 1 for _, said in kept if "step" in said), default=0)
    damaged = [number for number, (_, said) in enumerate(lines, 1) if not said]
    if not damaged:
        return to_come, ()
    note = f"{path}: damaged lines are removed: {len(damaged)}, the first of them line {damaged[0]}"
    return to_come, (note,)


def _read(line: bytes) -> dict[str, Any] | None:
    """Return a line of the log, None where it is damaged."""
    try:
        said = json.loads(line.decode())
    except (ValueError, RecursionError):
        return None
    whole = isinstance(said, dict) and isinstance(said.get("epoch"), int)
    return said if whole and isinstance(said.get("step", 0), int) else None
