"""Statistics of many resamples of subjects at once, from counts that add up over subjects.

A resample is a weight for every subject (the number of times that it was drawn), so the counts of R
resamples are one matrix product, weights [R, G] times counts [G, K], without going over the frames
again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

import numpy as np

from fauds.errors import UsageError
from fauds.metrics.occurrence import defined_mean


class Additive(Protocol):
    """Counts that add up over subjects, and can be created as ``type(counts)(*parts)``."""

    @property
    def parts(self) -> tuple[np.ndarray, ...]:
        """The arrays of the counts, which share their leading axes."""

    def same_labels(self, other: Any) -> bool:
        """Return whether both are counts over frames with the same labels."""


Statistic = Callable[[Any], np.ndarray]
"""A metric: takes counts of any leading shape [...], returns float64 [..., A], a value per name."""

C = TypeVar("C", bound=Additive)


@dataclass(frozen=True)
class WithOverall:
    """A statistic whose value over all names is not the mean of its values by name.

    Attributes:
        by_name: the function that returns the values by name, float64 [..., A].
        overall: the function that returns the value over all names, float64 [...].
    """

    by_name: Statistic
    overall: Statistic

    def __call__(self, counts: Any) -> np.ndarray:
        """Return the values by name."""
        return self.by_name(counts)


def with_overall(statistic: Statistic, counts: Any) -> np.ndarray:
    """Return the values of a statistic by name, followed by its value over all names.

    The value over all names is the mean of the defined values, unless the statistic is a
    `WithOverall`.

    Args:
        statistic: the statistic.
        counts: its counts, of leading shape [...].

    Returns:
        The values, float64 [..., A + 1].
    """
    values = statistic(counts)
    overall = (
        statistic.overall(counts) if isinstance(statistic, WithOverall) else defined_mean(values)
    )
    return np.concatenate([values, overall[..., None]], axis=-1)


Estimand = Literal["mean_of_folds", "pooled"]
"""The mean of a statistic over folds, or the statistic of the test frames of all folds together."""

ESTIMANDS = ("mean_of_folds", "pooled")


def estimates(
    weights: np.ndarray,
    counts: Additive,
    folds: np.ndarray,
    statistic: Statistic,
    estimand: Estimand,
) -> np.ndarray:
    """Return the values of a statistic for every resample, by name and last over all names.

    If a name (an AU or class) is undefined in a fold, such as an AU without active frames, the fold
    is left out of the name's mean over folds, and the name out of the fold's mean over names.

    Args:
        weights: the number of times that each resample contains each subject, [R, G].
        counts: the counts of every subject, [G, ...].
        folds: the fold in whose test part each subject is, int [G].
        statistic: the statistic.
        estimand: "mean_of_folds" or "pooled".

    Returns:
        The values, float64 [R, A + 1], NaN where undefined.

    Raises:
        UsageError: the estimand is unknown.
    """
    if estimand not in ESTIMANDS:
        raise UsageError(
            f"{estimand!r} is not an estimand.", hint=f"choose from: {', '.join(ESTIMANDS)}"
        )
    if estimand == "pooled":
        return with_overall(statistic, _weighted_counts(weights, counts))
    of_folds = []
    for fold in np.unique(folds):
        in_fold = folds == fold
        of_folds.append(
            with_overall(statistic, _weighted_counts(weights[:, in_fold], counts, in_fold))
        )
    return defined_mean(np.stack(of_folds), axis=0)


def draw(strata: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Draw subjects with replacement, from every stratum as many as it has.

    Args:
        strata: the stratum of every subject, int [G].
        resamples: the number of resamples.
        seed: the seed of the random draws.

    Returns:
        The number of times that each subject was drawn, float64 [resamples, G].
    """
    rng = np.random.default_rng(seed)
    weights = np.empty((resamples, len(strata)))
    for stratum in np.unique(strata):
        in_stratum = strata == stratum
        size = int(in_stratum.sum())
        weights[:, in_stratum] = rng.multinomial(size, np.full(size, 1 / size), resamples)
    return weights


def leave_one_out(subjects: int) -> np.ndarray:
    """Return the weights of the samples without one subject each, float64 [G, G].

    Args:
        subjects: the number of subjects, G.
    """
    return 1.0 - np.eye(subjects)


def resampling_strata(folds: np.ndarray, estimand: Estimand) -> np.ndarray:
    """Return the strata within which subjects are resampled, int [G].

    The strata are the folds. But a fold with a single subject shows no spread between subjects;
    with the estimand "pooled", all subjects are then one stratum.

    Args:
        folds: the fold in whose test part each subject is, int [G].
        estimand: "mean_of_folds" or "pooled".
    """
    if estimand == "pooled" and has_single_subject(folds):
        return np.zeros_like(folds)
    return folds


def has_single_subject(strata: np.ndarray) -> bool:
    """Return whether a stratum has only one subject."""
    return bool((np.unique(strata, return_counts=True)[1] == 1).any())


def degrees_of_freedom(strata: np.ndarray) -> float:
    """Return the degrees of freedom: the average number of subjects per stratum minus one.

    Summed over strata they would be more; the smaller number makes up for how skewed
    results over few subjects are.
    """
    return len(strata) / len(np.unique(strata)) - 1


def _weighted_counts(
    weights: np.ndarray, counts: C, selection: np.ndarray | slice = slice(None)
) -> C:
    parts = [part[selection] for part in counts.parts]
    flat = [part.reshape(len(part), -1) for part in parts]
    product = weights @ np.concatenate(flat, axis=1).astype(np.float64)
    ends = np.cumsum([part.shape[1] for part in flat])[:-1]
    split = np.split(product, ends, axis=1)
    return type(counts)(
        *(
            array.reshape(len(weights), *part.shape[1:])
            for array, part in zip(split, parts, strict=True)
        )
    )


def joined(first: C, second: C) -> C:
    """Return the counts of the subjects of both, those of `first` first."""
    pairs = zip(first.parts, second.parts, strict=True)
    return type(first)(*(np.concatenate(pair) for pair in pairs))
