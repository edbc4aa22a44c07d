"""Which frame a row of external predictions is about, in the tables of every program."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fauds.errors import DataError
from fauds.evaluation.external.frame_names import Sequences
from fauds.evaluation.external.read import ExternalPredictions, read
from fauds.evaluation.external.shift import label_shift
from tests.evaluation.external.helpers import AUS, BENCHMARK, bp4d, disfa, images, write

SCORES = {"AU01": [0.25, 0.5], "AU12": [1.0, 0.0]}


def predictions(path: Path, sequences: Sequences) -> ExternalPredictions:
    return read(path, AUS, BENCHMARK, sequences)


def keys(external: ExternalPredictions) -> list[tuple[str, str, int]]:
    columns = (external.subjects, external.tasks, external.frames)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def values(external: ExternalPredictions) -> dict[str, list[float]]:
    return {au: column.tolist() for au, column in external.occurrence.items()}


@pytest.mark.parametrize("columns", [("AU01", "AU12"), ("subject", "AU01", "AU12")])
def test_an_unrecognised_file_is_an_error_that_explains_all_formats(
    tmp_path: Path, columns: tuple[str, ...]
) -> None:
    path = write(tmp_path / "mine.csv", {name: ["1"] for name in columns})
    with pytest.raises(DataError, match="prediction file is not recognised") as caught:
        predictions(path, bp4d())
    assert columns[0] in caught.value.what
    for word in ("subject, task and frame", "F001_T1.csv", "input", "AU01"):
        assert word in caught.value.hint


def test_a_table_names_single_images_by_their_keys(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.csv", {"key": ["test_1", " test_2"], **SCORES})
    external = predictions(path, images())
    assert external.keys is not None and external.keys.tolist() == ["test_1", "test_2"]
    assert keys(external) == [("", "", 0)] * 2 and values(external) == SCORES


@pytest.mark.parametrize(
    ("columns", "sequences", "missing"),
    [(("subject", "frame"), images(), "key"), (("key",), bp4d(), "subject, frame")],
)
def test_a_table_that_names_frames_otherwise_than_the_dataset_is_an_error(
    tmp_path: Path, columns: tuple[str, ...], sequences: Sequences, missing: str
) -> None:
    path = write(tmp_path / "mine.csv", {**{name: [1, 2] for name in columns}, **SCORES})
    with pytest.raises(DataError, match=f"There is no column {missing}"):
        predictions(path, sequences)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("names", [("subject", "task", "frame"), ("Participant", "Clip", "Frame")])
def test_a_table_names_frames_by_subject_task_and_frame(
    tmp_path: Path, suffix: str, names: tuple[str, str, str]
) -> None:
    cells = (["F001", " M002"], ["T1", "T10 "], [5, 9])
    columns = dict(zip(names, cells, strict=True))
    path = write(tmp_path / f"mine.{suffix}", {**columns, **SCORES, "AU12_r": [2.5, 0]})
    external = predictions(path, bp4d())
    assert keys(external) == [("F001", "T1", 5), ("M002", "T10", 9)]
    assert values(external) == SCORES and not external.tracked
    assert external.intensities["AU12"].tolist() == [2.5, 0]


def test_the_column_task_is_required_if_subjects_have_several_tasks(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.csv", {"subject": ["F001"] * 2, "frame": [5, 9], **SCORES})
    with pytest.raises(DataError, match="The column task is missing"):
        predictions(path, bp4d())
    path = write(tmp_path / "mine.csv", {"subject": ["SN001"] * 2, "frame": [1, 4], **SCORES})
    assert keys(predictions(path, disfa())) == [("SN001", "", 1), ("SN001", "", 4)]


def test_a_column_of_folds_holds_whole_numbers(tmp_path: Path) -> None:
    columns = {"subject": ["SN001", "SN010"], "frame": [1, 4], "fold": [2, 1], **SCORES}
    external = predictions(write(tmp_path / "mine.csv", columns), disfa())
    assert external.folds is not None and external.folds.tolist() == [2, 1]
    columns["fold"] = [2, None]
    with pytest.raises(DataError, match="The column fold is empty") as caught:
        predictions(write(tmp_path / "mine.csv", columns), disfa())
    assert caught.value.where == f"{tmp_path / 'mine.csv'}:3"


@pytest.mark.parametrize("name", ["F001_T10.csv", "f001_t10_webcam.csv", "F001 T10.csv"])
def test_an_openface_file_is_named_after_its_sequence(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(
        "frame, face_id, confidence, success, AU01_r, AU12_r, AU01_c, AU12_c\n"
        "1, 0, 0.98, 1, 0.37, 2.00, 0.00, 1.00\n"
        "2, 0, 0.20, 0, 0.00, 0.00, 0.00, 0.00\n"
        "3, 0, 0.98, 1, 1.37, 2.50, 1.00, 0.00\n"
    )
    external = predictions(path, bp4d())
    assert keys(external) == [("F001", "T10", 1), ("F001", "T10", 3)] and external.tracked
    assert values(external) == {"AU01": [0, 1], "AU12": [1, 0]}
    assert external.intensities["AU12"].tolist() == [2.0, 2.5]


def test_programs_that_count_from_0_are_moved_to_the_frames_of_labels(tmp_path: Path) -> None:
    libre = write(tmp_path / "SN001.csv", {"frame_idx": [0, 3], "au_1": [0, 1], "au_12": [1, 0]})
    assert keys(predictions(libre, disfa())) == [("SN001", "", 1), ("SN001", "", 4)]
    afar = {"Frame": [0, 3], "Occ_au_1": [0.25, 0.5], "Occ_au_12": [1.0, 0.0]}
    external = predictions(write(tmp_path / "SN010.csv", afar), disfa())
    assert keys(external) == [("SN010", "", 1), ("SN010", "", 4)] and values(external) == SCORES


def test_an_openface_file_that_counts_from_0_is_refused(tmp_path: Path) -> None:
    columns = {"frame": [0, 1], "success": [1, 1], **SCORES}
    path = write(tmp_path / "LeftVideoSN001_comp.csv", columns)
    with pytest.raises(DataError, match="a frame 0, but OpenFace counts frames from 1") as caught:
        predictions(path, disfa())
    assert caught.value.where == str(path)


def test_a_file_of_an_unknown_video_or_of_single_images_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "somebody.csv", {"frame": [1, 2], "success": [1, 1], **SCORES})
    with pytest.raises(DataError, match="'somebody' contains no sequence"):
        predictions(path, disfa())
    with pytest.raises(DataError, match="belong to no sequence"):
        images().of_name("F001_T1", "F001_T1.csv")


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
        external = predictions(write(tmp_path / f"fex.{suffix}", columns), bp4d())
        assert keys(external) == [("F001", "T1", 5), ("M002", "T10", 9)]
        assert values(external) == SCORES
        assert "1 frames in which no face was found count as not predicted" in external.notes


def test_fauds_own_table_of_videos_is_scored_by_its_probabilities(tmp_path: Path) -> None:
    path = tmp_path / "explained.csv"
    path.write_text(
        "source,frame,face_id,timestamp,confidence,success,AU01_c,AU12_c,AU01_p,AU12_p\n"
        "v/F001_T1.mp4,5,0,0.1,1,1,0,1,0.25,1\nv/M002_T10.mp4,9,0,0.2,1,1,1,0,0.5,0\n"
    )
    external = predictions(path, bp4d())
    assert keys(external) == [("F001", "T1", 5), ("M002", "T10", 9)]
    assert values(external) == SCORES


@given(
    st.lists(st.integers(-(2**53) + 1, 2**53 - 1), min_size=1, max_size=5, unique=True),
    st.booleans(),
)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whole_numbers_are_read_exactly(tmp_path: Path, frames: list[int], points: bool) -> None:
    cells = [f"{frame}.0" if points else str(frame) for frame in frames]
    path = tmp_path / "mine.csv"
    rows = [f"SN001,{cell},0,1" for cell in cells]
    path.write_text("\n".join(["subject,frame,AU01,AU12", *rows, ""]))
    external = predictions(path, disfa())
    assert external.frames.dtype == np.int64 and external.frames.tolist() == frames


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("", "frame is empty"),
        ("2.5", "frame is 2.5"),
        ("nan", "frame is empty"),
        ("1e300", r"frame is 1e\+300"),
        (str(2**53), r"frame is 9.0072e\+15"),
    ],
)
def test_a_cell_that_is_not_a_whole_number_is_an_error_that_gives_its_line(
    tmp_path: Path, cell: str, message: str
) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(f"subject,frame,AU01,AU12\nSN001,1,0,1\nSN001,{cell},0,1\nSN001,0.5,0,1\n")
    with pytest.raises(DataError, match=message) as caught:
        predictions(path, disfa())
    assert caught.value.where == f"{path}:3"


@pytest.mark.parametrize("shift", [-3, -1, 0, 1, 4])
def test_a_constant_shift_against_the_labels_is_noticed(shift: int) -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(rng.integers(0, 2, (100, 3)), 8, axis=0)
    sequences, frames = np.repeat([0, 1], 400), np.tile(np.arange(400), 2)
    scores = np.zeros_like(labels, dtype=float)
    for sequence in (0, 1):
        rows = slice(400 * sequence, 400 * (sequence + 1))
        scores[rows] = np.roll(labels[rows], shift, axis=0) + rng.normal(0, 0.2, (400, 3))
    assert label_shift(labels, scores, sequences, frames) == (shift or None)
    noise = rng.normal(size=labels.shape)
    assert label_shift(labels, noise, sequences, frames) is None
    assert label_shift(labels[:50], scores[:50], sequences[:50], frames[:50]) is None
