"""Composes an annotated image: boxes on the faces, and texts beside and below the image.

The side panel shows, for each active action unit, an image tile with the model's attention map and
a description. The descriptions of whole faces are below the image.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from fauds.explanation.drawing import (
    FACE_COLOURS,
    FAINT,
    RGB,
    TEXT_COLOUR,
    Board,
    line_height,
    overlay_heatmap,
    shorten,
    text_width,
    wrap,
)
from fauds.explanation.explained import Explanation, MediaFrame
from fauds.faces.base import Box
from fauds.fonts import drawable

TILES = 6
"""The maximum number of action units in the side panel; more would be too small to read."""

_MIN_SIDE, _MAX_SIDE = 480, 1920
_TEXT_LINES = 2


@dataclass(frozen=True)
class Layout:
    """The layout of annotated images in pixels; the same for all images of one size.

    Attributes:
        factor: the factor by which small images are enlarged; 1 for all other images.
        width: the width of the image after it is enlarged.
        height: the height of the image after it is enlarged.
        body: the height of the side panel, at least `height`; the texts below the image begin at
            this height.
        side: the width of the side panel.
        size: the font size.
        slot: the height of the side panel's section for one action unit.
        lines: the number of text lines in such a section, below the action unit's name.
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
        """The space between elements in pixels."""
        return self.size // 2

    @property
    def stroke(self) -> int:
        """The line width of the boxes around faces in pixels."""
        return max(2, self.size // 7)

    @property
    def tile(self) -> int:
        """The side in pixels of a square tile, which shows the attention map of an action unit."""
        return min(self.slot - self.pad, 10 * self.size)


def lay_out(height: int, width: int) -> Layout:
    """Return the layout of annotated images for original images of this height and width.

    Images whose shorter side has fewer than 480 pixels are enlarged.
    """
    factor = max(1.0, min(_MIN_SIDE / min(height, width), _MAX_SIDE / max(height, width)))
    shown = round(width * factor), round(height * factor)
    size = max(13, round(min(shown) / 42))
    step, pad = line_height(size), size // 2
    footer = 3 * step
    # Video codecs require even sizes.
    body = even(max(shown[1], TILES * ((1 + _TEXT_LINES) * step + pad) + footer + pad))
    slot = min((body - footer - pad) // TILES, 12 * size)
    lines = (slot - pad) // step - 1
    text = int(np.clip(70 * size / lines, 16 * size, 32 * size))
    side = min(slot - pad, 10 * size) + text + 3 * pad
    return Layout(factor, *shown, body, even(shown[0] + side) - shown[0], size, slot, lines)


def even(value: int) -> int:
    """Round a whole number up to an even number."""
    return value + value % 2


_FOOTER = {
    False: "attention map of each AU branch, scaled to its own maximum",
    True: "class map, scaled to its own maximum",
}
"""What the maps are, by whether the model predicts classes of which a face has one."""
_VIDEO_LINES = 4


def compose(
    layout: Layout,
    frame: MediaFrame,
    explanations: Sequence[Explanation],
    *,
    fixed: bool,
    weights: str = "",
) -> np.ndarray:
    """Draw the explanations of an image or video frame, and return the annotated image.

    Args:
        layout: the layout for the size of the frame, made by `lay_out`.
        frame: a readable image or video frame.
        explanations: the explanations of the frame's faces, largest face first; may be empty.
        fixed: whether all images of this layout get the same height, as videos require. The
            descriptions of all faces are then shortened to four lines.
        weights: the model's weights in words, for a line of their own; "" for none.

    Returns:
        The annotated image, uint8 [H, W, 3] RGB, which is larger than the frame: it includes the
        side panel and a band of text at the bottom.
    """
    texts = list(_text_lines(layout, frame, explanations, _VIDEO_LINES if fixed else None, weights))
    step = line_height(layout.size)
    lines = 1 + bool(weights) + _VIDEO_LINES if fixed else len(texts)
    band = even(lines * step + 2 * layout.pad)
    board = Board(layout.width + layout.side, layout.body + band)
    board.paste(_resized(frame.pixels, layout), 0, 0)
    _draw_faces(board, layout, explanations)
    _draw_side_panel(board, layout, explanations)
    for at, (line, colour) in enumerate(texts):
        board.write(line, layout.pad, layout.body + layout.pad + at * step, layout.size, colour)
    return board.pixels()


def _resized(image: np.ndarray, layout: Layout) -> np.ndarray:
    if layout.factor == 1:
        return image
    size = (layout.width, layout.height)
    return cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)


def _text_lines(
    layout: Layout,
    frame: MediaFrame,
    explanations: Sequence[Explanation],
    most: int | None,
    weights: str,
) -> Iterator[tuple[str, RGB]]:
    """Yield the lines of text below the image, and the colour of each line.

    The first line names the file, the next the weights, and further lines contain the description
    of each face. `most` is the maximum number of lines for descriptions; None for no limit.
    """
    width = layout.width + layout.side - 2 * layout.pad
    place = drawable(Path(frame.source).name)
    if frame.timestamp is not None:
        place += f" · frame {frame.number:,} · {frame.timestamp:.2f} s"
    if not explanations:
        place += " · no face"
    yield shorten(place, width, layout.size), FAINT
    if weights:
        yield shorten(f"weights: {drawable(weights)}", width, layout.size), FAINT
    described = [explanation for explanation in explanations if explanation.face]
    for at, explanation in enumerate(described):
        text = (
            f"{explanation.index + 1}: {explanation.face}"
            if len(explanations) > 1
            else explanation.face
        )
        share = None if most is None else -(-most // (len(described) - at))
        for line in wrap(text, width, layout.size, share):
            if most is not None:
                most -= 1
            yield line, TEXT_COLOUR


def _draw_faces(board: Board, layout: Layout, explanations: Sequence[Explanation]) -> None:
    """Draw a box around every face, and write the active action units next to the box.

    Each action unit is written with its probability. If there are several faces, each gets a
    number.
    """
    boxes = [_shown_box(explanation, layout) for explanation in explanations]
    for explanation, box in zip(explanations, boxes, strict=True):
        if explanation.box is not None:
            board.frame(box, _face_colour(explanation), layout.stroke)
    occupied: list[Box] = []
    for explanation, box in zip(explanations, boxes, strict=True):
        if len(explanations) > 1:
            occupied.append(_draw_number(board, layout, explanation, box))
    for explanation, box in zip(explanations, boxes, strict=True):
        labels = [f"{au} {explanation.aus[au]:.2f}" for au in explanation.active]
        if labels:
            others = [other for other in boxes if other is not box]
            _draw_labels(board, layout, labels, box, occupied, others)


def _shown_box(explanation: Explanation, layout: Layout) -> Box:
    """Return a face's box in pixels of the image as it is shown, which may be enlarged.

    If the face has no box, the box of the whole image is returned.
    """
    if explanation.box is None:
        return (0, 0, layout.width - 1, layout.height - 1)
    ends = (layout.width, layout.height, layout.width, layout.height)
    # The lines stay on the image even if the face extends beyond it.
    margin = layout.stroke
    left, top, right, bottom = (
        min(max((at + 0.5) * layout.factor - 0.5, margin), end - 1 - margin)
        for at, end in zip(explanation.box, ends, strict=True)
    )
    return left, top, right, bottom


def _face_colour(explanation: Explanation) -> RGB:
    return FACE_COLOURS[explanation.index % len(FACE_COLOURS)]


def _draw_number(board: Board, layout: Layout, explanation: Explanation, box: Box) -> Box:
    number = str(explanation.index + 1)
    high = line_height(layout.size)
    wide = max(high, text_width(number, layout.size, bold=True) + layout.pad)
    left, top = min(box[0], layout.width - wide), min(box[1], layout.height - high)
    panel = (left, top, left + wide, top + high)
    board.panel(panel, _face_colour(explanation))
    middle = (wide - text_width(number, layout.size, bold=True)) / 2
    board.write(number, left + middle, top, layout.size, (22, 24, 29), bold=True)
    return panel


def _draw_labels(
    board: Board,
    layout: Layout,
    labels: list[str],
    box: Box,
    occupied: list[Box],
    others: list[Box],
) -> None:
    """Write a face's action units next to the face, if there is free space.

    The side panel lists the action units in any case.

    Args:
        board: the image to draw on.
        layout: the layout of the image.
        labels: the action units with their probabilities, as texts.
        box: the box of the face.
        occupied: the boxes of labels that are already drawn; the box of the new label is added.
        others: the boxes of other faces.
    """
    step = line_height(layout.size)
    wide = max(text_width(label, layout.size) for label in labels) + layout.pad
    columns = int(np.clip((box[2] - box[0]) // wide, 1, min(3, len(labels))))
    rows = -(-len(labels) // columns)
    size = (columns * wide + layout.pad, rows * step + layout.pad)
    panel = _free_place(layout, size, box, occupied, others)
    if panel is None:
        return
    occupied.append(panel)
    board.panel(panel)
    for at, label in enumerate(labels):
        x = panel[0] + layout.pad + at % columns * wide
        board.write(label, x, panel[1] + layout.pad / 2 + at // columns * step, layout.size)


def _free_place(
    layout: Layout, size: tuple[float, float], box: Box, occupied: list[Box], others: list[Box]
) -> Box | None:
    """Find a free place for the label of a face.

    The label must not cover another label and, if possible, covers no other face. These places are
    tried: below the face's box, above the box, to the right, to the left, and, if these would cover
    other faces, inside the box at the bottom.

    Args:
        layout: the layout of the image.
        size: the width and height of the label in pixels.
        box: the box of the face.
        occupied: the boxes of other labels.
        others: the boxes of other faces.

    Returns:
        The box of the label; None if no place is free.
    """
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
    for tried, avoided in ((corners, [*occupied, *others]), ((inside, *corners), occupied)):
        for x, y in tried:
            # A label may shift along its side of the box, but not across it, over the face.
            x, y = (
                _shifted(x, left, layout.width - 1 - wide),
                _shifted(y, top, layout.height - 1 - high),
            )
            panel = (x, y, x + wide, y + high)
            within = x >= 0 and y >= 0 and panel[2] < layout.width and panel[3] < layout.height
            if within and not any(_overlap(panel, other) for other in avoided):
                return panel
    return None


def _shifted(at: float, edge: float, last: float) -> float:
    """Return the left or top coordinate of a label, moved back into the image if necessary.

    The label is moved only along the edge of the face's box with which it is aligned, so that it
    does not cover the face.

    Args:
        at: the left or top coordinate of the label.
        edge: the left or top edge of the face's box.
        last: the largest coordinate at which the label is still inside the image.
    """
    return min(at, max(last, 0)) if at == edge else at


def _overlap(one: Box, other: Box) -> bool:
    return one[0] <= other[2] and other[0] <= one[2] and one[1] <= other[3] and other[1] <= one[3]


def _draw_side_panel(board: Board, layout: Layout, explanations: Sequence[Explanation]) -> None:
    """Draw the side panel, which shows an attention map and a text for each active action unit.

    At most `TILES` action units are shown; further ones are only named.
    """
    rows = [(explanation, au) for explanation in explanations for au in explanation.active]
    left, wide = layout.width + layout.pad, layout.side - 2 * layout.pad
    for at, (explanation, au) in enumerate(rows[:TILES]):
        several = len(explanations) > 1
        _draw_slot(board, layout, explanation, au, layout.pad + at * layout.slot, several)
    if not rows:
        nothing = "no action unit is active" if explanations else "no face"
        board.write(nothing, left, layout.pad, layout.size, FAINT)
    step = line_height(layout.size)
    foot = layout.body - 3 * step
    if any(explanation.attention is not None for explanation, _ in rows):
        footer = _FOOTER[explanations[0].exclusive]
        for at, line in enumerate(wrap(footer, wide, layout.size, 2)):
            board.write(line, left, foot + (at + 1) * step, layout.size, FAINT)
    if len(rows) > TILES:
        rest = f"and {len(rows) - TILES} more"
        if len(explanations) == 1:
            rest = f"and {', '.join(au for _, au in rows[TILES:])}"
        board.write(shorten(rest, wide, layout.size), left, foot, layout.size, FAINT)


def _draw_slot(
    board: Board, layout: Layout, explanation: Explanation, au: str, top: int, several: bool
) -> None:
    left = layout.width + layout.pad
    if explanation.attention is not None:
        tile = attention_tile(explanation, au, layout.tile)
        board.paste(tile, left + (layout.tile - tile.shape[1]) // 2, top)
        left += layout.tile + layout.pad
    wide = layout.width + layout.side - layout.pad - left
    if several:
        number = str(explanation.index + 1)
        board.write(number, left, top, layout.size, _face_colour(explanation), bold=True)
        left_of_name = left + text_width(f"{number}  ", layout.size, bold=True)
    else:
        left_of_name = left
    board.write(f"{au}  {explanation.aus[au]:.2f}", left_of_name, top, layout.size, bold=True)
    step = line_height(layout.size)
    for at, line in enumerate(wrap(explanation.local.get(au, ""), wide, layout.size, layout.lines)):
        board.write(line, left, top + (at + 1) * step, layout.size)


def attention_tile(explanation: Explanation, au: str, side: int) -> np.ndarray:
    """Return an image of a face, overlaid with the attention map of an action unit.

    The image shows the part of the cropped face that the model gets as its input.

    Args:
        explanation: the explanation of the face, with attention maps.
        au: the name of the action unit.
        side: the longer side of the returned image in pixels.

    Returns:
        The image, uint8 [h, w, 3] RGB.
    """
    if explanation.attention is None:
        raise ValueError("the explanation has no attention maps")
    left, top, right, bottom = (int(np.floor(at + 0.5)) for at in explanation.seen)
    crop = explanation.crop[max(top, 0) : bottom + 1, max(left, 0) : right + 1]
    scale = side / max(crop.shape[:2])
    size = (max(1, round(crop.shape[1] * scale)), max(1, round(crop.shape[0] * scale)))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    crop = cv2.resize(crop, size, interpolation=interpolation)
    return overlay_heatmap(crop, explanation.attention[list(explanation.aus).index(au)])
