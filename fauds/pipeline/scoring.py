"""The step from external predictions to a run's folder, with results as of a run of the bench."""

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
        tables: the dataset's folder, with frames and folds.
        say: takes what was read, and what was not, line by line.

    Returns:
        The run's folder, with settings.yaml, folds.parquet, predictions and results.json.

    Raises:
        UsageError: a name that cannot be one, or no file to read.
        DataError: the predictions are not of this protocol; what differs is said.
    """
    predictions, labels = match(tables, benchmark, request, say)
    run = predictions.run
    runs = tables / RUNS
    folder = _claimed(runs, f"score-{run.model}-{time.strftime('%Y%m%d-%H%M%S')}")
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


def _write_predictions(
    folder: Path, predictions: Predictions, labels: GroundTruth, benchmark: Benchmark
) -> None:
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
        mine = labels.fold == fold
        predictions_file.write(
            fold_folder(folder, fold) / PREDICTIONS,
            labels.frames.filter(pa.array(mine)),
            fold,
            names,
            scores[mine],
            meta,
            intensities={au: values[mine] for au, values in predictions.intensities.items()},
        )
