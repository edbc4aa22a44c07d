"""Furrows, bulges, dimples and wrinkles that action units cause in the skin, as shade maps.

A shade map is an image of the neutral face. It holds the relative change of brightness that an
action unit causes at intensity E; the warp of the skin moves the map with the face. The lines
follow the appearance changes in the FACS manual.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fauds.synthetic.geometry import FACE_AUS
from fauds.synthetic.identity import Identity
from fauds.synthetic.relief import HeadGrid
from fauds.synthetic.shading import SOFT, THIN, Skin


def _au01(s: Skin) -> None:
    y = float(s.at("brow1")[1])
    for k, up in enumerate((6.0, 10.5, 15.0)):
        s.line([(0, y - up), (6, y - up - 0.8), (13, y - up + 1.6)], 0.36 - 0.05 * k)
    s.shade(7, y - 3, 5, 2.5, 0.10)


def _au02(s: Skin) -> None:
    x, y = s.at("brow3")
    for k, up in enumerate((5.5, 9.5, 13.5)):
        s.line(
            [(x - 9, y - up + 0.5), (x - 1, y - up - 1.6), (x + 6, y - up + 2.0)], 0.38 - 0.05 * k
        )
    s.shade(x, y + 5.5, 5, 2.5, 0.12)


def _au04(s: Skin) -> None:
    y = float(s.at("brow0")[1])
    s.line([(3.6, y - 6), (2.9, y), (3.8, y + 6)], 0.55)
    s.line([(6.6, y - 6.5), (5.8, y - 3), (6.2, y)], 0.30, THIN)
    s.bulge(0, y - 0.5, 1.8, 4.0, 0.16)
    s.shade(9, y + 5, 5, 2.2, -0.22)


def _au05(s: Skin) -> None:
    x, y = s.at("crease")
    s.line([(x - 7, y + 1.0), (x, y - 1.0), (x + 7, y + 1.4)], 0.28)


def _au06(s: Skin) -> None:
    x, y = s.at("eye_out")
    s.line([(x + 2.2, y - 0.8), (x + 5.5, y - 2.6), (x + 9.0, y - 5.2)], 0.42, THIN)
    s.line([(x + 2.4, y + 0.6), (x + 6.0, y + 0.6), (x + 10, y - 0.4)], 0.46, THIN)
    s.line([(x + 2.0, y + 2.2), (x + 5.5, y + 3.6), (x + 9.0, y + 4.4)], 0.42, THIN)
    x, y = s.at("infra")
    s.line([(x - 7, y - 0.5), (x - 1, y + 2.2), (x + 6, y + 1.8), (x + 10, y - 0.8)], 0.40)
    s.bulge(x + 5, y + 7.5, 6.5, 4.0, 0.20)


def _au07(s: Skin) -> None:
    x, y = s.at("lower_out")
    x0 = float(s.at("lower_in")[0])
    s.bulge((x + x0) / 2, y + 1.7, 6.0, 1.4, 0.20)
    s.line([(x0 - 5, y + 1.8), (x0, y + 4.0), (x, y + 4.2), (x + 5, y + 2.2)], 0.52)


def _au09(s: Skin) -> None:
    y = float(s.at("nose0")[1])
    for k, down in enumerate((-0.5, 3.0, 6.5)):
        s.line([(0, y + down), (2.5, y + down + 0.3), (5, y + down - 1.2)], 0.46 - 0.06 * k, THIN)
    for step in (0.0, 3.6):
        s.line([(3.6, y + 8 + step), (6.2, y + 10 + step), (7.2, y + 13.5 + step)], 0.40, THIN)
    x, y = s.at("ala")
    s.line([(x - 1.5, y - 6), (x + 2.4, y - 3.5), (x + 4.2, y + 1.5)], 0.50)
    s.shade(5.5, float(s.at("nose0")[1]) + 4, 2.5, 4, -0.12)


def _au10(s: Skin) -> None:
    x, y = s.at("ala")
    s.line([(x + 0.8, y - 5.5), (x + 3.8, y - 2.5), (x + 6.5, y + 3.5), (x + 8.0, y + 8.5)], 0.50)
    s.bulge(x + 8.5, y - 2.5, 4.5, 4.0, 0.16)
    s.shade(x - 1, y + 5.5, 3.5, 2.5, 0.08)


def _au12(s: Skin) -> None:
    x, y = s.at("ala")
    cx, cy = s.at("corner")
    s.line([(x + 1.5, y + 0.5), (x + 5, y + 5), (cx + 3.6, cy - 4), (cx + 4.8, cy + 2)], 0.46)
    s.bulge(x + 14, y - 3.5, 6.5, 6.0, 0.20)
    s.line([(cx + 1.6, cy - 2.0), (cx + 2.2, cy), (cx + 1.6, cy + 2.0)], 0.26)


def _au14(s: Skin) -> None:
    x, y = s.at("corner")
    s.line([(x + 1.9, y - 3.8), (x + 3.3, y), (x + 2.1, y + 3.6)], 0.85)
    s.shade(x + 2.4, y, 1.6, 2.2, -0.30)
    s.bulge(x + 7.5, y - 0.5, 3.0, 4.5, 0.17)


def _au15(s: Skin) -> None:
    x, y = s.at("corner")
    s.line([(x + 0.6, y + 1.5), (x + 2.6, y + 5.5), (x + 2.4, y + 11.0)], 0.55)
    s.bulge(x + 5.5, y + 8.0, 3.0, 4.0, 0.14)
    s.shade(x - 3.0, y + 6.0, 3.5, 2.0, -0.12)


def _au17(s: Skin) -> None:
    low = float(s.at("mental")[1])
    s.line([(0, low - 0.8), (5.5, low + 0.2), (10, low + 4.0)], 0.42)
    y = float(s.at("boss")[1])
    rng = np.random.default_rng([s.identity.texture_seed, 17])
    for k in range(12):
        x, up = 1.2 + 2.2 * (k % 4) + rng.uniform(-0.7, 0.7), 3.2 * (k // 4) - 1.5
        up += rng.uniform(-0.8, 0.8)
        s.shade(x, y + up, 0.85, 0.75, -0.34)
        s.shade(x, y + up + 1.6, 0.85, 0.75, 0.16)
    s.bulge(0, y + 1.0, 8.5, 5.0, 0.14)


def _au20(s: Skin) -> None:
    x, y = s.at("corner")
    s.line([(x + 1.5, y - 0.5), (x + 4.5, y + 0.6), (x + 8.0, y + 2.2)], 0.42)
    s.line([(x + 3.5, y - 6), (x + 6.0, y - 1.0), (x + 5.5, y + 6)], 0.30)
    s.line([(3.0, y + 8.5), (9.0, y + 9.2), (14.0, y + 8.0)], 0.26)


def _au23(s: Skin) -> None:
    y = s.identity.mouth_y
    for x in (1.6, 4.6, 7.6):
        top = y - s.identity.lip_upper - 0.2
        s.line([(x, top + 0.8), (x * 1.12, top - 4.4)], 0.56, THIN)
        low = y + s.identity.lip_lower + 0.2
        s.line([(x, low - 0.8), (x * 1.12, low + 4.0)], 0.54, THIN)
    x = float(s.at("corner")[0])
    s.shade(x - 1.5, y, 2.5, 2.5, -0.10)


def _au24(s: Skin) -> None:
    y = s.identity.mouth_y
    s.bulge(0, y - s.identity.lip_upper - 1.6, 9.0, 1.9, 0.30)
    s.bulge(0, y + s.identity.lip_lower + 0.8, 9.0, 1.9, 0.30)
    s.line(
        [(0, y + s.identity.lip_lower + 4.0), (6, y + s.identity.lip_lower + 3.6), (11, y + 5)],
        0.34,
    )
    x = float(s.at("corner")[0])
    s.line([(x + 1.2, y - 2.4), (x + 2.0, y), (x + 1.2, y + 2.4)], 0.26, THIN)


def _au25(s: Skin) -> None:
    s.shade(0, float(s.at("mental")[1]), 8, 1.8, -0.12)


def _au26(s: Skin) -> None:
    x, y = s.at("fold3")
    s.shade(x + 6.5, y - 5, 5.0, 9, -0.17)
    s.line([(x + 0.5, y - 7), (x + 1.5, y + 1), (x - 0.5, y + 9)], 0.24, SOFT)


_FURROWS: dict[str, Callable[[Skin], None]] = {
    "AU01": _au01,
    "AU02": _au02,
    "AU04": _au04,
    "AU05": _au05,
    "AU06": _au06,
    "AU07": _au07,
    "AU09": _au09,
    "AU10": _au10,
    "AU12": _au12,
    "AU14": _au14,
    "AU15": _au15,
    "AU17": _au17,
    "AU20": _au20,
    "AU23": _au23,
    "AU24": _au24,
    "AU25": _au25,
    "AU26": _au26,
}


def furrow_maps(identity: Identity, points: np.ndarray, grid: HeadGrid) -> np.ndarray:
    """Return how each action unit's furrows and bulges change the brightness of the skin.

    Args:
        identity: the properties of the person.
        points: the points of the neutral face, including the lips, [N, 2], in 1/128 of the image
            side.
        grid: the pixel grid of the maps.

    Returns:
        For each action unit in `FACE_AUS`, the relative change of brightness of each pixel at
        intensity E, float32 [17, side, side].
    """
    maps = np.empty((len(FACE_AUS), grid.side, grid.side), np.float32)
    for row, au in enumerate(FACE_AUS):
        skin = Skin(identity, points, grid)
        _FURROWS[au](skin)
        maps[row] = skin.finish()
    return maps


def age_map(maps: np.ndarray, identity: Identity) -> np.ndarray:
    """Return the wrinkles of age as relative changes of brightness, float32 [side, side].

    The wrinkles are faint traces of the furrows that six frequent action units cause.

    Args:
        maps: the furrows of each action unit, from `furrow_maps`.
        identity: the properties of the person; the wrinkles are in proportion to the age.
    """
    lines = {"AU01": 0.20, "AU02": 0.20, "AU04": 0.14, "AU06": 0.14, "AU12": 0.22, "AU15": 0.14}
    weights = np.zeros(len(FACE_AUS), np.float32)
    for au, weight in lines.items():
        weights[FACE_AUS.index(au)] = weight * identity.age
    return np.tensordot(weights, maps, 1)
