"""What the steps will take in time and disk, from a measured pace and stated constants."""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

import numpy as np
import pyarrow as pa

from fauds.errors import DataError
from fauds.faces import landmark_files
from fauds.faces.alignment import warp
from fauds.faces.crop_files import CropFiles
from fauds.faces.landmarks import marks
from fauds.faces.plan import SequenceJob
from fauds.faces.streams import Picture, VideoStream, open_stream
from fauds.protocols.benchmark import Benchmark
from fauds.tables.columns import from_numpy

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
            as_it_is = picture.jpeg if job.how.size is None else None
            crop = warp(picture.image, transform, job.how) if as_it_is is None else as_it_is
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


# Of two cores, from BP4D's 146,847 frames and from ten million (benchmarks/speed/captions.py):
# seconds to start, seconds and bytes a frame, bytes of the tables that do not grow with them.
_START, _CAPTION, _ROW, _TABLES = 2.0, 3e-6, 10, 2**17
_ELSEWHERE = "as measured on two other cores"


@dataclass(frozen=True)
class StepEstimate:
    """What a step takes.

    Attributes:
        step: the command.
        seconds: None where it cannot be known beforehand.
        size: bytes that it writes; None where that cannot be known.
        basis: what the figures rest on.
    """

    step: str
    seconds: float | None
    size: int | None
    basis: str


def captions(frames: int, reading: float) -> StepEstimate:
    """Return what descriptions of so many frames take; their labels were read in `reading` s."""
    return StepEstimate(
        "build-captions",
        _START + reading + _CAPTION * frames,
        _TABLES + _ROW * frames,
        f"labels read in {reading:.1f} s here, the rest {_ELSEWHERE}",
    )


def prepare(
    jobs: list[SequenceJob], there: list[np.ndarray], pace: Pace, processes: int, share: float = 1.0
) -> StepEstimate:
    """Return what the crops of these sequences take.

    Args:
        jobs: the sequences.
        there: which of their frames have a picture, bool [N] each, at least one of each.
        pace: of one process.
        processes: how many share the work.
        share: of those frames, how many can be cropped, 0 to 1.
    """
    crops = round(share * sum(int(rows.sum()) for rows in there))
    # All frames of a video up to the last coded one are read.
    last = (int(job.frames[rows].max()) for job, rows in zip(jobs, there, strict=True))
    read = sum(last) if pace.video else crops
    how = jobs[0].how
    return StepEstimate(
        "prepare",
        (pace.reading * read + pace.cropping * crops) / processes,
        int(pace.size * crops),
        f"{crops:,} crops ({how.name} {how.version}) of {pace.size / 1000:.1f} kB, at the pace "
        f"measured here, over {processes} process{'es' * (processes > 1)}",
    )


def split() -> StepEstimate:
    """Return what folds take."""
    return StepEstimate("split", 1.0, _TABLES, _ELSEWHERE)


def bench(benchmark: Benchmark, frames: pa.Table) -> StepEstimate:
    """Return the frames of an epoch by published fold, all but the tested part's; no time."""
    unknown = "the time depends on the model and the device, and is not guessed"
    if benchmark.folds is None or not benchmark.folds.parts:
        return StepEstimate("bench", None, None, unknown)
    subjects = frames["subject"].value_counts().to_pylist()
    counts = {row["values"]: row["counts"] for row in subjects}
    sizes = [
        len(frames) - sum(counts.get(subject, 0) for subject in part)
        for part in benchmark.folds.parts.values()
    ]
    epoch = f"an epoch is {', '.join(f'{size:,}' for size in sizes)} frames by fold"
    return StepEstimate("bench", None, None, f"{epoch}; {unknown}")
