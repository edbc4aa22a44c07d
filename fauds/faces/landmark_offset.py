"""Finds the offset of landmarks that have another number of frames than their video.

An offset is only reported. Landmarks are never shifted.
"""

import cv2
import h5py
import numpy as np

from fauds.datasets.media_files import LandmarkFiles
from fauds.errors import DataError
from fauds.faces import landmark_files
from fauds.faces.alignment import alignment
from fauds.faces.plan import SequenceJob
from fauds.faces.streams import VideoStream, open_stream
from fauds.faces.video import Video

_READ = 300
"""The number of frames that an offset is judged by."""

_FARTHEST = 30
_SIDE = 64
_CLEARLY, _NEXT = 0.95, 0.99
"""An offset fits best only if crops vary by less than these shares of their variation at the median
offset, and at any offset that is not next to it."""


def mismatch(job: SequenceJob) -> str | None:
    """Return a message if a sequence has landmarks of another number of frames than its video.

    Args:
        job: the sequence.

    Returns:
        The message, with both numbers and the offset that fits best, if one does; None if the
        numbers are equal, or if the sequence has no video or no landmark files.

    Raises:
        DataError: the video or the landmarks cannot be read.
    """
    files = job.source.landmarks if job.source else None
    if files is None or job.detects_all or job.alignment.needs == "nothing":
        return None
    stream = open_stream(job.image_root, job.images.to_pylist(), job.source, job.frames)
    if not isinstance(stream, VideoStream) or job.source is None or job.source.video is None:
        return None
    landmarks = _last_frame(files)
    video = Video(job.source.video, threads=1)
    frames = len(video.times)
    # Text files may hold the landmarks of the coded frames only.
    if landmarks == frames or (files.places and landmarks == job.frames[-1] < frames):
        return None
    return (
        f"the video has {frames:,} frames, and its landmarks are those of {landmarks:,}; "
        f"{_described(best_offset(video, files, landmarks))}; nothing is shifted"
    )


def _described(offset: int | None) -> str:
    if offset is None:
        return "no offset fits the images clearly best"
    if offset == 0:
        return "they fit the images best as they are"
    shown = f"n + {offset}" if offset > 0 else f"n - {-offset}"
    return f"the landmarks of frame {shown} fit the image of frame n best"


def _last_frame(files: LandmarkFiles) -> int:
    """Return the number of the last frame that landmark files have an entry for."""
    if files.places:
        return max(place for place in files.places if isinstance(place, int))
    try:
        with h5py.File(files.path, "r", locking=False) as file:
            return int(file["fit/pred"].size)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise DataError(
            f"{files.path.name} cannot be read as a MATLAB file of version 7.3.",
            where=files.path,
            hint="copy or unpack the file again from the release",
        ) from error


def best_offset(video: Video, files: LandmarkFiles, last: int) -> int | None:
    """Return how many frames landmarks are ahead of the images that they fit best.

    At the right offset, faces that are aligned by the landmarks stay in place although the head
    moves. For every offset of up to 30 frames, the first 300 frames are aligned by their eyes, and
    the standard deviation of each pixel over time is averaged.

    Args:
        video: the video.
        files: the landmark files.
        last: the number of the last frame that the files have an entry for.

    Returns:
        The offset, so that the landmarks of frame n + offset belong to image n; None if no offset
        fits clearly better than those that are not next to it, as with a head at rest.
    """
    marks = landmark_files.read_marks(files, np.arange(1, last + 1, dtype=np.int32))
    rule = alignment("eyes-similarity")
    transforms = rule.transforms(marks) * (_SIDE / (rule.size or _SIDE))
    last = min(last, len(video.times))
    # Every offset is judged by the same images.
    reach = min(_FARTHEST, last // 4)
    offsets = np.arange(-reach, reach + 1)
    sums = np.zeros((len(offsets), _SIDE, _SIDE))
    squares, counts = np.zeros_like(sums), np.zeros(len(offsets))
    for frame in video.stream(range(reach + 1, min(reach + _READ, last - reach) + 1)):
        grey = cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY)
        for at, offset in enumerate(offsets.tolist()):
            row = frame.number + offset - 1
            if np.isfinite(transforms[row]).all():
                crop = cv2.warpAffine(grey, transforms[row], (_SIDE, _SIDE)).astype(np.float64)
                sums[at] += crop
                squares[at] += crop**2
                counts[at] += 1
    used = counts >= max(counts.max() / 2, 10)
    if not used.any():
        return None
    seen = np.maximum(counts, 1)[:, None, None]
    spread = np.sqrt(np.maximum(squares / seen - (sums / seen) ** 2, 0)).mean((1, 2))
    spread[~used] = np.inf
    best = int(spread.argmin())
    others = spread[np.abs(offsets - offsets[best]) > 1]
    limits = (_CLEARLY * np.median(spread), _NEXT * others.min(initial=np.inf))
    if not (len(others) and spread[best] < min(limits)):
        return None
    return int(offsets[best])
