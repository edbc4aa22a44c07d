"""Landmarks for frames that have none, from the frames of their sequence before and after."""

import numpy as np

LONGEST_GAP = 30
"""Frames in a gap that is filled at the most; about a second."""


def fill(
    landmarks: np.ndarray, frames: np.ndarray, longest: int = LONGEST_GAP
) -> tuple[np.ndarray, np.ndarray]:
    """Fill short gaps in the landmarks of one sequence.

    A gap between two frames with landmarks is filled linearly in time where it is at most
    `longest` frames long, counted by label frame numbers, whether the frames in it are coded or
    not; a longer gap stays as it is. Before the first frame with landmarks and after the last,
    theirs are copied for at most `longest` frames.

    Args:
        landmarks: floating [N, K, 2]; a frame with a NaN anywhere has none.
        frames: label frame numbers, rising, int [N].
        longest: frames in a gap.

    Returns:
        The landmarks, of the same type, and which rows were filled, bool [N].
    """
    known = np.isfinite(landmarks).all((1, 2))
    there = np.flatnonzero(known)
    if not there.size:
        return landmarks.copy(), np.zeros(len(frames), bool)
    place = np.searchsorted(there, np.arange(len(frames)))
    # At the ends both neighbours are the nearest frame.
    before = there[np.maximum(place - 1, 0)]
    after = there[np.minimum(place, there.size - 1)]
    gap = frames[after] - frames[before] - 1
    distance = np.minimum(np.abs(frames - frames[before]), np.abs(frames - frames[after]))
    near = np.where(before == after, distance, gap) <= longest
    filled = ~known & near
    low, high = before[filled], after[filled]
    share = (frames[filled] - frames[low]) / np.maximum(frames[high] - frames[low], 1)
    result = landmarks.copy()
    start = landmarks[low].astype(np.float64)
    result[filled] = start + share[:, None, None] * (landmarks[high] - start)
    return result, filled
