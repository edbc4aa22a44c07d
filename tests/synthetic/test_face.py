"""Synthetic faces: reproducible bytes, correct landmarks, action units that follow FACS."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fauds.synthetic import face
from fauds.synthetic.au_movements import MOVES, movement_fraction
from fauds.synthetic.face import (
    ATTRIBUTES,
    FACE_AUS,
    View,
    draw_face,
    draw_identity,
    draw_views,
    face_landmarks,
    identity_attributes,
)
from fauds.synthetic.geometry import PAIRS
from fauds.synthetic.mouth import parting
from fauds.synthetic.warp import Camera

STILL = View(noise=0.0)
LEVELS = range(6)


def sample_identity(seed: int, sex: str | None = None):
    return draw_identity(np.random.default_rng([3, seed]), sex)


def intensities(**units: float) -> np.ndarray:
    values = np.zeros(len(FACE_AUS), np.float32)
    for au, value in units.items():
        values[FACE_AUS.index(au)] = value
    return values


def marks(identity, view: View = STILL, **units: float) -> np.ndarray:
    return face_landmarks(identity, intensities(**units), view)


def grey(identity, **units: float) -> np.ndarray:
    return draw_face(identity, intensities(**units), STILL)[0].astype(np.float32).mean(2)


def width(m: np.ndarray) -> float:
    return float(m[54, 0] - m[48, 0])


def up(*points: int):
    return lambda m: -float(m[list(points), 1].mean())


def down(*points: int):
    return lambda m: float(m[list(points), 1].mean())


def aperture(m: np.ndarray) -> float:
    return float((m[[40, 41, 46, 47], 1] - m[[38, 37, 44, 43], 1]).mean())


def red_lips(m: np.ndarray) -> float:
    upper = m[[61, 62, 63], 1] - m[[50, 51, 52], 1]
    lower = m[[58, 57, 56], 1] - m[[67, 66, 65], 1]
    return float((upper + lower).mean())


def opening(m: np.ndarray) -> float:
    return float((m[[67, 66, 65], 1] - m[[61, 62, 63], 1]).mean())


# Measures that grow with an action unit, and their least growth in pixels from absent to E.
DIRECTIONS = [
    ("AU01", "inner brows up", up(21, 22), 4.0),
    ("AU01", "inner brows more than outer", lambda m: up(21, 22)(m) - up(17, 26)(m), 4.0),
    ("AU02", "outer brows up", up(17, 18, 25, 26), 4.0),
    ("AU02", "outer brows more than inner", lambda m: up(18, 25)(m) - up(21, 22)(m), 4.0),
    ("AU04", "brows down", down(19, 20, 21, 22, 23, 24), 2.0),
    ("AU04", "brows together", lambda m: -float(m[22, 0] - m[21, 0]), 4.0),
    ("AU05", "eyes wider", aperture, 2.0),
    ("AU05", "upper lids up", up(37, 38, 43, 44), 2.0),
    ("AU06", "lower lids up", up(40, 41, 46, 47), 0.7),
    ("AU07", "eyes narrower", lambda m: -aperture(m), 2.0),
    ("AU07", "lower lids up", up(40, 41, 46, 47), 1.2),
    ("AU09", "nose wings up", up(31, 35), 2.0),
    ("AU10", "upper lip up", up(50, 52), 1.2),
    ("AU12", "corners up", up(48, 54), 4.0),
    ("AU12", "mouth wider", width, 7.0),
    ("AU15", "corners down", down(48, 54), 3.5),
    ("AU17", "lower lip up", up(56, 57, 58), 1.2),
    ("AU17", "chin up", up(8), 0.7),
    ("AU20", "mouth wider", width, 7.0),
    ("AU20", "lips thinner", lambda m: -red_lips(m), 1.0),
    ("AU23", "lips thinner", lambda m: -red_lips(m), 2.0),
    ("AU23", "mouth narrower", lambda m: -width(m), 4.0),
    ("AU24", "lips thinner", lambda m: -red_lips(m), 3.0),
    ("AU25", "lips apart", opening, 2.5),
    ("AU26", "chin down", down(8), 6.0),
    ("AU26", "lower lip down", down(57), 2.0),
]


@pytest.mark.parametrize(("au", "what", "measure", "least"), DIRECTIONS)
def test_landmarks_move_as_facs_describes(au, what, measure, least) -> None:
    for seed in range(4):
        identity = sample_identity(seed)
        values = [measure(marks(identity, **{au: level})) for level in LEVELS]
        assert np.all(np.diff(values) > 0), (what, values)
        assert values[-1] - values[0] > least, (what, values)


def test_action_units_do_not_move_other_parts_of_the_face() -> None:
    identity = sample_identity(1)
    rest = marks(identity)
    for au in ("AU12", "AU14", "AU15", "AU17", "AU20", "AU23", "AU24", "AU25", "AU26"):
        assert np.abs(marks(identity, **{au: 5})[17:27] - rest[17:27]).max() == 0, au
    for au in ("AU01", "AU02", "AU04", "AU05", "AU07"):
        assert np.abs(marks(identity, **{au: 5})[48:68] - rest[48:68]).max() == 0, au
    assert abs(marks(identity, AU20=5)[48, 1] - rest[48, 1]) < 1.5
    assert width(marks(identity, AU24=5)) > width(marks(identity, AU23=5)) + 3


# The region in which each action unit is visible: left, top, right, bottom, in 1/128 of the side.
REGIONS = {
    "AU01": (36, 14, 92, 54),
    "AU02": (22, 14, 106, 56),
    "AU04": (26, 22, 102, 62),
    "AU05": (30, 34, 98, 64),
    "AU06": (20, 32, 108, 84),
    "AU07": (28, 38, 100, 66),
    "AU09": (28, 28, 100, 92),
    "AU10": (30, 48, 98, 96),
    "AU12": (26, 44, 102, 102),
    "AU14": (34, 74, 94, 98),
    "AU15": (36, 76, 92, 110),
    "AU17": (38, 78, 90, 112),
    "AU20": (28, 70, 100, 106),
    "AU23": (38, 74, 90, 104),
    "AU24": (38, 74, 90, 106),
    "AU25": (42, 76, 86, 102),
    "AU26": (24, 52, 104, 122),
}


@pytest.mark.parametrize("au", FACE_AUS)
def test_pixels_change_in_the_region_of_the_action_unit_and_above_noise(au) -> None:
    x0, y0, x1, y1 = REGIONS[au]
    for seed in range(3):
        identity = sample_identity(seed)
        rest = grey(identity)
        changes = [np.abs(grey(identity, **{au: level}) - rest) for level in LEVELS]
        energy = [float((c**2).sum()) for c in changes]
        assert np.all(np.diff(energy) > 0), energy
        inside = float((changes[-1][y0:y1, x0:x1] ** 2).sum())
        assert inside > 0.85 * energy[-1], inside / energy[-1]
        # At B, the hundred most changed pixels are well above noise of 2 grey levels.
        assert np.sort(changes[2].ravel())[-100:].mean() > 8


@pytest.mark.parametrize(
    ("au", "box"),
    [
        ("AU01", (54, 24, 74, 40)),
        ("AU04", (58, 36, 70, 50)),
        ("AU06", (72, 56, 96, 72)),
        ("AU09", (58, 46, 70, 66)),
        ("AU12", (78, 74, 96, 92)),
        ("AU14", (78, 82, 86, 92)),
        ("AU17", (54, 94, 74, 106)),
        ("AU23", (54, 92, 74, 100)),
    ],
)
def test_furrows_are_visible_in_the_skin(au, box) -> None:
    """Differences between neighbouring pixels grow where the furrows are."""
    identity = sample_identity(5, "M")
    x0, y0, x1, y1 = box
    detail = []
    for level in (0, 2, 5):
        image = grey(identity, **{au: level})[y0:y1, x0:x1]
        steps = [np.abs(np.diff(image, axis=axis)).mean() for axis in (0, 1)]
        detail.append(float(sum(steps)))
    assert detail[0] < detail[1] < detail[2]


@pytest.mark.parametrize("au", [None, *FACE_AUS])
def test_the_skin_moves_with_the_landmarks(au) -> None:
    """A landmark of the jaw or nose stays on the same point of the skin."""
    identity = sample_identity(2)
    rest = face._neutral_face(identity, 128)
    values = intensities(**({au: 5} if au else {}))
    fractions = movement_fraction(values)
    points = face._moved(identity, rest, fractions, parting(values))
    for view in (STILL, View(yaw=9, pitch=-6, roll=5, scale=1.03, shift=(1.5, -1.0))):
        camera = Camera(view, 128)
        at = camera.project(points, rest.depth)[None]
        places = np.ascontiguousarray(camera.back_map(face._field(rest, points)))
        values = cv2.remap(places, at, None, cv2.INTER_LINEAR)[0]
        error = np.linalg.norm(values - rest.points, axis=1)
        assert error[np.r_[1:16, 27:36]].max() < 1.3, error
        assert error[:17].mean() < 0.3


def test_pressed_lips_do_not_part() -> None:
    identity = sample_identity(2)
    pressed, both = marks(identity, AU24=2), marks(identity, AU24=2, AU25=5, AU26=3)
    assert opening(pressed) == pytest.approx(0, abs=1e-4)
    assert opening(both) == pytest.approx(0, abs=1e-4)
    assert opening(marks(identity, AU26=5)) == pytest.approx(0, abs=1e-4)
    assert opening(marks(identity, AU25=2, AU26=5)) > opening(marks(identity, AU25=2)) + 3


def test_the_same_inputs_give_the_same_bytes() -> None:
    def sequence() -> bytes:
        rng = np.random.default_rng([11, 4])
        identity = draw_identity(rng)
        views = draw_views(rng, 3)
        values = rng.uniform(0, 5, len(FACE_AUS))
        return b"".join(draw_face(identity, values, v)[0].tobytes() for v in views)

    first = sequence()
    for seed in range(9):
        draw_face(sample_identity(seed), intensities(), STILL)
    assert sequence() == first


def test_noise_has_the_requested_strength_and_depends_on_the_seed() -> None:
    identity = sample_identity(0)
    clean = draw_face(identity, intensities(), STILL)[0].astype(int)
    one = draw_face(identity, intensities(), View(noise=3.0, seed=1))[0].astype(int)
    other = draw_face(identity, intensities(), View(noise=3.0, seed=2))[0].astype(int)
    assert 2.5 < (one - clean).std() < 3.5
    assert (one != other).mean() > 0.5


@pytest.mark.parametrize("size", [64, 112, 128, 224])
def test_images_and_landmarks_have_the_documented_shapes(size) -> None:
    rng = np.random.default_rng(size)
    for view in draw_views(rng, 2):
        image, points = draw_face(draw_identity(rng), rng.uniform(0, 5, len(FACE_AUS)), view, size)
        assert image.shape == (size, size, 3)
        assert image.dtype == np.uint8
        assert points.shape == (68, 2)
        assert points.dtype == np.float32
        assert points.min() >= 0
        assert points.max() <= size - 1


@pytest.mark.slow
def test_landmarks_keep_their_order_for_any_action_units() -> None:
    rng = np.random.default_rng(8)
    for _ in range(150):
        identity, view = draw_identity(rng), draw_views(rng, 1)[0]
        active = rng.random(len(FACE_AUS)) < 0.5
        m = face_landmarks(identity, np.where(active, rng.uniform(0, 5, len(FACE_AUS)), 0), view)
        assert m.min() >= 0
        assert m.max() <= 127
        assert np.all(np.diff(m[3:14, 0]) > 0), "jaw from left to right"
        assert np.all(np.diff(m[17:27, 0]) > 0), "brows from left to right"
        assert np.all(np.diff(m[27:31, 1]) > 0), "nose bridge downwards"
        assert np.all(np.diff(m[31:36, 0]) > 0), "nose base from left to right"
        for corner, lids in ((36, (37, 38)), (42, (43, 44))):
            assert m[corner, 0] < m[lids[0], 0] < m[lids[1], 0] < m[corner + 3, 0]
            assert np.all(m[[corner + 5, corner + 4], 1] > m[list(lids), 1]), "lids cross"
        assert np.all(np.diff(m[48:55, 0]) > 0), "upper lip from left to right"
        assert np.all(np.diff(m[55:60, 0]) < 0), "lower lip from right to left"
        middle = m[[51, 62, 66, 57], 1]
        assert np.all(np.diff(middle) >= -1e-3), "lips in order from top to bottom"
        assert m[8, 1] > m[57, 1] > m[33, 1] > m[27, 1]


def test_landmarks_of_a_frontal_face_are_symmetric() -> None:
    for right, left in PAIRS.values():
        assert right != left
    named = {name for moves in MOVES.values() for name in moves}
    assert set(MOVES) == set(FACE_AUS)
    assert named
    identity = sample_identity(6)
    m = marks(identity)
    flipped = 127 - m[:, 0]
    assert flipped[36] == pytest.approx(m[45, 0], abs=1e-3)
    assert flipped[48] == pytest.approx(m[54, 0], abs=1e-3)


def test_pose_moves_the_nose_as_documented() -> None:
    identity = sample_identity(3)
    rest = marks(identity)
    assert marks(identity, View(yaw=8))[30, 0] > rest[30, 0] + 1
    assert marks(identity, View(pitch=8))[30, 1] < rest[30, 1] - 1
    turned = marks(identity, View(roll=5))
    assert turned[45, 1] > turned[36, 1] + 2


def test_views_are_small_and_smooth() -> None:
    for seed in range(20):
        views = draw_views(np.random.default_rng(seed), 80)
        pose = np.array([(v.yaw, v.pitch, v.roll) for v in views])
        assert np.all(np.abs(pose) <= (10, 10, 6))
        assert np.abs(np.diff(pose, axis=0)).max() < 1.0
    assert len({v.seed for v in views}) == len(views)


def test_identities_vary_in_all_attributes() -> None:
    identities = [sample_identity(seed) for seed in range(60)]
    assert {p.sex for p in identities} == {"F", "M"}
    assert {(p.beard, p.moustache) for p in identities if p.sex == "F"} == {(0, 0)}
    table = np.stack([identity_attributes(p) for p in identities])
    assert table.dtype == np.float32
    assert table.shape == (60, len(ATTRIBUTES))
    assert np.isfinite(table).all()
    assert (table.std(0) > 0).all()
    assert sample_identity(4, "F") == sample_identity(4, "F")
    assert len({hash(p) for p in identities}) == 60


def test_invalid_inputs_are_an_error() -> None:
    identity = sample_identity(0)
    with pytest.raises(ValueError, match="17 numbers from 0 to 5"):
        draw_face(identity, np.zeros(12), STILL)
    with pytest.raises(ValueError, match="17 numbers from 0 to 5"):
        draw_face(identity, np.full(17, np.nan), STILL)
    with pytest.raises(ValueError, match="64 pixels"):
        draw_face(identity, intensities(), STILL, 16)
    with pytest.raises(ValueError, match="'F', 'M' or None"):
        draw_identity(np.random.default_rng(0), "X")
    with pytest.raises(ValueError, match="at least one frame"):
        draw_views(np.random.default_rng(0), 0)
