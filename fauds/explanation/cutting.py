"""From a picture to the crops that a model is shown: whole, or each face as it was trained on."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from fauds.errors import DataError, UsageError
from fauds.explanation.weights import Weights
from fauds.faces.alignment import Alignment, alignment, warp
from fauds.faces.base import GIVES, Box, Detector, Face, Position
from fauds.faces.detectors import open_detector
from fauds.faces.landmarks import of_faces

DETECTOR = "cascade"
_BY_NAME = ("csv", "openface")
"""Detectors that know a picture by its file's name alone."""


@dataclass(frozen=True, eq=False)
class Cut:
    """A face cut out; attributes as of `fauds.explanation.explained.Explanation`."""

    box: Box | None
    eyes: np.ndarray | None
    estimated: bool
    transform: np.ndarray = field(repr=False)
    crop: np.ndarray = field(repr=False)


class Cutter(Protocol):
    """Cuts the faces out of a picture."""

    def cut(self, image: np.ndarray, at: Position) -> list[Cut]:
        """Return the faces of an image, uint8 [H, W, 3] RGB, the largest first.

        Raises:
            DataError: there is no face.
        """


class WholePictures:
    """Takes every picture for one face, as it is."""

    def cut(self, image: np.ndarray, at: Position) -> list[Cut]:
        """See `Cutter`."""
        return [Cut(None, None, False, np.eye(2, 3), image)]


class Detected:
    """Cuts out what a detector finds.

    Args:
        detector: finds the faces.
        how: makes their crops.

    Raises:
        UsageError: the detector does not give what the alignment needs.
    """

    def __init__(self, detector: Detector, how: Alignment) -> None:
        self._detector = detector
        self._how = how
        if how.needs not in ("nothing", *getattr(detector, "gives", GIVES)):
            raise self._unfit()

    def cut(self, image: np.ndarray, at: Position) -> list[Cut]:
        """See `Cutter`."""
        faces = self._detector.find(image, at)
        if not faces:
            raise DataError("No face was found.", where=at.source)
        cuts = [
            _cut(image, face, transform, self._how)
            for face, transform in zip(faces, self._how.transforms(of_faces(faces)), strict=True)
            if np.isfinite(transform).all()
        ]
        if not cuts:
            raise DataError(
                "No face was found that can be cropped: it is too small, or what its alignment "
                "needs is not known.",
                where=at.source,
            )
        return cuts

    def _unfit(self) -> UsageError:
        needs = {"eyes": "the eyes", "points": "landmarks", "box": "a box"}[self._how.needs]
        return UsageError(
            f"The alignment {self._how.name}, which these weights were trained with, needs {needs} "
            f"of a face; {self._detector.identity} does not give them.",
            hint="name another detector, such as mediapipe:face_landmarker.task or "
            "openface:FOLDER, or give faces that are cropped so already (--aligned)",
        )


def _cut(image: np.ndarray, face: Face, transform: np.ndarray, how: Alignment) -> Cut:
    box = face.box if np.isfinite(face.box).all() else None
    eyes = face.eyes if np.isfinite(face.eyes).all() else None
    return Cut(box, eyes, face.estimated, transform, warp(image, transform, how))


def check_names(detector: str | None, files: Sequence[Path]) -> None:
    """Check that a detector can tell files apart.

    Args:
        detector: as `open_detector` takes it.
        files: all that are explained together.

    Raises:
        UsageError: two files of one name would both be given one file's faces.
    """
    if detector is None or detector.partition(":")[0] not in _BY_NAME:
        return
    known: dict[str, Path] = {}
    for path in files:
        other = known.setdefault(path.name, path)
        if other != path:
            raise UsageError(
                f"Two files are named {path.name}, and {detector} knows files by their names.",
                where=f"{other} and {path}",
                hint="explain them one at a time, each with its own table",
            )


def cutter_for(weights: Weights, detector: str | None, *, aligned: bool = False) -> Cutter:
    """Return what cuts faces as these weights need them.

    Args:
        detector: as `open_detector` takes it; None for `DETECTOR`, where one is needed.
        aligned: the pictures are crops already, made as those that the weights were trained on.

    Raises:
        UsageError: a detector is named where none is of use; there is no such detector; it does
            not give what the weights' alignment needs; or this fauds does not have the alignment.
        DataError: what the detector reads is missing or damaged.
    """
    if not (aligned or weights.whole_pictures):
        how = alignment(weights.alignment["name"], weights.alignment["version"])
        return Detected(open_detector(detector or DETECTOR), how)
    if detector is not None:
        why = "the pictures are crops already" if aligned else "the weights know whole pictures"
        raise UsageError(f"A detector is of no use here: {why}.", hint="leave --detector out")
    return WholePictures()
