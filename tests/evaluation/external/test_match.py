"""Matching external predictions to the frames of a protocol."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fauds.errors import DataError, UsageError
from fauds.evaluation.external.match import FrameMatch, ScoreRequest, match_frames
from fauds.evaluation.external.read import ExternalPredictions
from tests.evaluation.external.helpers import BP4D, frames_of

FRAMES = list(zip(*(BP4D[name].to_pylist() for name in ("subject", "task", "frame")), strict=True))
"""Frames 5 and 9 of tasks T1 and T10 of subjects F001 and M002."""
FOLDS = pa.table({"subject": ["F001", "M002"], "fold": [1, 2]})


def predicted(
    keys: list[tuple[str, str, int]], folds: list[int] | None = None, *, tracked: bool = False
) -> ExternalPredictions:
    """Return predictions of these frames, each with a different value."""
    subjects, tasks, frames = zip(*keys, strict=True) if keys else ((), (), ())
    return ExternalPredictions(
        subjects=np.array(subjects, np.str_),
        tasks=np.array(tasks, np.str_),
        frames=np.array(frames, np.int64),
        occurrence={"AU01": np.arange(len(keys)) / 1000},
        intensities={},
        folds=None if folds is None else np.array(folds),
        tracked=tracked,
        notes=(),
        sources={},
    )


def matched(
    predictions: ExternalPredictions, rule: str = "refuse", folds: pa.Table = FOLDS
) -> FrameMatch:
    return match_frames(predictions, BP4D, folds, rule, "mine.csv")


def refusal(predictions: ExternalPredictions, rule: str = "refuse") -> DataError:
    with pytest.raises(DataError) as caught:
        matched(predictions, rule)
    assert caught.value.where == "mine.csv" and caught.value.hint
    return caught.value


@given(st.permutations(range(len(FRAMES))))
def test_every_frame_gets_its_prediction_in_any_order_of_the_rows(order: list[int]) -> None:
    result = matched(predicted([FRAMES[i] for i in order]))
    assert result.rows.tolist() == result.trainable.tolist() == list(range(len(FRAMES)))
    assert [order[i] for i in result.source.tolist()] == list(range(len(FRAMES)))
    assert (result.missing, result.left_out) == ({}, 0)


@given(st.sets(st.sampled_from(range(len(FRAMES)))), st.sampled_from(["drop", "inactive"]))
def test_frames_without_a_prediction_are_left_out_or_count_as_inactive(
    present: set[int], rule: str
) -> None:
    keys = [FRAMES[i] for i in sorted(present)]
    subjects = [subject for subject, _, _ in keys]
    if {*subjects} != {"F001", "M002"}:
        assert refusal(predicted(keys), rule).what.startswith("There are no predictions for fold ")
        return
    result = matched(predicted(keys), rule)
    assert result.rows.tolist() == (sorted(present) if rule == "drop" else list(range(len(FRAMES))))
    for row, source in zip(result.rows.tolist(), result.source.tolist(), strict=True):
        assert (keys[source] if source >= 0 else None) == (FRAMES[row] if row in present else None)
    missing = {subject: 4 - subjects.count(subject) for subject in ("F001", "M002")}
    assert result.missing == {subject: count for subject, count in missing.items() if count}


def test_frames_without_a_prediction_are_an_error_that_counts_them_by_subject() -> None:
    error = refusal(predicted(FRAMES[1:-2]))
    assert error.what == ("3 of the protocol's 8 frames have no prediction: F001 1, M002 2.")
    assert "--missing drop" in error.hint and "--missing inactive" in error.hint


@pytest.mark.parametrize(
    "key",
    [("F001", "T1", 6), ("F001", "T2", 5), ("F009", "T1", 5), ("F001", "T1", -5), ("", "", 0)],
)
def test_frames_outside_the_protocol_are_an_error_that_names_them(
    key: tuple[str, str, int],
) -> None:
    error = refusal(predicted([*FRAMES, key]))
    name = "/".join(str(part) for part in key if part != "")
    assert error.what == f"Predicted frames are not part of the protocol (1): {name}."


def test_an_error_about_many_frames_names_only_a_few() -> None:
    error = refusal(predicted([*FRAMES, *(("F001", "T1", n) for n in range(1000, 2234))]))
    assert error.what.startswith(
        "Predicted frames are not part of the protocol (1,234): F001/T1/1000,"
    )
    assert error.what.endswith(" and 1,229 more.")


def test_programs_that_process_whole_videos_may_predict_frames_that_are_not_coded() -> None:
    more = [("F001", "T1", 6), ("M002", "T10", 2**31 - 1)]
    result = matched(predicted([*more, *FRAMES], tracked=True))
    assert result.left_out == 2
    assert result.source.tolist() == list(range(2, 10))
    # Frames of unknown sequences are refused all the same.
    assert "F009/T1/5" in refusal(predicted([*FRAMES, ("F009", "T1", 5)], tracked=True)).what


def test_a_huge_frame_number_is_not_mistaken_for_a_frame_of_another_sequence() -> None:
    # Frames are identified by sequence * 2**31 + frame.
    keys = [*FRAMES[:-1], ("F001", "T1", 2**31 + 5)]
    assert "F001/T1/2147483653" in refusal(predicted(keys)).what


@pytest.mark.parametrize("tracked", [False, True])
def test_a_frame_that_is_predicted_twice_is_refused(tracked: bool) -> None:
    error = refusal(predicted([*FRAMES, FRAMES[3], FRAMES[0]], tracked=tracked))
    assert error.what == "Frames are predicted more than once (2): F001/T10/9, F001/T1/5."
    # Also if the frame is not coded.
    extra = [("F001", "T1", 7)] * 2
    if tracked:
        assert "(1): F001/T1/7" in refusal(predicted([*FRAMES, *extra], tracked=True)).what


def test_a_subject_predicted_by_a_fold_that_trained_on_it_is_refused() -> None:
    folds = [1 if subject == "F001" else 2 for subject, _, _ in FRAMES]
    assert matched(predicted(FRAMES, folds)).missing == {}
    error = refusal(predicted(FRAMES, [3 - fold for fold in folds]))
    assert error.what == (
        "F001 is predicted by the model of fold 2 but tested by fold 1: the model of fold 2 was "
        "trained on F001 (1 more with wrong folds)."
    )


def test_subjects_that_no_fold_tests_need_no_prediction_and_may_be_trained_on() -> None:
    folds = pa.table({"subject": ["F001", "M002"], "fold": [1, 0]})
    result = matched(predicted(FRAMES[:4]), folds=folds)
    assert result.rows.tolist() == [0, 1, 2, 3] and result.trainable.tolist() == list(range(8))
    with pytest.raises(DataError, match=r"not part of the protocol \(1\): M002/T1/5"):
        matched(predicted(FRAMES[:5]), folds=folds)


def test_a_file_without_predictions_is_refused() -> None:
    assert refusal(predicted([])).what == "There are no predictions for fold 1, which tests F001."


def test_frames_of_a_dataset_without_tasks_are_matched() -> None:
    keys = [("SN001", "", 1), ("SN002", "", 4)]
    folds = pa.table({"subject": ["SN001", "SN002"], "fold": [1, 2]})
    result = match_frames(predicted(keys[::-1]), frames_of(keys), folds, "refuse", "mine.csv")
    assert result.source.tolist() == [1, 0]
    with pytest.raises(DataError, match=r"\(1\): SN001/T1/1"):
        match_frames(
            predicted([*keys, ("SN001", "T1", 1)]), frames_of(keys), folds, "refuse", "mine.csv"
        )


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("mine.csv", "mine"),
        ("my net (v2).csv", "my-net--v2"),
        ("..csv", "predictions"),
        ("陈.csv", "predictions"),
        ("a" * 80 + ".csv", "a" * 64),
    ],
)
def test_a_model_without_a_name_is_named_after_its_file(tmp_path, file: str, name: str) -> None:
    assert ScoreRequest(tmp_path / file).model == name


@pytest.mark.parametrize("name", ["OpenFace-2.2", "a", "9_b+c"])
def test_a_valid_name_is_kept(tmp_path, name: str) -> None:
    assert ScoreRequest(tmp_path / "mine.csv", name).model == name


@pytest.mark.parametrize("name", ["", "../up", ".hidden", "a b", "a/b", "a" * 65, "陈"])
def test_a_name_that_cannot_be_part_of_a_folder_name_is_refused(tmp_path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be the name of a model"):
        _ = ScoreRequest(tmp_path / "mine.csv", name).model


IMAGES = pa.table(
    {
        "key": ["train_1", "test_1", "test_2"],
        "subject": pa.nulls(3, pa.string()),
        "task": pa.nulls(3, pa.string()),
        "frame": pa.nulls(3, pa.int32()),
        "split": ["train", "test", "test"],
    }
)
PARTS = pa.table({"subject": ["train", "test"], "fold": [0, 1]})


def of_images(*keys: str) -> ExternalPredictions:
    """Return predictions of images without numbers, which are given by their keys."""
    nothing = predicted([("", "", 0)] * len(keys))
    return replace(nothing, keys=np.array(keys, np.str_))


def test_predictions_of_single_images_are_matched_by_their_keys() -> None:
    result = match_frames(of_images("test_2", "test_1"), IMAGES, PARTS, "refuse", "mine.csv")
    assert (result.rows.tolist(), result.source.tolist()) == ([1, 2], [1, 0])
    assert result.trainable.tolist() == [0, 1, 2]


def test_keyed_frames_predicted_by_a_fold_that_trained_on_them_are_refused() -> None:
    """Images with keys, whose subjects are known and in two folds."""
    images = IMAGES.set_column(1, "subject", pa.array(["P01", "P02", "P02"]))
    images = images.drop_columns("split")
    folds = pa.table({"subject": ["P01", "P02"], "fold": [1, 2]})
    keyed = of_images("train_1", "test_1", "test_2")
    right = replace(keyed, folds=np.array([1, 2, 2]))
    assert match_frames(right, images, folds, "refuse", "mine.csv").source.tolist() == [0, 1, 2]
    wrong = replace(keyed, folds=np.array([1, 2, 1]))
    with pytest.raises(DataError, match="the model of fold 1 was trained on P02") as caught:
        match_frames(wrong, images, folds, "refuse", "mine.csv")
    assert caught.value.what.startswith("P02 is predicted by the model of fold 1 but tested by")
    of_split = replace(of_images("test_1", "test_2"), folds=np.array([2, 2]))
    with pytest.raises(DataError, match="test is predicted by the model of fold 2"):
        match_frames(of_split, IMAGES, PARTS, "refuse", "mine.csv")


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        (("test_1",), "1 of the protocol's 2 frames have no prediction: unknown subject 1."),
        (("test_1", "test_3"), "Predicted frames are not part of the protocol (1): test_3."),
        (("test_1", "train_1"), "Predicted frames are not part of the protocol (1): train_1."),
        (("test_1", "test_1"), "Frames are predicted more than once (1): test_1."),
    ],
)
def test_wrong_keys_of_single_images_are_errors_that_name_them(
    keys: tuple[str, ...], problem: str
) -> None:
    with pytest.raises(DataError) as caught:
        match_frames(of_images(*keys), IMAGES, PARTS, "refuse", "mine.csv")
    assert caught.value.what == problem
