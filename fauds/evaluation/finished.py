"""Finished runs read back, to be compared: results and the counts of every subject."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fauds.errors import DataError, UsageError
from fauds.evaluation import results as results_file
from fauds.evaluation.results import BySubject, Results, by_subject
from fauds.tables import store
from fauds.tables.frames import frame_set_fingerprint
from fauds.tables.paths import FRAMES, PREDICTIONS, RESULTS, dataset_folder, fold_folder
from fauds.tables.predictions import scores

_KEYS = ("frame_id", "subject", "task", "frame", "sex")


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


def read_scored(run: Path, results: Results) -> Scored | None:
    """Return what was scored; None where the workdir has no such frames and labels any more."""
    target = results.protocol.predicts
    path = dataset_folder(run) / FRAMES
    parts = [fold_folder(run, fold) / PREDICTIONS for fold in results.folds]
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


@dataclass(frozen=True)
class Named:
    """The results of a finished run and what people call it."""

    name: str
    results: Results


@dataclass(frozen=True)
class Loaded(Named):
    """A finished run with the counts of every subject."""

    found: BySubject


def locate(named: str, runs: Path) -> Path:
    """Return the folder or results file that a run is named by.

    Args:
        named: a run's folder, a results file, or the name of a run in `runs`.

    Raises:
        UsageError: there is none; what there is is listed.
    """
    for path in (Path(named), runs / named):
        if named and path.exists():
            return path
    known = sorted(path.parent.name for path in runs.glob(f"*/{RESULTS}"))
    raise UsageError(
        f"There is no run {named!r}.",
        where=runs,
        hint=f"there is: {', '.join(known) or 'none'}; others: --dataset, --workdir, or a folder",
    )


def read(path: Path) -> Named:
    """Read the results of a finished run from its folder, or from a results file alone.

    Raises:
        DataError: there are none.
    """
    results = results_file.read(path) if path.is_dir() else results_file.read_file(path)
    # All results files have one name: the folder's tells them apart.
    at_home = path.is_dir() or path.name == RESULTS
    folder = path if path.is_dir() else path.parent
    return Named(folder.resolve().name if at_home else path.name, results)


def load(path: Path) -> Loaded:
    """Read a finished run with its counts by subject, from its folder or its results file.

    Raises:
        DataError: there are no results, or no counts by subject and no tables to make them of.
    """
    run = read(path)
    counts = run.results.subject_counts
    if counts is not None:
        found = counts.grouped(run.results.protocol.predicts)
    elif path.is_dir():
        found = _recounted(path, run.results)
    else:
        raise DataError(
            "The results hold no counts by subject: they were written by an older fauds.",
            where=path,
            hint="compare the runs' folders where their predictions are",
        )
    return Loaded(run.name, run.results, found)


def _recounted(folder: Path, results: Results) -> BySubject:
    """Count a run's predictions against the labels in the tables of its dataset's folder."""
    scored = read_scored(folder, results)
    if scored is None:
        raise DataError(
            "The frames or their labels have changed since this run was scored, or its "
            "predictions are gone.",
            where=dataset_folder(folder) / FRAMES,
            hint="read the same labels again, or compare with a run that was made since",
        )
    target = results.protocol.predicts
    return by_subject(
        target,
        scored.labels,
        target.decide(scored.scores, results.protocol.threshold),
        scored.folds,
        np.array(scored.subjects),
        dict(zip(scored.subjects, scored.sexes, strict=True)),
    )
