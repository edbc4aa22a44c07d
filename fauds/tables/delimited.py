"""Files of named columns that other programs wrote, CSV or Parquet, read column by column.

What is wrong in a file is named with its line.
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
    """A file of named columns, CSV or Parquet by its suffix, whose header has been read.

    Attributes:
        path: of the file.
        header: its columns' names, without the blanks around them.
        metadata: a Parquet file's key-value metadata; empty of a CSV file.
    """

    path: Path
    header: tuple[str, ...]
    metadata: Mapping[bytes, bytes] = field(default_factory=dict)

    @property
    def is_parquet(self) -> bool:
        """Whether it is a Parquet file."""
        return self.path.suffix.lower() == ".parquet"

    def bad(self, what: str, row: int | None = None, hint: str | None = None) -> DataError:
        """Return an error about the file, or about its row of that number, counted from 0."""
        if row is None:
            where = str(self.path)
        elif self.is_parquet:
            where = f"{self.path}: row {row + 1}"
        else:
            where = f"{self.path}:{self._line(row)}"
        return DataError(what, where=where, hint=hint)

    def read(self, types: Mapping[str, pa.DataType]) -> pa.Table:
        """Read columns by name; other programs' files hold hundreds of others.

        Args:
            types: column to its type. An empty cell is null, which a whole number cannot be.

        Raises:
            DataError: with its line: a row of another length than the header, a cell that is no
                number, an empty cell of a whole number.
        """
        table = self._read_parquet(types) if self.is_parquet else self._read_csv(types)
        for name, kind in types.items():
            if pa.types.is_integer(kind) and table[name].null_count:
                row = table[name].is_null().to_pylist().index(True)
                raise self.bad(f"The cell of column {name} is empty.", row)
        return table

    def _read_csv(self, types: Mapping[str, pa.DataType]) -> pa.Table:
        try:
            return pacsv.read_csv(
                self.path,
                pacsv.ReadOptions(column_names=self.header, skip_rows=1),
                convert_options=pacsv.ConvertOptions(include_columns=[*types], column_types=types),
            )
        except pa.ArrowInvalid as error:
            raise self._first_wrong(types, error) from error
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
            why = str(error).splitlines()[0].rstrip(".")
            raise self.bad(
                f"Column {name} holds {column.type}, which cannot be read as {kind}: {why}."
            ) from error

    def _first_wrong(self, types: Mapping[str, pa.DataType], error: pa.ArrowInvalid) -> DataError:
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
            wrong = _first_not([cells[column].strip() for cells in rows], kind)
            if wrong is not None:
                number = "whole number" if pa.types.is_integer(kind) else "number"
                held = rows[wrong][column]
                return self.bad(f"Column {name} holds {held!r}, not a {number}.", wrong)
        return _unreadable(self.path, error)

    def _line(self, row: int) -> int:
        with self.path.open(encoding="utf-8", newline="") as file:
            return next(islice(_row_lines(file), row + 1, None))


def open_columns(path: Path) -> ColumnFile:
    """Read the header of a file of named columns.

    Raises:
        DataError: the file cannot be read, is empty, or names a column twice.
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
            "The table is empty.", where=path, hint="run what wrote it again, or copy it again"
        )
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"The first line names the column {twice!r} twice.", where=f"{path}:1")
    return ColumnFile(path, header, metadata)


def _row_lines(file: TextIO) -> Iterator[int]:
    """Yield the line on which each row begins, the header's first; a quoted cell has several."""
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
            hint="name a CSV file; one in another encoding has to be saved as UTF-8",
        )
    if isinstance(error, OSError):
        why, hint = error.strerror or str(error), "check its name and that you may read it"
    else:
        why, hint = str(error).splitlines()[0].rstrip("."), "look for a quote that is not closed"
    return DataError(f"The table cannot be read: {why}.", where=path, hint=hint)


def trimmed(column: pa.ChunkedArray) -> list[str]:
    """Return a column of text without the blanks around it."""
    texts: list[str] = pc.utf8_trim_whitespace(column).to_pylist()
    return texts


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
