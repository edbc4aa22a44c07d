"""The step that scores a run's predictions and writes results.json and gallery.parquet."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fauds.errors import DataError
from fauds.evaluation import results as results_file
from fauds.evaluation.evaluate import (
    Epochs,
    GroundTruth,
    Predictions,
    References,
    RunDescription,
    evaluate,
)
from fauds.runs.fold import pretraining
from fauds.runs.illustrations import write_gallery
from fauds.runs.inputs import Inputs
from fauds.runs.plan import Plan
from fauds.runs.predict import TEST_EPOCHS, VALIDATION_EPOCHS
from fauds.runs.run import Run
from fauds.tables import predictions as predictions_file
from fauds.tables import store
from fauds.tables.paths import MEASURED, PREDICTIONS, fold_folder


def write_results(run: Run) -> None:
    """Score the predictions of all folds of a run, and write results.json and gallery.parquet.

    The gallery contains example faces with their labels, predictions, descriptions and attention
    maps.

    Raises:
        DataError: the predictions of a fold are for other frames than the fold tests.
    """
    plan, inputs, folds = run.plan, run.inputs, run.folds
    tables = {fold: _predictions(plan, inputs, fold) for fold in folds}
    predicted = pa.concat_tables(tables.values(), promote_options="default")
    measured = {fold: _measured(plan, fold) for fold in folds}
    description = RunDescription(
        model=plan.model,
        preset=plan.preset,
        settings=plan.settings.model_dump(mode="json"),
        command=plan.command,
        selection=plan.benchmark.metric.selection,
        alignment=inputs.face_images.described,
        frame_set=inputs.face_images.frame_set,
        # Runs of an older fauds do not have this entry.
        pretraining=measured[folds[0]].get("pretraining") or pretraining(plan),
        seeds=[plan.settings.training.seed],
        seconds=sum(measures["seconds"] for measures in measured.values()),
        computed_on=sorted({measures["computed_on"] for measures in measured.values()}),
        # Runs of an older fauds do not have this entry.
        without=measured[folds[0]].get("without", {}),
    )
    predictions = Predictions(
        table=predicted,
        run=description,
        measures={
            fold: {
                name: (np.nan if value is None else value, count)
                for name, (value, count) in measures["words"].items()
            }
            for fold, measures in measured.items()
        },
        epochs={fold: _epochs_of(plan, inputs, fold) for fold in folds},
    )
    results = evaluate(predictions, _labels(inputs, predicted, folds), plan.benchmark)
    write_gallery(plan, inputs, predicted)
    results_file.write(plan.folder, results)


def _labels(inputs: Inputs, predicted: pa.Table, folds: Sequence[int]) -> GroundTruth:
    """Return the labels of the predicted frames, in the order of the predictions.

    Args:
        inputs: the frames, labels and captions of the run.
        predicted: the predictions of all folds.
        folds: the numbers of the folds.
    """
    rows = pc.index_in(predicted["frame_id"], inputs.frames["frame_id"])
    captions = inputs.captions
    return GroundTruth(
        frames=inputs.frames.take(rows),
        fold=predicted["fold"].to_numpy(),
        folds=inputs.folds,
        tested=folds,
        statistics=inputs.statistics,
        synthetic=inputs.synthetic,
        coded_frames=inputs.coded_frames,
        without_image=inputs.face_images.without_image,
        provenance=inputs.provenance,
        references=None
        if captions is None
        else References(
            captions.captions.take(rows),
            captions.phrases,
            captions.settings["language"],
            captions.can_be_read_back,
        ),
    )


def _predictions(plan: Plan, inputs: Inputs, fold: int) -> pa.Table:
    path = fold_folder(plan.folder, fold) / PREDICTIONS
    table = store.read_table(path).replace_schema_metadata(None)
    _check_frames(table, inputs.faces.frame_ids[inputs.test_frames(fold)], path)
    return table


def _check_frames(table: pa.Table, frame_ids: np.ndarray, path: Path) -> None:
    if not np.array_equal(table["frame_id"].to_numpy(), frame_ids):
        raise DataError(
            "The predictions in this file are not for the frames that the fold tests.",
            where=path,
            hint="start a new run, as the frames have changed since this run began",
        )


def _epochs_of(plan: Plan, inputs: Inputs, fold: int) -> Epochs:
    """Return the predictions of a fold's model after each epoch, and the validation labels.

    The dicts of test and of validation predictions are empty if the run stored no predictions
    after each epoch.
    """
    settings = plan.settings.training
    validation_rows = inputs.validation_frames(fold, settings.validation_subjects, settings.seed)
    folder = fold_folder(plan.folder, fold)
    names, ids = inputs.target.names, inputs.faces.frame_ids
    return Epochs(
        test=_epochs(folder / TEST_EPOCHS, ids[inputs.test_frames(fold)], names),
        validation=_epochs(folder / VALIDATION_EPOCHS, ids[validation_rows], names),
        validation_labels=inputs.faces.labels[validation_rows],
    )


def _epochs(folder: Path, frame_ids: np.ndarray, names: Sequence[str]) -> dict[int, np.ndarray]:
    by_epoch = {}
    for path in folder.glob("epoch*.parquet"):
        table = store.read_table(path)
        _check_frames(table, frame_ids, path)
        by_epoch[int(path.stem.removeprefix("epoch"))] = predictions_file.scores(table, names)
    return by_epoch


def _measured(plan: Plan, fold: int) -> dict[str, Any]:
    path = fold_folder(plan.folder, fold) / MEASURED
    measured: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return measured
