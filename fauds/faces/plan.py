"""What is to be cropped and how: checked and settled before any picture is read."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from fauds.datasets.media_files import Footage, SequenceId, Source
from fauds.errors import DataError, UsageError
from fauds.faces.alignment import Alignment, alignment
from fauds.faces.base import GIVES, Detector
from fauds.faces.detectors import open_detector
from fauds.faces.manifest import Manifest, read_manifest
from fauds.tables import store
from fauds.tables.columns import to_numpy

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


CROPS_VERSION = 1
"""Raised whenever the same pictures, landmarks and settings would give other crops or rows."""

# By what an alignment needs; a csv may hold boxes alone.
_GIVING = {
    "eyes": "cascade, mediapipe:MODEL, openface:FOLDER, or csv:FILE with landmarks",
    "points": "mediapipe:MODEL, openface:FOLDER, or csv:FILE with landmarks",
    "box": "cascade, mediapipe:MODEL, openface:FOLDER, or csv:FILE with boxes",
}
_NEEDED = {"eyes": "the eyes", "points": "the face's points", "box": "the face's box"}


@dataclass(frozen=True, eq=False)
class SequenceJob:
    """One sequence: everything that a worker needs to know of it.

    Attributes:
        folder: the dataset's.
        sequence: subject and task.
        frames: label frame numbers, rising, int32 [N].
        keep: which of them are to be cropped, bool [N].
        images: paths of the frames' images, relative to `image_root`, string [N] with nulls.
        source: what else there is; None where nothing is.
        pictures_digest: of the images' folder by name, size and time; empty without one.
        detector_identity: of the request's detector.
    """

    folder: Path
    sequence: SequenceId
    frames: np.ndarray
    keep: np.ndarray
    images: pa.Array
    image_root: Path
    source: Source | None
    pictures_digest: str
    request: CropRequest
    detector_identity: str | None

    @property
    def name(self) -> str:
        """The sequence as people write it, F001/T1 or SN001."""
        return "/".join(filter(None, self.sequence))

    @property
    def how(self) -> Alignment:
        """The alignment."""
        return alignment(self.request.alignment, self.request.version)

    @property
    def detects_all(self) -> bool:
        """Whether the detector takes the place of the distribution's landmarks."""
        return self.request.detector is not None and self.request.without_landmarks != "detect"

    @cached_property
    def fingerprint(self) -> str:
        """The identity of the sequence's crops and rows."""
        request = self.request
        return store.fingerprint(
            CROPS_VERSION,
            [self.how.name, self.how.version, request.without_landmarks, request.camera],
            self.detector_identity,
            [self.pictures_digest, self.source.digest if self.source else ""],
            [*self.sequence],
            self.frames.tobytes(),
            self.keep.tobytes(),
            self.images.to_pylist(),
        )


@dataclass(frozen=True, eq=False)
class CropPlan:
    """All sequences of a dataset, in the order of the frames table.

    Attributes:
        frames: the table's columns frame_id, subject, task, frame and image.
        jobs: one a sequence, in order.
        detector_identity: None without a detector.
        manifest: the list of frames, where one was given.
        notes: what was found to crop from, a line each.
    """

    request: CropRequest
    frames: pa.Table
    jobs: tuple[SequenceJob, ...]
    detector_identity: str | None
    manifest: Manifest | None
    notes: tuple[str, ...]

    @property
    def settings(self) -> dict[str, Any]:
        """What decides the crops, as JSON can say it."""
        how, request = self.jobs[0].how, self.request
        listed = self.manifest
        return {
            "name": how.name,
            "version": how.version,
            "size": how.size,
            "without_landmarks": request.without_landmarks,
            "landmarks": self.landmarks,
            "detector": self.detector_identity,
            "camera": request.camera,
            "manifest": listed and {"name": listed.name, "sha256": listed.sha256},
            "crops_version": CROPS_VERSION,
        }

    @property
    def landmarks(self) -> list[str]:
        """The forms of the distribution's landmarks that are used."""
        if self.jobs[0].detects_all or self.jobs[0].how.needs == "nothing":
            return []
        return sorted({f.form for f in (_landmarks(job.source) for job in self.jobs) if f})

    def describe(self) -> str:
        """Return the alignment in words, for results."""
        how, request = self.jobs[0].how, self.request
        if how.needs == "nothing":
            return f"{how.name} {how.version}: {how.description}"
        without = {"drop": "left out", "neighbours": "given their neighbours' landmarks"}
        if self.jobs[0].detects_all:
            landmarks, rest = f"those of {self.detector_identity}", "left out"
        else:
            landmarks = ", ".join(self.landmarks) or "none"
            rest = without.get(
                request.without_landmarks, f"given those of {self.detector_identity}"
            )
        return (
            f"{how.name} {how.version}: {how.description} Landmarks: {landmarks}; frames without "
            f"them are {rest}."
        )

    def describe_frames(self, there: str = "every coded frame") -> str:
        """Return which frames are offered, in words, for results.

        Args:
            there: which frames the table holds, in words.
        """
        needs = "a picture" if self.jobs[0].how.needs == "nothing" else "a face crop"
        if self.manifest is None:
            return f"{there} with {needs}"
        return (
            f"{there} with {needs} that {self.manifest.name} lists "
            f"(sha256 {self.manifest.sha256[:12]})"
        )


def make(
    folder: Path,
    frames: pa.Table,
    footage: Footage,
    image_root: Path,
    picture_digests: Mapping[SequenceId, str],
    request: CropRequest,
) -> CropPlan:
    """Settle what is to be done.

    Args:
        folder: the dataset's.
        frames: its frames table: frame_id, subject, task, frame and image.
        footage: what else the sequences can be cropped from.
        image_root: what the column image is relative to.
        picture_digests: of the images' folders, by sequence, where there are any.
        request: what the user asks for.

    Raises:
        UsageError: settings that contradict each other, an unknown alignment or detector, or a
            detector that never gives what the alignment needs.
        DataError: the alignment needs what the distribution does not hold; a broken list.
    """
    how = alignment(request.alignment, request.version)
    check(request)
    identity = None
    if request.detector is not None:
        detector = open_detector(request.detector)
        _check_detector(how, request.detector, detector)
        identity = detector.identity
    keep, listed = np.ones(len(frames), bool), None
    if request.manifest is not None:
        keep, listed = read_manifest(Path(request.manifest), frames)
    numbers = to_numpy(frames["frame"])
    images = frames["image"].combine_chunks()
    if images.null_count < len(images) and not image_root.is_dir():
        raise DataError(
            "The images' folder is not here any more.",
            where=image_root,
            hint="if the images have moved, read them again: --root FOLDER",
        )
    jobs = []
    for sequence, rows in store.sequences(frames):
        jobs.append(
            SequenceJob(
                folder,
                sequence,
                numbers[rows],
                keep[rows],
                # A slice would take the whole column along to another process.
                pa.concat_arrays([images[rows]]),
                image_root,
                footage.sources.get(sequence),
                picture_digests.get(sequence, ""),
                request,
                identity,
            )
        )
    if request.detector is None:
        _check_landmarks(how, jobs)
    notes = (*footage.notes, *(listed.notes if listed else ()))
    return CropPlan(request, frames, tuple(jobs), identity, listed, notes)


def _check_detector(how: Alignment, name: str, detector: Detector) -> None:
    """Refuse a detector whose faces could never be cropped."""
    # A detector of another package need not say what it gives.
    gives = getattr(detector, "gives", GIVES)
    if how.needs != "nothing" and how.needs not in gives:
        given = " and ".join(_NEEDED[part] for part in _NEEDED if part in gives)
        raise UsageError(
            f"The alignment {how.name} needs {_NEEDED[how.needs]}, and the detector {name} gives "
            f"{given or 'nothing'} only.",
            hint=f"use one that gives them: --detector {_GIVING[how.needs]}; or another "
            "--alignment",
        )


def _check_landmarks(how: Alignment, jobs: list[SequenceJob]) -> None:
    """Refuse what could not crop a single frame."""
    files = [found for found in (_landmarks(job.source) for job in jobs) if found]
    if how.needs == "nothing":
        return
    if not files:
        raise DataError(
            f"The alignment {how.name} needs landmarks, and the distribution holds none.",
            where=jobs[0].image_root,
            hint=f"unpack them there too, or use a detector: --detector {DETECTOR_FORMS}",
        )
    if how.needs == "box" and all(found.points == 49 for found in files):
        raise DataError(
            f"The alignment {how.name} needs the face's box, and 49 points have no jaw.",
            where=files[0].path,
            hint=f"use a detector, which gives a box: --detector {DETECTOR_FORMS}",
        )


def _landmarks(source: Source | None) -> Any:
    return source.landmarks if source else None
