"""Pages of pictures and wrapped text, laid out in inches from the top left corner.

The size of every text is measured before it is placed, so that nothing overlaps or is cut off;
a page is as high as what is on it.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from fauds.fonts import families, pieces
from fauds.tables.atomic import atomic

INK, FAINT, MARK = "#1a1a1a", "#767676", "#ffd60a"
_SPACING = 1.4
_DPI = 150


class Page:
    """A page that is drawn when it is saved.

    Args:
        width: in inches.
        texts: all that will be written, to choose fonts.

    Raises:
        DataError: no font has all their letters.
    """

    def __init__(self, width: float, texts: Iterable[str]) -> None:
        self.width = width
        self._families = families(texts)
        self._drawn: list[Callable[[Figure, float], None]] = []
        canvas = FigureCanvasAgg(Figure(dpi=_DPI))
        # matplotlib declares no types for its own canvas.
        self._renderer = canvas.get_renderer()  # type: ignore[no-untyped-call]

    def wrap(self, text: str, width: float, size: float, bold: bool = False) -> list[str]:
        """Return a text in lines of at most that width in inches."""
        font = self._font(size, bold)
        lines = [""]
        for piece in self._fitting(pieces(text), width, font):
            if lines[-1] and self._wide((lines[-1] + piece).rstrip(), font) > width:
                lines[-1] = lines[-1].rstrip()
                lines.append("")
            lines[-1] += piece
        return [line.rstrip() for line in lines]

    def _fitting(self, words: Iterable[str], width: float, font: FontProperties) -> Iterator[str]:
        """Yield pieces; one that is longer than a line, such as a path, letter by letter."""
        for piece in words:
            yield from [piece] if self._wide(piece.rstrip(), font) <= width else piece

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
        """Write lines with the first line's top at y; return where the last one ends."""
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

        self._drawn.append(draw)
        return y + len(lines) * step

    def picture(
        self, pixels: np.ndarray, x: float, y: float, width: float, marks: np.ndarray | None = None
    ) -> float:
        """Show an image with its top left corner at x, y; return where it ends.

        Args:
            pixels: uint8 [rows, columns, 3].
            x: inches.
            y: inches.
            width: inches.
            marks: points of the image to mark, [n, 2] in pixels.
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

        self._drawn.append(draw)
        return y + high

    def box(self, x: float, y: float, width: float, high: float) -> None:
        """Show an empty grey box."""
        self.picture(
            np.full((max(round(100 * high / width), 1), 100, 3), 238, np.uint8), x, y, width
        )

    def save(self, path: Path, height: float) -> None:
        """Draw the page, of that height in inches, in the format of the path's suffix."""
        figure = Figure((self.width, height), dpi=_DPI)
        for draw in self._drawn:
            draw(figure, height)
        save(figure, path)

    def _font(self, size: float, bold: bool) -> FontProperties:
        return FontProperties(family=self._families, size=size, weight="bold" if bold else "normal")

    def _wide(self, text: str, font: FontProperties) -> float:
        pixels: float = self._renderer.get_text_width_height_descent(text, font, False)[0]
        return pixels / _DPI


def save(figure: Figure, path: Path) -> None:
    """Write a figure, whole or not at all, in the format of the path's suffix.

    Raises:
        DataError: the file system refuses.
    """
    with atomic(path) as temporary:
        figure.savefig(temporary, format=path.suffix.lower()[1:], facecolor="white")
