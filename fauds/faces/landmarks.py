"""From landmarks of any scheme to what an alignment needs: eye centres, 49 points, a box."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fauds.errors import DataError
from fauds.faces.base import Face

POINTS = 49
NOSE_TIP = 13
LEFT_EYE, RIGHT_EYE = slice(19, 25), slice(25, 31)
"""The six points around the eye on the image's left, and around the other, in the 49."""
MOUTH_CORNERS = (31, 37)

_JAW = 17
_INNER_LIP_CORNERS = (60, 64)


@dataclass(frozen=True, eq=False)
class Marks:
    """What is known of N faces, float64, in pixels; NaN where it is not known.

    Attributes:
        eyes: [N, 2, 2], the centre of the eye on the image's left, then of the other; x and y.
        points: [N, 49, 2], x and y.
        boxes: [N, 4], left, top, right, bottom.
    """

    eyes: np.ndarray
    points: np.ndarray
    boxes: np.ndarray


def marks(landmarks: np.ndarray) -> Marks:
    """Return what landmarks say of faces.

    Args:
        landmarks: [N, K, 2] with K = 49, 66 or 68, pixels; NaN for a face without them.

    Returns:
        An eye's centre is the mean of its six points. The box is the least one around all
        points; it is known only where the points of the jaw are there (66 and 68), since
        without them it ends below the lips.

    Raises:
        DataError: another number of points.
    """
    points = to_49(landmarks).astype(np.float64)
    boxes = np.full((len(points), 4), np.nan)
    if landmarks.shape[1] > POINTS:
        boxes = np.concatenate([landmarks.min(1), landmarks.max(1)], 1).astype(np.float64)
    return Marks(eye_centres(points), points, boxes)


def to_49(landmarks: np.ndarray) -> np.ndarray:
    """Return the 49 points of landmarks [N, K, 2], K = 49, 66 or 68, as [N, 49, 2].

    The 66 are iBUG's 68 without the inner corners of the lips (60 and 64, from 0); the 49 are
    the 66 without the 17 points of the jaw.

    Raises:
        DataError: another number of points.
    """
    count = landmarks.shape[1]
    if count == 68:
        landmarks, count = np.delete(landmarks, _INNER_LIP_CORNERS, 1), 66
    if count == 66:
        landmarks, count = landmarks[:, _JAW:], POINTS
    if count != POINTS:
        raise DataError(
            f"These are landmarks of {count} points: 49, 66 or 68 are read.",
            hint="66 are iBUG's 68 without 60 and 64; 49 are the 66 without the 17 of the jaw",
        )
    return landmarks


def eye_centres(points: np.ndarray) -> np.ndarray:
    """Return the mean of each eye's six points, [N, 2, 2], of the 49 points [N, 49, 2]."""
    return np.stack([points[:, LEFT_EYE].mean(1), points[:, RIGHT_EYE].mean(1)], 1)


def of_faces(faces: Sequence[Face | None]) -> Marks:
    """Return what a detector says of faces, its own eyes and boxes; None is no face.

    Raises:
        DataError: landmarks of another number of points than 49, 66 or 68.
    """
    found = Marks(
        np.full((len(faces), 2, 2), np.nan),
        np.full((len(faces), POINTS, 2), np.nan),
        np.full((len(faces), 4), np.nan),
    )
    for row, face in enumerate(faces):
        if face is None:
            continue
        found.eyes[row] = face.eyes
        found.boxes[row] = face.box
        if face.landmarks is not None:
            found.points[row] = to_49(face.landmarks[None])[0]
    return found


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
