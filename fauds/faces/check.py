"""Inspection of a dataset's release (its raw files): what it holds and what is missing.

The inspection comes before all other steps, and also estimates the time and disk space that these
steps need. Labels are read completely, which takes seconds. Images are counted by their file names,
and frames of a video by the video's header. A few frames are cropped into a temporary folder to
measure the speed and the size of a crop.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Literal

import numpy as np
import pyarrow as pa

from fauds import launcher
from fauds.datasets import DATASETS
from fauds.datasets.base import Reading, ReadOptions
from fauds.datasets.media_files import Footage, LandmarkFiles
from fauds.datasets.subjects import abbreviated
from fauds.errors import DataError, FaudsError
from fauds.faces import estimates, landmark_files
from fauds.faces import plan as planning
from fauds.faces.alignment import alignment
from fauds.faces.estimates import StepEstimate, measure
from fauds.faces.landmark_offset import mismatch
from fauds.faces.plan import CropRequest, SequenceJob
from fauds.faces.streams import VideoStream, open_stream
from fauds.protocols.benchmark import Benchmark
from fauds.tables import store
from fauds.tables.disk import free_space
from fauds.tables.frames import frame_names, last_numbers, with_keys


class Problems:
    """A list of messages about missing or broken files, without repetitions."""

    def __init__(self) -> None:
        self._lines: dict[str, None] = {}

    @property
    def lines(self) -> tuple[str, ...]:
        """All messages, in the order in which they were first added."""
        return tuple(self._lines)

    def add(self, line: str) -> None:
        """Add a message unless it is already listed."""
        self._lines[line] = None

    def add_fatal(self, error: FaudsError) -> None:
        """Add the message of an error that would also end a run of `fauds prepare`."""
        self.add(f"fauds prepare would stop with an error: {one_line(error)}")


def one_line(error: FaudsError) -> str:
    """Return the message of an error, with its place and hint, in one line."""
    where = f" ({error.where})" if error.where else ""
    return f"{error.what}{where}" + (f"; {error.hint}" if error.hint else "")


_SAMPLED_FILES = 8


@dataclass(frozen=True)
class LandmarkCoverage:
    """How many frames of a release have landmarks.

    Attributes:
        lines: messages for the user about the number of frames with landmarks; empty if no frame
            has landmarks, which is reported as a missing file instead.
        share: the share, 0 to 1, of frames that have landmarks, among the frames of sequences
            with landmark files.
        broken: the sequences whose landmarks cannot be read.
    """

    lines: tuple[str, ...]
    share: float
    broken: frozenset[SequenceJob]


def landmark_coverage(
    jobs: Sequence[SequenceJob], hint: str, missing: Problems
) -> LandmarkCoverage:
    """Count the frames of a release that have landmarks.

    Landmarks of which each has a file, or a line of a text file, are counted without being read. If
    all landmarks of a sequence are in one file, the file must be read to count its frames. Of
    these files, only a sample is read.

    Args:
        jobs: all sequences, or portions of single images.
        hint: what the user can do if landmarks are missing.
        missing: the list to which messages about missing or unreadable landmarks are added.
    """
    if jobs[0].request.camera == "right":
        hint = "the release has landmarks of the left camera only; use a detector (--detector)"
    with_files = {job: job.source.landmarks for job in jobs if job.source and job.source.landmarks}
    numbered = jobs[0].numbered
    if numbered and len(with_files) < len(jobs):
        names = abbreviated([job.name for job in jobs if job not in with_files], 4)
        without = len(jobs) - len(with_files)
        missing.add(f"sequences without landmarks: {without} of {len(jobs)} ({names}); {hint}")
    listed = [job for job, files in with_files.items() if files.places]
    packed = [job for job, files in with_files.items() if not files.places]
    # A packed file holds all frames of a sequence; only reading it tells which have landmarks.
    spread = np.linspace(0, len(packed) - 1, _SAMPLED_FILES).astype(int)
    sample = [packed[index] for index in np.unique(spread)] if packed else []
    counted = [(job, _read_landmarks(job, with_files[job], missing)) for job in sample]
    read = {job: count for job, count in counted if count is not None}
    known = {job: int(np.isin(job.frames, [*with_files[job].places]).sum()) for job in listed}
    lines: list[str] = []
    scope = f" in {_counted(len(listed))}" if numbered else ""
    of_listed = f"{scope}, {_counted_by(with_files[job] for job in listed)}" if listed else ""
    of_sample = f" in a sample of {len(read)} of {len(packed)} files"
    # Single images belong to no sequence: all of them are counted together.
    shown = known if numbered else {job: known.get(job, 0) for job in jobs}
    for counts, how in ((shown, of_listed), (read, of_sample)):
        if not counts:
            continue
        line = f"{_share(counts)}{how}"
        if any(counts.values()):
            lines.append(line)
        else:
            missing.add(f"{line}; {hint}")
    return LandmarkCoverage(
        tuple(lines), _mean(listed, known, packed, read), frozenset({*sample} - {*read})
    )


def _counted(sequences: int) -> str:
    return f"{sequences} sequence{'s' * (sequences != 1)}"


def _counted_by(files: Iterable[LandmarkFiles]) -> str:
    """Return in words how landmarks were counted that have a file or a line each."""
    by_name = {isinstance(next(iter(one.places.values())), str) for one in files}
    words = {True: "file names", False: "lines of text files"}
    return f"counted by {' and '.join(words[kind] for kind in sorted(by_name, reverse=True))}"


def _read_landmarks(job: SequenceJob, files: LandmarkFiles, missing: Problems) -> int | None:
    """Return how many frames of a sequence have landmarks; None if they cannot be read."""
    try:
        points = landmark_files.read(files, job.frames)
    except DataError as error:
        missing.add_fatal(error)
        return None
    return int(np.isfinite(points).all((1, 2)).sum())


def _share(counts: dict[SequenceJob, int]) -> str:
    known, total = sum(counts.values()), _frames(counts)
    return f"frames with landmarks: {known:,} of {total:,} ({100 * known / total:.1f} %)"


def _mean(
    listed: Sequence[SequenceJob],
    known: dict[SequenceJob, int],
    packed: Sequence[SequenceJob],
    read: dict[SequenceJob, int],
) -> float:
    """Return the share of frames that have landmarks, 0 to 1, in all sequences together.

    A sequence has either a landmark file, or a line of a text file, for each frame, and these are
    counted; or one file for all frames, which must be read. Only a sample of the sequences with one
    file was read; the share in the sample stands for all of them.

    Args:
        listed: the sequences with a landmark file, or a line of one, for each frame.
        known: the number of frames with landmarks in each of the `listed` sequences.
        packed: the sequences whose landmarks are in one file.
        read: the number of frames with landmarks in each `packed` sequence of the sample.
    """
    sampled = sum(read.values()) / max(_frames(read), 1)
    total = _frames(listed) + _frames(packed)
    return (sum(known.values()) + sampled * _frames(packed)) / max(total, 1)


def _frames(jobs: Sequence[SequenceJob] | dict[SequenceJob, int]) -> int:
    return sum(len(job.frames) for job in jobs)


_COLUMNS = ["frame_id", "key", "subject", "task", "frame", "image"]


@dataclass(frozen=True)
class Check:
    """The result of inspecting a release, with one message per line for the user.

    Attributes:
        root: the root folder of the release.
        synthetic: whether fauds generated the release.
        contents: messages about what the release holds.
        differences: messages about differences from the published counts.
        missing: messages about missing or broken files, each with what to do.
        needs: the time and disk space that each step takes, in the order of the steps.
        free: the free bytes on the disk of the working folder.
        processes: the number of CPU cores.
    """

    root: Path
    synthetic: bool
    contents: tuple[str, ...]
    differences: tuple[str, ...]
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
    """Inspect a release; the only files written are a few crops in a temporary folder.

    Args:
        benchmark: the benchmark whose reader, AUs, published counts and alignment are used.
        root: the root folder of the release.
        options: the options for reading its labels.
        camera: the camera whose videos are used.
        workdir: the folder that the steps would write to; it may not exist yet.

    Raises:
        DataError: labels are missing or broken, or the numbers in the names of the image files
            contradict each other.
    """
    began = perf_counter()
    frames, reading = _read(benchmark, root, options)
    reading_seconds = perf_counter() - began
    media = _media_sources(benchmark, root, options, camera, frames)
    missing = Problems()
    jobs = _jobs(benchmark, frames, media, reading, camera, missing)
    available = _images(jobs, benchmark, missing)
    contents = [*reading.notes, *media.notes]
    contents.append(f"frames with an image: {sum(map(np.sum, available)):,} of {len(frames):,}")
    wanted = alignment(benchmark.alignment.name, benchmark.alignment.version)
    coverage = LandmarkCoverage((), 1.0, frozenset())
    if wanted.needs != "nothing":
        coverage = landmark_coverage(jobs, benchmark.raw.landmarks, missing)
        contents += coverage.lines
        contents += _mismatches(jobs, missing)
    processes = launcher.cores()
    steps = [estimates.split()]
    if benchmark.target.described_aus:
        steps.insert(0, estimates.captions(len(frames), reading_seconds))
    if jobs[0].alignment == wanted:
        steps += _prepare(jobs, available, coverage, processes, contents, missing)
    steps.append(estimates.bench(benchmark, frames))
    free = free_space(workdir)
    total = sum(step.size or 0 for step in steps)
    if total > free:
        missing.add(
            f"disk space: {total / 1e9:.1f} GB are needed and {free / 1e9:.1f} GB are free at "
            f"{workdir}; free some space, or choose another disk with --workdir"
        )
    return Check(
        root,
        reading.synthetic,
        tuple(contents),
        reading.differences,
        missing.lines,
        tuple(steps),
        free,
        processes,
    )


def _mismatches(jobs: Sequence[SequenceJob], missing: Problems) -> list[str]:
    """Return messages about landmarks of another number of frames than their video."""
    lines = []
    for job in jobs:
        try:
            line = mismatch(job)
        except DataError as error:
            missing.add_fatal(error)
            continue
        if line:
            lines.append(f"{job.name}: {line}")
    return lines


def _read(benchmark: Benchmark, root: Path, options: ReadOptions) -> tuple[pa.Table, Reading]:
    parts: list[pa.Table] = []
    expected = benchmark.expected
    reading = DATASETS[str(benchmark.dataset)].read(
        root,
        None if expected is None else expected.model_dump(),
        options,
        sink=lambda part: parts.append(with_keys(part).select(_COLUMNS)),
    )
    return pa.concat_tables(parts).unify_dictionaries().combine_chunks(), reading


def _media_sources(
    benchmark: Benchmark,
    root: Path,
    options: ReadOptions,
    camera: Literal["left", "right"],
    frames: pa.Table,
) -> Footage:
    names = frame_names(frames)
    last = last_numbers(names, store.sequences(frames))
    reader = DATASETS[str(benchmark.dataset)]
    return reader.footage(
        root, last, camera=camera, image_base=options.image_base, images=options.images
    )


def _jobs(
    benchmark: Benchmark,
    frames: pa.Table,
    media: Footage,
    reading: Reading,
    camera: Literal["left", "right"],
    missing: Problems,
) -> tuple[SequenceJob, ...]:
    """Return the sequences that `fauds prepare` would crop.

    Errors that would end `fauds prepare` are added to `missing` instead of being raised.

    Args:
        benchmark: the benchmark, with its alignment.
        frames: the frames table: a row for each coded frame.
        media: the archives, videos and landmark files of the sequences.
        reading: the result of reading the labels, with the root folder of the release.
        camera: the camera whose videos are used.
        missing: the list to which messages about missing or broken files are added.
    """
    wanted = benchmark.alignment
    request = CropRequest(wanted.name, wanted.version, wanted.without_landmarks, camera=camera)

    def planned(request: CropRequest) -> tuple[SequenceJob, ...]:
        return planning.make(Path(), frames, media, reading.root, {}, request).jobs

    try:
        return planned(request)
    except FaudsError as error:
        missing.add_fatal(error)
        # The alignment "none" needs nothing, so the images can still be counted.
        return planned(CropRequest("none", 1, camera=camera))


def _images(
    jobs: tuple[SequenceJob, ...], benchmark: Benchmark, missing: Problems
) -> list[np.ndarray]:
    """Return, for each sequence, which of its N frames have an image, bool [N].

    Args:
        jobs: the sequences.
        benchmark: the benchmark, which names the dataset.
        missing: the list to which messages about frames without an image are added.
    """
    available = []
    incomplete: list[str] = []
    for job in jobs:
        try:
            available.append(_available(job))
        except DataError as error:
            missing.add_fatal(error)
            available.append(np.zeros(len(job.frames), bool))
        without = ~available[-1]
        if without.any() and job.numbered:
            incomplete.append(f"{job.name} {without.sum():,} of {len(job.frames):,}")
        else:
            incomplete += job.frames[without].tolist()
    if incomplete:
        total = sum(int((~rows).sum()) for rows in available)
        hint = benchmark.raw.pictures
        missing.add(f"frames without an image: {total:,} ({abbreviated(incomplete, 4)}); {hint}")
    return available


def _available(job: SequenceJob) -> np.ndarray:
    """Return which frames of a sequence have an image, bool [N]."""
    stream = open_stream(
        job.image_root, job.images.to_pylist(), job.source, job.frames, upright=job.upright
    )
    if isinstance(stream, VideoStream) and stream.declared:
        return stream.available & (job.frames <= stream.declared)
    return stream.available


def _prepare(
    jobs: tuple[SequenceJob, ...],
    available: list[np.ndarray],
    coverage: LandmarkCoverage,
    processes: int,
    contents: list[str],
    missing: Problems,
) -> list[StepEstimate]:
    """Return the estimated time and disk space of `fauds prepare`, measured by making a few crops.

    The list holds one estimate; it is empty if no crop can be made.

    Args:
        jobs: the sequences that would be cropped.
        available: for each sequence, which of its frames have an image, bool [N].
        coverage: how many frames have landmarks.
        processes: the number of processes that would share the work.
        contents: the list to which messages about what the release holds are added.
        missing: the list to which messages about missing or broken files are added.
    """
    needs, detects = jobs[0].alignment.needs, jobs[0].request.without_landmarks == "detect"
    croppable = {
        job: rows
        for job, rows in zip(jobs, available, strict=True)
        if rows.any()
        and job not in coverage.broken
        and (needs == "nothing" or detects or (job.source and job.source.landmarks))
    }
    share = 1.0 if detects else coverage.share
    if not croppable or not share:
        return []
    first = next(iter(croppable))
    try:
        pace = measure(first, croppable[first])
    except DataError as error:
        missing.add_fatal(error)
        return []
    if isinstance(pace, DataError):
        missing.add(one_line(pace))
        return []
    name = f"of {first.name}" if first.numbered else first.frames[croppable[first]][0]
    contents.append(
        f"the first image {name}: {pace.width} x {pace.height} pixels; read in "
        f"{1000 * pace.reading:.1f} ms, cropped and written in {1000 * pace.cropping:.1f} ms "
        f"(mean of {pace.images})"
    )
    return [estimates.prepare([*croppable], [*croppable.values()], pace, processes, share)]
