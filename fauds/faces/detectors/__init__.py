"""Detectors: where faces and landmarks come from, if not from the distribution itself."""

from collections.abc import Callable
from pathlib import Path

from fauds.faces.base import Detector
from fauds.registry import Registry

DETECTORS: Registry[Callable[[Path | None], Detector]] = Registry(
    "detector",
    {
        "cascade": "fauds.faces.detectors.cascade:open_cascade",
        "csv": "fauds.faces.detectors.face_tables:open_csv",
        "openface": "fauds.faces.detectors.face_tables:open_openface",
        "mediapipe": "fauds.faces.detectors.mediapipe:open_mediapipe",
    },
    group="fauds.detectors",
)


def open_detector(spec: str) -> Detector:
    """Return the detector that a user names, ``cascade`` or ``csv:landmarks.csv``.

    Raises:
        UsageError: there is no detector of that name, or it needs a path.
        DataError: what it reads is missing or damaged.
    """
    name, _, path = spec.partition(":")
    return DETECTORS[name](Path(path).expanduser() if path else None)
