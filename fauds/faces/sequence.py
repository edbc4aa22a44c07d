"""Cropping of the faces of one sequence (subject and task).

The images of the sequence are read once, in order, one at a time.
"""

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
from fauds.faces.base import Detector
from fauds.faces.crop_files import CropFiles
from fauds.faces.detectors import open_detector
from fauds.faces.landmarks import Marks, marks, of_faces
from fauds.faces.outcomes import CropRows
from fauds.faces.plan import SequenceJob
from fauds.faces.streams import DecodedImage, FrameStream, open_stream

_LISTED = 20  # the largest number of unreadable images of a part that are listed


class Stopped(Exception):
    """Exception that ends a cropping run early; the files of completed frames remain on disk."""


def crop(job: SequenceJob, check: Callable[[bool], None], advance: Callable[[int], None]) -> None:
    """Crop the frames of a sequence, except those that earlier runs have already cropped.

    The sequence is divided into parts of 512 coded frames. The table rows of a part are written
    after all crops of that part.

    Args:
        job: the sequence.
        check: a function that is called with True before every part and with False before every
            image. To end the run, the function raises `Stopped`.
        advance: a function that is called after each part with the number of frames in that part.

    Raises:
        DataError: landmarks, a video or an archive cannot be read, or a file cannot be written.
    """
    files = CropFiles(job)
    pending = files.pending()
    check(True)
    if pending:
        files.prepare_folder()
        _Worker(job, files, check).crop_parts(pending, advance)


class _Worker:
    """Crops one sequence; holds its output files, its landmarks and the stream of its images."""

    def __init__(self, job: SequenceJob, files: CropFiles, check: Callable[[bool], None]) -> None:
        self._job = job
        self._alignment = job.alignment
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
    def _images(self) -> FrameStream:
        # Opened when the first image is needed, so a broken video that is not needed is no error.
        job = self._job
        return open_stream(
            job.image_root, job.images.to_pylist(), job.source, job.frames, upright=job.upright
        )

    @cached_property
    def _stream(self) -> Iterator[tuple[int, DecodedImage | DataError]]:
        return self._images.stream(_drain(self._requests))

    def _crop_part(self, number: int, part: slice) -> None:
        rows = _begin(self._job, self._landmarks, part)
        planned = rows.status <= outcome.DETECTED
        meta: dict[str, Any] = {"ended_at": None, "unreadable": {}, "oriented": 0}
        if planned.any():
            available = self._images.available[part]
            rows.status[planned & ~available] = outcome.NO_IMAGE
            meta = self._crop_images(rows, np.flatnonzero(planned & available), part.start)
        frames = self._job.frames[part].tolist()
        paths = [
            self._files.path(frame) if status <= outcome.DETECTED else None
            for frame, status in zip(frames, rows.status.tolist(), strict=True)
        ]
        detector = (self._job.request.detector or "").partition(":")[0]
        origins = (self._landmarks.form, "neighbours", detector)
        self._files.write_part(number, rows.table(paths, origins), meta)

    def _crop_images(self, rows: CropRows, wanted: np.ndarray, start: int) -> dict[str, Any]:
        """Crop some frames of a part of the sequence (up to 512 consecutive coded frames).

        Args:
            rows: the outcomes of the part's frames (cropped, or why not), which are updated.
            wanted: the frames to crop, as positions in the part, int [M].
            start: the position of the part's first frame in the sequence.

        Returns:
            The metadata of the part. "ended_at" is the number of the last readable frame if a
            video ended too early, otherwise None. "unreadable" holds the reasons why images cannot
            be read, by frame number, at most 20. "oriented" is the number of images that declare
            an EXIF orientation other than upright.
        """
        unreadable: dict[str, str] = {}
        reached = oriented = 0
        self._requests.extend((wanted + start).tolist())
        for place, image in islice(self._stream, len(wanted)):
            self._check(False)
            reached += 1
            frame = self._job.frames[place].item()
            if isinstance(image, DataError):
                rows.status[place - start] = outcome.UNREADABLE
                unreadable[str(frame)] = f"{image.where}: {image.what}"
            else:
                oriented += image.orientation != 1
                self._crop_frame(rows, place - start, frame, image)
        rows.status[wanted[reached:]] = outcome.NO_IMAGE
        # The rest of a video that ended early is not requested again.
        self._requests.clear()
        return {
            "ended_at": self._images.ended_at if reached < len(wanted) else None,
            "unreadable": dict(islice(unreadable.items(), _LISTED)),
            "oriented": oriented,
        }

    def _crop_frame(
        self, rows: CropRows, row: int, frame: int | str, decoded: DecodedImage
    ) -> None:
        height, width = decoded.image.shape[:2]
        rows.sizes[row] = width, height
        if rows.status[row] == outcome.DETECTED and not self._detect(
            rows, row, frame, decoded.image
        ):
            return
        if self._alignment.size is None and decoded.jpeg is not None:
            self._files.write(frame, decoded.jpeg)
        else:
            self._files.write(frame, warp(decoded.image, rows.transforms[row], self._alignment))

    def _detect(self, rows: CropRows, row: int, frame: int | str, image: np.ndarray) -> bool:
        """Detect and store the largest face in an image, and return whether it can be cropped.

        An alignment that needs no face crops an image without one as well.

        Args:
            rows: the outcomes of frames; the face, or the reason why there is none, is stored here.
            row: the row of this frame in `rows`.
            frame: the number of the frame, as in the label files, or its key.
            image: the image, uint8 [H, W, 3] RGB.
        """
        at = self._job.position(frame)
        spec, identity = self._job.request.detector, self._job.detector_identity
        faces = _detector(str(spec), str(identity)).find(image, at)
        if not faces and self._alignment.needs == "nothing":
            rows.status[row] = outcome.ALIGNED
            return True
        if not faces:
            rows.status[row] = outcome.NO_FACE
            return False
        known = of_faces(faces[:1])
        rows.put_face(row, known, self._alignment.transforms(known)[0])
        if np.isfinite(rows.transforms[row]).all():
            return True
        rows.status[row] = outcome.NO_LANDMARKS
        return False


def _drain(requests: deque[int]) -> Iterator[int]:
    # Not a method: a reference to the worker would keep its video or archive open.
    while requests:
        yield requests.popleft()


@lru_cache(maxsize=1)
def _detector(spec: str, identity: str) -> Detector:
    # The identity is part of the cache key, because it changes with the files of the detector.
    return open_detector(spec)


class _SequenceLandmarks:
    """The landmarks that a dataset's release holds for a sequence, read when they are needed.

    Attributes:
        form: the name of the file format, see `fauds.datasets.media_files.LandmarkFiles`; empty
            if the landmarks are not used.
    """

    def __init__(self, job: SequenceJob) -> None:
        files = job.source.landmarks if job.source else None
        unused = job.detects_all or not job.keep.any()
        self._files = None if unused else files
        self._frames = job.frames
        self._neighbours = job.request.without_landmarks == "neighbours"
        self.form = self._files.form if self._files else ""

    def part(self, part: slice) -> tuple[Marks, np.ndarray]:
        """Return the eye centres, landmarks and boxes of the faces in some frames.

        Args:
            part: the positions of the frames in the sequence.

        Returns:
            The marks of the faces in the N frames, and for which frames the landmarks were
            interpolated from neighbouring frames, bool [N].
        """
        frames = self._frames[part]
        filled = np.zeros(len(frames), bool)
        if self._files is None:
            return of_faces([None] * len(frames)), filled
        if self._filled is None:
            return landmark_files.read_marks(self._files, frames), filled
        landmarks, everywhere = self._filled
        return marks(landmarks[part]), everywhere[part]

    @cached_property
    def _filled(self) -> tuple[np.ndarray, np.ndarray] | None:
        if self._files is None or not self._neighbours:
            return None
        # The whole sequence is read, because a gap may extend beyond a part.
        return neighbours.fill(landmark_files.read(self._files, self._frames), self._frames)


def _begin(job: SequenceJob, landmarks: _SequenceLandmarks, part: slice) -> CropRows:
    """Return the expected outcomes of some frames, before any image is read.

    A frame is expected to be cropped if it has usable landmarks, if the alignment needs none, or if
    a detector is used; whether this succeeds is known only after its image is read.

    Args:
        job: the sequence.
        landmarks: the landmarks that the release holds for the sequence.
        part: the positions of the frames in the sequence.
    """
    alignment = job.alignment
    known, filled = landmarks.part(part)
    transforms = alignment.transforms(known)
    status = np.where(filled, outcome.NEIGHBOURS, outcome.ALIGNED).astype(np.int32)
    detects = job.request.detector is not None
    status[~np.isfinite(transforms).all((1, 2))] = (
        outcome.DETECTED if detects else outcome.NO_LANDMARKS
    )
    if detects and alignment.needs == "nothing":
        status[np.isnan(known.eyes).any((1, 2))] = outcome.DETECTED
    status[~job.keep[part]] = outcome.EXCLUDED
    return CropRows(status, known, transforms)
