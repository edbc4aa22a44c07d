"""DISFA's reader on a synthetic release, compared with a loop over rows."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fauds.datasets.base import ReadOptions
from fauds.datasets.disfa import CODED_AUS, DISFA
from fauds.errors import UsageError
from fauds.tables import schemas

from .helpers import DISFA_AUS, as_labels, fails, plain_disfa, read

OPTIONS = ReadOptions(aus=DISFA_AUS)

Copy = Callable[[Path], Path]


def labels(root: Path, au: int = 1, subject: str = "SN003") -> Path:
    return root / "ActionUnit_Labels" / subject / f"{subject}_au{au}.txt"


def read_with_sexes(root: Path, text: str, **options: object):
    path = root / "sexes.csv"
    path.write_text(text)
    return read(DISFA, root, None, ReadOptions(aus=DISFA_AUS, sex_table=path, **options))


def test_labels_equal_those_of_a_loop_over_rows(disfa_root: Path) -> None:
    reading = read(DISFA, disfa_root, None, OPTIONS)
    reading.table.validate(full=True)
    assert as_labels(reading.table) == plain_disfa(disfa_root)
    assert reading.table.schema == schemas.frames_schema(CODED_AUS, CODED_AUS)
    assert reading.synthetic and reading.image_base is None
    assert set(reading.table["task"].to_pylist()) == {""}
    assert reading.table["sex"].null_count == reading.table.num_rows == 180


def test_the_threshold_of_occurrence_can_be_set(disfa_root: Path) -> None:
    table = read(DISFA, disfa_root, None, ReadOptions(aus=DISFA_AUS, occurrence_at=1)).table
    assert as_labels(table) == plain_disfa(disfa_root, occurrence_at=1)
    with pytest.raises(UsageError, match="threshold"):
        read(DISFA, disfa_root, None, ReadOptions(occurrence_at=None))


@pytest.mark.parametrize("inside", ["ActionUnit_Labels", "ActionUnit_Labels/SN001", ".."])
def test_the_root_may_be_in_or_above_the_release(disfa_root: Path, copy: Copy, inside: str) -> None:
    assert read(DISFA, copy(disfa_root) / inside, None, OPTIONS).table.num_rows == 180


def test_a_missing_label_file_is_an_error_that_names_it(disfa_root: Path, copy: Copy) -> None:
    root = copy(disfa_root)
    labels(root, 20).unlink()
    message = fails(
        lambda: read(DISFA, root, None, OPTIONS), "AU20", "SN003", where=labels(root, 20)
    )
    assert "null" in message


def test_a_missing_label_file_becomes_null_if_the_user_chooses_so(
    disfa_root: Path, copy: Copy
) -> None:
    root = copy(disfa_root)
    for path in (labels(root, 1), *(labels(root, 5, s) for s in ("SN001", "SN003", "SN006"))):
        path.unlink()
    options = ReadOptions(aus=DISFA_AUS, missing_aus="null")
    reading = read(DISFA, root, None, options)
    for row in reading.table.to_pylist():
        assert (row["AU01"] is None) == (row["subject"] == "SN003")
        assert (row["AU01_intensity"] is None) == (row["subject"] == "SN003")
    assert "AU05" not in reading.table.column_names  # coded nowhere, no AU of the benchmark
    assert "AU01 is not coded (null) for SN003" in reading.notes


def test_sexes_come_from_the_users_table(disfa_root: Path, copy: Copy) -> None:
    root = copy(disfa_root)
    reading = read_with_sexes(root, "\ufeffSubject, sex\nSN003,F\n\nSN001,\n")
    sexes = {row["subject"]: row["sex"] for row in reading.table.to_pylist()}
    assert sexes == {"SN001": None, "SN003": "F", "SN006": None}
    other = read_with_sexes(root, "subject,sex,age\nSN003,m,20\n")
    assert reading.fingerprint != other.fingerprint
    options = ReadOptions(sex_table=root / "sexes.csv")
    assert DISFA.fingerprint(root, options) == other.fingerprint


def test_a_table_of_all_published_subjects_can_be_used_with_some_of_them(
    disfa_root: Path, copy: Copy
) -> None:
    root = copy(disfa_root)
    path = root / "sexes.csv"
    path.write_text("subject,sex\nSN001,F\nSN032,M\n")
    published = {"frames_per_subject": {"SN001": 60, "SN032": 4845}}
    options = ReadOptions(aus=DISFA_AUS, sex_table=path, subjects=("SN001",))
    assert read(DISFA, root, published, options).table["sex"].to_pylist() == ["F"] * 60


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 1, "columns subject and sex"),
        ("SN001,F\n", 1, "columns subject and sex"),
        ("subject,sex\nSN014,F\n", 2, "no subject 'SN014'"),
        ("subject,sex\nSN001,F\nSN003,woman\n", 3, "'WOMAN'"),
        ("subject,sex\nSN001,F\nSN001,F\n", 3, "twice"),
        ("subject,sex\nSN001\n", 2, "1 columns"),
    ],
)
def test_an_invalid_table_of_sexes_is_an_error_with_its_line(
    disfa_root: Path, copy: Copy, text: str, line: int, words: str
) -> None:
    root = copy(disfa_root)
    where = f"{root / 'sexes.csv'}:{line}"
    fails(lambda: read_with_sexes(root, text), words, where=where)


def test_a_table_of_sexes_that_is_missing_or_not_text_is_an_error(
    disfa_root: Path, copy: Copy
) -> None:
    path = copy(disfa_root) / "sexes.csv"
    fails(lambda: read(DISFA, disfa_root, None, ReadOptions(sex_table=path)), where=path)
    path.write_bytes(b"\xff\xfe\x00")
    fails(lambda: read(DISFA, disfa_root, None, ReadOptions(sex_table=path)), where=path)


@pytest.mark.parametrize(
    ("line", "new", "words"),
    [
        (4, b"20,0", "occurs twice: in lines 1 and 4"),
        (2, b"0,0", "frame number"),
        (4, b"x,0", "frame number"),
        (1, b"1;0", "1 columns instead of 2"),
        (1, b"frame,intensity", "frame number"),
        (60, b"4784,7", "one of 0, 1, 2, 3, 4, 5"),
        (60, b"4784,9", "one of 0, 1, 2, 3, 4, 5"),
        (60, b"4784,-1", "'-1'"),
        (60, b"4784,\xff", "not UTF-8 text"),
        (60, b"4784,", "ends after a comma"),
        (60, b"47", "1 columns instead of 2"),
    ],
)
def test_an_invalid_label_file_is_an_error_with_its_line(
    disfa_root: Path, copy: Copy, line: int, new: bytes, words: str
) -> None:
    root = copy(disfa_root)
    lines = labels(root).read_bytes().splitlines()
    assert lines[0].startswith(b"20,") and len(lines) == 60
    labels(root).write_bytes(b"\n".join([*lines[: line - 1], new, *lines[line:]]))
    fails(lambda: read(DISFA, root, None, OPTIONS), words, where=f"{labels(root)}:{line}")


def test_an_empty_label_file_is_an_error(disfa_root: Path, copy: Copy) -> None:
    root = copy(disfa_root)
    labels(root).write_bytes(b"")
    fails(lambda: read(DISFA, root, None, OPTIONS), "empty", where=f"{labels(root)}:1")


def test_files_of_a_subject_must_label_the_same_frames(disfa_root: Path, copy: Copy) -> None:
    root = copy(disfa_root)
    lines = labels(root, 12).read_text().splitlines()
    labels(root, 12).write_text("\n".join(lines[:-2]))
    fails(
        lambda: read(DISFA, root, None, OPTIONS),
        "SN003_au1.txt but not in SN003_au12.txt",
        "60 and 58 frames",
        where=labels(root, 12),
    )


def test_rows_may_be_in_any_order(disfa_root: Path, copy: Copy) -> None:
    root = copy(disfa_root)
    lines = labels(root).read_text().splitlines()
    labels(root).write_text("\n".join(reversed(lines)))
    assert as_labels(read(DISFA, root, None, OPTIONS).table) == plain_disfa(disfa_root)


def test_unrecognised_names_are_noted_and_files_of_another_subject_are_errors(
    disfa_root: Path, copy: Copy
) -> None:
    root = copy(disfa_root)
    (root / "ActionUnit_Labels" / "notes").mkdir()
    (labels(root).parent / "readme.txt").write_text("not labels")
    notes = read(DISFA, root, None, OPTIONS).notes
    assert any("notes" in note and "readme.txt" in note for note in notes)
    stray = labels(root).parent / "SN001_au1.txt"
    shutil.copy(labels(root, 1, "SN001"), stray)
    fails(lambda: read(DISFA, root, None, OPTIONS), "for another subject", where=stray)
    stray.rename(labels(root).parent / "SN003_au01.txt")
    fails(lambda: read(DISFA, root, None, OPTIONS), "both labels of AU01")


def test_a_folder_of_a_subject_without_labels_is_an_error(disfa_root: Path, copy: Copy) -> None:
    root = copy(disfa_root)
    (root / "ActionUnit_Labels" / "SN004").mkdir()
    where = root / "ActionUnit_Labels" / "SN004"
    fails(lambda: read(DISFA, root, None, OPTIONS), "no label files", where=where)


def test_a_release_without_labels_is_an_error(tmp_path: Path, bp4d_root: Path) -> None:
    fails(lambda: read(DISFA, bp4d_root), "ActionUnit_Labels/SN001/SN001_au1.txt", "AUCoding")
    (tmp_path / "ActionUnit_Labels").mkdir()
    fails(lambda: read(DISFA, tmp_path), "holds nothing")
