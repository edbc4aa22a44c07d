"""Intervals of test figures over subjects, whose frames are not independent.

The estimand is what this protocol would give on new subjects of the same population: the same
folds with as many subjects, the trained models as they are. How often this method and two others
cover it is measured by benchmarks/studies/coverage.py; docs/metrics.md has the table.
"""

from typing import NamedTuple

import numpy as np
from scipy import special, stats

from fauds.metrics import resampling
from fauds.metrics.resampling import Additive, Estimand, Statistic

METHOD, LEVEL = "jackknife_t", 0.95
"""The method's name in results.json, and its nominal coverage."""

# Keeps the logit of a figure of 0 or 1 finite; such a figure has no spread, and so no interval.
_EDGE = 1e-9


class Interval(NamedTuple):
    """A figure and its interval, float64 [A + 1] each: the AUs, and last the mean over AUs.

    NaN where the figure is undefined; low and high also where subjects show no spread (an AU that
    is never found has F1 0 in every resample, which is no certainty).
    """

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


def intervals(
    counts: Additive,
    folds: np.ndarray,
    statistic: Statistic,
    *,
    estimand: Estimand,
    level: float = LEVEL,
) -> Interval:
    """Return a statistic with its jackknife interval, subjects left out within their fold.

    One subject is left out at a time; Student's t on the logit scale, with an average fold's
    degrees of freedom: its subjects less one.

    Args:
        counts: of every subject, [G, ...].
        folds: the fold that tests each subject, int [G].
        statistic: of `fauds.metrics.occurrence`: f1, accuracy and the others that take counts.
        estimand: "mean_of_folds" or "pooled".
        level: nominal coverage, above 0 and below 1.

    Returns:
        See `Interval`. In mean_of_folds, a fold with a single subject leaves low and high
        undefined; pooled, all subjects are then left out together.

    Raises:
        UsageError: an estimand that does not exist.
    """
    strata = resampling.strata_of(folds, estimand)

    def of(weights: np.ndarray) -> np.ndarray:
        return resampling.estimates(weights, counts, folds, statistic, estimand)

    value = of(np.ones((1, len(folds))))[0]
    left = of(resampling.leave_one_out(len(folds)))
    variance = np.zeros_like(value)
    for stratum in np.unique(strata):
        part = left[strata == stratum]
        changes = part.mean(axis=0) - part
        variance = variance + (len(part) - 1) / len(part) * (changes**2).sum(axis=0)
    inside = np.clip(value, _EDGE, 1 - _EDGE)
    errors = stats.t.ppf((1 + level) / 2, resampling.freedom(strata))
    reach = errors * np.sqrt(variance) / (inside * (1 - inside))
    centre = special.logit(inside)
    low, high = special.expit(centre - reach), special.expit(centre + reach)
    shown = (high > low) & ~resampling.has_single(strata)
    return Interval(value, np.where(shown, low, np.nan), np.where(shown, high, np.nan))
