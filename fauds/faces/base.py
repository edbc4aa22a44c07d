"""What this room passes around: a face in an image, where an image is from, and detectors."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels; (0, 0) is the middle of the first pixel."""


GIVES = frozenset(("eyes", "points", "box"))
"""All that a detector can give of a face: the eyes' centres, the 49 points, a box around it."""


@dataclass(frozen=True, eq=False)
class Face:
    """A face in an image.

    Attributes:
        box: around it.
        landmarks: float32 [K, 2], x and y in pixels, in iBUG's order with K = 68, or 66 (without
            the inner corners of the lips) or 49 (without the jaw too); None where a detector
            gives boxes only. (0, 0) is the middle of the first pixel.
        eyes: float32 [2, 2], the centre of the eye on the image's left, then of the other.
        estimated: whether `eyes` were estimated from the box.
        score: 0 to 1, the detector's own confidence; 1 where it has none.
    """

    box: Box
    landmarks: np.ndarray | None
    eyes: np.ndarray
    estimated: bool = False
    score: float = 1.0


@dataclass(frozen=True)
class Position:
    """Which image a detector is asked about.

    Attributes:
        source: the sequence, ``F001/T1`` or ``SN001``, or the name of an image or video file.
        frame: the label frame, or the frame of a video counted from 1; 1 for an image.
    """

    source: str
    frame: int


class Detector(Protocol):
    """Finds faces. Other packages add theirs through the entry-point group ``fauds.detectors``.

    An entry names a function that takes a `pathlib.Path` or None, what the user wrote after
    ``NAME:``, and returns a detector; it raises UsageError where it needs a path and has none.
    Detectors are made anew in every process.

    Attributes:
        identity: name, version and, of files that it reads, their fingerprint: everything that
            its answers depend on.
        gives: which of `GIVES` every face that it finds comes with, "eyes" also where they are
            estimated: what an alignment needs and a detector does not give is refused before
            any picture is read. A detector of another package that lacks this attribute is
            taken to give all.
    """

    identity: str
    gives: frozenset[str]

    def find(self, image: np.ndarray, at: Position) -> list[Face]:
        """Return the faces of an image, uint8 [H, W, 3] RGB, largest first."""
