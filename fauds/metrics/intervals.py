"""Intervals of test figures by resampling subjects, whose frames are not independent.

The estimand is what this protocol would give on new subjects of the same population: the same
folds with as many subjects, the trained models as they are. Which method covers it how often is
measured by benchmarks/studies/coverage.py; docs/metrics.md has the table.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import special, stats

from fauds.errors import UsageError
from fauds.metrics import resampling
from fauds.metrics.resampling import Additive, Estimand, Statistic

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
    method: str = "jackknife_t",
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Return a statistic with its interval, subjects resampled within their fold.

    Args:
        counts: of every subject, [G, ...].
        folds: the fold that tests each subject, int [G].
        statistic: of `fauds.metrics.occurrence`: f1, accuracy and the others that take counts.
        estimand: "mean_of_folds" or "pooled".
        method: one of `METHODS`.
        resamples: how many are drawn, where the method draws any.
        level: nominal coverage, above 0 and below 1.

    Returns:
        See `Interval`. In mean_of_folds, a fold with a single subject leaves low and high
        undefined; pooled, all subjects are then resampled together.

    Raises:
        UsageError: a method or an estimand that there is not.
    """
    if method not in METHODS:
        raise UsageError(f"There is no method {method!r}: it is one of {tuple(METHODS)}.")
    strata = resampling.strata_of(folds, estimand)

    def of(weights: np.ndarray) -> np.ndarray:
        return resampling.estimates(weights, counts, folds, statistic, estimand)

    value = of(np.ones((1, len(folds))))[0]
    sample = Sample(value, of, strata, resamples, level, seed)
    low, high = METHODS[method](sample)
    shown = (high > low) & ~resampling.has_single(strata)
    return Interval(value, np.where(shown, low, np.nan), np.where(shown, high, np.nan))


class Sample(NamedTuple):
    """What a method makes an interval of.

    Attributes:
        value: the figures [A + 1].
        of: weights [R, G] to the figures of these resamples [R, A + 1].
        strata: what subjects are resampled within, int [G].
    """

    value: np.ndarray
    of: Callable[[np.ndarray], np.ndarray]
    strata: np.ndarray
    resamples: int
    level: float
    seed: int


Ends = tuple[np.ndarray, np.ndarray]


def percentile(sample: Sample) -> Ends:
    """The middle `level` of the resamples' figures."""
    tail = (1 - sample.level) / 2
    return _quantiles(_drawn(sample), np.full_like(sample.value, tail), 1 - tail)


def bca(sample: Sample) -> Ends:
    """Percentiles corrected for bias and skewness (Efron, 1987), subjects stratified by fold."""
    drawn = _drawn(sample)
    below = (drawn < sample.value).mean(axis=0) + (drawn == sample.value).mean(axis=0) / 2
    shift = stats.norm.ppf(np.clip(below, 1 / sample.resamples, 1 - 1 / sample.resamples))
    skewness = _acceleration(sample)
    tails = []
    for tail in ((1 - sample.level) / 2, (1 + sample.level) / 2):
        moved = shift + stats.norm.ppf(tail)
        tails.append(stats.norm.cdf(shift + moved / (1 - skewness * moved)))
    return _quantiles(drawn, *tails)


def jackknife_t(sample: Sample) -> Ends:
    """Leave out one subject at a time; Student's t on the logit scale.

    The degrees of freedom are an average fold's: its subjects less one.
    """
    parts = _deviations(sample)
    variance = sum((len(part) - 1) / len(part) * (part**2).sum(axis=0) for part in parts)
    inside = np.clip(sample.value, _EDGE, 1 - _EDGE)
    errors = stats.t.ppf((1 + sample.level) / 2, resampling.freedom(sample.strata))
    reach = errors * np.sqrt(variance) / (inside * (1 - inside))
    centre = special.logit(inside)
    return special.expit(centre - reach), special.expit(centre + reach)


METHODS: dict[str, Callable[[Sample], Ends]] = {
    "jackknife_t": jackknife_t,
    "percentile": percentile,
    "bca": bca,
}


def _drawn(sample: Sample) -> np.ndarray:
    return sample.of(resampling.draw(sample.strata, sample.resamples, sample.seed))


def _quantiles(drawn: np.ndarray, low: np.ndarray, high: np.ndarray | float) -> Ends:
    """Return two quantiles [A + 1] of every column, undefined resamples left out."""
    ordered = np.sort(drawn, axis=0)
    last = (~np.isnan(drawn)).sum(axis=0) - 1
    ends = []
    for share in (low, high):
        place = np.clip(np.nan_to_num(share) * last, 0, np.maximum(last, 0))
        floor = np.floor(place).astype(np.int64)
        lower = np.take_along_axis(ordered, floor[None], axis=0)[0]
        upper = np.take_along_axis(ordered, np.ceil(place).astype(np.int64)[None], axis=0)[0]
        ends.append(lower + (place - floor) * (upper - lower))
    return ends[0], ends[1]


def _deviations(sample: Sample) -> list[np.ndarray]:
    """Return, by stratum of n subjects, what leaving out each one changes, [n, A + 1]."""
    left = sample.of(resampling.leave_one_out(len(sample.strata)))
    parts = [left[sample.strata == stratum] for stratum in np.unique(sample.strata)]
    return [part.mean(axis=0) - part for part in parts]


def _acceleration(sample: Sample) -> np.ndarray:
    cubes = squares = np.zeros_like(sample.value)
    for deviations in _deviations(sample):
        influence = (len(deviations) - 1) * deviations / len(deviations)
        cubes = cubes + (influence**3).sum(axis=0)
        squares = squares + (influence**2).sum(axis=0)
    return np.divide(cubes, 6 * squares**1.5, out=np.zeros_like(cubes), where=squares > 0)
