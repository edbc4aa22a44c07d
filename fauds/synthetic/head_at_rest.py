"""Drawing of the frontal head without expression: skin, nose, ears, neck, hair and beard."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from fauds.synthetic.curves import curve
from fauds.synthetic.geometry import CENTRES, PAIRS
from fauds.synthetic.identity import Identity
from fauds.synthetic.relief import HeadGrid
from fauds.synthetic.shading import Skin

_SHIFT = 4


class Canvas:
    """An RGB image that is painted in layers, and is transparent where nothing is painted.

    Attributes:
        grid: the pixel grid of the image.
        rgb: the colours, multiplied by `cover`, float32 [side, side, 3].
        cover: the opacity of the pixels, 0 to 1, float32 [side, side].
    """

    def __init__(self, grid: HeadGrid) -> None:
        self.grid = grid
        self.rgb = np.zeros((grid.side, grid.side, 3), np.float32)
        self.cover = np.zeros((grid.side, grid.side), np.float32)

    def mask(self, outline: np.ndarray, soft: float = 0.5) -> np.ndarray:
        """Return the share of each pixel that a polygon covers, 0 to 1, float32 [side, side].

        Args:
            outline: the corners of the polygon, [N, 2], in face units (1/128 of the image side).
            soft: the standard deviation, in face units, of the blur of its edges.
        """
        side, zoom = self.grid.side, 3
        filled = np.zeros((side * zoom, side * zoom), np.uint8)
        at = ((self.grid.pixels(outline) + 0.5) * zoom - 0.5) * (1 << _SHIFT)
        cv2.fillPoly(filled, [np.rint(at).astype(np.int32)], 255, cv2.LINE_8, _SHIFT)
        mask = cv2.resize(filled, (side, side), interpolation=cv2.INTER_AREA)
        mask = cv2.GaussianBlur(mask, (0, 0), max(soft * self.grid.unit, 0.3))
        return mask.astype(np.float32) / 255

    def lay(self, colour: np.ndarray, mask: np.ndarray) -> None:
        """Paint a colour over the canvas.

        Args:
            colour: one RGB colour, [3], or a colour for each pixel, [side, side, 3].
            mask: the opacity of each pixel, 0 to 1, [side, side].
        """
        self.rgb += (np.asarray(colour, np.float32) - self.rgb) * mask[..., None]
        self.cover += (1 - self.cover) * mask


def mirrored(half: Sequence[tuple[float, float]]) -> np.ndarray:
    """Return an outline that is symmetric about x = 0, float32 [N, 2].

    Args:
        half: the points (x, y) of the right half, from top to bottom.
    """
    right = np.array(half, np.float32)
    left = right[::-1] * (-1, 1)
    if right[-1, 0] == 0:
        left = left[1:]
    return np.concatenate([right, left])


def draw_head(
    identity: Identity, points: np.ndarray, shade: np.ndarray, grid: HeadGrid
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the frontal head without expression, and without brows, eyes and lips.

    Args:
        identity: the properties of the person.
        points: the points of the neutral face, including the lips, [N, 2], in 1/128 of the image
            side.
        shade: the brightness factor of each pixel of the skin, [side, side].
        grid: the pixel grid of the image.

    Returns:
        The image, uint8 [side, side, 4] (RGB times opacity, and opacity), and how visible creases
        of the skin are in each pixel, float32 [side, side], from 0 (hidden by hair) to 1.
    """
    rng = np.random.default_rng([identity.texture_seed, 1])
    canvas = Canvas(grid)
    strands = _strands(rng, grid)
    hair = np.array(identity.hair_colour, np.float32) * (1 + 0.55 * strands[..., None])
    _behind(canvas, identity, hair)
    face = canvas.mask(curve(_face_outline(identity, points), closed=True), 0.6)
    skin = _skin(rng, identity, points, grid)
    lit = skin * (shade * _features(identity, points, grid))[..., None]
    canvas.lay(lit, face)
    creases = face.copy()
    creases *= 1 - 0.5 * _whiskers(canvas, identity, points, hair)
    creases *= 1 - _front_hair(canvas, identity, hair)
    image = np.dstack([canvas.rgb, canvas.cover * 255])
    return np.clip(image + 0.5, 0, 255).astype(np.uint8), creases


def _noise(rng: np.random.Generator, grid: HeadGrid, wide: float, high: float) -> np.ndarray:
    """Return smooth noise of standard deviation 1, float32 [side, side].

    Args:
        rng: the random generator.
        grid: the pixel grid.
        wide: the standard deviation of the horizontal smoothing, in 1/128 of the image side.
        high: the standard deviation of the vertical smoothing, in the same unit.
    """
    rough = rng.standard_normal((grid.side, grid.side), dtype=np.float32)
    soft = cv2.GaussianBlur(rough, (0, 0), sigmaX=wide * grid.unit, sigmaY=high * grid.unit)
    noise: np.ndarray = soft / (soft.std() + 1e-6)
    return noise


def _strands(rng: np.random.Generator, grid: HeadGrid) -> np.ndarray:
    """Return the relative change of the hair's brightness, float32 [side, side].

    The change consists of random strands and of shine at the top of the head.
    """
    shine = np.exp(-0.5 * ((grid.line[:, None] + 50) / 8) ** 2) * 0.45
    return 0.22 * _noise(rng, grid, 0.6, 5.0) + shine - 0.1


def _skin(
    rng: np.random.Generator, identity: Identity, points: np.ndarray, grid: HeadGrid
) -> np.ndarray:
    """Return the RGB colour of the skin in each pixel before light, float32 [side, side, 3].

    The colour includes blush, mottling, pores and darker eye sockets.
    """
    mottle = 0.022 * _noise(rng, grid, 3, 3) + 0.016 * _noise(rng, grid, 0.5, 0.5)
    colour = identity.skin_colour * (1 + mottle[..., None])
    base = float(points[CENTRES["nose_base"], 1])
    blush = 0.5 * grid.pair(22, 6, 8, 6) + 0.5 * grid.hill(0, base - 3, 5, 4)
    colour *= 1 + blush[..., None] * np.array([0.02, -0.07, -0.07], np.float32)
    socket = grid.pair(identity.eye_spacing, -13, 9, 6) * 0.12
    colour *= 1 - socket[..., None] * np.array([0.8, 1.0, 0.9], np.float32)
    return colour


def _features(identity: Identity, points: np.ndarray, grid: HeadGrid) -> np.ndarray:
    """Return the brightness factors that shape nose, nostrils, philtrum, cheeks and chin.

    The factors, float32 [side, side], do not depend on action units.
    """
    s = Skin(identity, points, grid)
    x, y = s.at("ala")
    base = float(s.at("nose_base")[1])
    s.line([(x - 1.4, y - 4.0), (x + 0.5, y - 1.6), (x, y + 1.2), (x - 1.8, y + 1.8)], 0.34)
    s.line([(x * 0.33, base + 0.2), (x * 0.55, base - 0.9), (x * 0.8, base + 0.3)], 0.62)
    s.line([(0, base + 0.9), (x * 0.4, base + 0.9), (x * 0.8, base + 1.2)], 0.22)
    s.shade(4.2, (base - 14) / 2, 1.6, (base + 9) / 2.6, -0.09)
    s.line([(1.6, base + 2.2), (2.0, identity.mouth_y - identity.lip_upper - 0.4)], 0.12)
    s.shade(0, identity.mouth_y + identity.lip_lower + 1.6, 6.5, 1.4, -0.20)
    s.shade(0, base - 4.5, 2.0, 2.0, 0.10)
    x, y = s.at("ala")
    s.line(
        [(x + 1.4, y - 1), (x + 5, y + 5), (identity.mouth_width + 2.6, identity.mouth_y - 2)],
        0.11,
        2,
    )
    s.line(
        [(0, identity.chin_y - 1), (12, identity.chin_y - 3), (24, identity.chin_y - 10)], 0.10, 2
    )
    return 1 + s.finish()


def _face_outline(identity: Identity, points: np.ndarray) -> np.ndarray:
    width = identity.face_width
    jaw = [tuple(points[PAIRS[f"jaw{k}"][0]]) for k in range(8)]
    top = [(0, -57), (width * 0.5, -54.5), (width * 0.84, -44), (width * 0.98, -29)]
    return mirrored([*top, *jaw, (0.0, identity.chin_y)])[:-1]


def _behind(canvas: Canvas, identity: Identity, hair: np.ndarray) -> None:
    """Paint what lies behind the face: hair, neck, clothes and ears.

    Args:
        canvas: the canvas to paint on.
        identity: the properties of the person.
        hair: the RGB colour of the hair in each pixel, [side, side, 3].
    """
    width, vol = identity.face_width, identity.hair_volume
    if identity.hair_style in ("bob", "long"):
        end = 36.0 if identity.hair_style == "bob" else 74.0
        out = width + 5 + 4 * vol
        half = [(0, -62), (out * 0.72, -54), (out, -24), (out + 2, 10), (out + 1, end)]
        half.append((width * 0.45, end + 2))
        canvas.lay(hair * 0.62, canvas.mask(curve(mirrored(half), closed=True), 1.0))
    if identity.hair_style == "tied":
        knot = [(0, -63), (9, -61), (11, -54), (0, -50)]
        canvas.lay(hair * 0.8, canvas.mask(curve(mirrored(knot), closed=True), 0.8))
    neck_width = width * (0.66 if identity.sex == "M" else 0.55)
    skin = identity.skin_colour
    neck = [(neck_width, 18), (neck_width, 50), (neck_width + 4, 80)]
    fade = 0.62 + 0.16 * np.clip((canvas.grid.line - 48) / 16, 0, 1)
    neck_skin = skin * fade[:, None, None] * np.ones((1, canvas.grid.side, 1), np.float32)
    canvas.lay(neck_skin, canvas.mask(mirrored(neck), 0.8))
    cloth = [(neck_width + 1, 54), (neck_width + 16, 60), (80, 70), (80, 90), (0, 90)]
    outline = mirrored(cloth)
    canvas.lay(np.array(identity.cloth_colour) * 0.9, canvas.mask(outline, 0.6))
    if identity.hair_style != "bob":
        for side in (1, -1):
            ear = [(width - 3, -17), (width + 3.6, -18), (width + 4.6, -10), (width + 2.2, 1)]
            ear.append((width - 3, 3))
            outline = curve(np.array(ear, np.float32) * (side, 1), closed=True)
            canvas.lay(skin * (0.92, 0.84, 0.82) * 0.86, canvas.mask(outline, 0.5))


def _front_hair(canvas: Canvas, identity: Identity, hair: np.ndarray) -> np.ndarray:
    """Paint the hair in front of the face.

    Args:
        canvas: the canvas to paint on.
        identity: the properties of the person.
        hair: the RGB colour of the hair in each pixel, [side, side, 3].

    Returns:
        The opacity of this hair in each pixel, 0 to 1, float32 [side, side].
    """
    width, line, vol = identity.face_width, identity.hairline, identity.hair_volume
    style = identity.hair_style
    if style == "bald":
        side = [(width * 0.93, -36), (width + 1.5, -30), (width + 1.5, -12), (width - 1.5, -12)]
        side.append((width - 3.0, -26))
        outline = np.array(side, np.float32)
        mask: np.ndarray = (canvas.mask(outline, 1.0) + canvas.mask(outline * (-1, 1), 1.0)) * 0.8
        canvas.lay(hair, mask)
        return mask
    top = -60.5 - 1.5 * vol
    out = width + 2.0 + 2.0 * vol
    crown = [(0, top), (out * 0.5, top + 2.5), (out * 0.86, -47), (out, -30)]
    if style in ("bob", "long"):
        fall = 30.0 if style == "bob" else 60.0
        edge = [(out + 2, 0), (out + 2, fall), (width + 0.5, fall), (width - 0.5, 2)]
        edge += [(width - 3.5, -22), (width * 0.62, line + 3), (0, line - 5)]
    else:
        edge = [(out - 0.5, -14), (width - 1.5, -12), (width - 3.5, -26)]
        edge += [(width * 0.74, line + 3.0), (width * 0.42, line - 1), (0, line - 0.5)]
    half = np.array([*crown, *edge], np.float32)
    other = half * (-1, 1)
    if style == "side":
        part = np.exp(-0.5 * ((half[:, 0] - width * 0.3) / 12) ** 2) * (half[:, 1] > top + 6)
        half[:, 1] += 3.0 * part
        other[:, 1] -= 2.0 * (np.abs(half[:, 1] - line) < 4)
    ring = np.concatenate([curve(half, 4), curve(other, 4)[::-1]])
    mask = canvas.mask(ring, 0.7)
    shadow = np.roll(mask, int(2 * canvas.grid.unit), 0) * (1 - mask)
    canvas.rgb *= 1 - 0.22 * shadow[..., None]
    canvas.lay(hair, mask)
    return mask


def _whiskers(
    canvas: Canvas, identity: Identity, points: np.ndarray, hair: np.ndarray
) -> np.ndarray:
    """Paint the moustache and the beard.

    Args:
        canvas: the canvas to paint on.
        identity: the properties of the person.
        points: the points of the neutral face, [N, 2], in 1/128 of the image side.
        hair: the RGB colour of the hair in each pixel, [side, side, 3].

    Returns:
        The opacity of moustache and beard in each pixel, 0 to 1, float32 [side, side].
    """
    grid = canvas.grid
    total: np.ndarray = np.zeros((grid.side, grid.side), np.float32)
    if identity.sex == "F":
        return total
    rng = np.random.default_rng([identity.texture_seed, 2])
    speckle = np.clip(0.8 + 0.35 * _noise(rng, grid, 0.5, 0.8), 0, 1)
    base = float(points[CENTRES["nose_base"], 1])
    corner = identity.mouth_width + 1.5
    lip = [(0, base + 2.0), (7, base + 2.2), (corner, identity.mouth_y - 1.5)]
    lip += [(corner + 1, identity.mouth_y + 2), (0, identity.mouth_y)]
    jaw = [tuple(points[PAIRS[f"jaw{k}"][0]]) for k in range(1, 8)]
    chin = [
        (identity.face_width - 6, -2),
        (corner + 6, identity.mouth_y - 8),
        (corner + 3, identity.mouth_y),
    ]
    chin += [
        (9, identity.mouth_y + identity.lip_lower + 4),
        (0, identity.mouth_y + identity.lip_lower + 5),
    ]
    beard = np.array([*jaw, (0, identity.chin_y), *chin[::-1]], np.float32)
    shadow = canvas.mask(np.concatenate([beard, beard[::-1] * (-1, 1)]), 2.0)
    upper = canvas.mask(curve(mirrored(lip), closed=True), 1.2)
    total = (
        np.maximum(upper * max(identity.moustache, 0.08), shadow * max(identity.beard, 0.08))
        * speckle
    )
    canvas.lay(np.minimum(hair * 0.8, identity.skin_colour * 0.6), total)
    return total
