"""Cropping one sequence: its pictures pass by once, in order, one in memory at a time."""

from collections import deque
from collections.abc import Callable, Iterator
from functools import cached_property, lru_cache
from itertools import islice
from typing import Any

import numpy as np

from fauds.errors import DataError
from fauds.faces import landmark_files
from fauds.faces import landmarks as neighbours
from fauds.faces import outcomes as outcome
from fauds.faces.alignment import warp
from fauds.faces.base import Detector, Position
from fauds.faces.crop_files import CropFiles
from fauds.faces.detectors import open_detector
from fauds.faces.landmarks import Marks, marks, of_faces
from fauds.faces.outcomes import CropRows
from fauds.faces.plan import SequenceJob
from fauds.faces.streams import FrameStream, Picture, open_stream

_LISTED = 20  # unreadable pictures of a part that are named


class Stopped(Exception):
    """The run is to end; whole parts are on disk."""


def crop(job: SequenceJob, check: Callable[[bool], None], advance: Callable[[int], None]) -> None:
    """Write the crops and parts of a sequence that are not there yet.

    Args:
        job: the sequence.
        check: is asked before every picture, with whether a part begins; raises `Stopped`.
        advance: is told how many frames of a part are done.

    Raises:
        DataError: landmarks, a video or an archive cannot be read, or the disk refuses.
    """
    files = CropFiles(job)
    pending = files.pending()
    check(True)
    if pending:
        files.prepare_folder()
        _Worker(job, files, check).crop_parts(pending, advance)


class _Worker:
    def __init__(self, job: SequenceJob, files: CropFiles, check: Callable[[bool], None]) -> None:
        self._job = job
        self._how = job.how
        self._files = files
        self._check = check
        self._landmarks = _SequenceLandmarks(job)
        self._requests: deque[int] = deque()

    def crop_parts(self, pending: list[int], advance: Callable[[int], None]) -> None:
        for number in pending:
            self._check(True)
            part = self._files.slices[number]
            self._files.begin_part(number)
            self._crop_part(number, part)
            advance(part.stop - part.start)

    @cached_property
    def _pictures(self) -> FrameStream:
        # Opened when the first one is wanted: a broken video of which none is, is no matter.
        job = self._job
        return open_stream(job.image_root, job.images.to_pylist(), job.source, job.frames)

    @cached_property
    def _stream(self) -> Iterator[tuple[int, Picture | DataError]]:
        return self._pictures.stream(_taken(self._requests))

    def _crop_part(self, number: int, part: slice) -> None:
        rows = _begin(self._job, self._landmarks, part)
        planned = rows.status <= outcome.DETECTED
        meta: dict[str, Any] = {"ended_at": None, "unreadable": {}}
        if planned.any():
            there = self._pictures.there[part]
            rows.status[planned & ~there] = outcome.NO_PICTURE
            meta = self._crop_pictures(rows, np.flatnonzero(planned & there), part.start)
        frames = self._job.frames[part].tolist()
        paths = [
            self._files.path(frame) if status <= outcome.DETECTED else None
            for frame, status in zip(frames, rows.status.tolist(), strict=True)
        ]
        detector = (self._job.request.detector or "").partition(":")[0]
        origins = (self._landmarks.form, "neighbours", detector)
        self._files.write_part(number, rows.table(paths, origins), meta)

    def _crop_pictures(self, rows: CropRows, wanted: np.ndarray, start: int) -> dict[str, Any]:
        """Crop the wanted rows of a part that begins at row `start` of the sequence."""
        unreadable: dict[str, str] = {}
        reached = 0
        self._requests.extend((wanted + start).tolist())
        for place, picture in islice(self._stream, len(wanted)):
            self._check(False)
            reached += 1
            frame = int(self._job.frames[place])
            if isinstance(picture, DataError):
                rows.status[place - start] = outcome.UNREADABLE
                unreadable[str(frame)] = f"{picture.where}: {picture.what}"
            else:
                self._crop_frame(rows, place - start, frame, picture)
        rows.status[wanted[reached:]] = outcome.NO_PICTURE
        # What a video that ended did not give is not asked for again.
        self._requests.clear()
        return {
            "ended_at": self._pictures.ended_at if reached < len(wanted) else None,
            "unreadable": dict(islice(unreadable.items(), _LISTED)),
        }

    def _crop_frame(self, rows: CropRows, row: int, frame: int, picture: Picture) -> None:
        height, width = picture.image.shape[:2]
        rows.sizes[row] = width, height
        if rows.status[row] == outcome.DETECTED and not self._detect(
            rows, row, frame, picture.image
        ):
            return
        if self._how.size is None and picture.jpeg is not None:
            self._files.write(frame, picture.jpeg)
        else:
            self._files.write(frame, warp(picture.image, rows.transforms[row], self._how))

    def _detect(self, rows: CropRows, row: int, frame: int, image: np.ndarray) -> bool:
        """Ask the detector; whether the frame can be cropped by what it found."""
        at = Position(self._job.name, frame)
        spec, identity = self._job.request.detector, self._job.detector_identity
        faces = _detector(str(spec), str(identity)).find(image, at)
        if not faces:
            rows.status[row] = outcome.NO_FACE
            return False
        found = of_faces(faces[:1])
        rows.put_face(row, found, self._how.transforms(found)[0])
        if np.isfinite(rows.transforms[row]).all():
            return True
        rows.status[row] = outcome.NO_LANDMARKS
        return False


def _taken(requests: deque[int]) -> Iterator[int]:
    # No method: a stream that knew its worker would keep its video or archive open after it.
    while requests:
        yield requests.popleft()


@lru_cache(maxsize=1)
def _detector(spec: str, identity: str) -> Detector:
    # A file that was changed has another identity, and so another detector.
    return open_detector(spec)


class _SequenceLandmarks:
    """The distribution's landmarks of a sequence, read as they are needed.

    Attributes:
        form: see `fauds.datasets.media_files.LandmarkFiles`; empty where none are used.
    """

    def __init__(self, job: SequenceJob) -> None:
        found = job.source.landmarks if job.source else None
        unused = job.how.needs == "nothing" or job.detects_all or not job.keep.any()
        self._files = None if unused else found
        self._frames = job.frames
        self._neighbours = job.request.without_landmarks == "neighbours"
        self.form = self._files.form if self._files else ""

    def part(self, part: slice) -> tuple[Marks, np.ndarray]:
        """Return the marks of some frames, and which of them are neighbours'."""
        frames = self._frames[part]
        filled = np.zeros(len(frames), bool)
        if self._files is None:
            return of_faces([None] * len(frames)), filled
        if self._filled is None:
            return marks(landmark_files.read(self._files, frames)), filled
        landmarks, everywhere = self._filled
        return marks(landmarks[part]), everywhere[part]

    @cached_property
    def _filled(self) -> tuple[np.ndarray, np.ndarray] | None:
        if self._files is None or not self._neighbours:
            return None
        # Whether a gap is short is only known once its other end is.
        return neighbours.fill(landmark_files.read(self._files, self._frames), self._frames)


def _begin(job: SequenceJob, landmarks: _SequenceLandmarks, part: slice) -> CropRows:
    """Return the rows of a part as its landmarks alone tell them."""
    how = job.how
    known, filled = landmarks.part(part)
    transforms = how.transforms(known)
    status = np.where(filled, outcome.NEIGHBOURS, outcome.ALIGNED).astype(np.int32)
    asked = job.request.detector is not None and how.needs != "nothing"
    status[~np.isfinite(transforms).all((1, 2))] = (
        outcome.DETECTED if asked else outcome.NO_LANDMARKS
    )
    status[~job.keep[part]] = outcome.EXCLUDED
    return CropRows(status, known, transforms)
