"""The labels that a finished run was scored against, read again from its workdir."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fauds import store
from fauds.bench.predictions import scores
from fauds.bench.results import Results
from fauds.bench.score import frame_set_fingerprint

_KEYS = ("frame_id", "subject", "task", "frame", "sex")
FRAMES = "frames.parquet"
PREDICTIONS = "predictions.parquet"


@dataclass(frozen=True)
class Scored:
    """All test frames of a run.

    Attributes:
        labels: of the target, [N, ...], -1 not coded; scores: float32 [N, A].
        folds: the fold that tested each, int16 [N].
        subjects, sexes: of each; a sex is None where it is not known.
    """

    labels: np.ndarray
    scores: np.ndarray
    folds: np.ndarray
    subjects: list[str]
    sexes: list[str | None]


def tables_of(run: Path) -> Path:
    """Return the dataset's folder, in whose ``runs`` a run lies."""
    return run.resolve().parent.parent


def read_scored(run: Path, results: Results) -> Scored | None:
    """Return what was scored; None where the workdir has no such frames and labels any more."""
    target = results.protocol.predicts
    path = tables_of(run) / FRAMES
    parts = [run / f"fold{fold}" / PREDICTIONS for fold in results.folds]
    if not all(file.exists() for file in (path, *parts)):
        return None
    columns = ["frame_id", "fold", *target.names]
    predicted = pa.concat_tables([_plain(part, columns) for part in parts])
    frames = _plain(path, [*_KEYS, *target.columns])
    place = pc.index_in(predicted["frame_id"], frames["frame_id"])
    if place.null_count:
        return None
    truth = frames.take(place)
    if frame_set_fingerprint(truth, target.columns) != results.frames_fingerprint:
        return None
    subjects, sexes = (truth[name].cast(pa.string()).to_pylist() for name in ("subject", "sex"))
    return Scored(
        target.labels(truth),
        scores(predicted, target.names),
        predicted["fold"].to_numpy(),
        subjects,
        sexes,
    )


def _plain(path: Path, columns: list[str]) -> pa.Table:
    return store.read_table(path, columns).replace_schema_metadata(None)
