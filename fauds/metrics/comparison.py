"""Paired comparison of two models on the same frames: difference, interval and test.

The interval and the test are paired by subject: a subject that is hard for one model is mostly hard
for the other as well, and this shared variation cancels in the difference.
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
    """The difference of model a minus model b; each field is float64 [A + 1].

    The first A values are those of the AUs, the last is that of the mean over AUs.

    Attributes:
        difference: the difference of the statistic, -1 to 1.
        low: the lower end of the interval of the difference.
        high: the upper end of the interval of the difference.
        p: the two-sided p-value of the permutation test.
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

    The half width of the interval is the standard deviation over resamples of subjects within their
    fold, the same subjects for both models, times the quantile of Student's t; its degrees of
    freedom are the average number of subjects per fold minus one. The permutation test swaps the
    two models' counts of a subject with probability 1/2, which changes nothing on average if the
    models do not differ. p = (1 + swaps with a difference at least as large) / (1 + permutations).

    Args:
        a: the counts of model a for every subject, [G, ...]; float if averaged over seeds.
        b: the counts of model b, of the same shape and subjects.
        folds: the fold in whose test part each subject is, int [G].
        statistic: a metric of counts, such as `fauds.metrics.occurrence.f1`.
        estimand: "mean_of_folds" or "pooled".
        resamples: the number of resamples for the interval.
        permutations: the number of random swaps for the test.
        level: the nominal coverage of the interval, above 0 and below 1.
        seed: the seed of the resamples and of the swaps.

    Returns:
        The comparison; NaN where the statistic is undefined for either model. With mean_of_folds, a
        fold with a single subject makes low and high NaN.

    Raises:
        DataError: the two models were not scored on the same labels.
    """
    if not a.same_labels(b):
        raise DataError(
            "The two models were not scored on the same labels.",
            hint="score both on the same frames of the same subjects",
        )
    both = resampling.joined(a, b)

    def difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Return the difference between two sets of weights, [R, 2 G]: model a's subjects first."""
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
    """Return Student's t times the standard deviation over resamples, [A + 1].

    Resampling n of n subjects makes the standard deviation too small by sqrt((n - 1) / n), which is
    corrected.
    """
    if resampling.has_single_subject(strata):
        return np.full(differences(np.ones((1, len(strata)))).shape[1], np.nan)
    freedom = resampling.degrees_of_freedom(strata)
    resampled = differences(resampling.draw(strata, resamples, seed))
    variance = defined_mean((resampled - defined_mean(resampled, axis=0)) ** 2, axis=0)
    return stats.t.ppf((1 + level) / 2, freedom) * np.sqrt(variance * (freedom + 1) / freedom)


def _weights_by_model(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights of subjects with model a's counts only, and with model b's only."""
    none = np.zeros_like(weights)
    return np.hstack([weights, none]), np.hstack([none, weights])
