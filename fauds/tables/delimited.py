"""Reading columns by name from delimited text or Parquet files that other programs wrote.

Text may be UTF-8 or UTF-16, with commas, semicolons or tabs between its columns, decimal points or
commas, and lines about the recording before the names of the columns. `ColumnFile.read` returns a
whole table and refuses cells of another type; `ColumnFile.batches` reads a file of any length a few
rows at a time and returns cells that are no numbers as missing. Errors name the file and the line,
or the row of a Parquet file.
"""

import codecs
import csv
import io
import math
import re
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

_SAMPLE = 2**18
"""How many bytes at the start of a text file show its encoding, delimiter and decimal mark."""

_BLOCK = 2**22
"""How many bytes of text, and _ROWS how many rows of Parquet, `ColumnFile.batches` reads."""
_ROWS = 2**16

_MISSING_CELLS = ("", "nan", "na", "n/a", "null", "none", "-nan", "#n/a")
_NUMBER = r"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$"
_GROUP_MARKS = "'’ \u00a0\u202f"
_THOUSANDS = f"^[+-]?[1-9][0-9]{{0,2}}(?:[,.{_GROUP_MARKS}][0-9]{{3}})+$"


@dataclass(frozen=True)
class TextForm:
    """How the text of a delimited file is to be read.

    Attributes:
        encoding: the name of the encoding, as Python's codecs have it.
        delimiter: the character between columns.
        decimal: the decimal mark of numbers, a point or a comma.
        head: the number of lines before the names of the columns.
    """

    encoding: str = "utf-8-sig"
    delimiter: str = ","
    decimal: str = "."
    head: int = 0


@dataclass(frozen=True)
class CellBatch:
    """Some successive rows of a file, N of them.

    Attributes:
        texts: by column, the cells without surrounding blanks, Arrow strings [N]; null where empty.
        numbers: by column, the cells as numbers, float64 [N]; NaN where a cell is empty or is not a
            number.
        first: the index of the first row in the file, from 0.
        invalid: for each column with cells that are neither empty nor a number, the indices in the
            file of their rows, int64.
    """

    texts: Mapping[str, pa.Array]
    numbers: Mapping[str, np.ndarray]
    first: int
    invalid: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        columns = [*self.texts.values(), *self.numbers.values()]
        return len(columns[0]) if columns else 0


@dataclass(frozen=True)
class ColumnFile:
    """A delimited text or Parquet file of another program, whose column names have been read.

    `open_columns` returns such an object; its methods `read` and `batches` then read columns.

    Attributes:
        path: the path of the file; the suffix .parquet marks a Parquet file.
        header: the names of the columns, without surrounding blanks. A column without a name has
            an invented one, which begins with a blank.
        metadata: the key-value metadata of a Parquet file; empty for a text file.
        form: how a text file is to be read.
    """

    path: Path
    header: tuple[str, ...]
    metadata: Mapping[bytes, bytes] = field(default_factory=dict)
    form: TextForm = TextForm()

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

    def batches(self, texts: Sequence[str], numbers: Sequence[str]) -> Iterator[CellBatch]:
        """Yield the rows of the file a few at a time, in bounded memory.

        ``True`` and ``False`` in a column of numbers are 1 and 0.

        Args:
            texts: the names of the columns to read as text.
            numbers: the names of the columns to read as numbers.

        Raises:
            DataError: the file cannot be read, or a row has more or fewer cells than the header.
        """
        names = [*dict.fromkeys([*texts, *numbers])]
        first = 0
        for columns in self._parquet_rows(names) if self.is_parquet else self._csv_rows(names):
            batch = self._cells(columns, texts, numbers, first)
            first += len(batch)
            yield batch
            del batch, columns
            pa.default_memory_pool().release_unused()

    def _cells(
        self, columns: Mapping[str, pa.Array], texts: Sequence[str], numbers: Sequence[str], at: int
    ) -> CellBatch:
        values, invalid = {}, {}
        for name in numbers:
            values[name], wrong = _lenient_numbers(columns[name], self.form.decimal)
            if len(wrong):
                invalid[name] = wrong + at
        trimmed = {name: _trimmed(columns[name]) for name in texts}
        return CellBatch(trimmed, values, at, invalid)

    def _csv_rows(self, names: Sequence[str]) -> Iterator[Mapping[str, pa.Array]]:
        types = dict.fromkeys(names, pa.string())
        # Cells of text are never taken for null: a clip may be called NA.
        options = pacsv.ConvertOptions(include_columns=[*names], column_types=types)
        try:
            reader = pacsv.open_csv(
                self.path, self._read_options(_BLOCK), self._parse_options, options
            )
            with reader:
                for batch in reader:
                    yield {name: batch.column(name) for name in names}
        except pa.ArrowInvalid as error:
            if "Empty CSV file" not in str(error):
                raise self._first_error(types, error) from error
        except (OSError, UnicodeError) as error:
            raise _unreadable(self.path, error) from error

    def _parquet_rows(self, names: Sequence[str]) -> Iterator[Mapping[str, pa.Array]]:
        try:
            with pq.ParquetFile(self.path) as file:
                stored = dict(zip(self.header, file.schema_arrow.names, strict=True))
                columns = [stored[name] for name in names]
                for batch in file.iter_batches(_ROWS, columns=columns):
                    yield {name: batch.column(stored[name]) for name in names}
        except (OSError, pa.ArrowException) as error:
            raise _unreadable(self.path, error) from error

    def _read_options(self, block: int | None = None) -> pacsv.ReadOptions:
        return pacsv.ReadOptions(
            column_names=self.header,
            skip_rows=self.form.head + 1,
            block_size=block,
            encoding="utf8" if self.form.encoding == "utf-8-sig" else self.form.encoding,
        )

    @property
    def _parse_options(self) -> pacsv.ParseOptions:
        return pacsv.ParseOptions(delimiter=self.form.delimiter)

    def _read_csv(self, types: Mapping[str, pa.DataType]) -> pa.Table:
        try:
            return pacsv.read_csv(
                self.path,
                self._read_options(),
                self._parse_options,
                pacsv.ConvertOptions(
                    include_columns=[*types],
                    column_types=types,
                    decimal_point=self.form.decimal,
                ),
            )
        except pa.ArrowInvalid as error:
            raise self._first_error(types, error) from error
        except (OSError, UnicodeError) as error:
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
            with self._opened() as file:
                lines = csv.reader(file, delimiter=self.form.delimiter)
                rows = [cells for cells in list(lines)[1:] if cells]
        except (UnicodeError, csv.Error) as unreadable:
            return _unreadable(self.path, unreadable)
        for row, cells in enumerate(rows):
            if len(cells) != len(self.header):
                return self.error(
                    f"The line has {len(cells)} columns, but the first line has "
                    f"{len(self.header)}.",
                    row,
                    self._hint_about_columns(cells, row == len(rows) - 1),
                )
        for name, kind in types.items():
            column = self.header.index(name)
            cells = [row[column].strip() for row in rows]
            if pa.types.is_floating(kind) and self.form.decimal == ",":
                cells = [cell.replace(",", ".") for cell in cells]
            invalid = _first_invalid(cells, kind)
            if invalid is not None:
                number = "whole number" if pa.types.is_integer(kind) else "number"
                content = rows[invalid][column]
                return self.error(
                    f"Column {name} holds {content!r}, not a {number}.",
                    invalid,
                    f"write a {number} in this cell",
                )
        return _unreadable(self.path, error)

    def _hint_about_columns(self, cells: Sequence[str], last: bool) -> str:
        """Return what to do about a line with another number of cells than the header.

        Args:
            cells: the cells of the line.
            last: whether it is the last line of the file.
        """
        if len(cells) < len(self.header) and last:
            return (
                "the program that wrote the file may have been stopped: remove the last line, or "
                "let the program finish"
            )
        hint = "use the same number of columns in every line; quote text that has a comma"
        if len(cells) > len(self.header) and self.form.delimiter == ",":
            hint += (
                "; if the numbers have decimal commas, write them with decimal points (OpenFace: "
                "run it with LC_ALL=C), or put semicolons between the columns"
            )
        if len(cells) == len(self.header) + 1 and cells[0] == "1":
            hint += (
                "; if the first column has no name, as R's write.table leaves it, write the table "
                "with row.names = FALSE or col.names = NA"
            )
        return hint

    def _opened(self) -> TextIO:
        """Open the text file at the line that names the columns."""
        file = self.path.open(encoding=self.form.encoding, newline="")
        for _ in range(self.form.head):
            file.readline()
        return file

    def _line(self, row: int) -> int:
        with self._opened() as file:
            lines = _row_lines(file, self.form.delimiter)
            return self.form.head + next(islice(lines, row + 1, None))


def open_columns(path: Path) -> ColumnFile:
    """Open a delimited text or Parquet file and read the names of its columns.

    Lines at the top that begin with ``#``, and blank lines after them, are skipped, and so is a
    line such as ``sep=;``, which Excel uses.

    Args:
        path: the path of the file; the suffix .parquet marks a Parquet file, any other suffix a
            text file whose columns have names.

    Raises:
        DataError: the file cannot be read, is empty, or has two columns with the same name.
    """
    metadata: Mapping[bytes, bytes] = {}
    form = TextForm()
    try:
        if path.suffix.lower() == ".parquet":
            with pq.ParquetFile(path) as file:
                names: Sequence[str] = file.schema_arrow.names
                metadata = file.metadata.metadata or {}
        else:
            form, names = _text_form(path)
    except (OSError, UnicodeError, csv.Error, pa.ArrowException) as error:
        raise _unreadable(path, error) from error
    header = tuple(name.strip() or f" column {at}" for at, name in enumerate(names, start=1))
    if not names:
        raise DataError(
            "The table is empty.",
            where=path,
            hint="write or copy the file again",
        )
    repeated = next((name for name in header if header.count(name) > 1), None)
    if repeated is not None and all(re.fullmatch(_NUMBER, name) for name in header):
        raise DataError(
            "The first line holds numbers, not the names of columns.",
            where=f"{path}:{form.head + 1}",
            hint="write a first line that names every column, such as frame,AU01,AU02, in the "
            "order that the program documents",
        )
    if repeated is not None:
        raise DataError(
            f"The first line names the column {repeated!r} twice.",
            where=f"{path}:{form.head + 1}",
            hint="rename or remove one of the two columns",
        )
    return ColumnFile(path, header, metadata, form)


def _text_form(path: Path) -> tuple[TextForm, list[str]]:
    """Return how to read a delimited text file, and the names of its columns.

    Raises:
        UnicodeError: the start of the file is neither UTF-8 nor UTF-16.
    """
    with path.open("rb") as file:
        start = file.read(_SAMPLE)
    encoding = _encoding(start)
    # The sample may end within a character or a line.
    text = codecs.getincrementaldecoder(encoding)().decode(start, len(start) < _SAMPLE)
    lines = list(io.StringIO(text, newline=""))
    head = _head_lines(lines)
    delimiter = None
    if head and lines[head - 1].casefold().startswith("sep="):
        delimiter = lines[head - 1].rstrip("\r\n")[4:5]
    table = lines[head:]
    delimiter = delimiter or _delimiter(table[0] if table else "")
    rows = list(csv.reader(table[: 1 + 500], delimiter=delimiter))
    if len(start) == _SAMPLE and len(rows) > 1:
        del rows[-1]
    cells = [cell.strip() for row in rows[1:] for cell in row]
    return TextForm(encoding, delimiter, _decimal(cells), head), rows[0] if rows else []


def _encoding(start: bytes) -> str:
    """Return the encoding of a text that begins with these bytes: UTF-16 or UTF-8."""
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    # In UTF-16, nearly every second byte of a table is 0.
    for encoding, high in (("utf-16-le", start[1:1000:2]), ("utf-16-be", start[0:1000:2])):
        if high.count(0) > len(high) / 2:
            return encoding
    return "utf-8-sig"


def _head_lines(lines: Sequence[str]) -> int:
    """Return how many lines stand before the names of the columns."""
    head = 0
    for number, line in enumerate(lines, start=1):
        if line.startswith("#") or re.fullmatch(r"(?i)sep=[,;\t]\r?\n?", line):
            head = number
        elif line.strip() or not head:
            break
        else:
            head = number
    return head


def _delimiter(header: str) -> str:
    """Return the character between the names of the columns: the one that gives most names."""
    counts = {}
    for mark in (",", "\t", ";"):
        cells = next(csv.reader([header], delimiter=mark), [])
        # A list of numbers within one cell has delimiters too, but no letters.
        counts[mark] = (sum(bool(re.search(r"[^\W\d_]", cell)) for cell in cells), len(cells) > 1)
    return max(counts, key=lambda mark: counts[mark])


def _decimal(cells: Sequence[str]) -> str:
    """Return the decimal mark of the numbers in some cells, a point or a comma.

    A comma that only ever has three digits after it separates thousands.
    """
    if any(re.fullmatch(r"[+-]?[0-9]+\.[0-9]+", cell) for cell in cells) and not any(
        re.fullmatch(r"[+-]?[0-9]{1,3}(?:\.[0-9]{3})+,[0-9]+", cell) for cell in cells
    ):
        return "."
    commas = [cell for cell in cells if re.fullmatch(r"[+-]?[0-9.]+,[0-9]+", cell)]
    return "," if any(not re.fullmatch(_THOUSANDS, cell) for cell in commas) else "."


def _row_lines(file: TextIO, delimiter: str) -> Iterator[int]:
    """Yield the number of the line on which each row of a CSV file begins, the header included.

    A line number differs from the number of the row after a blank line or a cell of several lines.
    """
    reader = csv.reader(file, delimiter=delimiter)
    line = 1
    for cells in reader:
        if cells:
            yield line
        line = reader.line_num + 1


def _unreadable(path: Path, error: Exception) -> DataError:
    if isinstance(error, UnicodeError):
        return DataError(
            "The table is not UTF-8 text.",
            where=path,
            hint="save the table as a CSV file in UTF-8 (in Excel: CSV UTF-8); it may be in a code "
            "page such as Windows-1252 or GB18030",
        )
    if isinstance(error, OSError):
        reason = error.strerror or str(error)
        hint = "check the name of the file and that you have permission to read it"
    else:
        reason = str(error).splitlines()[0].rstrip(".")
        parquet = path.suffix.lower() == ".parquet"
        hint = "copy the file again" if parquet else "look for a quotation mark that is not closed"
    return DataError(f"The table cannot be read: {reason}.", where=path, hint=hint)


def _trimmed(column: pa.Array) -> pa.Array:
    """Return a column as strings without surrounding blanks; null where nothing is left."""
    texts = pc.utf8_trim_whitespace(column.cast(pa.string()))
    empty = pc.equal(pc.utf8_length(texts), 0)
    return pc.if_else(empty, pa.nulls(len(texts), pa.string()), texts)


def _lenient_numbers(column: pa.Array, decimal: str) -> tuple[np.ndarray, np.ndarray]:
    """Return a column as numbers, and which of its cells are neither empty nor a number.

    Args:
        column: the column, Arrow [N].
        decimal: the decimal mark of numbers in text, a point or a comma.

    Returns:
        The numbers, float64 [N], NaN where a cell has none; and the indices of cells that are
        neither, int64.
    """
    if not (pa.types.is_string(column.type) or pa.types.is_dictionary(column.type)):
        try:
            return _with_nan(column.cast(pa.float64())), np.empty(0, np.int64)
        except pa.ArrowException:
            column = column.cast(pa.string())
    texts = _trimmed(column)
    if decimal == ".":
        try:
            numbers = _with_nan(texts.cast(pa.float64()))
        except pa.ArrowInvalid:
            numbers = None
        # Arrow also reads texts such as "-nan(ind)" and "inf".
        if numbers is not None and np.isfinite(numbers).sum() == len(texts) - texts.null_count:
            return numbers, np.empty(0, np.int64)
    texts = _plain_numbers(texts, decimal)
    valid = pc.match_substring_regex(texts, _NUMBER)
    plain = pc.if_else(valid, texts, pa.nulls(len(texts), pa.string())).cast(pa.float64())
    wrong = pc.fill_null(pc.invert(valid), False)
    return _with_nan(plain), np.flatnonzero(wrong.to_numpy(zero_copy_only=False))


def _plain_numbers(texts: pa.Array, decimal: str) -> pa.Array:
    """Return texts with numbers as they are usual in programs, and null for missing values.

    Thousands separators are removed, and True and False become 1 and 0.
    """
    lower = pc.utf8_lower(texts)
    missing = pc.is_in(lower, value_set=pa.array(_MISSING_CELLS))
    texts = pc.if_else(missing, pa.nulls(len(texts), pa.string()), texts)
    for word, number in (("true", "1"), ("false", "0")):
        texts = pc.if_else(pc.fill_null(pc.equal(lower, word), False), number, texts)
    marks = ("." if decimal == "," else ",") + _GROUP_MARKS
    grouped = f"^[+-]?[1-9][0-9]{{0,2}}(?:[{marks}][0-9]{{3}})+(?:[{decimal}][0-9]+)?$"
    has_groups = pc.fill_null(pc.match_substring_regex(texts, grouped), False)
    ungrouped = pc.replace_substring_regex(texts, f"[{marks}]", "")
    texts = pc.if_else(has_groups, ungrouped, texts)
    return pc.replace_substring(texts, ",", ".") if decimal == "," else texts


def _with_nan(numbers: pa.Array) -> np.ndarray:
    values: np.ndarray = pc.fill_null(numbers, math.nan).to_numpy(zero_copy_only=False)
    return values


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
