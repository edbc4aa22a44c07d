"""Scores predictions against labels by a protocol, for models of fauds and of other programs.

Predictions of any model are given as `Predictions`, and the labels of their frames as
`GroundTruth`. Predictions after each epoch, the model's own measures and generated texts are
optional, since only models of fauds provide them. No model runs here.

Shapes: S is the number of scored frames; A is the number of AUs or classes that are predicted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fauds.evaluation import score
from fauds.evaluation.results import MissingFrames, Protocol, Results
from fauds.evaluation.score import FoldScores, FrameOwners, Intensities, run_figures
from fauds.evaluation.selection import EpochScores, select
from fauds.evaluation.texts import TextFigures, text_figures
from fauds.facs import intensity_column
from fauds.protocols.benchmark import Benchmark
from fauds.tables import store
from fauds.tables.frames import frame_set_fingerprint, sampling_units
from fauds.tables.predictions import frame_metrics, is_described, scores, text_columns
from fauds.version import versions


@dataclass(frozen=True)
class Epochs:
    """The predictions of one fold's model after each epoch of its training.

    Attributes:
        test: by epoch, the predicted scores of the fold's n test frames for A AUs or classes,
            float32 [n, A].
        validation: by epoch, the predicted scores of the fold's V validation frames, float32
            [V, A]. These frames show training subjects that are held out to choose the epoch.
        validation_labels: the labels of the validation frames, [V, A] for AUs or [V] for classes,
            -1 where not coded.
    """

    test: Mapping[int, np.ndarray]
    validation: Mapping[int, np.ndarray]
    validation_labels: np.ndarray


@dataclass(frozen=True)
class RunDescription:
    """The model that made the predictions, and its settings, as results.json describes them.

    The attributes have the same meaning as the fields of these names in
    `fauds.evaluation.results.Results` and `fauds.evaluation.results.Protocol`.
    """

    model: str
    preset: str
    settings: dict[str, Any]
    command: str
    selection: str
    alignment: str
    frame_set: str
    pretraining: str
    seeds: list[int] = field(default_factory=list)
    seconds: float = 0.0
    computed_on: list[str] = field(default_factory=list)
    without: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Predictions:
    """The predictions of a model for S frames.

    Attributes:
        table: a table with one row for each frame. It has a column of scores for each AU or class,
            and, if the model generates texts, columns of texts (``AU01_text``, ``face_text``),
            which are null where a frame is not described.
        run: the model that made the predictions, and its settings.
        intensities: by AU, the predicted intensities, 0 to 5, float64 [S].
        measures: for each fold, further measures that the model itself computes on the fold's test
            frames: by metric, the value and the number of items that it is computed from.
        epochs: by fold, the predictions after each epoch; empty if only those after the last epoch
            were kept.
    """

    table: pa.Table
    run: RunDescription
    intensities: Mapping[str, np.ndarray] = field(default_factory=dict)
    measures: Mapping[int, Mapping[str, tuple[float, int]]] = field(default_factory=dict)
    epochs: Mapping[int, Epochs] = field(default_factory=dict)


@dataclass(frozen=True)
class References:
    """The reference captions that generated texts are compared with.

    Attributes:
        captions: the rows of captions.parquet for the S predicted frames.
        phrases: the table of phrases.parquet, which lists all distinct descriptions.
        language: the language of both tables, such as "en".
        can_be_read_back: whether the captions follow templates that ship with fauds. Only such
            captions can be parsed for the AU states that they assert.
    """

    captions: pa.Table
    phrases: pa.Table
    language: str
    can_be_read_back: bool


@dataclass(frozen=True)
class GroundTruth:
    """The labels that predictions of S frames are scored against.

    Attributes:
        frames: a table of the scored frames, in the order of the predictions, with the columns
            key, subject, task, frame, sex, the labels of the target, split if the dataset has a
            split of its own, and, if intensities are predicted, the coded intensities.
        fold: the number of the fold that tests each frame, int [S].
        folds: the table of folds, which names for each subject the fold that tests it.
        tested: the numbers of the folds that are scored.
        statistics: a table of label counts in the training and the test frames of each fold.
        synthetic: whether the dataset is synthetic.
        coded_frames: the number of coded frames of the tested subjects, including those that are
            not scored.
        without_image: by subject, the number of frames that are not scored because they have no
            face image.
        provenance: how the labels were read and how captions and face crops were made, as
            results.json describes it.
        references: the reference captions; None if the dataset has no captions.
        missing: the frames for which another program made no prediction; None for models of fauds.
    """

    frames: pa.Table
    fold: np.ndarray
    folds: pa.Table
    tested: Sequence[int]
    statistics: pa.Table
    synthetic: bool
    coded_frames: int
    without_image: Mapping[str, int]
    provenance: dict[str, Any]
    references: References | None = None
    missing: MissingFrames | None = None


def evaluate(predictions: Predictions, labels: GroundTruth, protocol: Benchmark) -> Results:
    """Score predictions against labels by a protocol, and return the results of the run.

    Args:
        predictions: the predictions of S frames.
        labels: the labels of the same frames, in the same order.
        protocol: the target, the threshold and the rules of the benchmark.

    Raises:
        DataError: a reference caption does not describe the AUs as they are labelled.
    """
    run, target, threshold = predictions.run, protocol.target, protocol.metric.threshold
    rows_of = {fold: np.flatnonzero(labels.fold == fold) for fold in labels.tested}
    graded = not np.isin(scores(predictions.table, target.names), (0, 1)).all()
    folds = {
        fold: _fold_scores(predictions, labels, protocol, fold, rows, graded)
        for fold, rows in rows_of.items()
    }
    owners = {
        fold: FrameOwners.of(labels.frames.take(pa.array(rows))) for fold, rows in rows_of.items()
    }
    sexes = labels.frames["sex"].cast(pa.string()).to_pylist()
    sex_of = dict(zip(sampling_units(labels.frames).tolist(), sexes, strict=True))
    all_figures = run_figures(folds, owners, sex_of, target, threshold, run.selection)
    evaluated = {
        fold: EpochScores(
            target,
            folds[fold].labels,
            folds[fold].scores,
            epochs.test,
            epochs.validation_labels,
            epochs.validation,
        )
        for fold, epochs in predictions.epochs.items()
    }
    selections = select(evaluated, target, threshold, all_figures.summary.get(target.main_metric))
    declared = _protocol(run, labels, protocol)
    return Results(
        benchmark=protocol.name,
        benchmark_version=protocol.version,
        protocol=declared,
        protocol_hash=store.fingerprint(declared.model_dump(mode="json")),
        synthetic=labels.synthetic,
        model=run.model,
        preset=run.preset,
        settings=run.settings,
        seeds=run.seeds,
        pretraining=run.pretraining,
        versions=versions(),
        command=run.command,
        frames_fingerprint=frame_set_fingerprint(labels.frames, target.columns),
        frames_offered=labels.coded_frames,
        frames_scored=len(labels.frames),
        frames_without_image=dict(labels.without_image),
        undefined=[*all_figures.undefined, *_unscored_texts(predictions, labels)],
        without_interval=all_figures.without_interval,
        showing_subjects=all_figures.showing_subjects,
        subject_names=all_figures.subject_names,
        computed_on=run.computed_on,
        seconds=run.seconds,
        provenance=labels.provenance,
        metrics=[*all_figures.metrics, *selections.rows],
        summary=all_figures.summary,
        uncertainty=all_figures.uncertainty,
        chosen=selections.chosen,
        optimism=selections.optimism,
        subject_counts=all_figures.subject_counts,
        missing=labels.missing,
        without=run.without,
    )


def _protocol(run: RunDescription, labels: GroundTruth, protocol: Benchmark) -> Protocol:
    """Return the protocol that the predictions were scored by, in the form of results.json."""
    parts, target = labels.folds, protocol.target
    tested = {
        fold: sorted(parts.filter(pc.equal(parts["fold"], fold))["subject"].to_pylist())
        for fold in labels.tested
    }
    declared = target.protocol_keys().get("target")
    return Protocol(
        folds=parts["protocol"][0].as_py(),
        test_subjects=tested,
        aus=list(target.names),
        occurrence=protocol.occurrence,
        threshold=protocol.metric.threshold,
        selection=run.selection,
        alignment=run.alignment,
        frame_set=run.frame_set,
        target=declared,
    )


def _fold_scores(
    predictions: Predictions,
    labels: GroundTruth,
    protocol: Benchmark,
    fold: int,
    rows: np.ndarray,
    graded: bool,
) -> FoldScores:
    """Return the predictions and labels of the frames that one fold tests.

    Args:
        predictions: the predictions of all frames.
        labels: the labels of all frames.
        protocol: the target, the threshold and the rules of the benchmark.
        fold: the number of the fold.
        rows: the rows of the fold's test frames, which are the same in predictions and labels.
        graded: True if the scores are probabilities, False if they are decisions 0 or 1.
    """
    indices = pa.array(rows)
    predicted, frames = predictions.table.take(indices), labels.frames.take(indices)
    agreement = texts = None
    if labels.references is not None and text_columns(predicted):
        agreement = score.text_agreement(
            predicted,
            labels.references.phrases,
            protocol.target.described_aus,
            protocol.metric.threshold,
            protocol.occurrence_at,
        )
        texts = _texts(predicted, frames, labels.references, indices, protocol)
    return FoldScores(
        labels=protocol.target.labels(frames),
        scores=scores(predicted, protocol.target.names),
        rates=training_rates(labels.statistics, fold),
        measures=predictions.measures.get(fold, {}),
        agreement=agreement,
        texts=texts,
        intensities=_intensities(predictions, frames, rows),
        graded=graded,
        by_frame=frame_metrics(predicted, protocol.target.names),
    )


def training_rates(statistics: pa.Table, fold: int) -> np.ndarray:
    """Return how often each AU or class occurs in the training frames of a fold.

    Args:
        statistics: the table of label counts of all folds.
        fold: the number of the fold.

    Returns:
        The number of positive frames divided by the number of coded frames, 0 to 1, float64 [A],
        for A AUs or classes.
    """
    of_fold = statistics.filter(pc.equal(statistics["fold"], fold))
    frames = np.maximum(of_fold["train_frames"].to_numpy(), 1)
    rates: np.ndarray = of_fold["train_positives"].to_numpy() / frames
    return rates


def _intensities(
    predictions: Predictions, frames: pa.Table, rows: np.ndarray
) -> Intensities | None:
    """Return the coded and the predicted AU intensities of a fold's test frames.

    Args:
        predictions: the predictions of all frames.
        frames: the labels of the fold's test frames.
        rows: the rows of the fold's test frames in the predictions.

    Returns:
        The intensities; None if the model predicts no intensities.
    """
    aus = list(predictions.intensities)
    if not aus:
        return None
    coded = [pc.fill_null(frames[intensity_column(au)], -1).to_numpy() for au in aus]
    predicted = [predictions.intensities[au][rows] for au in aus]
    return Intensities(aus, np.stack(coded, axis=1), np.stack(predicted, axis=1))


def _texts(
    predicted: pa.Table,
    frames: pa.Table,
    references: References,
    rows: pa.Array,
    protocol: Benchmark,
) -> TextFigures | None:
    """Score the generated descriptions of a fold's test frames against reference captions.

    Returns:
        The metrics of the texts; None if the references follow templates that do not ship with
        fauds, and therefore cannot be parsed.
    """
    if not references.can_be_read_back:
        return None
    names = protocol.target.described_aus
    described = is_described(predicted).combine_chunks()
    reference = frames.select(names).filter(described)
    captions = references.captions.take(rows).filter(described)
    for name in (*names, "face"):
        reference = reference.append_column(f"{name}_caption", captions[name])
    return text_figures(
        predicted.filter(described),
        reference,
        names,
        threshold=protocol.metric.threshold,
        occurrence_at=protocol.occurrence_at,
        language=references.language,
    )


def _unscored_texts(predictions: Predictions, labels: GroundTruth) -> list[str]:
    """Return a note for the results, in a list, if the generated texts could not be parsed.

    The list is empty if the texts could be parsed, or if there are no texts or no references.
    """
    references = labels.references
    if references is None or references.can_be_read_back or not text_columns(predictions.table):
        return []
    return [
        "what generated descriptions assert: they follow templates that do not ship with fauds, "
        "and are only compared word for word"
    ]
