"""Predictions, labels and a protocol to results: one path for all models.

Training ends when predictions are written. From there, predictions of fauds' models and of any
other program come here as `Predictions`, beside the `GroundTruth` that they are scored against.
What only training knows (epochs, the model's own measures, generated texts) is optional input.
"""

import platform
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fauds.evaluation import score
from fauds.evaluation.results import MissingFrames, Protocol, Results
from fauds.evaluation.score import FoldScores, Intensities, run_figures
from fauds.evaluation.selection import Watched, select
from fauds.evaluation.texts import TextFigures, text_figures
from fauds.facs import intensity_column
from fauds.protocols.benchmark import Benchmark
from fauds.tables import store
from fauds.tables.frames import frame_set_fingerprint
from fauds.tables.predictions import is_described, scores, text_columns
from fauds.version import VERSION

_PACKAGES = ("torch", "timm", "numpy", "pyarrow", "spacy")


def versions() -> dict[str, str]:
    """Return the versions of fauds, Python and the packages that decide figures."""
    packages = {}
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):
            packages[package] = version(package)
    return {"fauds": VERSION, "python": platform.python_version(), **packages}


@dataclass(frozen=True)
class Epochs:
    """What a fold's model predicted after its epochs.

    Attributes:
        test: epoch to scores of the fold's test part, float32 [n, A].
        validation: epoch to scores of validation frames, float32 [V, A].
        validation_labels: of the target, [V, ...].
    """

    test: Mapping[int, np.ndarray]
    validation: Mapping[int, np.ndarray]
    validation_labels: np.ndarray


@dataclass(frozen=True)
class Made:
    """What made predictions, as results.json says it; see `fauds.evaluation.results.Results`."""

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
    """Predictions of S frames.

    Attributes:
        table: a column of scores for each name, and generated texts (``AU01_text``, ``face_text``)
            where there are any, null where a frame is not described.
        made: what made them.
        intensities: AU to predicted intensities, 0 to 5, float64 [S].
        measures: fold to the model's own measures there: metric to (value, count).
        epochs: fold to what was predicted after each epoch; empty where nothing was kept.
    """

    table: pa.Table
    made: Made
    intensities: Mapping[str, np.ndarray] = field(default_factory=dict)
    measures: Mapping[int, Mapping[str, tuple[float, int]]] = field(default_factory=dict)
    epochs: Mapping[int, Epochs] = field(default_factory=dict)


@dataclass(frozen=True)
class References:
    """The captions that generated texts are compared with.

    Attributes:
        captions: rows of captions.parquet of the S frames.
        phrases: phrases.parquet.
        language: of both.
        readable: whether they follow templates that fauds ships, which alone can be read back.
    """

    captions: pa.Table
    phrases: pa.Table
    language: str
    readable: bool


@dataclass(frozen=True)
class GroundTruth:
    """What predictions of S frames are scored against.

    Attributes:
        frames: the scored frames, row by row as they are predicted: subject, task, frame, sex and
            the target's columns, and coded intensities where any are predicted.
        fold: the fold that tests each, int [S].
        folds: the table of folds, and those that are scored; statistics: of these folds.
        synthetic: whether the dataset is.
        offered: how many coded frames the tested subjects have, scored or not.
        without_image: by subject, frames that are not scored because they have no face image.
        provenance: how labels, captions and faces were made.
        references: None where there are no captions.
        missing: of external predictions, the frames that they lack.
    """

    frames: pa.Table
    fold: np.ndarray
    folds: pa.Table
    tested: Sequence[int]
    statistics: pa.Table
    synthetic: bool
    offered: int
    without_image: Mapping[str, int]
    provenance: dict[str, Any]
    references: References | None = None
    missing: MissingFrames | None = None


def evaluate(predictions: Predictions, labels: GroundTruth, protocol: Benchmark) -> Results:
    """Score predictions by a protocol.

    Raises:
        DataError: reference captions do not read back to the labels.
    """
    made, target, threshold = predictions.made, protocol.target, protocol.metric.threshold
    rows_of = {fold: np.flatnonzero(labels.fold == fold) for fold in labels.tested}
    graded = not np.isin(scores(predictions.table, target.names), (0, 1)).all()
    folds = {
        fold: _fold_scores(predictions, labels, protocol, fold, rows, graded)
        for fold, rows in rows_of.items()
    }
    ids, sexes = (labels.frames[name].cast(pa.string()).to_pylist() for name in ("subject", "sex"))
    subjects = {fold: np.array(ids)[rows] for fold, rows in rows_of.items()}
    all_figures = run_figures(
        folds, subjects, dict(zip(ids, sexes, strict=True)), target, threshold, made.selection
    )
    evaluated = {
        fold: Watched(
            target,
            folds[fold].labels,
            folds[fold].scores,
            epochs.test,
            epochs.validation_labels,
            epochs.validation,
        )
        for fold, epochs in predictions.epochs.items()
    }
    chosen = select(evaluated, target, threshold, all_figures.summary.get(target.first))
    fixed = _protocol(made, labels, protocol)
    return Results(
        benchmark=protocol.name,
        benchmark_version=protocol.version,
        protocol=fixed,
        protocol_hash=store.fingerprint(fixed.model_dump(mode="json")),
        synthetic=labels.synthetic,
        model=made.model,
        preset=made.preset,
        settings=made.settings,
        seeds=made.seeds,
        pretraining=made.pretraining,
        versions=versions(),
        command=made.command,
        frames_fingerprint=frame_set_fingerprint(labels.frames, target.columns),
        frames_offered=labels.offered,
        frames_scored=len(labels.frames),
        frames_without_image=dict(labels.without_image),
        undefined=[*all_figures.undefined, *_unread(predictions, labels)],
        computed_on=made.computed_on,
        seconds=made.seconds,
        provenance=labels.provenance,
        metrics=[*all_figures.metrics, *chosen.rows],
        summary=all_figures.summary,
        uncertainty=all_figures.uncertainty,
        chosen=chosen.chosen,
        optimism=chosen.optimism,
        subject_counts=all_figures.subject_counts,
        missing=labels.missing,
        without=made.without,
    )


def _protocol(made: Made, labels: GroundTruth, protocol: Benchmark) -> Protocol:
    """Return what results.json says of the protocol."""
    parts, target = labels.folds, protocol.target
    tested = {
        fold: sorted(parts.filter(pc.equal(parts["fold"], fold))["subject"].to_pylist())
        for fold in labels.tested
    }
    declared = target.declared().get("target")
    return Protocol(
        folds=parts["protocol"][0].as_py(),
        test_subjects=tested,
        aus=list(target.names),
        occurrence=protocol.occurrence,
        threshold=protocol.metric.threshold,
        selection=made.selection,
        alignment=made.alignment,
        frame_set=made.frame_set,
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
    taken = pa.array(rows)
    predicted, frames = predictions.table.take(taken), labels.frames.take(taken)
    agreement = texts = None
    if labels.references is not None and text_columns(predicted):
        agreement = score.text_agreement(
            predicted,
            labels.references.phrases,
            protocol.target.described,
            protocol.metric.threshold,
            protocol.occurrence_at,
        )
        texts = _texts(predicted, frames, labels.references, taken, protocol)
    return FoldScores(
        labels=protocol.target.labels(frames),
        scores=scores(predicted, protocol.target.names),
        rates=training_rates(labels.statistics, fold),
        measures=predictions.measures.get(fold, {}),
        agreement=agreement,
        texts=texts,
        intensities=_intensities(predictions, frames, rows),
        graded=graded,
    )


def training_rates(statistics: pa.Table, fold: int) -> np.ndarray:
    """Return the share of a training part's coded frames of which each name is true, float [A]."""
    mine = statistics.filter(pc.equal(statistics["fold"], fold))
    frames = np.maximum(mine["train_frames"].to_numpy(), 1)
    rates: np.ndarray = mine["train_positives"].to_numpy() / frames
    return rates


def _intensities(
    predictions: Predictions, frames: pa.Table, rows: np.ndarray
) -> Intensities | None:
    measured = list(predictions.intensities)
    if not measured:
        return None
    coded = [pc.fill_null(frames[intensity_column(au)], -1).to_numpy() for au in measured]
    given = [predictions.intensities[au][rows] for au in measured]
    return Intensities(measured, np.stack(coded, axis=1), np.stack(given, axis=1))


def _texts(
    predicted: pa.Table,
    frames: pa.Table,
    references: References,
    rows: pa.Array,
    protocol: Benchmark,
) -> TextFigures | None:
    """Measure a fold's descriptions, where there are any and their templates can be read back."""
    if not references.readable:
        return None
    names = protocol.target.described
    written = is_described(predicted).combine_chunks()
    truth = frames.select(names).filter(written)
    captions = references.captions.take(rows).filter(written)
    for name in (*names, "face"):
        truth = truth.append_column(f"{name}_caption", captions[name])
    return text_figures(
        predicted.filter(written),
        truth,
        names,
        threshold=protocol.metric.threshold,
        occurrence_at=protocol.occurrence_at,
        language=references.language,
    )


def _unread(predictions: Predictions, labels: GroundTruth) -> list[str]:
    references = labels.references
    if references is None or references.readable or not text_columns(predictions.table):
        return []
    return [
        "what generated descriptions assert: they follow templates that fauds does not ship, and "
        "are compared word for word alone"
    ]
