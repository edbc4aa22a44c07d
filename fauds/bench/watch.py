"""What the model predicts after every epoch, where an epoch is to be chosen besides the last."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from fauds import store
from fauds.bench.infer import predict
from fauds.nn.base import Model
from fauds.settings import RunSettings
from fauds.training import processes
from fauds.training.data import FaceSet

TEST, VALIDATION = "epochs", "validation"
"""Folders in a fold's, with ``epoch3.parquet`` and the like: of the test part, of validation."""


class Watch:
    """Predicts parts after every epoch, for `fauds.training.loop.train`.

    Args:
        folder: the fold's.
        parts: `TEST` and `VALIDATION` to their frames.
        names: of the scores.
    """

    def __init__(
        self,
        folder: Path,
        parts: Mapping[str, FaceSet],
        settings: RunSettings[Any],
        names: Sequence[str],
    ) -> None:
        self._folder = folder
        self._parts = parts
        self._settings = settings
        self._names = names

    def __call__(self, model: Model, epoch: int) -> None:
        """Write what the model predicts after an epoch, from 1."""
        for name, faces in self._parts.items():
            found = predict(model, faces, self._settings)
            if processes.leads():
                columns = {
                    "frame_id": faces.frame_ids,
                    **dict(zip(self._names, found.T, strict=True)),
                }
                path = self._folder / name / f"epoch{epoch}.parquet"
                store.write_table(path, pa.table(columns), {"inputs": name, "settings": {}})


def watched(
    folder: Path,
    testing: FaceSet,
    validating: FaceSet,
    settings: RunSettings[Any],
    names: Sequence[str],
) -> Watch | None:
    """Return what is watched: the test part too where validation chooses, to score its choice."""
    parts = {TEST: testing}
    if len(validating):
        parts[VALIDATION] = validating
    elif not settings.training.watch_test:
        return None
    return Watch(folder, parts, settings, names)
