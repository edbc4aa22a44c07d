"""The points of the lips for any combination of action units.

Lip movements do not simply add up: a pressed lip cannot become much thinner, and lips that are
pressed together do not part. The points are therefore computed from the positions of the corners,
the line between the lips, the thickness of each lip and the opening.
"""

from __future__ import annotations

import numpy as np

from fauds.synthetic.geometry import FACE_AUS
from fauds.synthetic.identity import Identity

# Positions along the mouth, 0 in the middle and 1 at a corner, and the shape of the lips there.
_UPPER_AT = np.array([1.0, 0.64, 0.24, 0.0, -0.24, -0.64, -1.0], np.float32)
_UPPER_SHAPE = np.array([0.0, 0.66, 1.0, 0.84, 1.0, 0.66, 0.0], np.float32)
_LOWER_AT = np.array([0.62, 0.30, 0.0, -0.30, -0.62], np.float32)
_LOWER_SHAPE = np.array([0.66, 0.95, 1.0, 0.95, 0.66], np.float32)
_INNER_AT = np.array([0.86, 0.38, 0.0, -0.38, -0.86], np.float32)
_OPEN_SHAPE = np.array([0.0, 0.80, 1.0, 0.80, 0.0], np.float32)
_UPPER_OPEN = np.array([0.0, 0.5, 0.94, 1.0, 0.94, 0.5, 0.0], np.float32)
_LOWER_OPEN = np.array([0.55, 0.92, 1.0, 0.92, 0.55], np.float32)
# AU10 lifts the lip most beside the middle, which gives the angular bend described in FACS.
_UPPER_BEND = np.array([0.0, 0.95, 1.0, 0.6, 1.0, 0.95, 0.0], np.float32)
_INNER_BEND = np.array([0.1, 0.9, 0.7, 0.9, 0.1], np.float32)


def parting(intensities: np.ndarray) -> float:
    """Return how far AU25 and AU24 let the lips part, from 0 (not at all) to 1.

    AU25 parts the lips: without AU24, the value is 1 if the intensity of AU25 is A or above. AU24
    presses the lips together: the value is 0 if the intensity of AU24 is A or above.

    Args:
        intensities: the intensities, 0 to 5, of the AUs in `FACE_AUS`, [17].
    """
    au24, au25 = intensities[FACE_AUS.index("AU24")], intensities[FACE_AUS.index("AU25")]
    return float(min(1.0, max(0.0, au25)) * max(0.0, 1.0 - max(0.0, au24)))


def mouth_points(identity: Identity, fractions: np.ndarray, parted: float) -> np.ndarray:
    """Return the 20 landmarks of the lips, float32 [20, 2], in 1/128 of the image side.

    These are the landmarks 48 to 67 of iBUG's 68, counted from 0.

    Args:
        identity: the properties of the person, such as the thickness of the lips.
        fractions: the strength of each action unit's movement, [17], from 0 (no movement) to 1
            (the movement at intensity E).
        parted: how far the lips can part, 0 to 1, from `parting`.
    """
    g = dict(zip(FACE_AUS, fractions.tolist(), strict=True))
    move = identity.mobility
    corner_x, corner_y, middle_y = _lip_line(identity, g, parted, move)
    upper, lower = _thickness(identity, g)
    drop = parted * (3.0 * g["AU25"] + 6.2 * g["AU26"]) * move
    lift = parted * (1.4 * g["AU25"] + 1.2 * g["AU10"]) * move
    bend = (3.4 * g["AU10"] + 1.6 * g["AU09"]) * move
    sag = (1 - parted) * 1.6 * g["AU26"] * move

    outer = np.empty((12, 2), np.float32)
    line = _line(_UPPER_AT, corner_y, middle_y)
    outer[6::-1, 0] = corner_x * _UPPER_AT
    outer[6::-1, 1] = line - upper * _UPPER_SHAPE - lift * _UPPER_OPEN - 0.62 * bend * _UPPER_BEND
    line = _line(_LOWER_AT, corner_y, middle_y)
    outer[7:, 0] = corner_x * _LOWER_AT
    outer[7:, 1] = line + lower * _LOWER_SHAPE + (drop + sag) * _LOWER_OPEN

    inner = np.empty((8, 2), np.float32)
    line = _line(_INNER_AT, corner_y, middle_y) - 0.38 * bend * _INNER_BEND * (1 - parted)
    inner[4::-1, 0] = corner_x * _INNER_AT
    inner[4::-1, 1] = line - (lift + 0.45 * bend * parted) * _OPEN_SHAPE
    inner[5:, 0] = corner_x * _INNER_AT[1:4]
    inner[5:, 1] = (line + drop * _OPEN_SHAPE)[1:4]
    outer[2:5, 1] = np.minimum(outer[2:5, 1], inner[1:4, 1] - 0.8)
    outer[8:11, 1] = np.maximum(outer[8:11, 1], inner[5:8, 1] + 0.9)
    return np.concatenate([outer, inner])


def _line(at: np.ndarray, corner_y: float, middle_y: float) -> np.ndarray:
    """Return the y coordinates of the line between the lips, which is flat in the middle.

    Args:
        at: positions along the mouth, from -1 at one corner over 0 in the middle to 1 at the
            other corner.
        corner_y: the y coordinate of the corners.
        middle_y: the y coordinate of the middle.
    """
    height: np.ndarray = middle_y + (corner_y - middle_y) * np.abs(at) ** 1.7
    return height


def _lip_line(
    identity: Identity, g: dict[str, float], parted: float, move: float
) -> tuple[float, float, float]:
    """Return the end and the middle of the line between the lips.

    Args:
        identity: the properties of the person.
        g: the strength of each action unit's movement, 0 to 1, by name.
        parted: how far the lips can part, 0 to 1.
        move: the person's mobility, a factor near 1 of all movements.

    Returns:
        The x and the y coordinate of the right corner of the mouth, and the y coordinate of the
        line's middle, in 1/128 of the image side.
    """
    out = 5.6 * g["AU12"] + 5.6 * g["AU20"] + 1.2 * g["AU14"] + 0.8 * g["AU15"]
    out -= 4.2 * g["AU23"] + 0.6 * g["AU24"] + 0.8 * g["AU17"] + 1.6 * parted * g["AU26"]
    down = 5.2 * g["AU15"] - 6.2 * g["AU12"] + 0.9 * g["AU20"] + 1.0 * g["AU17"]
    down += (1.6 * parted + 2.0 * (1 - parted)) * g["AU26"] - 0.6 * g["AU10"] - 0.3 * g["AU09"]
    middle = 1.3 * g["AU12"] - 2.8 * g["AU17"] - 0.4 * g["AU24"] - 0.4 * g["AU15"]
    middle += 2.4 * (1 - parted) * g["AU26"] + 0.4 * parted * g["AU26"]
    return (
        identity.mouth_width + out * move,
        identity.mouth_y - 0.5 + down * move,
        identity.mouth_y + middle * move,
    )


def _thickness(identity: Identity, g: dict[str, float]) -> tuple[float, float]:
    """Return the thickness of the upper and of the lower lip where they are thickest.

    Args:
        identity: the properties of the person.
        g: the strength of each action unit's movement, 0 to 1, by name.

    Returns:
        The two thicknesses in 1/128 of the image side.
    """
    thin = (1 - 0.55 * g["AU23"]) * (1 - 0.20 * g["AU12"]) * (1 - 0.30 * g["AU20"])
    upper = identity.lip_upper * thin * (1 - 0.72 * g["AU24"]) * (1 - 0.15 * g["AU17"])
    lower = identity.lip_lower * thin * (1 - 0.76 * g["AU24"]) * (1 + 0.22 * g["AU17"])
    return upper, lower
