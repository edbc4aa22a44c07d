"""Interprets the rows of prediction files, whose format depends on the program that wrote them."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from fauds.datasets.subjects import abbreviated
from fauds.errors import DataError
from fauds.evaluation.external.column_roles import ColumnRoles, Sheet, numbers, strings
from fauds.evaluation.external.frame_names import Sequences

TABLE_FORMAT = "table"
FORMATS = (
    "a table needs the columns subject, task and frame (task only if subjects have several tasks), "
    "or key for images without numbers; a file of OpenFace needs frame and success; a file of "
    "py-feat needs input and frame; every file also needs a column for each AU or class, such as "
    "AU01"
)


@dataclass(frozen=True)
class Part:
    """The predictions that were read from one file of M rows.

    Attributes:
        subjects: the subject of each row, str [M].
        tasks: the task of each row, str [M]; "" for datasets without tasks.
        frames: the frame number of each row, counted as the labels count frames, int64 [M].
        values: by AU or class, probabilities or decisions 0 and 1, float64 [M], NaN where empty.
        intensities: by AU, intensities, float64 [M], NaN where empty.
        folds: the number of the fold whose model predicted each row, int64 [M]; None if the file
            has no column ``fold``.
        keys: the key of each row's image, str [M], if the dataset's images have no numbers; then
            `subjects` and `tasks` are empty texts, and `frames` are 0. None for numbered frames.
    """

    subjects: np.ndarray
    tasks: np.ndarray
    frames: np.ndarray
    values: dict[str, np.ndarray]
    intensities: dict[str, np.ndarray]
    folds: np.ndarray | None
    keys: np.ndarray | None = None


def kind_of(sheet: Sheet) -> str:
    """Return the format of a prediction file: "table", "OpenFace" or "py-feat".

    The format is recognised by the names of the columns.

    Raises:
        DataError: the columns are those of none of these formats.
    """
    names = set(sheet.columns)
    if {"subject", "frame"} <= names or ("key" in names and not {"frame", "input"} & names):
        return TABLE_FORMAT
    if {"input", "frame"} <= names:
        return "py-feat"
    if {"frame", "success"} <= names:
        return "OpenFace"
    raise DataError(
        "The format of this prediction file is not recognised by its columns: "
        f"{abbreviated(list(sheet.columns))}.",
        where=sheet.path,
        hint=FORMATS,
    )


def _table(sheet: Sheet, roles: ColumnRoles, sequences: Sequences) -> tuple[Part, int]:
    needed = ("subject", "frame") if sequences.numbered else ("key",)
    missing = [name for name in needed if name not in sheet.columns]
    if missing:
        raise DataError(
            f"There is no column {', '.join(missing)}.",
            where=sheet.path,
            hint="name each frame as frames.parquet does, by subject, task and frame number"
            if sequences.numbered
            else "this dataset's images have no numbers: name them by their keys, as "
            "frames.parquet does",
        )
    folds = whole(sheet, "fold") if "fold" in sheet.columns else None
    if not sequences.numbered:
        keys = strings(sheet, "key")
        unknown, zeros = np.full(len(keys), ""), np.zeros(len(keys), np.int64)
        part = _part(sheet, roles, unknown, unknown, zeros, folds)
        return replace(part, keys=keys), 0
    subjects = strings(sheet, "subject")
    if "task" in sheet.columns:
        tasks = strings(sheet, "task")
    elif sequences.have_tasks:
        raise DataError(
            "The column task is missing, but the subjects of this dataset have several tasks.",
            where=sheet.path,
            hint="add a column task with the task of each frame, such as T1 to T8 for BP4D",
        )
    else:
        tasks = np.full(len(subjects), "")
    return _part(sheet, roles, subjects, tasks, whole(sheet, "frame"), folds), 0


def _openface(sheet: Sheet, roles: ColumnRoles, sequences: Sequences) -> tuple[Part, int]:
    subject, task = sequences.of_name(sheet.path.stem, sheet.path)
    frames = whole(sheet, "frame")
    if (frames < 1).any():
        raise DataError(
            f"The file has a frame {frames.min()}, but OpenFace counts frames from 1.",
            where=sheet.path,
            hint="number the frames from 1, as the labels do: add 1 to the column frame",
        )
    size = len(frames)
    part = _part(sheet, roles, np.full(size, subject), np.full(size, task), frames, None)
    success = numbers(sheet, "success") > 0
    return _only(part, success), int((~success).sum())


def _pyfeat(sheet: Sheet, roles: ColumnRoles, sequences: Sequences) -> tuple[Part, int]:
    subjects, tasks, frames = sequences.of_inputs(
        strings(sheet, "input"), whole(sheet, "frame"), sheet.path
    )
    part = _part(sheet, roles, subjects, tasks, frames, None)
    # py-feat writes a row of empty cells for an image without a face.
    without_face = np.isnan(np.stack([*part.values.values()])).all(axis=0)
    return _only(part, ~without_face), int(without_face.sum())


READERS: dict[str, Callable[[Sheet, ColumnRoles, Sequences], tuple[Part, int]]] = {
    TABLE_FORMAT: _table,
    "OpenFace": _openface,
    "py-feat": _pyfeat,
}
"""The function that reads a file of each format, by format.

Each function returns the predictions of the file, and the number of rows that were left out because
no face was found in the frame.
"""


def _part(
    sheet: Sheet,
    roles: ColumnRoles,
    subjects: np.ndarray,
    tasks: np.ndarray,
    frames: np.ndarray,
    folds: np.ndarray | None,
) -> Part:
    values, intensities = (
        {au: numbers(sheet, name) for au, name in columns.items()}
        for columns in (roles.occurrence, roles.intensities)
    )
    return Part(subjects, tasks, frames, values, intensities, folds)


def _only(part: Part, kept: np.ndarray) -> Part:
    values, intensities = (
        {au: column[kept] for au, column in columns.items()}
        for columns in (part.values, part.intensities)
    )
    return Part(part.subjects[kept], part.tasks[kept], part.frames[kept], values, intensities, None)


def whole(sheet: Sheet, name: str) -> np.ndarray:
    """Return a column of whole numbers in a file with M rows, int64 [M].

    Raises:
        DataError: a cell is empty or not a whole number; the message gives the row of the cell.
    """
    values = numbers(sheet, name)
    # Beyond 2**53, float64 cannot represent every whole number.
    wrong = ~((np.abs(values) < 2**53) & (values == np.floor(values)))
    if wrong.any():
        value = values[np.argmax(wrong)]
        shown = "empty" if np.isnan(value) else f"{value:g}"
        raise DataError(
            f"The column {name} is {shown} in row {int(np.argmax(wrong)) + 1}, but must hold whole "
            "numbers.",
            where=sheet.path,
            hint="correct this cell; row 1 is the first row below the column names",
        )
    return values.astype(np.int64)
