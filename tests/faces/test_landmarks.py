"""Landmarks of 49, 66 and 68 points give the same eye centres; unknown marks are NaN."""

import numpy as np
import pytest

from fauds.errors import DataError
from fauds.faces.base import Face
from fauds.faces.landmarks import marks, of_faces, to_68

# The numbers of iBUG's points: brows 17-26, nose 27-35, eyes 36-47, outer lips 48-59,
# inner lips 60-67, of which 60 and 64 are the corners.
IBUG_49 = [*range(17, 60), 61, 62, 63, 65, 66, 67]
IBUG_66 = [index for index in range(68) if index not in (60, 64)]


def random_points(frames: int = 3, points: int = 68) -> np.ndarray:
    return np.random.default_rng(7).uniform(0, 500, (frames, points, 2)).astype(np.float32)


@pytest.mark.parametrize("indices", [range(68), IBUG_66, IBUG_49])
def test_points_take_their_places_among_the_68_and_the_others_are_unknown(indices) -> None:
    full = random_points()
    expected = np.full_like(full, np.nan)
    expected[:, list(indices)] = full[:, list(indices)]
    result = to_68(full[:, list(indices)])
    np.testing.assert_array_equal(result, expected)
    assert result.dtype == full.dtype
    with pytest.raises(DataError, match="49, 66 or 68"):
        to_68(full[:, :5])


def test_49_66_and_68_points_give_the_same_eye_centres() -> None:
    full = random_points()
    for scheme in (full, full[:, IBUG_66], full[:, IBUG_49]):
        known = marks(scheme)
        np.testing.assert_array_equal(known.points, full[:, IBUG_49])
        for frame in range(3):
            for eye, indices in enumerate((range(36, 42), range(42, 48))):
                centre = sum(full[frame, index].astype(np.float64) for index in indices) / 6
                np.testing.assert_allclose(known.eyes[frame, eye], centre, rtol=1e-12)


def test_points_that_49_or_66_landmarks_lack_are_unknown() -> None:
    full = random_points()
    for present in (range(68), IBUG_66, IBUG_49):
        landmarks = marks(full[:, present]).landmarks
        assert landmarks.shape == (3, 68, 2)
        for index in range(68):
            expected = full[:, index] if index in present else np.full((3, 2), np.nan)
            np.testing.assert_array_equal(landmarks[:, index], expected)


def test_the_box_is_unknown_without_the_points_of_the_jaw() -> None:
    full = random_points()
    full[1, 8] = (250, 900)  # the chin
    box = marks(full).boxes[1]
    np.testing.assert_array_equal(
        box, [full[1, :, 0].min(), full[1, :, 1].min(), full[1, :, 0].max(), 900]
    )
    assert marks(full[:, IBUG_66]).boxes[1, 3] == 900
    assert np.isnan(marks(full[:, IBUG_49]).boxes).all()


def test_a_frame_without_landmarks_has_no_marks() -> None:
    full = random_points()
    full[1] = np.nan
    known = marks(full)
    for part in (known.eyes, known.landmarks, known.points, known.boxes):
        unknown = np.isnan(part).reshape(3, -1)
        assert unknown[1].all() and not unknown[[0, 2]].any()


@pytest.mark.parametrize("points", [0, 5, 48, 67, 70])
def test_other_numbers_of_points_are_an_error(points: int) -> None:
    with pytest.raises(
        DataError, match=f"has {points} landmarks, but only 49, 66 or 68 are supported"
    ):
        marks(random_points(points=points))


def test_eyes_and_box_of_a_detector_are_used_unchanged() -> None:
    full, eyes = random_points(1)[0], np.float32([[10, 20], [30, 21]])
    faces = [
        None,
        Face((1, 2, 3, 4), None, eyes, estimated=True),
        Face((5, 6, 7, 8), full, eyes),
    ]
    known = of_faces(faces)
    assert np.isnan(known.eyes[0]).all() and np.isnan(known.boxes[0]).all()
    np.testing.assert_array_equal(known.boxes[1:], [[1, 2, 3, 4], [5, 6, 7, 8]])
    np.testing.assert_array_equal(known.eyes[1:], [eyes, eyes])
    assert np.isnan(known.landmarks[:2]).all()
    np.testing.assert_array_equal(known.landmarks[2], full)
    np.testing.assert_array_equal(known.points[2], full[IBUG_49])
    assert of_faces([]).points.shape == (0, 49, 2)
