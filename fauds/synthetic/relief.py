"""The shape of a neutral face as a height map, and how light makes it brighter or darker."""

from __future__ import annotations

import numpy as np

from fauds.synthetic.geometry import CENTRES, PAIRS
from fauds.synthetic.identity import Identity
from fauds.synthetic.warp import REACH


class HeadGrid:
    """The pixel grid on which the frontal neutral head is drawn.

    A face unit is 1/128 of the side of the final image. The grid extends from -REACH to REACH
    face units in x and y.

    Args:
        size: the side of the final image in pixels; the grid has the same resolution.

    Attributes:
        unit: the number of pixels in a face unit.
        side: the side of the grid in pixels.
        line: the coordinates of the pixels along a side, in face units, float32 [side].
    """

    def __init__(self, size: int) -> None:
        self.unit = size / 128.0
        self.side = round(2 * REACH * self.unit)
        self.line = ((np.arange(self.side) + 0.5) / self.unit - REACH).astype(np.float32)

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """Convert points, [..., 2], from face units to pixels of this grid."""
        return (np.asarray(points, np.float32) + REACH) * self.unit - 0.5

    def hill(self, x: float, y: float, wide: float, high: float) -> np.ndarray:
        """Return an image of a Gaussian bump of height 1, float32 [side, side].

        Args:
            x: the horizontal position of the centre, in face units (1/128 of the image side).
            y: the vertical position of the centre, in face units.
            wide: the horizontal standard deviation, in face units.
            high: the vertical standard deviation, in face units.
        """
        across = np.exp(-0.5 * ((self.line - x) / wide) ** 2)
        bump: np.ndarray = np.exp(-0.5 * ((self.line - y) / high) ** 2)[:, None] * across
        return bump

    def pair(self, x: float, y: float, wide: float, high: float) -> np.ndarray:
        """Return an image of a Gaussian bump and its mirror image on the other side of the face.

        The arguments, and the shape of the image, are those of `hill`.
        """
        across = np.exp(-0.5 * ((self.line - x) / wide) ** 2)
        across += np.exp(-0.5 * ((self.line + x) / wide) ** 2)
        bumps: np.ndarray = np.exp(-0.5 * ((self.line - y) / high) ** 2)[:, None] * across
        return bumps


def height_map(identity: Identity, points: np.ndarray, grid: HeadGrid) -> np.ndarray:
    """Return the depth of each pixel of the neutral face, float32 [side, side].

    Depths are in face units, 1/128 of the image side; larger values are nearer to the viewer.

    Args:
        identity: the properties of the person.
        points: the points of the neutral face, including the lips, [N, 2], in face units.
        grid: the pixel grid of the map.
    """
    x, y = grid.line[None], grid.line[:, None]
    inside = 1.18 - (x / (identity.face_width + 4)) ** 2 - ((y + 6) / 58) ** 2
    depth = 30 * np.sqrt(np.maximum(inside, 0.02)) - 26
    base = float(points[CENTRES["nose_base"], 1])
    brow = float(points[PAIRS["brow2"][0], 1])
    mouth = identity.mouth_y
    depth += 5.0 * grid.hill(0, (base - 8) / 2, 3.0, (base + 8) / 2.4)
    depth += 5.2 * grid.hill(0, base - 4, 4.0, 4.0)
    depth += 2.2 * grid.pair(identity.nose_width * 0.78, base - 2.2, 2.2, 2.4)
    depth += 1.6 * grid.pair(15, brow + 2, 9, 3.5)
    depth -= 3.2 * grid.pair(identity.eye_spacing - 2, -14, 8, 5.5)
    depth += 2.6 * grid.pair(22, 1, 8, 7)
    depth += 1.8 * grid.hill(0, mouth - 2.5, 10, 4.5)
    depth -= 1.6 * grid.hill(0, mouth + identity.lip_lower + 3, 8, 2.2)
    depth += 3.2 * grid.hill(0, identity.chin_y - 6, 7, 5)
    depth -= 0.5 * grid.hill(0, (base + mouth - identity.lip_upper) / 2, 1.5, 2.5)
    return depth.astype(np.float32)


def light_maps(depth: np.ndarray, grid: HeadGrid) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return how bright each pixel of a face is under light from three directions.

    Args:
        depth: the depth of each pixel of the face, [side, side], in 1/128 of the image side.
        grid: the pixel grid of `depth`.

    Returns:
        Three images, float32 [side, side]: the brightness factor under light from the front and
        above, near 1, and the amounts that light from the right and light from below add to it.
    """
    down, right = np.gradient(depth, 1 / grid.unit)
    length = np.sqrt(1 + (0.8 * right) ** 2 + (0.8 * down) ** 2)
    nx, ny, nz = -0.8 * right / length, -0.8 * down / length, 1 / length
    shade = 0.36 + 0.68 * nz - 0.26 * ny
    return (
        shade.astype(np.float32),
        (0.30 * nx).astype(np.float32),
        (0.30 * ny).astype(np.float32),
    )
