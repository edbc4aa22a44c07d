"""Faces of a video from frame to frame: which of them are one person, and where they have moved.

A face continues a person's track if it overlaps the track's last box. A cut of the scene ends all
tracks. Between two searches of whole frames, faces are looked for where they were before.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import cv2
import numpy as np

from fauds.errors import UsageError
from fauds.faces.base import Box, Detector, Face, Position

_SAME_PERSON = 0.3
"""The least overlap, intersection over union, of a person's boxes in consecutive frames."""

_REMEMBERED = 30
"""For how many frames a person who is not found is remembered; about a second."""

_CUT = 30
"""The mean difference of grey levels between frames from which on the scene is a new one."""

_THUMBNAIL = (32, 18)


@runtime_checkable
class Follows(Protocol):
    """The interface of detectors that can look for a face where it was in the frame before."""

    def follow(self, image: np.ndarray, boxes: list[Box]) -> list[Face | None]:
        """Return the face near each box, or None where there is none.

        Args:
            image: the image, uint8 [H, W, 3] RGB.
            boxes: the boxes of faces in the frame before, in pixels of the image.
        """


@dataclass(frozen=True, eq=False)
class Person:
    """A face with the number of its person.

    Attributes:
        number: the person's number within the video, counted from 0 in the order of appearance,
            larger faces first. In an image, 0 is the largest face.
        face: the face.
    """

    number: int
    face: Face


@dataclass
class _Track:
    number: int
    box: np.ndarray
    missed: int = 0


class FaceTracker:
    """Finds the faces of images and of videos' frames, which are given in order.

    Args:
        detector: the detector that finds the faces.
        every: the whole frame is searched in every n-th frame of a video; in the others, faces are
            looked for where they were. Whole frames are also searched when a face is lost, and
            after a cut.
        least: the least width and height of a face in pixels; smaller faces are left out.
        largest: whether only the largest face of a frame is returned.

    Raises:
        UsageError: the detector cannot look for faces where they were, but it should.
    """

    def __init__(
        self, detector: Detector, every: int = 1, *, least: float = 0, largest: bool = False
    ) -> None:
        if every > 1 and not isinstance(detector, Follows):
            raise UsageError(
                f"The detector {detector.identity} cannot follow faces between frames.",
                hint="leave out --detect-every, or use --detector dlib or cascade",
            )
        self._detector = detector
        self._every = every
        self._least = least
        self._largest = largest
        self._source = ""
        self._begin("")

    def _begin(self, source: str) -> None:
        self._source = source
        self._tracks: list[_Track] = []
        self._people = 0
        self._thumbnail: np.ndarray | None = None
        self._since_search = self._every
        self._last: list[Box] = []

    def find(self, image: np.ndarray, at: Position) -> list[Person]:
        """Return the faces of an image, largest first, with the numbers of their people.

        Args:
            image: the image, uint8 [H, W, 3] RGB.
            at: the file name and the frame number. A frame numbered 1 begins a new video.
        """
        if at.frame == 1 or at.source != self._source:
            self._begin(at.source)
        if self._is_cut(image):
            self._tracks, self._since_search = [], self._every
        faces = self._search_or_follow(image, at)
        self._last = [place(face) for face in faces]
        kept = [face for face in faces if _side(place(face)) >= self._least]
        kept.sort(key=lambda face: -_area(place(face)))
        return self._numbered(kept[:1] if self._largest else kept)

    def _search_or_follow(self, image: np.ndarray, at: Position) -> list[Face]:
        self._since_search += 1
        if self._since_search <= self._every - 1 and isinstance(self._detector, Follows):
            faces = _distinct(self._detector.follow(image, self._last))
            if len(faces) == len(self._last):
                return faces
        self._since_search = 0
        return self._detector.find(image, at)

    def _is_cut(self, image: np.ndarray) -> bool:
        """Return whether an image differs so much from the one before that it shows a new scene."""
        # Every fourth pixel is enough for an average.
        small = cv2.resize(image[::4, ::4], _THUMBNAIL, interpolation=cv2.INTER_AREA)
        thumbnail, before = small.astype(np.float32).mean(2), self._thumbnail
        self._thumbnail = thumbnail
        return before is not None and float(np.abs(thumbnail - before).mean()) > _CUT

    def _numbered(self, faces: list[Face]) -> list[Person]:
        boxes = np.array([place(face) for face in faces], np.float64).reshape(-1, 4)
        # People who were lost come back only where nobody else is.
        tracks = sorted(self._tracks, key=lambda track: track.missed)
        overlaps = overlap(np.array([track.box for track in tracks]).reshape(-1, 4), boxes)
        recent = np.array([0.5 if track.missed else 1.0 for track in tracks])[:, None]
        continued: dict[int, _Track] = {}
        taken: set[int] = set()
        weighted = overlaps * recent
        for pair in np.argsort(-weighted, axis=None, kind="stable").tolist():
            row, column = divmod(pair, len(faces))
            if overlaps[row, column] < _SAME_PERSON or row in taken or column in continued:
                continue
            taken.add(row)
            continued[column] = tracks[row]
        for track in tracks:
            track.missed += 1
        people = []
        for column, face in enumerate(faces):
            if column in continued:
                track = continued[column]
            else:
                track = _Track(self._people, boxes[column])
                self._tracks.append(track)
                self._people += 1
            track.box, track.missed = boxes[column], 0
            people.append(Person(track.number, face))
        self._tracks = [track for track in self._tracks if track.missed <= _REMEMBERED]
        return people


def place(face: Face) -> Box:
    """Return the box of a face; where its box is unknown, a square about its eyes."""
    if np.isfinite(face.box).all():
        return face.box
    middle, across = face.eyes.mean(0), float(np.linalg.norm(face.eyes[1] - face.eyes[0]))
    left, top = (middle - (across, 0.6 * across)).tolist()
    return left, top, left + 2 * across, top + 2 * across


def overlap(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the intersections over unions of boxes, [N, 4], with others, [M, 4], as [N, M]."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=-1)
    areas, of_others = (np.prod(b[:, 2:] - b[:, :2], axis=-1) for b in (boxes, others))
    unions = np.maximum(areas[:, None] + of_others[None] - shared, 1e-9)
    shares: np.ndarray = np.nan_to_num(shared / unions)
    return shares


def _distinct(faces: list[Face | None]) -> list[Face]:
    """Return the faces that were found, each once, although two searches may find the same."""
    kept: list[Face] = []
    for face in faces:
        if face is not None and not (
            kept
            and overlap(np.array([place(face)]), np.array([place(one) for one in kept])).max()
            > _SAME_PERSON
        ):
            kept.append(face)
    return kept


def _side(box: Box) -> float:
    return min(box[2] - box[0], box[3] - box[1])


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def around(image: np.ndarray, box: Box, enlarged: float) -> tuple[np.ndarray, tuple[int, int]]:
    """Return the part of an image around a box, and the position of the part's first pixel.

    Args:
        image: the image, uint8 [H, W, 3].
        box: the box in pixels of the image.
        enlarged: the side of the part, a square if it lies within the image, as a multiple of the
            longer side of the box.

    Returns:
        The part, uint8 [h, w, 3], which is empty if the box lies outside the image, and x and y of
        its first pixel in the image.
    """
    reach = enlarged * max(box[2] - box[0], box[3] - box[1]) / 2
    middle = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    left, top = (max(int(at - reach), 0) for at in middle)
    right, bottom = (max(int(at + reach) + 1, 0) for at in middle)
    return image[top:bottom, left:right], (left, top)
