"""What drawings are made of: text that is measured before it is placed, panels, crosses, heat."""

from functools import lru_cache

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fauds import fonts

RGB = tuple[int, int, int]

PANEL: RGB = (22, 24, 29)
TEXT_COLOUR: RGB = (242, 242, 242)
FAINT: RGB = (160, 166, 176)
MARKS: tuple[RGB, ...] = (
    (255, 214, 10),
    (76, 201, 240),
    (255, 122, 182),
    (140, 224, 110),
    (255, 159, 67),
    (178, 150, 255),
)
"""Colours of faces, told apart on dark and on light; the first is the largest face's."""

_SPACING = 1.35
_CLEAR, _FULL = 0.12, 0.72


def line_height(size: int) -> int:
    """Return the pixels from one line to the next of text of a size in pixels."""
    return round(size * _SPACING)


def text_width(text: str, size: int, bold: bool = False) -> float:
    """Return the width of a line of text in pixels."""
    return _font(fonts.font_file(text, bold), size).getlength(text)


def wrap(text: str, width: float, size: int, most: int | None = None) -> tuple[str, ...]:
    """Return a text in lines of at most that width in pixels.

    Args:
        text: one paragraph.
        width: pixels.
        size: of the letters, pixels.
        most: how many lines there may be; a text of more ends with "…".
    """
    lines = _wrapped(text, int(width), size)
    if most is None or len(lines) <= most:
        return lines
    if most <= 0:
        return ()
    return (*lines[: most - 1], shorten(f"{lines[most - 1]}…", width, size))


@lru_cache(maxsize=4096)
def _wrapped(text: str, width: int, size: int) -> tuple[str, ...]:
    lines = [""]
    for word in fonts.pieces(text):
        for piece in [word] if text_width(word.rstrip(), size) <= width else word:
            if lines[-1] and text_width((lines[-1] + piece).rstrip(), size) > width:
                lines[-1] = lines[-1].rstrip()
                lines.append("")
            lines[-1] += piece
    return tuple(line.rstrip() for line in lines) if text else ()


@lru_cache(maxsize=4096)
def shorten(text: str, width: float, size: int, bold: bool = False) -> str:
    """Return one line of at most that width in pixels; what does not fit becomes "…"."""
    if text_width(text, size, bold) <= width:
        return text
    kept = text.rstrip("…")
    while kept and text_width(f"{kept.rstrip()}…", size, bold) > width:
        kept = kept[:-1]
    return f"{kept.rstrip()}…"


@lru_cache(maxsize=64)
def _font(path: str, size: int) -> ImageFont.FreeTypeFont:
    # The plain layout engine: what Raqm adds, these languages do not need, and it is slower.
    return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)


class Board:
    """A picture to draw on.

    Args:
        width: pixels.
        height: pixels.
        colour: of the ground.
    """

    def __init__(self, width: int, height: int, colour: RGB = PANEL) -> None:
        self._image = Image.new("RGB", (width, height), colour)
        self._draw = ImageDraw.Draw(self._image)

    def pixels(self) -> np.ndarray:
        """Return what has been drawn, uint8 [height, width, 3] RGB."""
        return np.asarray(self._image)

    def paste(self, pixels: np.ndarray, x: int, y: int) -> None:
        """Put a picture, uint8 [h, w, 3] RGB, with its top left corner at x, y."""
        self._image.paste(Image.fromarray(pixels), (x, y))

    def write(
        self,
        text: str,
        x: float,
        y: float,
        size: int,
        colour: RGB = TEXT_COLOUR,
        bold: bool = False,
    ) -> None:
        """Write a line with the top of its line box at y."""
        font = _font(fonts.font_file(text, bold), size)
        # By the baseline: lines in fonts of other heights stay level.
        base = y + (line_height(size) + 0.72 * size) / 2
        self._draw.text((x, base), text, colour, font, anchor="ls")

    def panel(self, box: tuple[float, float, float, float], colour: RGB = PANEL) -> None:
        """Fill a box: left, top, right, bottom."""
        self._draw.rectangle(box, fill=colour)

    def frame(
        self, box: tuple[float, float, float, float], colour: RGB, width: int, edge: int = 1
    ) -> None:
        """Draw a box's outline with dark edges, seen on any ground."""
        left, top, right, bottom = box
        half = width / 2
        for grown, thick, paint in (
            (half + edge, width + 2 * edge, PANEL),
            (half, width, colour),
        ):
            outer = (left - grown, top - grown, right + grown, bottom + grown)
            self._draw.rectangle(outer, outline=paint, width=thick)

    def cross(self, x: float, y: float, reach: int, colour: RGB) -> None:
        """Draw a small upright cross with dark edges."""
        for thick, paint in ((3, PANEL), (1, colour)):
            longer = reach + thick // 2
            self._draw.line((x - longer, y, x + longer, y), fill=paint, width=thick)
            self._draw.line((x, y - longer, x, y + longer), fill=paint, width=thick)


def heat(picture: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Lay values over a picture as colours, dark violet for the least, yellow for the most.

    Args:
        picture: uint8 [H, W, 3] RGB.
        values: float [h, w], over the same field; enlarged bilinearly. Their own range, least to
            most, is the range of the colours; values that are all the same leave the picture bare.

    Returns:
        uint8 [H, W, 3] RGB; the more heat, the less of the picture shows through.
    """
    low, high = float(values.min()), float(values.max())
    if not high > low:
        return picture
    height, width = picture.shape[:2]
    relative = (values.astype(np.float32) - low) / (high - low)
    scaled = cv2.resize(relative, (width, height), interpolation=cv2.INTER_LINEAR)
    coloured = cv2.applyColorMap(np.rint(scaled * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    share = (_CLEAR + (_FULL - _CLEAR) * scaled)[..., None]
    mixed: np.ndarray = np.rint(picture * (1 - share) + coloured[..., ::-1] * share)
    return mixed.astype(np.uint8)
