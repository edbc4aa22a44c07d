"""Lines and bulges of the skin, collected in a map of the relative changes of brightness."""

from __future__ import annotations

import cv2
import numpy as np

from fauds.synthetic.curves import curve
from fauds.synthetic.geometry import CENTRES, PAIRS
from fauds.synthetic.identity import Identity
from fauds.synthetic.relief import HeadGrid

_WIDTHS = (0.75, 1.1, 2.2)
THIN, LINE, SOFT = range(3)


class Skin:
    """A map of relative changes of the skin's brightness, to which lines and bulges are added.

    Lines taper towards their ends and have one of three widths. All lengths are in face units,
    1/128 of the image side.

    Args:
        identity: the properties of the person.
        points: the points of the neutral face, [N, 2], in face units.
        grid: the pixel grid of the map.
    """

    def __init__(self, identity: Identity, points: np.ndarray, grid: HeadGrid) -> None:
        self.identity, self.points, self.grid = identity, points, grid
        self.strokes: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in _WIDTHS]
        self.patches = np.zeros((grid.side, grid.side), np.float32)

    def at(self, name: str) -> np.ndarray:
        """Return a point of the neutral face, (x, y), by its name, such as "corner".

        If there is a point of this name on each side of the face, the point on the right side of
        the image is returned.
        """
        index = CENTRES[name] if name in CENTRES else PAIRS[name][0]
        point: np.ndarray = self.points[index]
        return point

    def line(self, knots: list[tuple[float, float]], depth: float, width: int = LINE) -> None:
        """Add a furrow on the right side of the image, and its mirror image on the left side.

        The furrow is dark, with a lighter edge on its outer or lower side.

        Args:
            knots: points that the furrow passes through, in face units.
            depth: the fraction of the light, 0 to 1, that is lost in the middle of the furrow.
            width: the width of the furrow: THIN, LINE or SOFT.
        """
        path, taper = _tapered(np.array(knots, np.float32))
        normal = np.gradient(path, axis=0)[:, ::-1] * (-1, 1)
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-6)
        normal *= np.where(normal[:, :1] + 2 * normal[:, 1:] < 0, -1, 1)
        edge = path + normal * 2.2 * _WIDTHS[width]
        for mirror, skew in ((1, 1 + self.identity.asymmetry), (-1, 1 - self.identity.asymmetry)):
            self.strokes[width].append((path * (mirror, 1), -depth * taper * skew))
            self.strokes[width].append((edge * (mirror, 1), 0.38 * depth * taper * skew))

    def bulge(self, x: float, y: float, wide: float, high: float, amount: float) -> None:
        """Add a bulge, which is bright above and dark below, and its mirror image.

        Args:
            x: the horizontal position of the centre; 0 for a single bulge in the middle of the
                face, which has no mirror image.
            y: the vertical position of the centre.
            wide: the horizontal standard deviation.
            high: the vertical standard deviation.
            amount: the strength, as a relative change of brightness.
        """
        grid = self.grid
        hill = grid.pair(x, y, wide, high) if x else grid.hill(0, y, wide, high)
        tilt = -(grid.line[:, None] - y) / high
        self.patches += amount * hill * (0.45 + 0.9 * tilt)

    def shade(self, x: float, y: float, wide: float, high: float, amount: float) -> None:
        """Add a soft bright or dark patch and its mirror image.

        Args:
            x: the horizontal position of the centre; 0 for a single patch in the middle of the
                face, which has no mirror image.
            y: the vertical position of the centre.
            wide: the horizontal standard deviation.
            high: the vertical standard deviation.
            amount: the relative change of brightness in the centre; negative values darken.
        """
        grid = self.grid
        hill = grid.pair(x, y, wide, high) if x else grid.hill(0, y, wide, high)
        self.patches += amount * hill

    def finish(self) -> np.ndarray:
        """Return the map of relative changes of brightness, float32 [side, side]."""
        total = self.patches
        for strokes, width in zip(self.strokes, _WIDTHS, strict=True):
            if strokes:
                sigma = width * self.grid.unit
                total += cv2.GaussianBlur(self._splat(strokes, sigma), (0, 0), sigma)
        return total

    def _splat(self, strokes: list[tuple[np.ndarray, np.ndarray]], sigma: float) -> np.ndarray:
        """Return an image, float32 [side, side], of lines before they are blurred.

        Every point of a line adds its brightness to the four pixels around it.

        Args:
            strokes: for each line, its points, [N, 2], in face units, and their changes of
                brightness, [N].
            sigma: the standard deviation, in pixels, of the blur that will follow.
        """
        side = self.grid.side
        at = self.grid.pixels(np.concatenate([path for path, _ in strokes]))
        # After blurring, the middle of a line has 1 / (sqrt(2 pi) sigma) of the sum of its points.
        amount = np.concatenate([a for _, a in strokes]) * 0.5 * self.grid.unit * 2.507 * sigma
        low = np.floor(at).astype(int)
        part = at - low
        inside = ((low >= 0) & (low < side - 1)).all(1)
        low, part, amount = low[inside], part[inside], amount[inside]
        total = np.zeros(side * side)
        for dx in (0, 1):
            for dy in (0, 1):
                weight = np.abs(1 - dx - part[:, 0]) * np.abs(1 - dy - part[:, 1])
                where = (low[:, 1] + dy) * side + low[:, 0] + dx
                total += np.bincount(where, amount * weight, side * side)
        return total.reshape(side, side).astype(np.float32)


def _tapered(knots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a smooth path through points, and a strength that fades towards its ends.

    Args:
        knots: the points, [K, 2], in 1/128 of the image side.

    Returns:
        Points in steps of about half a unit, [N, 2], and the strength at each of them, [N], 0 to 1.
    """
    if len(knots) > 2:
        knots = curve(knots, 8)
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(knots, axis=0), axis=1))])
    steps = np.linspace(0, along[-1], max(3, int(along[-1] * 2) + 1))
    path = np.stack([np.interp(steps, along, knots[:, k]) for k in (0, 1)], 1)
    # A line that starts on the midline continues in its mirror image, so it tapers at one end only.
    start = 0.5 if knots[0, 0] == 0 else 0.06
    taper = np.sin(np.pi * np.linspace(start, 0.94, len(steps))) ** 0.7
    return path, taper
