"""Metrics of mutually exclusive classes, from confusion matrices without null labels.

Arrays: labels int [N], the class, or -1 if not coded; decisions bool [N, C], one True per frame.
A metric takes confusion matrices of any leading shape and returns float64 of that shape with one
value per class, 0 to 1, NaN where undefined.
"""

from dataclasses import dataclass

import numpy as np

from fauds.metrics.occurrence import divide


@dataclass(frozen=True)
class Confusion:
    """Confusion matrices.

    Attributes:
        matrix: the numbers of coded frames by true class (rows) and decided class (columns),
            [..., C, C]; int64, or float64 in resampling.
    """

    matrix: np.ndarray

    @property
    def parts(self) -> tuple[np.ndarray]:
        """The arrays of the counts: the matrix alone."""
        return (self.matrix,)

    @property
    def correct(self) -> np.ndarray:
        """The numbers of correctly decided frames of each class, [..., C]."""
        return np.diagonal(self.matrix, axis1=-2, axis2=-1)

    @property
    def coded(self) -> np.ndarray:
        """The numbers of coded frames of each class, [..., C]."""
        frames: np.ndarray = self.matrix.sum(axis=-1)
        return frames

    def same_labels(self, other: "Confusion") -> bool:
        """Return whether both have the same numbers of frames of each class."""
        return self.matrix.shape == other.matrix.shape and np.allclose(self.coded, other.coded)


def count_by(labels: np.ndarray, decisions: np.ndarray, groups: np.ndarray, size: int) -> Confusion:
    """Return the confusion matrix of every group of frames, such as those of a subject.

    Args:
        labels: the labels, int [N].
        decisions: the decisions, bool [N, C].
        groups: the group of every frame, int [N], 0 to size - 1.
        size: the number of groups, G.

    Returns:
        The confusion matrices, int64 [G, C, C].
    """
    classes = decisions.shape[1]
    coded = labels >= 0
    cells = (groups[coded].astype(np.int64) * classes + labels[coded]) * classes
    cells = cells + decisions[coded].argmax(axis=1)
    counts = np.bincount(cells, minlength=size * classes**2)
    return Confusion(counts.reshape(size, classes, classes))


def recall(counts: Confusion) -> np.ndarray:
    """Return the share of correctly decided frames of each class; NaN for one without frames."""
    return divide(counts.correct, counts.coded, counts.coded > 0)


def f1(counts: Confusion) -> np.ndarray:
    """Return the F1 of each class against all others; NaN for a class without frames."""
    denominator = counts.coded + counts.matrix.sum(axis=-2)
    return divide(2.0 * counts.correct, denominator, counts.coded > 0)


def accuracy(counts: Confusion) -> np.ndarray:
    """Return the share of correctly decided frames of all classes, [...]; NaN without frames."""
    total = counts.coded.sum(axis=-1)
    return divide(counts.correct.sum(axis=-1), total, total > 0)
