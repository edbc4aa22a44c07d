"""Two models on the same frames: their difference, its interval, and a test of it.

Both are paired by subject: a subject that is hard for one model is mostly hard for the other, and
what they share drops out of the difference.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import stats

from fauds.errors import DataError
from fauds.metrics import resampling
from fauds.metrics.occurrence import defined_mean
from fauds.metrics.resampling import Additive, Estimand, Statistic

# Two sums of the same counts in another order differ by rounding only; as figures they are a tie.
_TIE = 1e-12


class Comparison(NamedTuple):
    """Model a less model b, float64 [A + 1] each: the AUs, and last the mean over AUs.

    Attributes:
        difference: of the statistic, -1 to 1.
        low, high: interval of the difference.
        p: two-sided, of the permutation test.
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

    The interval is Student's t, with an average fold's subjects less one as degrees of freedom,
    times the standard deviation over resamples of subjects within their fold, the same subjects
    for both models. The test swaps the two models' counts of a subject with probability 1/2: if
    the models do not differ, no swap matters. p = (1 + swaps with a difference at least as large)
    / (1 + permutations).

    Args:
        a, b: counts of every subject, [G, ...]; float where averaged over seeds.
        folds: the fold that tests each subject, int [G].
        statistic: of `fauds.metrics.occurrence`.
        estimand: "mean_of_folds" or "pooled".

    Returns:
        See `Comparison`; NaN where the statistic is undefined for either model. In mean_of_folds,
        a fold with a single subject leaves low and high undefined.

    Raises:
        DataError: the two were not scored on the same labels.
    """
    if not a.same_labels(b):
        raise DataError(
            "The two models were not scored on the same labels.",
            hint="score both on the same frames of the same subjects",
        )
    both = resampling.joined(a, b)

    def difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Of two mixtures of subjects, [R, 2 G] each: a's subjects first, then b's."""
        twice = np.concatenate([folds, folds])
        of_first = resampling.estimates(first, both, twice, statistic, estimand)
        of_second = resampling.estimates(second, both, twice, statistic, estimand)
        apart: np.ndarray = of_first - of_second
        return apart

    everyone = np.ones((1, len(folds)))
    found = difference(*_apart(everyone))[0]
    half = _half_width(
        lambda weights: difference(*_apart(weights)),
        resampling.strata_of(folds, estimand),
        resamples,
        level,
        seed,
    )
    swap = np.random.default_rng(seed).integers(0, 2, (permutations, len(folds)))
    swapped = difference(np.hstack([1 - swap, swap]), np.hstack([swap, 1 - swap]))
    as_large = (np.abs(swapped) >= np.abs(found) - _TIE).sum(axis=0)
    p = np.where(np.isnan(found), np.nan, (1 + as_large) / (1 + permutations))
    return Comparison(found, found - half, found + half, p)


def _half_width(
    of: Callable[[np.ndarray], np.ndarray],
    strata: np.ndarray,
    resamples: int,
    level: float,
    seed: int,
) -> np.ndarray:
    """Return Student's t times the resamples' standard deviation, [A + 1].

    Drawing n subjects of n makes the deviation too small by sqrt((n - 1) / n).
    """
    if resampling.has_single(strata):
        return np.full(of(np.ones((1, len(strata)))).shape[1], np.nan)
    freedom = resampling.freedom(strata)
    drawn = of(resampling.draw(strata, resamples, seed))
    variance = defined_mean((drawn - defined_mean(drawn, axis=0)) ** 2, axis=0)
    return stats.t.ppf((1 + level) / 2, freedom) * np.sqrt(variance * (freedom + 1) / freedom)


def _apart(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the same subjects twice: as model a decided them, and as b did."""
    none = np.zeros_like(weights)
    return np.hstack([weights, none]), np.hstack([none, weights])
