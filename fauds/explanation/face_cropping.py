"""Crops the faces of an image in the same way as the faces that a model was trained on."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from fauds.errors import DataError, UsageError
from fauds.explanation.weights import Weights
from fauds.faces.alignment import Alignment, alignment, warp
from fauds.faces.base import GIVES, Box, Detector, Face, Position
from fauds.faces.detectors import default_detector, open_detector
from fauds.faces.landmarks import of_faces
from fauds.faces.tracking import FaceTracker, Person

_BY_NAME = ("csv", "openface")
"""Detectors that identify an image by its file name only."""


@dataclass(frozen=True, eq=False)
class FaceCrop:
    """A cropped face.

    Attributes:
        box: the left, top, right and bottom edge of the face in pixels of the image; None if the
            whole image is the face, or if the detector provides no box.
        eyes: the centres of the eyes in pixels of the image, float32 [2, 2], the left eye in the
            image first; None if unknown.
        estimated: whether `eyes` were estimated from the box.
        transform: the affine transform from pixels of the image to pixels of the crop, float64
            [2, 3].
        crop: the aligned and cropped face, uint8 [H, W, 3] RGB.
        detector: the name and version of the detector that found the face, and a fingerprint of
            its files; None if the whole image is the face.
        index: the number of the person, see `fauds.faces.tracking.Person`.
        points: the 68 landmarks in pixels of the crop, float32 [68, 2]; None if unknown.
    """

    box: Box | None
    eyes: np.ndarray | None
    estimated: bool
    transform: np.ndarray = field(repr=False)
    crop: np.ndarray = field(repr=False)
    detector: str | None = None
    index: int = 0
    points: np.ndarray | None = field(default=None, repr=False)


@dataclass(frozen=True)
class FaceChoice:
    """Which faces of an image or video are cropped.

    Attributes:
        faces: "all" faces, or the "largest" of every image.
        least: the least width and height of a face in pixels.
        detect_every: whole frames of a video are searched in every n-th frame only, and faces are
            followed in between; see `fauds.faces.tracking.FaceTracker`.
    """

    faces: Literal["all", "largest"] = "all"
    least: float = 0
    detect_every: int = 1


class Cropper(Protocol):
    """The interface of objects that crop the faces of an image.

    Attributes:
        detector: the name and version of the detector that finds the faces, and a fingerprint of
            its files; None without a detector.
    """

    detector: str | None

    def crop(self, image: np.ndarray, at: Position) -> list[FaceCrop]:
        """Return the cropped faces of an image, largest first.

        Args:
            image: the image, uint8 [H, W, 3] RGB.
            at: the file name and the frame number. Detectors that read faces from tables use them
                to look up the image.

        Raises:
            DataError: the image has no face.
        """


class WholeImages:
    """Treats every image as one face, without cropping.

    Args:
        landmarks: a detector of landmarks, whose largest face gives `FaceCrop.points`; None for
            none.
    """

    detector: str | None = None

    def __init__(self, landmarks: Detector | None = None) -> None:
        self._landmarks = landmarks

    def crop(self, image: np.ndarray, at: Position) -> list[FaceCrop]:
        """Return the whole image as its only face; for the arguments see `Cropper.crop`."""
        faces = self._landmarks.find(image, at) if self._landmarks else []
        points = _points(faces[0], np.eye(2, 3)) if faces else None
        return [FaceCrop(None, None, False, np.eye(2, 3), image, points=points)]


class DetectionCropper:
    """Crops the faces that a detector finds.

    Args:
        detector: the detector that finds the faces.
        face_alignment: the alignment of the crops.
        choice: which faces are cropped, and how often whole frames are searched.

    Raises:
        UsageError: the detector does not provide the landmarks or boxes that the alignment needs,
            or cannot follow faces between frames.
    """

    def __init__(
        self, detector: Detector, face_alignment: Alignment, choice: FaceChoice = FaceChoice()
    ) -> None:
        self.detector: str | None = detector.identity
        self._detector = detector
        self._choice = choice
        self._tracker = FaceTracker(
            detector, choice.detect_every, least=choice.least, largest=choice.faces == "largest"
        )
        self._alignment = face_alignment
        if face_alignment.needs not in ("nothing", *getattr(detector, "gives", GIVES)):
            raise self._unfit_detector()

    def crop(self, image: np.ndarray, at: Position) -> list[FaceCrop]:
        """Return the crops of the detected faces; for arguments and errors see `Cropper.crop`."""
        people = self._tracker.find(image, at)
        faces = [person.face for person in people]
        if not faces:
            least = self._choice.least
            raise DataError(
                f"No face of {least:g} pixels or more was found."
                if least
                else "No face was found.",
                where=at.source,
                hint="try another detector, or use --aligned (aligned=True) for a face crop",
            )
        crops = [
            _cropped(image, person, transform, self._alignment, self.detector)
            for person, transform in zip(
                people, self._alignment.transforms(of_faces(faces)), strict=True
            )
            if np.isfinite(transform).all()
        ]
        if not crops:
            raise DataError(
                "None of the faces can be cropped: they are too small, or the landmarks that the "
                "alignment needs are missing.",
                where=at.source,
                hint="try another detector, or give an image with larger faces",
            )
        return crops

    def _unfit_detector(self) -> UsageError:
        needs = {"eyes": "the eyes", "points": "landmarks", "box": "a box"}[self._alignment.needs]
        return UsageError(
            f"The alignment {self._alignment.name} of these weights needs {needs} of a face, "
            f"which {self._detector.identity} does not provide.",
            hint="use another detector, such as dlib, mediapipe:face_landmarker.task or "
            "openface:FOLDER, or images that are already cropped by this alignment (--aligned)",
        )


def _cropped(
    image: np.ndarray,
    person: Person,
    transform: np.ndarray,
    face_alignment: Alignment,
    detector: str | None,
) -> FaceCrop:
    face = person.face
    box = face.box if np.isfinite(face.box).all() else None
    eyes = face.eyes if np.isfinite(face.eyes).all() else None
    crop = warp(image, transform, face_alignment)
    points = _points(face, transform)
    return FaceCrop(box, eyes, face.estimated, transform, crop, detector, person.number, points)


def _points(face: Face, transform: np.ndarray) -> np.ndarray | None:
    """Return the 68 landmarks of a face in pixels of its crop, float32; None if unknown."""
    if face.landmarks is None or len(face.landmarks) != 68:
        return None
    if not np.isfinite(face.landmarks).all():
        return None
    points: np.ndarray = face.landmarks @ transform[:, :2].T + transform[:, 2]
    return points.astype(np.float32)


def check_file_names(detector: str | None, files: Sequence[Path]) -> None:
    """Check that files have distinct names if a detector identifies images by file name only.

    Args:
        detector: the name of the detector; see `fauds.faces.detectors.open_detector`.
        files: all files that are explained together.

    Raises:
        UsageError: two files have the same name, so that the detector would confuse their faces.
    """
    if detector is None or detector.partition(":")[0] not in _BY_NAME:
        return
    by_name: dict[str, Path] = {}
    for path in files:
        other = by_name.setdefault(path.name, path)
        if other != path:
            raise UsageError(
                f"Two files are named {path.name}, but {detector} identifies files by their names.",
                where=f"{other} and {path}",
                hint="explain the files one at a time, each with its own table",
            )


def cropper_for(
    weights: Weights,
    detector: str | None,
    *,
    aligned: bool = False,
    choice: FaceChoice = FaceChoice(),
) -> Cropper:
    """Return a cropper that crops faces in the same way as the faces that a model was trained on.

    Args:
        weights: the trained weights of the model, which name the alignment.
        detector: the name of the detector; see `fauds.faces.detectors.open_detector`. None for
            `fauds.faces.detectors.default_detector`, if a detector is needed.
        aligned: whether the images are already cropped as the weights require.
        choice: which faces are cropped, and how often whole frames are searched.

    Raises:
        UsageError: a detector or a choice of faces is given but not needed, the detector is unknown
            or does not provide what the alignment needs, or the alignment is unknown in this
            version of fauds.
        DataError: the files of the detector are missing or damaged.
    """
    if not (aligned or weights.whole_images):
        face_alignment = alignment(weights.alignment["name"], weights.alignment["version"])
        opened = open_detector(detector or default_detector())
        return DetectionCropper(opened, face_alignment, choice)
    if detector is not None or choice != FaceChoice():
        reason = (
            "the images are already cropped"
            if aligned
            else "the weights were trained on whole images"
        )
        raise UsageError(
            f"A detector cannot be used: {reason}.",
            hint="leave out --detector, --faces, --min-face and --detect-every",
        )
    # Evidence for a class is placed by landmarks, which probabilities do not need.
    places = weights.target.form == "multiclass" and default_detector() == "dlib"
    return WholeImages(open_detector("dlib") if places else None)
