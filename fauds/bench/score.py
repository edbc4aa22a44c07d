"""Predictions and labels to the rows of results.json."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fauds.bench.results import MetricRow, Summary
from fauds.bench.rows import au_rows, coded, row
from fauds.bench.texts import TextFigures
from fauds.facs import occurs
from fauds.metrics import calibration, intensity, occurrence, ranking
from fauds.metrics.occurrence import defined_mean

_NO_POSITIVE = "no positive frame in the test part"
_UNDEFINED = {
    "f1": _NO_POSITIVE,
    "recall": _NO_POSITIVE,
    "average_precision": _NO_POSITIVE,
    "auc": "no positive or no negative frame in the test part",
    "balanced_f1": "no positive or no negative frame in the test part",
    "skew_f1": "no positive or no negative frame in the test part",
    "precision": "no frame was called active",
    "accuracy": "no coded frame in the test part",
    "calibration_error": "no coded frame in the test part",
    "local_text_f1": "no described frame with the AU active",
    "global_text_f1": "no described frame with the AU active",
    "intensity_icc": "no spread in the coded or the predicted intensities",
    "intensity_pcc": "no spread in the coded or the predicted intensities",
    "intensity_mae": "no coded intensity in the test part",
}


@dataclass(frozen=True)
class Intensities:
    """Coded and predicted intensities of some AUs.

    Attributes:
        aus: which.
        labels: int8 [N, len(aus)], 0 to 5, -1 not coded; predicted: float [N, len(aus)].
    """

    aus: Sequence[str]
    labels: np.ndarray
    predicted: np.ndarray


@dataclass(frozen=True)
class FoldScores:
    """What one fold's test part gave.

    Attributes:
        labels: int8 [N, A], -1 not coded; probabilities: float32 [N, A].
        prevalence: float [A], share of active frames in the training part.
        words: metric name to (value, number of words), for the word metrics.
        texts: figures of the generated descriptions; None where there are none.
        intensities: None where none are predicted.
        graded: whether probabilities say more than decisions, which are 0 and 1 alone.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    prevalence: np.ndarray
    words: Mapping[str, tuple[float, int]] = field(default_factory=dict)
    texts: TextFigures | None = None
    intensities: Intensities | None = None
    graded: bool = True


def metric_rows(
    folds: Mapping[int, FoldScores], aus: Sequence[str], threshold: float, selection: str
) -> list[MetricRow]:
    """Return all figures: per fold and AU, means over AUs, means of folds, and pooled.

    A mean leaves undefined figures out; `undefined` names them.
    """
    rows: list[MetricRow] = []
    for fold, scores in folds.items():
        rows += _fold_rows(fold, scores, aus, threshold, selection)
    rows += _means_of_folds(rows, selection)
    return rows + _pooled(folds, aus, threshold, selection)


def _fold_rows(
    fold: int, scores: FoldScores, aus: Sequence[str], threshold: float, selection: str
) -> list[MetricRow]:
    rows: list[MetricRow] = []
    n = coded(scores.labels)
    metrics = _au_metrics(scores.labels, scores.probabilities, threshold, scores.graded)
    counts = occurrence.count(scores.labels, occurrence.decide(scores.probabilities, threshold))
    metrics["prevalence_f1"] = occurrence.prevalence_f1(counts, scores.prevalence, threshold)
    for name, values in metrics.items():
        rows += au_rows(name, "fold", values, aus, n, selection, fold=fold)
    variance = float(occurrence.variance_over_aus(metrics["f1"]))
    rows.append(row("f1_variance", "fold", variance, n[-1], selection, fold=fold))
    rows += _intensity_rows(scores.intensities, "fold", selection, fold)
    if scores.texts is not None:
        for name, (values, frames) in scores.texts.by_au.items():
            sizes = [*frames.tolist(), int(frames.max(initial=0))]
            rows += au_rows(name, "fold", values, aus, sizes, selection, fold=fold)
    overall = {**scores.words, **(scores.texts.overall if scores.texts else {})}
    for name, (value, number) in overall.items():
        rows.append(row(name, "fold", value, number, selection, fold=fold))
    return rows


def _au_metrics(
    labels: np.ndarray, probabilities: np.ndarray, threshold: float, graded: bool
) -> dict[str, np.ndarray]:
    counts = occurrence.count(labels, occurrence.decide(probabilities, threshold))
    metrics = {
        "f1": occurrence.f1(counts),
        "accuracy": occurrence.accuracy(counts),
        "precision": occurrence.precision(counts),
        "recall": occurrence.recall(counts),
        "balanced_f1": occurrence.balanced_f1(counts),
        "skew_f1": occurrence.skew_f1(counts),
        "always_active_f1": occurrence.always_active_f1(counts),
    }
    if graded:
        metrics["auc"] = ranking.auc(labels, probabilities)
        metrics["average_precision"] = ranking.average_precision(labels, probabilities)
        metrics["calibration_error"] = calibration.calibration_error(labels, probabilities)
    return metrics


def _intensity_rows(
    found: Intensities | None, scope: str, selection: str, fold: int | None = None
) -> list[MetricRow]:
    if found is None:
        return []
    n = coded(found.labels)
    metrics = {
        "intensity_icc": intensity.icc_3_1(found.labels, found.predicted),
        "intensity_pcc": intensity.pcc(found.labels, found.predicted),
        "intensity_mae": intensity.mae(found.labels, found.predicted),
    }
    return [
        line
        for name, values in metrics.items()
        for line in au_rows(name, scope, values, found.aus, n, selection, fold=fold)
    ]


def _means_of_folds(rows: Sequence[MetricRow], selection: str) -> list[MetricRow]:
    """Return the mean over folds of every figure, in the order of the folds' rows."""
    of: dict[tuple[str, str | None], list[MetricRow]] = {}
    for line in rows:
        of.setdefault((line.metric, line.au), []).append(line)
    means = [
        row(name, "mean_of_folds", _mean(lines), sum(line.n for line in lines), selection, au=au)
        for (name, au), lines in of.items()
        if name != "f1_variance"
    ]
    # Of the AUs' means, as published tables have them: a mean of variances would count noise too.
    of_aus = [np.nan if m.value is None else m.value for m in means if m.metric == "f1" and m.au]
    variance = float(occurrence.variance_over_aus(np.array(of_aus)))
    frames = sum(line.n for line in of["f1_variance", None])
    return [*means, row("f1_variance", "mean_of_folds", variance, frames, selection)]


def _mean(lines: Sequence[MetricRow]) -> float:
    values = [np.nan if line.value is None else line.value for line in lines]
    return float(defined_mean(np.array(values)))


def _pooled(
    folds: Mapping[int, FoldScores], aus: Sequence[str], threshold: float, selection: str
) -> list[MetricRow]:
    labels = np.concatenate([scores.labels for scores in folds.values()])
    probabilities = np.concatenate([scores.probabilities for scores in folds.values()])
    graded = all(scores.graded for scores in folds.values())
    n = coded(labels)
    metrics = _au_metrics(labels, probabilities, threshold, graded)
    rows: list[MetricRow] = []
    for name, values in metrics.items():
        rows += au_rows(name, "pooled", values, aus, n, selection)
    variance = float(occurrence.variance_over_aus(metrics["f1"]))
    rows.append(row("f1_variance", "pooled", variance, n[-1], selection))
    return rows + _intensity_rows(_joined(folds), "pooled", selection)


def _joined(folds: Mapping[int, FoldScores]) -> Intensities | None:
    found = [scores.intensities for scores in folds.values() if scores.intensities is not None]
    if not found:
        return None
    return Intensities(
        found[0].aus,
        np.concatenate([part.labels for part in found]),
        np.concatenate([part.predicted for part in found]),
    )


def text_agreement(
    predictions: pa.Table,
    phrases: pa.Table,
    aus: Sequence[str],
    threshold: float,
    occurrence_at: int | None = None,
) -> tuple[float, int] | None:
    """Compare written local descriptions with the states that the heads predict beside them.

    Args:
        predictions: a fold's, with the written descriptions.
        phrases: all that could be written.
        aus: the benchmark's.
        threshold: probability from which an AU is predicted.
        occurrence_at: the benchmark's, which tells what a degree says of occurrence.

    Returns:
        The share that is, word for word, a description of the predicted state (in any degree
        and paraphrase), and how many were written; None where there are none.
    """
    texts_of: dict[tuple[str, bool], list[str]] = {}
    for au, state, text in zip(
        *(phrases[c].to_pylist() for c in ("au", "state", "text")), strict=True
    ):
        texts_of.setdefault((au, occurs(state, occurrence_at)), []).append(text)
    right = written = 0
    for au in aus:
        if f"{au}_text" not in predictions.schema.names:
            return None
        there = pc.is_valid(predictions[f"{au}_text"])
        texts = predictions[f"{au}_text"].filter(there)
        active = pc.greater_equal(predictions[au].filter(there), threshold)
        for state, wanted in ((True, active), (False, pc.invert(active))):
            said = pc.is_in(texts, pa.array(texts_of.get((au, state), []), pa.string()))
            right += pc.sum(pc.and_(said, wanted)).as_py() or 0
        written += len(texts)
    return (right / written, written) if written else None


def summary(rows: Sequence[MetricRow]) -> Summary:
    """Return the headline figures: means over AUs, then over folds."""
    means = {
        line.metric: line.value for line in rows if line.scope == "mean_of_folds" and not line.au
    }
    return Summary(**{name: means.get(name) for name in Summary.model_fields})


def undefined(rows: Sequence[MetricRow]) -> list[str]:
    """Name the AU figures of folds that are undefined: ``f1, recall of AU24 in fold 2: why``."""
    found: dict[tuple[int | None, str, str], list[str]] = {}
    for line in rows:
        if line.value is None and line.scope == "fold" and line.au and line.metric in _UNDEFINED:
            why = _UNDEFINED[line.metric]
            found.setdefault((line.fold, line.au, why), []).append(line.metric)
    return [
        f"{', '.join(names)} of {au} in fold {fold}: {why}"
        for (fold, au, why), names in found.items()
    ]


def frame_set_fingerprint(frames: pa.Table, aus: Sequence[str]) -> str:
    """Return the SHA-256 of the sorted lines ``subject/task/frame labels`` of the scored frames.

    Labels are one character an AU in the protocol's order: 0, 1, or - for not coded. Two results
    with the same fingerprint were scored on the same frames with the same labels.
    """
    keys = [frames[name].cast(pa.string()) for name in ("subject", "task", "frame")]
    codes = [pc.fill_null(frames[au].cast(pa.string()), "-") for au in aus]
    lines = pc.binary_join_element_wise(
        pc.binary_join_element_wise(*keys, "/"), pc.binary_join_element_wise(*codes, ""), " "
    )
    ordered = lines.take(pc.sort_indices(lines))
    text = pc.binary_join(pa.array([ordered.to_pylist()], pa.list_(pa.string())), "\n")[0].as_py()
    return hashlib.sha256(text.encode()).hexdigest()
