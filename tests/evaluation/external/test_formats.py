"""The formats of external predictions: how they are recognised, and how their rows are read."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fauds.errors import DataError
from fauds.evaluation.external.column_roles import classify, open_sheet
from fauds.evaluation.external.formats import READERS, Part, kind_of, whole
from fauds.evaluation.external.frame_names import Sequences
from tests.evaluation.external.helpers import AUS, bp4d, disfa, images, write

SCORES = {"AU01": [0.25, 0.5], "AU12": [1.0, 0.0]}


def rows_of(path: Path, sequences: Sequences) -> tuple[Part, int]:
    sheet = open_sheet(path)
    return READERS[kind_of(sheet)](sheet, classify(sheet, AUS), sequences)


def keys(part: Part) -> list[tuple[str, str, int]]:
    columns = (part.subjects, part.tasks, part.frames)
    return list(zip(*(column.tolist() for column in columns), strict=True))


@pytest.mark.parametrize(
    ("columns", "kind"),
    [
        (("subject", "task", "frame"), "table"),
        (("subject", "frame"), "table"),
        (("key",), "table"),
        (("frame", "success"), "OpenFace"),
        (("input", "frame"), "py-feat"),
        # A table may also have columns that other formats use.
        (("key", "subject", "frame", "input", "success"), "table"),
        (("input", "frame", "success"), "py-feat"),
    ],
)
def test_a_format_is_recognised_by_its_columns(
    tmp_path: Path, columns: tuple[str, ...], kind: str
) -> None:
    path = write(tmp_path / "mine.csv", {name: ["1"] for name in (*columns, "AU01")})
    assert kind_of(open_sheet(path)) == kind


@pytest.mark.parametrize("columns", [("AU01", "AU12"), ("subject", "AU01"), ("Subject", "Frame")])
def test_an_unrecognised_file_is_an_error_that_explains_all_formats(
    tmp_path: Path, columns: tuple[str, ...]
) -> None:
    path = write(tmp_path / "mine.csv", {name: ["1"] for name in columns})
    with pytest.raises(DataError, match="prediction file is not recognised") as caught:
        kind_of(open_sheet(path))
    assert columns[0] in caught.value.what
    for word in ("subject, task and frame", "success", "input", "AU01"):
        assert word in caught.value.hint


def test_a_table_names_single_images_by_their_keys(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.csv", {"key": ["test_1", " test_2"], **SCORES})
    part, without_face = rows_of(path, images())
    assert part.keys is not None and part.keys.tolist() == ["test_1", "test_2"]
    assert (keys(part), without_face) == ([("", "", 0)] * 2, 0)
    assert part.values["AU01"].tolist() == SCORES["AU01"]


@pytest.mark.parametrize(
    ("columns", "sequences", "missing"),
    [(("subject", "frame"), images(), "key"), (("key",), bp4d(), "subject, frame")],
)
def test_a_table_that_names_frames_otherwise_than_the_dataset_is_an_error(
    tmp_path: Path, columns: tuple[str, ...], sequences: Sequences, missing: str
) -> None:
    path = write(tmp_path / "mine.csv", {**{name: [1, 2] for name in columns}, **SCORES})
    with pytest.raises(DataError, match=f"There is no column {missing}"):
        rows_of(path, sequences)


def test_a_file_cannot_be_named_after_a_sequence_of_single_images() -> None:
    with pytest.raises(DataError, match="belong to no sequence"):
        images().of_name("F001_T1", "F001_T1.csv")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_table_names_frames_by_subject_task_and_frame(tmp_path: Path, suffix: str) -> None:
    names = {"subject": ["F001", " M002"], "task": ["T1", "T10 "], "frame": [5, 9]}
    path = write(tmp_path / f"mine.{suffix}", {**names, **SCORES, "AU12_r": [2.5, 0]})
    part, without_face = rows_of(path, bp4d())
    assert keys(part) == [("F001", "T1", 5), ("M002", "T10", 9)]
    assert {au: values.tolist() for au, values in part.values.items()} == SCORES
    assert part.intensities["AU12"].tolist() == [2.5, 0]
    assert part.folds is None and without_face == 0


def test_a_table_may_have_a_column_with_the_fold_that_predicted(tmp_path: Path) -> None:
    columns = {"subject": ["SN001", "SN010"], "frame": [1, 4], "fold": [2, 1], **SCORES}
    part, _ = rows_of(write(tmp_path / "mine.csv", columns), disfa())
    assert part.folds.tolist() == [2, 1]
    columns["fold"] = [2, None]
    with pytest.raises(DataError, match="fold is empty in row 2"):
        rows_of(write(tmp_path / "mine.csv", columns), disfa())


def test_the_column_task_is_required_if_subjects_have_several_tasks(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.csv", {"subject": ["F001"] * 2, "frame": [5, 9], **SCORES})
    with pytest.raises(DataError, match="The column task is missing"):
        rows_of(path, bp4d())
    path = write(tmp_path / "mine.csv", {"subject": ["SN001"] * 2, "frame": [1, 4], **SCORES})
    assert keys(rows_of(path, disfa())[0]) == [("SN001", "", 1), ("SN001", "", 4)]


@pytest.mark.parametrize("name", ["F001_T10.csv", "f001_t10_webcam.csv", "F001 T10.csv"])
def test_an_openface_file_is_named_after_its_sequence(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(
        "frame, face_id, confidence, success, AU01_r, AU12_r, AU01_c, AU12_c\n"
        "1, 0, 0.98, 1, 0.37, 2.00, 0.00, 1.00\n"
        "2, 0, 0.20, 0, 0.00, 0.00, 0.00, 0.00\n"
        "3, 0, 0.98, 1, 1.37, 2.50, 1.00, 0.00\n"
    )
    part, without_face = rows_of(path, bp4d())
    assert keys(part) == [("F001", "T10", 1), ("F001", "T10", 3)]
    assert part.values["AU01"].tolist() == [0, 1] and part.values["AU12"].tolist() == [1, 0]
    assert part.intensities["AU12"].tolist() == [2.0, 2.5]
    assert without_face == 1


def test_an_openface_file_that_counts_from_0_is_refused(tmp_path: Path) -> None:
    columns = {"frame": [0, 1], "success": [1, 1], **SCORES}
    path = write(tmp_path / "LeftVideoSN001_comp.csv", columns)
    with pytest.raises(DataError, match="a frame 0, but OpenFace counts frames from 1") as caught:
        rows_of(path, disfa())
    assert caught.value.where == str(path)


def test_an_openface_file_of_an_unknown_video_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "somebody.csv", {"frame": [1, 2], "success": [1, 1], **SCORES})
    with pytest.raises(DataError, match="'somebody' contains no sequence"):
        rows_of(path, disfa())


def test_pyfeat_rows_of_images_and_videos_are_read_and_those_without_a_face_are_counted(
    tmp_path: Path,
) -> None:
    columns = {
        "input": ["/data/F001/T1/0005.jpg", "M002_T10.avi", "F001/T10/9.jpg"],
        "frame": [0, 8, 2],
        "AU01": [0.25, 0.5, None],
        "AU12": [1.0, 0.0, None],
        "anger": [0.1, 0.2, 0.3],
    }
    for suffix in ("csv", "parquet"):
        part, without_face = rows_of(write(tmp_path / f"fex.{suffix}", columns), bp4d())
        assert keys(part) == [("F001", "T1", 5), ("M002", "T10", 9)]
        assert {au: values.tolist() for au, values in part.values.items()} == SCORES
        assert without_face == 1


def test_a_pyfeat_row_that_lacks_only_one_action_unit_is_kept(tmp_path: Path) -> None:
    columns = {"input": ["F001/T1/5.jpg"], "frame": [0], "AU01": [None], "AU12": [0.5]}
    part, without_face = rows_of(write(tmp_path / "fex.parquet", columns), bp4d())
    assert np.isnan(part.values["AU01"]).tolist() == [True] and without_face == 0


@given(st.lists(st.integers(-(2**53) + 1, 2**53 - 1), max_size=5), st.booleans())
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whole_numbers_are_read_exactly(tmp_path: Path, frames: list[int], points: bool) -> None:
    cells = [f"{frame}.0" if points else str(frame) for frame in frames]
    path = tmp_path / "mine.csv"
    path.write_text("\n".join(["subject,frame", *(f"F001,{cell}" for cell in cells), ""]))
    values = whole(open_sheet(path), "frame")
    assert values.dtype == np.int64 and values.tolist() == frames


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("", "frame is empty in row 2"),
        ("2.5", "frame is 2.5 in row 2"),
        ("nan", "frame is empty in row 2"),
        ("inf", "frame is inf in row 2"),
        ("1e300", r"frame is 1e\+300 in row 2"),
        (str(2**53), r"frame is 9.0072e\+15 in row 2"),
    ],
)
def test_a_cell_that_is_not_a_whole_number_is_an_error_that_gives_its_row(
    tmp_path: Path, cell: str, message: str
) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(f"subject,frame\nF001,1\nF001,{cell}\nF001,0.5\n")
    with pytest.raises(DataError, match=message):
        whole(open_sheet(path), "frame")
