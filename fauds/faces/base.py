"""The types that all face detectors share.

`Face` is a face in an image, `Position` says which frame an image shows, and `Detector` is the
interface of a face detector.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

Box = tuple[float, float, float, float]
"""Left, top, right and bottom of a box, in pixels; (0, 0) is the middle of the first pixel."""


GIVES = frozenset(("eyes", "points", "box"))
"""Everything that a detector can give: the centres of the eyes, the 49 points, the box."""


@dataclass(frozen=True, eq=False)
class Face:
    """A face in an image.

    Attributes:
        box: left, top, right and bottom of the box around the face, in pixels.
        landmarks: the points, float32 [K, 2], x and y in pixels, in iBUG's order: K = 68, or 66
            (without the inner corners of the lips), or 49 (without the jaw too); None if the
            detector gives boxes only. (0, 0) is the middle of the first pixel.
        eyes: the eye centres, float32 [2, 2], x and y in pixels: first the eye on the left side
            of the image, then the eye on the right side.
        estimated: whether `eyes` were estimated from `box` instead of being detected.
        score: the detector's confidence, 0 to 1; 1 if the detector reports no confidence.
    """

    box: Box
    landmarks: np.ndarray | None
    eyes: np.ndarray
    estimated: bool = False
    score: float = 1.0


@dataclass(frozen=True)
class Position:
    """Where an image comes from: its sequence (subject and task), key or file, and frame number.

    Detectors that read faces from files look up the faces of an image by its position.

    Attributes:
        source: the sequence, such as ``F001/T1`` or ``SN001``; the key of a dataset's single image,
            such as ``train_00001``; or the name of an image or video file.
        frame: the frame number: in a sequence, the number in the label files; in a video file,
            the number counted from 1; for a single image or an image file, 1.
    """

    source: str
    frame: int


class Detector(Protocol):
    """The interface of a face detector.

    Other packages add detectors through the entry-point group ``fauds.detectors``. An entry names
    a function that returns a detector. Its argument is the path that the user wrote after the
    detector's name (``--detector NAME:PATH``), a `pathlib.Path`, or None without a path; the
    function raises UsageError if it needs a path and gets None. Every worker process opens its own
    detector.

    Attributes:
        identity: the detector's name and version, and a fingerprint of the files that it reads:
            everything that its results depend on.
        gives: what the detector gives for every face: a subset of "eyes" (the eye centres, which
            may be estimated), "points" (49 landmarks) and "box". If the chosen alignment (the rule
            by which faces are cropped) needs anything else, an error is raised before any image
            is read. A detector of another package that lacks this attribute is assumed to give
            everything.
    """

    identity: str
    gives: frozenset[str]

    def find(self, image: np.ndarray, at: Position) -> list[Face]:
        """Return the faces of an image, largest first.

        Args:
            image: the image, uint8 [H, W, 3] RGB.
            at: where the image comes from: its sequence or file, and its frame number.
        """
