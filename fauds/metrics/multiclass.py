"""Metrics of mutually exclusive classes, computed from confusion matrices of the coded frames.

For N frames and C classes, labels are int [N] (the index of the class, or -1 if not coded), and
decisions are bool [N, C] with one True per frame. A metric takes confusion matrices [..., C, C],
such as one per subject, and returns float64 [..., C], 0 to 1, NaN where undefined; `accuracy`
returns float64 [...].
"""

from dataclasses import dataclass

import numpy as np

from fauds.metrics.occurrence import divide


@dataclass(frozen=True)
class Confusion:
    """One or several confusion matrices, such as one per subject.

    Attributes:
        matrix: the numbers of coded frames by true class (rows) and decided class (columns),
            [..., C, C]; int64, or float64 in resampling.
    """

    matrix: np.ndarray

    @property
    def parts(self) -> tuple[np.ndarray]:
        """The arrays that these counts consist of: a tuple with `matrix` only."""
        return (self.matrix,)

    @property
    def correct(self) -> np.ndarray:
        """For each class, the number of its frames that were decided correctly, [..., C]."""
        return np.diagonal(self.matrix, axis1=-2, axis2=-1)

    @property
    def coded(self) -> np.ndarray:
        """For each class, the number of frames that are coded as this class, [..., C]."""
        frames: np.ndarray = self.matrix.sum(axis=-1)
        return frames

    def same_labels(self, other: "Confusion") -> bool:
        """Return whether other matrices have the same number of frames of each true class."""
        return self.matrix.shape == other.matrix.shape and np.allclose(self.coded, other.coded)


def count_by(labels: np.ndarray, decisions: np.ndarray, groups: np.ndarray, size: int) -> Confusion:
    """Return the confusion matrix of every group of frames, such as the frames of each subject.

    Args:
        labels: the index of each frame's true class, or -1 if not coded, int [N].
        decisions: the decisions, bool [N, C], True for the decided class.
        groups: the number of each frame's group, int [N], 0 to size - 1.
        size: the number of groups, G.

    Returns:
        The numbers of coded frames by group, true class and decided class, int64 [G, C, C].
    """
    classes = decisions.shape[1]
    coded = labels >= 0
    cells = (groups[coded].astype(np.int64) * classes + labels[coded]) * classes
    cells = cells + decisions[coded].argmax(axis=1)
    counts = np.bincount(cells, minlength=size * classes**2)
    return Confusion(counts.reshape(size, classes, classes))


def recall(counts: Confusion) -> np.ndarray:
    """Return the recall of each class: the share of its frames that were decided correctly.

    Returns:
        The recall, float64 [..., C], 0 to 1; NaN for a class without frames.
    """
    return divide(counts.correct, counts.coded, counts.coded > 0)


def f1(counts: Confusion) -> np.ndarray:
    """Return the F1 of each class against all other classes, float64 [..., C].

    The F1 is NaN for a class without frames.
    """
    denominator = counts.coded + counts.matrix.sum(axis=-2)
    return divide(2.0 * counts.correct, denominator, counts.coded > 0)


def accuracy(counts: Confusion) -> np.ndarray:
    """Return the share of all coded frames that were decided correctly, float64 [...].

    The result has one value per confusion matrix, NaN if the matrix has no frames.
    """
    total = counts.coded.sum(axis=-1)
    return divide(counts.correct.sum(axis=-1), total, total > 0)
