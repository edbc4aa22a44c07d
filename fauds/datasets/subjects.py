"""Subjects: which to read, their sexes from a user's table, their counts against the published."""

import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fauds.datasets.base import ReadOptions, natural
from fauds.errors import DataError


def chosen_subjects(there: Sequence[str], options: ReadOptions, root: Path) -> list[str]:
    """Return the subjects to read, in natural order.

    Raises:
        DataError: a subject is asked for that is not there.
    """
    known = sorted(set(there), key=natural)
    if options.subjects is None:
        return known
    absent = [subject for subject in options.subjects if subject not in known]
    if absent:
        raise DataError(
            f"There are no labels of subject {', '.join(absent)}.",
            where=root,
            hint=f"there is: {shortened(known)}",
        )
    return [subject for subject in known if subject in options.subjects]


def shortened(names: Sequence[str], most: int = 8) -> str:
    """Return the names as a list that ends in "and n more" where it would be long."""
    rest = len(names) - most
    if rest <= 1:
        return ", ".join(names) or "nothing"
    return f"{', '.join(names[:most])} and {rest} more"


def read_sexes(path: Path, known: Sequence[str]) -> tuple[dict[str, str | None], bytes]:
    """Read a table of subjects' sexes, a CSV file with columns subject and sex.

    Args:
        path: the file; sex is F or M, or empty where it is not known.
        known: the subjects that there are; others are taken for typing errors.

    Returns:
        The sex by subject, and the bytes of the file for the fingerprint.

    Raises:
        DataError: with file and line: no such column, an unknown subject or sex, one twice.
    """
    try:
        data = path.read_bytes()
        rows = list(csv.reader(data.decode("utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"The table of sexes cannot be read: {error}.", where=path) from error
    names = [cell.strip().lower() for cell in rows[0]] if rows else []
    if "subject" not in names or "sex" not in names:
        raise DataError(
            "The table of sexes needs the columns subject and sex.",
            where=f"{path}:1",
            hint="first line: subject,sex; then a line a subject: SN001,F",
        )
    sexes: dict[str, str | None] = {}
    for line, row in enumerate(rows[1:], start=2):
        if any(cell.strip() for cell in row):
            subject, sex = _sex(row, names, f"{path}:{line}", known)
            if subject in sexes:
                raise DataError(f"Subject {subject} comes twice.", where=f"{path}:{line}")
            sexes[subject] = sex
    return sexes, data


def _sex(
    row: list[str], names: list[str], where: str, known: Sequence[str]
) -> tuple[str, str | None]:
    if len(row) != len(names):
        raise DataError(f"The line has {len(row)} columns, the first {len(names)}.", where=where)
    subject = row[names.index("subject")].strip()
    sex = row[names.index("sex")].strip().upper()
    if subject not in known:
        raise DataError(
            f"There is no subject {subject!r}.", where=where, hint=f"there is: {shortened(known)}"
        )
    if sex not in ("F", "M", ""):
        raise DataError(f"The sex is {sex!r}.", where=where, hint="F, M, or empty where unknown")
    return subject, sex or None


def differences(
    counts: Mapping[tuple[str, str], int], expected: Mapping[str, Any] | None
) -> tuple[str, ...]:
    """Compare what was read with the published counts.

    Args:
        counts: frames that were read, by subject and task.
        expected: subjects, sequences, frames (counts) and frames_per_subject (by subject), each
            optional; None compares nothing.

    Returns:
        A line a subject that differs; absent subjects share one line. Where no subject differs
        but a total does, a line a total.
    """
    if not expected:
        return ()
    read: Counter[str] = Counter()
    for (subject, _), frames in counts.items():
        read[subject] += frames
    published = expected.get("frames_per_subject") or {}
    if published and (lines := _by_subject(read, published, counts)):
        return tuple(lines)
    totals = {"subjects": len(read), "sequences": len(counts), "frames": read.total()}
    return tuple(
        f"{there:,} {what} where {expected[what]:,} are published"
        for what, there in totals.items()
        if expected.get(what) not in (None, there)
    )


def _by_subject(
    read: Mapping[str, int], published: Mapping[str, int], sequences: Iterable[tuple[str, str]]
) -> list[str]:
    tasks_of = Counter(subject for subject, _ in sequences)
    lines = []
    for subject in sorted(read, key=natural):
        tasks = tasks_of[subject]
        held = f"{subject}: {read[subject]:,} frames in {tasks} sequence{'s' * (tasks != 1)}"
        if subject not in published:
            lines.append(f"{held}, not a published subject")
        elif published[subject] != read[subject]:
            lines.append(f"{held}, published {published[subject]:,} frames")
    absent = sorted(set(published) - set(read), key=natural)
    if absent:
        lines.append(f"{len(absent)} of {len(published)} subjects absent: {shortened(absent)}")
    return lines
