"""Statistics of many resamples of subjects at once, from counts that add up over subjects.

A resample gives every subject a weight (how often it was drawn), and its counts are one matrix
product: weights [R, G] times counts [G, K]. No frame is touched again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

import numpy as np

from fauds.errors import UsageError
from fauds.metrics.occurrence import defined_mean


class Additive(Protocol):
    """Counts that add up over subjects, made from their parts: ``type(counts)(*parts)``."""

    @property
    def parts(self) -> tuple[np.ndarray, ...]:
        """The arrays, each with the same leading axes."""

    def same_labels(self, other: Any) -> bool:
        """Return whether both count frames of the same labels."""


Statistic = Callable[[Any], np.ndarray]
"""A metric of counts of any leading shape: counts [...] to float64 [..., A], a value a name."""

C = TypeVar("C", bound=Additive)


@dataclass(frozen=True)
class WithOverall:
    """A statistic whose figure over all names is not the mean of its figures by name.

    Attributes:
        by_name: counts [...] to float64 [..., A].
        overall: counts [...] to float64 [...].
    """

    by_name: Statistic
    overall: Statistic

    def __call__(self, counts: Any) -> np.ndarray:
        """Return the figures by name."""
        return self.by_name(counts)


def with_overall(statistic: Statistic, counts: Any) -> np.ndarray:
    """Return a statistic's figures by name and last the one over all names, [..., A + 1].

    That is their mean, undefined ones left out, unless the statistic says otherwise.
    """
    values = statistic(counts)
    whole = (
        statistic.overall(counts) if isinstance(statistic, WithOverall) else defined_mean(values)
    )
    return np.concatenate([values, whole[..., None]], axis=-1)


Estimand = Literal["mean_of_folds", "pooled"]
"""The mean of the folds' figures, or one figure over the frames of all folds."""

ESTIMANDS = ("mean_of_folds", "pooled")


def estimates(
    weights: np.ndarray,
    counts: Additive,
    folds: np.ndarray,
    statistic: Statistic,
    estimand: Estimand,
) -> np.ndarray:
    """Return a statistic of every resample, by name (AU or class) and last over all names.

    A fold in which a name is undefined (an AU without active frames) is left out of that name's
    mean over folds, and the name out of that fold's mean over names.

    Args:
        weights: how often a resample has each subject, [R, G].
        counts: of every subject, [G, ...].
        folds: the fold that tests each subject, int [G].

    Returns:
        float64 [R, A + 1], NaN where undefined.

    Raises:
        UsageError: an estimand that there is not.
    """
    if estimand not in ESTIMANDS:
        raise UsageError(f"There is no estimand {estimand!r}: it is one of {ESTIMANDS}.")
    if estimand == "pooled":
        return with_overall(statistic, _weighed(weights, counts))
    of_folds = []
    for fold in np.unique(folds):
        here = folds == fold
        of_folds.append(with_overall(statistic, _weighed(weights[:, here], counts, here)))
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


def _weighed(weights: np.ndarray, counts: C, which: np.ndarray | slice = slice(None)) -> C:
    parts = [part[which] for part in counts.parts]
    flat = [part.reshape(len(part), -1) for part in parts]
    product = weights @ np.concatenate(flat, axis=1).astype(np.float64)
    ends = np.cumsum([part.shape[1] for part in flat])[:-1]
    split = np.split(product, ends, axis=1)
    return type(counts)(
        *(
            one.reshape(len(weights), *part.shape[1:])
            for one, part in zip(split, parts, strict=True)
        )
    )


def joined(first: C, second: C) -> C:
    """Return the counts of the subjects of both, one after the other."""
    pairs = zip(first.parts, second.parts, strict=True)
    return type(first)(*(np.concatenate(pair) for pair in pairs))
