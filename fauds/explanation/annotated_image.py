"""One picture with all that is said of its faces: boxes on it, tiles beside it, text below it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from fauds.explanation.drawing import (
    FAINT,
    MARKS,
    RGB,
    TEXT_COLOUR,
    Board,
    heat,
    line_height,
    shorten,
    text_width,
    wrap,
)
from fauds.explanation.explained import Explanation, MediaFrame
from fauds.faces.base import Box
from fauds.fonts import drawable

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


_FOOTER = "attention of each AU branch, each to its own maximum"
_VIDEO_LINES = 4


def compose(
    layout: Layout, frame: MediaFrame, explanations: Sequence[Explanation], *, fixed: bool
) -> np.ndarray:
    """Return the annotated picture.

    Args:
        layout: of `lay_out` for the picture's size.
        frame: a readable picture.
        explanations: of its faces, the largest first; none where it has no face.
        fixed: whether all pictures come out equally high: descriptions that are longer than
            four lines are cut, as a video needs it.

    Returns:
        uint8 [body + band, width + side, 3] RGB.
    """
    said = list(_band(layout, frame, explanations, _VIDEO_LINES if fixed else None))
    step = line_height(layout.size)
    lines = 1 + _VIDEO_LINES if fixed else len(said)
    band = even(lines * step + 2 * layout.pad)
    board = Board(layout.width + layout.side, layout.body + band)
    board.paste(_enlarged(frame.picture, layout), 0, 0)
    _draw_faces(board, layout, explanations)
    _draw_side(board, layout, explanations)
    for at, (line, colour) in enumerate(said):
        board.write(line, layout.pad, layout.body + layout.pad + at * step, layout.size, colour)
    return board.pixels()


def _enlarged(image: np.ndarray, layout: Layout) -> np.ndarray:
    if layout.factor == 1:
        return image
    size = (layout.width, layout.height)
    return cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)


def _band(
    layout: Layout, frame: MediaFrame, explanations: Sequence[Explanation], most: int | None
) -> Iterator[tuple[str, RGB]]:
    """Yield the lines below the picture: which it is, then what is said of each whole face."""
    width = layout.width + layout.side - 2 * layout.pad
    place = drawable(Path(frame.source).name)
    if frame.timestamp is not None:
        place += f" · frame {frame.number:,} · {frame.timestamp:.2f} s"
    if not explanations:
        place += " · no face"
    yield shorten(place, width, layout.size), FAINT
    described = [said for said in explanations if said.face]
    for at, said in enumerate(described):
        text = f"{said.index + 1}: {said.face}" if len(explanations) > 1 else said.face
        share = None if most is None else -(-most // (len(described) - at))
        for line in wrap(text, width, layout.size, share):
            if most is not None:
                most -= 1
            yield line, TEXT_COLOUR


def _draw_faces(board: Board, layout: Layout, explanations: Sequence[Explanation]) -> None:
    """Draw every face's box, and beside it the active action units with their probabilities."""
    boxes = [_shown_box(said, layout) for said in explanations]
    for said, box in zip(explanations, boxes, strict=True):
        if said.box is not None:
            board.frame(box, _mark(said), layout.stroke)
    taken: list[Box] = []
    for said, box in zip(explanations, boxes, strict=True):
        if len(explanations) > 1:
            taken.append(_draw_number(board, layout, said, box))
    for said, box in zip(explanations, boxes, strict=True):
        chips = [f"{au} {said.aus[au]:.2f}" for au in said.active]
        if chips:
            others = [other for other in boxes if other is not box]
            _draw_chips(board, layout, chips, box, taken, others)


def _shown_box(said: Explanation, layout: Layout) -> Box:
    """Return a face's box on the shown picture; the whole picture's where it has none."""
    if said.box is None:
        return (0, 0, layout.width - 1, layout.height - 1)
    ends = (layout.width, layout.height, layout.width, layout.height)
    # Lines stay on the picture also of a face that reaches beyond it.
    room = layout.stroke
    left, top, right, bottom = (
        min(max((at + 0.5) * layout.factor - 0.5, room), end - 1 - room)
        for at, end in zip(said.box, ends, strict=True)
    )
    return left, top, right, bottom


def _mark(said: Explanation) -> RGB:
    return MARKS[said.index % len(MARKS)]


def _draw_number(board: Board, layout: Layout, said: Explanation, box: Box) -> Box:
    number = str(said.index + 1)
    high = line_height(layout.size)
    wide = max(high, text_width(number, layout.size, bold=True) + layout.pad)
    left, top = min(box[0], layout.width - wide), min(box[1], layout.height - high)
    panel = (left, top, left + wide, top + high)
    board.panel(panel, _mark(said))
    middle = (wide - text_width(number, layout.size, bold=True)) / 2
    board.write(number, left + middle, top, layout.size, (22, 24, 29), bold=True)
    return panel


def _draw_chips(
    board: Board,
    layout: Layout,
    chips: list[str],
    box: Box,
    taken: list[Box],
    others: list[Box],
) -> None:
    """Write a face's action units where there is room; the side panel has them in any case."""
    step = line_height(layout.size)
    wide = max(text_width(chip, layout.size) for chip in chips) + layout.pad
    columns = int(np.clip((box[2] - box[0]) // wide, 1, min(3, len(chips))))
    rows = -(-len(chips) // columns)
    size = (columns * wide + layout.pad, rows * step + layout.pad)
    panel = _free_place(layout, size, box, taken, others)
    if panel is None:
        return
    taken.append(panel)
    board.panel(panel)
    for at, chip in enumerate(chips):
        x = panel[0] + layout.pad + at % columns * wide
        board.write(chip, x, panel[1] + layout.pad / 2 + at // columns * step, layout.size)


def _free_place(
    layout: Layout, size: tuple[float, float], box: Box, taken: list[Box], others: list[Box]
) -> Box | None:
    """Return where a label of that width and height covers no other label and, if it can be, no
    face: below the box, above, right, left, or inside it at the bottom."""
    wide, high = size
    left, top, right, bottom = box
    gap = layout.pad
    corners = (
        (left, bottom + gap),
        (left, top - gap - high),
        (right + gap, top),
        (left - gap - wide, top),
    )
    inside = (left + gap, bottom - gap - high)
    for tried, avoided in ((corners, [*taken, *others]), ((inside, *corners), taken)):
        for x, y in tried:
            # Along the box a label may slide; across it, it would cover the face.
            x, y = _slid(x, left, layout.width - 1 - wide), _slid(y, top, layout.height - 1 - high)
            panel = (x, y, x + wide, y + high)
            within = x >= 0 and y >= 0 and panel[2] < layout.width and panel[3] < layout.height
            if within and not any(_overlap(panel, other) for other in avoided):
                return panel
    return None


def _slid(at: float, edge: float, last: float) -> float:
    return min(at, max(last, 0)) if at == edge else at


def _overlap(one: Box, other: Box) -> bool:
    return one[0] <= other[2] and other[0] <= one[2] and one[1] <= other[3] and other[1] <= one[3]


def _draw_side(board: Board, layout: Layout, explanations: Sequence[Explanation]) -> None:
    """Draw the side panel: a tile and a text for each active action unit, as many as fit."""
    rows = [(said, au) for said in explanations for au in said.active]
    left, wide = layout.width + layout.pad, layout.side - 2 * layout.pad
    for at, (said, au) in enumerate(rows[:TILES]):
        several = len(explanations) > 1
        _draw_row(board, layout, said, au, layout.pad + at * layout.slot, several)
    if not rows:
        nothing = "no action unit is active" if explanations else "no face"
        board.write(nothing, left, layout.pad, layout.size, FAINT)
    step = line_height(layout.size)
    foot = layout.body - 3 * step
    if any(said.attention is not None for said, _ in rows):
        for at, line in enumerate(wrap(_FOOTER, wide, layout.size, 2)):
            board.write(line, left, foot + (at + 1) * step, layout.size, FAINT)
    if len(rows) > TILES:
        rest = f"and {len(rows) - TILES} more"
        if len(explanations) == 1:
            rest = f"and {', '.join(au for _, au in rows[TILES:])}"
        board.write(shorten(rest, wide, layout.size), left, foot, layout.size, FAINT)


def _draw_row(
    board: Board, layout: Layout, said: Explanation, au: str, top: int, several: bool
) -> None:
    left = layout.width + layout.pad
    if said.attention is not None:
        tile = attention_tile(said, au, layout.tile)
        board.paste(tile, left + (layout.tile - tile.shape[1]) // 2, top)
        left += layout.tile + layout.pad
    wide = layout.width + layout.side - layout.pad - left
    if several:
        number = str(said.index + 1)
        board.write(number, left, top, layout.size, _mark(said), bold=True)
        left_of_name = left + text_width(f"{number}  ", layout.size, bold=True)
    else:
        left_of_name = left
    board.write(f"{au}  {said.aus[au]:.2f}", left_of_name, top, layout.size, bold=True)
    step = line_height(layout.size)
    for at, line in enumerate(wrap(said.local.get(au, ""), wide, layout.size, layout.lines)):
        board.write(line, left, top + (at + 1) * step, layout.size)


def attention_tile(said: Explanation, au: str, side: int) -> np.ndarray:
    """Return what the model saw of a face with the heat of one action unit's attention.

    Returns:
        uint8 [h, w, 3] RGB, the longer of h and w being `side`.
    """
    if said.attention is None:
        raise ValueError("the model has no attention maps")
    left, top, right, bottom = (int(np.floor(at + 0.5)) for at in said.seen)
    crop = said.crop[max(top, 0) : bottom + 1, max(left, 0) : right + 1]
    scale = side / max(crop.shape[:2])
    size = (max(1, round(crop.shape[1] * scale)), max(1, round(crop.shape[0] * scale)))
    shrunk = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    crop = cv2.resize(crop, size, interpolation=shrunk)
    return heat(crop, said.attention[list(said.aus).index(au)])
