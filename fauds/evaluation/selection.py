"""What choosing the epoch or the threshold otherwise would have claimed, beside the headline.

The headline is the last epoch at the protocol's threshold. Here each fold also chooses the epoch
by its validation subjects, and, as published practice often has it, epoch or threshold or both
on the test part itself.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from fauds.evaluation.results import MetricRow, Optimism
from fauds.evaluation.score import MetricRows
from fauds.metrics import occurrence
from fauds.metrics.occurrence import Counts, defined_mean
from fauds.metrics.resampling import with_overall
from fauds.targets.base import Figure, Target

THRESHOLDS = np.arange(1, 100) / 100


@dataclass(frozen=True)
class Watched:
    """What one fold predicted after every epoch.

    Attributes:
        target: what is predicted.
        labels: of the test part, [N, ...], -1 not coded; last: scores, float32 [N, A].
        epochs: by epoch, the scores of the test part; empty where it was not evaluated.
        validation_labels: [V, ...]; validation: by epoch, the scores of those frames.
    """

    target: Target
    labels: np.ndarray
    last: np.ndarray
    epochs: Mapping[int, np.ndarray]
    validation_labels: np.ndarray
    validation: Mapping[int, np.ndarray]


@dataclass(frozen=True)
class Selections:
    """Rows of every selection that can be made, what was chosen by fold, and its optimism."""

    rows: list[MetricRow] = field(default_factory=list)
    chosen: dict[int, dict[str, dict[str, float]]] = field(default_factory=dict)
    optimism: list[Optimism] = field(default_factory=list)


@dataclass(frozen=True)
class _Choice:
    scores: np.ndarray
    threshold: float
    told: dict[str, float]


def select(
    folds: Mapping[int, Watched], target: Target, threshold: float, headline: float | None
) -> Selections:
    """Score every selection for which all folds have what it needs.

    The best is the highest figure of the target's first statistic, over all names: of equals the
    earliest epoch, the lowest threshold.

    Args:
        threshold: the protocol's.
        headline: that figure as it stands for the run, 0 to 1.
    """
    found = Selections()
    if not folds:
        return found
    first = target.first
    for name, choose in _CHOOSERS.items():
        choices = {fold: choose(watched, threshold) for fold, watched in folds.items()}
        made = {fold: choice for fold, choice in choices.items() if choice is not None}
        if len(made) < len(folds):
            continue
        lines = _rows(MetricRows(target, name), made, folds)
        found.rows.extend(lines)
        for fold, choice in made.items():
            found.chosen.setdefault(fold, {})[name] = choice.told
        best = next(
            line.value
            for line in lines
            if (line.metric, line.scope, line.au) == (first, "mean_of_folds", None)
        )
        gap = None if best is None or headline is None else best - headline
        found.optimism.append(Optimism(selection=name, f1=best, headline=headline, difference=gap))
    return found


def _by_validation(watched: Watched, threshold: float) -> _Choice | None:
    there = watched.epochs.keys() & watched.validation.keys()
    scores = {
        epoch: _overall(
            watched.target, watched.validation_labels, watched.validation[epoch], threshold
        )
        for epoch in sorted(there)
    }
    return _of_epoch(watched, scores, threshold)


def _by_test_epoch(watched: Watched, threshold: float) -> _Choice | None:
    scores = {
        epoch: _overall(watched.target, watched.labels, watched.epochs[epoch], threshold)
        for epoch in sorted(watched.epochs)
    }
    return _of_epoch(watched, scores, threshold)


def _by_test_threshold(watched: Watched, _: float) -> _Choice | None:
    if not watched.epochs or watched.target.form != "multilabel":
        return None
    scores = _at_thresholds(watched.target, watched.labels, watched.last)
    if np.isnan(scores).all():
        return None
    best = float(THRESHOLDS[np.nanargmax(scores)])
    return _Choice(watched.last, best, {"threshold": best})


def _by_both(watched: Watched, _: float) -> _Choice | None:
    epochs = sorted(watched.epochs)
    if not epochs or watched.target.form != "multilabel":
        return None
    scores = np.stack(
        [_at_thresholds(watched.target, watched.labels, watched.epochs[e]) for e in epochs]
    )
    if np.isnan(scores).all():
        return None
    at, place = np.unravel_index(np.nanargmax(scores), scores.shape)
    best, epoch = float(THRESHOLDS[place]), epochs[at]
    return _Choice(watched.epochs[epoch], best, {"epoch": epoch, "threshold": best})


_CHOOSERS: dict[str, Callable[[Watched, float], _Choice | None]] = {
    "validation": _by_validation,
    "best_test_epoch": _by_test_epoch,
    "best_test_threshold": _by_test_threshold,
    "best_test_epoch_and_threshold": _by_both,
}


def _of_epoch(watched: Watched, scores: Mapping[int, float], threshold: float) -> _Choice | None:
    defined = {epoch: score for epoch, score in scores.items() if not np.isnan(score)}
    if not defined:
        return None
    best = max(defined, key=lambda epoch: (defined[epoch], -epoch))
    return _Choice(watched.epochs[best], threshold, {"epoch": best})


def _overall(target: Target, labels: np.ndarray, scores: np.ndarray, threshold: float) -> float:
    """Return the target's first statistic over all names."""
    counts = target.count(labels, target.decide(scores, threshold))
    return target.over_all(target.first, counts)


def _at_thresholds(target: Target, labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return the target's first statistic over all names at each of `THRESHOLDS`, [99]."""
    if target.statistics[target.first] is occurrence.f1:
        return threshold_scores(labels, scores)
    return np.array([_overall(target, labels, scores, at) for at in THRESHOLDS])


def threshold_scores(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return the mean F1 over AUs at each of `THRESHOLDS`, one for all AUs, float64 [99].

    Frames are put between the thresholds once: what is above one is a sum of what is above it.
    """
    aus, cells = labels.shape[1], len(THRESHOLDS) + 1
    # Compared in the probabilities' own precision, as a decision at that threshold is.
    place = np.searchsorted(THRESHOLDS.astype(probabilities.dtype), probabilities, side="right")
    flat = place + cells * np.arange(aus)
    active, inactive = (
        np.bincount(flat[labels == state], minlength=aus * cells).reshape(aus, cells).T
        for state in (1, 0)
    )
    below = active.cumsum(axis=0)[:-1], inactive.cumsum(axis=0)[:-1]
    counts = Counts(
        tp=active.sum(axis=0) - below[0],
        fp=inactive.sum(axis=0) - below[1],
        fn=below[0],
        tn=below[1],
    )
    return defined_mean(occurrence.f1(counts))


def _rows(
    rows: MetricRows, choices: Mapping[int, _Choice], folds: Mapping[int, Watched]
) -> list[MetricRow]:
    lines: list[MetricRow] = []
    target = rows.target
    for metric, statistic in target.statistics.items():
        values = []
        for fold, choice in choices.items():
            labels = folds[fold].labels
            counts = target.count(labels, target.decide(choice.scores, choice.threshold))
            values.append(with_overall(statistic, counts))
            figure = Figure(values[-1][:-1], float(values[-1][-1]))
            lines += rows.by_name(metric, "fold", figure, target.coded(labels), fold=fold)
        n = target.coded(np.concatenate([watched.labels for watched in folds.values()]))
        means = defined_mean(np.stack(values), axis=0)
        figure = Figure(means[:-1], float(means[-1]))
        lines += rows.by_name(metric, "mean_of_folds", figure, n)
    return lines
