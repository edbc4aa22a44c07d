"""What a raw distribution holds and lacks, and what working with it will take: before the work.

Labels are read whole, which takes seconds. Pictures are counted by their names, videos by their
headers; a few frames are cropped into a temporary folder, to know the speed and the size.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Literal

import numpy as np
import pyarrow as pa

from fauds import store
from fauds.columns import to_numpy
from fauds.datasets import DATASETS
from fauds.datasets.base import Reading, ReadOptions
from fauds.datasets.footage import Footage
from fauds.datasets.subjects import shortened
from fauds.errors import DataError, FaudsError
from fauds.faces import needs
from fauds.faces import plan as planning
from fauds.faces.alignment import alignment
from fauds.faces.held import Held, landmarks_held
from fauds.faces.missing import MissingFiles, spoken
from fauds.faces.needs import StepEstimate
from fauds.faces.pace import measure
from fauds.faces.pictures import VideoStream, open_stream
from fauds.faces.plan import SequenceJob
from fauds.faces.request import CropRequest
from fauds.protocols import Benchmark

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
    reading = DATASETS[benchmark.dataset].read(
        root,
        expected and expected.model_dump(),
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
    reader = DATASETS[benchmark.dataset]
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
    places = (Path(), frames, footage, reading.root, {})
    try:
        return planning.make(*places, request).jobs
    except FaudsError as error:
        missing.refuse(error)
        # The frames as they are need nothing, and can be counted all the same.
        return planning.make(*places, CropRequest("none", 1, camera=camera)).jobs


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
