"""The subjects, tasks and frames of a synthetic release."""

from dataclasses import dataclass

import numpy as np

from fauds.errors import UsageError
from fauds.synthetic.population import Population, check_seed, generator, population

# The order in which smaller releases take subjects. It cycles through the three published test
# parts and alternates the sexes: two subjects are a woman and a man, three lie in three parts, and
# six cover both sexes in each part. (DISFA does not publish the sexes.)
_DRAW_ORDER = {
    "bp4d": """
        F001 M002 F004 M001 F003 M003 F002 M005 F006 M004 F005 M006 F008 M010 F007 M007 F011 M009
        F009 M011 F012 M008 F013 M015 F010 M013 F014 M012 F020 F015 M014 M016 F017 F016 F022 F019
        F018 M017 F021 F023 M018
    """,
    "disfa": """
        SN001 SN006 SN003 SN002 SN011 SN004 SN009 SN012 SN005 SN010 SN013 SN007 SN016 SN018 SN008
        SN026 SN021 SN017 SN027 SN024 SN023 SN030 SN028 SN025 SN032 SN031 SN029
    """,
}

# BP4D: the last frame number of any sequence, and the lengths of the shortest and the longest coded
# stretch.
_LAST_FRAME = 2992
_SHORTEST, _LONGEST = 90, 768

# The variation of a task's length between subjects, as the scale of its logarithm. Most sequences
# of a long task have about 500 frames, while the extremes are 90 and 768, so lengths have
# heavy tails (Student's t with 3 degrees of freedom).
_LENGTH_SPREAD, _SHORT_TASK_SPREAD, _SHORT_TASK = 0.06, 0.3, 0.1

# The fractional parts of multiples of this number are spread evenly for any count.
_GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class SyntheticSequence:
    """The coded frames of one sequence.

    Attributes:
        subject: the id of the subject as in the dataset, such as ``F001`` or ``SN001``.
        sex: "F", "M", or None if the dataset does not publish the sexes.
        task: ``T1`` to ``T8`` in BP4D, the empty string in DISFA.
        frames: the numbers of the F coded frames, as in the label files: increasing, counted from
            1, int32 [F].
    """

    subject: str
    sex: str | None
    task: str
    frames: np.ndarray


def lay_out(
    like: str, *, subjects: int | None = None, frames: int | None = None, seed: int = 0
) -> list[SyntheticSequence]:
    """Return the sequences of a synthetic release, in natural order of subject and task.

    Without limits, the release is as large as the real one. BP4D has 41 subjects and tasks T1 to
    T8; each task has 90 to 768 consecutive coded frames, which add up to the published total of
    the subject (146,847 frames in all). DISFA has 27 subjects with frames 1 to 4845 each (SN010:
    4844). The sequences of a subject do not depend on which other subjects are included.

    Args:
        like: the dataset to imitate, ``bp4d`` or ``disfa``.
        subjects: the number of subjects; None for all. Subjects are taken in a fixed order that
            cycles through the three published folds and alternates the sexes.
        frames: the number of coded frames per subject; None for all. A smaller number is spaced
            evenly over all frames of the subject, so each task keeps frames in proportion to its
            length; a sequence that keeps none is left out.
        seed: the random seed, 0 or more, which determines where the coded frames of each task of
            BP4D begin and how many there are.

    Raises:
        UsageError: the dataset is unknown, the seed is negative, or the number of subjects or
            frames is out of range.
    """
    cohort = population(like)
    check_seed(seed)
    chosen = set(_DRAW_ORDER[like].split()[: _checked_subjects(cohort, subjects)])
    rows = [row for row, subject in enumerate(cohort.subjects) if subject in chosen]
    _check_frames(cohort, rows, frames)
    sequences = []
    for row in rows:
        full = _full_sequences(cohort, row, seed)
        kept = full if frames is None else _thinned(full, frames, phase=row * _GOLDEN % 1)
        sequences += [
            SyntheticSequence(
                cohort.subjects[row], cohort.sexes[row], task, numbers.astype(np.int32)
            )
            for task, numbers in zip(cohort.tasks, kept, strict=True)
            if len(numbers)
        ]
    return sequences


def _checked_subjects(cohort: Population, subjects: int | None) -> int:
    total = len(cohort.subjects)
    if subjects is None:
        return total
    if not 1 <= subjects <= total:
        raise UsageError(
            f"{subjects} subjects are requested, but the dataset has {total}.",
            hint=f"choose 1 to {total} subjects, or omit the number for all subjects",
        )
    return subjects


def _check_frames(cohort: Population, rows: list[int], frames: int | None) -> None:
    most = int(cohort.frames[rows].min())
    if frames is not None and not 1 <= frames <= most:
        raise UsageError(
            f"{frames} frames per subject are requested, but one of the subjects has only {most}.",
            hint=f"choose 1 to {most} frames, or omit the number for all frames",
        )


def _full_sequences(cohort: Population, row: int, seed: int) -> list[np.ndarray]:
    """Return the numbers of all coded frames of one subject, an array for each task.

    Args:
        cohort: the population.
        row: the position of the subject in the population.
        seed: the random seed.
    """
    total = int(cohort.frames[row])
    if len(cohort.tasks) == 1:
        return [np.arange(1, total + 1)]
    rng = generator(seed, "layout", cohort.subjects[row])
    lengths = _lengths(rng, total, cohort.task_shares)
    starts = rng.integers(1, _LAST_FRAME - lengths + 2)
    return [np.arange(start, start + length) for start, length in zip(starts, lengths, strict=True)]


def _lengths(rng: np.random.Generator, total: int, shares: np.ndarray) -> np.ndarray:
    """Return random numbers of frames for K sequences, int64 [K], each 90 to 768.

    Args:
        rng: the random generator.
        total: the sum of the returned numbers.
        shares: the average share of each sequence in the total, [K].
    """
    spread = np.where(shares < _SHORT_TASK, _SHORT_TASK_SPREAD, _LENGTH_SPREAD)
    wanted = shares * np.exp(spread * rng.standard_t(3, len(shares)))
    for _ in range(20):
        wanted = (wanted * total / wanted.sum()).clip(_SHORTEST + 1, _LONGEST - 1)
    edges = np.rint(np.cumsum(wanted) * total / wanted.sum()).astype(np.int64)
    return np.diff(edges, prepend=0)


def _thinned(full: list[np.ndarray], frames: int, phase: float) -> list[np.ndarray]:
    """Return an evenly spaced part of a subject's frame numbers, as an array for each sequence.

    Args:
        full: the frame numbers of each sequence.
        frames: how many frames to keep in all sequences together.
        phase: the position of the first kept frame, as a fraction, 0 to 1, of the spacing.
    """
    ends = np.cumsum([len(numbers) for numbers in full])
    starts = ends - [len(numbers) for numbers in full]
    picked = ((np.arange(frames) + phase) * (ends[-1] / frames)).astype(np.int64)
    parts = np.split(picked, np.searchsorted(picked, ends[:-1]))
    return [numbers[part - start] for numbers, part, start in zip(full, parts, starts, strict=True)]
