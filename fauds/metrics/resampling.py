"""Statistics of many resamples of subjects at once, from the subjects' confusion counts.

A resample gives every subject a weight (how often it was drawn), and its counts are one matrix
product: weights [R, G] times counts [G, 4 A]. No frame is touched again.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np

from fauds.errors import UsageError
from fauds.metrics.occurrence import Counts, defined_mean

Statistic = Callable[[Counts], np.ndarray]
"""A metric of counts of any leading shape: Counts [..., A] to float64 [..., A]."""

Estimand = Literal["mean_of_folds", "pooled"]
"""The mean of the folds' figures, or one figure over the frames of all folds."""

ESTIMANDS = ("mean_of_folds", "pooled")


def estimates(
    weights: np.ndarray, counts: Counts, folds: np.ndarray, statistic: Statistic, estimand: Estimand
) -> np.ndarray:
    """Return a statistic of every resample, per AU and last its mean over AUs.

    A fold in which an AU is undefined (no active frame) is left out of that AU's mean over folds,
    and the AU out of that fold's mean over AUs.

    Args:
        weights: how often a resample has each subject, [R, G].
        counts: of every subject, [G, A].
        folds: the fold that tests each subject, int [G].

    Returns:
        float64 [R, A + 1], NaN where undefined.

    Raises:
        UsageError: an estimand that there is not.
    """
    if estimand not in ESTIMANDS:
        raise UsageError(f"There is no estimand {estimand!r}: it is one of {ESTIMANDS}.")
    if estimand == "pooled":
        return _with_mean(statistic(_weighed(weights, counts)))
    of_folds = []
    for fold in np.unique(folds):
        here = folds == fold
        of_folds.append(_with_mean(statistic(_weighed(weights[:, here], counts, here))))
    return defined_mean(np.stack(of_folds), axis=0)


def draw(strata: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Draw subjects with replacement, as many of every stratum as it has.

    Args:
        strata: the stratum of every subject, int [G].

    Returns:
        float64 [resamples, G]: how often each subject was drawn.
    """
    rng = np.random.default_rng(seed)
    weights = np.empty((resamples, len(strata)))
    for stratum in np.unique(strata):
        here = strata == stratum
        size = int(here.sum())
        weights[:, here] = rng.multinomial(size, np.full(size, 1 / size), resamples)
    return weights


def leave_one_out(subjects: int) -> np.ndarray:
    """Return the weights of the G samples that lack one subject each, float64 [G, G]."""
    return 1.0 - np.eye(subjects)


def strata_of(folds: np.ndarray, estimand: Estimand) -> np.ndarray:
    """Return what subjects are resampled within, int [G]: their fold.

    A fold with a single subject shows no spread between subjects. In a pooled statistic, all
    subjects are then resampled together.
    """
    if estimand == "pooled" and has_single(folds):
        return np.zeros_like(folds)
    return folds


def has_single(strata: np.ndarray) -> bool:
    """Tell whether some stratum has a single subject."""
    return bool((np.unique(strata, return_counts=True)[1] == 1).any())


def freedom(strata: np.ndarray) -> float:
    """Return the degrees of freedom of the spread between subjects: an average stratum's n - 1.

    All strata together have more; so few make up for how skewed few subjects' figures are.
    """
    return len(strata) / len(np.unique(strata)) - 1


def _weighed(
    weights: np.ndarray, counts: Counts, which: np.ndarray | slice = slice(None)
) -> Counts:
    parts = [part[which] for part in counts.parts]
    product = weights @ np.concatenate(parts, axis=1).astype(np.float64)
    return Counts(*np.split(product, 4, axis=1))


def _with_mean(values: np.ndarray) -> np.ndarray:
    return np.concatenate([values, defined_mean(values)[..., None]], axis=-1)
