"""Damaged BP4D releases: one error that names the file and the line."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fauds.datasets import label_files
from fauds.datasets.base import ReadOptions
from fauds.datasets.bp4d import BP4D

from .helpers import BP4D_AUS, fails, read
from .test_bp4d import OPTIONS, Copy, change, intensity, occurrence

Edit = Callable[[bytes], bytes]


def line(number: int, edit: Edit) -> Edit:
    """Edit one line, counted from 1."""

    def change_line(data: bytes) -> bytes:
        lines = data.splitlines(keepends=True)
        lines[number - 1] = edit(lines[number - 1])
        return b"".join(lines)

    return change_line


def cell(column: int, value: bytes) -> Edit:
    def change_cell(row: bytes) -> bytes:
        cells = row.rstrip(b"\n").split(b",")
        return b",".join([*cells[:column], value, *cells[column + 1 :]]) + b"\n"

    return change_cell


def twice(data: bytes) -> bytes:
    lines = data.splitlines(keepends=True)
    return b"".join([*lines, lines[2]])


OCCURRENCE = {
    "unknown value": (line(3, cell(1, b"2")), 3, "Column 2 holds '2'"),
    "negative value": (line(3, cell(1, b"-1")), 3, "'-1'"),
    "word": (line(3, cell(12, b"x")), 3, "Column 13 holds 'x'"),
    "decimal": (line(3, cell(1, b"1.0")), 3, "'1.0'"),
    "hexadecimal": (line(3, cell(1, b"0x1")), 3, "'0x1'"),
    "empty cell": (line(3, cell(1, b"")), 3, "''"),
    "frame zero": (line(2, cell(0, b"0")), 2, "frame number"),
    "negative frame": (line(2, cell(0, b"-7")), 2, "frame number"),
    "frame with a fraction": (line(2, cell(0, b"7.5")), 2, "frame number"),
    "frame too large": (line(2, cell(0, b"99999999999")), 2, "frame number"),
    "frame of 5000 digits": (line(2, cell(0, b"9" * 5000)), 2, "frame number"),
    "frame is not a number": (line(2, cell(0, b"x")), 2, "frame number"),
    "duplicate frame": (twice, None, "occurs twice"),
    "truncated in a row": (lambda data: data[:-40], None, "columns instead of 100"),
    "truncated after a comma": (lambda data: data[:-2], None, "ends after a comma"),
    "one column more": (line(4, lambda row: b"1," + row), 4, "101 columns instead of 100"),
    "one column less": (line(4, lambda row: row[row.index(b",") + 1 :]), 4, "99 columns"),
    "an empty line": (line(4, lambda row: b"\n" + row), 4, "empty"),
    "empty": (lambda data: b"", 1, "empty"),
    "blank": (lambda data: b" \n\n", 1, "empty"),
    "header alone": (lambda data: data.splitlines()[0], 2, "no frames"),
    "no header": (lambda data: data.split(b"\n", 1)[1], 1, "not a header"),
    "header of words": (line(1, lambda row: b"frame,brow\n"), 1, "not a header"),
    "column twice": (line(1, cell(3, b"4")), 1, "not a header"),
    "no frame column": (line(1, cell(0, b"100")), 1, "not a header"),
    "binary": (line(3, lambda row: b"\xff\xfe" + row), 3, "not UTF-8 text"),
    "UTF-16": (lambda data: data.decode().encode("utf-16"), 1, "not UTF-8 text"),
    "zero bytes": (line(3, cell(1, b"\0")), 3, "Column 2"),
    "open quote": (line(3, cell(1, b'"1')), None, "cannot be read"),
}
INTENSITY = {
    "unknown value": (line(3, cell(1, b"6")), 3, "one of 0, 1, 2, 3, 4, 5, 9"),
    "letter": (line(3, cell(1, b"C")), 3, "'C'"),
    "three columns": (line(2, lambda row: b"1," + row), 2, "3 columns instead of 2"),
    "one column": (line(2, lambda row: b"12\n"), 2, "1 columns instead of 2"),
    "duplicate frame": (twice, None, "occurs twice"),
    "header": (lambda data: b"frame,AU06\n" + data, 1, "frame number"),
    "truncated": (lambda data: data[:-2], None, "ends after a comma"),
    "empty": (lambda data: b"", 1, "empty"),
}


@pytest.mark.parametrize("name", OCCURRENCE)
def test_an_invalid_occurrence_file_is_an_error_with_its_line(
    small_labels: Path, copy: Copy, name: str
) -> None:
    check(copy(small_labels), occurrence, *OCCURRENCE[name])


@pytest.mark.parametrize("name", INTENSITY)
def test_an_invalid_intensity_file_is_an_error_with_its_line(
    small_labels: Path, copy: Copy, name: str
) -> None:
    check(copy(small_labels), intensity, *INTENSITY[name])


def check(
    root: Path, path_of: Callable[[Path], Path], edit: Edit, number: int | None, words: str
) -> None:
    path = path_of(root)
    path.write_bytes(edit(path.read_bytes()))
    number = number or len(path.read_bytes().splitlines())
    message = fails(lambda: read(BP4D, root, None, OPTIONS), words, where=f"{path}:{number}")
    assert "to do:" in message


def test_a_missing_column_of_the_benchmark_is_an_error_or_null(
    small_labels: Path, copy: Copy
) -> None:
    root = copy(small_labels)
    for number in range(len(occurrence(root).read_text().splitlines())):
        change(occurrence(root), number + 1, lambda cells: [*cells[:12], *cells[13:]])
    where = f"{occurrence(root)}:1"
    fails(lambda: read(BP4D, root, None, OPTIONS), "no column 12", "AU12", where=where)
    lenient = read(BP4D, root, None, ReadOptions(aus=BP4D_AUS, missing_aus="null"))
    first = [row for row in lenient.table.to_pylist() if row["subject"] + row["task"] == "F001T1"]
    assert {row["AU12"] for row in first} == {None}
    assert lenient.table["AU12"].null_count == len(first)


def test_two_files_of_one_sequence_are_an_error(small_labels: Path, copy: Copy) -> None:
    root = copy(small_labels)
    (occurrence(root).parent / "f001_t1.CSV").write_bytes(occurrence(root).read_bytes())
    fails(lambda: read(BP4D, root), "F001_T1.csv", "f001_t1.CSV", "both labels of F001/T1")


def test_an_intensity_file_in_the_folder_of_another_au_is_an_error(
    small_labels: Path, copy: Copy
) -> None:
    root = copy(small_labels)
    stray = intensity(root, "AU12").parent / "F001_T1_AU06.csv"
    intensity(root).rename(stray)
    fails(lambda: read(BP4D, root), "for another AU", where=stray)


def test_two_intensity_folders_are_an_error(small_labels: Path, copy: Copy) -> None:
    root = copy(small_labels)
    (root / "AU-Intensity-Codes3.0" / "AU06").mkdir(parents=True)
    fails(lambda: read(BP4D, root), "two folders of intensity files")


def test_a_file_without_read_permission_is_an_error(
    small_labels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, mode: str) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(label_files, "open", refuse, raising=False)
    fails(
        lambda: read(BP4D, small_labels),
        "Permission denied",
        where=occurrence(small_labels),
    )


def test_a_broken_symbolic_link_is_an_error(small_labels: Path, copy: Copy) -> None:
    root = copy(small_labels)
    occurrence(root).unlink()
    occurrence(root).symlink_to(root / "gone.csv")
    fails(lambda: read(BP4D, root), "No such file", where=occurrence(root))


def test_a_folder_without_read_permission_is_an_error(
    small_labels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("os.listdir", refuse)
    fails(lambda: read(BP4D, small_labels), "Permission denied", where=small_labels)


def test_a_root_that_is_missing_or_a_file_is_an_error(small_labels: Path, tmp_path: Path) -> None:
    fails(lambda: read(BP4D, tmp_path / "gone"), "does not exist", where=tmp_path / "gone")
    path = occurrence(small_labels)
    fails(lambda: read(BP4D, path), "not a folder", where=path)


def test_the_error_for_a_folder_without_labels_names_the_expected_layout_and_the_content(
    tmp_path: Path, disfa_root: Path
) -> None:
    fails(lambda: read(BP4D, tmp_path), "AUCoding/AU_OCC/F001_T1.csv", "holds nothing")
    fails(lambda: read(BP4D, disfa_root), "AUCoding/AU_OCC/F001_T1.csv", "ActionUnit_Labels")
    (tmp_path / "AUCoding").mkdir()
    (tmp_path / "AUCoding" / "readme.csv").touch()
    fails(lambda: read(BP4D, tmp_path), "readme.csv", where=tmp_path / "AUCoding")
