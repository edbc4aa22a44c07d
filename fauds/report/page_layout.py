"""Lays out pages of images and wrapped text, in inches from the top left corner.

Every text is measured before it is placed, so that nothing overlaps or is cut off. The height of
a page follows from its content.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from fauds.fonts import families, line_break_pieces
from fauds.tables.atomic import atomic

INK, FAINT, MARK = "#1a1a1a", "#767676", "#ffd60a"
_SPACING = 1.4
_DPI = 150


class Page:
    """A page of texts and images that is drawn when it is saved.

    Args:
        width: the width of the page in inches.
        texts: all texts of the page; a font is chosen that has all their letters.

    Raises:
        DataError: no installed font has all letters of the texts.
    """

    def __init__(self, width: float, texts: Iterable[str]) -> None:
        self.width = width
        self._families = families(texts)
        self._steps: list[Callable[[Figure, float], None]] = []
        canvas = FigureCanvasAgg(Figure(dpi=_DPI))
        # matplotlib declares no types for its own canvas.
        self._renderer = canvas.get_renderer()  # type: ignore[no-untyped-call]

    def wrap(self, text: str, width: float, size: float, bold: bool = False) -> list[str]:
        """Break a text into lines that fit a width; return the lines.

        Args:
            text: the text.
            width: the greatest length of a line in inches.
            size: the font size in points.
            bold: whether the font is bold.
        """
        font = self._font(size, bold)
        lines = [""]
        for piece in self._fitting(line_break_pieces(text), width, font):
            if lines[-1] and self._width((lines[-1] + piece).rstrip(), font) > width:
                lines[-1] = lines[-1].rstrip()
                lines.append("")
            lines[-1] += piece
        return [line.rstrip() for line in lines]

    def _fitting(self, words: Iterable[str], width: float, font: FontProperties) -> Iterator[str]:
        """Yield pieces of text that fit on a line; a piece that is too long is cut into letters.

        Args:
            words: the pieces of text, such as words or paths; a line may break between them.
            width: the length of a line in inches.
            font: the font to measure with.
        """
        for piece in words:
            yield from [piece] if self._width(piece.rstrip(), font) <= width else piece

    def write(
        self,
        lines: list[str],
        x: float,
        y: float,
        size: float,
        *,
        bold: bool = False,
        colour: str = INK,
    ) -> float:
        """Write lines of text below each other; return their lower edge (y in inches).

        Args:
            lines: the lines, as `wrap` returns them.
            x: the left edge in inches.
            y: the top of the first line in inches.
            size: the font size in points.
            bold: whether the font is bold.
            colour: a colour that matplotlib knows.
        """
        step = size * _SPACING / 72

        def draw(figure: Figure, height: float) -> None:
            for at, line in enumerate(lines):
                figure.text(
                    x,
                    height - y - at * step - size / 72,
                    line,
                    transform=figure.dpi_scale_trans,
                    fontproperties=self._font(size, bold),
                    color=colour,
                    parse_math=False,
                )

        self._steps.append(draw)
        return y + len(lines) * step

    def image(
        self, pixels: np.ndarray, x: float, y: float, width: float, marks: np.ndarray | None = None
    ) -> float:
        """Place an image on the page; return its lower edge (y in inches).

        Args:
            pixels: the image, uint8 [rows, columns, 3] RGB.
            x: the left edge in inches.
            y: the top edge in inches.
            width: the width on the page in inches.
            marks: the points of the image to mark with rings, [n, 2] in pixels; None for no rings.
        """
        rows, columns = pixels.shape[:2]
        high: float = width * rows / columns

        def draw(figure: Figure, height: float) -> None:
            box = (x / self.width, (height - y - high) / height, width / self.width, high / height)
            axes = figure.add_axes(box)
            axes.imshow(pixels, interpolation="bilinear")
            axes.set_axis_off()
            if marks is not None:
                for edge, line in (("black", 3.2), (MARK, 1.8)):
                    axes.scatter(
                        marks[:, 0],
                        marks[:, 1],
                        s=60,
                        facecolors="none",
                        edgecolors=edge,
                        linewidths=line,
                    )
                axes.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5))

        self._steps.append(draw)
        return y + high

    def box(self, x: float, y: float, width: float, high: float) -> None:
        """Place a grey box on the page.

        Args:
            x: the left edge in inches.
            y: the top edge in inches.
            width: the width in inches.
            high: the height in inches.
        """
        self.image(np.full((max(round(100 * high / width), 1), 100, 3), 238, np.uint8), x, y, width)

    def save(self, path: Path, height: float) -> None:
        """Draw the page and write it to a file, whose suffix decides the format.

        Args:
            path: the file to write: .png, .pdf or .svg.
            height: the height of the page in inches.

        Raises:
            DataError: the file cannot be written.
        """
        figure = Figure((self.width, height), dpi=_DPI)
        for draw in self._steps:
            draw(figure, height)
        save(figure, path)

    def _font(self, size: float, bold: bool) -> FontProperties:
        return FontProperties(family=self._families, size=size, weight="bold" if bold else "normal")

    def _width(self, text: str, font: FontProperties) -> float:
        pixels: float = self._renderer.get_text_width_height_descent(text, font, False)[0]
        return pixels / _DPI


def save(figure: Figure, path: Path) -> None:
    """Write a matplotlib figure to a file; the suffix decides the format.

    The file is replaced only once the figure is complete.

    Raises:
        DataError: the file cannot be written.
    """
    with atomic(path) as temporary:
        figure.savefig(temporary, format=path.suffix.lower()[1:], facecolor="white")
