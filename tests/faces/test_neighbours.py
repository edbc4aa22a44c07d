"""Short gaps in landmarks are filled linearly in time; long gaps are left unchanged."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fauds.faces.landmarks import fill

UNKNOWN = np.full((49, 2), np.nan)


def filled_step_by_step(
    landmarks: np.ndarray, frames: np.ndarray, row: int, longest: int
) -> np.ndarray | None:
    """Return the landmarks that fill a row of a gap, by stepping to its neighbours."""
    before = row - 1
    while before >= 0 and np.isnan(landmarks[before]).any():
        before -= 1
    after = row + 1
    while after < len(frames) and np.isnan(landmarks[after]).any():
        after += 1
    if before < 0 and after == len(frames):
        return None
    if before < 0:
        return landmarks[after] if frames[after] - frames[row] <= longest else None
    if after == len(frames):
        return landmarks[before] if frames[row] - frames[before] <= longest else None
    if frames[after] - frames[before] - 1 > longest:
        return None
    share = (frames[row] - frames[before]) / (frames[after] - frames[before])
    return landmarks[before] * (1 - share) + landmarks[after] * share


@given(seed=st.integers(0, 2**32 - 1), longest=st.integers(0, 12), share=st.floats(0, 1))
def test_filling_equals_a_step_by_step_implementation(
    seed: int, longest: int, share: float
) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 40))
    frames = np.cumsum(rng.integers(1, 4, count))
    landmarks = rng.uniform(0, 500, (count, 49, 2)).astype(np.float32)
    landmarks[rng.random(count) < share] = np.nan
    untouched = landmarks.copy()
    result, filled = fill(landmarks, frames, longest)
    np.testing.assert_array_equal(landmarks, untouched)
    assert result.dtype == np.float32 and filled.dtype == bool
    for row in range(count):
        if not np.isnan(landmarks[row]).any():
            assert not filled[row]
            np.testing.assert_array_equal(result[row], landmarks[row])
            continue
        expected = filled_step_by_step(landmarks.astype(np.float64), frames, row, longest)
        assert filled[row] == (expected is not None)
        np.testing.assert_allclose(
            result[row], UNKNOWN if expected is None else expected, atol=1e-3
        )


def test_a_gap_is_filled_completely_or_not_at_all() -> None:
    for gap, is_filled in ((30, True), (31, False)):
        landmarks = np.full((gap + 2, 49, 2), np.nan, np.float32)
        landmarks[0], landmarks[-1] = 10, 10 + gap + 1
        result, filled = fill(landmarks, np.arange(gap + 2) + 500)
        assert filled.tolist() == [False, *[is_filled] * gap, False]
        if is_filled:
            np.testing.assert_allclose(result[:, 0, 0], np.arange(gap + 2) + 10, rtol=1e-6)


def test_at_the_ends_the_nearest_landmarks_are_copied_for_30_frames() -> None:
    landmarks = np.full((101, 49, 2), np.nan, np.float32)
    landmarks[50] = 7
    result, filled = fill(landmarks, np.arange(101))
    assert np.flatnonzero(filled).tolist() == [*range(20, 50), *range(51, 81)]
    assert (result[filled] == 7).all()


def test_frames_that_are_not_coded_count_for_the_length_of_a_gap() -> None:
    landmarks = np.stack([np.zeros((49, 2)), UNKNOWN, np.full((49, 2), 40.0)])
    assert fill(landmarks, np.array([1, 2, 33]))[1].tolist() == [False, False, False]
    result, filled = fill(landmarks, np.array([1, 2, 11]))
    assert filled.tolist() == [False, True, False] and (result[1] == 4).all()


def test_a_sequence_without_landmarks_is_left_unchanged() -> None:
    result, filled = fill(np.stack([UNKNOWN] * 3), np.array([1, 2, 3]))
    assert np.isnan(result).all() and not filled.any()
