"""The labels that a finished run was scored against, read again from its workdir."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fauds import store
from fauds.bench.results import Results
from fauds.bench.score import frame_set_fingerprint

_KEYS = ("frame_id", "subject", "task", "frame", "sex")
FRAMES = "frames.parquet"
PREDICTIONS = "predictions.parquet"


@dataclass(frozen=True)
class Scored:
    """All test frames of a run.

    Attributes:
        labels: int8 [N, A], -1 not coded; probabilities: float32 [N, A].
        folds: the fold that tested each, int16 [N].
        subjects, sexes: of each; a sex is None where it is not known.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    folds: np.ndarray
    subjects: list[str]
    sexes: list[str | None]


def tables_of(run: Path) -> Path:
    """Return the dataset's folder, in whose ``runs`` a run lies."""
    return run.resolve().parent.parent


def read_scored(run: Path, results: Results) -> Scored | None:
    """Return what was scored; None where the workdir has no such frames and labels any more."""
    aus = results.protocol.aus
    path = tables_of(run) / FRAMES
    parts = [run / f"fold{fold}" / PREDICTIONS for fold in results.folds]
    if not all(file.exists() for file in (path, *parts)):
        return None
    predicted = pa.concat_tables([_plain(part, ["frame_id", "fold", *aus]) for part in parts])
    frames = _plain(path, [*_KEYS, *aus])
    place = pc.index_in(predicted["frame_id"], frames["frame_id"])
    if place.null_count:
        return None
    truth = frames.take(place)
    if frame_set_fingerprint(truth, aus) != results.frames_fingerprint:
        return None
    labels = np.stack([pc.fill_null(truth[au], -1).to_numpy() for au in aus], axis=1)
    subjects, sexes = (truth[name].cast(pa.string()).to_pylist() for name in ("subject", "sex"))
    return Scored(
        labels,
        np.stack([predicted[au].to_numpy() for au in aus], axis=1),
        predicted["fold"].to_numpy(),
        subjects,
        sexes,
    )


def _plain(path: Path, columns: list[str]) -> pa.Table:
    return store.read_table(path, columns).replace_schema_metadata(None)
