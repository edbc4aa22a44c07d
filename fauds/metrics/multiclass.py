"""Metrics of classes that exclude each other, from confusion matrices, null labels left out.

Arrays: labels int [N], the class or -1 where not coded; decisions bool [N, C], one True a frame.
A metric takes confusion matrices of any leading shape and returns float64 of that shape with a
value a class, 0 to 1, NaN where it is undefined.
"""

from dataclasses import dataclass

import numpy as np

from fauds.metrics.occurrence import divide


@dataclass(frozen=True)
class Confusion:
    """Confusion matrices.

    Attributes:
        matrix: [..., C, C], coded frames by true class (rows) and decided class (columns); whole
            numbers as int64, resampling holds them as float64.
    """

    matrix: np.ndarray

    @property
    def parts(self) -> tuple[np.ndarray]:
        """The matrix."""
        return (self.matrix,)

    @property
    def right(self) -> np.ndarray:
        """Frames of each class that were decided rightly, [..., C]."""
        return np.diagonal(self.matrix, axis1=-2, axis2=-1)

    @property
    def coded(self) -> np.ndarray:
        """Frames of each class, [..., C]."""
        frames: np.ndarray = self.matrix.sum(axis=-1)
        return frames

    def same_labels(self, other: "Confusion") -> bool:
        """Return whether both count frames of the same labels."""
        return self.matrix.shape == other.matrix.shape and np.allclose(self.coded, other.coded)


def count_by(labels: np.ndarray, decisions: np.ndarray, groups: np.ndarray, size: int) -> Confusion:
    """Count decisions against labels in every group of frames apart.

    Args:
        groups: the group of every frame, int [N], 0 to size - 1.
        size: how many groups there are, G.

    Returns:
        Matrices int64 [G, C, C].
    """
    classes = decisions.shape[1]
    coded = labels >= 0
    cell = (groups[coded].astype(np.int64) * classes + labels[coded]) * classes
    cell = cell + decisions[coded].argmax(axis=1)
    counts = np.bincount(cell, minlength=size * classes**2)
    return Confusion(counts.reshape(size, classes, classes))


def recall(counts: Confusion) -> np.ndarray:
    """Return the share of each class's frames decided rightly, NaN for a class without any."""
    return divide(counts.right, counts.coded, counts.coded > 0)


def f1(counts: Confusion) -> np.ndarray:
    """Return the F1 of each class against all others, NaN for a class without frames."""
    bottom = counts.coded + counts.matrix.sum(axis=-2)
    return divide(2.0 * counts.right, bottom, counts.coded > 0)


def accuracy(counts: Confusion) -> np.ndarray:
    """Return the share of all coded frames decided rightly, [...]; NaN without any."""
    total = counts.coded.sum(axis=-1)
    return divide(counts.right.sum(axis=-1), total, total > 0)
