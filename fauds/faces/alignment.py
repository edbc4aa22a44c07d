"""Alignments: the rules by which faces are cropped.

An alignment computes an affine map from pixels of the image to pixels of the crop, from marks of
the face such as its eye centres.

Pixel coordinates are the same throughout fauds: (0, 0) is the middle of the first pixel, so an
image of width W extends from -0.5 to W - 0.5. The version of an alignment is raised whenever its
crops change.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import cv2
import numpy as np

from fauds.errors import UsageError
from fauds.faces.landmarks import MOUTH_CORNERS, NOSE_TIP, Marks, eye_centres
from fauds.registry import unknown_name_error

# Level and symmetric about the middle of the crop, 127.5, so that a mirrored frame gives the
# mirrored crop; high enough that the crop holds the chin of a wide open mouth, which lies about
# 2.2 eye distances below.
_LEFT_EYE, _RIGHT_EYE = 87.5 + 80j, 167.5 + 80j
_JAA_SIZE, _JAA_ENLARGE = 200, 2.9
_BOX_SIZE, _BOX_MARGIN = 224, 0.05
_LEAST_EYE_DISTANCE = 1.0


@dataclass(frozen=True)
class Alignment:
    """A rule that turns a face into a crop.

    Attributes:
        name: the name that users write.
        version: the version of the rule, raised whenever its crops change.
        size: the side of the crop in pixels; None keeps the size of the image.
        border: the grey level, 0 to 255, of crop pixels that lie outside the image.
        needs: what the alignment must know of a face: "eyes", "points", "box" or "nothing".
        averages: whether an image that is reduced to half its size or less is first averaged over
            blocks of pixels; without averaging, bilinear sampling skips pixels.
        description: one sentence that defines the crop exactly.
        compute: the function that returns the affine maps from pixels of the image to pixels of
            the crop, float64 [N, 2, 3], of N faces.
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
        """Return the affine maps from pixels of images to pixels of crops, float64 [N, 2, 3].

        The map of a face is NaN if the marks that the alignment needs are unknown, if the eyes are
        less than one pixel apart, or if the box has no width or height.

        Args:
            marks: the eye centres, 49 points and boxes of N faces.
        """
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            transforms = self.compute(marks)
        return np.where(np.isfinite(transforms).all((1, 2), keepdims=True), transforms, np.nan)


def alignment(name: str, version: int | None = None) -> Alignment:
    """Return an alignment by name.

    Args:
        name: the name of the alignment.
        version: the version that is required; None accepts any.

    Raises:
        UsageError: no alignment has that name, or it has another version.
    """
    if name not in ALIGNMENTS:
        raise unknown_name_error("alignment", name, list(ALIGNMENTS))
    match = ALIGNMENTS[name]
    if version not in (None, match.version):
        raise UsageError(
            f"The alignment {name} has version {match.version} in this version of fauds, but the "
            f"benchmark requires version {version}.",
            hint="use the version of fauds that the benchmark names, or require version "
            f"{match.version} of the alignment and do not compare results with the benchmark's",
        )
    return match


def warp(image: np.ndarray, transform: np.ndarray, alignment: Alignment) -> np.ndarray:
    """Return the crop of an image.

    Args:
        image: the image, uint8 [H, W, 3].
        transform: the affine map from pixels of the image to pixels of the crop, [2, 3], from
            `Alignment.transforms`; it must not be NaN.
        alignment: the alignment, which determines the size and border of the crop.

    Returns:
        The crop, uint8 [size, size, 3], sampled bilinearly; the image itself if the alignment's
        size is None.
    """
    if alignment.size is None:
        return image
    if alignment.averages:
        image, transform = _averaged(image, transform, alignment.border)
    return cv2.warpAffine(
        image,
        transform,
        (alignment.size, alignment.size),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(alignment.border,) * 3,
    )


def _averaged(
    image: np.ndarray, transform: np.ndarray, border: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return a smaller image, averaged over blocks of pixels, and the map from it to the crop.

    The size of a block is chosen so that this map reduces the averaged image by less than a
    factor of 2.

    Args:
        image: the image, uint8 [H, W, 3].
        transform: the affine map from pixels of the image to pixels of the crop, [2, 3].
        border: the grey level of pixels that lie outside the image.
    """
    height, width = image.shape[:2]
    # A block larger than the image would only add border.
    across, down = (
        min(max(int(1 / scale), 1), side)
        for scale, side in zip(np.hypot(*transform[:, :2]), (width, height), strict=True)
    )
    if across == down == 1:
        return image, transform
    # Padding to whole blocks keeps the pixels at the right and lower edge.
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
    turn = (_RIGHT_EYE - _LEFT_EYE) / _eye_to_eye(left, right)
    return _similarity(turn, _LEFT_EYE - turn * left)


def _jaa(marks: Marks) -> np.ndarray:
    left, right = _complex(eye_centres(marks.points)).T
    between = _eye_to_eye(left, right)
    level = np.conj(between) / np.abs(between)
    corners = _complex(marks.points[:, [NOSE_TIP, *MOUTH_CORNERS]])
    levelled = np.column_stack([left, right, corners]) * level[:, None]
    low = levelled.real.min(1) + 1j * levelled.imag.min(1)
    high = levelled.real.max(1) + 1j * levelled.imag.max(1)
    extent = high - low
    side = _JAA_ENLARGE * np.maximum(extent.real, extent.imag)
    scale = (_JAA_SIZE - 1) / side
    return _similarity(scale * level, scale * ((1 + 1j) * side / 2 - (low + high) / 2))


def _box(marks: Marks) -> np.ndarray:
    low, high = marks.boxes[:, :2], marks.boxes[:, 2:]
    sides = np.where((high > low).all(1, keepdims=True), high - low, np.nan)
    scale = _BOX_SIZE / (sides * (1 + 2 * _BOX_MARGIN))
    transforms = np.zeros((len(sides), 2, 3))
    transforms[:, [0, 1], [0, 1]] = scale
    transforms[:, :, 2] = -0.5 - scale * (low - _BOX_MARGIN * sides)
    return transforms


def _unchanged(marks: Marks) -> np.ndarray:
    return np.tile(np.eye(2, 3), (len(marks.eyes), 1, 1))


def _complex(points: np.ndarray) -> np.ndarray:
    """Return points (x, y), [..., 2], as complex numbers x + iy, [...].

    Multiplication by a complex number then rotates and scales the points.
    """
    return points[..., 0] + 1j * points[..., 1]


def _eye_to_eye(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the vectors from the left to the right eye of N faces, as complex numbers.

    A vector is NaN if the eyes are too close together to define a direction.
    """
    vectors = right - left
    return np.where(np.abs(vectors) < _LEAST_EYE_DISTANCE, np.nan, vectors)


def _similarity(turn: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Return affine maps, [N, 2, 3], that rotate, scale and shift points of the plane.

    Args:
        turn: the rotation and scale of each map, a complex number by which x + iy is multiplied.
        shift: the shift of each map, a complex number that is then added.
    """
    rows = [turn.real, -turn.imag, shift.real, turn.imag, turn.real, shift.imag]
    return np.stack(rows, 1).reshape(-1, 2, 3)


ALIGNMENTS = {
    entry.name: entry
    for entry in (
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
            "the frames as they are",
            _unchanged,
        ),
    )
}
"""The alignments by their names."""
