"""What a user asks for when faces are to be cropped."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from fauds.errors import UsageError

DETECTOR_FORMS = "cascade, mediapipe:MODEL, openface:FOLDER or csv:FILE"


@dataclass(frozen=True)
class CropRequest:
    """What the user asks for.

    Attributes:
        alignment: name, see `fauds.faces.alignment`.
        version: the alignment's that is asked for; None takes the one that there is.
        without_landmarks: what becomes of a frame that the distribution has no landmarks for.
        detector: as `fauds.faces.detectors.open_detector` takes it. With "detect" it is asked
            for the frames without landmarks only, otherwise for all of them.
        camera: which of two cameras the videos and landmarks are of.
        manifest: path of a list of the frames to crop, see `fauds.faces.manifest`; None crops
            all.
        workers: processes.
    """

    alignment: str
    version: int | None
    without_landmarks: Literal["drop", "neighbours", "detect"] = "drop"
    detector: str | None = None
    camera: Literal["left", "right"] = "left"
    manifest: Path | str | None = None
    workers: int = 1

    def plain(self) -> dict[str, Any]:
        """Return the fields that decide the crops, as JSON can say them."""
        fields = asdict(self)
        del fields["workers"]
        manifest = self.manifest and str(Path(self.manifest).resolve())
        detector = self.detector and _lasting(self.detector)
        return fields | {"manifest": manifest, "detector": detector}


def _lasting(detector: str) -> str:
    """Return a detector as it can be named from any folder."""
    name, _, path = detector.partition(":")
    return f"{name}:{Path(path).expanduser().resolve()}" if path else detector


def check(request: CropRequest) -> None:
    """Refuse settings that are unknown or contradict each other, with UsageError."""
    choices = {"without_landmarks": ("drop", "neighbours", "detect"), "camera": ("left", "right")}
    for name, known in choices.items():
        if getattr(request, name) not in known:
            raise UsageError(f"{name} is {getattr(request, name)!r}.", hint=" or ".join(known))
    if request.without_landmarks == "detect" and request.detector is None:
        raise UsageError(
            "Frames without landmarks are to be given to a detector, and none is named.",
            hint=f"name one: --detector {DETECTOR_FORMS}",
        )
    if request.without_landmarks == "neighbours" and request.detector is not None:
        raise UsageError(
            "A detector sees one frame at a time, and neighbours' landmarks need those of others.",
            hint="leave the detector out, or give it the frames without landmarks: "
            "--without-landmarks detect",
        )
    if request.workers < 1:
        raise UsageError(f"{request.workers} workers are asked for.", hint="1 or more")
