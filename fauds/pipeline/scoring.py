"""The step that scores external predictions and writes a run's folder, as fauds bench does."""

import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from fauds.errors import DataError
from fauds.evaluation import results as results_file
from fauds.evaluation.evaluate import GroundTruth, Predictions, evaluate
from fauds.evaluation.external.match import ScoreRequest, match
from fauds.protocols.benchmark import Benchmark
from fauds.protocols.run_settings import write_settings
from fauds.tables import predictions as predictions_file
from fauds.tables import store
from fauds.tables.paths import FOLDS, PREDICTIONS, RUNS, fold_folder


def score_predictions(
    tables: Path, benchmark: Benchmark, request: ScoreRequest, say: Callable[[str], None]
) -> Path:
    """Check predictions against a benchmark's protocol, score them, and write a run's folder.

    Args:
        tables: the dataset's folder, with the tables of frames and folds.
        benchmark: the protocol.
        request: the predictions, and how frames without a prediction are handled.
        say: called with each line for the user about what was read and what was not.

    Returns:
        The run's folder, with settings.yaml, folds.parquet, predictions and results.json.

    Raises:
        UsageError: the name or the rule is invalid, or there is no file to read.
        DataError: the predictions do not fit the protocol; the message says where they differ.
    """
    predictions, labels = match(tables, benchmark, request, say)
    run = predictions.run
    runs = tables / RUNS
    folder = _new_folder(runs, f"score-{run.model}-{time.strftime('%Y%m%d-%H%M%S')}")
    with store.lock(folder):
        write_settings(
            folder,
            benchmark=benchmark,
            model=run.model,
            preset=run.preset,
            settings=run.settings,
        )
        source = tables / FOLDS
        store.write_table(folder / source.name, labels.folds, store.read_meta(source))
        _write_predictions(folder, predictions, labels, benchmark)
        results_file.write(folder, evaluate(predictions, labels, benchmark))
    return folder


def _new_folder(runs: Path, name: str) -> Path:
    """Create a new folder; its name gets a number if another process has already taken it."""
    for number in range(1, 1000):
        folder = runs / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
    raise DataError(
        f"1,000 runs named {name} exist already.",
        where=runs,
        hint="wait a second and score again",
    )


def _write_predictions(
    folder: Path, predictions: Predictions, labels: GroundTruth, benchmark: Benchmark
) -> None:
    """Write the predictions of each fold's test part to the run's folder."""
    meta = {
        "inputs": store.fingerprint(predictions.run.settings["files"]),
        "settings": {
            "benchmark": benchmark.name,
            "benchmark_version": benchmark.version,
        },
    }
    names = benchmark.target.names
    scores = predictions_file.scores(predictions.table, names)
    for fold in labels.tested:
        in_fold = labels.fold == fold
        predictions_file.write(
            fold_folder(folder, fold) / PREDICTIONS,
            labels.frames.filter(pa.array(in_fold)),
            fold,
            names,
            scores[in_fold],
            meta,
            intensities={au: values[in_fold] for au, values in predictions.intensities.items()},
        )
