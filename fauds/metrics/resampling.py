"""Computes a statistic for many resamples of subjects at once, from the counts of each subject.

A resample is represented by a weight for every subject: the number of times that the subject was
drawn. Counts, such as true positives, add up over subjects. So the counts of R resamples of G
subjects are one matrix product, weights [R, G] times counts [G, K], and the frames are not needed
again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, TypeVar, get_args

import numpy as np

from fauds.errors import UsageError
from fauds.metrics.occurrence import defined_mean


class Additive(Protocol):
    """Interface of counts that add up over subjects, such as true and false positives.

    The class must accept its arrays as arguments: ``type(counts)(*counts.parts)`` copies `counts`.
    """

    @property
    def parts(self) -> tuple[np.ndarray, ...]:
        """The arrays that the counts consist of, with the same leading axes (such as subjects)."""

    def same_labels(self, other: Any) -> bool:
        """Return whether these and other counts can come from frames with the same labels."""


Statistic = Callable[[Any], np.ndarray]
"""A metric such as F1: a function of counts, which may have any leading axes [...].

The function returns float64 [..., A], a value for each of A AUs or classes.
"""

C = TypeVar("C", bound=Additive)


@dataclass(frozen=True)
class WithOverall:
    """A statistic whose value over all AUs or classes is not the mean of the values of each.

    An example is accuracy: over all classes, it is the share of all frames decided correctly.

    Attributes:
        by_name: the function of counts that returns a value for each AU or class, float64 [..., A].
        overall: the function of counts that returns the value over all of them, float64 [...].
    """

    by_name: Statistic
    overall: Statistic

    def __call__(self, counts: Any) -> np.ndarray:
        """Return the statistic's value for each AU or class, float64 [..., A]."""
        return self.by_name(counts)


def with_overall(statistic: Statistic, counts: Any) -> np.ndarray:
    """Return a statistic's value for each AU or class, followed by its value over all of them.

    The last value is the mean of the other values that are not NaN, unless the statistic is a
    `WithOverall`, which has a separate function for the value over all AUs or classes.

    Args:
        statistic: a metric of counts, such as `fauds.metrics.occurrence.f1`.
        counts: the counts to compute the statistic from, with any leading axes [...].

    Returns:
        The values, float64 [..., A + 1].
    """
    values = statistic(counts)
    overall = (
        statistic.overall(counts) if isinstance(statistic, WithOverall) else defined_mean(values)
    )
    return np.concatenate([values, overall[..., None]], axis=-1)


Estimand = Literal["mean_of_folds", "pooled"]
"""What is estimated from the test results of several folds.

"mean_of_folds" is the mean over folds of the statistic of each fold; "pooled" is the statistic of
the test frames of all folds together.
"""

ESTIMANDS: tuple[Estimand, ...] = get_args(Estimand)
"""The names of all estimands."""


def estimates(
    weights: np.ndarray,
    counts: Additive,
    folds: np.ndarray,
    statistic: Statistic,
    estimand: Estimand,
) -> np.ndarray:
    """Return a statistic of every resample of subjects, for each AU or class and over all of them.

    If the statistic of an AU or class is undefined in a fold (such as F1 without active frames),
    the mean over folds of this AU or class leaves out this fold, and the fold's mean over AUs or
    classes leaves out this AU or class.

    Args:
        weights: the number of times that each of R resamples contains each of G subjects, [R, G].
        counts: the counts of every subject, such as true and false positives; arrays of shape
            [G, ...].
        folds: the number of the fold that tests each subject, int [G].
        statistic: a metric of counts, such as `fauds.metrics.occurrence.f1`.
        estimand: "mean_of_folds" (the statistic of each fold, averaged over folds) or "pooled" (the
            statistic of the frames of all folds together).

    Returns:
        The values for each of A AUs or classes and last the value over all of them, float64
        [R, A + 1], NaN where undefined.

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


def depends_on_one_subject(
    counts: Additive, folds: np.ndarray, statistic: Statistic, estimand: Estimand
) -> np.ndarray:
    """Return which values exist only because of one subject, bool [A + 1].

    Such a value becomes undefined, in a fold or pooled, if that subject is left out. An example is
    the F1 of an AU that only one subject of a fold shows. The spread between subjects who show the
    AU is then unknown. Folds with a single subject are not considered.

    Args:
        counts: the counts of every subject; arrays of shape [G, ...] for G subjects.
        folds: the number of the fold that tests each subject, int [G].
        statistic: a metric of counts, such as `fauds.metrics.occurrence.f1`.
        estimand: "mean_of_folds" (each fold is considered) or "pooled" (all subjects together).
    """
    groups = np.zeros_like(folds) if estimand == "pooled" else folds
    of_groups = []
    for group in np.unique(groups):
        members = groups == group
        of_group, strata = selected(counts, members), groups[members]
        first, _ = alike([of_group], strata)
        weights = np.concatenate([np.ones((1, len(strata))), leave_one_out(strata, first)])
        values = np.isnan(with_overall(statistic, _weighted_counts(weights, of_group)))
        of_groups.append(~values[0] & values[1:].any(axis=0) & (len(strata) > 1))
    depends: np.ndarray = np.any(of_groups, axis=0)
    return depends


class Jackknife(NamedTuple):
    """A statistic of all subjects, and how it varies over samples of subjects.

    Attributes:
        value: the statistic of all subjects, float64 [..., A + 1]; NaN where undefined.
        variance: the estimated variance of the statistic over samples of subjects, float64
            [..., A + 1]; NaN where unknown, since a stratum has a single subject or a value is
            undefined if one subject is left out.
        freedom: the degrees of freedom of Student's t for intervals.
    """

    value: np.ndarray
    variance: np.ndarray
    freedom: float


def jackknife(
    values: Callable[[np.ndarray], np.ndarray],
    counts: Sequence[Additive],
    folds: np.ndarray,
    estimand: Estimand,
) -> Jackknife:
    """Estimate the variance of a statistic from its values without one subject at a time.

    The variances of the strata are added: that of a stratum with n subjects is (n - 1) / n times
    the sum of the squared deviations of its n values from their mean (the stratified jackknife;
    Rust and Rao, 1996). The strata are those of `resampling_strata`.

    Args:
        values: a function that takes the weights of G subjects in R samples, [R, G], and returns
            the statistic of each sample, [R, A + 1], or several statistics, [R, ..., A + 1].
        counts: the counts that the statistic is computed from, each with arrays of shape [G, ...].
        folds: the number of the fold that tests each subject, int [G].
        estimand: what `values` estimates: "mean_of_folds" or "pooled".
    """
    strata = resampling_strata(folds, estimand)
    value = values(np.ones((1, len(strata))))[0]
    # Thousands of images have few different counts; to leave out either of two alike is the same.
    first, like = alike(counts, folds)
    left_out = values(leave_one_out(strata, first))[like]
    variance = np.full_like(value, np.nan if has_single_subject(strata) else 0.0)
    for stratum in np.unique(strata):
        part = left_out[strata == stratum]
        deviations = part - part.mean(axis=0)
        variance = variance + (len(part) - 1) / len(part) * (deviations**2).sum(axis=0)
    return Jackknife(value, variance, degrees_of_freedom(len(strata)))


def draw(strata: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Resample subjects with replacement within groups (strata), such as folds.

    In every resample, n subjects are drawn from a stratum with n subjects.

    Args:
        strata: the number of the stratum that each subject belongs to, int [G].
        resamples: the number of resamples.
        seed: the seed of the random draws.

    Returns:
        The number of times that each resample contains each subject, float64 [resamples, G].
    """
    rng = np.random.default_rng(seed)
    weights = np.empty((resamples, len(strata)))
    for stratum in np.unique(strata):
        in_stratum = strata == stratum
        size = int(in_stratum.sum())
        weights[:, in_stratum] = rng.multinomial(size, np.full(size, 1 / size), resamples)
    return weights


def leave_one_out(strata: np.ndarray, left_out: np.ndarray | None = None) -> np.ndarray:
    """Return the weights of G subjects in R samples, each of which leaves out one subject.

    The others of its stratum stand for it: their weights are n / (n - 1) in a stratum with n
    subjects, so that the stratum keeps its part in statistics of several strata.

    Args:
        strata: the number of the stratum that each subject belongs to, int [G].
        left_out: the subject that each of R samples leaves out, int [R]; None for every subject in
            turn.

    Returns:
        The weights by sample and subject, float64 [R, G]: 0 for the subject that a sample leaves
        out, and 1 for all subjects of other strata.
    """
    left_out = np.arange(len(strata)) if left_out is None else left_out
    same = strata[left_out][:, None] == strata
    size = same.sum(axis=1, keepdims=True)
    weights = np.where(same, size / np.maximum(size - 1, 1), 1.0)
    weights[np.arange(len(left_out)), left_out] = 0.0
    return weights


def alike(counts: Sequence[Additive], folds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the subjects that have the same fold and the same counts.

    Args:
        counts: one or several counts of every subject, such as those of two models; each has
            arrays of shape [G, ...] for G subjects. All of them are the same for subjects alike.
        folds: the number of the fold that tests each subject, int [G].

    Returns:
        first: the first subject of each of D groups of subjects that are alike, ascending, int [D].
        like: the position in `first` of each subject's group, int [G].
    """
    flat = [part.reshape(len(part), -1) for each in counts for part in each.parts]
    rows = np.concatenate([folds[:, None], *flat], axis=1)
    _, first, group = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return first[order], place[group.reshape(-1)]


def resampling_strata(folds: np.ndarray, estimand: Estimand) -> np.ndarray:
    """Return the group (stratum) of each subject within which subjects are resampled, int [G].

    The strata are the folds, with two exceptions, in which all subjects are one stratum, because a
    fold with a single subject shows no spread between subjects. One is that every fold has a single
    subject (leave-one-subject-out): the mean of folds is then a mean of subjects. The other is that
    some fold has a single subject and the estimand is "pooled".

    Args:
        folds: the number of the fold that tests each subject, int [G].
        estimand: "mean_of_folds" (the statistic of each fold, averaged over folds) or "pooled" (the
            statistic of the frames of all folds together).
    """
    all_single = len(np.unique(folds)) == len(folds)
    if all_single or (estimand == "pooled" and has_single_subject(folds)):
        return np.zeros_like(folds)
    return folds


def has_single_subject(strata: np.ndarray) -> bool:
    """Return whether any stratum (a group of subjects, such as a fold) has only one subject.

    Args:
        strata: the number of the stratum that each subject belongs to, int [G].
    """
    return bool((np.unique(strata, return_counts=True)[1] == 1).any())


def degrees_of_freedom(subjects: int) -> float:
    """Return the degrees of freedom of Student's t for intervals over G subjects.

    They are a third of the number of subjects, minus one, and at least one, whatever the number of
    folds. The number of subjects minus that of folds would be more, but it holds for normally
    distributed values. The lower number makes intervals wider, to make up for the skewness of
    results over few subjects. benchmarks/studies/coverage.py measures the coverage for 2, 3, 5 and
    10 folds and for leave-one-subject-out.

    Args:
        subjects: the number of subjects, G.
    """
    return max(subjects / 3 - 1, 1.0)


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


def selected(counts: C, which: np.ndarray | int) -> C:
    """Return the counts of some subjects, or of one subject.

    Args:
        counts: the counts of every subject; arrays of shape [G, ...] for G subjects.
        which: the subjects: bool [G], or their numbers, int [n]; or the number of a single subject,
            whose counts are returned without the axis of subjects.
    """
    return type(counts)(*(part[which] for part in counts.parts))


def joined(first: C, second: C) -> C:
    """Return the counts of all subjects of two groups: those of the first, then of the second."""
    pairs = zip(first.parts, second.parts, strict=True)
    return type(first)(*(np.concatenate(pair) for pair in pairs))
