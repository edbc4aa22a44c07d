"""What goes through this room: pictures, what a model says of a face, and what takes it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from fauds.errors import DataError
from fauds.explanation.html import as_html
from fauds.faces.base import Box


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
