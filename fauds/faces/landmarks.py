"""The marks of a face: its eye centres and box, computed from its landmarks, and the landmarks.

Alignments, the rules by which faces are cropped, are defined by these marks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fauds.errors import DataError
from fauds.faces.base import Face

POINTS = 49
NOSE_TIP = 13
LEFT_EYE, RIGHT_EYE = slice(19, 25), slice(25, 31)
"""The six of the 49 points around the eye on the left, and on the right side of the image."""
MOUTH_CORNERS = (31, 37)

_INNER_LIP_CORNERS = (60, 64)
_66 = np.delete(np.arange(68), _INNER_LIP_CORNERS)
_INCLUDED = {68: np.arange(68), 66: _66, POINTS: _66[17:]}
"""For landmarks of 68, 66 and 49 points: the indices, among iBUG's 68, of the points."""


@dataclass(frozen=True, eq=False)
class Marks:
    """The eye centres, landmarks and boxes of N faces, float64, in pixels; NaN where unknown.

    Attributes:
        eyes: the eye centres, [N, 2, 2], x and y: first the eye on the left side of the image,
            then the eye on the right side.
        landmarks: iBUG's 68 points, [N, 68, 2], x and y. Points that the source of the landmarks
            does not have are NaN.
        boxes: left, top, right and bottom of the boxes around the faces, [N, 4].
    """

    eyes: np.ndarray
    landmarks: np.ndarray
    boxes: np.ndarray

    @property
    def points(self) -> np.ndarray:
        """The 49 landmarks without the jaw and the inner corners of the lips, [N, 49, 2]."""
        return self.landmarks[:, _INCLUDED[POINTS]]


def marks(landmarks: np.ndarray) -> Marks:
    """Return the eye centres, 68 points and boxes of N faces from their landmarks.

    Args:
        landmarks: the points, [N, K, 2] with K = 49, 66 or 68, in pixels; NaN for a face without
            landmarks.

    Returns:
        The marks. An eye centre is the mean of the eye's six points. The box is the bounding box
        of all points. For K = 49 the box is unknown (NaN): the 49 points do not include the jaw,
        so their bounding box would end below the lips.

    Raises:
        DataError: the number of points is not 49, 66 or 68.
    """
    points = to_68(landmarks).astype(np.float64)
    boxes = np.full((len(points), 4), np.nan)
    if landmarks.shape[1] > POINTS:
        boxes = np.concatenate([landmarks.min(1), landmarks.max(1)], 1).astype(np.float64)
    return Marks(eye_centres(points[:, _INCLUDED[POINTS]]), points, boxes)


def to_68(landmarks: np.ndarray) -> np.ndarray:
    """Return iBUG's 68 landmarks, [N, 68, 2], from 49, 66 or 68 landmarks, in the same dtype.

    A set of 66 landmarks is iBUG's 68 without the inner corners of the lips (points 60 and 64,
    counted from 0). The 49 landmarks are these 66 without the 17 points of the jaw. The points that
    a set does not have are NaN in the result.

    Args:
        landmarks: the landmarks of N faces, [N, K, 2] with K = 49, 66 or 68.

    Raises:
        DataError: the number of points is not 49, 66 or 68.
    """
    count = landmarks.shape[1]
    if count not in _INCLUDED:
        raise DataError(
            f"A face has {count} landmarks, but only 49, 66 or 68 are supported.",
            hint="use landmarks in iBUG's order: all 68; or 66, without points 60 and 64 (counted "
            "from 0); or 49, without the 17 points of the jaw as well",
        )
    points = np.full((len(landmarks), 68, 2), np.nan, landmarks.dtype)
    points[:, _INCLUDED[count]] = landmarks
    return points


def eye_centres(points: np.ndarray) -> np.ndarray:
    """Return the eye centres of N faces, [N, 2, 2], each the mean of the eye's six points.

    Args:
        points: the 49 landmarks without the jaw, [N, 49, 2].
    """
    return np.stack([points[:, LEFT_EYE].mean(1), points[:, RIGHT_EYE].mean(1)], 1)


def of_faces(faces: Sequence[Face | None]) -> Marks:
    """Return the eye centres, 68 points and boxes of faces that a detector found.

    Eye centres and boxes are those of the detector; they are not computed from the landmarks.

    Args:
        faces: the face in each of N images; None for an image without a face, whose marks are NaN.

    Raises:
        DataError: the number of landmarks of a face is not 49, 66 or 68.
    """
    result = Marks(
        np.full((len(faces), 2, 2), np.nan),
        np.full((len(faces), 68, 2), np.nan),
        np.full((len(faces), 4), np.nan),
    )
    for row, face in enumerate(faces):
        if face is None:
            continue
        result.eyes[row] = face.eyes
        result.boxes[row] = face.box
        if face.landmarks is not None:
            result.landmarks[row] = to_68(face.landmarks[None])[0]
    return result


LONGEST_GAP = 30
"""The largest number of frames in a gap that is filled; about a second."""


def fill(
    landmarks: np.ndarray, frames: np.ndarray, longest: int = LONGEST_GAP
) -> tuple[np.ndarray, np.ndarray]:
    """Fill short gaps in the landmarks of one sequence.

    A gap is a run of frames without landmarks. A gap between two frames with landmarks is filled
    by linear interpolation in time if it is at most `longest` frames long; a longer gap is left
    unchanged. The length of a gap is counted in label frame numbers, so frames that are not coded
    count too. Before the first frame with landmarks and after the last one, the landmarks of that
    frame are copied to at most `longest` frames.

    Args:
        landmarks: the landmarks, floating point [N, K, 2]; a frame with any NaN counts as a frame
            without landmarks.
        frames: the label frame numbers, increasing, int [N].
        longest: the largest number of frames in a gap that is filled.

    Returns:
        The landmarks with gaps filled, [N, K, 2], with the same dtype, and which frames were
        filled, bool [N].
    """
    known = np.isfinite(landmarks).all((1, 2))
    known_rows = np.flatnonzero(known)
    if not known_rows.size:
        return landmarks.copy(), np.zeros(len(frames), bool)
    place = np.searchsorted(known_rows, np.arange(len(frames)))
    # Before the first and after the last known frame, both neighbours are that frame.
    before = known_rows[np.maximum(place - 1, 0)]
    after = known_rows[np.minimum(place, known_rows.size - 1)]
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
