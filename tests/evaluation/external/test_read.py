"""Reading files and folders of external predictions, and the errors for incomplete ones."""

import hashlib
from pathlib import Path

import pytest

from fauds.errors import DataError, UsageError
from fauds.evaluation.external.frame_names import Sequences
from fauds.evaluation.external.read import ExternalPredictions, read
from tests.evaluation.external.helpers import AUS, BENCHMARK, bp4d, disfa, images, write

TABLE = {"subject": ["F001", "M002"], "task": ["T1", "T10"], "frame": [5, 9]}
SCORES = {"AU01": [0.25, 0.5], "AU12": [1.0, 0.0]}


def predictions(path: Path, sequences: Sequences | None = None) -> ExternalPredictions:
    return read(path, AUS, BENCHMARK, sequences or bp4d())


def openface(folder: Path, subject: str, frames: list[int], **more: list) -> Path:
    count = len(frames)
    columns = {"frame": frames, " success": [1] * count, " AU01_c": [0] * count}
    return write(folder / f"{subject}.csv", {**columns, " AU12_c": [1] * count, **more})


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_file_is_read_and_its_format_is_reported(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"mine.{suffix}", {**TABLE, **SCORES, "AU12_r": [5.0, 0.0]})
    external = predictions(path)
    assert external.subjects.tolist() == ["F001", "M002"] and external.frames.tolist() == [5, 9]
    assert {au: values.tolist() for au, values in external.occurrence.items()} == SCORES
    assert external.intensities["AU12"].tolist() == [5, 0]
    assert external.folds is None and not external.tracked
    assert external.sources == {path.name: hashlib.sha256(path.read_bytes()).hexdigest()}
    assert external.notes == ("read as a table with subject, task and frame: 1 file",)


def test_a_table_of_single_images_is_reported_as_one_with_keys(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.csv", {"key": ["test_1", "test_2"], **SCORES})
    assert predictions(path, images()).notes == ("read as a table with key: 1 file",)


def test_files_of_a_folder_are_joined_in_the_order_of_their_names(tmp_path: Path) -> None:
    openface(tmp_path, "SN010", [1, 4], gaze=[0.5, 0.5])
    openface(tmp_path, "LeftVideoSN001_comp", [1, 2, 3])
    (tmp_path / "notes.txt").write_text("not read")
    external = predictions(tmp_path, disfa())
    assert external.subjects.tolist() == ["SN001"] * 3 + ["SN010"] * 2
    assert external.frames.tolist() == [1, 2, 3, 1, 4]
    assert external.tracked
    assert [*external.sources] == ["LeftVideoSN001_comp.csv", "SN010.csv"]
    assert external.notes == (
        "read as OpenFace's output: 2 files",
        "columns not read, as they are unknown: gaze",
    )


def test_the_folder_of_a_run_is_read_fold_by_fold(tmp_path: Path) -> None:
    for fold in (1, 2):
        columns = {**TABLE, **SCORES, "fold": [fold, fold]}
        write(tmp_path / f"fold{fold}" / "predictions.parquet", columns)
    write(tmp_path / "features.parquet", {"anything": [1]})
    external = predictions(tmp_path)
    assert external.folds.tolist() == [1, 1, 2, 2]
    assert [*external.sources] == [f"fold{fold}/predictions.parquet" for fold in (1, 2)]


def test_columns_that_are_not_read_are_listed(tmp_path: Path) -> None:
    columns = {**TABLE, **SCORES, "AU45": [0, 0], "AU26_r": [1, 1], "comment": ["x", "y"]}
    assert predictions(write(tmp_path / "mine.csv", columns)).notes[1:] == (
        "columns not read, as they are unknown: comment",
        "columns not read, as the benchmark does not score these AUs: AU45, AU26_r",
    )


def test_frames_without_a_face_are_counted_over_all_files(tmp_path: Path) -> None:
    openface(tmp_path, "SN001", [1, 2], **{" success": [0, 1]})
    openface(tmp_path, "SN010", [1, 2], **{" success": [0, 0]})
    external = predictions(tmp_path, disfa())
    assert list(zip(external.subjects, external.frames, strict=True)) == [("SN001", 2)]
    assert external.notes[-1] == "3 frames in which no face was found count as not predicted"


def test_intensities_are_kept_if_all_files_have_them(tmp_path: Path) -> None:
    openface(tmp_path, "SN001", [1], **{" AU01_r": [1.5], " AU12_r": [2.5]})
    openface(tmp_path, "SN010", [1], **{" AU12_r": [3.5]})
    external = predictions(tmp_path, disfa())
    assert {au: values.tolist() for au, values in external.intensities.items()} == {
        "AU12": [2.5, 3.5]
    }


def test_a_path_without_predictions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file or folder"):
        predictions(tmp_path / "gone.csv")
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(UsageError, match="no CSV or Parquet file"):
        predictions(tmp_path)


def test_files_of_several_formats_are_refused(tmp_path: Path) -> None:
    openface(tmp_path, "SN001", [1])
    write(tmp_path / "mine.csv", {"subject": ["SN001"], "frame": [1], "AU01": [0], "AU12": [0]})
    with pytest.raises(DataError, match="several formats: OpenFace, a table") as caught:
        predictions(tmp_path, disfa())
    assert caught.value.where == str(tmp_path)


def test_the_column_fold_must_be_in_all_files_or_in_none(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", {**TABLE, **SCORES, "fold": [1, 2]})
    write(tmp_path / "b.csv", {**TABLE, **SCORES})
    with pytest.raises(DataError, match="Some of the files have a column fold"):
        predictions(tmp_path)


def test_missing_action_units_are_an_error_that_names_them(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no predictions of AU01, AU12") as caught:
        predictions(write(tmp_path / "mine.csv", {**TABLE, "AU12_r": [1, 2]}))
    assert "for AU12 there are only intensities" in caught.value.hint


@pytest.mark.parametrize(
    ("au", "values", "message"),
    [
        ("AU12", [0.5, 1.01], "AU12 is 1.01, not a probability from 0 to 1."),
        ("AU12", [-0.5, 7.0], "AU12 is -0.5, not a probability from 0 to 1. 1 more values"),
        ("AU12_r", [5.6, 0.0], "AU12_r is 5.6, not an intensity from 0 to 5."),
        ("AU12_intensity", [5.0, -1.0], "AU12_intensity is -1, not an intensity from 0 to 5."),
        ("AU12_c", [0, 100], "AU12_c is 100, not a decision, 0 or 1."),
    ],
)
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_value_out_of_range_is_an_error_that_names_its_line(
    tmp_path: Path, suffix: str, au: str, values: list, message: str
) -> None:
    scores = {name: column for name, column in SCORES.items() if f"{name}_c" != au}
    path = write(tmp_path / f"mine.{suffix}", {**TABLE, **scores, au: values})
    with pytest.raises(DataError) as caught:
        predictions(path)
    assert caught.value.what.startswith(message)
    row = next(at for at, value in enumerate(values) if not -0.1 <= value <= 1 or value == 1.01)
    row = 1 if au == "AU12_intensity" else row
    place = f"{path}: row {row + 1}" if suffix == "parquet" else f"{path}:{row + 2}"
    assert caught.value.where == place


@pytest.mark.parametrize("cell", ["", "nan", "-nan(ind)", "high"])
def test_frames_without_a_number_count_as_not_predicted_and_are_said(
    tmp_path: Path, cell: str
) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(f"subject,task,frame,AU01,AU12\nF001,T1,5,0,1\nF001,T1,9,{cell},1\n")
    external = predictions(path)
    assert external.frames.tolist() == [5]
    assert external.notes[1] == (
        "1 frames without a number for every AU or class count as not predicted; the first is in "
        f"{path}:3"
    )
    assert len(external.notes) == (2 if cell in ("", "nan") else 3)


def test_probabilities_take_precedence_over_decisions(tmp_path: Path) -> None:
    columns = {"AU01_c": [0, 1], "AU12_c": [1, 0], "AU01_p": [0.25, 0.75], "AU12_p": [0.5, 0.125]}
    external = predictions(write(tmp_path / "mine.csv", {**TABLE, **columns}))
    assert {au: values.tolist() for au, values in external.occurrence.items()} == {
        "AU01": [0.25, 0.75],
        "AU12": [0.5, 0.125],
    }


def test_values_at_the_ends_of_the_range_are_accepted(tmp_path: Path) -> None:
    columns = {**TABLE, "AU01": [0, 1], "AU12": [1, 0], "AU01_r": [0, 5]}
    assert predictions(write(tmp_path / "mine.csv", columns)).occurrence["AU01"].tolist() == [0, 1]


def test_predictions_for_another_version_of_the_benchmark_are_refused(tmp_path: Path) -> None:
    def path(column: int, metadata: int | None = None) -> Path:
        columns = {**TABLE, **SCORES, "benchmark_version": [2, column]}
        settings = f'{{"settings": {{"benchmark": "bp4d", "benchmark_version": {metadata}}}}}'
        file_metadata = {"fauds": settings} if metadata else None
        return write(tmp_path / "mine.parquet", columns, file_metadata)

    for file in (path(1), path(2, metadata=1)):
        with pytest.raises(DataError, match="version 1, and cannot be scored by bp4d, version 2"):
            predictions(file)
    assert predictions(path(2, metadata=2)).frames.tolist() == [5, 9]


def test_a_file_without_rows_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("subject,task,frame,AU01,AU12\n")
    with pytest.raises(DataError, match="names of columns, but no rows"):
        predictions(path)
