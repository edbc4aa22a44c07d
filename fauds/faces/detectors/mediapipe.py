"""Detection of landmarks by MediaPipe's FaceLandmarker, whose model file the user downloads."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from fauds.errors import DataError, UsageError
from fauds.faces.base import GIVES, Face, Position
from fauds.faces.landmarks import marks

_MODEL = (
    "download face_landmarker.task from MediaPipe's page on the Face Landmarker "
    "(ai.google.dev/edge/mediapipe/solutions/vision/face_landmarker), and name it: "
    "mediapipe:face_landmarker.task"
)
_MOST_FACES = 5

# In iBUG's order; left and right are those of the image.
_JAW = (127, 234, 93, 132, 58, 172, 150, 176, 152, 400, 379, 397, 288, 361, 323, 454, 356)
_BROWS = (70, 63, 105, 66, 107, 336, 296, 334, 293, 300)
_NOSE = (168, 197, 5, 4, 98, 97, 2, 326, 327)
_EYES = (33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380)
_OUTER_LIPS = (61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181)
_INNER_LIPS = (78, 82, 13, 312, 308, 317, 14, 87)
VERTICES = np.array([*_JAW, *_BROWS, *_NOSE, *_EYES, *_OUTER_LIPS, *_INNER_LIPS])
"""The vertex of the mesh for each of iBUG's 68 points, int64 [68]."""


class MediaPipeDetector:
    """A detector of 68 landmarks, chosen from the 478 vertices of MediaPipe's face mesh.

    The mesh has no exact counterparts of iBUG's points, so each of the 68 points is the vertex
    that usually lies nearest to iBUG's point. The corners of the eyes and the mouth and the tip of
    the nose agree well with iBUG's points, the brows only roughly. The jaw follows the outline of
    the mesh, whose points are spaced differently. The vertices of the irises are not used. At most
    5 faces per image are returned.
    """

    gives = GIVES

    def __init__(self, mediapipe: Any, landmarker: Any, identity: str) -> None:
        self._mediapipe = mediapipe
        self._landmarker = landmarker
        self.identity = identity

    def find(self, image: np.ndarray, at: Position) -> list[Face]:
        """Return the faces found in an image, uint8 [H, W, 3] RGB, largest first."""
        media_image = self._mediapipe.Image(
            image_format=self._mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(image)
        )
        meshes = self._landmarker.detect(media_image).face_landmarks
        if not meshes:
            return []
        shares = np.array([[(point.x, point.y) for point in mesh] for mesh in meshes])
        # MediaPipe counts shares of the image from the edge of the first pixel.
        size = [image.shape[1], image.shape[0]]
        landmarks = (shares[:, VERTICES] * size - 0.5).astype(np.float32)
        known = marks(landmarks)
        areas = np.prod(known.boxes[:, 2:] - known.boxes[:, :2], axis=1)
        return [
            Face(tuple(known.boxes[row].tolist()), landmarks[row], known.eyes[row].astype("f4"))
            for row in np.argsort(-areas, kind="stable")
        ]


def open_mediapipe(path: Path | None) -> MediaPipeDetector:
    """Return MediaPipe's detector with the model in a file, such as face_landmarker.task.

    Raises:
        UsageError: no path is given, or MediaPipe is not installed.
        DataError: the file does not exist, or MediaPipe cannot use it as a model.
    """
    if path is None:
        raise UsageError("The detector mediapipe needs the path of a model file.", hint=_MODEL)
    try:
        model = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"MediaPipe's model file cannot be read: {error.strerror or error}.",
            where=path,
            hint=_MODEL,
        ) from error
    try:
        import mediapipe
        from mediapipe.tasks.python import BaseOptions
        from mediapipe.tasks.python.vision import FaceLandmarker, FaceLandmarkerOptions
    except ImportError as error:
        raise UsageError(
            "MediaPipe is not installed.", hint="pip install 'fauds[mediapipe]'"
        ) from error
    options = FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_buffer=model), num_faces=_MOST_FACES
    )
    try:
        landmarker = FaceLandmarker.create_from_options(options)
    except (ValueError, RuntimeError) as error:
        raise DataError(
            f"MediaPipe cannot use the model file: {error}", where=path, hint=_MODEL
        ) from error
    digest = hashlib.sha256(model).hexdigest()[:16]
    identity = f"mediapipe {mediapipe.__version__} ({digest})"
    return MediaPipeDetector(mediapipe, landmarker, identity)
