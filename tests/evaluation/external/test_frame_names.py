"""Finding the sequence and the labelled frame that a file name refers to."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fauds.errors import DataError
from fauds.evaluation.external.frame_names import Sequences
from tests.evaluation.external.helpers import BP4D, DISFA, bp4d, disfa, frames_of


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("F001_T1", ("F001", "T1")),
        ("F001_T10", ("F001", "T10")),
        ("f001-t10", ("F001", "T10")),
        ("F001/T1", ("F001", "T1")),
        ("F001\\T1", ("F001", "T1")),
        ("M002.T1", ("M002", "T1")),
        ("M002 T10 openface", ("M002", "T10")),
        ("bp4d_F001_T1_aligned", ("F001", "T1")),
        # The last sequence counts: the file name, not its folder.
        ("F001_T1/M002_T10", ("M002", "T10")),
    ],
)
def test_a_file_name_refers_to_a_subject_and_a_task(name: str, key: tuple[str, str]) -> None:
    assert bp4d().of_name(name, "their.csv") == key


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("SN001", "SN001"),
        ("sn010", "SN010"),
        ("LeftVideoSN001_comp", "SN001"),
        ("RightVideoSN010_comp", "SN010"),
        ("Left Video SN001", "SN001"),
    ],
)
def test_a_file_name_refers_to_a_subject_of_a_dataset_without_tasks(
    name: str, subject: str
) -> None:
    assert disfa().of_name(name, "their.csv") == (subject, "")


@pytest.mark.parametrize("name", ["F001", "F001_T2", "F001_T100", "F0011_T1", "2F001_T1", "F001T1"])
def test_a_name_without_a_sequence_is_an_error_that_lists_the_sequences(name: str) -> None:
    with pytest.raises(DataError, match="contains no sequence") as caught:
        bp4d().of_name(name, "their.csv")
    assert repr(name) in caught.value.what and caught.value.where == "their.csv"
    assert "F001_T1" in caught.value.hint


@pytest.mark.parametrize("subject", ["ana", "陈", "P-01", "a.b", "É"])
def test_subjects_are_found_in_upper_and_lower_case(subject: str) -> None:
    sequences = Sequences(frames_of([(subject, "", 1), ("other", "", 1)]), None, None)
    for name in (subject, f"{subject}_openface", subject.upper(), subject.lower()):
        assert sequences.of_name(name, "their.csv") == (subject, "")


def test_a_subject_whose_id_begins_with_another_id_is_not_confused_with_it() -> None:
    sequences = Sequences(frames_of([("ana", "", 1), ("anabel", "", 1)]), None, None)
    for subject in ("ana", "anabel"):
        assert sequences.of_name(f"{subject}_aligned", "their.csv") == (subject, "")


@given(st.sets(st.from_regex(r"[FM][0-9]{3}", fullmatch=True), min_size=1, max_size=8))
def test_every_sequence_is_found_by_its_own_name(subjects: set[str]) -> None:
    keys = [(subject, task, 1) for subject in subjects for task in ("T1", "T2", "T12")]
    sequences = Sequences(frames_of(keys), None, None)
    for subject, task, _ in keys:
        assert sequences.of_name(f"out/{subject}_{task}_processed", "their.csv") == (subject, task)


def inputs_of(sequences: Sequences, inputs: list[str], counted: list[int]) -> list[tuple]:
    columns = sequences.of_inputs(np.array(inputs), np.array(counted), "their.csv")
    return list(zip(*(column.tolist() for column in columns), strict=True))


def test_images_of_bp4d_are_numbered_like_its_labels() -> None:
    inputs = ["/data/F001/T1/0005.jpg", "C:\\bp4d\\M002\\T10\\9.png", "/data/F001/T1/0005.jpg"]
    assert inputs_of(bp4d(), inputs, [0, 1, 2]) == [
        ("F001", "T1", 5),
        ("M002", "T10", 9),
        ("F001", "T1", 5),
    ]


@pytest.mark.parametrize("suffix", ["avi", "mp4", "MOV", "mkv"])
def test_frames_of_a_video_are_counted_from_0(suffix: str) -> None:
    name = f"LeftVideoSN001_comp.{suffix}"
    assert inputs_of(disfa(), [name] * 3, [0, 3, 1]) == [("SN001", "", n) for n in (1, 4, 2)]


@pytest.mark.parametrize("base", [0, 1])
def test_the_numbering_of_disfa_images_is_detected(base: int) -> None:
    inputs = [f"SN001/{number + base}.png" for number in range(4)]
    assert inputs_of(disfa(), inputs, [0] * 4) == [("SN001", "", n) for n in (1, 2, 3, 4)]
    inputs = [f"SN001/frame-{number + base}.png" for number in range(4)]
    assert inputs_of(disfa(), inputs, [0] * 4)[0] == ("SN001", "", 1)


def test_a_declared_numbering_is_used() -> None:
    for base in (0, 1):
        assert inputs_of(disfa(base), ["SN001/3.png"], [0]) == [("SN001", "", 4 - base)]


def test_an_ambiguous_numbering_is_an_error_that_asks_for_it() -> None:
    with pytest.raises(DataError) as caught:
        inputs_of(disfa(), ["SN001/2.png", "SN001/3.png"], [0, 0])
    assert "--image-base 0 or 1" in caught.value.hint and caught.value.where == "their.csv"


def test_images_of_joined_datasets_are_refused_because_their_numbering_is_unknown() -> None:
    with pytest.raises(DataError, match="not known for joined datasets"):
        inputs_of(Sequences(DISFA, None, None), ["SN001/2.png"], [0])
    # Videos need no numbering: py-feat counts their frames from 0.
    assert inputs_of(Sequences(DISFA, None, None), ["SN001.avi"], [3]) == [("SN001", "", 4)]


def test_images_and_videos_may_be_mixed_in_one_file() -> None:
    inputs = ["F001_T1.avi", "M002/T1/7.jpg", "F001_T1.avi"]
    assert inputs_of(bp4d(), inputs, [4, 5, 6]) == [
        ("F001", "T1", 5),
        ("M002", "T1", 7),
        ("F001", "T1", 7),
    ]


@pytest.mark.parametrize("name", ["F001/T1/portrait.jpg", "F001/T1/", "F001/T1/1234567890.jpg"])
def test_an_image_without_a_frame_number_is_refused(name: str) -> None:
    with pytest.raises(DataError, match="contains no frame number") as caught:
        inputs_of(bp4d(), [name], [0])
    assert repr(name) in caught.value.what


def test_an_empty_file_has_no_frames() -> None:
    columns = bp4d().of_inputs(np.array([], np.str_), np.array([], np.int64), "their.csv")
    assert [len(column) for column in columns] == [0, 0, 0]


def test_the_last_labelled_frame_of_every_sequence_is_known() -> None:
    assert bp4d().last == {
        (subject, task): 9 for subject in ("F001", "M002") for task in ("T1", "T10")
    }
    assert bp4d().have_tasks and not disfa().have_tasks
    assert len(BP4D) == 8
