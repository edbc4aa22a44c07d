"""The points of a synthetic face without action units; action units then move these points.

Points are (x, y) in face units: 1/128 of the image side, with the origin in the middle of the
image, x right, y down, for a frontal face. The first 68 points are the landmarks in iBUG's order;
the remaining points, such as those on the cheeks, move the skin between the landmarks.
"""

from __future__ import annotations

import numpy as np

from fauds.synthetic.identity import Identity

FACE_AUS: tuple[str, ...] = tuple(
    f"AU{n:02d}" for n in (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 24, 25, 26)
)

# Pairs of mirrored points: (index on the right side of the image, index on the left side).
PAIRS: dict[str, tuple[int, int]] = {
    **{f"jaw{k}": (16 - k, k) for k in range(8)},
    **{f"brow{k}": (22 + k, 21 - k) for k in range(5)},
    "eye_in": (42, 39),
    "upper_in": (43, 38),
    "upper_out": (44, 37),
    "eye_out": (45, 36),
    "lower_out": (46, 41),
    "lower_in": (47, 40),
    "ala_in": (34, 32),
    "ala": (35, 31),
    "corner": (54, 48),
    "lip_up2": (53, 49),
    "lip_up1": (52, 50),
    "lip_low2": (55, 59),
    "lip_low1": (56, 58),
    "inner": (64, 60),
    "inner_up1": (63, 61),
    "inner_low1": (65, 67),
}
CENTRES: dict[str, int] = {
    "chin": 8,
    "nose0": 27,
    "nose1": 28,
    "nose2": 29,
    "nose3": 30,
    "nose_base": 33,
    "lip_up0": 51,
    "lip_low0": 57,
    "inner_up0": 62,
    "inner_low0": 66,
}
_SKIN_PAIRS = (
    "cheek",
    "infra",
    "canthus",
    "fold1",
    "fold2",
    "fold3",
    "below_corner",
    "crease_in",
    "crease",
    "crease_out",
    "forehead1",
    "temple",
)
_SKIN_CENTRES = ("forehead0", "upper_lip", "mental", "boss")
for _i, _name in enumerate(_SKIN_PAIRS):
    PAIRS[_name] = (68 + 2 * _i, 69 + 2 * _i)
for _i, _name in enumerate(_SKIN_CENTRES):
    CENTRES[_name] = 68 + 2 * len(_SKIN_PAIRS) + _i
N_POINTS = 68 + 2 * len(_SKIN_PAIRS) + len(_SKIN_CENTRES)
MOUTH = slice(48, 68)


def neutral_points(identity: Identity) -> np.ndarray:
    """Return the points of a person's neutral face, float32 [N_POINTS, 2].

    Points are (x, y) in 1/128 of the image side, with the origin in the middle of the image: first
    the 68 landmarks, then points on the skin. The points of the lips are left at 0, because
    `fauds.synthetic.mouth.mouth_points` computes them.
    """
    half: dict[str, tuple[float, float]] = {}
    half.update(_jaw(identity))
    half.update(_eyes_and_brows(identity))
    half.update(_nose_and_skin(identity))
    points = np.zeros((N_POINTS, 2), np.float32)
    for name, (x, y) in half.items():
        if name in CENTRES:
            points[CENTRES[name]] = (x, y)
        else:
            right, left = PAIRS[name]
            points[right] = (x, y)
            points[left] = (-x, y)
    return points


def _jaw(identity: Identity) -> dict[str, tuple[float, float]]:
    top = -14.0
    along = (0.0, 0.175, 0.35, 0.515, 0.665, 0.79, 0.895, 0.97)
    width = (1.0, 0.995, 0.975, 0.935, 0.865, 0.74, 0.555, 0.31 + 0.05 * identity.chin_roundness)
    squareness = (0.0, 0.05, 0.2, 0.5, 0.9, 1.0, 1.0, 1.0)
    jaw = {}
    for k in range(8):
        narrow = 1 + (identity.jaw_width - 1) * squareness[k]
        y = top + (identity.chin_y - top) * along[k]
        jaw[f"jaw{k}"] = (identity.face_width * width[k] * narrow, y)
    jaw["chin"] = (0.0, identity.chin_y)
    return jaw


def _eyes_and_brows(identity: Identity) -> dict[str, tuple[float, float]]:
    x, y, w, a = identity.eye_spacing, -14.0, identity.eye_width, identity.eye_aperture
    half = {
        "eye_in": (x - w, y + 0.8),
        "upper_in": (x - 0.36 * w, y - 0.56 * a),
        "upper_out": (x + 0.34 * w, y - 0.56 * a - 0.3 * identity.eye_tilt),
        "eye_out": (x + w, y - identity.eye_tilt),
        "lower_out": (x + 0.36 * w, y + 0.42 * a - 0.3 * identity.eye_tilt),
        "lower_in": (x - 0.34 * w, y + 0.42 * a),
        "crease_in": (x - 0.5 * w, y - 0.56 * a - 1.5 - identity.lid_fold),
        "crease": (x + 0.1 * w, y - 0.56 * a - 2.4 - identity.lid_fold),
        "crease_out": (x + 0.75 * w, y - 0.56 * a - 1.2 - identity.lid_fold),
    }
    inner, outer = identity.brow_gap, x + w + 3.4
    brow_y = y - identity.brow_height
    rise = (0.0, -0.8, -1.2 - 0.5 * identity.brow_arch, -0.7 - 0.8 * identity.brow_arch, 1.5)
    for k in range(5):
        half[f"brow{k}"] = (inner + (outer - inner) * k / 4, brow_y + rise[k])
    half["forehead0"] = (0.0, brow_y - 10)
    half["forehead1"] = (19.0, brow_y - 9)
    half["temple"] = (outer + 3.0, y - 6)
    half["canthus"] = (x + w + 4.5, y - identity.eye_tilt)
    return half


def _nose_and_skin(identity: Identity) -> dict[str, tuple[float, float]]:
    base, wide = -14.0 + identity.nose_length, identity.nose_width
    mouth, corner = identity.mouth_y, identity.mouth_width
    return {
        "nose0": (0.0, -13.0),
        "nose1": (0.0, -13 + (base + 9) * 0.33),
        "nose2": (0.0, -13 + (base + 9) * 0.66),
        "nose3": (0.0, base - 4.0),
        "ala": (wide, base - 1.8),
        "ala_in": (wide * 0.5, base - 0.3),
        "nose_base": (0.0, base + 0.3),
        "cheek": (22.0, 2.0),
        "infra": (identity.eye_spacing, -5.5),
        "fold1": (wide + 3.0, base - 4.0),
        "fold2": (wide + 5.5, base + 2.5),
        "fold3": (corner + 4.0, mouth - 1.0),
        "below_corner": (corner + 1.5, mouth + 8.0),
        "upper_lip": (0.0, (base + mouth - identity.lip_upper) / 2),
        "mental": (0.0, mouth + identity.lip_lower + 3.2),
        "boss": (0.0, (mouth + identity.lip_lower + identity.chin_y) / 2 + 2.0),
    }
