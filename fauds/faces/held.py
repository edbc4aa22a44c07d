"""How many frames of a distribution have landmarks: by names, or by opening a few files."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fauds.datasets.subjects import shortened
from fauds.errors import DataError
from fauds.faces import landmark_files
from fauds.faces.missing import MissingFiles
from fauds.faces.plan import SequenceJob

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
    held = [job for job in jobs if job.source and job.source.landmarks]
    if len(held) < len(jobs):
        names = shortened([job.name for job in jobs if job not in held], 4)
        without = len(jobs) - len(held)
        missing.add(f"sequences without landmarks: {without} of {len(jobs)} ({names}); {hint}")
    listed = [job for job in held if job.source.landmarks.places]
    packed = [job for job in held if not job.source.landmarks.places]
    # One file holds all frames, and must be read to know which have landmarks.
    spread = np.unique(np.linspace(0, len(packed) - 1, _OPENED).astype(int)) if packed else []
    sample = [packed[index] for index in spread]
    read = {job: count for job in sample if (count := _read_landmarks(job, missing)) is not None}
    known = {job: int(np.isin(job.frames, [*job.source.landmarks.places]).sum()) for job in listed}
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


def _read_landmarks(job: SequenceJob, missing: MissingFiles) -> int | None:
    """Return how many frames of a sequence have landmarks; None where they cannot be read."""
    try:
        found = landmark_files.read(job.source.landmarks, job.frames)
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
