"""Metrics of AU occurrence, from confusion counts without null labels.

Arrays: labels int8 [N, A] with 1 active, 0 inactive, -1 not coded; decisions bool [N, A];
probabilities float [N, A] from 0 to 1. A metric takes counts of any leading shape (of a test part,
of every subject, of every resample) and returns float64 of that shape, 0 to 1, NaN where undefined.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Counts:
    """Confusion counts of every AU over the frames in which it is coded.

    All arrays are [..., A]; int64, or float64 in resampling.

    Attributes:
        tp: the numbers of true positives.
        fp: the numbers of false positives.
        fn: the numbers of false negatives.
        tn: the numbers of true negatives.
    """

    tp: np.ndarray
    fp: np.ndarray
    fn: np.ndarray
    tn: np.ndarray

    @property
    def parts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """The four arrays: tp, fp, fn, tn."""
        return self.tp, self.fp, self.fn, self.tn

    @property
    def coded(self) -> np.ndarray:
        """The numbers of coded frames, [..., A]."""
        coded: np.ndarray = self.tp + self.fp + self.fn + self.tn
        return coded

    @property
    def positives(self) -> np.ndarray:
        """The numbers of frames in which the AU is active, [..., A]."""
        positives: np.ndarray = self.tp + self.fn
        return positives

    @property
    def negatives(self) -> np.ndarray:
        """The numbers of frames in which the AU is inactive, [..., A]."""
        negatives: np.ndarray = self.fp + self.tn
        return negatives

    def same_labels(self, other: "Counts") -> bool:
        """Return whether both have the same numbers of active and inactive frames."""
        return self.tp.shape == other.tp.shape and all(
            np.allclose(getattr(self, part), getattr(other, part))
            for part in ("positives", "negatives")
        )

    def total(self) -> "Counts":
        """Return the counts summed over the first axis."""
        return Counts(*(part.sum(axis=0) for part in self.parts))


def decide(probabilities: np.ndarray, threshold: float) -> np.ndarray:
    """Return decisions, bool [N, A]: True where the probability is at least the threshold."""
    return probabilities >= threshold


def count(labels: np.ndarray, decisions: np.ndarray) -> Counts:
    """Return the confusion counts of all frames, [A]; null labels do not count."""
    active, inactive = labels == 1, labels == 0
    return Counts(
        tp=(active & decisions).sum(axis=0),
        fp=(inactive & decisions).sum(axis=0),
        fn=(active & ~decisions).sum(axis=0),
        tn=(inactive & ~decisions).sum(axis=0),
    )


def count_by(labels: np.ndarray, decisions: np.ndarray, groups: np.ndarray, size: int) -> Counts:
    """Return the confusion counts of every group of frames, such as those of a subject.

    Args:
        labels: the labels, int8 [N, A].
        decisions: the decisions, bool [N, A].
        groups: the group of every frame, int [N], 0 to size - 1.
        size: the number of groups, G; the counts of a group without frames are 0.

    Returns:
        The counts, int64 [G, A].
    """
    aus = labels.shape[1]
    # The outcomes of a cell: 0 tn, 1 fp, 2 fn, 3 tp, and 4 for a null label, which is not used.
    outcome = np.where(labels < 0, 4, 2 * labels + decisions)
    cells = (groups[:, None].astype(np.int64) * aus + np.arange(aus)) * 5 + outcome
    counts = np.bincount(cells.ravel(), minlength=size * aus * 5).reshape(size, aus, 5)
    return Counts(tp=counts[..., 3], fp=counts[..., 1], fn=counts[..., 2], tn=counts[..., 0])


def f1(counts: Counts) -> np.ndarray:
    """Return F1 = 2 tp / (2 tp + fp + fn); NaN for an AU without active frames."""
    numerator = 2.0 * counts.tp
    return divide(numerator, numerator + counts.fp + counts.fn, counts.positives > 0)


def accuracy(counts: Counts) -> np.ndarray:
    """Return the share of correctly decided frames; NaN for an AU without coded frames."""
    return divide(counts.tp + counts.tn, counts.coded, counts.coded > 0)


def precision(counts: Counts) -> np.ndarray:
    """Return precision = tp / (tp + fp); NaN for an AU that is never predicted active."""
    predicted = counts.tp + counts.fp
    return divide(counts.tp, predicted, predicted > 0)


def recall(counts: Counts) -> np.ndarray:
    """Return recall = tp / (tp + fn); NaN for an AU without active frames."""
    return divide(counts.tp, counts.positives, counts.positives > 0)


def balanced_f1(counts: Counts) -> np.ndarray:
    """Return the mean of the F1 of active and the F1 of inactive frames; NaN without either."""
    inactive = Counts(tp=counts.tn, fp=counts.fn, fn=counts.fp, tn=counts.tp)
    mean: np.ndarray = (f1(counts) + f1(inactive)) / 2
    return mean


def skew_f1(counts: Counts) -> np.ndarray:
    """Return the F1 at equal numbers of active and inactive frames; NaN without either.

    With recall r and false-positive rate q it is 2 r / (r + 1 + q), the F1 if inactive frames are
    weighted by positives / negatives (Jeni, Cohn and De la Torre, 2013).
    """
    false_positives = divide(counts.fp, counts.negatives, counts.negatives > 0)
    balanced: np.ndarray = 2 * recall(counts) / (recall(counts) + 1 + false_positives)
    return balanced


def always_active_f1(counts: Counts) -> np.ndarray:
    """Return the F1 of predicting the AU active in every frame: 2 p / (1 + p) at prevalence p."""
    numerator = 2.0 * counts.positives
    return divide(numerator, counts.positives + counts.coded, counts.positives > 0)


def prevalence_f1(counts: Counts, prevalence: np.ndarray, threshold: float) -> np.ndarray:
    """Return the F1 of predicting the training prevalence as the probability of every frame.

    Args:
        counts: the confusion counts of any predictions of the frames.
        prevalence: the share of active frames in the training part, float [A].
        threshold: the decision threshold; for a prevalence below it all decisions are "inactive",
            whose F1 is 0.

    Returns:
        The F1, float64 [..., A]; NaN for an AU without active frames.
    """
    return np.where(prevalence >= threshold, always_active_f1(counts), 0.0) + np.where(
        counts.positives > 0, 0.0, np.nan
    )


def defined_mean(values: np.ndarray, axis: int = -1) -> np.ndarray:
    """Return the mean over an axis without NaN values; NaN if all are NaN."""
    defined = ~np.isnan(values)
    defined_count = defined.sum(axis=axis)
    return divide(np.where(defined, values, 0.0).sum(axis=axis), defined_count, defined_count > 0)


def variance_over_aus(values: np.ndarray) -> np.ndarray:
    """Return the variance of a metric over AUs (divided by their number), without NaN values.

    Args:
        values: the metric of every AU, float [..., A], 0 to 1.

    Returns:
        The variance, float64 [...], 0 to 0.25; higher for a model whose results are less even.
    """
    return defined_mean((values - defined_mean(values)[..., None]) ** 2)


def divide(numerator: np.ndarray, denominator: np.ndarray, defined: np.ndarray) -> np.ndarray:
    """Return the quotient as float64, NaN where `defined` is False."""
    quotient = np.full(np.shape(numerator), np.nan)
    np.divide(numerator, denominator, out=quotient, where=defined)
    return quotient
