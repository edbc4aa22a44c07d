"""What choosing the epoch or the threshold otherwise would have claimed, beside the headline.

The headline is the last epoch at the protocol's threshold. Here each fold also chooses the epoch
by its validation subjects, and, as published practice often has it, epoch or threshold or both
on the test part itself.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from fauds.bench.results import MetricRow, Optimism
from fauds.bench.rows import STATISTICS, au_rows, coded, row
from fauds.metrics import occurrence
from fauds.metrics.occurrence import Counts, defined_mean

THRESHOLDS = np.arange(1, 100) / 100


@dataclass(frozen=True)
class Watched:
    """What one fold predicted after every epoch.

    Attributes:
        labels: of the test part, int8 [N, A], -1 not coded; last: probabilities, float32 [N, A].
        epochs: by epoch, the probabilities of the test part; empty where it was not watched.
        validation_labels: int8 [V, A]; validation: by epoch, the probabilities of those frames.
    """

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
    probabilities: np.ndarray
    threshold: float
    told: dict[str, float]


def select(
    folds: Mapping[int, Watched], aus: Sequence[str], threshold: float, headline: float | None
) -> Selections:
    """Score every selection for which all folds have what it needs.

    The best is the highest mean F1 over AUs: of equals the earliest epoch, the lowest threshold.

    Args:
        threshold: the protocol's.
        headline: the mean F1 that stands for the run, 0 to 1.
    """
    found = Selections()
    for name, choose in _CHOOSERS.items():
        choices = {fold: choose(watched, threshold) for fold, watched in folds.items()}
        made = {fold: choice for fold, choice in choices.items() if choice is not None}
        if len(made) < len(folds):
            continue
        rows = _rows(name, made, folds, aus)
        found.rows.extend(rows)
        for fold, choice in made.items():
            found.chosen.setdefault(fold, {})[name] = choice.told
        f1 = next(
            line.value
            for line in rows
            if (line.metric, line.scope, line.au) == ("f1", "mean_of_folds", None)
        )
        gap = None if f1 is None or headline is None else f1 - headline
        found.optimism.append(Optimism(selection=name, f1=f1, headline=headline, difference=gap))
    return found


def _by_validation(watched: Watched, threshold: float) -> _Choice | None:
    there = watched.epochs.keys() & watched.validation.keys()
    scores = {
        epoch: _mean_f1(watched.validation_labels, watched.validation[epoch], threshold)
        for epoch in sorted(there)
    }
    return _of_epoch(watched, scores, threshold)


def _by_test_epoch(watched: Watched, threshold: float) -> _Choice | None:
    scores = {
        epoch: _mean_f1(watched.labels, watched.epochs[epoch], threshold)
        for epoch in sorted(watched.epochs)
    }
    return _of_epoch(watched, scores, threshold)


def _by_test_threshold(watched: Watched, _: float) -> _Choice | None:
    if not watched.epochs:
        return None
    scores = threshold_scores(watched.labels, watched.last)
    if np.isnan(scores).all():
        return None
    best = float(THRESHOLDS[np.nanargmax(scores)])
    return _Choice(watched.last, best, {"threshold": best})


def _by_both(watched: Watched, _: float) -> _Choice | None:
    epochs = sorted(watched.epochs)
    if not epochs:
        return None
    scores = np.stack([threshold_scores(watched.labels, watched.epochs[e]) for e in epochs])
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


def _mean_f1(labels: np.ndarray, probabilities: np.ndarray, threshold: float) -> float:
    counts = occurrence.count(labels, occurrence.decide(probabilities, threshold))
    return float(defined_mean(occurrence.f1(counts)))


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
    name: str,
    choices: Mapping[int, _Choice],
    folds: Mapping[int, Watched],
    aus: Sequence[str],
) -> list[MetricRow]:
    rows: list[MetricRow] = []
    for metric, statistic in STATISTICS.items():
        values = []
        for fold, choice in choices.items():
            labels = folds[fold].labels
            decisions = occurrence.decide(choice.probabilities, choice.threshold)
            values.append(statistic(occurrence.count(labels, decisions)))
            rows += au_rows(metric, "fold", values[-1], aus, coded(labels), name, fold=fold)
        n = coded(np.concatenate([watched.labels for watched in folds.values()]))
        of_folds = np.stack(values)
        mean = float(defined_mean(defined_mean(of_folds)))
        means = defined_mean(of_folds, axis=0)
        rows += au_rows(metric, "mean_of_folds", means, aus, n, name)[:-1]
        rows.append(row(metric, "mean_of_folds", mean, n[-1], name))
    return rows
