"""Confidence intervals of test results, computed from how results vary between subjects.

Frames of one subject are not independent, so the subjects are the sample. An interval estimates
what the same trained models would reach on new subjects of the same population, with the same folds
and as many subjects in each. benchmarks/studies/coverage.py measures how often the intervals of
this method, and those of two other methods, contain that value; docs/metrics.md has the results.
"""

from typing import NamedTuple

import numpy as np
from scipy import special, stats

from fauds.metrics import resampling
from fauds.metrics.resampling import Additive, Estimand, Statistic

METHOD, LEVEL = "jackknife_t", 0.95
"""The name of the interval method in results.json, and the intervals' nominal coverage."""

# Keeps the logit of a value of 0 or 1 finite; such a value has no spread, and so no interval.
_EDGE = 1e-9


class Interval(NamedTuple):
    """A statistic, or the difference of two, with its confidence interval; each float64 [A + 1].

    There is a value for each of A AUs or classes, and last the value over all of them, usually the
    mean.

    Attributes:
        value: the statistic, such as F1, or a difference; NaN where undefined.
        low: the lower end of the interval; NaN where `value` is NaN, and where the spread between
            subjects is unknown: the statistic does not vary between them (an AU that is never
            detected has F1 0 for every subject, but that does not make the value 0 certain), or it
            depends on a single subject.
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
    lowest: float = 0.0,
) -> Interval:
    """Return a statistic with its confidence interval, from a jackknife over subjects.

    The jackknife estimates the standard error from the values without one subject at a time. The
    interval is Student's t on the logit scale of the statistic's range, with the degrees of freedom
    of `fauds.metrics.resampling.degrees_of_freedom`. If every fold has a single subject
    (leave-one-subject-out), all subjects are one stratum of the jackknife.

    Args:
        counts: the counts of every subject, such as true and false positives; arrays of shape
            [G, ...] for G subjects.
        folds: the number of the fold that tests each subject, int [G].
        statistic: a metric of counts, such as `fauds.metrics.occurrence.f1`.
        estimand: "mean_of_folds" (the statistic of each fold, averaged over folds) or "pooled" (the
            statistic of the frames of all folds together).
        level: the nominal coverage of the interval, above 0 and below 1.
        lowest: the lowest value that the statistic can have: 0, or -1 for a cosine. The highest
            is 1.

    Returns:
        The statistic and its interval. `low` and `high` are NaN with the estimand "mean_of_folds"
        if some, but not all, folds have a single subject.

    Raises:
        UsageError: the estimand is unknown.
    """

    def values(weights: np.ndarray) -> np.ndarray:
        return resampling.estimates(weights, counts, folds, statistic, estimand)

    value, variance, freedom = resampling.jackknife(values, [counts], folds, estimand)
    extent = 1 - lowest
    share = np.clip((value - lowest) / extent, _EDGE, 1 - _EDGE)
    quantile = stats.t.ppf((1 + level) / 2, freedom)
    half_width = quantile * np.sqrt(variance) / (extent * share * (1 - share))
    centre = special.logit(share)
    low, high = (
        lowest + extent * special.expit(end) for end in (centre - half_width, centre + half_width)
    )
    has_interval = (high > low) & ~resampling.depends_on_one_subject(
        counts, folds, statistic, estimand
    )
    return Interval(
        value, np.where(has_interval, low, np.nan), np.where(has_interval, high, np.nan)
    )
