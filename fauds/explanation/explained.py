"""What goes through this room: pictures, what a model says of a face, and what takes it."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Protocol

import cv2
import numpy as np

from fauds.errors import DataError
from fauds.faces.base import Box

_SIDE = 192
_BAR = "display:inline-block;height:0.7em;background:currentColor;vertical-align:middle"


def as_html(
    title: str,
    crop: np.ndarray,
    aus: Mapping[str, float],
    active: Sequence[str],
    local: Mapping[str, str],
    face: str,
) -> str:
    """Return the crop, a bar for every action unit, and what is said; all text is escaped.

    Args:
        title: which face this is.
        crop: uint8 [H, W, 3] RGB; it becomes a JPEG inside the page.
        aus: probabilities, 0 to 1.
        active: names whose descriptions are shown.
        local: descriptions by name; may be empty.
        face: the description of the whole face; may be empty.
    """
    rows = "".join(_row(au, value, au in active) for au, value in aus.items())
    said = "".join(
        f"<dt><b>{escape(au)}</b></dt><dd>{escape(local[au])}</dd>" for au in active if au in local
    )
    return (
        "<div><p><b>" + escape(title) + "</b></p>"
        '<div style="display:flex;gap:1.5em;flex-wrap:wrap;align-items:flex-start">'
        f'<img alt="the face as the model is shown it" width="{_SIDE}" src="{_data_uri(crop)}">'
        f"<table>{rows}</table>"
        f'<div style="max-width:40em">'
        + (f"<dl>{said}</dl>" if said else "")
        + (f"<p>{escape(face)}</p>" if face else "")
        + "</div></div></div>"
    )


def _row(au: str, value: float, active: bool) -> str:
    name = f"<b>{escape(au)}</b>" if active else escape(au)
    opacity = 1 if active else 0.35
    bar = f'<span style="{_BAR};width:{value * 8:.2f}em;opacity:{opacity}"></span>'
    return f'<tr><td>{name}</td><td style="text-align:left">{bar} {value:.2f}</td></tr>'


def _data_uri(crop: np.ndarray) -> str:
    scale = min(1.0, 2 * _SIDE / max(crop.shape[:2]))
    if scale < 1:
        size = [max(1, round(side * scale)) for side in crop.shape[1::-1]]
        crop = cv2.resize(crop, size, interpolation=cv2.INTER_AREA)
    encoded = cv2.imencode(".jpg", cv2.cvtColor(crop, cv2.COLOR_RGB2BGR))[1]
    return f"data:image/jpeg;base64,{base64.b64encode(encoded.tobytes()).decode('ascii')}"


@dataclass(frozen=True, eq=False)
class MediaFrame:
    """One picture of what the user named.

    Attributes:
        source: the image or video file, as the user named it.
        number: counted from 1; 1 for an image.
        timestamp: seconds since the video's first frame; None for an image.
        rate: the video's frames per second; None for an image and for an unreadable video.
        image: uint8 [H, W, 3] RGB, or why there is none.
    """

    source: str
    number: int
    timestamp: float | None
    rate: float | None
    image: np.ndarray | DataError = field(repr=False)

    @property
    def picture(self) -> np.ndarray:
        """The image of a readable picture.

        Raises:
            DataError: it cannot be read.
        """
        if isinstance(self.image, DataError):
            raise self.image
        return self.image

    @property
    def place(self) -> str:
        """Where the picture is from, in words: ``talk.mp4, frame 12``."""
        return self.source if self.timestamp is None else f"{self.source}, frame {self.number:,}"


@dataclass(frozen=True, eq=False)
class Explanation:
    """One face of one picture, with all that the model says of it.

    Attributes:
        source: the image or video file, as the user named it; "image" for one in memory.
        frame: counted from 1; 1 for an image.
        timestamp: seconds since the video's first frame; None for an image.
        index: which face of the picture, 0 being the largest.
        box: around the face, in the picture's pixels; None where the whole picture is the face,
            or where what found it gives none (49 landmarks, which leave the chin out).
        eyes: float32 [2, 2], the centre of the eye on the picture's left, then of the other, in
            the picture's pixels; None where they are not known.
        estimated: whether `eyes` were estimated from the box.
        transform: float64 [2, 3], from the picture's pixels to the crop's.
        crop: uint8 [H, W, 3] RGB, the face as the model's alignment makes it.
        seen: the part of the crop that the model sees and that `attention` covers, in the crop's
            pixels.
        aus: the probability of each action unit being active, 0 to 1, in the model's order.
        active: the action units whose probability reaches the model's threshold.
        local: every action unit's description; empty where the model wrote none.
        face: the description of the whole face; empty where the model wrote none.
        attention: float32 [A, h, w], where each action unit's branch looks, in the order of
            `aus`; None where the model has no such branches.
    """

    source: str
    frame: int
    timestamp: float | None
    index: int
    box: Box | None
    eyes: np.ndarray | None
    estimated: bool
    transform: np.ndarray = field(repr=False)
    crop: np.ndarray = field(repr=False)
    seen: Box
    aus: dict[str, float]
    active: tuple[str, ...]
    local: dict[str, str]
    face: str
    attention: np.ndarray | None = field(repr=False)

    @property
    def place(self) -> str:
        """The picture and which of its faces, in words: ``talk.mp4, frame 12, face 2``."""
        frame = "" if self.timestamp is None else f", frame {self.frame:,}"
        face = f", face {self.index + 1}" if self.index else ""
        return f"{self.source}{frame}{face}"

    def line(self) -> str:
        """Return the active action units with their probabilities, on one line."""
        said = "  ".join(f"{au} {self.aus[au]:.2f}" for au in self.active)
        return f"{self.place}: {said or 'no action unit is active'}"

    def __str__(self) -> str:
        lines = [self.place]
        lines += [
            f"  {au} {self.aus[au]:.2f}  {self.local.get(au, '')}".rstrip() for au in self.active
        ]
        rest = [f"{au} {value:.2f}" for au, value in self.aus.items() if au not in self.active]
        if rest:
            lines.append(f"  not active: {', '.join(rest)}")
        if self.face:
            lines.append(f"  face: {self.face}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return as_html(self.place, self.crop, self.aus, self.active, self.local, self.face)


class ExplanationSink(Protocol):
    """Takes what was said, picture by picture, in the order of the pictures."""

    def write(self, explanations: Sequence[Explanation]) -> None:
        """Take all faces of one picture, at least one, the largest first."""

    def skip(self, source: str, frame: int, timestamp: float | None, why: str) -> None:
        """Take note of a picture of which nothing is said."""

    def close(self) -> None:
        """Finish what is written."""


class Painter(Protocol):
    """Draws what was said on the pictures themselves, in their order."""

    def draw(self, frame: MediaFrame, explanations: Sequence[Explanation]) -> None:
        """Take one readable picture and its faces, of which there may be none."""

    def close(self) -> None:
        """Finish what is drawn."""
