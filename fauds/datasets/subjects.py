"""Choosing the subjects to read, reading their sexes, and checking their numbers of frames."""

import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fauds.datasets.base import ReadOptions, natural
from fauds.errors import DataError


def select_subjects(available: Sequence[str], options: ReadOptions, root: Path) -> list[str]:
    """Return the ids of the subjects to read, sorted with F2 before F10.

    Args:
        available: the ids of the subjects that have labels; an id may be repeated.
        options: the options of reading; the option `subjects` names the subjects to read.
        root: the folder of the labels, for the error message.

    Raises:
        DataError: the options name a subject that has no labels.
    """
    known = sorted(set(available), key=natural)
    if options.subjects is None:
        return known
    absent = [subject for subject in options.subjects if subject not in known]
    if absent:
        raise DataError(
            f"The release has no labels of these subjects: {', '.join(absent)}.",
            where=root,
            hint=f"choose from: {abbreviated(known)}",
        )
    return [subject for subject in known if subject in options.subjects]


def abbreviated(names: Sequence[str], most: int = 8) -> str:
    """Return a text with names separated by commas; for many names, it ends in "and n more".

    Args:
        names: the names. If the sequence is empty, the text is "nothing".
        most: the number of names before "and n more". If only one more name follows, it is written
            out too.
    """
    rest = len(names) - most
    if rest <= 1:
        return ", ".join(names) or "nothing"
    return f"{', '.join(names[:most])} and {rest} more"


def read_sexes(path: Path, known: Sequence[str]) -> tuple[dict[str, str | None], bytes]:
    """Read the sexes of subjects from a CSV file with the columns subject and sex.

    Args:
        path: the path of the file. Its column sex has F, M, or nothing if the sex is not known.
        known: the ids of the dataset's subjects; any other subject in the file is an error.

    Returns:
        The sex by subject (None if it is not known); and the bytes of the file, from which the
        caller computes a digest.

    Raises:
        DataError: the file cannot be read or lacks a column, a subject or sex is unknown, or a
            subject occurs twice. The message names the file and the line.
    """
    try:
        data = path.read_bytes()
        rows = list(csv.reader(data.decode("utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"The table of sexes cannot be read: {error}.",
            where=path,
            hint="check that the file exists and that it is a CSV file in UTF-8",
        ) from error
    names = [cell.strip().lower() for cell in rows[0]] if rows else []
    if "subject" not in names or "sex" not in names:
        raise DataError(
            "The table of sexes needs the columns subject and sex.",
            where=f"{path}:1",
            hint="write subject,sex in the first line, then one line per subject, e.g. SN001,F",
        )
    sexes: dict[str, str | None] = {}
    for line, row in enumerate(rows[1:], start=2):
        if any(cell.strip() for cell in row):
            subject, sex = _sex(row, names, f"{path}:{line}", known)
            if subject in sexes:
                raise DataError(
                    f"Subject {subject} occurs twice in the table of sexes.",
                    where=f"{path}:{line}",
                    hint="remove one of the two lines",
                )
            sexes[subject] = sex
    return sexes, data


def _sex(
    row: list[str], names: list[str], where: str, known: Sequence[str]
) -> tuple[str, str | None]:
    if len(row) != len(names):
        raise DataError(
            f"The line has {len(row)} columns, but the first line has {len(names)}.",
            where=where,
            hint="write one subject and one sex per line, such as SN001,F",
        )
    subject = row[names.index("subject")].strip()
    sex = row[names.index("sex")].strip().upper()
    if subject not in known:
        raise DataError(
            f"The dataset has no subject {subject!r}.",
            where=where,
            hint=f"choose from: {abbreviated(known)}",
        )
    if sex not in ("F", "M", ""):
        raise DataError(
            f"The sex must be F or M, not {sex!r}.",
            where=where,
            hint="use F, M, or an empty cell if it is not known",
        )
    return subject, sex or None


def differences(
    counts: Mapping[tuple[str, str], int], expected: Mapping[str, Any] | None
) -> tuple[str, ...]:
    """Compare the numbers of frames that were read with those that the dataset's authors published.

    Args:
        counts: the number of frames that were read, by subject and task.
        expected: the published numbers. The keys subjects, sequences and frames have the totals,
            and frames_per_subject has the number of frames by subject; each key is optional, or
            None. None skips the comparison.

    Returns:
        Texts that describe the differences: one for each subject whose number of frames differs or
        was not published, and one that names all missing subjects. If all subjects agree, or
        `expected` has no numbers by subject, one text for each total that differs. Empty if
        everything agrees.
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
        f"{total:,} {what} were read, but {expected[what]:,} are published"
        for what, total in totals.items()
        if expected.get(what) not in (None, total)
    )


def _by_subject(
    read: Mapping[str, int], published: Mapping[str, int], sequences: Iterable[tuple[str, str]]
) -> list[str]:
    tasks_of = Counter(subject for subject, _ in sequences)
    lines = []
    for subject in sorted(read, key=natural):
        tasks = tasks_of[subject]
        line = f"{subject}: {read[subject]:,} frames in {tasks} sequence{'s' * (tasks != 1)}"
        if subject not in published:
            lines.append(f"{line}, not a published subject")
        elif published[subject] != read[subject]:
            lines.append(f"{line}, but {published[subject]:,} frames are published")
    missing = sorted(set(published) - set(read), key=natural)
    if missing:
        lines.append(
            f"{len(missing)} of {len(published)} subjects are missing: {abbreviated(missing)}"
        )
    return lines
