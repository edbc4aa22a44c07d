"""Predictions made elsewhere to a run folder with the same results as a run of the bench."""

import re
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import pyarrow as pa

from fauds import folds as folding
from fauds import store
from fauds.bench import external
from fauds.bench import predictions as predictions_file
from fauds.bench import results as results_file
from fauds.bench.evaluate import NO_CAPTIONS, GroundTruth, Made, Predictions, evaluate
from fauds.bench.framenames import Sequences
from fauds.bench.placing import Placed, Rule, place
from fauds.bench.results import ELSEWHERE, MissingFrames
from fauds.datasets import DATASETS
from fauds.errors import DataError, UsageError
from fauds.facs import intensity_column
from fauds.protocols import Benchmark

_NAME = re.compile(r"[A-Za-z0-9][\w.+-]{0,63}", re.ASCII)


@dataclass(frozen=True)
class ScoreRequest:
    """What the user asked of ``fauds score``.

    Attributes:
        path: the predictions: a file, a folder of files, or a run.
        name: what made them; None for the name of the file.
        missing: what becomes of frames of the protocol without a prediction; None for the
            benchmark's rule.
    """

    path: Path
    name: str | None = None
    missing: Rule | None = None

    @property
    def model(self) -> str:
        """What results call the model.

        Raises:
            UsageError: the name cannot be a folder's.
        """
        if self.name is None:
            plain = re.sub(r"[^\w.+-]", "-", self.path.resolve().stem, flags=re.ASCII)
            return plain.strip("-._")[:64] or "predictions"
        if not _NAME.fullmatch(self.name):
            raise UsageError(
                f"{self.name!r} cannot be a name: letters, digits and . _ + - alone.",
                where="--name",
            )
        return self.name


def score_predictions(
    tables: Path, benchmark: Benchmark, request: ScoreRequest, say: Callable[[str], None]
) -> Path:
    """Check predictions against a benchmark's protocol, score them, and write a run's folder.

    Args:
        tables: the dataset's folder, with frames and folds.
        say: takes what was read, and what was not, line by line.

    Returns:
        The run's folder, with settings.yaml, folds.parquet, predictions and results.json.

    Raises:
        UsageError: a name that cannot be one, or no file to read.
        DataError: the predictions are not of this protocol; what differs is said.
    """
    predictions, labels = match(tables, benchmark, request, say)
    made = predictions.made
    runs = tables / "runs"
    folder = _claimed(runs, f"score-{made.model}-{time.strftime('%Y%m%d-%H%M%S')}")
    with store.lock(folder):
        results_file.write_settings(
            folder,
            benchmark=benchmark,
            model=made.model,
            preset=made.preset,
            settings=made.settings,
        )
        source = tables / "folds.parquet"
        store.write_table(folder / source.name, labels.folds, store.read_meta(source))
        _write_predictions(folder, predictions, labels, benchmark)
        results_file.write(folder, evaluate(predictions, labels, benchmark))
    return folder


def _check_rule(rule: str, benchmark: Benchmark) -> None:
    if rule not in get_args(Rule):
        raise UsageError(
            f"There is no rule {rule!r} for missing predictions.",
            where="missing",
            hint=f"there is: {', '.join(get_args(Rule))}",
        )
    if rule == "inactive" and benchmark.target.form != "multilabel":
        raise UsageError(
            f"Frames without a prediction cannot count as inactive: {benchmark.name} predicts one "
            f"{benchmark.target.noun} a frame.",
            where="missing",
            hint="predict them, or leave them out: --missing drop",
        )


def match(
    tables: Path, benchmark: Benchmark, request: ScoreRequest, say: Callable[[str], None]
) -> tuple[Predictions, GroundTruth]:
    """Read external predictions, and give every frame of the protocol its prediction.

    Arguments and errors as of `score_predictions`; nothing is written.
    """
    model = request.model
    _check_rule(request.missing or benchmark.missing_predictions, benchmark)
    target, frames_path = benchmark.target, tables / "frames.parquet"
    rule = request.missing or benchmark.missing_predictions
    meta = store.read_meta(frames_path)
    graded = [
        name
        for name in map(intensity_column, target.described)
        if name in store.column_names(frames_path)
    ]
    keys = ["frame_id", "subject", "task", "frame", "sex"]
    frames = predictions_file.read_keyed(frames_path, [*keys, *target.columns, *graded])
    folds = store.read_table(tables / "folds.parquet").replace_schema_metadata(None)
    counts = folding.count_subjects(frames, target)
    folding.check(folds, counts.subjects, tables / "folds.parquet")
    sequences = Sequences(
        frames, meta["reader"] and DATASETS[meta["reader"]], meta["settings"].get("image_base")
    )
    found = external.read(
        request.path, target.names, (benchmark.name, benchmark.version), sequences
    )
    for line in found.notes:
        say(line)
    placed = place(found, frames, folds, rule, request.path)
    _say_placed(placed, rule, say)
    fold_of = dict(zip(folds["subject"].to_pylist(), folds["fold"].to_pylist(), strict=True))
    kept = frames.take(pa.array(placed.rows))
    learnt = frames.take(pa.array(placed.learnt))
    subjects = kept["subject"].cast(pa.string()).to_pylist()
    given = {
        au: values for au, values in found.intensities.items() if intensity_column(au) in graded
    }
    uncoded = [au for au in found.intensities if au not in given]
    if uncoded:
        say(f"not scored, intensities that nobody coded: {', '.join(uncoded)}")
    scores = {name: _placed(found.occurrence[name], placed) for name in target.names}
    command = ["fauds", "score", str(request.path), "--dataset", benchmark.name]
    command += ["--name", model, "--missing", rule]
    dropped = rule == "drop" and placed.missing
    made = Made(
        model=model,
        preset=ELSEWHERE,
        settings={
            "predictions": str(request.path.resolve()),
            "files": found.sources,
            "missing": rule,
        },
        command=shlex.join(command),
        selection=ELSEWHERE,
        alignment="not known: predictions made elsewhere",
        frame_set="every coded frame with a prediction" if dropped else "every coded frame",
        pretraining="not known: predictions made elsewhere",
        computed_on=[ELSEWHERE],
    )
    predictions = Predictions(
        table=pa.table({name: values.astype(np.float32) for name, values in scores.items()}),
        made=made,
        intensities={au: _placed(values, placed) for au, values in given.items()},
    )
    labels = GroundTruth(
        frames=kept,
        fold=np.array([fold_of[name] for name in subjects]),
        folds=folds,
        tested=folding.tested(folds),
        statistics=folding.statistics(folding.count_subjects(learnt, target), folds, target),
        synthetic=meta["synthetic"],
        offered=folding.offered(counts, folds),
        without_image={},
        provenance={
            "reading": meta["settings"],
            "differences": meta["differences"],
            "captions": NO_CAPTIONS,
        },
        missing=MissingFrames(rule=rule, frames=placed.missing),
    )
    return predictions, labels


def _claimed(runs: Path, name: str) -> Path:
    """Make a folder that is not there yet, for this process alone."""
    for number in range(1, 1000):
        folder = runs / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
    raise DataError("There is no name left for another run of this second.", where=runs)


def _placed(values: np.ndarray, placed: Placed) -> np.ndarray:
    """Return the values of the scored frames; 0 where there is none."""
    return np.where(placed.source >= 0, values[placed.source], 0.0)


def _say_placed(placed: Placed, rule: Rule, say: Callable[[str], None]) -> None:
    if placed.left_out:
        say(f"left out: {placed.left_out:,} frames that nobody coded")
    if placed.missing:
        done = "are not scored" if rule == "drop" else "are scored as inactive"
        say(f"{sum(placed.missing.values()):,} frames without a prediction {done}")


def _write_predictions(
    folder: Path, predictions: Predictions, labels: GroundTruth, benchmark: Benchmark
) -> None:
    meta = {
        "inputs": store.fingerprint(predictions.made.settings["files"]),
        "settings": {
            "benchmark": benchmark.name,
            "benchmark_version": benchmark.version,
        },
    }
    names = benchmark.target.names
    scores = predictions_file.scores(predictions.table, names)
    for fold in labels.tested:
        mine = labels.fold == fold
        predictions_file.write(
            folder / f"fold{fold}" / predictions_file.PREDICTIONS,
            labels.frames.filter(pa.array(mine)),
            fold,
            names,
            scores[mine],
            meta,
            intensities={au: values[mine] for au, values in predictions.intensities.items()},
        )
