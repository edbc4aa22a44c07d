"""The types for applying a model to images and videos.

`MediaFrame` is an image or a video frame, and `Explanation` is the model's output for one face.
`ExplanationWriter` is the interface of files that explanations are written to, and `Painter` that
of images and videos that explanations are drawn on.
"""

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
    """Return HTML code that shows a face, a bar for every action unit, and the descriptions.

    Special characters in names and descriptions are escaped.

    Args:
        title: the heading, which names the face.
        crop: the cropped face, uint8 [H, W, 3] RGB, which is embedded as a JPEG.
        aus: by action unit, the probability, 0 to 1.
        active: the active action units, which are highlighted and whose descriptions are shown.
        local: by action unit, the description; may be empty.
        face: the description of the whole face; may be empty.
    """
    rows = "".join(_row(au, value, au in active) for au, value in aus.items())
    descriptions = "".join(
        f"<dt><b>{escape(au)}</b></dt><dd>{escape(local[au])}</dd>" for au in active if au in local
    )
    return (
        "<div><p><b>" + escape(title) + "</b></p>"
        '<div style="display:flex;gap:1.5em;flex-wrap:wrap;align-items:flex-start">'
        f'<img alt="the cropped face" width="{_SIDE}" src="{_data_uri(crop)}">'
        f"<table>{rows}</table>"
        f'<div style="max-width:40em">'
        + (f"<dl>{descriptions}</dl>" if descriptions else "")
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


STORED_TIMES = "stored in the video"
ASSUMED_TIMES = "constant rate assumed"
"""The timing of videos whose container gives no times, such as AVI."""


@dataclass(frozen=True, eq=False)
class MediaFrame:
    """An image, or a frame of a video.

    Attributes:
        source: the path of the image or video file, as the user gave it.
        number: the frame number, counted from 1; 1 for an image.
        timestamp: the presentation time in the video in seconds; None for an image.
        rate: the mean number of frames per second of the video; None for an image and for an
            unreadable video.
        image: the pixels, uint8 [H, W, 3] RGB, or the error if the frame cannot be read.
        timing: where the timestamp comes from: `STORED_TIMES` or `ASSUMED_TIMES`; None for an
            image.
        even: whether the frames of the video are evenly spaced in time.
    """

    source: str
    number: int
    timestamp: float | None
    rate: float | None
    image: np.ndarray | DataError = field(repr=False)
    timing: str | None = None
    even: bool = True

    @property
    def pixels(self) -> np.ndarray:
        """The pixels of a readable frame, uint8 [H, W, 3] RGB.

        Raises:
            DataError: the frame cannot be read.
        """
        if isinstance(self.image, DataError):
            raise self.image
        return self.image

    @property
    def place(self) -> str:
        """The file and, for a video, the frame number as text, such as ``talk.mp4, frame 12``."""
        return self.source if self.timestamp is None else f"{self.source}, frame {self.number:,}"


@dataclass(frozen=True, eq=False)
class Explanation:
    """The model's output for one face of an image or video frame.

    Attributes:
        source: the path of the image or video file, as the user gave it; "image" for an image in
            memory.
        frame: the frame number, counted from 1; 1 for an image.
        timestamp: the presentation time in the video in seconds; None for an image.
        index: the number of the person: in an image, 0 is the largest face; in a video, people are
            numbered in the order of appearance, and keep their numbers from frame to frame.
        box: the left, top, right and bottom edge of the face in pixels of the image; None if the
            whole image is the face, or if the detector provides no box (49 landmarks do not
            include the chin).
        eyes: the centres of the eyes in pixels of the image, float32 [2, 2], the left eye in the
            image first; None if unknown.
        estimated: whether `eyes` were estimated from the box.
        transform: the affine transform from pixels of the image to pixels of the crop, float64
            [2, 3].
        crop: the aligned and cropped face, uint8 [H, W, 3] RGB.
        seen: the part of the crop that the model gets as its input and that `attention` covers:
            left, top, right and bottom edge in pixels of the crop.
        aus: by action unit, the probability of being active, 0 to 1, in the model's order.
        active: the action units whose probability reaches the model's threshold.
        local: by action unit, the generated description; empty if the model generates none.
        face: the generated description of the whole face; empty if the model generates none.
        attention: the attention map of each action unit's branch, float32 [A, h, w], in the order
            of `aus`; None if the model has no attention maps.
        detector: the name and version of the detector that found the face, and a fingerprint of
            its files; None if the whole image is the face.
        points: the 68 landmarks in pixels of the crop, float32 [68, 2]; None if unknown.
        exclusive: whether the model predicts classes of which a face has one, not action units.
        weights: the model's weights in words: the model, what it was trained on, and the file.
        timing: where the timestamp comes from: `STORED_TIMES` or `ASSUMED_TIMES`; None for an
            image.
        support: by action unit, the log-likelihood of its description as active minus that as
            inactive, in nats: positive where the part of the model that writes favours "active".
            Empty if the descriptions are free (the setting ``inference.words``).
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
    detector: str | None = None
    timing: str | None = None
    weights: str = ""
    points: np.ndarray | None = field(default=None, repr=False)
    exclusive: bool = False
    support: dict[str, float] = field(default_factory=dict)

    @property
    def disputed(self) -> tuple[str, ...]:
        """The action units whose predicted state the part of the model that writes does not favour.

        Descriptions follow the prediction all the same.
        """
        return tuple(au for au, value in self.support.items() if (value > 0) != (au in self.active))

    @property
    def place(self) -> str:
        """The file, frame number and face as text, such as ``talk.mp4, frame 12, face 2``.

        The frame number is left out for an image, and the face (counted from 1) for the first
        person.
        """
        frame = "" if self.timestamp is None else f", frame {self.frame:,}"
        face = f", face {self.index + 1}" if self.index else ""
        return f"{self.source}{frame}{face}"

    def line(self) -> str:
        """Return one line of text with `place` and the active action units' probabilities."""
        active = "  ".join(f"{au} {self.aus[au]:.2f}" for au in self.active)
        return f"{self.place}: {active or 'no action unit is active'}"

    def __str__(self) -> str:
        lines = [self.place]
        lines += [
            f"  {au} {self.aus[au]:.2f}  {self.local.get(au, '')}".rstrip() for au in self.active
        ]
        rest = [f"{au} {value:.2f}" for au, value in self.aus.items() if au not in self.active]
        if rest:
            lines.append(f"  {'others' if self.exclusive else 'not active'}: {', '.join(rest)}")
        if self.face:
            lines.append(f"  face: {self.face}")
        for state, aus in (
            ("active", [au for au in self.disputed if au not in self.active]),
            ("not active", [au for au in self.disputed if au in self.active]),
        ):
            if aus:
                values = ", ".join(f"{au} {self.support[au]:+.1f}" for au in aus)
                lines.append(f"  the describing part favours {state}: {values}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return as_html(self.place, self.crop, self.aus, self.active, self.local, self.face)


class ExplanationWriter(Protocol):
    """The interface of objects that write explanations to a file, in the order of the frames."""

    def write(self, explanations: Sequence[Explanation]) -> None:
        """Write the explanations of all faces of one frame.

        Args:
            explanations: the explanations, largest face first; there is at least one.
        """

    def skip(self, frame: MediaFrame, why: str) -> None:
        """Record a frame that has no explanations.

        Args:
            frame: the image or video frame; its pixels may have been dropped.
            why: the reason, such as that no face was detected.
        """

    def close(self) -> None:
        """Finish the file that explanations are written to."""


class Painter(Protocol):
    """The interface of objects that draw explanations on images and video frames."""

    def draw(self, frame: MediaFrame, explanations: Sequence[Explanation]) -> None:
        """Draw the explanations of a readable frame on it.

        Args:
            frame: the image or video frame.
            explanations: the explanations of the frame's faces, largest face first; may be empty.
        """

    def close(self) -> None:
        """Finish the image or video file that is being written."""
