"""How an annotated picture is divided: the picture, the panel beside it, and what that holds."""

from dataclasses import dataclass

import numpy as np

from fauds.explanation.drawing import line_height

TILES = 6
"""How many action units are shown with their attention: more cannot be read."""

_SMALL, _LARGE = 480, 1920
_ROWS = 2


@dataclass(frozen=True)
class Layout:
    """Where things go, in pixels; the same for all pictures of one size.

    Attributes:
        factor: that small pictures are enlarged by; 1 for others.
        width: of the picture as it is shown.
        height: of the picture as it is shown.
        body: height of picture and side panel, at least that of the picture.
        side: width of the side panel.
        size: of letters.
        slot: height of one action unit in the side panel.
        lines: of text that a slot has below the action unit's name.
    """

    factor: float
    width: int
    height: int
    body: int
    side: int
    size: int
    slot: int
    lines: int

    @property
    def pad(self) -> int:
        """The blank between things."""
        return self.size // 2

    @property
    def stroke(self) -> int:
        """The width of a box's line."""
        return max(2, self.size // 7)

    @property
    def tile(self) -> int:
        """The side of an attention tile."""
        return min(self.slot - self.pad, 10 * self.size)


def lay_out(height: int, width: int) -> Layout:
    """Return the layout for pictures of a size: shown as large as they are, or enlarged to 480."""
    factor = max(1.0, min(_SMALL / min(height, width), _LARGE / max(height, width)))
    shown = round(width * factor), round(height * factor)
    size = max(13, round(min(shown) / 42))
    step, pad = line_height(size), size // 2
    footer = 3 * step
    # Video codecs want even sizes.
    body = even(max(shown[1], TILES * ((1 + _ROWS) * step + pad) + footer + pad))
    slot = min((body - footer - pad) // TILES, 12 * size)
    lines = (slot - pad) // step - 1
    text = int(np.clip(70 * size / lines, 16 * size, 32 * size))
    side = min(slot - pad, 10 * size) + text + 3 * pad
    return Layout(factor, *shown, body, even(shown[0] + side) - shown[0], size, slot, lines)


def even(value: int) -> int:
    """Return the even number that is the value or follows it."""
    return value + value % 2
