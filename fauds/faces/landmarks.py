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
