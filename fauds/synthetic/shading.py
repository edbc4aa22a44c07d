"""Lines and bulges on skin, gathered into a map of light and shade."""

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
    """One shade map in the making: tapered lines of three widths, and bulges."""

    def __init__(self, who: Identity, points: np.ndarray, frame: HeadGrid) -> None:
        self.who, self.points, self.frame = who, points, frame
        self.drops: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in _WIDTHS]
        self.rest = np.zeros((frame.side, frame.side), np.float32)

    def at(self, name: str) -> np.ndarray:
        """A named point, (x, y); the one on the right of the image for pairs."""
        index = CENTRES[name] if name in CENTRES else PAIRS[name][0]
        point: np.ndarray = self.points[index]
        return point

    def line(self, knots: list[tuple[float, float]], depth: float, width: int = LINE) -> None:
        """A furrow through knots on the right of the image, and its mirror image on the left.

        Dark, with a lighter edge on its outer or lower side; depth is the fraction of light
        lost in the middle of it.
        """
        path, taper = _tapered(np.array(knots, np.float32))
        normal = np.gradient(path, axis=0)[:, ::-1] * (-1, 1)
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-6)
        normal *= np.where(normal[:, :1] + 2 * normal[:, 1:] < 0, -1, 1)
        edge = path + normal * 2.2 * _WIDTHS[width]
        for mirror, skew in ((1, 1 + self.who.asymmetry), (-1, 1 - self.who.asymmetry)):
            self.drops[width].append((path * (mirror, 1), -depth * taper * skew))
            self.drops[width].append((edge * (mirror, 1), 0.38 * depth * taper * skew))

    def bulge(self, x: float, y: float, wide: float, high: float, amount: float) -> None:
        """A bulge on both sides (one, where x is 0): lit above, shaded below."""
        frame = self.frame
        hill = frame.pair(x, y, wide, high) if x else frame.hill(0, y, wide, high)
        tilt = -(frame.line[:, None] - y) / high
        self.rest += amount * hill * (0.45 + 0.9 * tilt)

    def shade(self, x: float, y: float, wide: float, high: float, amount: float) -> None:
        """A soft light or dark patch on both sides (one, where x is 0)."""
        frame = self.frame
        hill = frame.pair(x, y, wide, high) if x else frame.hill(0, y, wide, high)
        self.rest += amount * hill

    def finish(self) -> np.ndarray:
        """The map, float32 [side, side]."""
        total = self.rest
        for drops, width in zip(self.drops, _WIDTHS, strict=True):
            if drops:
                sigma = width * self.frame.unit
                total += cv2.GaussianBlur(self._rained(drops, sigma), (0, 0), sigma)
        return total

    def _rained(self, drops: list[tuple[np.ndarray, np.ndarray]], sigma: float) -> np.ndarray:
        """Points of light and shade, one every half unit along lines, shared among pixels."""
        side = self.frame.side
        at = self.frame.pixels(np.concatenate([path for path, _ in drops]))
        # A line keeps 1 / (sqrt(2 pi) sigma) of its points' sum at its middle when blurred.
        amount = np.concatenate([a for _, a in drops]) * 0.5 * self.frame.unit * 2.507 * sigma
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
    """A smooth path through knots in half-unit steps, and its strength along the way."""
    if len(knots) > 2:
        knots = curve(knots, 8)
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(knots, axis=0), axis=1))])
    steps = np.linspace(0, along[-1], max(3, int(along[-1] * 2) + 1))
    path = np.stack([np.interp(steps, along, knots[:, k]) for k in (0, 1)], 1)
    # A line that starts in the middle of the face goes on, mirrored: it thins at one end only.
    start = 0.5 if knots[0, 0] == 0 else 0.06
    taper = np.sin(np.pi * np.linspace(start, 0.94, len(steps))) ** 0.7
    return path, taper
