"""The warp of a face's skin when points of the face move, and the projection to the image."""

from __future__ import annotations

import cv2
import numpy as np

from fauds.synthetic.view import View

REACH = 72.0  # the face frame extends from -REACH to REACH face units in x and y
STEP = 4.0
NODES = int(2 * REACH / STEP) + 1
_KERNEL = 8.0


def grid_nodes() -> np.ndarray:
    """Return the points of the coarse grid on which displacements of the skin are computed.

    The points are (x, y) in face units (1/128 of the image side), float32 [NODES, NODES, 2].
    """
    line = np.linspace(-REACH, REACH, NODES, dtype=np.float32)
    return np.stack(np.meshgrid(line, line), -1)


def spread_matrix(points: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """Return the matrix that interpolates displacements, float32 [NODES * NODES, K].

    Multiplied by the displacements of K points, the matrix gives the displacements at the points of
    a coarse grid over the face. The interpolation uses radial basis functions with a Matern kernel:
    it is exact at the points (up to a small ridge), smooth between them, and near zero a few
    kernel lengths away.

    Args:
        points: the points that move, [K, 2], in face units (1/128 of the image side).
        anchors: the points that do not move, [M, 2], in face units.
    """
    fixed = np.concatenate([points, anchors]).astype(np.float32)
    gram = _matern(fixed, fixed).astype(np.float64)
    gram[np.diag_indices(len(fixed))] += 2e-3
    weights = np.linalg.inv(gram)[:, : len(points)].astype(np.float32)
    return _matern(grid_nodes().reshape(-1, 2), fixed) @ weights


def _matern(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    square = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
    distance = np.sqrt(np.maximum(square, 0)) / _KERNEL
    kernel: np.ndarray = (1 + distance) * np.exp(-distance)
    return kernel


def sampled(image: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return the values of an image at fractional positions, by linear interpolation.

    Args:
        image: the image; beyond its edges, the nearest pixel is repeated.
        places: the positions (x, y) in pixels, float32 [H, W, 2].

    Returns:
        The values, [H, W], with the channels of the image.
    """
    # The types of OpenCV do not know that the first map alone may hold x and y.
    values: np.ndarray = cv2.remap(  # type: ignore[call-overload]
        image, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return values


class Camera:
    """A weak perspective camera: it turns, scales and shifts the head and projects it to pixels.

    Args:
        view: the pose, size and place of the head in the image.
        size: the side of the square image in pixels.
    """

    def __init__(self, view: View, size: int) -> None:
        yaw, pitch, roll = np.deg2rad((view.yaw, view.pitch, view.roll))
        cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
        cr, sr = np.cos(roll), np.sin(roll)
        # Rows x and y of roll @ pitch @ yaw; z points at the viewer.
        flat = np.array([[cy, 0.0, sy], [sp * sy, cp, -sp * cy]])
        turn = np.array([[cr, -sr], [sr, cr]]) @ flat
        self.size = size
        self.unit = view.scale * size / 128.0
        self.matrix = (turn[:, :2] * self.unit).astype(np.float32)
        self.depth = (turn[:, 2] * self.unit).astype(np.float32)
        middle = (size - 1) / 2.0
        self.origin = (middle + np.array(view.shift) * size / 128.0).astype(np.float32)

    def project(self, points: np.ndarray, depth: np.ndarray) -> np.ndarray:
        """Return the positions of points in the image, float32 [N, 2], in pixels.

        Args:
            points: the points of the frontal face, [N, 2], in 1/128 of the image side.
            depth: how far each point lies towards the viewer, [N], in the same unit.
        """
        pixels: np.ndarray = points @ self.matrix.T + depth[:, None] * self.depth + self.origin
        return pixels

    def back_map(self, field: np.ndarray) -> np.ndarray:
        """Return, for each pixel of the image, the point of the neutral face that it shows.

        The camera maps a point u of the neutral face to project(u + displacement(u), depth(u)).
        This map is inverted by fixed-point iteration on a coarse grid of pixels, and the result is
        enlarged.

        Args:
            field: the displacement x and y and the depth at the points of `grid_nodes`, in face
                units (1/128 of the image side), [NODES, NODES, 3].

        Returns:
            The points, float32 [size, size, 2], in face units.
        """
        cell = max(2, round(self.size / 32))
        nodes = -(-self.size // cell) + 2  # one beyond the image on each side
        line = (np.arange(nodes, dtype=np.float32) - 0.5) * cell - 0.5
        out = np.stack(np.meshgrid(line, line), -1) - self.origin
        inverse = np.linalg.inv(self.matrix).astype(np.float32)
        start = out @ inverse.T
        slide = inverse @ self.depth
        place = start
        for _ in range(6):
            at = (place + REACH) / STEP
            moved = sampled(field, at)
            place = start - moved[..., :2] - moved[..., 2:] * slide
        full = cv2.resize(place, None, fx=cell, fy=cell, interpolation=cv2.INTER_LINEAR)
        return full[cell : cell + self.size, cell : cell + self.size]
