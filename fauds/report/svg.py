"""Figures for an HTML page: SVG in the page's own colours and fonts, with a text alternative."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

INK = "#0a0b0c"
"""A placeholder colour: `as_drawing` replaces it with the page's text colour, light or dark."""

SERIES = ("#1b7fb8", "#d95f02", "#1b9e77", "#7570b3", "#e7298a", "#a6761d", "#5f8f1f", "#c0392b")
"""Colours with a contrast of at least 3 both to white and to black."""

MARKERS = "osD^vP*X"
"""A marker for each of the colours in `SERIES`, so that no information depends on colour alone."""

_STYLE: "dict[RcKeyType, str | float | bool]" = {
    "svg.fonttype": "none",
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "legend.frameon": False,
}


@dataclass(frozen=True)
class Drawing:
    """A figure of an HTML page.

    Attributes:
        svg: the SVG element, as text.
        title: the title of the figure, a few words.
        words: the text alternative: sentences that say what the figure shows.
    """

    svg: str
    title: str
    words: str


@contextmanager
def drawing(name: str) -> Iterator[None]:
    """Set matplotlib to the page's style for the figures drawn in a ``with`` block.

    Args:
        name: the name of the figure. The ids in the SVG depend only on this name, so that they are
            the same every time.
    """
    with rc_context({**_STYLE, "svg.hashsalt": name}):
        yield


def as_drawing(figure: Figure, name: str, title: str, words: str) -> Drawing:
    """Turn a matplotlib figure into SVG for a page; call this within a `drawing` block.

    Args:
        figure: the finished figure.
        name: the figure's name: letters only, unique on the page.
        title: the title of the figure, a few words.
        words: the text alternative: sentences that say what the figure shows.
    """
    buffer = StringIO()
    figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format")))
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    # Rules of a style element would apply to the whole page.
    svg = re.sub(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->\n?", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r'\1 role="img" aria-label="@@"', svg, count=1)
    # Several figures share one page: their ids must not clash.
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r"url\(#", f"url(#{name}-", svg)
    svg = re.sub(r'href="#', f'href="#{name}-', svg)
    svg = re.sub(r"font: ([\d.]+px) [^;\"]+", r"font: \1 system-ui, sans-serif", svg)
    svg = svg.replace(INK, "currentColor")
    return Drawing(svg.replace("@@", _attribute(words)), title, words)


def _attribute(text: str) -> str:
    for sign, name in (("&", "&amp;"), ('"', "&quot;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(sign, name)
    return text


def grid(axes: Axes, axis: str) -> None:
    """Draw the grid lines of a chart, behind its markers.

    Args:
        axes: the axes to draw in.
        axis: the axis whose grid lines to draw: "x", "y" or "both".
    """
    axes.grid(axis=axis, color=INK, alpha=0.15, linewidth=0.8)  # type: ignore[arg-type]
    axes.set_axisbelow(True)
