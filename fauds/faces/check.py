"""What a raw distribution holds and lacks, and what working with it will take: before the work.

Labels are read whole, which takes seconds. Pictures are counted by their names, videos by their
headers; a few frames are cropped into a temporary folder, to know the speed and the size.
"""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Literal

import numpy as np
import pyarrow as pa

from fauds.datasets import DATASETS
from fauds.datasets.base import Reading, ReadOptions
from fauds.datasets.media_files import Footage, LandmarkFiles
from fauds.datasets.subjects import shortened
from fauds.errors import DataError, FaudsError
from fauds.faces import estimates as needs
from fauds.faces import landmark_files
from fauds.faces import plan as planning
from fauds.faces.alignment import alignment
from fauds.faces.estimates import StepEstimate, measure
from fauds.faces.plan import CropRequest, SequenceJob
from fauds.faces.streams import VideoStream, open_stream
from fauds.protocols.benchmark import Benchmark
from fauds.tables import store
from fauds.tables.columns import to_numpy


class MissingFiles:
    """Lines in the order in which they were found."""

    def __init__(self) -> None:
        self._lines: dict[str, None] = {}

    @property
    def lines(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(self._lines)

    def add(self, line: str) -> None:
        """Add a line, unless it is there already."""
        self._lines[line] = None

    def refuse(self, error: FaudsError) -> None:
        """Add what would end `fauds prepare` too."""
        self.add(f"fauds prepare would refuse this: {spoken(error)}")


def spoken(error: FaudsError) -> str:
    """Return an error in one line."""
    where = f" ({error.where})" if error.where else ""
    return f"{error.what}{where}" + (f"; {error.hint}" if error.hint else "")


_OPENED = 8


@dataclass(frozen=True)
class Held:
    """What was found out.

    Attributes:
        lines: for people; where no frame has landmarks, that is missing instead.
        share: of the frames in sequences with landmarks, those that have some, 0 to 1.
        broken: sequences whose landmarks cannot be read.
    """

    lines: tuple[str, ...]
    share: float
    broken: frozenset[SequenceJob]


def landmarks_held(jobs: Sequence[SequenceJob], hint: str, missing: MissingFiles) -> Held:
    """Say how many frames have landmarks; of files that must be opened for it, a few are.

    Args:
        jobs: all sequences.
        hint: what to do where landmarks lack.
        missing: takes what lacks or cannot be read.
    """
    if jobs[0].request.camera == "right":
        hint = "those that are shipped are the left camera's; use a detector (--detector)"
    held = {job: job.source.landmarks for job in jobs if job.source and job.source.landmarks}
    if len(held) < len(jobs):
        names = shortened([job.name for job in jobs if job not in held], 4)
        without = len(jobs) - len(held)
        missing.add(f"sequences without landmarks: {without} of {len(jobs)} ({names}); {hint}")
    listed = [job for job, files in held.items() if files.places]
    packed = [job for job, files in held.items() if not files.places]
    # One file holds all frames, and must be read to know which have landmarks.
    spread = np.linspace(0, len(packed) - 1, _OPENED).astype(int)
    sample = [packed[index] for index in np.unique(spread)] if packed else []
    counted = [(job, _read_landmarks(job, held[job], missing)) for job in sample]
    read = {job: count for job, count in counted if count is not None}
    known = {job: int(np.isin(job.frames, [*held[job].places]).sum()) for job in listed}
    lines: list[str] = []
    places = f"in a sample of {len(read)} of {len(packed)} files"
    for counts, where in ((known, f"in {len(listed)} sequences, by names alone"), (read, places)):
        if not counts:
            continue
        line = f"{_share(counts)} {where}"
        if any(counts.values()):
            lines.append(line)
        else:
            missing.add(f"{line}; {hint}")
    return Held(tuple(lines), _mean(listed, known, packed, read), frozenset({*sample} - {*read}))


def _read_landmarks(job: SequenceJob, files: LandmarkFiles, missing: MissingFiles) -> int | None:
    """Return how many frames of a sequence have landmarks; None where they cannot be read."""
    try:
        found = landmark_files.read(files, job.frames)
    except DataError as error:
        missing.refuse(error)
        return None
    return int(np.isfinite(found).all((1, 2)).sum())


def _share(counts: dict[SequenceJob, int]) -> str:
    known, total = sum(counts.values()), _frames(counts)
    return f"frames with landmarks: {known:,} of {total:,} ({100 * known / total:.1f} %)"


def _mean(
    listed: Sequence[SequenceJob],
    known: dict[SequenceJob, int],
    packed: Sequence[SequenceJob],
    read: dict[SequenceJob, int],
) -> float:
    """Return the share over all sequences: those not read are taken to be as those that were."""
    sampled = sum(read.values()) / max(_frames(read), 1)
    total = _frames(listed) + _frames(packed)
    return (sum(known.values()) + sampled * _frames(packed)) / max(total, 1)


def _frames(jobs: Sequence[SequenceJob] | dict[SequenceJob, int]) -> int:
    return sum(len(job.frames) for job in jobs)


_COLUMNS = ["frame_id", "subject", "task", "frame", "image"]


@dataclass(frozen=True)
class Check:
    """What was found out about a distribution, lines for people.

    Attributes:
        root: of the distribution.
        synthetic: whether fauds made it up.
        found: what there is.
        differs: from the published counts.
        missing: what lacks or is broken, each with what to do.
        needs: by step, in their order.
        free: bytes on the disk of the workdir.
        processes: CPU cores.
    """

    root: Path
    synthetic: bool
    found: tuple[str, ...]
    differs: tuple[str, ...]
    missing: tuple[str, ...]
    needs: tuple[StepEstimate, ...]
    free: int
    processes: int


def check(
    benchmark: Benchmark,
    root: Path,
    options: ReadOptions,
    camera: Literal["left", "right"],
    workdir: Path,
) -> Check:
    """Look a distribution over; nothing is written but to a temporary folder.

    Args:
        benchmark: whose reader, AUs, published counts and alignment.
        root: the raw distribution.
        options: as for reading its labels.
        camera: which videos.
        workdir: where the work would be done; it need not be there yet.

    Raises:
        DataError: labels are missing or broken, or pictures contradict each other.
    """
    began = perf_counter()
    frames, reading = _read(benchmark, root, options)
    took = perf_counter() - began
    footage = _footage(benchmark, root, options, camera, frames)
    missing = MissingFiles()
    jobs = _jobs(benchmark, frames, footage, reading, camera, missing)
    there = _pictures(jobs, benchmark, missing)
    found = [*reading.notes, *footage.notes]
    found.append(f"frames with a picture: {sum(map(np.sum, there)):,} of {len(frames):,}")
    asked = alignment(benchmark.alignment.name, benchmark.alignment.version)
    held = Held((), 1.0, frozenset())
    if asked.needs != "nothing":
        held = landmarks_held(jobs, benchmark.raw.landmarks, missing)
        found += held.lines
    processes = os.cpu_count() or 1
    steps = [needs.captions(len(frames), took), needs.split()]
    if jobs[0].how == asked:
        steps += _prepare(jobs, there, held, processes, found, missing)
    steps.append(needs.bench(benchmark, frames))
    free = shutil.disk_usage(_existing(workdir)).free
    total = sum(step.size or 0 for step in steps)
    if total > free:
        missing.add(
            f"room: {total / 1e9:.1f} GB are needed and {free / 1e9:.1f} GB are free at "
            f"{workdir}; free some, or choose another disk with --workdir"
        )
    return Check(
        root,
        reading.synthetic,
        tuple(found),
        reading.differences,
        missing.lines,
        tuple(steps),
        free,
        processes,
    )


def _read(benchmark: Benchmark, root: Path, options: ReadOptions) -> tuple[pa.Table, Reading]:
    parts: list[pa.Table] = []
    expected = benchmark.expected
    reading = DATASETS[str(benchmark.dataset)].read(
        root,
        None if expected is None else expected.model_dump(),
        options,
        sink=lambda part: parts.append(part.select(_COLUMNS)),
    )
    return pa.concat_tables(parts).unify_dictionaries().combine_chunks(), reading


def _footage(
    benchmark: Benchmark,
    root: Path,
    options: ReadOptions,
    camera: Literal["left", "right"],
    frames: pa.Table,
) -> Footage:
    numbers = to_numpy(frames["frame"])
    last = {name: int(numbers[rows][-1]) for name, rows in store.sequences(frames)}
    reader = DATASETS[str(benchmark.dataset)]
    return reader.footage(
        root, last, camera=camera, image_base=options.image_base, images=options.images
    )


def _jobs(
    benchmark: Benchmark,
    frames: pa.Table,
    footage: Footage,
    reading: Reading,
    camera: Literal["left", "right"],
    missing: MissingFiles,
) -> tuple[SequenceJob, ...]:
    """Return the sequences as `fauds prepare` would take them, and say why it would refuse."""
    asked = benchmark.alignment
    request = CropRequest(asked.name, asked.version, asked.without_landmarks, camera=camera)

    def made(request: CropRequest) -> tuple[SequenceJob, ...]:
        return planning.make(Path(), frames, footage, reading.root, {}, request).jobs

    try:
        return made(request)
    except FaudsError as error:
        missing.refuse(error)
        # The frames as they are need nothing, and can be counted all the same.
        return made(CropRequest("none", 1, camera=camera))


def _pictures(
    jobs: tuple[SequenceJob, ...], benchmark: Benchmark, missing: MissingFiles
) -> list[np.ndarray]:
    """Return which frames of each sequence have a picture, and say which have none."""
    there = []
    lacking: list[str] = []
    for job in jobs:
        try:
            there.append(_there(job))
        except DataError as error:
            missing.refuse(error)
            there.append(np.zeros(len(job.frames), bool))
        if not there[-1].all():
            lacking.append(f"{job.name} {(~there[-1]).sum():,} of {len(job.frames):,}")
    if lacking:
        total = sum(int((~rows).sum()) for rows in there)
        hint = benchmark.raw.pictures
        missing.add(f"frames without a picture: {total:,} ({shortened(lacking, 4)}); {hint}")
    return there


def _there(job: SequenceJob) -> np.ndarray:
    pictures = open_stream(job.image_root, job.images.to_pylist(), job.source, job.frames)
    if isinstance(pictures, VideoStream) and pictures.declared:
        return pictures.there & (job.frames <= pictures.declared)
    return pictures.there


def _prepare(
    jobs: tuple[SequenceJob, ...],
    there: list[np.ndarray],
    held: Held,
    processes: int,
    found: list[str],
    missing: MissingFiles,
) -> list[StepEstimate]:
    """Return what the crops take, from a few that are made; nothing where none can be."""
    how, detects = jobs[0].how, jobs[0].request.without_landmarks == "detect"
    able = {
        job: rows
        for job, rows in zip(jobs, there, strict=True)
        if rows.any()
        and job not in held.broken
        and (how.needs == "nothing" or detects or (job.source and job.source.landmarks))
    }
    share = 1.0 if detects else held.share
    if not able or not share:
        return []
    first = next(iter(able))
    try:
        pace = measure(first, able[first])
    except DataError as error:
        missing.refuse(error)
        return []
    if isinstance(pace, DataError):
        missing.add(spoken(pace))
        return []
    found.append(
        f"the first picture of {first.name}: {pace.width} x {pace.height} pixels; read in "
        f"{1000 * pace.reading:.1f} ms, cropped and written in {1000 * pace.cropping:.1f} ms "
        f"(mean of {pace.pictures})"
    )
    return [needs.prepare([*able], [*able.values()], pace, processes, share)]


def _existing(folder: Path) -> Path:
    folder = folder.absolute()
    return next(path for path in (folder, *folder.parents) if path.exists())
