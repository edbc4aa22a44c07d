"""Reading CSV files of numbers column by column, with the line of what is wrong in them."""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from fauds.errors import DataError
from fauds.tables.columns import to_numpy


@dataclass(frozen=True)
class CsvFile:
    """A CSV file whose first line has been read.

    Attributes:
        path: of the file.
        header: its columns' names, without the blanks around them.
    """

    path: Path
    header: tuple[str, ...]

    def bad(self, what: str, row: int | None = None, hint: str | None = None) -> DataError:
        """Return an error about the file, or about its row of that number, counted from 0."""
        where = self.path if row is None else f"{self.path}:{self._line(row)}"
        return DataError(what, where=where, hint=hint)

    def read(
        self, texts: Sequence[str] = (), whole: Sequence[str] = (), numbers: Sequence[str] = ()
    ) -> pa.Table:
        """Read columns of text, of whole numbers and of numbers (float32; null where empty).

        Raises:
            DataError: the file holds no rows; with its line: a row of another length than the
                first line, a cell that is no number, an empty cell of a whole number.
        """
        types = {
            **dict.fromkeys(texts, pa.string()),
            **dict.fromkeys(whole, pa.int64()),
            **dict.fromkeys(numbers, pa.float32()),
        }
        try:
            table = pacsv.read_csv(
                self.path,
                pacsv.ReadOptions(column_names=self.header, skip_rows=1),
                convert_options=pacsv.ConvertOptions(include_columns=[*types], column_types=types),
            )
        except pa.ArrowInvalid as error:
            raise self._first_wrong(types, error) from error
        if table.num_rows == 0:
            raise self.bad(
                "The table has no rows.", hint="run what wrote it again: only its head is there"
            )
        for name in whole:
            if table[name].null_count:
                row = table[name].is_null().to_pylist().index(True)
                raise self.bad(f"The cell of column {name} is empty.", row)
        return table

    def _first_wrong(self, types: dict[str, pa.DataType], error: pa.ArrowInvalid) -> DataError:
        """Return the error of the first row of a wrong length, else of the first wrong cell."""
        try:
            with self.path.open(encoding="utf-8", newline="") as file:
                rows = [cells for cells in list(csv.reader(file))[1:] if cells]
        except (UnicodeDecodeError, csv.Error) as unreadable:
            return _unreadable(self.path, unreadable)
        for row, cells in enumerate(rows):
            if len(cells) != len(self.header):
                return self.bad(
                    f"The line has {len(cells)} columns, the first {len(self.header)}.",
                    row,
                    "give every line as many; a text that holds a comma stands in quotes",
                )
        for name, kind in types.items():
            column = self.header.index(name)
            row = _first_not([cells[column].strip() for cells in rows], kind)
            if row is not None:
                number = "whole number" if pa.types.is_integer(kind) else "number"
                return self.bad(f"Column {name} holds {rows[row][column]!r}, not a {number}.", row)
        return _unreadable(self.path, error)

    def _line(self, row: int) -> int:
        with self.path.open("rb") as file:
            filled = (
                line for line, data in enumerate(file, start=1) if line > 1 and data.strip(b"\r\n")
            )
            return next(line for index, line in enumerate(filled) if index == row)


def open_csv_file(path: Path) -> CsvFile:
    """Read the first line of a CSV file.

    Raises:
        DataError: the file cannot be read, is empty, or names a column twice.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = tuple(name.strip() for name in next(csv.reader(file), []))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _unreadable(path, error) from error
    if not header:
        raise DataError(
            "The table is empty.", where=path, hint="run what wrote it again, or copy it again"
        )
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"The first line names the column {twice!r} twice.", where=f"{path}:1")
    return CsvFile(path, header)


def _unreadable(path: Path, error: Exception) -> DataError:
    if isinstance(error, UnicodeDecodeError):
        return DataError(
            "The table is not UTF-8 text.",
            where=path,
            hint="name a CSV file; one in another encoding has to be saved as UTF-8",
        )
    if isinstance(error, OSError):
        why, hint = error.strerror or str(error), "check its name and that you may read it"
    else:
        why, hint = str(error).splitlines()[0].rstrip("."), "look for a quote that is not closed"
    return DataError(f"The table cannot be read: {why}.", where=path, hint=hint)


def trimmed(column: pa.ChunkedArray) -> list[str]:
    """Return a column of text without the blanks around it."""
    return pc.utf8_trim_whitespace(column).to_pylist()


def stacked(table: pa.Table, names: Sequence[str]) -> np.ndarray:
    """Return columns of numbers, float32 [rows, columns]; NaN for null."""
    columns = [to_numpy(pc.fill_null(table[name], math.nan)) for name in names]
    return np.stack(columns, axis=1)


def _first_not(cells: list[str], kind: pa.DataType) -> int | None:
    """Return the first cell that does not hold what its column does; None where all do."""
    absent = pacsv.ConvertOptions().null_values
    text = pa.array([None if cell in absent else cell for cell in cells], pa.string())
    if _holds(text, kind):
        return None
    fine, wrong = 0, len(text)
    while wrong - fine > 1:
        middle = (fine + wrong) // 2
        if _holds(text[:middle], kind):
            fine = middle
        else:
            wrong = middle
    return fine


def _holds(text: pa.Array, kind: pa.DataType) -> bool:
    try:
        text.cast(kind)
    except pa.ArrowInvalid:
        return False
    return True
