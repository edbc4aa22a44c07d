"""Made-up faces with exact landmarks and action units at any intensity.

`draw_identity` makes a person, `draw_views` the circumstances of a sequence, `draw_face` an
image. Nothing is random beyond the generators and seeds handed in: on one machine, with the
same versions, the same inputs give the same bytes. What belongs to a person is drawn once and
kept for the last eight people, so a sequence costs least when its frames are drawn in a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from fauds.synthetic.au_movements import growth, move_table
from fauds.synthetic.facial_features import Paint
from fauds.synthetic.furrows import age_map, furrow_maps
from fauds.synthetic.geometry import DRAWN_AUS, MOUTH, neutral_points
from fauds.synthetic.head_at_rest import draw_head
from fauds.synthetic.identity import ATTRIBUTES, Identity, draw_identity, identity_attributes
from fauds.synthetic.mouth import mouth_points, parting
from fauds.synthetic.relief import HeadGrid, height_map, light_maps
from fauds.synthetic.view import View, draw_views
from fauds.synthetic.warp import NODES, REACH, Camera, sampled, spread_matrix

__all__ = [
    "ATTRIBUTES",
    "DRAWN_AUS",
    "Identity",
    "View",
    "draw_face",
    "draw_identity",
    "draw_views",
    "face_landmarks",
    "identity_attributes",
]

_OUTER = slice(0, 60)  # the inner lips carry no skin: where lips part, they leave each other
_SKIN = slice(68, None)


@dataclass(frozen=True, eq=False)
class _Rest:
    """What of an identity does not change from frame to frame.

    points [N, 2] and depth [N] in face units; spread [NODES * NODES, N - 8]; relief [NODES,
    NODES]; picture uint8 [side, side, 4]; maps [19, side * side]: shade at full movement of
    each action unit, then of light from the right and from below.
    """

    points: np.ndarray
    depth: np.ndarray
    spread: np.ndarray
    relief: np.ndarray
    picture: np.ndarray
    maps: np.ndarray
    frame: HeadGrid


def draw_face(
    identity: Identity, intensities: np.ndarray, view: View, size: int = 128
) -> tuple[np.ndarray, np.ndarray]:
    """One face.

    Args:
        identity: who.
        intensities: of the AUs in `DRAWN_AUS`, [17], 0 (absent), 1 (A) to 5 (E), or between.
        view: pose, crop, light, background, noise.
        size: side of the image in pixels, 64 or more.

    Returns:
        The image, uint8 [size, size, 3] RGB, and its 68 landmarks in iBUG's order, float32
        [68, 2], pixels, x right, y down, (0, 0) the middle of the first pixel.

    AU24 keeps the lips shut: from intensity A on, nothing of AU25 shows. AU26 lowers the jaw;
    without AU25 the lips stay closed over it.

    Raises:
        ValueError: intensities are not 17 numbers from 0 to 5, or size is too small.
    """
    intensities = _checked(intensities, size)
    rest = _rest(identity, size)
    camera = Camera(view, size)
    grown = growth(intensities)
    part = parting(intensities)
    points = _moved(identity, rest, grown, part)
    marks = camera.project(points, rest.depth)
    light = np.array(view.tint, np.float32) * view.exposure
    head = _lit_head(rest, grown, view, light)
    image = _in_front(head, rest, points, camera, view)
    paint = Paint(image, camera, identity, light)
    paint.brows(marks)
    paint.eyes(marks, view.gaze)
    paint.mouth(marks, grown)
    if identity.glasses > 0.5:
        paint.glasses(camera.project(rest.points, rest.depth))
    return _sensed(image, view), marks[:68].astype(np.float32)


def face_landmarks(
    identity: Identity, intensities: np.ndarray, view: View, size: int = 128
) -> np.ndarray:
    """The landmarks that `draw_face` returns, float32 [68, 2], without drawing."""
    intensities = _checked(intensities, size)
    rest = _rest(identity, size)
    points = _moved(identity, rest, growth(intensities), parting(intensities))
    return Camera(view, size).project(points, rest.depth)[:68].astype(np.float32)


def _checked(intensities: np.ndarray, size: int) -> np.ndarray:
    if size < 64:
        raise ValueError(f"a face needs 64 pixels or more, not {size}")
    values = np.asarray(intensities, np.float32)
    if values.shape != (len(DRAWN_AUS),) or not ((values >= 0) & (values <= 5)).all():
        raise ValueError(
            f"intensities are {len(DRAWN_AUS)} numbers from 0 to 5, not {intensities!r}"
        )
    return values


def _anchors(who: Identity) -> np.ndarray:
    """Points that no action unit moves, face units [M, 2]: hairline, ears, neck, frame."""
    half = [
        (10.0, who.hairline - 1),
        (20.0, who.hairline),
        (28.0, who.hairline + 3),
        (who.face_width, -28.0),
        (who.face_width + 6, -10.0),
        (who.face_width + 9, 10.0),
        (who.face_width + 6, 28.0),
        (30.0, 60.0),
        (12.0, 66.0),
        (60.0, 0.0),
        (60.0, 40.0),
    ]
    right = np.array(half, np.float32)
    return np.concatenate([right, right * (-1, 1), [(0, who.hairline - 4), (0, -60), (0, 68)]])


@lru_cache(maxsize=8)
def _rest(who: Identity, size: int) -> _Rest:
    frame = HeadGrid(size)
    points = neutral_points(who)
    points[MOUTH] = mouth_points(who, np.zeros(len(DRAWN_AUS)), 0.0)
    relief = height_map(who, points, frame)
    shade, right, down = light_maps(relief, frame)
    furrows = furrow_maps(who, points, frame)
    picture, creases = draw_head(who, points, shade + shade * age_map(furrows, who), frame)
    furrows *= creases
    lit = np.maximum(creases, 0.15)
    maps = np.concatenate([furrows, (right * lit)[None], (down * lit)[None]])
    at = frame.pixels(points)
    depth = cv2.remap(relief, at[None, :, 0], at[None, :, 1], cv2.INTER_LINEAR)[0]
    moving = np.concatenate([points[_OUTER], points[_SKIN]])
    nodes = np.linspace(-REACH, REACH, NODES, dtype=np.float32)
    grid = frame.pixels(np.stack(np.meshgrid(nodes, nodes), -1))
    coarse = cv2.remap(
        relief, grid[..., 0], grid[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return _Rest(
        points=points,
        depth=depth,
        spread=spread_matrix(moving, _anchors(who)),
        relief=coarse,
        picture=picture,
        maps=maps.reshape(len(maps), -1),
        frame=frame,
    )


def _moved(who: Identity, rest: _Rest, grown: np.ndarray, part: float) -> np.ndarray:
    """All points of the moved face, float32 [N, 2] in face units."""
    table = move_table()
    shift = (grown @ table.reshape(len(DRAWN_AUS), -1)).reshape(-1, 2) * who.mobility
    points: np.ndarray = rest.points + shift.astype(np.float32)
    points[MOUTH] = mouth_points(who, grown, part)
    _keep_lids_apart(points)
    return points


_LIDS = ((37, 41), (38, 40), (43, 47), (44, 46))


def _keep_lids_apart(points: np.ndarray) -> None:
    """Lids that several action units close meet at a slit, never cross."""
    for upper, lower in _LIDS:
        gap = points[lower, 1] - points[upper, 1]
        if gap < 2.4:
            # Falls off towards 1 unit, without a corner where the rule sets in.
            wanted = 1.0 + 1.4 * np.exp((gap - 2.4) / 1.4)
            points[upper, 1] -= (wanted - gap) * 0.6
            points[lower, 1] += (wanted - gap) * 0.4


def _lit_head(rest: _Rest, grown: np.ndarray, view: View, light: np.ndarray) -> np.ndarray:
    """The head at rest with the skin's furrows and the frame's light, uint8 RGB + coverage."""
    weights = np.concatenate([grown, view.light]).astype(np.float32)
    used = np.flatnonzero(weights)
    shade = 1 + weights[used] @ rest.maps[used]
    shade = np.clip(shade, 0.4, 1.8, out=shade).reshape(rest.frame.side, rest.frame.side)
    factor = cv2.merge([shade * light[0], shade * light[1], shade * light[2], np.ones_like(shade)])
    return cv2.multiply(rest.picture, factor, dtype=cv2.CV_8U)


def _field(rest: _Rest, points: np.ndarray) -> np.ndarray:
    """Displacement x, y and depth over the face frame, float32 [NODES, NODES, 3]."""
    shift = points - rest.points
    shift = np.concatenate([shift[_OUTER], shift[_SKIN]])
    return np.dstack([(rest.spread @ shift).reshape(NODES, NODES, 2), rest.relief])


def _in_front(
    head: np.ndarray, rest: _Rest, points: np.ndarray, camera: Camera, view: View
) -> np.ndarray:
    """The head turned and moved, in front of the background, uint8 [size, size, 3]."""
    place = (camera.back_map(_field(rest, points)) + REACH) * rest.frame.unit - 0.5
    head = sampled(head, place)
    size = camera.size
    ramp = np.linspace(0, 1, size, dtype=np.float32)[:, None]
    top, bottom = (np.array(c, np.float32) for c in view.background)
    behind = (top + (bottom - top) * ramp).astype(np.uint8)[:, None]
    # 0..256 instead of 0..255, so that a shift divides; division is what would cost here.
    gap = (255 - head[..., 3:]).astype(np.uint16)
    gap += gap >> 7
    seen = ((behind * gap) >> 8).astype(np.uint8)
    return cv2.add(cv2.cvtColor(head, cv2.COLOR_RGBA2RGB), seen)


def _sensed(image: np.ndarray, view: View) -> np.ndarray:
    """The image as a camera takes it: a little soft, a little noisy."""
    image = cv2.GaussianBlur(image, (3, 3), 0.5)
    if view.noise <= 0:
        return image
    raw = np.random.default_rng(view.seed).integers(0, 256, image.shape, np.uint8)
    return cv2.add(image, cv2.LUT(raw, _bell() * np.float32(view.noise)), dtype=cv2.CV_8U)


@lru_cache(maxsize=1)
def _bell() -> np.ndarray:
    """256 equally likely values of a standard normal, float32 [256]: noise by table."""
    rng = np.random.default_rng(0)
    means: np.ndarray = np.sort(rng.standard_normal(256 * 64)).reshape(256, 64).mean(1)
    return means.astype(np.float32)
