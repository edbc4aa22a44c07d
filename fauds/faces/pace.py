"""How fast a sequence is cropped on this machine, and how large its crops are: a few are made."""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

import numpy as np
import pyarrow as pa

from fauds.columns import from_numpy
from fauds.errors import DataError
from fauds.faces import landmark_files
from fauds.faces.alignment import warp
from fauds.faces.crop_files import CropFiles
from fauds.faces.landmarks import marks
from fauds.faces.pictures import Picture, VideoStream, open_stream
from fauds.faces.plan import SequenceJob

_MEASURED = 20


@dataclass(frozen=True)
class Pace:
    """What one picture takes, on average, in one process.

    Attributes:
        pictures: how many were measured.
        width: of the first picture.
        height: of the first picture.
        video: whether they are frames of a video, of which each must be read, wanted or not.
        reading: seconds to read and decode one.
        cropping: seconds to warp, encode and write one.
        size: bytes of a crop.
    """

    pictures: int
    width: int
    height: int
    video: bool
    reading: float
    cropping: float
    size: float


def measure(job: SequenceJob, there: np.ndarray) -> Pace | DataError:
    """Crop the first pictures of a sequence into a temporary folder.

    Args:
        job: the sequence.
        there: which of its frames have a picture, bool [N], at least one.

    Returns:
        The pace, or why one of these pictures cannot be read, which a run would pass over.

    Raises:
        DataError: what would end a run too: no picture at all or the landmarks cannot be read.
    """
    job = _first(job, there)
    began = perf_counter()
    pictures = open_stream(job.image_root, job.images.to_pylist(), job.source, job.frames)
    images: list[Picture] = []
    for _, picture in pictures.stream(range(len(job.frames))):
        if isinstance(picture, DataError):
            return picture
        images.append(picture)
    reading = (perf_counter() - began) / len(images)
    height, width = images[0].image.shape[:2]
    transforms = _transforms(job, height, width)
    with tempfile.TemporaryDirectory() as folder:
        files = CropFiles(replace(job, folder=Path(folder)))
        files.prepare_folder()
        began = perf_counter()
        for number, (picture, transform) in enumerate(zip(images, transforms, strict=False)):
            as_it_is = job.how.size is None and picture.jpeg is not None
            crop = picture.jpeg if as_it_is else warp(picture.image, transform, job.how)
            files.write(number, crop)
        cropping = (perf_counter() - began) / len(images)
        size = sum(path.stat().st_size for path in Path(folder).rglob("*.jpg")) / len(images)
    video = isinstance(pictures, VideoStream)
    return Pace(len(images), width, height, video, reading, cropping, size)


def _first(job: SequenceJob, there: np.ndarray) -> SequenceJob:
    """Return the job with its first pictures alone; of a video, its very first frames."""
    rows = np.flatnonzero(there)[:_MEASURED]
    images = job.images.take(from_numpy(rows, pa.int64()))
    in_video = images.null_count and job.source and job.source.video and not job.source.archive
    # Those that are coded may come late, and passing the others over would be measured too.
    frames = np.arange(1, len(rows) + 1, dtype=np.int32) if in_video else job.frames[rows]
    return replace(job, frames=frames, images=images, keep=np.ones(len(rows), bool))


def _transforms(job: SequenceJob, height: int, width: int) -> np.ndarray:
    """Return the transforms of the frames; where none is known, one of the usual size."""
    side = job.how.size or 1
    found = np.tile(np.eye(2, 3) * side / min(height, width), (len(job.frames), 1, 1))
    if job.source and job.source.landmarks and job.how.needs != "nothing":
        known = job.how.transforms(marks(landmark_files.read(job.source.landmarks, job.frames)))
        found = np.where(np.isfinite(known), known, found)
    return found
