"""Paired comparison of two models on the same frames: difference, confidence interval and test.

Each model is one or several training runs, which differ by the training seed. The interval and the
test use the differences between the two models on the same subjects: a subject that is hard for one
model is mostly hard for the other model as well, and this variation cancels.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from fauds.errors import DataError
from fauds.metrics import resampling
from fauds.metrics.intervals import LEVEL, Interval
from fauds.metrics.occurrence import defined_mean
from fauds.metrics.resampling import Additive, Estimand, Statistic, WithOverall

# Sums of the same counts in another order may differ by rounding; they count as equal.
_TIE = 1e-12

DETECTABLE = 1.4
"""The smallest detectable difference, as a multiple of half the width of its 95 % interval.

A true difference of this size is detected (the interval excludes 0) in about 80 % of test sets like
BP4D's: benchmarks/studies/coverage.py measured 70 % for 1.3 and 86 % for 1.5 half-widths.
"""

_SWAPS_AT_ONCE = 2**22
"""The largest number of elements, swaps times subjects, of an array of swaps."""


class Comparison(NamedTuple):
    """The difference between two models a and b in a statistic, such as F1.

    Each field is float64 [A + 1]: a value for each of the A AUs or classes, and last the value over
    all of them, usually the mean.

    Attributes:
        difference: the statistic of model a minus that of model b, -1 to 1; the statistic of a
            model is the mean over its training runs.
        low: the lower end of the confidence interval of the difference.
        high: the upper end of the confidence interval of the difference.
        p: the two-sided p-value of a permutation test of no difference.
        adjusted_p: the p-value of each AU or class, adjusted for the number of AUs or classes that
            are tested (max-T); the last value, over all of them, is `p`.
    """

    difference: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p: np.ndarray
    adjusted_p: np.ndarray


def difference_interval(
    a: Sequence[Additive],
    b: Sequence[Additive],
    folds: np.ndarray,
    statistic: Statistic,
    *,
    estimand: Estimand,
    level: float = LEVEL,
) -> Interval:
    """Return the difference between two models in a statistic, with its confidence interval.

    The variance of the difference is that of a jackknife over subjects (leaving out the same
    subject for both models) plus, for each model with S > 1 runs, the variance of training, from
    `_training_variance`. The half width is the root of the variance times the quantile of Student's
    t; the degrees of freedom of the sum are those of Satterthwaite (1946), with S - 1 for a model's
    runs and `fauds.metrics.resampling.degrees_of_freedom` for the subjects. For models with one
    run, the interval does not cover training again.

    Args:
        a: for each training run of model a, the counts of every subject, such as true and false
            positives; arrays of shape [G, ...] for G subjects.
        b: the same for model b.
        folds: the number of the fold that tests each subject, int [G].
        statistic: a metric of counts, such as `fauds.metrics.occurrence.f1`.
        estimand: "mean_of_folds" (the statistic of each fold, averaged over folds) or "pooled" (the
            statistic of the frames of all folds together).
        level: the nominal coverage of the interval, above 0 and below 1.

    Returns:
        The statistic of model a minus that of model b, each the mean over the model's runs, and its
        interval. The ends are NaN where the spread of the difference is unknown: no subject changes
        the difference, the statistic depends on a single subject, or, with "mean_of_folds", some
        but not all folds have a single subject.

    Raises:
        DataError: the runs were not scored on the same labels.
    """
    if not all(a[0].same_labels(other) for other in (*a[1:], *b)):
        raise DataError(
            "The two models were not scored on the same labels.",
            hint="score both models on the same frames of the same subjects",
        )

    def mean(runs: Sequence[Additive], weights: np.ndarray) -> np.ndarray:
        values = (resampling.estimates(weights, run, folds, statistic, estimand) for run in runs)
        of_runs: np.ndarray = np.mean([*values], axis=0)
        return of_runs

    def difference(weights: np.ndarray) -> np.ndarray:
        a_minus_b: np.ndarray = mean(a, weights) - mean(b, weights)
        return a_minus_b

    value, variance, freedom = resampling.jackknife(difference, [*a, *b], folds, estimand)
    parts = [(variance, freedom)]
    for runs in (a, b):
        if len(runs) > 1:
            training = _training_variance(runs, folds, statistic, estimand)
            parts.append((training, len(runs) - 1))
    unknown = (variance <= _TIE**2) | resampling.depends_on_one_subject(
        a[0], folds, statistic, estimand
    )
    half = np.where(unknown, np.nan, _half_width(parts, level))
    return Interval(value, value - half, value + half)


def _training_variance(
    runs: Sequence[Additive], folds: np.ndarray, statistic: Statistic, estimand: Estimand
) -> np.ndarray:
    """Return the variance of a model's mean over S > 1 runs that is due to training, [A + 1].

    It is (s^2 - v) / S, at least 0. s^2 is the variance of the statistic over the runs. A part of
    it, v, comes from runs that decide differently on single subjects, which averages out over
    subjects. The jackknife over subjects contains this part already, so that it is subtracted, as
    in standard errors that are clustered in two ways (Cameron, Gelbach and Miller, 2011). v is the
    sum, over runs, of the jackknife variance over subjects of the run's deviation from the mean of
    the runs, divided by S - 1.

    Arguments are those of `difference_interval`.
    """

    def deviations(weights: np.ndarray) -> np.ndarray:
        values = of_runs(weights)
        from_mean: np.ndarray = values - values.mean(axis=1, keepdims=True)
        return from_mean

    def of_runs(weights: np.ndarray) -> np.ndarray:
        values = (resampling.estimates(weights, run, folds, statistic, estimand) for run in runs)
        return np.stack([*values], axis=1)

    number = len(runs)
    spread = of_runs(np.ones((1, len(folds))))[0].var(axis=0, ddof=1)
    of_deviations = resampling.jackknife(deviations, runs, folds, estimand).variance
    by_chance = of_deviations.sum(axis=0) / (number - 1)
    training: np.ndarray = np.maximum(spread - by_chance, 0) / number
    return training


def compare(
    a: Sequence[Additive],
    b: Sequence[Additive],
    folds: np.ndarray,
    statistic: Statistic,
    *,
    estimand: Estimand,
    permutations: int = 10000,
    level: float = LEVEL,
    seed: int = 0,
) -> Comparison:
    """Compare two models on the same frames of the same subjects: interval and permutation test.

    Interval: see `difference_interval`.

    Permutation test: the counts of the two models are swapped for each subject with probability
    1/2, which changes nothing on average if the models do not differ. The p-value is the share of
    all 2^G swaps of G subjects whose absolute difference is at least as large as the one without
    swapping. If there are more swaps than `permutations`, as many are sampled, and the p-value is
    (1 + n) / (1 + permutations), where n of them are at least as large. Several runs of the models
    are paired in turn; differences are averaged over pairs.

    Adjusted p-value (max-T; Westfall and Young, 1993): the absolute difference of each AU is
    divided by its root mean square over swaps; the adjusted p-value is the share of swaps whose
    largest quotient over AUs is at least that of the AU without swapping.

    Args:
        a: for each training run of model a, the counts of every subject, such as true and false
            positives; arrays of shape [G, ...] for G subjects.
        b: the same for model b.
        folds: the number of the fold that tests each subject, int [G].
        statistic: a metric of counts, such as `fauds.metrics.occurrence.f1`.
        estimand: "mean_of_folds" (the statistic of each fold, averaged over folds) or "pooled" (the
            statistic of the frames of all folds together).
        permutations: the largest number of swaps for the test.
        level: the nominal coverage of the interval, above 0 and below 1.
        seed: the seed of sampled swaps.

    Returns:
        The comparison; NaN where the statistic is undefined, and for intervals as in
        `difference_interval`.

    Raises:
        DataError: the runs were not scored on the same labels.
    """
    value, low, high = difference_interval(a, b, folds, statistic, estimand=estimand, level=level)
    swapped = _swapped_differences(a, b, folds, statistic, estimand, permutations, seed)
    exact = swaps_used(len(folds), permutations) == 2 ** len(folds)
    p = _p_values(np.abs(swapped), np.abs(value), exact=exact)
    return Comparison(value, low, high, p, _adjusted(swapped, value, p, exact))


def swaps_used(subjects: int, permutations: int) -> int:
    """Return the number of swaps that the permutation test uses: all, or as many as are sampled.

    Args:
        subjects: the number of subjects, G, whose counts can be swapped in 2^G ways.
        permutations: the largest number of swaps for the test.
    """
    return int(min(2**subjects, permutations))


def compare_groups(
    counts: Additive,
    folds: np.ndarray,
    members: np.ndarray,
    statistic: Statistic,
    *,
    level: float = LEVEL,
) -> Interval:
    """Compare one model's results on two groups of subjects, such as women and men.

    The statistic is computed from all frames of each group. The subjects of the groups differ, so
    that the variances of both groups, from jackknives over subjects within folds, are added. Use a
    statistic that does not depend on how often an AU is active, such as
    `fauds.metrics.occurrence.skew_f1`: F1 is higher in the group that shows the AU more often.

    Args:
        counts: the counts of every subject; arrays of shape [G, ...] for G subjects.
        folds: the number of the fold that tests each subject, int [G].
        members: whether each subject is of the first group, bool [G]; the others are of the second.
        statistic: a metric of counts.
        level: the nominal coverage of the interval, above 0 and below 1.

    Returns:
        The statistic of the first group minus that of the second, and its interval. The last value
        is the difference of the means over the AUs or classes that are defined in both groups,
        unless the statistic is a `fauds.metrics.resampling.WithOverall`. The ends are NaN where the
        spread between the subjects of a group is unknown.
    """
    groups = [(resampling.selected(counts, which), folds[which]) for which in (members, ~members)]
    in_both = np.all([~np.isnan(_pooled(*group, statistic)[:-1]) for group in groups], axis=0)
    statistic = _over(statistic, in_both)
    values, parts = [], []
    unknown = np.zeros(len(in_both) + 1, bool)
    for of_group, of_folds in groups:

        def pooled(
            weights: np.ndarray, of_group: Additive = of_group, of_folds: np.ndarray = of_folds
        ) -> np.ndarray:
            return resampling.estimates(weights, of_group, of_folds, statistic, "pooled")

        value, variance, freedom = resampling.jackknife(pooled, [of_group], of_folds, "pooled")
        values.append(value)
        parts.append((variance, freedom))
        unknown |= variance <= _TIE**2
    difference = values[0] - values[1]
    half = np.where(unknown, np.nan, _half_width(parts, level))
    return Interval(difference, difference - half, difference + half)


def _pooled(counts: Additive, folds: np.ndarray, statistic: Statistic) -> np.ndarray:
    """Return a statistic of the frames of all subjects together, [A + 1]."""
    everyone = np.ones((1, len(folds)))
    values: np.ndarray = resampling.estimates(everyone, counts, folds, statistic, "pooled")[0]
    return values


def _over(statistic: Statistic, names: np.ndarray) -> Statistic:
    """Return a statistic whose value over all is the mean over some of the AUs or classes.

    A `WithOverall` is returned unchanged, since its value over all is not a mean.

    Args:
        statistic: a metric of counts.
        names: which of A AUs or classes the mean is over, bool [A].
    """
    if isinstance(statistic, WithOverall):
        return statistic
    return WithOverall(statistic, lambda counts: defined_mean(statistic(counts)[..., names]))


def _half_width(parts: Sequence[tuple[np.ndarray, float]], level: float) -> np.ndarray:
    """Return half the width of confidence intervals of Student's t, float64 [A + 1].

    Args:
        parts: the independent parts of the variance, each with the variances [A + 1] and their
            degrees of freedom.
        level: the nominal coverage of the intervals, above 0 and below 1.
    """
    total = np.sum([variance for variance, _ in parts], axis=0)
    squares = np.sum([variance**2 / freedom for variance, freedom in parts], axis=0)
    freedom = np.divide(total**2, squares, out=np.ones_like(total), where=squares > 0)
    half: np.ndarray = stats.t.ppf((1 + level) / 2, freedom) * np.sqrt(total)
    return half


def _swapped_differences(
    a: Sequence[Additive],
    b: Sequence[Additive],
    folds: np.ndarray,
    statistic: Statistic,
    estimand: Estimand,
    permutations: int,
    seed: int,
) -> np.ndarray:
    """Return the differences after swapping the two models' counts of some subjects, [R, A + 1].

    Arguments are those of `compare`. There is a row for each of the 2^G swaps of G subjects, the
    swap of no subject first, or for `permutations` sampled swaps if there are more.
    """
    twice = np.concatenate([folds, folds])
    pairs = [resampling.joined(run_a, run_b) for run_a, run_b in _pairs(a, b)]
    portions = []
    for swap in _swaps(permutations, len(folds), seed):
        mixed, rest = np.hstack([1 - swap, swap]), np.hstack([swap, 1 - swap])
        differences = []
        for both in pairs:
            of_mixed, of_rest = (
                resampling.estimates(weights, both, twice, statistic, estimand)
                for weights in (mixed, rest)
            )
            differences.append(of_mixed - of_rest)
        portions.append(np.mean(differences, axis=0))
    return np.concatenate(portions)


def _swaps(permutations: int, subjects: int, seed: int) -> Iterator[np.ndarray]:
    """Yield which subjects' counts are swapped between the two models, 1, and which are not, 0.

    Arguments are those of `compare`, and the number of subjects.

    Yields:
        An array for some of the swaps, int64 [n, subjects]. There are several arrays only if the
        subjects are so many (images of unknown subjects) that one array would fill the memory.
    """
    if swaps_used(subjects, permutations) == 2**subjects:
        yield (np.arange(2**subjects)[:, None] >> np.arange(subjects)) & 1
        return
    rng = np.random.default_rng(seed)
    most = max(1, _SWAPS_AT_ONCE // subjects)
    for done in range(0, permutations, most):
        yield rng.integers(0, 2, (min(most, permutations - done), subjects))


def _pairs(a: Sequence[Additive], b: Sequence[Additive]) -> Iterator[tuple[Additive, Additive]]:
    """Yield pairs of runs of two models, each run of a model equally often."""
    for number in range(math.lcm(len(a), len(b))):
        yield a[number % len(a)], b[number % len(b)]


def _p_values(swapped: np.ndarray, observed: np.ndarray, *, exact: bool) -> np.ndarray:
    """Return the share of swaps with at least the observed value, NaN where it is undefined.

    Args:
        swapped: the absolute values after each of R swaps, [R, ...].
        observed: the values without swapping, [...].
        exact: whether the swaps are all that exist, the swap of no subject included.
    """
    as_large = (swapped >= observed - _TIE).sum(axis=0)
    shares = as_large / len(swapped) if exact else (1 + as_large) / (1 + len(swapped))
    return np.where(np.isnan(observed), np.nan, shares)


def _adjusted(swapped: np.ndarray, value: np.ndarray, p: np.ndarray, exact: bool) -> np.ndarray:
    """Return the p-values of AUs, adjusted for their number by max-T, and last that over all.

    Args:
        swapped: the differences after each of R swaps, [R, A + 1].
        value: the differences without swapping, [A + 1].
        p: the p-values of the differences, [A + 1].
        exact: whether the swaps are all that exist.
    """
    single = swapped[:, :-1]
    scale = np.sqrt((single**2).mean(axis=0))
    scaled, observed = (
        np.divide(
            np.abs(array),
            scale,
            out=np.where(np.isnan(array), np.nan, 0.0),
            where=np.broadcast_to(scale > 0, array.shape),
        )
        for array in (single, value[:-1])
    )
    largest = np.where(np.isnan(scaled), -np.inf, scaled).max(axis=1, initial=-np.inf)
    adjusted = _p_values(largest[:, None], observed, exact=exact)
    return np.append(adjusted, p[-1])
