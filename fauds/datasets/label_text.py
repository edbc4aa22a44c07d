"""Parsing label files into numbers: fast for regular files, with exact error messages for others.

Files with the same columns are joined and parsed by one call of pyarrow, without a loop over rows
in Python and without loading pandas. A file with anything unusual (a blank, a quote, a value that
is not allowed, a short line) is parsed cell by cell instead; if a cell is invalid, an error names
the file and the line. Both ways of parsing give the same numbers.
"""

import csv
import io
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
from pyarrow import csv as arrow_csv

from fauds.datasets.label_files import BOM, LabelFile, label_error
from fauds.tables.columns import to_numpy

MISSING = 9
"""The value for "not coded" in BP4D's label files and in arrays of labels; in tables it is null."""

_PLAIN_BYTES = b"0123456789,\n"
_COMMA, _LINE_END = b",\n"
_LARGEST_FRAME = 2**31 - 1


@dataclass(frozen=True, slots=True)
class LabelLayout:
    """The layout of the columns in a label file.

    Attributes:
        count: the number of columns of the file.
        frame: the index, from 0, of the column with the frame number.
        wanted: the indices of the columns of labels to read; other columns are not checked.
        header_lines: the number of lines before the first row of labels.
        allowed: the values that labels in these columns may have, each an integer from 0 to 9.
    """

    count: int
    frame: int
    wanted: tuple[int, ...]
    header_lines: int
    allowed: frozenset[int]


@dataclass(frozen=True, slots=True)
class Block:
    """The labels in one label file, as numbers.

    Attributes:
        frames: the numbers of the N labelled frames, int32 [N], in rising order.
        values: the labels in the columns that were read, int8 [columns, N].
    """

    frames: np.ndarray
    values: np.ndarray


def header(file: LabelFile) -> bytes:
    """Return the bytes of a file's first line, without its byte-order mark and line end."""
    data = file.data.removeprefix(BOM)
    end = data.find(b"\n")
    return data[: end if end >= 0 else len(data)].split(b"\r", 1)[0]


def _unix(data: bytes) -> bytes:
    """Return the bytes of a text with line feeds in place of all other line ends."""
    if b"\r" not in data:
        return data
    return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def header_cells(file: LabelFile) -> list[str]:
    """Return the texts of the cells on a file's first line, without surrounding blanks.

    Raises:
        DataError: the line is not UTF-8 text, or not valid CSV.
    """
    rows = _rows(file, _decode(header(file), file))
    return [cell.strip() for cell in rows[0][1]] if rows else []


def parse(files: Sequence[LabelFile], columns: LabelLayout) -> list[Block]:
    """Parse label files that have the same columns.

    Args:
        files: the files in memory. Windows line ends, a byte-order mark, empty lines at the end
            and a last line without a line end are accepted.
        columns: the layout of the columns of every file.

    Returns:
        The labels of each file, in the order of `files`.

    Raises:
        DataError: a line has a wrong number of columns (it may be truncated), a value is not
            allowed, a frame number is not a positive integer or occurs twice, or a file has no
            rows. The message names the file and the line.
    """
    blocks = _parse_together(files, columns)
    if blocks is None:
        blocks = [
            alone[0] if (alone := _parse_together([file], columns)) else _parse_plain(file, columns)
            for file in files
        ]
    pairs = zip(files, blocks, strict=True)
    return [_ordered(file, block, columns.header_lines) for file, block in pairs]


def _parse_together(files: Sequence[LabelFile], columns: LabelLayout) -> list[Block] | None:
    """Return the labels in label files, parsed with pyarrow; None if a file is unusual.

    Unusual files, for example with a blank or an invalid value, are left to `_parse_plain`.
    """
    bodies = [_body(file, columns.header_lines) for file in files]
    joined = b"\n".join([*bodies, b""])
    if joined.translate(None, _PLAIN_BYTES):
        return None
    table = _read_csv(joined, columns)
    if table is None:
        return None
    characters = np.frombuffer(joined, np.uint8)
    line_ends = np.flatnonzero(characters == _LINE_END)
    # pyarrow skips blank lines, and may accept a line that is truncated after a comma.
    if len(table) != len(line_ends) or (characters[line_ends - 1] == _COMMA).any():
        return None
    frames, *wanted = map(to_numpy, table.columns)
    values = np.stack(wanted)
    if frames.min() < 1 or not _allowed_lookup(columns.allowed)[values.view(np.uint8)].all():
        return None
    file_ends = np.cumsum([len(body) + 1 for body in bodies])
    rows = np.searchsorted(line_ends, file_ends).tolist()
    return [Block(frames[start:end], values[:, start:end]) for start, end in pairwise([0, *rows])]


def _body(file: LabelFile, header_lines: int) -> memoryview:
    """Return the bytes of the rows of a file, without its header and the line ends at its end."""
    data = _unix(file.data)
    start = len(BOM) if data.startswith(BOM) else 0
    for _ in range(header_lines):
        start = data.find(b"\n", start) + 1 or len(data)
    return memoryview(data)[start : max(start, len(data.rstrip(b"\n")))]


def _read_csv(joined: bytes, columns: LabelLayout) -> pa.Table | None:
    names = [str(position) for position in range(columns.count)]
    kept = [names[position] for position in (columns.frame, *columns.wanted)]
    types = dict.fromkeys(kept, pa.int8()) | {kept[0]: pa.int32()}
    try:
        return arrow_csv.read_csv(
            pa.BufferReader(joined),
            read_options=arrow_csv.ReadOptions(column_names=names, use_threads=True),
            parse_options=arrow_csv.ParseOptions(quote_char=False),
            convert_options=arrow_csv.ConvertOptions(
                include_columns=kept, column_types=types, null_values=[]
            ),
        )
    except pa.ArrowException:
        return None


def _allowed_lookup(allowed: Collection[int]) -> np.ndarray:
    lookup = np.zeros(256, bool)
    lookup[list(allowed)] = True
    return lookup


def _decode(data: bytes, file: LabelFile) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = _unix(data[: error.start]).count(b"\n") + 1
        what = f"The file is not UTF-8 text: it holds the byte {data[error.start]:#04x}."
        raise label_error(what, file.path, line) from None


def _rows(file: LabelFile, text: str) -> list[tuple[int, list[str]]]:
    """Return the line number, from 1, and the cells of every row of a CSV text, even of empty rows.

    Args:
        file: the file that the text comes from, for the error message.
        text: the text.
    """
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        return [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise label_error(
            f"The line cannot be read as CSV: {error}.", file.path, reader.line_num
        ) from None


def _parse_plain(file: LabelFile, columns: LabelLayout) -> Block:
    """Return the labels in a file, parsed cell by cell; slow, but finds the line of an error."""
    rows = _rows(file, _decode(file.data.removeprefix(BOM), file))
    while rows and _is_blank(rows[-1][1]):
        rows.pop()
    rows = rows[columns.header_lines :]
    if not rows:
        raise label_error("The file holds no frames.", file.path, columns.header_lines + 1)
    numbers = [_plain_row(file, line, cells, columns) for line, cells in rows]
    table = np.array(numbers, np.int64).T
    return Block(table[0].astype(np.int32), table[1:].astype(np.int8))


def _is_blank(cells: list[str]) -> bool:
    return not cells or (len(cells) == 1 and not cells[0].strip())


def _plain_row(file: LabelFile, line: int, cells: list[str], columns: LabelLayout) -> list[int]:
    if _is_blank(cells):
        raise label_error("The line is empty.", file.path, line)
    if len(cells) != columns.count:
        raise label_error(
            f"The line has {len(cells)} columns instead of {columns.count}; the file may be "
            "truncated.",
            file.path,
            line,
        )
    if not cells[-1].strip():
        raise label_error(
            "The line ends after a comma; the file may be truncated.", file.path, line
        )

    def number(position: int, is_allowed: Callable[[int], bool], description: str) -> int:
        cell = cells[position].strip()
        # The length is checked first: Python refuses to convert numbers of thousands of digits.
        if cell.isascii() and cell.isdecimal() and len(cell) < 20 and is_allowed(int(cell)):
            return int(cell)
        content = f"Column {position + 1} holds {cell[:40]!r}"
        raise label_error(f"{content}, which is not {description}.", file.path, line)

    allowed = ", ".join(map(str, sorted(columns.allowed)))
    return [
        number(columns.frame, lambda n: 1 <= n <= _LARGEST_FRAME, "a frame number (1, 2, ...)"),
        *(number(p, columns.allowed.__contains__, f"one of {allowed}") for p in columns.wanted),
    ]


def _ordered(file: LabelFile, block: Block, header_lines: int) -> Block:
    """Return the labels of a file sorted by frame; raise DataError if a frame occurs twice."""
    if (np.diff(block.frames) > 0).all():
        return block
    order = np.argsort(block.frames, kind="stable")
    frames = block.frames[order]
    duplicates = np.flatnonzero(np.diff(frames) == 0)
    if duplicates.size:
        first, second = (int(order[duplicates[0] + i]) + header_lines + 1 for i in (0, 1))
        raise label_error(
            f"Frame {frames[duplicates[0]]} occurs twice: in lines {first} and {second}.",
            file.path,
            second,
        )
    return Block(frames, block.values[:, order])
