"""The step that scores predictions of another program, and writes them as a run's folder."""

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
    """Score predictions of another program by a benchmark's protocol, and write a run's folder.

    Args:
        tables: the dataset's folder, with the tables of frames and folds.
        benchmark: the protocol.
        request: the predictions, and how frames without a prediction are handled.
        say: a function that is called with each line of text for the user about which predictions
            were read and which were left out.

    Returns:
        The path of the run's folder, with settings.yaml, folds.parquet, the predictions and
        results.json.

    Raises:
        UsageError: the model's name or the rule for frames without a prediction is invalid, or
            there is no file to read.
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
    """Create a new folder for a run, and return its path.

    Args:
        runs: the folder that contains the folders of all runs.
        name: the name of the new folder; a number is added if there already is such a folder.
    """
    for number in range(1, 1000):
        folder = runs / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
    raise DataError(
        f"The run could not get a new folder: {name} and {name}-2 to {name}-999 exist already.",
        where=runs,
        hint="score again after a second: the name of a run has the time of its start",
    )


def _write_predictions(
    folder: Path, predictions: Predictions, labels: GroundTruth, benchmark: Benchmark
) -> None:
    """Write predictions to a run's folder, one file for the test frames of each fold."""
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
