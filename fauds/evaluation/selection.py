"""Computes the results that other choices of the epoch or the threshold would give.

The main result (for AUs, the mean F1 over AUs, averaged over folds) is that of the last epoch at
the protocol's threshold. For comparison, each fold also chooses the epoch by its validation
subjects (training subjects that are held out), and, as is common in published work, the epoch, the
threshold or both by its own test frames. The difference from the main result shows how optimistic
such a choice is.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from fauds.evaluation.results import MetricRow, Optimism
from fauds.evaluation.score import MetricRows
from fauds.metrics import occurrence
from fauds.metrics.occurrence import Counts, defined_mean
from fauds.metrics.resampling import with_overall
from fauds.targets.base import MetricValues, Target

THRESHOLDS = np.arange(1, 100) / 100


@dataclass(frozen=True)
class EpochScores:
    """The scores that one fold's model predicted after each epoch of its training.

    Attributes:
        target: the target that is predicted.
        labels: the labels of the fold's N test frames, [N, A] for A AUs or [N] for classes, -1
            where not coded.
        last: the predicted scores of the test frames after the last epoch, for A AUs or classes,
            float32 [N, A].
        epochs: by epoch, the predicted scores of the test frames, float32 [N, A]; empty if the
            model was not tested after each epoch.
        validation_labels: the labels of the fold's V validation frames, [V, A] for AUs or [V] for
            classes, -1 where not coded.
        validation: by epoch, the predicted scores of the validation frames, float32 [V, A].
    """

    target: Target
    labels: np.ndarray
    last: np.ndarray
    epochs: Mapping[int, np.ndarray]
    validation_labels: np.ndarray
    validation: Mapping[int, np.ndarray]


@dataclass(frozen=True)
class Selections:
    """The results of other ways of choosing the epoch or the threshold (selections).

    Attributes:
        rows: the rows of all metrics with these selections, for results.json.
        chosen: by fold and by selection (such as "best_test_epoch"), the chosen "epoch" and
            "threshold".
        optimism: for each selection, the main result and how much higher it is than with the
            protocol's own selection.
    """

    rows: list[MetricRow] = field(default_factory=list)
    chosen: dict[int, dict[str, dict[str, float]]] = field(default_factory=dict)
    optimism: list[Optimism] = field(default_factory=list)


@dataclass(frozen=True)
class _Choice:
    """The epoch or threshold that a fold chose.

    Attributes:
        scores: the predicted scores of the test frames after the chosen epoch, float32 [N, A].
        threshold: the chosen threshold; that of the protocol if only the epoch is chosen.
        chosen: the choice as results.json describes it: a dict with "epoch", "threshold" or both.
    """

    scores: np.ndarray
    threshold: float
    chosen: dict[str, float]


def select(
    folds: Mapping[int, EpochScores], target: Target, threshold: float, headline: float | None
) -> Selections:
    """Compute the results of each way of choosing the epoch or the threshold (selection).

    The selections are "validation" (the epoch, by the validation frames), "best_test_epoch" (the
    epoch, by the test frames), "best_test_threshold" (the threshold, by the test frames) and
    "best_test_epoch_and_threshold" (both, by the test frames). A selection is left out unless all
    folds have the scores that it needs. A fold chooses the epoch or threshold with the highest
    value of the target's main metric (for AUs, the mean F1 over AUs). Of equal values, the earliest
    epoch and the lowest threshold are chosen.

    Args:
        folds: by fold, the scores after each epoch.
        target: the target that is predicted.
        threshold: the protocol's threshold.
        headline: the main result: the mean over folds of the main metric for the last epoch at the
            protocol's threshold, 0 to 1; None if undefined.
    """
    selections = Selections()
    if not folds:
        return selections
    first = target.main_metric
    for name, choose in _CHOOSERS.items():
        choices = {fold: choose(scores, threshold) for fold, scores in folds.items()}
        possible = {fold: choice for fold, choice in choices.items() if choice is not None}
        if len(possible) < len(folds):
            continue
        lines = _rows(MetricRows(target, name), possible, folds)
        selections.rows.extend(lines)
        for fold, choice in possible.items():
            selections.chosen.setdefault(fold, {})[name] = choice.chosen
        best = next(
            line.value
            for line in lines
            if (line.metric, line.scope, line.au) == (first, "mean_of_folds", None)
        )
        difference = None if best is None or headline is None else best - headline
        selections.optimism.append(
            Optimism(selection=name, f1=best, headline=headline, difference=difference)
        )
    return selections


def _by_validation(fold_scores: EpochScores, threshold: float) -> _Choice | None:
    evaluated = fold_scores.epochs.keys() & fold_scores.validation.keys()
    scores = {
        epoch: _overall(
            fold_scores.target,
            fold_scores.validation_labels,
            fold_scores.validation[epoch],
            threshold,
        )
        for epoch in sorted(evaluated)
    }
    return _of_epoch(fold_scores, scores, threshold)


def _by_test_epoch(fold_scores: EpochScores, threshold: float) -> _Choice | None:
    scores = {
        epoch: _overall(
            fold_scores.target, fold_scores.labels, fold_scores.epochs[epoch], threshold
        )
        for epoch in sorted(fold_scores.epochs)
    }
    return _of_epoch(fold_scores, scores, threshold)


def _by_test_threshold(fold_scores: EpochScores, _: float) -> _Choice | None:
    if not fold_scores.epochs or not fold_scores.target.has_threshold:
        return None
    scores = _at_thresholds(fold_scores.target, fold_scores.labels, fold_scores.last)
    if np.isnan(scores).all():
        return None
    best = float(THRESHOLDS[np.nanargmax(scores)])
    return _Choice(fold_scores.last, best, {"threshold": best})


def _by_both(fold_scores: EpochScores, _: float) -> _Choice | None:
    epochs = sorted(fold_scores.epochs)
    if not epochs or not fold_scores.target.has_threshold:
        return None
    scores = np.stack(
        [
            _at_thresholds(fold_scores.target, fold_scores.labels, fold_scores.epochs[e])
            for e in epochs
        ]
    )
    if np.isnan(scores).all():
        return None
    row, column = np.unravel_index(np.nanargmax(scores), scores.shape)
    best, epoch = float(THRESHOLDS[column]), epochs[row]
    return _Choice(fold_scores.epochs[epoch], best, {"epoch": epoch, "threshold": best})


_CHOOSERS: dict[str, Callable[[EpochScores, float], _Choice | None]] = {
    "validation": _by_validation,
    "best_test_epoch": _by_test_epoch,
    "best_test_threshold": _by_test_threshold,
    "best_test_epoch_and_threshold": _by_both,
}


def _of_epoch(
    fold_scores: EpochScores, scores: Mapping[int, float], threshold: float
) -> _Choice | None:
    defined = {epoch: score for epoch, score in scores.items() if not np.isnan(score)}
    if not defined:
        return None
    best = max(defined, key=lambda epoch: (defined[epoch], -epoch))
    return _Choice(fold_scores.epochs[best], threshold, {"epoch": best})


def _overall(target: Target, labels: np.ndarray, scores: np.ndarray, threshold: float) -> float:
    """Return the target's main metric over all AUs or classes, with decisions at a threshold."""
    counts = target.count(labels, target.decide(scores, threshold))
    return target.over_all(target.main_metric, counts)


def _at_thresholds(target: Target, labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return the target's main metric (for AUs, the mean F1) at each threshold, float64 [99].

    The thresholds are 0.01, 0.02, ... 0.99.
    """
    if target.statistics[target.main_metric] is occurrence.f1:
        return threshold_scores(labels, scores)
    return np.array([_overall(target, labels, scores, at) for at in THRESHOLDS])


def threshold_scores(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return the mean F1 over AUs at each of the thresholds 0.01, 0.02, ... 0.99.

    All AUs have the same threshold. To save time, every probability is assigned to the interval
    between two thresholds once; the counts at a threshold are cumulative sums over the intervals.

    Args:
        labels: the labels of N frames and A AUs, int8 [N, A]: 1 active, 0 inactive, -1 not coded.
        probabilities: the predicted probabilities, float [N, A], 0 to 1.

    Returns:
        The mean F1 at each threshold, float64 [99].
    """
    aus, cells = labels.shape[1], len(THRESHOLDS) + 1
    # The thresholds need the precision of the probabilities: a decision compares them in it too.
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
    rows: MetricRows, choices: Mapping[int, _Choice], folds: Mapping[int, EpochScores]
) -> list[MetricRow]:
    lines: list[MetricRow] = []
    target = rows.target
    for metric, statistic in target.statistics.items():
        values = []
        for fold, choice in choices.items():
            labels = folds[fold].labels
            counts = target.count(labels, target.decide(choice.scores, choice.threshold))
            values.append(with_overall(statistic, counts))
            figure = MetricValues(values[-1][:-1], float(values[-1][-1]))
            lines += rows.by_name(metric, "fold", figure, target.coded(labels), fold=fold)
        n = target.coded(np.concatenate([fold_scores.labels for fold_scores in folds.values()]))
        means = defined_mean(np.stack(values), axis=0)
        figure = MetricValues(means[:-1], float(means[-1]))
        lines += rows.by_name(metric, "mean_of_folds", figure, n)
    return lines
