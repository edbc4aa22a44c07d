"""Estimates of the time and disk space that each step needs, such as `fauds prepare`.

Each estimate is based on a measurement on this machine, or on constants that were measured on
another machine; the estimate says which (see `StepEstimate.basis`).
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

import numpy as np
import pyarrow as pa

from fauds.errors import DataError
from fauds.faces import landmark_files
from fauds.faces.alignment import warp
from fauds.faces.crop_files import CropFiles
from fauds.faces.plan import SequenceJob
from fauds.faces.streams import DecodedImage, VideoStream, open_stream
from fauds.protocols.benchmark import Benchmark
from fauds.tables.columns import from_numpy

_MEASURED = 20


@dataclass(frozen=True)
class Pace:
    """The average time and disk space that cropping one image takes in one process.

    Attributes:
        images: the number of images that were measured.
        width: the width of the first image in pixels.
        height: the height of the first image in pixels.
        video: whether the images are frames of a video. A video must be read from its first
            frame on, so frames that are not cropped take time too.
        reading: the average seconds to read and decode one image.
        cropping: the average seconds to warp, encode and write one crop.
        size: the average size of a crop in bytes.
    """

    images: int
    width: int
    height: int
    video: bool
    reading: float
    cropping: float
    size: float


def measure(job: SequenceJob, available: np.ndarray) -> Pace | DataError:
    """Crop the first images of a sequence into a temporary folder and measure time and space.

    Args:
        job: the sequence.
        available: which of the sequence's frames have an image, bool [N]; at least one has.

    Returns:
        The average time and space of an image. If one of the images cannot be read, the error
        about that image, which a real run would only record, skipping the image.

    Raises:
        DataError: an error that would also end a real run: no image can be read, or the landmark
            file cannot be read.
    """
    job = _first(job, available)
    began = perf_counter()
    stream = open_stream(
        job.image_root, job.images.to_pylist(), job.source, job.frames, upright=job.upright
    )
    images: list[DecodedImage] = []
    for _, image in stream.stream(range(len(job.frames))):
        if isinstance(image, DataError):
            return image
        images.append(image)
    reading = (perf_counter() - began) / len(images)
    height, width = images[0].image.shape[:2]
    transforms = _transforms(job, height, width)
    with tempfile.TemporaryDirectory() as folder:
        files = CropFiles(replace(job, folder=Path(folder)))
        files.prepare_folder()
        began = perf_counter()
        for number, (image, transform) in enumerate(zip(images, transforms, strict=False)):
            unchanged = image.jpeg if job.alignment.size is None else None
            crop = warp(image.image, transform, job.alignment) if unchanged is None else unchanged
            files.write(number, crop)
        cropping = (perf_counter() - began) / len(images)
        size = sum(path.stat().st_size for path in Path(folder).rglob("*.jpg")) / len(images)
    video = isinstance(stream, VideoStream)
    return Pace(len(images), width, height, video, reading, cropping, size)


def crop_size(jobs: Sequence[SequenceJob]) -> float | None:
    """Return the average bytes of a crop, measured by cropping the first images of a sequence.

    Args:
        jobs: the sequences, of which the first with an image is measured.

    Returns:
        The bytes; None if it has no image that can be read, which cropping it would report.
    """
    for job in jobs:
        try:
            images = open_stream(
                job.image_root, job.images.to_pylist(), job.source, job.frames, upright=job.upright
            )
            if not images.available.any():
                continue
            pace = measure(job, images.available)
        except DataError:
            return None
        return None if isinstance(pace, DataError) else pace.size
    return None


def _first(job: SequenceJob, available: np.ndarray) -> SequenceJob:
    """Return a job that crops only the first few images of a sequence.

    If the images come from a video, the job crops the first frames of the video, coded or not.

    Args:
        job: the job that crops the whole sequence.
        available: which frames have an image, bool [N].
    """
    rows = np.flatnonzero(available)[:_MEASURED]
    images = job.images.take(from_numpy(rows, pa.int64()))
    in_video = images.null_count and job.source and job.source.video and not job.source.archive
    # The first coded frame of a video may come late; skipping to it would distort the measurement.
    frames = np.arange(1, len(rows) + 1, dtype=np.int32) if in_video else job.frames[rows]
    return replace(job, frames=frames, images=images, keep=np.ones(len(rows), bool))


def _transforms(job: SequenceJob, height: int, width: int) -> np.ndarray:
    """Return the affine maps from pixels of images to pixels of crops, float64 [N, 2, 3].

    The landmarks of a frame determine its map. If they are unknown, the map scales the whole image
    to the size of the crop instead, because cropping with this map takes the same time.

    Args:
        job: the sequence.
        height: the height of the images in pixels.
        width: the width of the images in pixels.
    """
    side = job.alignment.size or 1
    transforms = np.tile(np.eye(2, 3) * side / min(height, width), (len(job.frames), 1, 1))
    if job.source and job.source.landmarks and job.alignment.needs != "nothing":
        landmarks = landmark_files.read_marks(job.source.landmarks, job.frames)
        known = job.alignment.transforms(landmarks)
        transforms = np.where(np.isfinite(known), known, transforms)
    return transforms


# Measured on two cores with BP4D's 146,847 frames and with ten million frames
# (benchmarks/speed/captions.py): seconds to start, seconds per frame, bytes per frame, and bytes of
# the tables whose size does not depend on the number of frames.
_START, _CAPTION, _ROW, _TABLES = 2.0, 3e-6, 10, 2**17
_REFERENCE = "as measured on two cores of another machine"


@dataclass(frozen=True)
class StepEstimate:
    """The estimated time and disk space of a step, such as cropping.

    Attributes:
        step: the name of the command that runs the step.
        seconds: the time in seconds; None if it cannot be estimated.
        size: the bytes that the step writes; None if they cannot be estimated.
        basis: what the estimate is based on, as a message for the user.
    """

    step: str
    seconds: float | None
    size: int | None
    basis: str


def captions(frames: int, reading: float) -> StepEstimate:
    """Return the estimated time and disk space of building the captions of all frames.

    Args:
        frames: the number of frames.
        reading: the seconds that reading the labels of these frames took.
    """
    return StepEstimate(
        "build-captions",
        _START + reading + _CAPTION * frames,
        _TABLES + _ROW * frames,
        f"labels read in {reading:.1f} s here, the rest {_REFERENCE}",
    )


def prepare(
    jobs: list[SequenceJob],
    available: list[np.ndarray],
    pace: Pace,
    processes: int,
    share: float = 1.0,
) -> StepEstimate:
    """Return the estimated time and disk space of cropping all sequences.

    Args:
        jobs: the sequences.
        available: for each sequence, which of its frames have an image, bool [N]; at least one
            frame of each sequence must have an image.
        pace: the average time and space of an image in one process.
        processes: the number of processes that share the work.
        share: the share, 0 to 1, of the frames with an image that can be cropped.
    """
    crops = round(share * sum(int(rows.sum()) for rows in available))
    read = crops
    if pace.video:
        # All frames of a video up to the last coded one are read.
        last = (int(job.frames[rows].max()) for job, rows in zip(jobs, available, strict=True))
        read = sum(last)
    alignment = jobs[0].alignment
    return StepEstimate(
        "prepare",
        (pace.reading * read + pace.cropping * crops) / processes,
        int(pace.size * crops),
        f"{crops:,} crops ({alignment.name} {alignment.version}) of {pace.size / 1000:.1f} kB, at "
        f"the pace measured here, over {processes} process{'es' * (processes > 1)}",
    )


def split() -> StepEstimate:
    """Return the estimated time and disk space of dividing the subjects into folds."""
    return StepEstimate("split", 1.0, _TABLES, _REFERENCE)


def bench(benchmark: Benchmark, frames: pa.Table) -> StepEstimate:
    """Return the estimate for `fauds bench`: no time, only each fold's number of training frames.

    Args:
        benchmark: the benchmark, with its published folds.
        frames: the frames table: a row for each coded frame.
    """
    unknown = "no time estimate, because the time depends on the model and the device"
    if benchmark.folds is None or not benchmark.folds.parts:
        return StepEstimate("bench", None, None, unknown)
    subjects = frames["subject"].value_counts().to_pylist()
    counts = {row["values"]: row["counts"] for row in subjects}
    sizes = [
        len(frames) - sum(counts.get(subject, 0) for subject in part)
        for part in benchmark.folds.parts.values()
    ]
    epoch = f"training frames per epoch, by fold: {', '.join(f'{size:,}' for size in sizes)}"
    return StepEstimate("bench", None, None, f"{epoch}; {unknown}")
