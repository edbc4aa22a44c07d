"""Shows the events of a clip as lines of text: a bar for each action unit, and a line a stretch."""

from collections.abc import Iterator, Sequence

from fauds.annotation.event_tables import ClipEvents, face_text, notation
from fauds.annotation.events import Event, EventSettings
from fauds.annotation.wording import Wording

_BAR = 60
"""The width of a bar in characters."""


def clock(seconds: float) -> str:
    """Return a time as minutes and seconds, such as 1:02.5."""
    tenths = round(10 * seconds)
    return f"{tenths // 600}:{tenths % 600 / 10:04.1f}"


def timeline(
    clip: ClipEvents, wording: Wording, settings: EventSettings, codes: bool
) -> Iterator[str]:
    """Yield the lines about one clip.

    Args:
        clip: the events of the clip.
        wording: the texts.
        settings: the rules of the events.
        codes: whether each line has the codes in FACS notation too.
    """
    yield (
        f"{clip.clip.name}: {clock(clip.seconds)} min, {clip.frames:,} frames, "
        f"{clip.coded_frames:,} of them coded"
    )
    active = [au for au in clip.aus if any(event.aus == (au,) for event in clip.single)]
    for au in active:
        events = [event for event in clip.single if event.aus == (au,)]
        total = sum(event.duration for event in events)
        count = f"{len(events)} event{'s' * (len(events) != 1)}"
        yield f"  {au} {_bar(events, clip)} {count}, {total:.1f} s"
    absent = [au for au in clip.aus if au not in active]
    if absent:
        yield f"  no event of {', '.join(absent)}"
    for event in clip.together:
        noted = f"  {notation(event)}" if codes else ""
        text = face_text(event, wording, settings.apart)
        yield f"  {clock(event.onset)} - {clock(event.offset)}{noted}  {text}"


def _bar(events: Sequence[Event], clip: ClipEvents) -> str:
    """Return a bar from the begin to the end of a clip, filled where an AU is active."""
    seconds = clip.seconds or 1.0
    width = seconds / _BAR
    shares = [0.0] * _BAR
    for event in events:
        start, stop = (event.onset - clip.begin) / width, (event.offset - clip.begin) / width
        for cell in range(int(start), min(_BAR, int(stop) + 1)):
            shares[cell] += max(0.0, min(stop, cell + 1) - max(start, cell))
    return "".join("█" if share >= 0.5 else "▒" if share > 1e-6 else "·" for share in shares)
