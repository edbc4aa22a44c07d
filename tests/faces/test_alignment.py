"""Crops show the face at the place that the alignment's description defines."""

from functools import cache

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fauds.errors import UsageError
from fauds.faces.alignment import ALIGNMENTS, alignment, warp
from fauds.faces.landmarks import Marks, marks
from fauds.synthetic.face import draw_face, face_landmarks
from fauds.synthetic.identity import draw_identity
from fauds.synthetic.view import draw_views

EYES = np.array([[87.5, 80], [167.5, 80]])


def synthetic_landmarks(count: int, size: int = 256) -> np.ndarray:
    """Return 68 points of synthetic faces with random expressions, float32 [count, 68, 2]."""
    rng = np.random.default_rng(1)
    return np.stack(
        [
            face_landmarks(
                draw_identity(rng, "FM"[index % 2]),
                np.where(rng.random(17) < 0.3, rng.integers(1, 6, 17), 0),
                draw_views(rng, 1)[0],
                size,
            )
            for index in range(count)
        ]
    )


@cache
def faces() -> np.ndarray:
    """Return 68 points of 60 synthetic faces, float32 [60, 68, 2]."""
    return synthetic_landmarks(60)


def moved(points: np.ndarray, transforms: np.ndarray) -> np.ndarray:
    return np.stack([p @ t[:, :2].T + t[:, 2] for p, t in zip(points, transforms, strict=True)])


similarities = st.tuples(
    st.floats(0.05, 20), st.floats(-np.pi, np.pi), st.floats(-2000, 2000), st.floats(-2000, 2000)
)


def similar(points: np.ndarray, by: tuple[float, float, float, float]) -> np.ndarray:
    scale, angle, x, y = by
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return scale * points.astype(np.float64) @ turn.T + (x, y)


@given(by=similarities, face=st.integers(0, 59))
def test_eyes_similarity_maps_the_eye_centres_to_fixed_places(
    by: tuple[float, float, float, float], face: int
) -> None:
    known = marks(similar(faces()[[face]], by))
    transforms = alignment("eyes-similarity").transforms(known)
    np.testing.assert_allclose(moved(known.eyes, transforms)[0], EYES, atol=1e-6)
    linear = transforms[0, :, :2]
    # A similarity has perpendicular columns of equal length and does not mirror.
    np.testing.assert_allclose(
        linear.T @ linear, np.eye(2) * np.linalg.det(linear), atol=1e-9 * abs(linear).max() ** 2
    )
    assert np.linalg.det(linear) > 0


@pytest.mark.parametrize("name", ["eyes-similarity", "jaa"])
@given(by=similarities)
def test_the_crop_does_not_depend_on_the_place_of_the_face(
    name: str, by: tuple[float, float, float, float]
) -> None:
    how, other = alignment(name), similar(faces()[:3], by)
    np.testing.assert_allclose(
        moved(other, how.transforms(marks(other))),
        moved(faces()[:3], how.transforms(marks(faces()[:3]))),
        atol=1e-4,
    )


def jaa_step_by_step(points: np.ndarray) -> np.ndarray:
    """Return JAA-Net's alignment of one face [49, 2], step by step with 3 x 3 matrices."""
    left, right = points[19:25].mean(0), points[25:31].mean(0)
    angle = np.arctan2(*(right - left)[::-1])
    cos, sin = np.cos(angle), np.sin(angle)
    rotate = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
    five = np.array([left, right, points[13], points[31], points[37]])
    level = np.array([rotate @ [x, y, 1] for x, y in five])[:, :2]
    low, high = level.min(0), level.max(0)
    side = 2.9 * max(high - low)
    corner = (low + high) / 2 - side / 2
    scale = 199 / side
    shift = np.array([[1, 0, -corner[0]], [0, 1, -corner[1]], [0, 0, 1]])
    return (np.diag([scale, scale, 1]) @ shift @ rotate)[:2]


def test_jaa_equals_the_alignment_of_jaa_net() -> None:
    turned = similar(faces(), (1.7, 0.4, 30, -12))
    known = marks(turned)
    expected = np.stack([jaa_step_by_step(points) for points in known.points])
    np.testing.assert_allclose(alignment("jaa").transforms(known), expected, rtol=1e-9)


def test_bbox_5_fills_the_crop_with_the_box_and_its_margin() -> None:
    box = np.array([[100.0, 50.0, 300.0, 150.0]])
    unknown_eyes = np.full((1, 2, 2), np.nan)
    known = Marks(unknown_eyes, np.full((1, 68, 2), np.nan), box)
    (transform,) = alignment("bbox-5").transforms(known)
    corners = np.array([[90, 45, 1], [310, 155, 1]]) @ transform.T
    np.testing.assert_allclose(corners, [[-0.5, -0.5], [223.5, 223.5]], atol=1e-9)
    assert transform[0, 1] == transform[1, 0] == 0


def test_unknown_or_degenerate_marks_have_no_transform() -> None:
    points = faces()[:5].astype(np.float64)
    points[1] = np.nan
    points[2, 36:48] = (40, 40)  # both eyes in one place
    points[3, 36:42], points[3, 42:48] = (40, 40), (40.9, 40)
    points[4] = (7, 7)
    face_marks = marks(points)
    for name, known in {
        "eyes-similarity": [True, False, False, False, False],
        "jaa": [True, False, False, False, False],
        "bbox-5": [True, False, True, True, False],
        "none": [True] * 5,
    }.items():
        transforms = alignment(name).transforms(face_marks)
        assert transforms.shape == (5, 2, 3) and transforms.dtype == np.float64
        np.testing.assert_array_equal(np.isfinite(transforms).all((1, 2)), known)
        np.testing.assert_array_equal(np.isnan(transforms).all((1, 2)), np.invert(known))


@pytest.mark.parametrize("size", [256, 700])
@pytest.mark.parametrize("name", ["eyes-similarity", "jaa", "bbox-5"])
def test_the_crop_shows_the_eyes_where_the_transform_maps_them(name: str, size: int) -> None:
    rng = np.random.default_rng(4)
    image, points = draw_face(draw_identity(rng), np.zeros(17), draw_views(rng, 1)[0], size)
    known = marks(points[None])
    how = alignment(name)
    (transform,) = how.transforms(known)
    canvas = np.zeros((*image.shape[:2], 3), np.uint8)
    for channel, eye in enumerate(known.eyes[0]):
        at = tuple(int(value) for value in eye.round())
        dot = np.zeros(image.shape[:2], np.uint8)
        cv2.circle(dot, at, size // 60, 255, -1)
        # A soft edge, so that sampling every other pixel does not move its middle.
        canvas[..., channel] = cv2.GaussianBlur(dot, None, 3)
        crop = warp(canvas, transform, how)[..., channel].astype(np.float64)
        rows, columns = np.indices(crop.shape)
        centre = np.array([(columns * crop).sum(), (rows * crop).sum()]) / crop.sum()
        np.testing.assert_allclose(centre, transform @ [*at, 1], atol=0.1)


@pytest.mark.parametrize("name", ["eyes-similarity", "jaa", "bbox-5"])
@pytest.mark.parametrize("scale", [0.8, 1.6, 3.3])
def test_crop_pixels_show_the_place_that_the_transform_defines(name: str, scale: float) -> None:
    """On a linear ramp, the grey level of a crop pixel gives its position in the frame."""
    width, height = 903, 801
    ramp = np.zeros((height, width, 3), np.uint8)
    ramp[..., 0] = np.rint(np.arange(width) * 255 / width)
    ramp[..., 1] = np.rint(np.arange(height) * 255 / height)[:, None]
    points = similar(faces()[:1], (scale, 0.3, 60, -90))
    how = alignment(name)
    (transform,) = how.transforms(marks(points))
    crop = warp(ramp, transform, how)
    rows, columns = np.indices(crop.shape[:2])
    at = np.stack([columns, rows], -1) - transform[:, 2]
    at = at @ np.linalg.inv(transform[:, :2]).T
    inside = ((at > 6) & (at < (width - 10, height - 10))).all(-1)
    assert inside.sum() > 10_000
    expected = at * 255 / (width, height)
    assert np.abs(crop[..., :2] - expected)[inside].max() < 1.2
    far = ((at < -6) | (at > (width + 6, height + 6))).any(-1)
    assert (crop[far] == how.border).all()


def test_large_images_are_averaged_before_sampling() -> None:
    """Averaging turns a fine chequerboard into grey; the sampling of JAA-Net keeps its squares."""
    board = np.indices((1000, 1000)).sum(0) % 2 * 255
    board = np.repeat(board[..., None], 3, 2).astype(np.uint8)
    points = similar(faces()[:1], (4, 0, 0, 0))
    contrast = {}
    for name in ("eyes-similarity", "bbox-5", "jaa"):
        how = alignment(name)
        middle = warp(board, how.transforms(marks(points))[0], how)[80:120, 80:120]
        contrast[name] = np.ptp(middle)
    # A block of 3 x 3 squares has one more square of one colour, which leaves a ninth of the
    # contrast.
    assert contrast["eyes-similarity"] < 40 and contrast["bbox-5"] < 40
    assert contrast["jaa"] > 150


@pytest.mark.parametrize("scale", [0.5, 4.3])
def test_crop_pixels_outside_the_image_have_the_border_colour(scale: float) -> None:
    """Outside the image, the crop has the border colour, also next to the edges."""
    for how in map(alignment, ("eyes-similarity", "jaa", "bbox-5")):
        points = similar(faces()[:1], (scale, 0.1, 0, 0))
        points += np.array([1600, 1500]) - points.mean((0, 1))  # at the corner of the image
        frame = np.full((1500, 1601, 3), how.border, np.uint8)
        assert (warp(frame, how.transforms(marks(points))[0], how) == how.border).all()
        frame[:] = 255 - how.border
        crop = warp(frame, how.transforms(marks(points))[0], how)
        assert (crop[:20, :20] == 255 - how.border).all() and (crop[-20:, -20:] == how.border).all()


def test_a_mirrored_frame_gives_the_mirrored_crop() -> None:
    width = 256
    mirrored = faces()[:8, :, :].astype(np.float64) * (-1, 1) + (width - 1, 0)
    eyes = marks(faces()[:8]).eyes
    other = Marks(eyes[:, ::-1] * (-1, 1) + (width - 1, 0), np.zeros((8, 68, 2)), np.zeros((8, 4)))
    how = alignment("eyes-similarity")
    np.testing.assert_allclose(
        moved(mirrored, how.transforms(other)),
        moved(faces()[:8], how.transforms(marks(faces()[:8]))) * (-1, 1) + (255, 0),
        atol=1e-3,
    )


def test_the_crop_contains_the_whole_face() -> None:
    how = alignment("eyes-similarity")
    crops = moved(faces(), how.transforms(marks(faces())))
    assert crops.min() > 0 and crops.max() < how.size - 1


def test_the_alignment_none_returns_the_frame_itself() -> None:
    how = alignment("none")
    image = np.zeros((5, 7, 3), np.uint8)
    assert warp(image, how.transforms(marks(faces()[:1]))[0], how) is image


def test_alignments_are_selected_by_name_and_version() -> None:
    assert set(ALIGNMENTS) == {"eyes-similarity", "jaa", "bbox-5", "none"}
    assert [alignment(name, 1).name for name in ALIGNMENTS] == [*ALIGNMENTS]
    with pytest.raises(UsageError, match="no alignment named 'eye-similarity'") as caught:
        alignment("eye-similarity")
    assert "did you mean 'eyes-similarity'?" in str(caught.value)
    with pytest.raises(UsageError) as caught:
        alignment("jaa", 2)
    assert (
        "jaa has version 1 in this version of fauds, but the benchmark requires version 2."
        in str(caught.value)
    )
