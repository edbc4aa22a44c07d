"""Implausible landmarks are flagged, plausible ones are not."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fauds.faces.landmarks import Marks
from fauds.faces.outcomes import eyes_crossed, inter_ocular, jump, outside


def face(left: tuple[float, float], right: tuple[float, float], mouth: float = 60) -> Marks:
    """Return marks with these eye centres and the mouth corners `mouth` pixels below them."""
    eyes = np.array([[left, right]], float)
    points = np.full((1, 68, 2), np.nan)
    points[0, [48, 54]] = eyes[0] + (0, mouth)
    return Marks(eyes, points, np.full((1, 4), np.nan))


def track(middles: list[tuple[float, float]], distances: list[float]) -> Marks:
    """Return marks of level eyes over time, with these middles and distances."""
    middle, half = np.array(middles, float), np.array(distances)[:, None] / 2 * (1, 0)
    eyes = np.stack([middle - half, middle + half], 1)
    count = len(middles)
    return Marks(eyes, np.full((count, 68, 2), np.nan), np.full((count, 4), np.nan))


def test_the_inter_ocular_distance_is_that_of_the_eye_centres() -> None:
    result = inter_ocular(face((10, 20), (40, 60)))
    assert result.dtype == np.float32 and result.tolist() == [50]
    assert np.isnan(inter_ocular(face((np.nan, 20), (40, 60))))


def test_points_or_boxes_beyond_the_image_are_flagged() -> None:
    sizes = np.array([[100, 50]])  # width, height
    assert not outside(face((-0.5, 10), (99.5, 10), 39.5), sizes)
    for reaching_out in (
        face((-0.6, 10), (50, 10)),
        face((5, 10), (99.6, 10)),
        face((5, -1), (50, 10)),
        face((5, 10), (50, 10), 40),  # the mouth, at y = 50
    ):
        assert outside(reaching_out, sizes)
    boxed = Marks(np.full((3, 2, 2), np.nan), np.full((3, 68, 2), np.nan), np.zeros((3, 4)))
    boxed.boxes[:] = [(0, 0, 99, 49), (0, 0, 99, 51), np.full(4, np.nan)]
    assert outside(boxed, sizes.repeat(3, 0)).tolist() == [False, True, False]


def test_swapped_eyes_and_a_mouth_above_the_eyes_are_flagged() -> None:
    assert not eyes_crossed(face((10, 20), (40, 20)))
    assert not eyes_crossed(face((10, 20), (40, 45)))  # the head is tilted
    assert eyes_crossed(face((40, 20), (10, 20)))
    assert eyes_crossed(face((25, 20), (25, 20)))
    assert eyes_crossed(face((10, 20), (40, 20), mouth=-30))
    assert not eyes_crossed(face((10, 20), (40, 20), mouth=np.nan))
    assert not eyes_crossed(face((np.nan, 20), (40, 20)))


def test_jumps_are_relative_to_the_inter_ocular_distance() -> None:
    still = [(100.0, 100.0)] * 3
    frames = np.array([4, 5, 6])
    assert not jump(track(still, [60, 60, 60]), frames).any()
    moved = [(100.0, 100.0), (100.0, 129.0), (100.0, 160.0)]
    assert jump(track(moved, [60, 60, 60]), frames).tolist() == [False, False, True]
    assert jump(track(still, [60, 79, 50]), frames).tolist() == [False, False, True]
    # Between frames that are not consecutive the move may have been slow; unknown eyes do not jump.
    assert jump(track(moved, [60, 60, 60]), np.array([4, 5, 7])).tolist() == [False] * 3
    assert not jump(track(moved, [60, np.nan, 60]), frames).any()


@given(st.integers(0, 2**32 - 1))
def test_jumps_equal_those_of_a_step_by_step_implementation(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 30))
    frames = np.cumsum(rng.integers(1, 3, count))
    middles = rng.normal(100, 20, (count, 2))
    distances = np.where(rng.random(count) < 0.2, np.nan, rng.uniform(40, 80, count))
    result = jump(track([*map(tuple, middles)], [*distances]), frames)
    for now in range(count):
        expected = False
        if now and frames[now] == frames[now - 1] + 1:
            before = distances[now - 1]
            if not np.isnan(before) and not np.isnan(distances[now]):
                far = np.hypot(*(middles[now] - middles[now - 1])) > before / 2
                expected = far or abs(distances[now] - before) > before / 3
        assert result[now] == expected
