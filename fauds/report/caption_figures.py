"""Figures that ``fauds captions`` draws of an action unit, a frame, and a dataset's captions."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, MaxNLocator

from fauds.captions.statistics import Scope, Statistics
from fauds.captions.summaries import AuSheet, FrameSheet
from fauds.facs import INTENSITIES, anchors, facts
from fauds.report.captions import image_words, label, state_label
from fauds.report.page_layout import FAINT, INK, Page, save

_WIDTH, _MARGIN, _GAP = 12.0, 0.45, 0.35
_IMAGE_WIDTH = 3.6
_HEAD, _NAME, _TEXT = 15.0, 10.5, 9.5
_LOCAL, _GLOBAL, _BARS = "#1f6f8b", "#c8553d", "#4c6a92"
_PIXELS = 420


@dataclass(frozen=True)
class _Entry:
    """A heading with the text below it; if `strong` is False, both are written in grey."""

    name: str
    text: str
    strong: bool = True


def draw_au(sheet: AuSheet, path: Path) -> None:
    """Draw a figure of one action unit (AU): synthetic faces that show it, and its descriptions.

    The faces show the AU at rest and at the intensities A to E; rings mark where the AU is seen.
    For an AU that synthetic faces cannot show, the figure has one face at rest and all
    descriptions.

    Args:
        sheet: the facts and descriptions of the action unit.
        path: the file to write: .png, .pdf or .svg.

    Raises:
        DataError: no installed font has the letters of the texts, or the file cannot be written.
    """
    from fauds.synthetic.face import FACE_AUS

    texts = {state: variants[0] for state, variants in sheet.texts.items()}
    title = f"{sheet.au}  {sheet.facts['name']}"
    if sheet.au in FACE_AUS:
        _au_faces(sheet, title, texts, path)
        return
    entries = [_Entry(state_label(state), text) for state, text in texts.items()]
    note = f"Faces are not drawn with {sheet.au}: a face at rest, and where {sheet.au} is seen."
    page = Page(_WIDTH, [title, note, *texts.values()])
    pixels, marks = _face(sheet.au, 0)
    y = _title(page, title)
    end = page.image(pixels, _MARGIN, y, _IMAGE_WIDTH, marks)
    end = page.write(page.wrap(note, _IMAGE_WIDTH, _TEXT), _MARGIN, end + 0.1, _TEXT, colour=FAINT)
    page.save(path, max(end, _entries(page, entries, y)) + _MARGIN)


def _au_faces(sheet: AuSheet, title: str, texts: dict[str, str], path: Path) -> None:
    states = [state for state in ("inactive", *INTENSITIES) if state in texts]
    note = f"Synthetic faces; rings: where {sheet.au} is seen."
    page = Page(_WIDTH, [title, note, *texts.values()])
    y = _title(page, title)
    y = page.write([note], _MARGIN, y - 0.1, _TEXT, colour=FAINT) + 0.15
    width = (_WIDTH - 2 * _MARGIN - 2 * _GAP) / 3
    for begin in range(0, len(states), 3):
        ends = []
        for column, state in enumerate(states[begin : begin + 3]):
            x = _MARGIN + column * (width + _GAP)
            pixels, marks = _face(sheet.au, ("inactive", *INTENSITIES).index(state))
            end = page.write([state_label(state)], x, y, _NAME, bold=True) + 0.04
            end = page.image(pixels, x, end, width, marks) + 0.08
            ends.append(page.write(page.wrap(texts[state], width, _TEXT), x, end, _TEXT))
        y = max(ends) + _GAP
    page.save(path, y - _GAP + _MARGIN)


def _face(au: str, intensity: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw a synthetic face that shows one action unit (AU), and return where the AU is seen.

    Args:
        au: the AU; the face is at rest if synthetic faces cannot show it.
        intensity: 0 (at rest) to 5 (FACS intensity E).

    Returns:
        The image, uint8 [size, size, 3] RGB, and the places on the face where the AU is seen, float
        [n, 2] in pixels, x then y.
    """
    from fauds.synthetic.face import FACE_AUS, View, draw_face, draw_identity

    identity = draw_identity(np.random.default_rng([7, 21]), "F")
    intensities = np.zeros(len(FACE_AUS), np.float32)
    if au in FACE_AUS:
        intensities[FACE_AUS.index(au)] = intensity
    pixels, points = draw_face(identity, intensities, View(light=(0.35, 0.1), noise=0.0), _PIXELS)
    return pixels, anchors(au, points)


def draw_frame(sheet: FrameSheet, path: Path) -> None:
    """Draw a figure of one frame: its image and its descriptions.

    The description of the whole face is the title; the descriptions of single AUs stand beside the
    image, active AUs first.

    Args:
        sheet: the labels and descriptions of the frame.
        path: the file to write: .png, .pdf or .svg.

    Raises:
        DataError: no installed font has the letters of the texts, or the file cannot be written.
    """
    title = sheet.face or "No global description: an action unit is not coded."
    about = f"{sheet.key} of {sheet.dataset}{', synthetic' if sheet.synthetic else ''}"
    about += f", sex {sheet.sex or 'not known'}"
    ordered = sorted(sheet.aus, key=lambda au: (not au.occurs, au.occurs is None))
    entries = [
        _Entry(
            f"{au.au} {facts()[au.au]['name'].lower()}: {label(au.occurs, au.intensity)}",
            au.text or "-",
            bool(au.occurs),
        )
        for au in ordered
    ]
    place = image_words(sheet)
    page = Page(_WIDTH, [title, about, place, *(entry.text for entry in entries)])
    y = _title(page, title)
    pixels = _image(sheet)
    if pixels is None:
        end = _image_placeholder(page, f"No image: {place}", y)
    else:
        # Upright images are at most 5 inches high.
        width = min(_IMAGE_WIDTH, 5.0 * pixels.shape[1] / pixels.shape[0])
        end = page.image(pixels, _MARGIN, y, width)
    end = page.write(page.wrap(about, _IMAGE_WIDTH, _TEXT), _MARGIN, end + 0.1, _TEXT, colour=FAINT)
    page.save(path, max(end, _entries(page, entries, y)) + _MARGIN)


def _image(sheet: FrameSheet) -> np.ndarray | None:
    """Return the frame's image, uint8 [rows, columns, 3] RGB; None if no image can be read."""
    import cv2

    if sheet.image is None or not sheet.image.is_file():
        return None
    data = np.frombuffer(sheet.image.read_bytes(), np.uint8)
    pixels = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    return None if pixels is None else pixels[..., ::-1]


def _image_placeholder(page: Page, text: str, y: float) -> float:
    """Draw a grey box with a text where the image would be; return its lower edge (y in inches)."""
    lines = page.wrap(text, _IMAGE_WIDTH - 0.4, _TEXT)
    high = max(1.6, len(lines) * 0.25 + 0.4)
    page.box(_MARGIN, y, _IMAGE_WIDTH, high)
    page.write(lines, _MARGIN + 0.2, y + 0.2, _TEXT, colour=FAINT)
    return y + high


def _title(page: Page, title: str) -> float:
    """Write the title over the whole width of the page; return its lower edge (y in inches)."""
    lines = page.wrap(title, page.width - 2 * _MARGIN, _HEAD, bold=True)
    return page.write(lines, _MARGIN, _MARGIN * 0.8, _HEAD, bold=True) + 0.2


def _entries(page: Page, entries: list[_Entry], y: float) -> float:
    """Write headings and texts to the right of the image; return their lower edge (y in inches)."""
    x = _MARGIN + _IMAGE_WIDTH + _GAP
    width = page.width - x - _MARGIN
    for entry in entries:
        colour = INK if entry.strong else FAINT
        names = page.wrap(entry.name, width, _NAME, bold=True)
        y = page.write(names, x, y, _NAME, bold=True, colour=colour)
        y = page.write(page.wrap(entry.text, width, _TEXT), x, y, _TEXT, colour=colour) + 0.1
    return y - 0.1


def draw_statistics(statistics: Statistics, path: Path) -> None:
    """Draw four charts about a dataset's captions.

    The charts show how often each AU is active, how long the descriptions are, how often words are
    used (by rank), and how many AUs are active at once in a frame.

    Args:
        statistics: the statistics of the captions.
        path: the file to write: .png, .pdf or .svg.

    Raises:
        DataError: the file cannot be written.
    """
    figure = Figure((12, 8.4), dpi=150, layout=ConstrainedLayoutEngine(w_pad=0.15, h_pad=0.15))
    synthetic = ", synthetic" if statistics.synthetic else ""
    figure.suptitle(
        f"{statistics.dataset}{synthetic}: {statistics.frames:,} frames of "
        f"{statistics.subjects} subjects, descriptions in {statistics.settings['language']}",
        fontsize=13,
    )
    (balance, lengths), (ranks, at_once) = figure.subplots(2, 2)
    _draw_balance(balance, statistics)
    _draw_lengths(lengths, statistics)
    _draw_ranks(ranks, statistics)
    _draw_at_once(at_once, statistics)
    for axes in (balance, lengths, ranks, at_once):
        axes.spines[["top", "right"]].set_visible(False)
    save(figure, path)


def _draw_balance(axes: Any, statistics: Statistics) -> None:
    names = [au.au for au in statistics.aus]
    shares = [100 * au.active / au.coded if au.coded else 0.0 for au in statistics.aus]
    bars = axes.bar(names, shares, color=_BARS)
    axes.bar_label(bars, [f"{share:.0f}" for share in shares], fontsize=8, padding=2)
    _label(axes, "How often each AU is active", "action unit", "coded frames, %")
    axes.tick_params(axis="x", labelrotation=60 if len(names) > 8 else 0, labelsize=8)


def _draw_lengths(axes: Any, statistics: Statistics) -> None:
    for name, scope, colour in _scopes(statistics):
        if scope.count:
            shares = [100 * times / scope.count for times in scope.token_histogram.values()]
            axes.bar(list(scope.token_histogram), shares, 1.0, color=colour, alpha=0.65, label=name)
    across = "length, tokens with punctuation"
    _label(axes, "How long descriptions are", across, "descriptions of frames, %")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _legend(axes)


def _draw_ranks(axes: Any, statistics: Statistics) -> None:
    for name, scope, colour in _scopes(statistics):
        counts = [count for count in scope.word_counts.values() if count]
        if counts:
            axes.loglog(
                range(1, len(counts) + 1), counts, ".-", color=colour, label=name, markersize=4
            )
    up = "times said, over all frames"
    _label(axes, "How often words are said", "rank of the word", up)
    _legend(axes)


def _draw_at_once(axes: Any, statistics: Statistics) -> None:
    axes.bar(list(statistics.at_once), list(statistics.at_once.values()), color=_BARS)
    up = "frames with all AUs coded"
    _label(axes, "How many AUs are active at once", "action units active", up)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def _label(axes: Any, title: str, across: str, up: str) -> None:
    axes.set_title(title, loc="left", fontsize=11)
    axes.set(xlabel=across, ylabel=up)


def _scopes(statistics: Statistics) -> list[tuple[str, Scope, str]]:
    return [("local", statistics.local, _LOCAL), ("global", statistics.face, _GLOBAL)]


def _legend(axes: Any) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False)
