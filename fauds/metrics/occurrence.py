"""Occurrence metrics per AU from confusion counts, with null labels left out.

Arrays: labels int8 [N, A] with 1 active, 0 inactive, -1 not coded; decisions bool [N, A];
probabilities float [N, A] in 0..1. A metric takes counts of any leading shape (one row for a
test part, one for every subject, one for every resample) and returns float64 of that shape,
0 to 1, NaN where it is undefined.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Counts:
    """Confusion counts [..., A] over the frames where the AU is coded.

    Whole numbers as int64; resampling holds them as float64.
    """

    tp: np.ndarray
    fp: np.ndarray
    fn: np.ndarray
    tn: np.ndarray

    @property
    def parts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """All four, in the order of their names."""
        return self.tp, self.fp, self.fn, self.tn

    @property
    def coded(self) -> np.ndarray:
        """Frames scored, [..., A]."""
        coded: np.ndarray = self.tp + self.fp + self.fn + self.tn
        return coded

    @property
    def positives(self) -> np.ndarray:
        """Frames with the AU active, [..., A]."""
        positives: np.ndarray = self.tp + self.fn
        return positives

    @property
    def negatives(self) -> np.ndarray:
        """Frames with the AU inactive, [..., A]."""
        negatives: np.ndarray = self.fp + self.tn
        return negatives

    def same_labels(self, other: "Counts") -> bool:
        """Return whether both count frames of the same labels."""
        return self.tp.shape == other.tp.shape and all(
            np.allclose(getattr(self, part), getattr(other, part))
            for part in ("positives", "negatives")
        )

    def total(self) -> "Counts":
        """Return the counts summed over the first axis."""
        return Counts(*(part.sum(axis=0) for part in self.parts))


def decide(probabilities: np.ndarray, threshold: float) -> np.ndarray:
    """Return decisions bool [N, A]: active where the probability is at least the threshold."""
    return probabilities >= threshold


def count(labels: np.ndarray, decisions: np.ndarray) -> Counts:
    """Count decisions against labels, null labels left out; counts [A]."""
    active, inactive = labels == 1, labels == 0
    return Counts(
        tp=(active & decisions).sum(axis=0),
        fp=(inactive & decisions).sum(axis=0),
        fn=(active & ~decisions).sum(axis=0),
        tn=(inactive & ~decisions).sum(axis=0),
    )


def count_by(labels: np.ndarray, decisions: np.ndarray, groups: np.ndarray, size: int) -> Counts:
    """Count decisions against labels in every group of frames apart, for example a subject's.

    Args:
        groups: the group of every frame, int [N], 0 to size - 1.
        size: how many groups there are, G; one without frames has counts of 0.

    Returns:
        Counts int64 [G, A].
    """
    aus = labels.shape[1]
    # The outcomes of a cell: 0 tn, 1 fp, 2 fn, 3 tp; a null label falls into a fifth, unread.
    outcome = np.where(labels < 0, 4, 2 * labels + decisions)
    cell = (groups[:, None].astype(np.int64) * aus + np.arange(aus)) * 5 + outcome
    found = np.bincount(cell.ravel(), minlength=size * aus * 5).reshape(size, aus, 5)
    return Counts(tp=found[..., 3], fp=found[..., 1], fn=found[..., 2], tn=found[..., 0])


def f1(counts: Counts) -> np.ndarray:
    """Return F1 = 2 tp / (2 tp + fp + fn), NaN for an AU without an active frame."""
    top = 2.0 * counts.tp
    return divide(top, top + counts.fp + counts.fn, counts.positives > 0)


def accuracy(counts: Counts) -> np.ndarray:
    """Return the share of coded frames decided rightly, NaN for an AU without a coded frame."""
    return divide(counts.tp + counts.tn, counts.coded, counts.coded > 0)


def precision(counts: Counts) -> np.ndarray:
    """Return tp / (tp + fp), NaN for an AU that was never called active."""
    called = counts.tp + counts.fp
    return divide(counts.tp, called, called > 0)


def recall(counts: Counts) -> np.ndarray:
    """Return tp / (tp + fn), NaN for an AU without an active frame."""
    return divide(counts.tp, counts.positives, counts.positives > 0)


def balanced_f1(counts: Counts) -> np.ndarray:
    """Return the mean of the F1 of active and the F1 of inactive, NaN without either."""
    inactive = Counts(tp=counts.tn, fp=counts.fn, fn=counts.fp, tn=counts.tp)
    mean: np.ndarray = (f1(counts) + f1(inactive)) / 2
    return mean


def skew_f1(counts: Counts) -> np.ndarray:
    """Return the F1 at equal numbers of active and inactive frames, NaN without either.

    2 r / (r + 1 + q) at recall r and false-positive rate q: the F1 after inactive frames were
    weighed by positives / negatives (Jeni, Cohn and De la Torre, 2013).
    """
    false_positives = divide(counts.fp, counts.negatives, counts.negatives > 0)
    balanced: np.ndarray = 2 * recall(counts) / (recall(counts) + 1 + false_positives)
    return balanced


def always_active_f1(counts: Counts) -> np.ndarray:
    """Return the F1 of calling the AU active in every frame: 2 p / (1 + p) at prevalence p."""
    top = 2.0 * counts.positives
    return divide(top, counts.positives + counts.coded, counts.positives > 0)


def prevalence_f1(counts: Counts, prevalence: np.ndarray, threshold: float) -> np.ndarray:
    """Return the F1 of giving every frame the training prevalence as its probability.

    Args:
        prevalence: share of active frames in the training part, float [A].
        threshold: the decision threshold; below it the constant is "inactive", whose F1 is 0.
    """
    return np.where(prevalence >= threshold, always_active_f1(counts), 0.0) + np.where(
        counts.positives > 0, 0.0, np.nan
    )


def defined_mean(values: np.ndarray, axis: int = -1) -> np.ndarray:
    """Return the mean over an axis with NaN left out; NaN where nothing is defined."""
    defined = ~np.isnan(values)
    number = defined.sum(axis=axis)
    return divide(np.where(defined, values, 0.0).sum(axis=axis), number, number > 0)


def variance_over_aus(values: np.ndarray) -> np.ndarray:
    """Return the variance over the last axis (divided by their number), NaN left out.

    Args:
        values: a metric of every AU, float [..., A], 0 to 1.

    Returns:
        float64 [...], 0 to 0.25: how unevenly a model serves the AUs.
    """
    return defined_mean((values - defined_mean(values)[..., None]) ** 2)


def divide(top: np.ndarray, bottom: np.ndarray, defined: np.ndarray) -> np.ndarray:
    """Return top / bottom as float64, NaN where it is not defined."""
    quotient = np.full(np.shape(top), np.nan)
    np.divide(top, bottom, out=quotient, where=defined)
    return quotient
