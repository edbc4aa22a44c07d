"""Which subjects, tasks and frames a made-up distribution has."""

from dataclasses import dataclass

import numpy as np

from fauds.errors import UsageError
from fauds.synthetic.population import Population, check_seed, generator, population

# Subjects in the order in which smaller draws take them: round the three published test parts,
# the sexes alternating, so that two subjects are a woman and a man, three lie in three parts and
# six hold both sexes in each part. (DISFA does not publish who is a woman.)
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

# BP4D: the last frame number of any sequence, and the shortest and longest coded stretch.
_LAST_FRAME = 2992
_SHORTEST, _LONGEST = 90, 768

# How much a task's length varies between subjects: the scale of its logarithm. Most of a long
# task's sequences have about 500 frames and the extremes, 90 and 768, are far off, so the
# distribution has heavy tails (Student's t with 3 degrees of freedom).
_LENGTH_SPREAD, _SHORT_TASK_SPREAD, _SHORT_TASK = 0.06, 0.3, 0.1

# Fractions of this number's multiples are spread evenly whatever their count.
_GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class Take:
    """The coded frames of one sequence.

    Attributes:
        subject: id as in the dataset, ``F001`` or ``SN001``.
        sex: "F", "M", or None where the dataset does not publish it.
        task: ``T1`` to ``T8`` in BP4D, the empty string in DISFA.
        frames: int32 [F], increasing numbers as the dataset's labels use them, from 1.
    """

    subject: str
    sex: str | None
    task: str
    frames: np.ndarray


def lay_out(
    like: str, *, subjects: int | None = None, frames: int | None = None, seed: int = 0
) -> list[Take]:
    """Return the sequences of a made-up distribution, in natural order of subject and task.

    Full size is the published one. BP4D: 41 subjects, tasks T1 to T8, 90 to 768 contiguous
    frames each, every subject's published total (146,847 in all). DISFA: 27 subjects, frames
    1 to 4845 (SN010: 4844). A subject's sequences do not depend on which others are drawn.

    Args:
        like: ``bp4d`` or ``disfa``.
        subjects: how many of them, None for all. They come from a fixed order that goes round
            the three published folds and alternates the sexes.
        frames: coded frames a subject, None for all. They are spaced evenly over the frames
            of the full size, so a task gets them in proportion to its length; a sequence
            without any is left out.
        seed: 0 or more. It decides where BP4D's coded stretches start and how long they are.

    Raises:
        UsageError: an unknown dataset, a negative seed, or more or fewer subjects or frames
            than there are.
    """
    people = population(like)
    check_seed(seed)
    chosen = set(_DRAW_ORDER[like].split()[: _checked_subjects(people, subjects)])
    rows = [row for row, subject in enumerate(people.subjects) if subject in chosen]
    _check_frames(people, rows, frames)
    takes = []
    for row in rows:
        full = _full_sequences(people, row, seed)
        kept = full if frames is None else _thinned(full, frames, phase=row * _GOLDEN % 1)
        takes += [
            Take(people.subjects[row], people.sexes[row], task, numbers.astype(np.int32))
            for task, numbers in zip(people.tasks, kept, strict=True)
            if len(numbers)
        ]
    return takes


def _checked_subjects(people: Population, subjects: int | None) -> int:
    there_are = len(people.subjects)
    if subjects is None:
        return there_are
    if not 1 <= subjects <= there_are:
        raise UsageError(
            f"{subjects} subjects were asked for; the dataset has {there_are}.",
            hint=f"choose 1 to {there_are}, or leave it out for all of them",
        )
    return subjects


def _check_frames(people: Population, rows: list[int], frames: int | None) -> None:
    most = int(people.frames[rows].min())
    if frames is not None and not 1 <= frames <= most:
        raise UsageError(
            f"{frames} frames a subject were asked for; one of these subjects has {most}.",
            hint=f"choose 1 to {most}, or leave it out for full size",
        )


def _full_sequences(people: Population, row: int, seed: int) -> list[np.ndarray]:
    """Return the frame numbers of every task of one subject at full size."""
    total = int(people.frames[row])
    if len(people.tasks) == 1:
        return [np.arange(1, total + 1)]
    rng = generator(seed, "layout", people.subjects[row])
    lengths = _lengths(rng, total, people.task_shares)
    starts = rng.integers(1, _LAST_FRAME - lengths + 2)
    return [np.arange(start, start + length) for start, length in zip(starts, lengths, strict=True)]


def _lengths(rng: np.random.Generator, total: int, shares: np.ndarray) -> np.ndarray:
    """Return sequence lengths, int64 [K] from 90 to 768, that add up to the total."""
    spread = np.where(shares < _SHORT_TASK, _SHORT_TASK_SPREAD, _LENGTH_SPREAD)
    wanted = shares * np.exp(spread * rng.standard_t(3, len(shares)))
    for _ in range(20):
        wanted = (wanted * total / wanted.sum()).clip(_SHORTEST + 1, _LONGEST - 1)
    edges = np.rint(np.cumsum(wanted) * total / wanted.sum()).astype(np.int64)
    return np.diff(edges, prepend=0)


def _thinned(full: list[np.ndarray], frames: int, phase: float) -> list[np.ndarray]:
    """Return the given number of frames, evenly spaced over all sequences end to end."""
    ends = np.cumsum([len(numbers) for numbers in full])
    starts = ends - [len(numbers) for numbers in full]
    picked = ((np.arange(frames) + phase) * (ends[-1] / frames)).astype(np.int64)
    parts = np.split(picked, np.searchsorted(picked, ends[:-1]))
    return [numbers[part - start] for numbers, part, start in zip(full, parts, starts, strict=True)]
