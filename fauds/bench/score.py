"""Predictions and labels to the rows of results.json."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fauds.bench.results import MetricRow, Summary
from fauds.facs import occurs
from fauds.metrics import occurrence


@dataclass(frozen=True)
class FoldScores:
    """What one fold's test part gave.

    Attributes:
        labels: int8 [N, A], -1 not coded; probabilities: float32 [N, A].
        prevalence: float [A], share of active frames in the training part.
        words: metric name to (value, number of words), for the word metrics.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    prevalence: np.ndarray
    words: Mapping[str, tuple[float, int]]


def metric_rows(
    folds: Mapping[int, FoldScores], aus: Sequence[str], threshold: float, selection: str
) -> list[MetricRow]:
    """Return all figures: per fold and AU, means over AUs, means of folds, and pooled.

    A mean leaves undefined figures out; `undefined` names them.
    """
    rows: list[MetricRow] = []
    per_fold = {fold: _au_metrics(scores, threshold) for fold, scores in folds.items()}
    for fold, metrics in per_fold.items():
        n = _coded(folds[fold].labels)
        for name, values in metrics.items():
            rows += _au_rows(name, "fold", fold, values, aus, n, _selected(name, selection))
        for name, (value, words) in folds[fold].words.items():
            rows.append(_row(name, "fold", None, fold, value, words, _selected(name, selection)))
    total = _coded(np.concatenate([scores.labels for scores in folds.values()]))
    for name in next(iter(per_fold.values())):
        stacked = np.stack([metrics[name] for metrics in per_fold.values()])
        chosen = _selected(name, selection)
        means = [_mean(stacked[:, i]) for i in range(len(aus))]
        rows += [
            _row(name, "mean_of_folds", au, None, value, n, chosen)
            for au, value, n in zip(aus, means, total, strict=False)
        ]
        headline = _mean(np.array([_mean(values) for values in stacked]))
        rows.append(_row(name, "mean_of_folds", None, None, headline, total[-1], chosen))
    rows += _word_means(folds, selection)
    return rows + _pooled(folds, aus, threshold, selection)


def _au_metrics(scores: FoldScores, threshold: float) -> dict[str, np.ndarray]:
    decisions = occurrence.decide(scores.probabilities, threshold)
    counts = occurrence.count(scores.labels, decisions)
    return {
        "f1": occurrence.f1(counts),
        "accuracy": occurrence.accuracy(counts),
        "always_active_f1": occurrence.always_active_f1(counts),
        "prevalence_f1": occurrence.prevalence_f1(counts, scores.prevalence, threshold),
    }


def _pooled(
    folds: Mapping[int, FoldScores], aus: Sequence[str], threshold: float, selection: str
) -> list[MetricRow]:
    labels = np.concatenate([scores.labels for scores in folds.values()])
    decisions = np.concatenate(
        [occurrence.decide(scores.probabilities, threshold) for scores in folds.values()]
    )
    counts = occurrence.count(labels, decisions)
    named = {"f1": occurrence.f1(counts), "accuracy": occurrence.accuracy(counts)}
    rows: list[MetricRow] = []
    for name, values in named.items():
        rows += _au_rows(name, "pooled", None, values, aus, _coded(labels), selection)
    return rows


def _word_means(folds: Mapping[int, FoldScores], selection: str) -> list[MetricRow]:
    names = list(dict.fromkeys(name for scores in folds.values() for name in scores.words))
    rows = []
    for name in names:
        found = [scores.words[name] for scores in folds.values() if name in scores.words]
        value = _mean(np.array([value for value, _ in found]))
        words = sum(words for _, words in found)
        chosen = _selected(name, selection)
        rows.append(_row(name, "mean_of_folds", None, None, value, words, chosen))
    return rows


def _au_rows(
    name: str,
    scope: str,
    fold: int | None,
    values: np.ndarray,
    aus: Sequence[str],
    coded: Sequence[int],
    sel: str,
) -> list[MetricRow]:
    figures = [*values.tolist(), _mean(values)]
    return [
        _row(name, scope, au, fold, value, n, sel)
        for au, value, n in zip((*aus, None), figures, coded, strict=True)
    ]


def _coded(labels: np.ndarray) -> list[int]:
    """Return the coded frames of every AU, and last those with any AU coded."""
    coded = labels >= 0
    return [*coded.sum(axis=0).tolist(), int(coded.any(axis=1).sum())]


def _row(
    name: str, scope: str, au: str | None, fold: int | None, value: float, n: int, selection: str
) -> MetricRow:
    return MetricRow(
        metric=name,
        scope=scope,
        au=au,
        fold=fold,
        selection=selection,
        value=None if np.isnan(value) else float(value),
        n=int(n),
    )


def _selected(name: str, selection: str) -> str:
    untrained = name in ("always_active_f1", "prevalence_f1") or name.endswith("_no_image")
    return "none" if untrained else selection


def _mean(values: np.ndarray) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")


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
    means = {row.metric: row.value for row in rows if row.scope == "mean_of_folds" and not row.au}
    return Summary(**{name: means.get(name) for name in Summary.model_fields})


def undefined(rows: Sequence[MetricRow]) -> list[str]:
    """Name the AU figures that are undefined, as ``f1 of AU24 in fold 2``."""
    return [
        f"{row.metric} of {row.au} in fold {row.fold}: no positive frame in the test part"
        for row in rows
        if row.value is None and row.scope == "fold" and row.metric == "f1" and row.au
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
