"""Synthetic faces with exact landmarks and action units at any intensity.

`draw_identity` samples the properties of a person, `draw_views` samples pose, crop and light for
the frames of a sequence, and `draw_face` draws an image. All randomness comes from the given
generators and seeds: on one machine, with the same versions of the libraries, the same inputs give
the same bytes. Everything that depends only on the person is drawn once and cached for the last
eight persons, so drawing is fastest when the frames of one person follow each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from fauds.synthetic.au_movements import move_table, movement_fraction
from fauds.synthetic.facial_features import Paint
from fauds.synthetic.furrows import age_map, furrow_maps
from fauds.synthetic.geometry import FACE_AUS, MOUTH, neutral_points
from fauds.synthetic.head_at_rest import draw_head
from fauds.synthetic.identity import ATTRIBUTES, Identity, draw_identity, identity_attributes
from fauds.synthetic.mouth import mouth_points, parting
from fauds.synthetic.relief import HeadGrid, height_map, light_maps
from fauds.synthetic.view import View, draw_views
from fauds.synthetic.warp import NODES, REACH, Camera, sampled, spread_matrix

__all__ = [
    "ATTRIBUTES",
    "FACE_AUS",
    "Identity",
    "View",
    "draw_face",
    "draw_identity",
    "draw_views",
    "face_landmarks",
    "identity_attributes",
]

_OUTER = slice(0, 60)  # without the inner lips, which carry no skin and separate when lips part
_SKIN = slice(68, None)


@dataclass(frozen=True, eq=False)
class _NeutralFace:
    """A person's face without action units, with everything that is the same in all frames.

    Lengths are in face units, 1/128 of the image side. Displacements of the skin are computed on
    a coarse grid of NODES x NODES points, its nodes.

    Attributes:
        points: the points of the face in face units, [N, 2].
        depth: the depth of these points in face units, [N].
        spread: the matrix that gives the displacements of the nodes from the displacements of the
            points without the inner lips, [NODES * NODES, N - 8].
        relief: the depth at the nodes in face units, [NODES, NODES].
        head: the drawn head, uint8 [side, side, 4]: RGB, and how opaque each pixel is.
        maps: the relative changes of brightness, [19, side * side], that are caused by each of 17
            action units at intensity E, by light from the right, and by light from below.
        grid: the pixel grid of `head`.
    """

    points: np.ndarray
    depth: np.ndarray
    spread: np.ndarray
    relief: np.ndarray
    head: np.ndarray
    maps: np.ndarray
    grid: HeadGrid


def draw_face(
    identity: Identity, intensities: np.ndarray, view: View, size: int = 128
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a face with action units and return the image and its landmarks.

    AU24 presses the lips together: if its intensity is A or above, AU25 is not visible. AU26
    lowers the jaw; without AU25 the lips remain closed.

    Args:
        identity: the properties of the person.
        intensities: the intensities of the AUs in `FACE_AUS`, [17]: 0 (absent), 1 (A) to 5 (E),
            or values between.
        view: the pose, crop, light, gaze, background and noise of this frame.
        size: the side of the image in pixels, 64 or more.

    Returns:
        The image, uint8 [size, size, 3] RGB, and its 68 landmarks in iBUG's order, float32
        [68, 2]: x (right) and y (down) in pixels, where (0, 0) is the middle of the first pixel.

    Raises:
        ValueError: the intensities are not 17 numbers from 0 to 5, or the size is too small.
    """
    intensities = _checked(intensities, size)
    neutral = _neutral_face(identity, size)
    camera = Camera(view, size)
    fractions = movement_fraction(intensities)
    parted = parting(intensities)
    points = _moved(identity, neutral, fractions, parted)
    marks = camera.project(points, neutral.depth)
    light = np.array(view.tint, np.float32) * view.exposure
    head = _lit_head(neutral, fractions, view, light)
    image = _with_background(head, neutral, points, camera, view)
    paint = Paint(image, camera, identity, light)
    paint.brows(marks)
    paint.eyes(marks, view.gaze)
    paint.mouth(marks, fractions)
    if identity.glasses > 0.5:
        paint.glasses(camera.project(neutral.points, neutral.depth))
    return _with_camera_noise(image, view), marks[:68].astype(np.float32)


def face_landmarks(
    identity: Identity, intensities: np.ndarray, view: View, size: int = 128
) -> np.ndarray:
    """Return the 68 landmarks of a face without drawing it, float32 [68, 2], in pixels.

    The arguments and the landmarks are the same as those of `draw_face`.
    """
    intensities = _checked(intensities, size)
    neutral = _neutral_face(identity, size)
    points = _moved(identity, neutral, movement_fraction(intensities), parting(intensities))
    return Camera(view, size).project(points, neutral.depth)[:68].astype(np.float32)


def _checked(intensities: np.ndarray, size: int) -> np.ndarray:
    if size < 64:
        raise ValueError(f"the size of a face must be 64 pixels or more, not {size}")
    values = np.asarray(intensities, np.float32)
    if values.shape != (len(FACE_AUS),) or not ((values >= 0) & (values <= 5)).all():
        raise ValueError(
            f"intensities must be {len(FACE_AUS)} numbers from 0 to 5, not {intensities!r}"
        )
    return values


def _anchors(identity: Identity) -> np.ndarray:
    """Return points that no action unit moves, float32 [M, 2], in 1/128 of the image side.

    They lie on the hairline, the ears, the neck and around the head.
    """
    half = [
        (10.0, identity.hairline - 1),
        (20.0, identity.hairline),
        (28.0, identity.hairline + 3),
        (identity.face_width, -28.0),
        (identity.face_width + 6, -10.0),
        (identity.face_width + 9, 10.0),
        (identity.face_width + 6, 28.0),
        (30.0, 60.0),
        (12.0, 66.0),
        (60.0, 0.0),
        (60.0, 40.0),
    ]
    right = np.array(half, np.float32)
    return np.concatenate([right, right * (-1, 1), [(0, identity.hairline - 4), (0, -60), (0, 68)]])


@lru_cache(maxsize=8)
def _neutral_face(identity: Identity, size: int) -> _NeutralFace:
    grid = HeadGrid(size)
    points = neutral_points(identity)
    points[MOUTH] = mouth_points(identity, np.zeros(len(FACE_AUS)), 0.0)
    relief = height_map(identity, points, grid)
    shade, right, down = light_maps(relief, grid)
    furrows = furrow_maps(identity, points, grid)
    head, creases = draw_head(identity, points, shade + shade * age_map(furrows, identity), grid)
    furrows *= creases
    lit = np.maximum(creases, 0.15)
    maps = np.concatenate([furrows, (right * lit)[None], (down * lit)[None]])
    at = grid.pixels(points)
    depth = cv2.remap(relief, at[None, :, 0], at[None, :, 1], cv2.INTER_LINEAR)[0]
    moving = np.concatenate([points[_OUTER], points[_SKIN]])
    nodes = np.linspace(-REACH, REACH, NODES, dtype=np.float32)
    node_pixels = grid.pixels(np.stack(np.meshgrid(nodes, nodes), -1))
    coarse = cv2.remap(
        relief,
        node_pixels[..., 0],
        node_pixels[..., 1],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return _NeutralFace(
        points=points,
        depth=depth,
        spread=spread_matrix(moving, _anchors(identity)),
        relief=coarse,
        head=head,
        maps=maps.reshape(len(maps), -1),
        grid=grid,
    )


def _moved(
    identity: Identity, neutral: _NeutralFace, fractions: np.ndarray, parted: float
) -> np.ndarray:
    """Return the points of a face after its action units have moved them.

    Args:
        identity: the properties of the person.
        neutral: the face without action units.
        fractions: the strength of each action unit's movement, [17], from 0 to 1 (intensity E).
        parted: how far the lips can part, 0 to 1.

    Returns:
        All points, float32 [N, 2], in 1/128 of the image side.
    """
    table = move_table()
    shift = (fractions @ table.reshape(len(FACE_AUS), -1)).reshape(-1, 2) * identity.mobility
    points: np.ndarray = neutral.points + shift.astype(np.float32)
    points[MOUTH] = mouth_points(identity, fractions, parted)
    _keep_lids_apart(points)
    return points


_LIDS = ((37, 41), (38, 40), (43, 47), (44, 46))


def _keep_lids_apart(points: np.ndarray) -> None:
    """Move the points of upper and lower eyelids apart where action units would make them cross.

    Args:
        points: all points of the face, [N, 2], in 1/128 of the image side, which are modified.
    """
    for upper, lower in _LIDS:
        gap = points[lower, 1] - points[upper, 1]
        if gap < 2.4:
            # The gap approaches 1 unit smoothly, without a kink at 2.4 units.
            wanted = 1.0 + 1.4 * np.exp((gap - 2.4) / 1.4)
            points[upper, 1] -= (wanted - gap) * 0.6
            points[lower, 1] += (wanted - gap) * 0.4


def _lit_head(
    neutral: _NeutralFace, fractions: np.ndarray, view: View, light: np.ndarray
) -> np.ndarray:
    """Return the head with the furrows of its action units, in the light of the frame.

    Only the brightness changes; the points of the face are moved later.

    Args:
        neutral: the face without action units.
        fractions: the strength of each action unit's movement, [17], from 0 to 1 (intensity E).
        view: the view, with the direction of the light.
        light: the brightness factors of red, green and blue, [3].

    Returns:
        The image, uint8 [side, side, 4]: RGB, and how opaque each pixel is.
    """
    weights = np.concatenate([fractions, view.light]).astype(np.float32)
    used = np.flatnonzero(weights)
    shade = 1 + weights[used] @ neutral.maps[used]
    shade = np.clip(shade, 0.4, 1.8, out=shade).reshape(neutral.grid.side, neutral.grid.side)
    factor = cv2.merge([shade * light[0], shade * light[1], shade * light[2], np.ones_like(shade)])
    return cv2.multiply(neutral.head, factor, dtype=cv2.CV_8U)


def _field(neutral: _NeutralFace, points: np.ndarray) -> np.ndarray:
    """Return how far the skin has moved, and its depth, on a coarse grid over the face.

    Args:
        neutral: the face without action units.
        points: all points of the face after its action units have moved them, [N, 2].

    Returns:
        The displacement x and y and the depth at each point of the grid, float32
        [NODES, NODES, 3], in 1/128 of the image side.
    """
    shift = points - neutral.points
    shift = np.concatenate([shift[_OUTER], shift[_SKIN]])
    return np.dstack([(neutral.spread @ shift).reshape(NODES, NODES, 2), neutral.relief])


def _with_background(
    head: np.ndarray, neutral: _NeutralFace, points: np.ndarray, camera: Camera, view: View
) -> np.ndarray:
    """Return the image of the head in front of the background, uint8 [size, size, 3] RGB.

    Args:
        head: the head before its points are moved, uint8 [side, side, 4].
        neutral: the face without action units.
        points: all points of the face after its action units have moved them, [N, 2].
        camera: the pose and the projection to pixels.
        view: the view, with the colours of the background.
    """
    place = (camera.back_map(_field(neutral, points)) + REACH) * neutral.grid.unit - 0.5
    head = sampled(head, place)
    size = camera.size
    ramp = np.linspace(0, 1, size, dtype=np.float32)[:, None]
    top, bottom = (np.array(c, np.float32) for c in view.background)
    background = (top + (bottom - top) * ramp).astype(np.uint8)[:, None]
    # A range of 0..256 instead of 0..255 allows a shift instead of a slow division.
    gap = (255 - head[..., 3:]).astype(np.uint16)
    gap += gap >> 7
    visible = ((background * gap) >> 8).astype(np.uint8)
    return cv2.add(cv2.cvtColor(head, cv2.COLOR_RGBA2RGB), visible)


def _with_camera_noise(image: np.ndarray, view: View) -> np.ndarray:
    """Return the image with the slight blur and the noise of a camera."""
    image = cv2.GaussianBlur(image, (3, 3), 0.5)
    if view.noise <= 0:
        return image
    raw = np.random.default_rng(view.seed).integers(0, 256, image.shape, np.uint8)
    return cv2.add(
        image, cv2.LUT(raw, _normal_quantiles() * np.float32(view.noise)), dtype=cv2.CV_8U
    )


@lru_cache(maxsize=1)
def _normal_quantiles() -> np.ndarray:
    """Return a table of 256 values, float32 [256]: a random entry is nearly standard normal."""
    rng = np.random.default_rng(0)
    means: np.ndarray = np.sort(rng.standard_normal(256 * 64)).reshape(256, 64).mean(1)
    return means.astype(np.float32)
