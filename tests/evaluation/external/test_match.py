"""Matching external predictions to the frames of a protocol."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fauds.errors import DataError, UsageError
from fauds.evaluation.external.match import Placed, ScoreRequest, place
from fauds.evaluation.external.read import ExternalPredictions
from tests.evaluation.external.helpers import BP4D, frames_of

FRAMES = list(zip(*(BP4D[name].to_pylist() for name in ("subject", "task", "frame")), strict=True))
"""F001 and M002, of each T1 and T10, of each frames 5 and 9."""
FOLDS = pa.table({"subject": ["F001", "M002"], "fold": [1, 2]})


def found(
    keys: list[tuple[str, str, int]], folds: list[int] | None = None, *, tracked: bool = False
) -> ExternalPredictions:
    """Return predictions of these frames, each a number of its own."""
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


def placed(
    predictions: ExternalPredictions, rule: str = "refuse", folds: pa.Table = FOLDS
) -> Placed:
    return place(predictions, BP4D, folds, rule, "mine.csv")


def refused(predictions: ExternalPredictions, rule: str = "refuse") -> DataError:
    with pytest.raises(DataError) as caught:
        placed(predictions, rule)
    assert caught.value.where == "mine.csv" and caught.value.hint
    return caught.value


@given(st.permutations(range(len(FRAMES))))
def test_every_frame_gets_its_prediction_whatever_the_order(order: list[int]) -> None:
    result = placed(found([FRAMES[i] for i in order]))
    assert result.rows.tolist() == result.learnt.tolist() == list(range(len(FRAMES)))
    assert [order[i] for i in result.source.tolist()] == list(range(len(FRAMES)))
    assert (result.missing, result.left_out) == ({}, 0)


@given(st.sets(st.sampled_from(range(len(FRAMES)))), st.sampled_from(["drop", "inactive"]))
def test_missing_frames_are_left_out_or_count_as_inactive(there: set[int], rule: str) -> None:
    keys = [FRAMES[i] for i in sorted(there)]
    subjects = [who for who, _, _ in keys]
    if {*subjects} != {"F001", "M002"}:
        assert refused(found(keys), rule).what.startswith("Nothing is predicted of fold ")
        return
    result = placed(found(keys), rule)
    assert result.rows.tolist() == (sorted(there) if rule == "drop" else list(range(len(FRAMES))))
    for row, source in zip(result.rows.tolist(), result.source.tolist(), strict=True):
        assert (keys[source] if source >= 0 else None) == (FRAMES[row] if row in there else None)
    missing = {who: 4 - subjects.count(who) for who in ("F001", "M002")}
    assert result.missing == {who: count for who, count in missing.items() if count}


def test_missing_frames_are_refused_and_counted_by_subject() -> None:
    error = refused(found(FRAMES[1:-2]))
    assert error.what == ("3 of the protocol's 8 frames have no prediction: F001 1, M002 2.")
    assert "--missing drop" in error.hint and "--missing inactive" in error.hint


@pytest.mark.parametrize(
    "key",
    [("F001", "T1", 6), ("F001", "T2", 5), ("F009", "T1", 5), ("F001", "T1", -5), ("", "", 0)],
)
def test_frames_that_are_not_the_protocols_are_named(key: tuple[str, str, int]) -> None:
    error = refused(found([*FRAMES, key]))
    name = "/".join(str(part) for part in key if part != "")
    assert error.what == f"Predicted frames are not in the protocol (1): {name}."


def test_of_many_wrong_frames_a_few_are_named() -> None:
    error = refused(found([*FRAMES, *(("F001", "T1", n) for n in range(1000, 2234))]))
    assert error.what.startswith("Predicted frames are not in the protocol (1,234): F001/T1/1000,")
    assert error.what.endswith(" and 1,229 more.")


def test_programs_that_go_over_whole_videos_predict_more_than_was_coded() -> None:
    more = [("F001", "T1", 6), ("M002", "T10", 2**31 - 1)]
    result = placed(found([*more, *FRAMES], tracked=True))
    assert result.left_out == 2
    assert result.source.tolist() == list(range(2, 10))
    # Of sequences that nobody knows they do not.
    assert "F009/T1/5" in refused(found([*FRAMES, ("F009", "T1", 5)], tracked=True)).what


def test_a_frame_of_a_number_that_no_table_can_hold_is_not_taken_for_another() -> None:
    # 2**31 frames further on stands the number of the next sequence's frame.
    keys = [*FRAMES[:-1], ("F001", "T1", 2**31 + 5)]
    assert "F001/T1/2147483653" in refused(found(keys)).what


@pytest.mark.parametrize("tracked", [False, True])
def test_a_frame_is_predicted_once(tracked: bool) -> None:
    error = refused(found([*FRAMES, FRAMES[3], FRAMES[0]], tracked=tracked))
    assert error.what == "Frames are predicted more than once (2): F001/T10/9, F001/T1/5."
    # Nor twice, of frames that nobody coded.
    extra = [("F001", "T1", 7)] * 2
    if tracked:
        assert "(1): F001/T1/7" in refused(found([*FRAMES, *extra], tracked=True)).what


def test_a_subject_is_predicted_by_the_fold_that_tests_it() -> None:
    folds = [1 if who == "F001" else 2 for who, _, _ in FRAMES]
    assert placed(found(FRAMES, folds)).missing == {}
    error = refused(found(FRAMES, [3 - fold for fold in folds]))
    assert error.what == (
        "F001 is predicted by fold 2, and is tested by fold 1: fold 2 has trained on F001; so with "
        "1 more subjects."
    )


def test_subjects_that_no_fold_tests_are_not_predicted_but_learnt_from() -> None:
    folds = pa.table({"subject": ["F001", "M002"], "fold": [1, 0]})
    result = placed(found(FRAMES[:4]), folds=folds)
    assert result.rows.tolist() == [0, 1, 2, 3] and result.learnt.tolist() == list(range(8))
    with pytest.raises(DataError, match=r"not in the protocol \(1\): M002/T1/5"):
        placed(found(FRAMES[:5]), folds=folds)


def test_predictions_of_nothing_are_refused() -> None:
    assert refused(found([])).what == "Nothing is predicted of fold 1, which tests F001."


def test_subjects_without_tasks_are_matched_too() -> None:
    keys = [("SN001", "", 1), ("SN002", "", 4)]
    folds = pa.table({"subject": ["SN001", "SN002"], "fold": [1, 2]})
    result = place(found(keys[::-1]), frames_of(keys), folds, "refuse", "mine.csv")
    assert result.source.tolist() == [1, 0]
    with pytest.raises(DataError, match=r"\(1\): SN001/T1/1"):
        place(found([*keys, ("SN001", "T1", 1)]), frames_of(keys), folds, "refuse", "mine.csv")


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
def test_a_run_without_a_name_has_its_files(tmp_path, file: str, name: str) -> None:
    assert ScoreRequest(tmp_path / file).model == name


@pytest.mark.parametrize("name", ["OpenFace-2.2", "a", "9_b+c"])
def test_a_name_that_can_be_a_folders_is_kept(tmp_path, name: str) -> None:
    assert ScoreRequest(tmp_path / "mine.csv", name).model == name


@pytest.mark.parametrize("name", ["", "../up", ".hidden", "a b", "a/b", "a" * 65, "陈"])
def test_a_name_that_cannot_be_a_folders_is_refused(tmp_path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be a name"):
        _ = ScoreRequest(tmp_path / "mine.csv", name).model
