"""Alignments: from the marks of a face to the transform that makes its crop, and the crop.

Pixels are counted as everywhere in fauds: (0, 0) is the middle of the first pixel, so that an
image of width W reaches from -0.5 to W - 0.5. An alignment's version changes whenever its crops
would.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import cv2
import numpy as np

from fauds.errors import UsageError
from fauds.faces.landmarks import MOUTH_CORNERS, NOSE_TIP, Marks, eye_centres
from fauds.registry import unknown

# Level with each other about the middle of the crop, 127.5, so that a mirrored frame gives the
# mirrored crop; so far up that the chin of a wide open mouth, about 2.2 eye distances below, is in.
_LEFT_EYE, _RIGHT_EYE = 87.5 + 80j, 167.5 + 80j
_JAA_SIZE, _JAA_ENLARGE = 200, 2.9
_BOX_SIZE, _BOX_MARGIN = 224, 0.05
_NEAREST_EYES = 1.0


@dataclass(frozen=True)
class Alignment:
    """How a face becomes a crop.

    Attributes:
        name: what users write.
        version: raised whenever its crops change.
        size: side of the crop in pixels; None keeps the frame's own size.
        border: grey level, 0 to 255, of what lies outside the image.
        needs: which part of `Marks` it reads.
        averages: whether an image that shrinks to half or less is averaged over whole pixels
            before it is sampled; without that, bilinear sampling skips pixels.
        description: one exact sentence.
    """

    name: str
    version: int
    size: int | None
    border: int
    needs: Literal["eyes", "points", "box", "nothing"]
    averages: bool
    description: str
    compute: Callable[[Marks], np.ndarray] = field(repr=False)

    def transforms(self, marks: Marks) -> np.ndarray:
        """Return the affine maps from the frame's pixels to the crop's, float64 [N, 2, 3].

        A row is NaN where what the alignment needs is unknown or degenerate: eyes nearer than
        one pixel, a box without width or height.
        """
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            found = self.compute(marks)
        return np.where(np.isfinite(found).all((1, 2), keepdims=True), found, np.nan)


def alignment(name: str, version: int | None = None) -> Alignment:
    """Return an alignment by name.

    Raises:
        UsageError: there is none of that name, or its version is another one.
    """
    if name not in ALIGNMENTS:
        raise unknown("alignment", name, list(ALIGNMENTS))
    found = ALIGNMENTS[name]
    if version not in (None, found.version):
        raise UsageError(
            f"{name} has version {found.version} in this fauds, the benchmark asks for {version}.",
            hint="use the fauds release that the benchmark names, or make the crops anew and "
            "do not compare them with the benchmark's",
        )
    return found


def warp(image: np.ndarray, transform: np.ndarray, how: Alignment) -> np.ndarray:
    """Return the crop of an image.

    Args:
        image: uint8 [H, W, 3].
        transform: finite, [2, 3], as `Alignment.transforms` gives it for this image.
        how: the alignment.

    Returns:
        uint8 [size, size, 3], sampled bilinearly; the image itself where the alignment has no
        size.
    """
    if how.size is None:
        return image
    if how.averages:
        image, transform = _averaged(image, transform, how.border)
    return cv2.warpAffine(
        image,
        transform,
        (how.size, how.size),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(how.border,) * 3,
    )


def _averaged(
    image: np.ndarray, transform: np.ndarray, border: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the image averaged over blocks of whole pixels, and the transform from there.

    What is left to do for the transform is to shrink by less than 2.
    """
    height, width = image.shape[:2]
    # A block larger than the image would only add border.
    across, down = (
        min(max(int(1 / scale), 1), side)
        for scale, side in zip(np.hypot(*transform[:, :2]), (width, height), strict=True)
    )
    if across == down == 1:
        return image, transform
    # Filled up to whole blocks, so that no pixel at the far edges is lost.
    padded = cv2.copyMakeBorder(
        image, 0, -height % down, 0, -width % across, cv2.BORDER_CONSTANT, value=(border,) * 3
    )
    small = (padded.shape[1] // across, padded.shape[0] // down)
    linear = transform[:, :2] * (across, down)
    # The middle of a block's pixels is not the middle of its first pixel.
    offset = transform[:, :2] @ ((across - 1) / 2, (down - 1) / 2) + transform[:, 2]
    return cv2.resize(padded, small, interpolation=cv2.INTER_AREA), np.column_stack(
        [linear, offset]
    )


def _eyes_similarity(marks: Marks) -> np.ndarray:
    left, right = _complex(marks.eyes).T
    turn = (_RIGHT_EYE - _LEFT_EYE) / _apart(left, right)
    return _similarity(turn, _LEFT_EYE - turn * left)


def _jaa(marks: Marks) -> np.ndarray:
    left, right = _complex(eye_centres(marks.points)).T
    between = _apart(left, right)
    level = np.conj(between) / np.abs(between)
    corners = _complex(marks.points[:, [NOSE_TIP, *MOUTH_CORNERS]])
    turned = np.column_stack([left, right, corners]) * level[:, None]
    low = turned.real.min(1) + 1j * turned.imag.min(1)
    high = turned.real.max(1) + 1j * turned.imag.max(1)
    extent = high - low
    side = _JAA_ENLARGE * np.maximum(extent.real, extent.imag)
    scale = (_JAA_SIZE - 1) / side
    return _similarity(scale * level, scale * ((1 + 1j) * side / 2 - (low + high) / 2))


def _box(marks: Marks) -> np.ndarray:
    low, high = marks.boxes[:, :2], marks.boxes[:, 2:]
    sides = np.where((high > low).all(1, keepdims=True), high - low, np.nan)
    scale = _BOX_SIZE / (sides * (1 + 2 * _BOX_MARGIN))
    found = np.zeros((len(sides), 2, 3))
    found[:, [0, 1], [0, 1]] = scale
    found[:, :, 2] = -0.5 - scale * (low - _BOX_MARGIN * sides)
    return found


def _nothing(marks: Marks) -> np.ndarray:
    return np.tile(np.eye(2, 3), (len(marks.eyes), 1, 1))


def _complex(points: np.ndarray) -> np.ndarray:
    """Return points [..., 2] as x + iy, in which turning and scaling is one product."""
    return points[..., 0] + 1j * points[..., 1]


def _apart(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the way from eye to eye, NaN where they are too near to show a direction."""
    between = right - left
    return np.where(np.abs(between) < _NEAREST_EYES, np.nan, between)


def _similarity(turn: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Return z -> turn z + shift as matrices [N, 2, 3]."""
    rows = [turn.real, -turn.imag, shift.real, turn.imag, turn.real, shift.imag]
    return np.stack(rows, 1).reshape(-1, 2, 3)


ALIGNMENTS = {
    found.name: found
    for found in (
        Alignment(
            "eyes-similarity",
            1,
            256,
            0,
            "eyes",
            True,
            "256 x 256 pixels, the similarity (turn, scale, shift) that takes the eye centres to "
            "(87.5, 80) and (167.5, 80), black outside the image; an image that shrinks to half or "
            "less is averaged over whole pixels first, then sampled bilinearly.",
            _eyes_similarity,
        ),
        Alignment(
            "jaa",
            1,
            _JAA_SIZE,
            128,
            "points",
            False,
            "200 x 200 pixels as JAA-Net's face_transform.py makes them: turned so that the line "
            "of the eye centres is level, the square 2.9 times as wide as the longer side of the "
            "box around eye centres, nose tip and mouth corners and about its middle, its left "
            "and top edges at pixel 0 and the others at pixel 199, sampled bilinearly, grey 128 "
            "outside the image.",
            _jaa,
        ),
        Alignment(
            "bbox-5",
            1,
            _BOX_SIZE,
            0,
            "box",
            True,
            "224 x 224 pixels, the face's box enlarged by 5 % of its width and height on each "
            "side and stretched, without turning, so that its edges meet the crop's edges (-0.5 "
            "and 223.5), black outside the image; a side that shrinks to half or less is "
            "averaged over whole pixels first, then sampled bilinearly.",
            _box,
        ),
        Alignment(
            "none",
            1,
            None,
            0,
            "nothing",
            False,
            "The frame as it is.",
            _nothing,
        ),
    )
}
"""The alignments by name."""
