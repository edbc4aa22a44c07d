"""The formats that predictions made elsewhere come in: what one file's rows mean."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fauds.datasets.subjects import shortened
from fauds.errors import DataError
from fauds.evaluation.external.column_roles import ColumnRoles, Sheet, numbers, strings
from fauds.evaluation.external.frame_names import Sequences

TABLE_FORMAT = "table"
FORMATS = (
    "a table has subject, task and frame; OpenFace's has frame and success; py-feat's has input "
    "and frame; and each has a column for every AU (AU01)"
)


@dataclass(frozen=True)
class Part:
    """One file's rows; see `fauds.evaluation.external.read.ExternalPredictions`."""

    subjects: np.ndarray
    tasks: np.ndarray
    frames: np.ndarray
    values: dict[str, np.ndarray]
    intensities: dict[str, np.ndarray]
    folds: np.ndarray | None


def kind_of(sheet: Sheet) -> str:
    """Return the format of a file: `TABLE_FORMAT`, "OpenFace" or "py-feat".

    Raises:
        DataError: its columns are of none.
    """
    names = set(sheet.columns)
    if {"subject", "frame"} <= names:
        return TABLE_FORMAT
    if {"input", "frame"} <= names:
        return "py-feat"
    if {"frame", "success"} <= names:
        return "OpenFace"
    there = shortened(list(sheet.columns))
    raise DataError(
        f"The file is no predictions that fauds knows; its columns are {there}.",
        where=sheet.path,
        hint=FORMATS,
    )


def _table(sheet: Sheet, found: ColumnRoles, sequences: Sequences) -> tuple[Part, int]:
    subjects = strings(sheet, "subject")
    if "task" in sheet.columns:
        tasks = strings(sheet, "task")
    elif sequences.have_tasks:
        raise DataError(
            "There is no column task, and the dataset's subjects have several.",
            where=sheet.path,
            hint="add it: T1 to T8 of BP4D",
        )
    else:
        tasks = np.full(len(subjects), "")
    folds = whole(sheet, "fold") if "fold" in sheet.columns else None
    return _part(sheet, found, subjects, tasks, whole(sheet, "frame"), folds), 0


def _openface(sheet: Sheet, found: ColumnRoles, sequences: Sequences) -> tuple[Part, int]:
    subject, task = sequences.of_name(sheet.path.stem, sheet.path)
    frames = whole(sheet, "frame")
    if (frames < 1).any():
        raise DataError(
            f"There is a frame {frames.min()}, and OpenFace counts from 1.",
            where=sheet.path,
            hint="frames counted from 0 are off by one from the labels: add 1",
        )
    size = len(frames)
    part = _part(sheet, found, np.full(size, subject), np.full(size, task), frames, None)
    success = numbers(sheet, "success") > 0
    return _only(part, success), int((~success).sum())


def _pyfeat(sheet: Sheet, found: ColumnRoles, sequences: Sequences) -> tuple[Part, int]:
    subjects, tasks, frames = sequences.of_inputs(
        strings(sheet, "input"), whole(sheet, "frame"), sheet.path
    )
    part = _part(sheet, found, subjects, tasks, frames, None)
    # A picture without a face has a row of nothing.
    nothing = np.isnan(np.stack([*part.values.values()])).all(axis=0)
    return _only(part, ~nothing), int(nothing.sum())


READERS: dict[str, Callable[[Sheet, ColumnRoles, Sequences], tuple[Part, int]]] = {
    TABLE_FORMAT: _table,
    "OpenFace": _openface,
    "py-feat": _pyfeat,
}
"""By format: a file to its rows, and of how many rows no face was found."""


def _part(
    sheet: Sheet,
    found: ColumnRoles,
    subjects: np.ndarray,
    tasks: np.ndarray,
    frames: np.ndarray,
    folds: np.ndarray | None,
) -> Part:
    values, intensities = (
        {au: numbers(sheet, name) for au, name in named.items()}
        for named in (found.occurrence, found.intensities)
    )
    return Part(subjects, tasks, frames, values, intensities, folds)


def _only(part: Part, kept: np.ndarray) -> Part:
    values, intensities = (
        {au: column[kept] for au, column in named.items()}
        for named in (part.values, part.intensities)
    )
    return Part(part.subjects[kept], part.tasks[kept], part.frames[kept], values, intensities, None)


def whole(sheet: Sheet, name: str) -> np.ndarray:
    """Return a column of whole numbers, int64 [M].

    Raises:
        DataError: one is empty, or is none; its row is named.
    """
    values = numbers(sheet, name)
    # No further than float64 tells whole numbers apart.
    wrong = ~((np.abs(values) < 2**53) & (values == np.floor(values)))
    if wrong.any():
        value = values[np.argmax(wrong)]
        what = "empty" if np.isnan(value) else f"{value:g}"
        raise DataError(
            f"{name} is {what} in row {int(np.argmax(wrong)) + 1}, not a whole number.",
            where=sheet.path,
        )
    return values.astype(np.int64)
