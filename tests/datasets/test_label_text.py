"""Parsing label files with any content: the same numbers as a loop over rows, or a DataError."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fauds.datasets import label_text as text
from fauds.datasets.label_files import LabelFile
from fauds.datasets.label_text import LabelLayout
from fauds.errors import DataError

ALLOWED = frozenset({0, 1, 9})
QUICK = settings(max_examples=200, deadline=None)


def columns(count: int = 4, header_lines: int = 1) -> LabelLayout:
    return LabelLayout(count, 0, tuple(range(1, count)), header_lines, ALLOWED)


def file(data: bytes, name: str = "a.csv") -> LabelFile:
    return LabelFile(Path("/labels") / name, name, data)


def plain(data: bytes, layout: LabelLayout) -> list[list[int]] | None:
    """Return the rows in rising order of frames; None if the file is invalid."""
    try:
        rows = list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")))
        while rows and not "".join(rows[-1]).strip() and len(rows[-1]) < 2:
            rows.pop()
        numbers = [[int(cell) for cell in row] for row in rows[layout.header_lines :]]
    except (ValueError, csv.Error):
        return None
    valid = all(
        len(row) == layout.count and row[0] > 0 and ALLOWED.issuperset(row[1:]) for row in numbers
    )
    distinct = len({row[0] for row in numbers if row}) == len(numbers)
    return sorted(numbers) if numbers and valid and distinct else None


def rows_of(block: text.Block) -> list[list[int]]:
    return np.vstack([block.frames, block.values]).T.astype(int).tolist()


@st.composite
def good_files(draw: st.DrawFn) -> bytes:
    """Valid files with various line ends, blanks, orders and leading zeros."""
    frames = draw(st.lists(st.integers(1, 3000), min_size=1, max_size=6, unique=True))
    cells = [draw(st.sampled_from(["0,1,9", "1,1,0", "9,9,9"])) for _ in frames]
    blank = draw(st.sampled_from(["", "", " "]))
    width = draw(st.sampled_from([0, 0, 5]))
    lines = ["0,1,2,4"]
    lines += [
        f"{str(frame).zfill(width)},{row}{blank}" for frame, row in zip(frames, cells, strict=True)
    ]
    end = draw(st.sampled_from(["\n", "\n", "\r\n"]))
    tail = draw(st.sampled_from(["", end, end, 2 * end]))
    bom = draw(st.sampled_from(["", "", "\ufeff"]))
    return (bom + end.join(lines) + tail).encode()


@st.composite
def broken_files(draw: st.DrawFn) -> bytes:
    """Valid files with a few bytes removed, inserted or changed."""
    data = bytearray(draw(good_files()))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        length = draw(st.integers(0, 6))
        new = draw(
            st.one_of(
                st.binary(max_size=4),
                st.text("0123459,-+.x\"' \r\n\t_#", max_size=4).map(str.encode),
            )
        )
        data[at : at + length] = new
    return bytes(data)


@QUICK
@given(st.lists(good_files(), min_size=1, max_size=4))
def test_valid_files_are_parsed_as_by_a_loop_over_rows(contents: list[bytes]) -> None:
    blocks = text.parse([file(data) for data in contents], columns())
    assert [rows_of(block) for block in blocks] == [plain(data, columns()) for data in contents]


@pytest.mark.slow
@settings(QUICK, max_examples=400)
@given(st.lists(good_files(), max_size=2), broken_files(), st.integers(0, 1))
def test_damaged_files_are_parsed_as_by_a_loop_over_rows_or_are_errors(
    good: list[bytes], broken: bytes, header_lines: int
) -> None:
    layout = columns(header_lines=header_lines)
    contents = [*good, broken] if header_lines else [broken]
    files = [file(data) for data in contents]
    try:
        if header_lines:
            text.header_cells(files[-1])
        blocks = text.parse(files, layout)
    except DataError as error:
        assert str(error.where).startswith("/labels/a.csv:")
        return
    assert [rows_of(block) for block in blocks] == [plain(data, layout) for data in contents]


@QUICK
@given(st.binary(max_size=60))
def test_a_header_of_any_bytes_gives_cells_or_an_error(data: bytes) -> None:
    try:
        cells = text.header_cells(file(data))
    except DataError:
        return
    assert {type(cell) for cell in cells} <= {str}


def test_regular_files_are_not_parsed_cell_by_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "_parse_plain", None)
    contents = [
        b"0,1,2,4\n5,0,1,9\n6,0,1,9",
        b"0,1,2,4\r\n7,1,1,1\r\n",
        b"\xef\xbb\xbfh\n8,0,0,0\n",
    ]
    blocks = text.parse([file(data) for data in contents], columns())
    assert [block.frames.tolist() for block in blocks] == [[5, 6], [7], [8]]
    assert blocks[0].values.tolist() == [[0, 0], [1, 1], [9, 9]]


def test_one_irregular_file_does_not_slow_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    slow: list[str] = []
    parse_plain = text._parse_plain

    def record(irregular: LabelFile, layout: LabelLayout) -> text.Block:
        slow.append(irregular.name)
        return parse_plain(irregular, layout)

    monkeypatch.setattr(text, "_parse_plain", record)
    files = [file(b"h\n1,0,0,0\n", "a.csv"), file(b'h\n1, 0,"1",9\n', "b.csv")]
    blocks = text.parse(files, columns())
    assert slow == ["b.csv"]
    assert blocks[1].values.tolist() == [[0], [1], [9]]


def test_missing_and_surplus_line_ends_of_two_files_do_not_cancel_out() -> None:
    # The first file has one more line end than rows, the second one more row than line feeds.
    files = [file(b"h\n1,0,0,0\n\n2,0,0,0\n", "a.csv"), file(b"h\n1,0,0,0\r2,1,1,1\n", "b.csv")]
    with pytest.raises(DataError, match="empty"):
        text.parse(files, columns())
