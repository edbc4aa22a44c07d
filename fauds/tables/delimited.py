"""Reading columns by name from CSV or Parquet files that other programs wrote.

Errors name the file and the line, or the row of a Parquet file.
"""

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TextIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from fauds.errors import DataError
from fauds.tables.columns import to_numpy


@dataclass(frozen=True)
class ColumnFile:
    """A CSV or Parquet file of another program, whose column names have been read.

    `open_columns` returns such an object; its method `read` then reads columns.

    Attributes:
        path: the path of the file; the suffix .parquet marks a Parquet file.
        header: the names of the columns, without surrounding blanks.
        metadata: the key-value metadata of a Parquet file; empty for a CSV file.
    """

    path: Path
    header: tuple[str, ...]
    metadata: Mapping[bytes, bytes] = field(default_factory=dict)

    @property
    def is_parquet(self) -> bool:
        """Whether the file is a Parquet file, that is, whether its suffix is .parquet."""
        return self.path.suffix.lower() == ".parquet"

    def error(self, what: str, row: int | None = None, hint: str | None = None) -> DataError:
        """Return an error about the file or one of its rows.

        Args:
            what: what is wrong, in one sentence.
            row: the index of the row, from 0, not counting the header; None if the error is about
                the whole file.
            hint: what the user can do about it.
        """
        if row is None:
            where = str(self.path)
        elif self.is_parquet:
            where = f"{self.path}: row {row + 1}"
        else:
            where = f"{self.path}:{self._line(row)}"
        return DataError(what, where=where, hint=hint)

    def read(self, types: Mapping[str, pa.DataType]) -> pa.Table:
        """Return a table with some of the columns of the file.

        Args:
            types: the type of each column to read, by its name. Other columns are left out. An
                empty cell becomes null, which is an error in a column of integers.

        Raises:
            DataError: a row has more or fewer cells than the header, a cell is not a number, or a
                cell in a column of integers is empty. The message names the line.
        """
        table = self._read_parquet(types) if self.is_parquet else self._read_csv(types)
        for name, kind in types.items():
            if pa.types.is_integer(kind) and table[name].null_count:
                row = table[name].is_null().to_pylist().index(True)
                raise self.error(
                    f"The cell in column {name} is empty.", row, "write a whole number in this cell"
                )
        return table

    def _read_csv(self, types: Mapping[str, pa.DataType]) -> pa.Table:
        try:
            return pacsv.read_csv(
                self.path,
                pacsv.ReadOptions(column_names=self.header, skip_rows=1),
                convert_options=pacsv.ConvertOptions(include_columns=[*types], column_types=types),
            )
        except pa.ArrowInvalid as error:
            raise self._first_error(types, error) from error
        except OSError as error:
            raise _unreadable(self.path, error) from error

    def _read_parquet(self, types: Mapping[str, pa.DataType]) -> pa.Table:
        try:
            with pq.ParquetFile(self.path) as file:
                names = dict(zip(self.header, file.schema_arrow.names, strict=True))
                table = file.read([names[name] for name in types])
        except (OSError, pa.ArrowException) as error:
            raise _unreadable(self.path, error) from error
        columns = [self._cast(name, table[names[name]], kind) for name, kind in types.items()]
        return pa.table(columns, [*types])

    def _cast(self, name: str, column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
        try:
            return column.cast(kind)
        except pa.ArrowException as error:
            reason = str(error).splitlines()[0].rstrip(".")
            raise self.error(
                f"Column {name} has type {column.type}, which cannot be read as {kind}: {reason}.",
                hint=f"write the file again with type {kind} for this column",
            ) from error

    def _first_error(self, types: Mapping[str, pa.DataType], error: pa.ArrowInvalid) -> DataError:
        """Return an error about the first row with too many or too few cells, or an invalid cell.

        Args:
            types: the type of each column that was read.
            error: the error of pyarrow, which is reported if no such row or cell is found.
        """
        try:
            with self.path.open(encoding="utf-8", newline="") as file:
                rows = [cells for cells in list(csv.reader(file))[1:] if cells]
        except (UnicodeDecodeError, csv.Error) as unreadable:
            return _unreadable(self.path, unreadable)
        for row, cells in enumerate(rows):
            if len(cells) != len(self.header):
                return self.error(
                    f"The line has {len(cells)} columns, but the first line has "
                    f"{len(self.header)}.",
                    row,
                    "use the same number of columns in every line; quote text that has a comma",
                )
        for name, kind in types.items():
            column = self.header.index(name)
            invalid = _first_invalid([cells[column].strip() for cells in rows], kind)
            if invalid is not None:
                number = "whole number" if pa.types.is_integer(kind) else "number"
                content = rows[invalid][column]
                return self.error(
                    f"Column {name} holds {content!r}, not a {number}.",
                    invalid,
                    f"write a {number} in this cell",
                )
        return _unreadable(self.path, error)

    def _line(self, row: int) -> int:
        with self.path.open(encoding="utf-8", newline="") as file:
            return next(islice(_row_lines(file), row + 1, None))


def open_columns(path: Path) -> ColumnFile:
    """Open a CSV or Parquet file and read the names of its columns.

    Args:
        path: the path of the file; the suffix .parquet marks a Parquet file, any other suffix a
            CSV file with a header.

    Raises:
        DataError: the file cannot be read, is empty, or has two columns with the same name.
    """
    metadata: Mapping[bytes, bytes] = {}
    try:
        if path.suffix.lower() == ".parquet":
            with pq.ParquetFile(path) as file:
                names: Sequence[str] = file.schema_arrow.names
                metadata = file.metadata.metadata or {}
        else:
            with path.open(encoding="utf-8-sig", newline="") as lines:
                names = next(csv.reader(lines), [])
    except (OSError, UnicodeDecodeError, csv.Error, pa.ArrowException) as error:
        raise _unreadable(path, error) from error
    header = tuple(name.strip() for name in names)
    if not header:
        raise DataError(
            "The table is empty.",
            where=path,
            hint="write or copy the file again",
        )
    repeated = next((name for name in header if header.count(name) > 1), None)
    if repeated is not None:
        raise DataError(
            f"The first line names the column {repeated!r} twice.",
            where=f"{path}:1",
            hint="rename or remove one of the two columns",
        )
    return ColumnFile(path, header, metadata)


def _row_lines(file: TextIO) -> Iterator[int]:
    """Yield the number of the line on which each row of a CSV file begins, the header included.

    A line number differs from the number of the row after a blank line or a cell of several lines.
    """
    reader = csv.reader(file)
    line = 1
    for cells in reader:
        if cells:
            yield line
        line = reader.line_num + 1


def _unreadable(path: Path, error: Exception) -> DataError:
    if isinstance(error, UnicodeDecodeError):
        return DataError(
            "The table is not UTF-8 text.",
            where=path,
            hint="save the table as a CSV file in UTF-8",
        )
    if isinstance(error, OSError):
        reason = error.strerror or str(error)
        hint = "check the name of the file and that you have permission to read it"
    else:
        reason = str(error).splitlines()[0].rstrip(".")
        hint = "look for a quotation mark that is not closed"
    return DataError(f"The table cannot be read: {reason}.", where=path, hint=hint)


def trimmed_texts(column: pa.ChunkedArray) -> list[str]:
    """Return a list of the texts in a column, without surrounding blanks."""
    texts: list[str] = pc.utf8_trim_whitespace(column).to_pylist()
    return texts


def stacked_numbers(table: pa.Table, names: Sequence[str]) -> np.ndarray:
    """Return columns of numbers as one NumPy array [rows, columns], with NaN in place of null."""
    columns = [to_numpy(pc.fill_null(table[name], math.nan)) for name in names]
    return np.stack(columns, axis=1)


def _first_invalid(cells: list[str], kind: pa.DataType) -> int | None:
    """Return the index of the first cell that cannot be read as a type, such as an integer.

    The result is None if all cells can be read as the type.
    """
    null_values = pacsv.ConvertOptions().null_values
    text = pa.array([None if cell in null_values else cell for cell in cells], pa.string())
    if _is_valid(text, kind):
        return None
    # All of the first `valid` cells are of the type; among the first `invalid` cells, one is not.
    valid, invalid = 0, len(text)
    while invalid - valid > 1:
        middle = (valid + invalid) // 2
        if _is_valid(text[:middle], kind):
            valid = middle
        else:
            invalid = middle
    return valid


def _is_valid(text: pa.Array, kind: pa.DataType) -> bool:
    try:
        text.cast(kind)
    except pa.ArrowInvalid:
        return False
    return True
