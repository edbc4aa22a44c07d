"""Reads finished runs: their results, and each subject's counts of correct and wrong decisions."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fauds.errors import DataError, UsageError
from fauds.evaluation import results as results_file
from fauds.evaluation.results import BySubject, Results, by_subject
from fauds.evaluation.score import sums_of_units
from fauds.metrics.frame_means import Sums
from fauds.tables import store
from fauds.tables.frames import frame_set_fingerprint, read_keyed, sampling_units
from fauds.tables.paths import FRAMES, PREDICTIONS, RESULTS, dataset_folder, fold_folder
from fauds.tables.predictions import frame_metrics, scores

_KEYS = ["frame_id", "subject", "task", "frame", "sex"]


@dataclass(frozen=True)
class Scored:
    """The labels and the predicted scores of the N frames that a run tested.

    Attributes:
        labels: the labels, [N, A] for A AUs or [N] for classes, -1 where not coded.
        scores: the predicted scores for A AUs or classes, float32 [N, A].
        folds: the number of the fold that tested each frame, int16 [N].
        subjects: the subject of each frame; its key where the subject is unknown.
        sexes: "F" or "M" for each frame; None if the subject's sex is unknown.
        by_frame: metrics that have a value for each frame and each AU or class, float [N, A], NaN
            where a frame has none; empty if the model has none.
    """

    labels: np.ndarray
    scores: np.ndarray
    folds: np.ndarray
    subjects: list[str]
    sexes: list[str | None]
    by_frame: dict[str, np.ndarray]


def read_scored(run: Path, results: Results) -> Scored | None:
    """Read the labels and the predicted scores of the frames that a run tested.

    Args:
        run: the run's folder.
        results: the results of the run.

    Returns:
        The labels and scores; None if the predictions, the frames or the labels are missing or have
        changed since the run was scored.
    """
    target = results.protocol.predicts
    path = dataset_folder(run) / FRAMES
    parts = [fold_folder(run, fold) / PREDICTIONS for fold in results.folds]
    if not all(file.exists() for file in (path, *parts)):
        return None
    predicted = pa.concat_tables([_without_texts(part) for part in parts])
    frames = read_keyed(path, [*_KEYS, *target.columns]).replace_schema_metadata(None)
    place = pc.index_in(predicted["frame_id"], frames["frame_id"])
    if place.null_count:
        return None
    truth = frames.take(place)
    if frame_set_fingerprint(truth, target.columns) != results.frames_fingerprint:
        return None
    subjects = sampling_units(truth).tolist()
    sexes = truth["sex"].cast(pa.string()).to_pylist()
    return Scored(
        target.labels(truth),
        scores(predicted, target.names),
        predicted["fold"].to_numpy(),
        subjects,
        sexes,
        frame_metrics(predicted, target.names),
    )


def _without_texts(path: Path) -> pa.Table:
    columns = [name for name in store.column_names(path) if not name.endswith("_text")]
    return store.read_table(path, columns).replace_schema_metadata(None)


@dataclass(frozen=True)
class FinishedRun:
    """A finished run, such as one training and test of a model: its name and its results."""

    name: str
    results: Results


@dataclass(frozen=True)
class CountedRun(FinishedRun):
    """A finished run with each subject's counts of correct and wrong decisions.

    Comparisons between runs are paired by subject, and therefore need these counts. If the subjects
    are unknown, the counts are those of single images.

    Attributes:
        counted: the counts of each subject.
        sums: metrics that are means over frames, such as the cosine between two maps: by metric,
            the sums of each subject, in the order of `counted`. Empty if the model has no such
            metrics, or if the predictions that they are computed from are missing.
    """

    counted: BySubject
    sums: Mapping[str, Sums] = field(default_factory=dict)


def locate(named: str, runs: Path) -> Path:
    """Return the path of a run's folder or results file.

    Args:
        named: the path of a run's folder, the path of a results file, or the name of a run in
            `runs`.
        runs: the folder in which runs are looked up by name.

    Raises:
        UsageError: there is no such run; the hint lists the runs in `runs`.
    """
    for path in (Path(named), runs / named):
        if named and path.exists():
            return path
    names = sorted(path.parent.name for path in runs.glob(f"*/{RESULTS}"))
    raise UsageError(
        f"There is no run {named!r}.",
        where=runs,
        hint=(f"choose from: {', '.join(names)}; or give" if names else "there is none here: give")
        + " the path of a run's folder, or another --dataset or --workdir",
    )


def count_runs(runs: Path, protocol_hash: str) -> int:
    """Return the number of finished runs of one protocol in a folder of runs.

    Runs whose results cannot be read are not counted.

    Args:
        runs: the folder that contains the folders of runs.
        protocol_hash: the hash of the protocol, as `Results.protocol_hash` has it.
    """
    number = 0
    for path in runs.glob(f"*/{RESULTS}"):
        with suppress(DataError):
            number += results_file.read(path.parent).protocol_hash == protocol_hash
    return number


def read(path: Path) -> FinishedRun:
    """Read the results of a finished run.

    Args:
        path: the run's folder, or a results file.

    Raises:
        DataError: there are no results, or they cannot be read.
    """
    results = results_file.read(path) if path.is_dir() else results_file.read_file(path)
    # Results files all have the same name, so a run is named by its folder.
    named_by_folder = path.is_dir() or path.name == RESULTS
    folder = path if path.is_dir() else path.parent
    return FinishedRun(folder.resolve().name if named_by_folder else path.name, results)


def load(path: Path) -> CountedRun:
    """Read a finished run with each subject's counts of correct and wrong decisions.

    Results of an older fauds do not contain the counts, nor do those of images of unknown subjects;
    they are then computed from the run's predictions and the labels in the dataset's folder.

    Args:
        path: the run's folder, or a results file.

    Raises:
        DataError: there are no results, or the results have no counts and the predictions or labels
            to compute them from are missing.
    """
    run = read(path)
    counts = run.results.subject_counts
    scored = None
    if path.is_dir():
        scored = read_scored(path, run.results)
    if counts is not None and run.results.unit == "subject":
        grouped = counts.grouped(run.results.protocol.predicts)
    elif path.is_dir():
        grouped = _recounted(path, run.results, scored)
    else:
        raise DataError(
            f"These results hold no counts by {run.results.unit}"
            + (": an older version of fauds wrote them." if counts is None else "."),
            where=path,
            hint="name the run's folder instead of this file, so that fauds can count the "
            "decisions in the run's predictions",
        )
    sums = {}
    if scored is not None:
        units = np.array(scored.subjects)
        sums = {
            name: sums_of_units(grouped, values, scored.folds, units)
            for name, values in scored.by_frame.items()
        }
    return CountedRun(run.name, run.results, grouped, sums)


def _recounted(folder: Path, results: Results, scored: Scored | None) -> BySubject:
    """Count correct and wrong decisions by subject, from a run's predictions and the labels."""
    if scored is None:
        raise DataError(
            f"The decisions of the run {folder.name} cannot be counted: the frames or their labels "
            "have changed since this run was scored, or its predictions are missing.",
            where=dataset_folder(folder) / FRAMES,
            hint="read the labels that the run was scored on again (fauds build-captions), or "
            "compare with a run that was scored after the change",
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
