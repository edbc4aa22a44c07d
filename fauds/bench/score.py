"""Scores and labels of folds to the rows of results.json."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fauds.bench.results import MetricRow
from fauds.bench.rows import MetricRows
from fauds.bench.texts import TextFigures
from fauds.facs import occurs
from fauds.metrics import intensity, occurrence
from fauds.metrics.occurrence import defined_mean
from fauds.targets.base import Figure, Target

_UNDEFINED = {
    "local_text_f1": "no described frame with the AU active",
    "global_text_f1": "no described frame with the AU active",
    "intensity_icc": "no spread in the coded or the predicted intensities",
    "intensity_pcc": "no spread in the coded or the predicted intensities",
    "intensity_mae": "no coded intensity in the test part",
}
"""Why figures of descriptions and intensities can be undefined; the target knows its own."""


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
        labels: of the target, [N, ...], -1 where not coded; scores: float32 [N, A].
        rates: share of the training part's coded frames of which each name is true, float [A].
        measures: metric name to (value, count), of the model's own measures.
        agreement: see `text_agreement`; None where nothing was written.
        texts: figures of the generated descriptions; None where there are none.
        intensities: None where none are predicted.
        graded: whether scores say more than decisions, which are 0 and 1 alone.
    """

    labels: np.ndarray
    scores: np.ndarray
    rates: np.ndarray
    measures: Mapping[str, tuple[float, int]] = field(default_factory=dict)
    agreement: tuple[float, int] | None = None
    texts: TextFigures | None = None
    intensities: Intensities | None = None
    graded: bool = True


def metric_rows(
    folds: Mapping[int, FoldScores], threshold: float, rows: MetricRows
) -> list[MetricRow]:
    """Return all figures: per fold and name, over names, means of folds, and pooled.

    A mean leaves undefined figures out; `undefined` names them.
    """
    lines: list[MetricRow] = []
    for fold, scores in folds.items():
        lines += _fold_rows(fold, scores, threshold, rows)
    lines += _means_of_folds(lines, rows)
    return lines + _pooled(folds, threshold, rows)


def _fold_rows(
    fold: int, scores: FoldScores, threshold: float, rows: MetricRows
) -> list[MetricRow]:
    lines: list[MetricRow] = []
    n = rows.target.coded(scores.labels)
    metrics = rows.target.metrics(
        scores.labels, scores.scores, threshold, graded=scores.graded, rates=scores.rates
    )
    for name, figure in metrics.items():
        lines += rows.by_name(name, "fold", figure, n, fold=fold)
    lines += _variance(metrics, "fold", n[-1], rows, fold)
    lines += _intensity_rows(scores.intensities, "fold", rows, fold)
    if scores.texts is not None:
        for name, (values, frames) in scores.texts.by_au.items():
            sizes = [*frames.tolist(), int(frames.max(initial=0))]
            lines += rows.by_name(name, "fold", Figure(values), sizes, fold=fold)
    overall = dict(scores.measures)
    if scores.agreement is not None:
        overall["local_text_agreement"] = scores.agreement
    overall |= scores.texts.overall if scores.texts else {}
    for name, (value, number) in overall.items():
        lines.append(rows.one(name, "fold", value, number, fold=fold))
    return lines


def _variance(
    metrics: Mapping[str, Figure], scope: str, n: int, rows: MetricRows, fold: int | None = None
) -> list[MetricRow]:
    """Return how unevenly F1 serves the names, where there is an F1 by name."""
    figure = metrics.get("f1")
    if figure is None or figure.by_name is None:
        return []
    variance = float(occurrence.variance_over_aus(figure.by_name))
    return [rows.one("f1_variance", scope, variance, n, fold=fold)]


def _intensity_rows(
    found: Intensities | None, scope: str, rows: MetricRows, fold: int | None = None
) -> list[MetricRow]:
    if found is None:
        return []
    known = found.labels >= 0
    n = [*known.sum(axis=0).tolist(), int(known.any(axis=1).sum())]
    metrics = {
        "intensity_icc": intensity.icc_3_1(found.labels, found.predicted),
        "intensity_pcc": intensity.pcc(found.labels, found.predicted),
        "intensity_mae": intensity.mae(found.labels, found.predicted),
    }
    return [
        line
        for name, values in metrics.items()
        for line in rows.by_name(name, scope, Figure(values), n, names=found.aus, fold=fold)
    ]


def _means_of_folds(lines: Sequence[MetricRow], rows: MetricRows) -> list[MetricRow]:
    """Return the mean over folds of every figure, in the order of the folds' rows."""
    of: dict[tuple[str, str | None], list[MetricRow]] = {}
    for line in lines:
        of.setdefault((line.metric, line.au), []).append(line)
    means = [
        rows.one(name, "mean_of_folds", _mean(some), sum(line.n for line in some), au=au)
        for (name, au), some in of.items()
        if name != "f1_variance"
    ]
    if ("f1_variance", None) not in of:
        return means
    # Of the names' means, as published tables have them: a mean of variances counts noise too.
    by_name = [np.nan if m.value is None else m.value for m in means if m.metric == "f1" and m.au]
    frames = sum(line.n for line in of["f1_variance", None])
    figures = {"f1": Figure(np.array(by_name))}
    return means + _variance(figures, "mean_of_folds", frames, rows)


def _mean(lines: Sequence[MetricRow]) -> float:
    values = [np.nan if line.value is None else line.value for line in lines]
    return float(defined_mean(np.array(values)))


def _pooled(folds: Mapping[int, FoldScores], threshold: float, rows: MetricRows) -> list[MetricRow]:
    labels = np.concatenate([scores.labels for scores in folds.values()])
    scores = np.concatenate([fold.scores for fold in folds.values()])
    graded = all(fold.graded for fold in folds.values())
    n = rows.target.coded(labels)
    metrics = rows.target.metrics(labels, scores, threshold, graded=graded)
    lines: list[MetricRow] = []
    for name, figure in metrics.items():
        lines += rows.by_name(name, "pooled", figure, n)
    lines += _variance(metrics, "pooled", n[-1], rows)
    return lines + _intensity_rows(_joined(folds), "pooled", rows)


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


def summary(
    lines: Sequence[MetricRow], target: Target, measures: Sequence[str] = ()
) -> dict[str, float | None]:
    """Return the headline figures: over names, then means over folds.

    Args:
        measures: names of the model's own, which stand beside the target's.
    """
    means = {
        line.metric: line.value for line in lines if line.scope == "mean_of_folds" and not line.au
    }
    return {name: means.get(name) for name in (*target.headline, *measures)}


def undefined(lines: Sequence[MetricRow], target: Target) -> list[str]:
    """Name the figures of folds that are undefined: ``f1, recall of AU24 in fold 2: why``."""
    reasons = {**target.undefined, **_UNDEFINED}
    found: dict[tuple[int | None, str, str], list[str]] = {}
    for line in lines:
        if line.value is None and line.scope == "fold" and line.au and line.metric in reasons:
            why = reasons[line.metric]
            found.setdefault((line.fold, line.au, why), []).append(line.metric)
    return [
        f"{', '.join(names)} of {au} in fold {fold}: {why}"
        for (fold, au, why), names in found.items()
    ]


def frame_set_fingerprint(frames: pa.Table, columns: Sequence[str]) -> str:
    """Return the SHA-256 of the sorted lines ``subject/task/frame labels`` of the scored frames.

    Labels are one character a column of labels, in the protocol's order: 0, 1, or - for not coded.
    Two results with the same fingerprint were scored on the same frames with the same labels.
    """
    keys = [frames[name].cast(pa.string()) for name in ("subject", "task", "frame")]
    codes = [pc.fill_null(frames[name].cast(pa.string()), "-") for name in columns]
    lines = pc.binary_join_element_wise(
        pc.binary_join_element_wise(*keys, "/"), pc.binary_join_element_wise(*codes, ""), " "
    )
    ordered = lines.take(pc.sort_indices(lines))
    text = pc.binary_join(pa.array([ordered.to_pylist()], pa.list_(pa.string())), "\n")[0].as_py()
    return hashlib.sha256(text.encode()).hexdigest()
