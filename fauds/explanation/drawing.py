"""Drawing functions for annotated images: text, panels, boxes, crosses and heatmaps."""

from functools import lru_cache

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fauds import fonts

RGB = tuple[int, int, int]

PANEL: RGB = (22, 24, 29)
TEXT_COLOUR: RGB = (242, 242, 242)
FAINT: RGB = (160, 166, 176)
FACE_COLOURS: tuple[RGB, ...] = (
    (255, 214, 10),
    (76, 201, 240),
    (255, 122, 182),
    (140, 224, 110),
    (255, 159, 67),
    (178, 150, 255),
)
"""The colours of the boxes around faces, visible on dark and light images.

The largest face of an image gets the first colour.
"""

_SPACING = 1.35
_MIN_OPACITY, _MAX_OPACITY = 0.12, 0.72


def line_height(size: int) -> int:
    """Return the height of a line of text in pixels, for a font size in pixels."""
    return round(size * _SPACING)


def text_width(text: str, size: int, bold: bool = False) -> float:
    """Return the width of a line of text in pixels, for a font size in pixels."""
    return _font(fonts.font_file(text, bold), size).getlength(text)


def wrap(text: str, width: float, size: int, most: int | None = None) -> tuple[str, ...]:
    """Break a text into lines that are not wider than a given width.

    Args:
        text: one paragraph.
        width: the maximum width of a line in pixels.
        size: the font size in pixels.
        most: the maximum number of lines; a longer text is shortened and ends with "…".
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
    for word in fonts.line_break_pieces(text):
        for piece in [word] if text_width(word.rstrip(), size) <= width else word:
            if lines[-1] and text_width((lines[-1] + piece).rstrip(), size) > width:
                lines[-1] = lines[-1].rstrip()
                lines.append("")
            lines[-1] += piece
    return tuple(line.rstrip() for line in lines) if text else ()


@lru_cache(maxsize=4096)
def shorten(text: str, width: float, size: int, bold: bool = False) -> str:
    """Return a text that fits into a line of this width in pixels.

    A longer text is shortened and ends with "…". `size` is the font size in pixels.
    """
    if text_width(text, size, bold) <= width:
        return text
    kept = text.rstrip("…")
    while kept and text_width(f"{kept.rstrip()}…", size, bold) > width:
        kept = kept[:-1]
    return f"{kept.rstrip()}…"


@lru_cache(maxsize=64)
def _font(path: str, size: int) -> ImageFont.FreeTypeFont:
    # The basic layout engine is faster than Raqm, whose features these languages do not need.
    return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)


class Board:
    """An image to draw on.

    Args:
        width: the width in pixels.
        height: the height in pixels.
        colour: the background colour.
    """

    def __init__(self, width: int, height: int, colour: RGB = PANEL) -> None:
        self._image = Image.new("RGB", (width, height), colour)
        self._draw = ImageDraw.Draw(self._image)

    def pixels(self) -> np.ndarray:
        """Return the image, uint8 [height, width, 3] RGB."""
        return np.asarray(self._image)

    def paste(self, pixels: np.ndarray, x: int, y: int) -> None:
        """Copy an image, uint8 [h, w, 3] RGB, with its top left corner at x, y."""
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
        """Write a line of text with its top left corner at x, y.

        `size` is the font size in pixels; the line is `line_height(size)` pixels high.
        """
        font = _font(fonts.font_file(text, bold), size)
        # Aligned by the baseline, so that lines in different fonts are level.
        base = y + (line_height(size) + 0.72 * size) / 2
        self._draw.text((x, base), text, colour, font, anchor="ls")

    def panel(self, box: tuple[float, float, float, float], colour: RGB = PANEL) -> None:
        """Fill a box, given by its left, top, right and bottom edge in pixels, with a colour."""
        self._draw.rectangle(box, fill=colour)

    def frame(
        self, box: tuple[float, float, float, float], colour: RGB, width: int, edge: int = 1
    ) -> None:
        """Draw the outline of a box, with dark edges that make it visible on any background.

        Args:
            box: the left, top, right and bottom edge in pixels.
            colour: the colour of the outline.
            width: the line width in pixels.
            edge: the width of the dark edges in pixels.
        """
        left, top, right, bottom = box
        half = width / 2
        for grown, thick, paint in (
            (half + edge, width + 2 * edge, PANEL),
            (half, width, colour),
        ):
            outer = (left - grown, top - grown, right + grown, bottom + grown)
            self._draw.rectangle(outer, outline=paint, width=thick)

    def cross(self, x: float, y: float, reach: int, colour: RGB) -> None:
        """Draw a small upright cross with dark edges and its centre at x, y.

        `reach` is the length of each arm in pixels.
        """
        for thick, paint in ((3, PANEL), (1, colour)):
            longer = reach + thick // 2
            self._draw.line((x - longer, y, x + longer, y), fill=paint, width=thick)
            self._draw.line((x, y - longer, x, y + longer), fill=paint, width=thick)


def overlay_heatmap(image: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Overlay an image with a heatmap, from dark violet (minimum) to yellow (maximum).

    The higher a value, the more opaque is the heatmap. If all values are equal, the image is
    returned without changes.

    Args:
        image: the image, uint8 [H, W, 3] RGB.
        values: the values of the heatmap, float [h, w], which are resized bilinearly to the image.

    Returns:
        The image with the heatmap, uint8 [H, W, 3] RGB.
    """
    low, high = float(values.min()), float(values.max())
    if not high > low:
        return image
    height, width = image.shape[:2]
    relative = (values.astype(np.float32) - low) / (high - low)
    scaled = cv2.resize(relative, (width, height), interpolation=cv2.INTER_LINEAR)
    coloured = cv2.applyColorMap(np.rint(scaled * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    opacity = (_MIN_OPACITY + (_MAX_OPACITY - _MIN_OPACITY) * scaled)[..., None]
    mixed: np.ndarray = np.rint(image * (1 - opacity) + coloured[..., ::-1] * opacity)
    return mixed.astype(np.uint8)
