"""The plan of a cropping run: which frames are cropped and how, checked before images are read."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from fauds.datasets.media_files import Footage, SequenceId, Source, display_name
from fauds.errors import DataError, UsageError
from fauds.faces.alignment import Alignment, alignment
from fauds.faces.base import GIVES, Detector, Position
from fauds.faces.detectors import open_detector
from fauds.faces.landmarks import POINTS
from fauds.faces.manifest import Manifest, read_manifest
from fauds.tables import store
from fauds.tables.frames import frame_names

DETECTOR_FORMS = "cascade, dlib, face-alignment, mediapipe:MODEL, openface:FOLDER or csv:FILE"


@dataclass(frozen=True)
class CropRequest:
    """The user's choices for a cropping run.

    Attributes:
        alignment: the name of the rule by which faces are cropped, see `fauds.faces.alignment`.
        version: the required version of the alignment; None accepts the current one.
        without_landmarks: the treatment of frames for which the release has no landmarks: "drop"
            leaves them out, "neighbours" interpolates landmarks from neighbouring frames, and
            "detect" uses the detector.
        detector: the name of the face detector, as `fauds.faces.detectors.open_detector` takes it;
            None without a detector. If `without_landmarks` is "detect", the detector is used only
            for frames for which the release has no landmarks, otherwise for all frames.
        camera: the camera (DISFA has two) whose videos and landmarks are used.
        manifest: the path of a list of the frames to crop, see `fauds.faces.manifest`; None crops
            all frames.
        workers: the number of processes.
        orientation: whether images are used as they are "stored", or turned "upright" as their EXIF
            orientation says; None for "upright" if a detector finds the faces of all frames, and
            otherwise for "stored", because landmarks of the release were made for stored pixels.
        reserve: the bytes of disk space that must stay free for later steps.
    """

    alignment: str
    version: int | None
    without_landmarks: Literal["drop", "neighbours", "detect"] = "drop"
    detector: str | None = None
    camera: Literal["left", "right"] = "left"
    manifest: Path | str | None = None
    workers: int = 1
    orientation: Literal["stored", "upright"] | None = None
    reserve: int = 0

    def json_values(self) -> dict[str, Any]:
        """Return the choices that affect the crops, by name, as JSON values; paths are absolute."""
        fields = asdict(self)
        del fields["workers"], fields["reserve"]
        manifest = self.manifest and str(Path(self.manifest).resolve())
        detector = self.detector and _with_absolute_path(self.detector)
        return fields | {"manifest": manifest, "detector": detector}


def _with_absolute_path(detector: str) -> str:
    """Return a detector's name, such as ``csv:faces.csv``, with its path made absolute."""
    name, _, path = detector.partition(":")
    return f"{name}:{Path(path).expanduser().resolve()}" if path else detector


def check(request: CropRequest) -> None:
    """Check the user's choices for a cropping run.

    Raises:
        UsageError: a setting is unknown, or settings contradict each other.
    """
    choices: dict[str, tuple[str | None, ...]] = {
        "without_landmarks": ("drop", "neighbours", "detect"),
        "camera": ("left", "right"),
        "orientation": ("stored", "upright", None),
    }
    for name, known in choices.items():
        if getattr(request, name) not in known:
            raise UsageError(
                f"The value {getattr(request, name)!r} of {name} is unknown.",
                hint=f"choose from: {', '.join(filter(None, known))}",
            )
    if request.without_landmarks == "detect" and request.detector is None:
        raise UsageError(
            "Faces are to be detected in frames without landmarks (--without-landmarks detect), "
            "but no detector is named.",
            hint=f"name a detector: --detector {DETECTOR_FORMS}",
        )
    if request.without_landmarks == "neighbours" and request.detector is not None:
        raise UsageError(
            "Landmarks cannot be interpolated from neighbouring frames when a detector is used, "
            "because a detector processes one frame at a time.",
            hint="omit --detector, or use the detector for the frames without landmarks only: "
            "--without-landmarks detect",
        )
    if request.workers < 1:
        raise UsageError(
            f"The number of workers must be at least 1, not {request.workers}.",
            hint="choose 1 or more (--workers)",
        )


PORTION = 4096
"""How many images that belong to no sequence are cropped, and stored in one folder, together."""

CROPS_VERSION = 3
"""Incremented when the same images, landmarks and settings would give other crops or rows."""

_DETECTORS_OF_ALL = "dlib, face-alignment, mediapipe:MODEL, openface:FOLDER, or csv:FILE with"
# A CSV file may hold boxes only.
GIVING = {
    "eyes": f"cascade, {_DETECTORS_OF_ALL} landmarks",
    "points": f"{_DETECTORS_OF_ALL} landmarks",
    "box": f"cascade, {_DETECTORS_OF_ALL} boxes",
}
"""The detectors that give each part of a face, in words for messages."""

NEEDED = {"eyes": "the eyes", "points": "the face's points", "box": "the face's box"}
"""The parts of a face that alignments need, in words."""


@dataclass(frozen=True, eq=False)
class SequenceJob:
    """One sequence (subject and task) with everything that is needed to crop its faces.

    Attributes:
        folder: the dataset's folder.
        sequence: the subject and the task.
        frames: the N coded frames: their numbers, as in the label files, increasing, int32 [N]; or,
            for images without a number, their keys, str [N].
        keep: the frames to crop, bool [N].
        images: the paths of the frames' images, relative to `image_root`, string [N]; null for a
            frame without an image file.
        image_root: the folder that the image paths are relative to.
        source: the archive, video and landmark files of the sequence; None if it has none.
        images_digest: a digest of the names, sizes and modification times of the files in the
            sequence's folder of images, which differs if these files change; empty without such a
            folder.
        request: the user's choices.
        detector_identity: the name and version of the detector, and a fingerprint of its files;
            None without a detector.
        portion: the number of this portion of the images that belong to no sequence; 0 for others.
    """

    folder: Path
    sequence: SequenceId
    frames: np.ndarray
    keep: np.ndarray
    images: pa.Array
    image_root: Path
    source: Source | None
    images_digest: str
    request: CropRequest
    detector_identity: str | None
    portion: int = 0

    @property
    def name(self) -> str:
        """The name of the sequence, such as F001/T1 or SN001; images-0000 for single images."""
        return display_name(self.sequence) or f"images-{self.portion:04}"

    @property
    def numbered(self) -> bool:
        """Whether the frames have numbers; if not, they are single images, known by their keys."""
        return self.frames.dtype.kind != "U"

    def position(self, frame: int | str) -> Position:
        """Return the place of a frame as detectors look it up: sequence and number, or the key.

        Args:
            frame: one of `frames`.
        """
        return Position(frame, 1) if isinstance(frame, str) else Position(self.name, frame)

    @property
    def alignment(self) -> Alignment:
        """The rule by which faces are cropped."""
        return alignment(self.request.alignment, self.request.version)

    @property
    def detects_all(self) -> bool:
        """Whether the detector replaces the landmarks of the release for all frames."""
        return self.request.detector is not None and self.request.without_landmarks != "detect"

    @property
    def upright(self) -> bool:
        """Whether images are turned as their EXIF orientation says."""
        chosen = self.request.orientation
        return chosen == "upright" or (chosen is None and self.detects_all)

    @cached_property
    def fingerprint(self) -> str:
        """A hash of everything that determines the crops and table rows of the sequence."""
        request = self.request
        return store.fingerprint(
            CROPS_VERSION,
            [
                self.alignment.name,
                self.alignment.version,
                request.without_landmarks,
                request.camera,
                self.upright,
            ],
            self.detector_identity,
            [self.images_digest, self.source.digest if self.source else ""],
            [*self.sequence],
            self.frames.tobytes() if self.numbered else self.frames.tolist(),
            self.keep.tobytes(),
            self.images.to_pylist(),
        )


@dataclass(frozen=True, eq=False)
class CropPlan:
    """The plan of a cropping run over all sequences of a dataset.

    Attributes:
        request: the user's choices.
        frames: the columns frame_id, subject, task, frame and image of the frames table.
        jobs: the sequences, or portions of single images, in the order of the frames table.
        detector_identity: the name and version of the detector, and a fingerprint of its files;
            None without a detector.
        manifest: a summary of the user's list of frames to crop; None if all frames are to be
            cropped.
        notes: messages for the user about the media files, the landmark files and the list of
            frames, one per line.
    """

    request: CropRequest
    frames: pa.Table
    jobs: tuple[SequenceJob, ...]
    detector_identity: str | None
    manifest: Manifest | None
    notes: tuple[str, ...]

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that determine the crops, as JSON values."""
        alignment, request = self.jobs[0].alignment, self.request
        listed = self.manifest
        return {
            "name": alignment.name,
            "version": alignment.version,
            "size": alignment.size,
            "without_landmarks": request.without_landmarks,
            "landmarks": self.landmarks,
            "detector": self.detector_identity,
            "camera": request.camera,
            "orientation": "upright" if self.jobs[0].upright else "stored",
            "manifest": listed and {"name": listed.name, "sha256": listed.sha256},
            "crops_version": CROPS_VERSION,
        }

    @property
    def landmarks(self) -> list[str]:
        """The formats of the landmark files that the run uses, such as "bp4d-mat", sorted."""
        if self.jobs[0].detects_all:
            return []
        files = [_landmarks(job.source) for job in self.jobs]
        return sorted({file.form for file in files if file})

    def describe(self) -> str:
        """Return a description of how faces are cropped, as text that is written to results."""
        alignment, request = self.jobs[0].alignment, self.request
        definition = f"{alignment.name} {alignment.version}: {alignment.description}"
        if self.jobs[0].upright:
            definition += "; images are turned upright as their EXIF orientation says"
        if alignment.needs == "nothing":
            # The same text as for images that are used without `fauds prepare`: landmarks do not
            # change them, so that results on both can be compared.
            return definition
        without = {"drop": "left out", "neighbours": "given their neighbours' landmarks"}
        if self.jobs[0].detects_all:
            landmarks, rest = f"those of {self.detector_identity}", "left out"
        else:
            landmarks = ", ".join(self.landmarks) or "none"
            rest = without.get(
                request.without_landmarks, f"given those of {self.detector_identity}"
            )
        return f"{definition} Landmarks: {landmarks}; frames without them are {rest}."

    def describe_frames(self, in_table: str = "every coded frame") -> str:
        """Return a description of the frames that can have a crop, as text written to results.

        Args:
            in_table: a description of the frames in the dataset's frames table.
        """
        needs = "an image" if self.jobs[0].alignment.needs == "nothing" else "a face crop"
        if self.manifest is None:
            return f"{in_table} with {needs}"
        return (
            f"{in_table} with {needs} that {self.manifest.name} lists "
            f"(sha256 {self.manifest.sha256[:12]})"
        )


def make(
    folder: Path,
    frames: pa.Table,
    media: Footage,
    image_root: Path,
    image_digests: Mapping[SequenceId, str],
    request: CropRequest,
) -> CropPlan:
    """Return the plan of a cropping run.

    Args:
        folder: the dataset's folder.
        frames: the columns frame_id, subject, task, frame and image of the dataset's frames table,
            which has a row for each coded frame; and key, if frames have no numbers.
        media: the archives, videos and landmark files of the sequences.
        image_root: the folder that the paths in the column image are relative to.
        image_digests: a digest of the files in a sequence's folder of images, for each sequence
            that has such a folder.
        request: the user's choices.

    Raises:
        UsageError: settings contradict each other, the alignment or the detector is unknown, or
            the detector does not give what the alignment needs.
        DataError: the folder of the images no longer exists, the release has no landmarks that
            the alignment can use, or the list of frames to crop is invalid.
    """
    chosen = alignment(request.alignment, request.version)
    check(request)
    identity = None
    if request.detector is not None:
        detector = open_detector(request.detector)
        _check_detector(chosen, request.detector, detector)
        identity = detector.identity
    keep, listed = np.ones(len(frames), bool), None
    if request.manifest is not None:
        keep, listed = read_manifest(Path(request.manifest), frames)
    names = frame_names(frames)
    images = frames["image"].combine_chunks()
    if images.null_count < len(images) and not image_root.is_dir():
        raise DataError(
            "The folder of the images no longer exists.",
            where=image_root,
            hint="if the release was moved, name its new folder: --root FOLDER",
        )
    jobs = []
    for sequence, portion, rows in _portions(frames):
        jobs.append(
            SequenceJob(
                folder,
                sequence,
                names[rows],
                keep[rows],
                # Pickling a slice would send the whole column to the worker process.
                pa.concat_arrays([images[rows]]),
                image_root,
                _source_of(media.sources.get(sequence), names[rows]),
                image_digests.get(sequence, ""),
                request,
                identity,
                portion,
            )
        )
    if request.without_landmarks == "neighbours" and not all(job.numbered for job in jobs):
        raise UsageError(
            "Landmarks cannot be interpolated from neighbouring frames: this dataset has single "
            "images.",
            hint="leave these images out, or give them to a detector: --without-landmarks detect",
        )
    if request.detector is None:
        _check_landmarks(chosen, jobs)
    notes = (*media.notes, *(listed.notes if listed else ()))
    return CropPlan(request, frames, tuple(jobs), identity, listed, notes)


def _portions(frames: pa.Table) -> Iterator[tuple[SequenceId, int, slice]]:
    """Yield each sequence, a portion number and the slice of its rows.

    Images that belong to no sequence are divided into portions, so that several processes can crop
    them and no folder of crops has too many files; a sequence has a single portion, 0.

    Args:
        frames: the frames table.
    """
    for sequence, rows in store.sequences(frames):
        if any(sequence):
            yield sequence, 0, rows
            continue
        for portion, start in enumerate(range(rows.start, rows.stop, PORTION)):
            yield sequence, portion, slice(start, min(start + PORTION, rows.stop))


def _source_of(source: Source | None, names: np.ndarray) -> Source | None:
    """Return a sequence's media files; of images without numbers, only the landmarks of some.

    The landmarks are None if none of these images has any.

    Args:
        source: the media files of the whole sequence.
        names: the numbers or keys of the frames that are wanted.
    """
    if source is None or source.landmarks is None or names.dtype.kind != "U":
        return source
    places = source.landmarks.places
    own = {name: places[name] for name in names.tolist() if name in places}
    return replace(source, landmarks=replace(source.landmarks, places=own) if own else None)


def _check_detector(alignment: Alignment, name: str, detector: Detector) -> None:
    """Raise UsageError if a detector never gives the part of a face that an alignment needs."""
    # A detector of another package may lack the attribute.
    gives = getattr(detector, "gives", GIVES)
    if alignment.needs != "nothing" and alignment.needs not in gives:
        available = " and ".join(NEEDED[part] for part in NEEDED if part in gives)
        raise UsageError(
            f"The alignment {alignment.name} needs {NEEDED[alignment.needs]}, but the detector "
            f"{name} gives only {available or 'nothing'}.",
            hint=f"use --detector {GIVING[alignment.needs]}, or choose another --alignment",
        )


def _check_landmarks(alignment: Alignment, jobs: list[SequenceJob]) -> None:
    """Raise DataError if the release has no landmarks that the alignment can use."""
    files = [file for file in (_landmarks(job.source) for job in jobs) if file]
    if alignment.needs == "nothing":
        return
    if not files:
        raise DataError(
            f"The alignment {alignment.name} needs landmarks, but the release has none.",
            where=jobs[0].image_root,
            hint="unpack the landmark files into the folder of the release, or use --detector "
            f"{DETECTOR_FORMS}",
        )
    if alignment.needs == "points" and all(file.points < POINTS for file in files):
        raise DataError(
            f"The alignment {alignment.name} needs {NEEDED['points']}, 49 of them, but the release "
            f"holds only {files[0].points} of a face.",
            where=files[0].path,
            hint=f"choose another --alignment, or use --detector {GIVING['points']}",
        )
    if alignment.needs == "box" and all(file.points == 49 for file in files):
        raise DataError(
            f"The alignment {alignment.name} needs a box around the whole face, but the release's "
            "49 points have no jaw, so the box is unknown.",
            where=files[0].path,
            hint=f"use a detector that gives a box: --detector {GIVING['box']}",
        )


def _landmarks(source: Source | None) -> Any:
    return source.landmarks if source else None
