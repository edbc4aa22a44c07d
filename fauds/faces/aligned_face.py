"""Crops the largest face of one image, with its landmarks in pixels of the crop."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fauds.errors import DataError, UsageError
from fauds.faces.alignment import alignment, warp
from fauds.faces.base import GIVES, Detector, Position
from fauds.faces.image_decoding import decode
from fauds.faces.landmarks import of_faces, to_68
from fauds.faces.plan import GIVING

_ALIGNMENT = "eyes-similarity"


@dataclass(frozen=True, eq=False)
class AlignedFace:
    """A square image of a face, with the landmarks of the face.

    Attributes:
        pixels: the image, uint8 [S, S, 3] RGB.
        landmarks: iBUG's 68 points, float32 [68, 2], x right and y down, in pixels of the image;
            NaN for points that are not known. (0, 0) is the middle of the first pixel.
    """

    pixels: np.ndarray
    landmarks: np.ndarray


def largest_face(path: Path, detector: Detector) -> AlignedFace:
    """Return the largest face of an image file, aligned as ``eyes-similarity`` (256 x 256 pixels).

    Args:
        path: the image file.
        detector: the detector that finds the face and its landmarks.

    Raises:
        UsageError: the detector does not give landmarks.
        DataError: the image cannot be read, or has no face that can be aligned.
    """
    # A detector of another package may lack the attribute.
    if "points" not in getattr(detector, "gives", GIVES):
        raise _no_landmarks(detector)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"The image cannot be read: {error.strerror}.", where=path, hint="check its path"
        ) from error
    image = decode(data, path, photograph=True)
    faces = detector.find(image, Position(path.name, 1))
    if not faces:
        raise DataError(
            "No face was found.",
            where=path,
            hint="another detector may find it, or an image in which the face is larger",
        )
    face = faces[0]
    if face.landmarks is None:
        raise _no_landmarks(detector)
    rule = alignment(_ALIGNMENT)
    (transform,) = rule.transforms(of_faces([face]))
    if not np.isfinite(transform).all():
        raise DataError(
            "The face cannot be aligned: its eyes are less than a pixel apart, or unknown.",
            where=path,
            hint="use another detector, or a larger image",
        )
    (points,) = to_68(face.landmarks[None])
    landmarks = points @ transform[:, :2].T + transform[:, 2]
    return AlignedFace(warp(image, transform, rule), landmarks.astype(np.float32))


def _no_landmarks(detector: Detector) -> UsageError:
    return UsageError(
        f"The landmarks of the face are needed, and the detector {detector.identity} gives none.",
        hint=f"name one that gives landmarks: --detector {GIVING['points']}",
    )
