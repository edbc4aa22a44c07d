"""Confidence intervals of test results over subjects, whose frames are not independent.

The interval estimates the result of the same protocol on new subjects of the same population: the
same folds with as many subjects, and the same trained models. benchmarks/studies/coverage.py
measures how often this method and two others cover it; docs/metrics.md has the results.
"""

from typing import NamedTuple

import numpy as np
from scipy import special, stats

from fauds.metrics import resampling
from fauds.metrics.resampling import Additive, Estimand, Statistic

METHOD, LEVEL = "jackknife_t", 0.95
"""The method's name in results.json, and its nominal coverage."""

# Keeps the logit of a value of 0 or 1 finite; such a value has no spread, and so no interval.
_EDGE = 1e-9


class Interval(NamedTuple):
    """A statistic and its confidence interval; each field is float64 [A + 1].

    The first A values are those of the AUs, the last is that of the mean over AUs.

    Attributes:
        value: the statistic; NaN where undefined.
        low: the lower end of the interval; NaN where `value` is, and where subjects show no spread.
            (An AU that is never detected has F1 0 for every subject, which does not make it
            certain.)
        high: the upper end of the interval, NaN like `low`.
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
    """Return a statistic with its jackknife interval over the subjects of each fold.

    The jackknife leaves out one subject at a time. The interval is Student's t on the logit scale;
    its degrees of freedom are the average number of subjects per fold minus one.

    Args:
        counts: the counts of every subject, [G, ...].
        folds: the fold in whose test part each subject is, int [G].
        statistic: a metric of counts, such as `fauds.metrics.occurrence.f1`.
        estimand: "mean_of_folds" or "pooled".
        level: the nominal coverage, above 0 and below 1.

    Returns:
        The statistic and its interval. If a fold has a single subject, low and high are NaN with
        mean_of_folds; with pooled, all folds are then treated as one.

    Raises:
        UsageError: the estimand is unknown.
    """
    strata = resampling.resampling_strata(folds, estimand)

    def values(weights: np.ndarray) -> np.ndarray:
        return resampling.estimates(weights, counts, folds, statistic, estimand)

    value = values(np.ones((1, len(folds))))[0]
    left_out = values(resampling.leave_one_out(len(folds)))
    variance = np.zeros_like(value)
    for stratum in np.unique(strata):
        part = left_out[strata == stratum]
        changes = part.mean(axis=0) - part
        variance = variance + (len(part) - 1) / len(part) * (changes**2).sum(axis=0)
    clipped = np.clip(value, _EDGE, 1 - _EDGE)
    quantile = stats.t.ppf((1 + level) / 2, resampling.degrees_of_freedom(strata))
    half_width = quantile * np.sqrt(variance) / (clipped * (1 - clipped))
    centre = special.logit(clipped)
    low, high = special.expit(centre - half_width), special.expit(centre + half_width)
    has_interval = (high > low) & ~resampling.has_single_subject(strata)
    return Interval(
        value, np.where(has_interval, low, np.nan), np.where(has_interval, high, np.nan)
    )
