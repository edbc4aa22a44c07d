"""AU maps: images of where on a face action units (AUs) are visible, made from 68 landmarks.

They supervise the attention of a network that classifies expressions (Belharbi et al., "Guided
interpretable facial expression recognition via spatial action unit cues", FG 2024,
arXiv:2402.00281). Begin with `au_map`, the map of all active AUs of a face; `au_maps` returns a
map for each AU, and `codebook_table` the AUs of expressions.

The region of an AU is one or more ellipses that landmarks place (`fauds.facs.ellipses`). The paper
draws ellipses and blurs the drawing; here the map of an ellipse is a Gaussian, 1 in the centre and
1/2 on the edge of the ellipse, which is evaluated in the middle of each cell of the map. The map
therefore shows the same regions at every resolution.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from fauds.facs import AUS, WITHOUT_AUS, au_name, ellipses, expression_aus
from fauds.nn.transfer import send
from fauds.registry import unknown_name_error

_EYE_CORNERS = (36, 45)
_NOSE = (27, 33)

_CELL_BLUR = 0.5
"""The standard deviation of the blur of a map, in cells.

With this blur, even an ellipse much smaller than a cell has nearly the same sum over the cells of a
map (within 3 %) wherever it lies between them; with less, it could be missed by all of them.
"""

_EDGE = math.sqrt(2 * math.log(2))
"""The number of standard deviations from its centre at which a Gaussian is 1/2."""


def au_map(
    landmarks: Tensor,
    active: Tensor,
    size: int,
    image_size: int,
    aus: Sequence[str] = AUS,
) -> Tensor:
    """Return a map of the active AUs of each face, from 0 to 1.

    It is the sum of the maps of `au_maps` over the active AUs, divided by its maximum. A face
    without active AUs, such as a neutral one, and a face with missing landmarks have a map of
    zeros, which has no direction: a loss that compares attention with the map has to leave such a
    face out.

    Args:
        landmarks: [B, 68, 2], as in `au_maps`.
        active: [B, A], 1 for active AUs and 0 for others, of any dtype. Other weights from 0 are
            allowed.
        size: the side of the map in cells, for example that of the attention to compare it with.
        image_size: the side of the image in pixels.
        aus: the names of the A AUs; all that fauds knows, unless given.

    Returns:
        [B, size, size], float32 (float64 if the landmarks are), on the device of the landmarks.

    Raises:
        UsageError: fauds does not know an AU.
        ValueError: a shape is wrong.
    """
    if active.shape != (len(landmarks), len(aus)):
        raise ValueError(f"active must be [{len(landmarks)}, {len(aus)}], not {[*active.shape]}")
    maps = au_maps(landmarks, size, image_size, aus)
    total = (maps * active.to(maps)[:, :, None, None]).sum(1)
    peak = total.amax((1, 2), keepdim=True)
    return total / peak.clamp_min(torch.finfo(total.dtype).tiny)


def au_maps(
    landmarks: Tensor,
    size: int,
    image_size: int,
    aus: Sequence[str] = AUS,
) -> Tensor:
    """Return a map of every AU of each face: where the AU would be visible.

    At each place, the map of an AU is that of the strongest of its ellipses. The map of an ellipse
    is a Gaussian, 1 in the centre and 1/2 on the edge of the ellipse, blurred by a Gaussian with a
    standard deviation of half a cell, so that an ellipse smaller than a cell is not missed. The
    blur keeps the sum of a map and so lowers its maximum.

    Ellipses turn with the face in the image, become smaller with it, and narrower where the head is
    turned to a side: see `fauds.facs.Ellipse`.

    Args:
        landmarks: [B, 68, 2], iBUG's 68 points in pixels of an image, x right and y down; (0, 0) is
            the middle of the first pixel. Points may lie outside the image. A face has a map of
            zeros if a point that the AUs need is NaN (no AU needs the inner lips, 60 to 67), if its
            outer eye corners are the same point, or if its nose does not point down the face.
        size: the side of the maps in cells, which divide the whole image into squares.
        image_size: the side of the image in pixels.
        aus: the names of the A AUs; all that fauds knows, unless given.

    Returns:
        [B, A, size, size], from 0 to 1, float32 (float64 if the landmarks are), on the device of
        the landmarks.

    Raises:
        UsageError: fauds does not know an AU.
        ValueError: a shape is wrong.
    """
    if landmarks.ndim != 3 or landmarks.shape[1:] != (68, 2):
        raise ValueError(f"landmarks must be [B, 68, 2], not {[*landmarks.shape]}")
    points = landmarks.to(torch.promote_types(landmarks.dtype, torch.float32))
    table = _table(tuple(aus), points.device, points.dtype)
    origin = points[:, _NOSE[0]]
    eyes = points[:, _EYE_CORNERS[1]] - points[:, _EYE_CORNERS[0]]
    width = torch.linalg.vector_norm(eyes, dim=1)
    direction = eyes / width[:, None]
    x, y = _across_and_down(points - origin[:, None], direction[:, None])
    height = y[:, _NOSE[1]]
    known = torch.isfinite(points[:, table.needed]).all(2).all(1) & (width > 0) & (height > 0)

    cell = image_size / size
    middles = (torch.arange(size, device=points.device, dtype=points.dtype) + 0.5) * cell - 0.5
    cells = torch.stack(torch.meshgrid(middles, middles, indexing="xy"), -1)
    cells_x, cells_y = _across_and_down(cells - origin[:, None, None], direction[:, None, None])
    (shift_x, shift_y), (axes_x, axes_y) = table.shift.unbind(-1), table.axes.unbind(-1)
    distance_x, strength_x = _along(x, width, cells_x, table.x, shift_x, axes_x, cell)
    distance_y, strength_y = _along(y, height, cells_y, table.y, shift_y, axes_y, cell)
    ellipse_maps = (strength_x * strength_y) * torch.exp2(-(distance_x + distance_y))
    return torch.where(known[:, None, None, None], ellipse_maps.amax(2), 0)


def _across_and_down(offsets: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """Return the parts of vectors across and down a face, in pixels, each [...].

    Args:
        offsets: [..., 2], x and y in pixels of the image.
        direction: [..., 2], the unit vector across the face.
    """
    x, y = offsets.unbind(-1)
    right, below = direction.unbind(-1)
    return x * right + y * below, y * right - x * below


def _along(
    places: Tensor,
    unit: Tensor,
    cells: Tensor,
    points: Tensor,
    shift: Tensor,
    axes: Tensor,
    cell: float,
) -> tuple[Tensor, Tensor]:
    """Return the squared distances of cells from ellipses in one direction, across or down a face.

    Args:
        places: [B, 68], the landmarks in this direction, in pixels.
        unit: [B], the unit of `shift` and `axes` in pixels.
        cells: [B, h, w], the middles of the cells in this direction, in pixels.
        points: [A, K, P], the landmarks that give the ellipses their extent.
        shift, axes: [A, K], `fauds.facs.Ellipse.shift` and `axes` in this direction.
        cell: the side of a cell in pixels.

    Returns:
        The squared distances [B, A, K, h, w], 1 on the edge of the blurred ellipse; and the factor
        by which the blur in this direction lowers the Gaussian, [B, A, K, 1, 1].
    """
    low, high = places[:, points].aminmax(dim=-1)
    centre = (low + high) / 2 + shift * unit[:, None, None]
    half = (high - low) / 2 + axes * unit[:, None, None]
    blurred = (half.square() + (_CELL_BLUR * _EDGE * cell) ** 2).sqrt()
    distance = (cells[:, None, None] - centre[..., None, None]) / blurred[..., None, None]
    return distance.square(), (half / blurred)[..., None, None]


def codebook_table(expressions: Sequence[str], aus: Sequence[str] = AUS) -> Tensor:
    """Return which AUs each expression has by the codebook: float32 [C, A], 1 or 0.

    The rows of B labels are the `active` of `au_map`: ``codebook_table(classes)[labels]``. The rows
    of "neutral" and "contempt", which the codebook does not have, are zero.

    Args:
        expressions: the names of C expressions, in the order of the labels.
        aus: the names of A AUs; all that fauds knows, unless given.

    Raises:
        UsageError: fauds does not know an expression or an AU.
    """
    rows = {**expression_aus(), **dict.fromkeys(WITHOUT_AUS, ())}
    for name in expressions:
        if name not in rows:
            raise unknown_name_error("expression", name, list(rows))
    columns = [au_name(au) for au in aus]
    return torch.tensor([[float(au in rows[name]) for au in columns] for name in expressions])


class _Table(NamedTuple):
    """The ellipses of A AUs as tensors, where K is the largest number of ellipses of an AU.

    An AU with fewer ellipses has one of them several times, and an ellipse with fewer than P
    landmarks has one of them several times, which changes neither a maximum nor a minimum.

    Attributes:
        x, y: [A, K, P] long, the landmarks of the ellipses across and down the face.
        shift, axes: [A, K, 2], `fauds.facs.Ellipse.shift` and `axes`, across and down the face.
        needed: [N] long, the landmarks that these ellipses and the axes of the face need.
    """

    x: Tensor
    y: Tensor
    shift: Tensor
    axes: Tensor
    needed: Tensor


@lru_cache(maxsize=16)
def _table(aus: tuple[str, ...], device: torch.device, dtype: torch.dtype) -> _Table:
    """Return the ellipses of AUs as tensors of a data type on a device.

    Raises:
        UsageError: fauds does not know an AU.
    """
    by_au = [ellipses(au) for au in aus]
    most = max(map(len, by_au))
    rows = [[*own, *own[:1] * (most - len(own))] for own in by_au]
    listed = [points for row in rows for ellipse in row for points in (ellipse.x, ellipse.y)]
    longest = max(map(len, listed))

    def landmarks(points: tuple[int, ...]) -> list[int]:
        return [*points, *points[:1] * (longest - len(points))]

    x = [[landmarks(ellipse.x) for ellipse in row] for row in rows]
    y = [[landmarks(ellipse.y) for ellipse in row] for row in rows]
    shift = [[ellipse.shift for ellipse in row] for row in rows]
    axes = [[ellipse.axes for ellipse in row] for row in rows]
    needed = sorted({*_EYE_CORNERS, *_NOSE, *(point for points in listed for point in points)})
    # A tensor made in inference mode could not be used in training later.
    with torch.inference_mode(False):
        return _Table(
            send(torch.tensor(x), device),
            send(torch.tensor(y), device),
            send(torch.tensor(shift, dtype=dtype), device),
            send(torch.tensor(axes, dtype=dtype), device),
            send(torch.tensor(needed), device),
        )
