"""How far each action unit moves each point of a synthetic face.

Which points an action unit moves, and in which direction, follows the appearance changes in the
FACS manual (Ekman, Friesen and Hager, 2002). The distances are chosen so that intensity B is
visible in an image of 128 pixels. The points of the lips are not included, because the movements
that several action units cause in the lips do not add up; `mouth.py` computes these points.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from fauds.synthetic.geometry import CENTRES, FACE_AUS, N_POINTS, PAIRS

# Displacements at intensity E in face units: (outward, down) for pairs of points, (0, down) for
# points on the midline.
MOVES: dict[str, dict[str, tuple[float, float]]] = {
    "AU01": {
        "brow0": (-0.4, -7.0),
        "brow1": (-0.3, -5.2),
        "brow2": (0.0, -2.2),
        "brow3": (0.0, -0.4),
        "forehead0": (0, -2.8),
        "forehead1": (0, -0.7),
        "nose0": (0, -1.2),
        "crease_in": (0, -1.6),
        "crease": (0, -0.6),
        "upper_in": (0, -0.5),
    },
    "AU02": {
        "brow0": (0.0, -0.3),
        "brow1": (0.0, -1.4),
        "brow2": (0.2, -4.0),
        "brow3": (0.3, -6.4),
        "brow4": (0.3, -5.6),
        "forehead1": (0, -3.0),
        "forehead0": (0, -0.3),
        "temple": (0, -1.8),
        "crease_out": (0, -2.0),
        "crease": (0, -1.0),
        "upper_out": (0, -0.4),
    },
    "AU04": {
        "brow0": (-3.0, 4.2),
        "brow1": (-2.6, 3.9),
        "brow2": (-1.9, 3.0),
        "brow3": (-1.1, 1.9),
        "brow4": (-0.4, 0.7),
        "nose0": (0, 1.2),
        "forehead0": (0, 1.8),
        "forehead1": (-0.6, 0.8),
        "crease_in": (-0.4, 1.3),
        "crease": (0, 1.0),
        "crease_out": (0, 0.6),
        "upper_in": (0, 0.7),
        "upper_out": (0, 0.5),
    },
    "AU05": {
        "upper_in": (0, -3.2),
        "upper_out": (0.1, -3.4),
        "crease_in": (0, -0.9),
        "crease": (0, -1.0),
        "crease_out": (0, -0.9),
    },
    "AU06": {
        "cheek": (0.3, -4.2),
        "infra": (0, -2.6),
        "lower_in": (0, -0.7),
        "lower_out": (0, -1.4),
        "canthus": (-0.8, -0.5),
        "eye_out": (-0.5, 0.2),
        "upper_out": (0, 0.5),
        "brow4": (-0.3, 1.2),
        "brow3": (0, 0.6),
        "fold2": (0.6, -1.2),
    },
    "AU07": {
        "upper_in": (0, 1.4),
        "upper_out": (0, 1.5),
        "lower_in": (0, -2.4),
        "lower_out": (0, -2.3),
        "infra": (0, -1.0),
        "crease": (0, 0.4),
    },
    "AU09": {
        "ala": (1.0, -2.9),
        "ala_in": (0.4, -2.1),
        "nose_base": (0, -1.5),
        "nose3": (0, -1.8),
        "nose2": (0, -1.6),
        "nose1": (0, -0.8),
        "nose0": (0, 0.5),
        "brow0": (-1.3, 2.6),
        "brow1": (-0.9, 2.1),
        "brow2": (-0.4, 1.2),
        "infra": (-0.4, -1.6),
        "cheek": (-0.4, -1.6),
        "fold1": (0.6, -2.8),
        "lower_in": (0, -0.9),
        "lower_out": (0, -0.5),
        "upper_lip": (0, -1.8),
    },
    "AU10": {
        "ala": (1.3, -1.0),
        "ala_in": (0.3, -0.5),
        "fold1": (1.0, -2.2),
        "fold2": (0.8, -2.0),
        "upper_lip": (0, -2.0),
        "infra": (0, -0.6),
        "cheek": (0, -1.3),
    },
    "AU12": {
        "cheek": (0.8, -3.0),
        "fold3": (3.6, -3.6),
        "fold2": (2.0, -2.0),
        "infra": (0, -1.0),
        "lower_in": (0, -0.2),
        "lower_out": (0, -0.4),
        "ala": (0.8, 0.0),
        "jaw4": (0.7, -0.4),
        "jaw5": (0.7, -0.4),
        "below_corner": (2.0, -2.0),
        "boss": (0, 0.4),
    },
    "AU14": {"fold3": (-1.5, 0.0), "below_corner": (-0.6, 0.0), "jaw5": (-0.4, 0.0)},
    "AU15": {"fold3": (0.4, 2.6), "below_corner": (0.6, 1.8), "boss": (0, -0.4)},
    "AU17": {
        "boss": (0, -3.4),
        "mental": (0, -2.8),
        "chin": (0, -1.3),
        "jaw7": (0, -0.9),
    },
    "AU20": {
        "fold3": (4.2, 0.6),
        "cheek": (0.8, 0.3),
        "jaw5": (1.4, 0.0),
        "jaw4": (0.8, 0.0),
        "below_corner": (3.4, 0.4),
        "ala": (0.5, 0.0),
    },
    "AU23": {"fold3": (-1.4, 0.0), "below_corner": (-0.8, 0.0)},
    "AU24": {"upper_lip": (0, 0.6), "mental": (0, -0.9), "boss": (0, -0.5)},
    "AU25": {"upper_lip": (0, -0.5)},
    "AU26": {
        "chin": (0, 8.5),
        "jaw7": (0, 8.0),
        "jaw6": (0, 6.8),
        "jaw5": (-0.4, 4.8),
        "jaw4": (-0.5, 2.8),
        "jaw3": (-0.3, 1.2),
        "boss": (0, 8.2),
        "mental": (0, 6.5),
        "below_corner": (-0.6, 4.6),
        "fold3": (-0.6, 1.8),
        "cheek": (-0.9, 1.0),
    },
}


def movement_fraction(intensities: np.ndarray) -> np.ndarray:
    """Return how strongly action units move the face, from 0 to 1 (the movement at intensity E).

    The result has the shape of `intensities`. At low intensities, the movement rises more steeply
    than in proportion to the intensity, so that a trace (intensity A) is visible.

    Args:
        intensities: the intensities, 0 to 5, an array of any shape.
    """
    share: np.ndarray = (np.clip(intensities, 0, 5) / 5) ** 0.8
    return share


@lru_cache(maxsize=1)
def move_table() -> np.ndarray:
    """Return the displacement of every point of the face by every action unit at intensity E.

    The displacements (x, y) are those in `MOVES`, in 1/128 of the image side, as a read-only
    array, float32 [17, N_POINTS, 2].
    """
    table = np.zeros((len(FACE_AUS), N_POINTS, 2), np.float32)
    for row, au in enumerate(FACE_AUS):
        for name, (out, down) in MOVES[au].items():
            if name in CENTRES:
                table[row, CENTRES[name]] = (0, down)
            else:
                right, left = PAIRS[name]
                table[row, right] = (out, down)
                table[row, left] = (-out, down)
    table.flags.writeable = False
    return table
