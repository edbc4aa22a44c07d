"""Reading columns of CSV and Parquet files of other programs, and errors with their lines."""

import csv
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fauds.errors import DataError
from fauds.tables.delimited import ColumnFile, open_columns, stacked_numbers, trimmed_texts

TEXT, WHOLE, NUMBER = pa.string(), pa.int64(), pa.float64()
TYPES = {"subject": TEXT, "frame": WHOLE, "AU12": NUMBER}


def written(folder: Path, content: bytes | str, name: str = "their table.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def parquet(folder: Path, name: str = "their table.parquet", **columns: object) -> Path:
    path = folder / name
    pq.write_table(pa.table(columns), path)
    return path


def refused(path: Path, types: dict[str, pa.DataType]) -> DataError:
    with pytest.raises(DataError) as caught:
        open_columns(path).read(types)
    return caught.value


def test_only_the_named_columns_are_read(tmp_path: Path) -> None:
    path = written(tmp_path, "AU12,gaze,subject,frame\n0.5,left,F001,7\n0.25,,M002,8\n")
    table = open_columns(path).read(TYPES)
    assert table.to_pydict() == {"subject": ["F001", "M002"], "frame": [7, 8], "AU12": [0.5, 0.25]}
    assert table.schema.types == [TEXT, WHOLE, NUMBER]


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte order mark"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
def test_byte_order_marks_line_ends_and_blanks_do_not_matter(
    tmp_path: Path, bom: bytes, end: bytes
) -> None:
    lines = [b"frame,  AU12 , subject", b" 1, 0.5 ,F001", b"", b"2,1e-1,M002", b""]
    file = open_columns(written(tmp_path, bom + end.join(lines)))
    assert file.header == ("frame", "AU12", "subject")
    assert file.read({"frame": WHOLE, "AU12": NUMBER}).to_pydict() == {
        "frame": [1, 2],
        "AU12": [0.5, 0.1],
    }


def test_an_empty_cell_is_null_unless_the_column_holds_integers(tmp_path: Path) -> None:
    path = written(tmp_path, "subject,frame,AU12\nF001,1,\n,2,NaN\nM002,3,1\n")
    table = open_columns(path).read(TYPES)
    assert table["AU12"].to_pylist() == [None, None, 1]
    assert table["subject"].to_pylist() == ["F001", "", "M002"]
    assert np.array_equal(
        stacked_numbers(table, ["AU12", "AU12"]),
        [[math.nan] * 2, [math.nan] * 2, [1, 1]],
        equal_nan=True,
    )


def test_text_is_returned_without_surrounding_blanks(tmp_path: Path) -> None:
    path = written(tmp_path, 'subject\n  F001 \n"M 002"\n\t陈\n')
    assert trimmed_texts(open_columns(path).read({"subject": TEXT})["subject"]) == [
        "F001",
        "M 002",
        "陈",
    ]


@pytest.mark.parametrize(
    ("lines", "line", "message"),
    [
        (["F001,1,0.5", "F001,2,high"], 3, "Column AU12 holds 'high', not a number."),
        (["F001,1,0.5", "", "", "F001,2,0x1"], 5, "Column AU12 holds '0x1', not a number."),
        (["F001,1,0.5", "F001,2.5,0.5"], 3, "Column frame holds '2.5', not a whole number."),
        (["F001,1,0.5", "F001,,0.5"], 3, "The cell in column frame is empty."),
        (["F001,1,0.5", "F001,2"], 3, "The line has 2 columns, but the first line has 3."),
        (["F001,1,0.5", "F001,2,0.5,"], 3, "The line has 4 columns, but the first line has 3."),
        # A line of a wrong length is reported before an invalid cell.
        (["F001,1,high", "F001,2"], 3, "The line has 2 columns, but the first line has 3."),
        # The first of several invalid cells is reported.
        (["F001,1,a", "F001,2,b"], 2, "Column AU12 holds 'a', not a number."),
        (['"a\nperson",1,0.5', "F001,2,high"], 4, "Column AU12 holds 'high', not a number."),
        (['"a\nperson",1,0.5', "F001,,1"], 4, "The cell in column frame is empty."),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
def test_an_error_in_a_csv_file_names_the_line(
    tmp_path: Path, lines: list[str], line: int, message: str, end: str
) -> None:
    path = written(tmp_path, end.join(["subject,frame,AU12", *lines, ""]))
    error = refused(path, TYPES)
    assert (error.what, error.where) == (message, f"{path}:{line}")


@given(
    rows=st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8", exclude_characters="\x00\r\n\ufeff")),
            st.integers(-(2**62), 2**62),
            st.none() | st.floats(allow_nan=False),
        ),
        max_size=6,
    ),
    blanks=st.sampled_from(["", " ", "\t  "]),
    quoted=st.booleans(),
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_values_written_to_csv_are_read_back(
    tmp_path: Path, rows: list[tuple], blanks: str, quoted: bool
) -> None:
    path = tmp_path / "table.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL)
        writer.writerow([f"{blanks}{name}{blanks}" for name in TYPES])
        for subject, frame, value in rows:
            writer.writerow(
                [subject, f"{blanks}{frame}{blanks}", "" if value is None else repr(value)]
            )
    table = open_columns(path).read(TYPES)
    assert [tuple(row.values()) for row in table.to_pylist()] == rows


@given(
    numbers=st.lists(st.integers(0, 9), min_size=1, max_size=30),
    invalid=st.text("abcxyz", min_size=1, max_size=3),
    at=st.integers(0),
    gaps=st.lists(st.integers(0, 2), min_size=30, max_size=30),
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_line_of_an_invalid_cell_is_the_one_that_an_editor_shows(
    tmp_path: Path, numbers: list[int], invalid: str, at: int, gaps: list[int]
) -> None:
    cells = [str(number) for number in numbers]
    cells[at % len(cells)] = invalid
    text = "AU12\n" + "".join(
        "\n" * gap + f"{cell}\n" for gap, cell in zip(gaps, cells, strict=False)
    )
    path = written(tmp_path, text)
    error = refused(path, {"AU12": NUMBER})
    assert error.where == f"{path}:{text.splitlines().index(invalid) + 1}"


@pytest.mark.parametrize("text", ["", "\n1,2\n"])
def test_a_file_without_a_header_is_an_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match="The table is empty"):
        open_columns(written(tmp_path, text))


def test_a_file_with_only_a_header_has_no_rows(tmp_path: Path) -> None:
    table = open_columns(written(tmp_path, "subject,frame,AU12\n")).read(TYPES)
    assert (table.num_rows, table.column_names) == (0, [*TYPES])


def test_two_columns_with_the_same_name_are_an_error(tmp_path: Path) -> None:
    for path in (
        written(tmp_path, "frame,AU12,gaze, AU12\n1,0,0,1\n"),
        parquet(tmp_path, **{"AU12": [0], " AU12 ": [1]}),
    ):
        with pytest.raises(DataError, match="names the column 'AU12' twice") as caught:
            open_columns(path)
        assert caught.value.where == f"{path}:1"


def test_a_file_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    for path, message in (
        (tmp_path / "gone.csv", "No such file"),
        (tmp_path, "Is a directory"),
        (tmp_path / "gone.parquet", "No such file|Failed to open"),
        (written(tmp_path, b"AU\xe9,b\n1,2\n", "latin.csv"), "not UTF-8 text"),
        (written(tmp_path, "no Parquet", "text.parquet"), "cannot be read"),
    ):
        with pytest.raises(DataError, match=message) as caught:
            open_columns(path)
        assert caught.value.where == str(path) and caught.value.hint


def test_bytes_that_are_not_utf_8_below_the_header_are_an_error(tmp_path: Path) -> None:
    path = written(tmp_path, b"subject,frame,AU12\nZo\xeb,1,0.5\n")
    assert "not UTF-8 text" in refused(path, TYPES).what


@pytest.mark.parametrize("suffix", [".parquet", ".PARQUET"])
def test_parquet_is_read_like_csv(tmp_path: Path, suffix: str) -> None:
    subjects = pa.array(["F001", "M002"]).dictionary_encode()
    columns = {"subject": subjects, " frame ": pa.array([7, 8], pa.int8()), "AU12": ["0.5", None]}
    file = open_columns(parquet(tmp_path, "theirs" + suffix, **columns, gaze=[1, 2]))
    assert file.is_parquet and file.header == ("subject", "frame", "AU12", "gaze")
    table = file.read(TYPES)
    assert table.to_pydict() == {"subject": ["F001", "M002"], "frame": [7, 8], "AU12": [0.5, None]}
    assert table.schema.types == [TEXT, WHOLE, NUMBER]


def test_only_parquet_files_have_metadata(tmp_path: Path) -> None:
    path = tmp_path / "theirs.parquet"
    pq.write_table(pa.table({"frame": [1]}).replace_schema_metadata({"made by": "them"}), path)
    assert open_columns(path).metadata[b"made by"] == b"them"
    assert open_columns(written(tmp_path, "frame\n1\n")).metadata == {}


def test_an_empty_integer_in_parquet_is_an_error_with_its_row(tmp_path: Path) -> None:
    path = parquet(tmp_path, subject=["F001"] * 3, frame=[1, None, None], AU12=[0.5] * 3)
    error = refused(path, TYPES)
    assert error.what == "The cell in column frame is empty."
    assert error.where == f"{path}: row 2"


@pytest.mark.parametrize(
    ("column", "kind", "reason"),
    [
        (["0.5", "high"], "string", "'high'"),
        ([[1], [2]], "list<", "cast"),
        (pa.array([1, 2], pa.timestamp("s")), "timestamp", "cast"),
    ],
    ids=["text", "lists", "times"],
)
def test_a_parquet_column_of_another_type_is_an_error_that_names_it(
    tmp_path: Path, column: object, kind: str, reason: str
) -> None:
    path = parquet(tmp_path, subject=["F001"] * 2, frame=[1, 2], AU12=column)
    error = refused(path, TYPES)
    assert error.what.startswith("Column AU12 ") and kind in error.what and reason in error.what
    assert error.where == str(path)
    assert "quotation" not in (error.hint or "")


def test_a_fraction_in_parquet_is_not_a_whole_number(tmp_path: Path) -> None:
    path = parquet(tmp_path, subject=["F001"], frame=[1.5], AU12=[0.5])
    assert "Column frame " in refused(path, TYPES).what


def test_an_error_names_the_file_or_one_of_its_rows(tmp_path: Path) -> None:
    path = written(tmp_path, "frame\n\n5\n6\n")
    file = open_columns(path)
    assert file.error("Wrong.").where == str(path)
    assert [file.error("Wrong.", row).where for row in (0, 1)] == [f"{path}:3", f"{path}:4"]
    other = ColumnFile(tmp_path / "a.parquet", ("frame",))
    assert other.error("Wrong.", 1, "do this").where == f"{tmp_path}/a.parquet: row 2"
    assert other.error("Wrong.", 1, "do this").hint == "do this"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize(
    ("text", "head"),
    [
        ("subject,frame,AU12\nF001,7,0.5\n陈,8,1.5\n", 0),
        ("subject;frame;AU12\r\nF001;7;0,5\r\n陈;8;1,5\r\n", 0),
        ("subject\tframe\tAU12\nF001\t7\t0.5\n陈\t8\t1.5\n", 0),
        ("# Study: rest, 1\n#Version 6\n\nsubject\tframe\tAU12\nF001\t7\t0,5\n陈\t8\t1,5\n", 3),
        ("sep=;\nsubject;frame;AU12\nF001;7;0.5\n陈;8;1.5\n", 1),
        ('subject,frame,AU12\nF001,7,"0,5"\n陈,8,"1,5"\n', 0),
    ],
)
def test_any_encoding_delimiter_and_decimal_mark_is_read(
    tmp_path: Path, encoding: str, text: str, head: int
) -> None:
    file = open_columns(written(tmp_path, text.encode(encoding)))
    assert file.header == ("subject", "frame", "AU12") and file.form.head == head
    expected = {"subject": ["F001", "陈"], "frame": [7, 8], "AU12": [0.5, 1.5]}
    assert file.read(TYPES).to_pydict() == expected
    (batch,) = file.batches(["subject"], ["frame", "AU12"])
    assert batch.texts["subject"].to_pylist() == ["F001", "陈"]
    assert batch.numbers["frame"].tolist() == [7, 8] and batch.numbers["AU12"].tolist() == [
        0.5,
        1.5,
    ]
    assert not batch.invalid and len(batch) == 2
    line = text.split("\n").index(next(row for row in text.split("\n") if "陈" in row)) + 1
    assert file.error("Wrong.", 1).where == f"{file.path}:{line}"


def test_cells_that_are_no_numbers_are_missing_and_counted(tmp_path: Path) -> None:
    cells = ["0.5", "-nan(ind)", "", "NaN", "True", "false", "high", " 1e-1 ", "NA"]
    path = written(tmp_path, "AU12,frame\n" + "".join(f"{cell},1\n" for cell in cells))
    (batch,) = open_columns(path).batches([], ["AU12"])
    expected = [0.5, math.nan, math.nan, math.nan, 1, 0, math.nan, 0.1, math.nan]
    assert np.array_equal(batch.numbers["AU12"], expected, equal_nan=True)
    assert batch.invalid["AU12"].tolist() == [1, 6]


@pytest.mark.parametrize(
    ("cells", "numbers"),
    [
        (["998", "999", '"1,000"', '"12,001"'], [998, 999, 1000, 12001]),
        (['"1,000.5"', "2.5"], [1000.5, 2.5]),
        (['"0,125"', '"1,500"'], [0.125, 1.5]),
        (['"1.234,5"', '"0,5"'], [1234.5, 0.5]),
        (["1 000", "1'000", "7"], [1000, 1000, 7]),
    ],
)
def test_thousands_separators_are_told_from_decimal_commas(
    tmp_path: Path, cells: list[str], numbers: list[float]
) -> None:
    path = written(tmp_path, "AU12,x\n" + "".join(f"{cell},\n" for cell in cells))
    (batch,) = open_columns(path).batches([], ["AU12"])
    assert batch.numbers["AU12"].tolist() == numbers and not batch.invalid


def test_lines_of_another_length_name_the_likely_cause(tmp_path: Path) -> None:
    for rows, cause in (
        ("0,5,1\n", "decimal commas"),
        ("1,0,1\n2,0,1\n", "row.names = FALSE"),
        ("1,2\n3", "may have been stopped"),
    ):
        file = open_columns(written(tmp_path, f"AU01,AU12\n{rows}"))
        with pytest.raises(DataError, match="columns, but the first line has 2") as caught:
            list(file.batches([], ["AU01"]))
        assert cause in caught.value.hint and caught.value.where.startswith(f"{file.path}:")


def test_columns_without_a_name_are_ignored(tmp_path: Path) -> None:
    file = open_columns(written(tmp_path, ",AU12,,\n0,1,,\n1,0,,\n"))
    assert file.header[1] == "AU12" and len(set(file.header)) == 4
    (batch,) = file.batches([], ["AU12"])
    assert batch.numbers["AU12"].tolist() == [1, 0]


def test_batches_of_parquet_and_of_long_text_are_those_of_the_whole(tmp_path: Path) -> None:
    values = np.arange(300_000) / 8
    paths = [parquet(tmp_path, AU12=values), tmp_path / "long.csv"]
    lines = "".join(f"{value},{'x' * 100}\n" for value in values)
    paths[1].write_text(f"AU12,comment\n{lines}")
    for path in paths:
        batches = list(open_columns(path).batches([], ["AU12"]))
        assert len(batches) > 1
        assert np.array_equal(np.concatenate([one.numbers["AU12"] for one in batches]), values)
        assert [one.first for one in batches] == np.cumsum([0, *map(len, batches)])[:-1].tolist()
    assert list(open_columns(written(tmp_path, "AU12\n")).batches([], ["AU12"])) == []
