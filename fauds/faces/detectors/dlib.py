"""Detection of faces and 68 landmarks by dlib, with a landmark model from a package.

Two packages are needed, which are the extra ``dlib`` of fauds: dlib (its wheels are named dlib-bin)
and face-recognition-models, which holds the landmark model. Nothing else is downloaded.

The landmark model was trained on the dataset 300-W, whose licence excludes commercial use, although
the package that holds the model declares the licence MIT (see the README of
github.com/davisking/dlib-models).
"""

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fauds.errors import DataError, UsageError
from fauds.faces.base import GIVES, Box, Face, Position
from fauds.faces.landmarks import marks
from fauds.faces.tracking import around, overlap

_SEARCHED_SIDE = 640
_FOLLOWED, _FOLLOWED_SIDE = 2.0, 200
_PACKAGE = "face_recognition_models"
_MODEL = Path("models", "shape_predictor_68_face_landmarks.dat")
_INSTALL = "pip install 'fauds[dlib]'"


class DlibDetector:
    """A detector of frontal faces and iBUG's 68 landmarks, which uses dlib.

    An image is first scaled so that its longer side has 640 pixels: the time then hardly depends on
    the size of the image, and faces that fill a small image are found as well. In the scaled image,
    dlib searches for faces from 80 pixels on, an eighth of the longer side, by histograms of
    oriented gradients, and locates the landmarks by an ensemble of regression trees (Kazemi and
    Sullivan, "One millisecond face alignment with an ensemble of regression trees", CVPR 2014).
    Faces and landmarks are returned in pixels of the image before scaling.

    The box of a face is the bounding box of its landmarks. Landmarks may lie outside the image.

    Args:
        dlib: the module dlib.
        model: the file of the landmark model, about 100 MB, which is also its size in memory.

    Raises:
        DataError: the model cannot be read.
    """

    gives = GIVES

    def __init__(self, dlib: Any, model: Path) -> None:
        try:
            digest = hashlib.sha256(model.read_bytes()).hexdigest()
            self._landmarks = dlib.shape_predictor(str(model))
        except (OSError, RuntimeError) as error:
            raise DataError(
                f"dlib cannot read its landmark model: {str(error).splitlines()[0]}.",
                where=model,
                hint="install the model again: pip install --force-reinstall "
                "face-recognition-models",
            ) from error
        self._boxes = dlib.get_frontal_face_detector()
        self._rectangle = dlib.rectangle
        self.identity = f"dlib {dlib.__version__} ({digest[:16]})"

    def find(self, image: np.ndarray, at: Position) -> list[Face]:
        """Return the faces found in an image, uint8 [H, W, 3] RGB, largest first."""
        scaled = _scaled(image, _SEARCHED_SIDE)
        faces = self._faces(image, scaled, self._boxes(scaled))
        return sorted(faces, key=lambda face: -_area(face))

    def follow(self, image: np.ndarray, boxes: list[Box]) -> list[Face | None]:
        """Return the face near each box; see `fauds.faces.tracking.Follows.follow`.

        The faces are searched for in parts of the image that are twice as wide as the boxes. Their
        landmarks are located in the same scaled image as by `find`.
        """
        scaled = _scaled(image, _SEARCHED_SIDE)
        return [self._near(image, scaled, box) for box in boxes]

    def _near(self, image: np.ndarray, scaled: np.ndarray, box: Box) -> Face | None:
        part, (left, top) = around(image, box, _FOLLOWED)
        if min(part.shape[:2]) < 1:
            return None
        small = _scaled(part, _FOLLOWED_SIDE)
        factor = part.shape[1] / small.shape[1] * scaled.shape[1] / image.shape[1]
        begin = np.array((left, top)) * scaled.shape[1] / image.shape[1]
        boxes = [
            self._rectangle(
                *np.rint(np.tile(begin, 2) + factor * np.array(_edges(one))).astype(int).tolist()
            )
            for one in self._boxes(small)
        ]
        faces = self._faces(image, scaled, boxes)
        if not faces:
            return None
        near = overlap(np.array([box]), np.array([face.box for face in faces]))[0]
        return faces[int(near.argmax())] if near.max() > 0 else None

    def _faces(self, image: np.ndarray, scaled: np.ndarray, boxes: Iterable[Any]) -> list[Face]:
        """Return the faces in boxes, with landmarks in pixels of the image before scaling."""
        shapes = [self._landmarks(scaled, box).parts() for box in boxes]
        if not shapes:
            return []
        points = np.array([[(point.x, point.y) for point in shape] for shape in shapes])
        scale = image.shape[1] / scaled.shape[1], image.shape[0] / scaled.shape[0]
        # The edge of the first pixel lies half a pixel before its middle.
        points = (points + 0.5) * scale - 0.5
        landmarks = points.astype(np.float32)
        known = marks(landmarks)
        return [
            Face(tuple(known.boxes[row].tolist()), landmarks[row], known.eyes[row].astype("f4"))
            for row in range(len(landmarks))
        ]


def _scaled(image: np.ndarray, side: int) -> np.ndarray:
    """Return an image scaled so that its longer side has `side` pixels."""
    height, width = image.shape[:2]
    scale = side / max(height, width)
    if scale == 1:
        return np.ascontiguousarray(image)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)


def _edges(box: Any) -> tuple[int, int, int, int]:
    return box.left(), box.top(), box.right(), box.bottom()


def _area(face: Face) -> float:
    return (face.box[2] - face.box[0]) * (face.box[3] - face.box[1])


def open_dlib(path: Path | None) -> DlibDetector:
    """Return the detector that uses dlib and the landmark model of face-recognition-models.

    Raises:
        UsageError: a path is given, although the model is found without one, or one of the two
            packages is not installed.
        DataError: the model cannot be read.
    """
    if path is not None:
        raise UsageError(
            "The detector dlib takes no file, but its name is followed by a path.",
            where=path,
            hint="use --detector dlib, without a path",
        )
    # The package is not imported: it needs pkg_resources, which new versions of setuptools lack.
    package = find_spec(_PACKAGE)
    try:
        import dlib
    except ImportError as error:
        raise UsageError("The package dlib is not installed.", hint=_INSTALL) from error
    if package is None or package.origin is None:
        raise UsageError(
            "The package face-recognition-models, which has dlib's landmark model, is not "
            "installed.",
            hint=_INSTALL,
        )
    return _opened(dlib, Path(package.origin).parent / _MODEL)


@lru_cache(maxsize=1)
def _opened(dlib: Any, model: Path) -> DlibDetector:
    """Return the detector with a model, which takes half a second to load, from a cache."""
    return DlibDetector(dlib, model)
