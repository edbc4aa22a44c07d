"""Paired comparison of two models on the same frames: difference, confidence interval and test.

The interval and the test use the differences between the two models on the same subjects: a
subject that is hard for one model is mostly hard for the other model as well, and this variation
cancels.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import stats

from fauds.errors import DataError
from fauds.metrics import resampling
from fauds.metrics.occurrence import defined_mean
from fauds.metrics.resampling import Additive, Estimand, Statistic

# Sums of the same counts in another order may differ by rounding; they count as equal.
_TIE = 1e-12


class Comparison(NamedTuple):
    """The difference between two models a and b in a statistic, such as F1.

    Each field is float64 [A + 1]: a value for each of the A AUs or classes, and last the value over
    all of them, usually the mean.

    Attributes:
        difference: the statistic of model a minus that of model b, -1 to 1.
        low: the lower end of the confidence interval of the difference.
        high: the upper end of the confidence interval of the difference.
        p: the two-sided p-value of a permutation test of no difference.
    """

    difference: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p: np.ndarray


def compare(
    a: Additive,
    b: Additive,
    folds: np.ndarray,
    statistic: Statistic,
    *,
    estimand: Estimand,
    resamples: int = 1000,
    permutations: int = 10000,
    level: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Compare two models on the same frames of the same subjects.

    Interval: subjects are resampled within their fold, the same subjects for both models. The half
    width of the interval is the standard deviation of the difference over resamples, times the
    quantile of Student's t, with the average number of subjects per fold minus one as degrees of
    freedom.

    Permutation test: the counts of the two models are swapped for each subject with probability
    1/2, which changes nothing on average if the models do not differ. The p-value is
    (1 + n) / (1 + permutations), where n is the number of permutations whose absolute difference is
    at least as large as the difference without swapping.

    Args:
        a: the counts of model a for every subject, such as its true and false positives; arrays of
            shape [G, ...] for G subjects, float if averaged over seeds.
        b: the counts of model b, of the same shape and subjects.
        folds: the number of the fold that tests each subject, int [G].
        statistic: a metric of counts, such as `fauds.metrics.occurrence.f1`.
        estimand: "mean_of_folds" (the statistic of each fold, averaged over folds) or "pooled" (the
            statistic of the frames of all folds together).
        resamples: the number of resamples for the interval.
        permutations: the number of permutations for the test.
        level: the nominal coverage of the interval, above 0 and below 1.
        seed: the seed of the resamples and of the permutations.

    Returns:
        The comparison; NaN where the statistic is undefined for either model. With "mean_of_folds",
        `low` and `high` are NaN if a fold has a single subject.

    Raises:
        DataError: the two models were not scored on the same labels.
    """
    if not a.same_labels(b):
        raise DataError(
            "The two models were not scored on the same labels.",
            hint="score both models on the same frames of the same subjects",
        )
    both = resampling.joined(a, b)

    def difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Return the statistic for the weights `first` minus that for `second`, [R, A + 1].

        Weights, [R, 2 G], say how often each of R resamples contains each of G subjects with the
        counts of model a (the first G columns) and with those of model b (the last G columns).
        """
        twice = np.concatenate([folds, folds])
        of_first = resampling.estimates(first, both, twice, statistic, estimand)
        of_second = resampling.estimates(second, both, twice, statistic, estimand)
        result: np.ndarray = of_first - of_second
        return result

    everyone = np.ones((1, len(folds)))
    value = difference(*_weights_by_model(everyone))[0]
    half = _half_width(
        lambda weights: difference(*_weights_by_model(weights)),
        resampling.resampling_strata(folds, estimand),
        resamples,
        level,
        seed,
    )
    swap = np.random.default_rng(seed).integers(0, 2, (permutations, len(folds)))
    swapped = difference(np.hstack([1 - swap, swap]), np.hstack([swap, 1 - swap]))
    as_large = (np.abs(swapped) >= np.abs(value) - _TIE).sum(axis=0)
    p = np.where(np.isnan(value), np.nan, (1 + as_large) / (1 + permutations))
    return Comparison(value, value - half, value + half, p)


def _half_width(
    differences: Callable[[np.ndarray], np.ndarray],
    strata: np.ndarray,
    resamples: int,
    level: float,
    seed: int,
) -> np.ndarray:
    """Return half the width of the confidence intervals of differences, float64 [A + 1].

    The half width is a quantile of Student's t times the standard deviation of the differences over
    resamples of subjects. Resampling n of n subjects makes this standard deviation too small by the
    factor sqrt((n - 1) / n), which is corrected.

    Args:
        differences: a function that takes the number of times that each resample contains each
            subject, [R, G], and returns the differences, [R, A + 1].
        strata: the group of subjects (such as a fold) within which each subject is resampled, int
            [G].
        resamples: the number of resamples.
        level: the nominal coverage of the intervals, above 0 and below 1.
        seed: the seed of the resamples.

    Returns:
        The half widths; NaN if a stratum has a single subject.
    """
    if resampling.has_single_subject(strata):
        return np.full(differences(np.ones((1, len(strata)))).shape[1], np.nan)
    freedom = resampling.degrees_of_freedom(strata)
    resampled = differences(resampling.draw(strata, resamples, seed))
    variance = defined_mean((resampled - defined_mean(resampled, axis=0)) ** 2, axis=0)
    return stats.t.ppf((1 + level) / 2, freedom) * np.sqrt(variance * (freedom + 1) / freedom)


def _weights_by_model(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return weights that count subjects by model a only, and weights for model b only.

    Args:
        weights: the number of times that each of R resamples contains each of G subjects, [R, G].

    Returns:
        Two arrays, [R, 2 G]. The first G columns are the weights of the subjects' counts of model
        a, the last G those of model b; in each array, the weights of the other model are 0.
    """
    none = np.zeros_like(weights)
    return np.hstack([weights, none]), np.hstack([none, weights])
