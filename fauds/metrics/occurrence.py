"""Metrics of AU occurrence, computed from confusion counts of the coded frames.

For N frames and A AUs, labels are int8 [N, A] (1 active, 0 inactive, -1 not coded), decisions bool
[N, A] and probabilities float [N, A] from 0 to 1. A metric takes counts of shape [..., A], such as
[A] for one set of frames or [G, A] for G subjects, and returns float64 of the same shape, 0 to 1,
NaN where undefined.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Counts:
    """Confusion counts of every AU over the frames in which it is coded.

    All arrays are [..., A] for A AUs, such as [A] for one set of frames or [G, A] for G subjects;
    int64, or float64 where subjects are weighted.

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
        """The arrays that these counts consist of: tp, fp, fn and tn."""
        return self.tp, self.fp, self.fn, self.tn

    @property
    def coded(self) -> np.ndarray:
        """The number of frames in which each AU is coded, [..., A]."""
        coded: np.ndarray = self.tp + self.fp + self.fn + self.tn
        return coded

    @property
    def positives(self) -> np.ndarray:
        """The number of frames in which each AU is active, [..., A]."""
        positives: np.ndarray = self.tp + self.fn
        return positives

    @property
    def negatives(self) -> np.ndarray:
        """The number of frames in which each AU is inactive (and coded), [..., A]."""
        negatives: np.ndarray = self.fp + self.tn
        return negatives

    def same_labels(self, other: "Counts") -> bool:
        """Return whether other counts have as many active and inactive frames of every AU."""
        return self.tp.shape == other.tp.shape and all(
            np.allclose(getattr(self, part), getattr(other, part))
            for part in ("positives", "negatives")
        )

    def total(self) -> "Counts":
        """Return the counts summed over their first axis, such as over subjects."""
        return Counts(*(part.sum(axis=0) for part in self.parts))


def decide(probabilities: np.ndarray, threshold: float) -> np.ndarray:
    """Return bool [N, A], True (active) where the probability is at least the threshold."""
    return probabilities >= threshold


def count(labels: np.ndarray, decisions: np.ndarray) -> Counts:
    """Return the confusion counts of every AU over all frames in which it is coded, int64 [A].

    Args:
        labels: 1 (active), 0 (inactive) or -1 (not coded), int8 [N, A].
        decisions: True where an AU is predicted to be active, bool [N, A].
    """
    active, inactive = labels == 1, labels == 0
    return Counts(
        tp=(active & decisions).sum(axis=0),
        fp=(inactive & decisions).sum(axis=0),
        fn=(active & ~decisions).sum(axis=0),
        tn=(inactive & ~decisions).sum(axis=0),
    )


def count_by(labels: np.ndarray, decisions: np.ndarray, groups: np.ndarray, size: int) -> Counts:
    """Return the confusion counts of every group of frames, such as the frames of each subject.

    Args:
        labels: 1 (active), 0 (inactive) or -1 (not coded), int8 [N, A].
        decisions: True where an AU is predicted to be active, bool [N, A].
        groups: the number of each frame's group, int [N], 0 to size - 1.
        size: the number of groups, G; the counts of a group without frames are 0.

    Returns:
        The counts, int64 [G, A].
    """
    aus = labels.shape[1]
    # Codes of outcomes: 0 is tn, 1 is fp, 2 is fn, 3 is tp; 4 is a frame not coded (not used).
    outcome = np.where(labels < 0, 4, 2 * labels + decisions)
    cells = (groups[:, None].astype(np.int64) * aus + np.arange(aus)) * 5 + outcome
    counts = np.bincount(cells.ravel(), minlength=size * aus * 5).reshape(size, aus, 5)
    return Counts(tp=counts[..., 3], fp=counts[..., 1], fn=counts[..., 2], tn=counts[..., 0])


def f1(counts: Counts) -> np.ndarray:
    """Return F1 = 2 tp / (2 tp + fp + fn) of every AU; NaN for an AU without active frames."""
    numerator = 2.0 * counts.tp
    return divide(numerator, numerator + counts.fp + counts.fn, counts.positives > 0)


def accuracy(counts: Counts) -> np.ndarray:
    """Return the share of coded frames that are decided correctly, for every AU.

    The accuracy is NaN for an AU without coded frames.
    """
    return divide(counts.tp + counts.tn, counts.coded, counts.coded > 0)


def precision(counts: Counts) -> np.ndarray:
    """Return precision = tp / (tp + fp) of every AU; NaN for an AU never predicted active."""
    predicted = counts.tp + counts.fp
    return divide(counts.tp, predicted, predicted > 0)


def recall(counts: Counts) -> np.ndarray:
    """Return recall = tp / (tp + fn) of every AU; NaN for an AU without active frames."""
    return divide(counts.tp, counts.positives, counts.positives > 0)


def balanced_f1(counts: Counts) -> np.ndarray:
    """Return the mean of two F1 scores: with "active" and with "inactive" as the positive class.

    The mean is NaN for an AU without active frames or without inactive frames.
    """
    inactive = Counts(tp=counts.tn, fp=counts.fn, fn=counts.fp, tn=counts.tp)
    mean: np.ndarray = (f1(counts) + f1(inactive)) / 2
    return mean


def skew_f1(counts: Counts) -> np.ndarray:
    """Return the F1 that would result if as many frames were active as inactive.

    Inactive frames are weighted by the number of active frames divided by that of inactive frames
    (Jeni, Cohn and De la Torre, 2013). With recall r and false-positive rate q, the F1 is then
    2 r / (r + 1 + q), and NaN for an AU without active frames or without inactive frames.
    """
    false_positives = divide(counts.fp, counts.negatives, counts.negatives > 0)
    balanced: np.ndarray = 2 * recall(counts) / (recall(counts) + 1 + false_positives)
    return balanced


def always_active_f1(counts: Counts) -> np.ndarray:
    """Return the F1 of a baseline that predicts every AU to be active in every frame.

    If p is the share of frames in which the AU is active, the F1 is 2 p / (1 + p); it is NaN for an
    AU without active frames.
    """
    numerator = 2.0 * counts.positives
    return divide(numerator, counts.positives + counts.coded, counts.positives > 0)


def prevalence_f1(counts: Counts, prevalence: np.ndarray, threshold: float) -> np.ndarray:
    """Return the F1 of a baseline that gives each AU the same probability in every frame.

    The probability is the share of training frames in which the AU is active (its prevalence).

    Args:
        counts: the confusion counts of the test frames, for any predictions (only the labels
            matter).
        prevalence: the share of training frames in which each AU is active, float [A].
        threshold: the decision threshold.

    Returns:
        The F1, float64 [..., A]; NaN for an AU without active frames, and for an AU whose
        prevalence is below the threshold: the AU is then never predicted, which is no baseline.
    """
    return np.where(prevalence >= threshold, always_active_f1(counts), np.nan)


def always_active(counts: Counts) -> Counts:
    """Return the counts of predicting every AU to be active in every frame.

    Args:
        counts: the confusion counts of any predictions of the same frames.
    """
    none = np.zeros_like(counts.tp)
    return Counts(tp=counts.positives, fp=counts.negatives, fn=none, tn=none)


def defined_mean(values: np.ndarray, axis: int = -1) -> np.ndarray:
    """Return the mean over an axis, ignoring NaN values; NaN if all values are NaN."""
    defined = ~np.isnan(values)
    defined_count = defined.sum(axis=axis)
    return divide(np.where(defined, values, 0.0).sum(axis=axis), defined_count, defined_count > 0)


def complete_mean(values: np.ndarray, needed: np.ndarray) -> float:
    """Return the mean of the values that are not NaN; NaN if a needed value is NaN.

    Such a mean of a baseline is over the same AUs or folds as that of the metric beside it.

    Args:
        values: the values, float [n].
        needed: which values are needed, bool [n].
    """
    missing = bool(np.isnan(values[needed]).any())
    return np.nan if missing else float(defined_mean(values))


def variance_over_aus(values: np.ndarray) -> np.ndarray:
    """Return the variance of a metric over AUs, ignoring NaN values.

    The variance is the sum of squared deviations divided by the number of AUs, not by this number
    minus one.

    Args:
        values: the metric of every AU, float [..., A], 0 to 1.

    Returns:
        The variance, float64 [...], 0 to 0.25.
    """
    return defined_mean((values - defined_mean(values)[..., None]) ** 2)


def divide(numerator: np.ndarray, denominator: np.ndarray, defined: np.ndarray) -> np.ndarray:
    """Return numerator / denominator, element by element, as float64; NaN where not `defined`."""
    quotient = np.full(np.shape(numerator), np.nan)
    np.divide(numerator, denominator, out=quotient, where=defined)
    return quotient
