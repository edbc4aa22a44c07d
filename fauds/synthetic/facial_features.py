"""Drawing of brows, eyes, lips and mouth, which are drawn anew in every frame, and of glasses."""

from __future__ import annotations

import cv2
import numpy as np

from fauds.synthetic.curves import curve
from fauds.synthetic.geometry import FACE_AUS, PAIRS
from fauds.synthetic.identity import Identity
from fauds.synthetic.warp import Camera

_SHIFT = 3
_EYE = ("eye_in", "upper_in", "upper_out", "eye_out", "lower_out", "lower_in")
_BROW = np.array([0.85, 1.0, 0.95, 0.7, 0.15], np.float32)  # thickness from inner to outer end
_CREASE = ("crease_in", "crease", "crease_out")


class Patch:
    """A rectangle of an image that is painted at a higher resolution, then blended into the image.

    OpenCV's anti-aliased fill widens shapes by half a pixel, which is too much for lips that are
    four pixels thick. Instead, shapes are filled without anti-aliasing at several times the
    resolution, which is then reduced by averaging. Colours are four numbers from 0 to 255: red,
    green and blue, each already multiplied by the opacity, and the opacity.

    Args:
        image: the image, uint8 [H, W, 3], which `lay` modifies.
        points: points that the rectangle must contain, [N, 2], in pixels of the image.
        margin: the margin around these points, in pixels.
    """

    def __init__(self, image: np.ndarray, points: np.ndarray, margin: float) -> None:
        size = len(image)
        self.zoom = 4 if size <= 160 else 2
        low = np.clip(np.floor(points.min(0) - margin), 0, size - 2).astype(int)
        high = np.clip(np.ceil(points.max(0) + margin) + 1, low + 1, size).astype(int)
        self.under = image[low[1] : high[1], low[0] : high[0]]
        shape = self.under.shape
        self.fine = np.zeros((shape[0] * self.zoom, shape[1] * self.zoom, 4), np.uint8)
        self._scale = self.zoom * (1 << _SHIFT)
        self._offset = (0.5 - low) * self._scale - 0.5 * (1 << _SHIFT)

    def _fixed(self, points: np.ndarray) -> np.ndarray:
        scaled: np.ndarray = np.rint(points * self._scale + self._offset).astype(np.int32)
        return scaled

    def fill(self, points: np.ndarray, colour: tuple[int, ...]) -> None:
        """Fill a polygon, whose corners [N, 2] are in pixels of the image, with a colour."""
        cv2.fillPoly(self.fine, [self._fixed(points)], colour, cv2.LINE_8, _SHIFT)

    def line(self, points: np.ndarray, colour: tuple[int, ...], width: float) -> None:
        """Draw a line through points [N, 2]; points and width are in image pixels (fractional)."""
        thick = max(1, round(width * self.zoom))
        cv2.polylines(self.fine, [self._fixed(points)], False, colour, thick, cv2.LINE_8, _SHIFT)

    def disc(self, at: np.ndarray, radius: float, colour: tuple[int, ...]) -> None:
        """Fill a circle, whose centre and radius are in image pixels, with a colour."""
        x, y = self._fixed(at).tolist()
        reach = round(radius * self._scale)
        cv2.circle(self.fine, (x, y), reach, colour, -1, cv2.LINE_8, _SHIFT)

    def clip(self, points: np.ndarray) -> None:
        """Make the patch transparent outside a polygon [N, 2], in pixels of the image."""
        mask = np.zeros(self.fine.shape[:2], np.uint8)
        cv2.fillPoly(mask, [self._fixed(points)], 255, cv2.LINE_8, _SHIFT)
        self.fine = cv2.bitwise_and(self.fine, self.fine, mask=mask)

    def copy_inside(self, other: np.ndarray, points: np.ndarray) -> None:
        """Copy the inside of a polygon from another painting of this patch.

        Args:
            other: the other painting, uint8, with the shape of `fine`.
            points: the corners of the polygon, [N, 2], in pixels of the image.
        """
        mask = np.zeros(self.fine.shape[:2], np.uint8)
        cv2.fillPoly(mask, [self._fixed(points)], 255, cv2.LINE_8, _SHIFT)
        cv2.copyTo(other, mask, self.fine)

    def lay(self) -> None:
        """Blend the painted patch into the image, which is modified."""
        height, width = self.under.shape[:2]
        over = cv2.resize(self.fine, (width, height), interpolation=cv2.INTER_AREA)
        rest = 255 - over[..., 3:].astype(np.uint16)
        self.under[:] = over[..., :3] + ((self.under * rest + 127) // 255).astype(np.uint8)


class Paint:
    """Paints brows, eyes, mouth and glasses on an image of a face.

    Args:
        image: the image, uint8 [size, size, 3], which is modified.
        camera: the projection of points of the face to pixels.
        identity: the properties of the person, such as the colour of the irises.
        light: the brightness factors of red, green and blue, [3].
    """

    def __init__(
        self, image: np.ndarray, camera: Camera, identity: Identity, light: np.ndarray
    ) -> None:
        self.image, self.camera, self.identity = image, camera, identity
        self._light = tuple(float(f) for f in light)
        self.skin = identity.skin_colour

    def colour(self, rgb: np.ndarray | tuple[float, ...], cover: float = 1.0) -> tuple[int, ...]:
        """Return a colour as it appears in the light of the frame.

        Args:
            rgb: the colour, red, green and blue from 0 to 255.
            cover: the opacity, 0 to 1.

        Returns:
            Red, green and blue, multiplied by the opacity, and the opacity, each 0 to 255.
        """
        lit = (min(float(c) * f, 255.0) * cover for c, f in zip(rgb, self._light, strict=True))
        return (*map(int, lit), int(255 * cover))

    def brows(self, marks: np.ndarray) -> None:
        """Draw both brows; `marks` are all points of the face, [N, 2], in pixels of the image."""
        identity, unit = self.identity, self.camera.unit
        colour = np.minimum(np.array(identity.hair_colour) * 0.7, self.skin * 0.5)
        half = np.zeros((5, 2), np.float32)
        half[:, 1] = 0.5 * identity.brow_thickness * unit * _BROW
        for side in (0, 1):
            middle = marks[[PAIRS[f"brow{k}"][side] for k in range(5)]]
            patch = Patch(self.image, middle, identity.brow_thickness * unit)
            for grow, cover in ((1.25, 0.45), (0.85, 1.0)):
                over, under = curve(middle - grow * half), curve(middle + grow * half)
                ring = np.concatenate([over, under[::-1]])
                patch.fill(ring, self.colour(colour, cover * identity.brow_darkness))
            patch.lay()

    def eyes(self, marks: np.ndarray, gaze: tuple[float, float]) -> None:
        """Draw the eyeballs, lids and lashes of both eyes.

        Args:
            marks: all points of the face, [N, 2], in pixels of the image.
            gaze: the displacement of the irises, x and y in 1/128 of the image side.
        """
        for side in (0, 1):
            at = [marks[PAIRS[name][side]] for name in _EYE]
            crease = curve(np.stack([marks[PAIRS[name][side]] for name in _CREASE]))
            upper = curve(np.stack(at[:4]))
            lower = curve(np.stack([at[3], at[4], at[5], at[0]]))
            patch = Patch(self.image, np.concatenate([crease, lower]), 2 * self.camera.unit)
            self._eyeball(patch, (at[0] + at[3]) / 2, upper, lower, gaze)
            self._lids(patch, upper, lower, crease)
            patch.lay()

    def _eyeball(
        self,
        patch: Patch,
        centre: np.ndarray,
        upper: np.ndarray,
        lower: np.ndarray,
        gaze: tuple[float, float],
    ) -> None:
        unit = self.camera.unit
        colour = np.array(self.identity.iris_colour, np.float32)
        ring = np.concatenate([upper, lower[1:-1]])
        patch.fill(ring, self.colour((228, 222, 218)))
        iris = centre + np.array([gaze[0], gaze[1] - 1.0], np.float32) * unit
        patch.disc(iris, 4.1 * unit, self.colour(colour * 0.6))
        patch.disc(iris, 3.3 * unit, self.colour(colour * 1.15))
        patch.disc(iris, 1.7 * unit, self.colour((14, 12, 12)))
        glint = iris + np.array([-1.2, -1.2], np.float32) * unit
        patch.disc(glint, 0.7 * unit, self.colour((235, 235, 235)))
        shadow = upper + np.array([0, 0.9 * unit], np.float32)
        patch.line(shadow, self.colour(self.skin * 0.5), 0.6 * unit)
        patch.clip(ring)

    def _lids(self, patch: Patch, upper: np.ndarray, lower: np.ndarray, crease: np.ndarray) -> None:
        unit, woman = self.camera.unit, self.identity.sex == "F"
        patch.line(lower[2:-1], self.colour(self.skin * (0.60, 0.46, 0.44), 0.8), 0.7 * unit)
        lash = np.array((34, 24, 24)) if woman else self.skin * 0.30
        patch.line(upper, self.colour(lash), (1.25 if woman else 0.9) * unit)
        if woman:
            wing = upper[-3:] + (upper[-1] - upper[-2]) * 0.9
            patch.line(wing, self.colour(lash), 0.7 * unit)
        patch.line(crease, self.colour(self.skin * (0.62, 0.54, 0.54), 0.75), 0.8 * unit)

    def mouth(self, marks: np.ndarray, fractions: np.ndarray) -> None:
        """Draw the lips, and the teeth and the inside of the mouth if the lips are parted.

        Args:
            marks: all points of the face, [N, 2], in pixels of the image.
            fractions: the strength of each action unit's movement, [17], from 0 (no movement) to
                1 (the movement at intensity E).
        """
        unit = self.camera.unit
        top, bottom = curve(marks[48:55]), curve(marks[[54, 55, 56, 57, 58, 59, 48]])
        inner_top, inner_bottom = curve(marks[60:65]), curve(marks[[64, 65, 66, 67, 60]])
        corners = marks[48:49], marks[54:55]
        patch = Patch(self.image, marks[48:60], 1.5 * unit)
        upper, lower = self._lip_colours()
        line = np.concatenate([corners[0], inner_top, corners[1]])
        patch.fill(np.concatenate([top, line[::-1]]), self.colour(upper))
        under = np.concatenate([corners[1], inner_bottom, corners[0]])
        patch.fill(np.concatenate([bottom, under[::-1]]), self.colour(lower))
        shine = 0.5 * (marks[[58, 57, 56]] + marks[[67, 66, 65]])
        bright = np.minimum(lower * 1.15 + 8, 255)
        thick = float(np.linalg.norm(marks[57] - marks[66]))
        patch.line(curve(shine), self.colour(bright), 0.25 * thick)
        gap = float(np.linalg.norm(marks[62] - marks[66]))
        if gap > 0.3 * unit:
            self._inside(patch, inner_top, inner_bottom, gap)
        if gap < 0.9 * unit:
            dark = self.colour(self.skin * (0.34, 0.18, 0.18))
            patch.line(line, dark, (0.75 + 0.5 * float(fractions[FACE_AUS.index("AU24")])) * unit)
        patch.lay()

    def _lip_colours(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the RGB colours of the upper and the lower lip, before light is applied."""
        red = self.identity.lip_redness
        base = self.skin * np.array([0.90, 0.68, 0.68]) * (1 - 0.10 * red)
        base = base + (np.array([176, 52, 66]) - base) * 0.45 * red
        return base * 0.84, base * 0.98

    def _inside(self, patch: Patch, top: np.ndarray, bottom: np.ndarray, gap: float) -> None:
        """Draw the dark inside of an open mouth, the tongue and the teeth.

        Args:
            patch: the patch in which the lips are painted.
            top: the lower edge of the upper lip, [N, 2], in pixels of the image.
            bottom: the upper edge of the lower lip, [M, 2], in pixels of the image.
            gap: the distance between the lips in pixels.
        """
        unit = self.camera.unit
        lips, patch.fine = patch.fine, np.empty_like(patch.fine)
        patch.fine[:] = self.colour((54, 18, 20))
        tongue = bottom[len(bottom) // 2] + np.array([0, 3.2 * unit], np.float32)
        patch.disc(tongue, 5.5 * unit, self.colour((132, 58, 60)))
        teeth = min(0.46 * gap, 3.2 * unit)
        if gap > 1.8 * unit:
            edge = top[2:-2] + np.array([0, teeth], np.float32)
            patch.fill(np.concatenate([top, edge[::-1]]), self.colour((222, 214, 202)))
        inside, patch.fine = patch.fine, lips
        patch.copy_inside(inside, np.concatenate([top, bottom[1:-1]]))

    def glasses(self, marks: np.ndarray) -> None:
        """Draw glasses with thin frames, which do not move with the action units.

        Args:
            marks: all points of the face without expression, [N, 2], in pixels of the image.
        """
        unit, colour = self.camera.unit, self.colour((48, 42, 44))
        turn = np.linspace(0, 2 * np.pi, 25)
        rim = np.stack([np.cos(turn), np.sin(turn)], 1) * (12.3 * unit, 9.5 * unit)
        inner, outer = [], []
        lines = []
        for side in (0, 1):
            at = (marks[PAIRS["eye_in"][side]] + marks[PAIRS["eye_out"][side]]) / 2
            ring = (rim + at + (0, 1.5 * unit)).astype(np.float32)
            lines.append(ring)
            inner.append(ring[12 if side == 0 else 0])
            outer.append(np.stack([ring[0 if side == 0 else 12], marks[PAIRS["jaw0"][side]]]))
        for line in (*lines, np.stack(inner), *outer):
            fixed = np.rint(line * (1 << _SHIFT)).astype(np.int32)
            cv2.polylines(
                self.image, [fixed], False, colour[:3], round(unit) or 1, cv2.LINE_AA, _SHIFT
            )
