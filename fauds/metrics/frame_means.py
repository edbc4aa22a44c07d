"""Means over frames of values that frames have by action unit (AU) or class, such as cosines.

The sums of subjects add up, so that intervals and paired comparisons over subjects are computed
from them as those of F1 are from counts.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fauds.metrics.resampling import WithOverall


@dataclass(frozen=True)
class Sums:
    """The sums of the values of frames, and the numbers of frames, in any groups [...].

    Attributes:
        total: the sum of the values of the frames, float64 [..., A], for A AUs or classes.
        frames: the number of frames that have a value, int64 [..., A].
    """

    total: np.ndarray
    frames: np.ndarray

    @property
    def parts(self) -> tuple[np.ndarray, ...]:
        """The two arrays."""
        return self.total, self.frames

    def same_labels(self, other: Any) -> bool:
        """Return whether other sums have a value for the same number of frames in every group."""
        return np.array_equal(self.frames, other.frames)


def sums_by(values: np.ndarray, groups: np.ndarray, size: int) -> Sums:
    """Sum the values of frames in groups, such as the frames of each subject.

    Args:
        values: float [N, A], NaN where a frame has no value.
        groups: the number of each frame's group, int [N], 0 to size - 1.
        size: the number of groups, G.

    Returns:
        The sums, [G, A].
    """
    known = ~np.isnan(values)
    total = np.zeros((size, values.shape[1]))
    frames = np.zeros((size, values.shape[1]), np.int64)
    np.add.at(total, groups, np.where(known, values, 0).astype(np.float64))
    np.add.at(frames, groups, known)
    return Sums(total, frames)


def _divided(total: np.ndarray, frames: np.ndarray) -> np.ndarray:
    result = np.full(np.shape(total), np.nan)
    np.divide(total, frames, out=result, where=np.asarray(frames) > 0)
    return result


def _mean(sums: Sums) -> np.ndarray:
    """Return the mean over frames for each AU or class, [..., A]; NaN without a frame."""
    return _divided(sums.total, sums.frames)


def _mean_of_all(sums: Sums) -> np.ndarray:
    """Return the mean over all values of all AUs or classes, [...]; NaN without a value."""
    return _divided(sums.total.sum(-1), sums.frames.sum(-1))


MEAN = WithOverall(_mean, _mean_of_all)
"""The mean over frames. Over all AUs or classes, it is the mean of all values."""
