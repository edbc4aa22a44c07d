"""Writes the events of a clip as subtitles: SubRip (.srt) and WebVTT (.vtt)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True)
class Cue:
    """A text that is shown for some time.

    Attributes:
        start: the time at which it appears, in seconds.
        stop: the time at which it disappears, in seconds.
        text: the text, without empty lines.
    """

    start: float
    stop: float
    text: str


def milliseconds(seconds: float) -> int:
    """Return a time in whole milliseconds; a time before the start of the video becomes 0."""
    return max(0, round(1000 * seconds))


def _clock(seconds: float, mark: str) -> str:
    minutes, rest = divmod(milliseconds(seconds), 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{rest // 1000:02d}{mark}{rest % 1000:03d}"


def _shown(cues: Iterable[Cue]) -> list[Cue]:
    return [cue for cue in cues if milliseconds(cue.stop) > milliseconds(cue.start)]


def as_srt(cues: Sequence[Cue]) -> str:
    """Return cues as a SubRip file."""
    blocks = (
        f"{number}\n{_clock(cue.start, ',')} --> {_clock(cue.stop, ',')}\n{cue.text}\n"
        for number, cue in enumerate(_shown(cues), start=1)
    )
    return "\n".join(blocks)


def as_vtt(cues: Sequence[Cue], note: str = "") -> str:
    """Return cues as a WebVTT file (W3C, WebVTT: The Web Video Text Tracks Format).

    Args:
        cues: the cues.
        note: a comment at the beginning of the file, which is not shown; "" for none.
    """
    blocks = (
        f"{_clock(cue.start, '.')} --> {_clock(cue.stop, '.')}\n{escape(cue.text, quote=False)}\n"
        for cue in _shown(cues)
    )
    comment = [f"NOTE {note.replace('-->', '->')}\n"] if note else []
    return "\n".join(["WEBVTT\n", *comment, *blocks])
