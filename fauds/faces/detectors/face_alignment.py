"""Detection of faces and 68 landmarks by the package face-alignment, with weights of the user's.

The package downloads its weights when it is used for the first time. Here it is used only if they
are already where PyTorch keeps such files, so that nothing is downloaded without being asked for.
"""

import hashlib
import warnings
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fauds.errors import DataError, UsageError
from fauds.faces.base import GIVES, Face, Position
from fauds.faces.landmarks import marks

_WEIGHTS = ("s3fd-619a316812.pth", "2DFAN4-11f355bf06.pth.tar")
_FROM = "https://www.adrianbulat.com/downloads/python-fan/"
_SEARCHED_SIDE = 640


class FaceAlignmentDetector:
    """A detector of faces (S3FD) and of iBUG's 68 landmarks (2D-FAN) in any pose.

    An image whose longer side has more than 640 pixels is first reduced to that size. Faces and
    landmarks are returned in pixels of the image as it is. The landmarks are those of Bulat and
    Tzimiropoulos, "How far are we from solving the 2D & 3D face alignment problem?", ICCV 2017.

    Args:
        aligner: a ``face_alignment.FaceAlignment`` for landmarks in two dimensions.
        identity: the name and version of the package, and a fingerprint of the weights.
    """

    gives = GIVES

    def __init__(self, aligner: Any, identity: str) -> None:
        self._aligner = aligner
        self.identity = identity

    def find(self, image: np.ndarray, at: Position) -> list[Face]:
        """Return the faces found in an image, uint8 [H, W, 3] RGB, largest first."""
        height, width = image.shape[:2]
        scale = min(1.0, _SEARCHED_SIDE / max(height, width))
        size = (max(round(width * scale), 1), max(round(height * scale), 1))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        with warnings.catch_warnings():
            # An image without a face is reported by fauds.
            warnings.simplefilter("ignore")
            results = self._aligner.get_landmarks_from_image(small, return_bboxes=True)
        landmarks, _, boxes = results
        if not landmarks:
            return []
        points = np.stack(landmarks)[:, :, :2]
        # The edge of the first pixel lies half a pixel before its middle.
        points = ((points + 0.5) * (width / size[0], height / size[1]) - 0.5).astype(np.float32)
        known = marks(points)
        areas = np.prod(known.boxes[:, 2:] - known.boxes[:, :2], axis=1)
        return [
            Face(
                tuple(known.boxes[row].tolist()),
                points[row],
                known.eyes[row].astype("f4"),
                score=float(boxes[row][-1]),
            )
            for row in np.argsort(-areas, kind="stable")
        ]


def open_face_alignment(path: Path | None) -> FaceAlignmentDetector:
    """Return the detector that uses the package face-alignment, on the CPU.

    Raises:
        UsageError: a path is given, the package is not installed, or its weights are not where
            PyTorch keeps downloaded files.
        DataError: the weights cannot be read.
    """
    if path is not None:
        raise UsageError(
            "The detector face-alignment takes no file, but its name is followed by a path.",
            where=path,
            hint="use --detector face-alignment, without a path",
        )
    try:
        import face_alignment
    except ImportError as error:
        raise UsageError(
            "The package face-alignment is not installed.", hint="pip install face-alignment"
        ) from error
    from torch import hub

    folder = Path(hub.get_dir()) / "checkpoints"
    missing = [name for name in _WEIGHTS if not (folder / name).is_file()]
    if missing:
        raise UsageError(
            f"The weights of face-alignment are missing: {', '.join(missing)}.",
            where=folder,
            hint="download them to this folder: " + ", ".join(_FROM + name for name in missing),
        )
    changed = tuple((folder / name).stat().st_mtime_ns for name in _WEIGHTS)
    return _opened(face_alignment, folder, changed)


@lru_cache(maxsize=1)
def _opened(package: Any, folder: Path, changed: tuple[int, ...]) -> FaceAlignmentDetector:
    digest = hashlib.sha256()
    try:
        for name in _WEIGHTS:
            digest.update((folder / name).read_bytes())
        # Compiling the network would take minutes, for a gain in long runs only.
        aligner = package.FaceAlignment(package.LandmarksType.TWO_D, device="cpu", compile=False)
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        raise DataError(
            f"face-alignment cannot read its weights: {str(error).splitlines()[0]}.",
            where=folder,
            hint="download the weights again",
        ) from error
    installed = version("face-alignment")
    return FaceAlignmentDetector(aligner, f"face-alignment {installed} ({digest.hexdigest()[:16]})")
