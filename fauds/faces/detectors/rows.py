"""Faces that were read from a table, a row a face."""

from dataclasses import dataclass

import numpy as np

from fauds.faces.base import Face
from fauds.faces.detectors.csvfile import CsvFile
from fauds.faces.landmarks import marks


@dataclass(frozen=True, eq=False)
class DetectedFaces:
    """The faces of many images.

    Attributes:
        boxes: [N, 4]; NaN where not known.
        landmarks: float32 [N, K, 2], or None.
        eyes: [N, 2, 2]; NaN where not known.
        scores: [N].
    """

    boxes: np.ndarray
    landmarks: np.ndarray | None
    eyes: np.ndarray
    scores: np.ndarray

    def face(self, row: int) -> Face:
        """Return the face of a row."""
        left, top, right, bottom = self.boxes[row].tolist()
        return Face(
            (left, top, right, bottom),
            None if self.landmarks is None else self.landmarks[row],
            self.eyes[row].astype(np.float32),
            score=float(self.scores[row]),
        )


def complete(file: CsvFile, landmarks: np.ndarray | None, boxes: np.ndarray | None) -> np.ndarray:
    """Return which rows have a face, bool [N].

    Raises:
        DataError: a row has a part of its coordinates only, or a box without extent.
    """
    parts = [part.reshape(len(part), -1) for part in (landmarks, boxes) if part is not None]
    finite = np.isfinite(np.concatenate(parts, axis=1))
    partly = np.flatnonzero(finite.any(1) & ~finite.all(1))
    if len(partly):
        raise file.bad(
            "Some of the face's coordinates are missing.",
            int(partly[0]),
            "give all of them, or leave all empty where no face was found",
        )
    there = finite.all(1)
    if boxes is not None:
        empty = np.flatnonzero(there & ~(boxes[:, 2:] > boxes[:, :2]).all(1))
        if len(empty):
            raise file.bad(
                "The box ends before it begins.",
                int(empty[0]),
                "right must be larger than left, and bottom than top",
            )
    return there


def paired(numbers: np.ndarray) -> np.ndarray:
    """Return columns x, y, x, y and so on, [N, 2 K], as points [N, K, 2]."""
    return numbers.reshape(len(numbers), -1, 2)


def faces_of(
    landmarks: np.ndarray | None, boxes: np.ndarray | None, scores: np.ndarray | None = None
) -> DetectedFaces:
    """Return faces of which at least one of landmarks and boxes is known.

    Args:
        landmarks: [N, K, 2], K = 49, 66 or 68; without them the eyes are NaN.
        boxes: [N, 4]; where None, the least ones around 66 or 68 landmarks, NaN for 49.
        scores: [N]; where None, 1.
    """
    count = len(boxes if landmarks is None else landmarks)
    eyes = np.full((count, 2, 2), np.nan)
    if landmarks is not None:
        found = marks(landmarks)
        eyes = found.eyes
        boxes = found.boxes if boxes is None else boxes
    return DetectedFaces(boxes, landmarks, eyes, np.ones(count) if scores is None else scores)
