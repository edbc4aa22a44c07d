"""What the steps will take in time and disk, from a measured pace and stated constants."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from fauds.faces.pace import Pace
from fauds.faces.plan import SequenceJob
from fauds.protocols import Benchmark

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
