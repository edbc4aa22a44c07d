"""Makes the tables of events and of summaries of clips, with their texts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import merge
from itertools import islice
from typing import Any

import pyarrow as pa

from fauds.annotation.clips import ClipId, ClipReader
from fauds.annotation.events import (
    By,
    Event,
    EventFinder,
    EventSettings,
    combine,
    deciding_quantity,
)
from fauds.annotation.wording import Wording
from fauds.facs import AUS, INTENSITIES, FacsCode, format_codes

_ROWS = 4096
"""How many rows of events are made at a time."""

EVENTS_SCHEMA = pa.schema(
    [
        ("source", pa.string()),
        ("subject", pa.string()),
        ("clip", pa.string()),
        ("face", pa.string()),
        ("kind", pa.string()),
        ("aus", pa.string()),
        ("codes", pa.string()),
        ("onset", pa.float64()),
        ("apex", pa.float64()),
        ("offset", pa.float64()),
        ("duration", pa.float64()),
        ("onset_frame", pa.int64()),
        ("apex_frame", pa.int64()),
        ("offset_frame", pa.int64()),
        ("frames", pa.int64()),
        ("peak_intensity", pa.float64()),
        ("mean_intensity", pa.float64()),
        ("peak_probability", pa.float64()),
        ("mean_probability", pa.float64()),
        ("side", pa.string()),
        ("decided_by", pa.string()),
        ("text", pa.string()),
    ]
)
"""The columns of the table of events, one row an event.

kind is "AU" for the event of one AU, and "face" for a stretch in which the same AUs are active
together; aus are the AUs, joined by plus signs; codes is FACS notation, with the degree of each AU
at its peak; times are in seconds, and offset is the time at which the last active frame
(offset_frame) ends.
"""

SUMMARY_SCHEMA = pa.schema(
    [
        ("source", pa.string()),
        ("subject", pa.string()),
        ("clip", pa.string()),
        ("face", pa.string()),
        ("au", pa.string()),
        ("events", pa.int64()),
        ("per_minute", pa.float64()),
        ("seconds", pa.float64()),
        ("share", pa.float64()),
        ("mean_seconds", pa.float64()),
        ("peak_intensity", pa.float64()),
        ("mean_intensity", pa.float64()),
        ("with_au", pa.string()),
        ("with_share", pa.float64()),
        ("coded_frames", pa.int64()),
        ("clip_seconds", pa.float64()),
        ("text", pa.string()),
    ]
)
"""The columns of the table of summaries, one row an AU of a clip.

share is the share of the coded time, 0 to 1; with_au is the AU that is most often active at the
same time, and with_share the share of this AU's time. The row without an AU has the clip's text.
"""


@dataclass(frozen=True)
class ClipEvents:
    """The events of one clip.

    Attributes:
        clip: the clip.
        begin: the time of the first frame in seconds.
        seconds: the duration of the clip in seconds.
        step: the time between two frames in seconds.
        frames: the number of frames in the table.
        coded: by AU, the number of frames in which it is coded.
        single: the events of single AUs, by onset.
        together: the stretches in which the same AUs are active together, by onset.
    """

    clip: ClipId
    begin: float
    seconds: float
    step: float
    frames: int
    coded: Mapping[str, int]
    single: Sequence[Event]
    together: Sequence[Event]

    @property
    def aus(self) -> tuple[str, ...]:
        """The AUs that are coded in some frame, in FACS order."""
        return tuple(au for au in AUS if self.coded.get(au))

    @property
    def coded_frames(self) -> int:
        """The number of frames in which some AU is coded."""
        return max(self.coded.values(), default=0)


@dataclass
class EventsOfClips:
    """Finds the events of all clips of a reader, one clip at a time.

    Attributes:
        reader: the clips.
        settings: the rules.
        by: by AU, what decides whether it is active.
    """

    reader: ClipReader
    settings: EventSettings
    by: dict[str, By] = field(init=False)

    def __post_init__(self) -> None:
        quantities: tuple[By, ...] = ("decision", "probability", "intensity")
        has = {quantity: self.reader.has(quantity) for quantity in quantities}
        self.by = deciding_quantity(has, self.reader.aus, self.settings.by)

    def described(self) -> list[str]:
        """Return the rules in words, one line for each quantity that decides."""
        by_quantity: dict[By, list[str]] = {}
        for au, quantity in self.by.items():
            by_quantity.setdefault(quantity, []).append(au)
        single = len(by_quantity) == 1
        return [
            ("events: " if single else f"events of {_named(aus)}: ")
            + self.settings.described(quantity)
            for quantity, aus in by_quantity.items()
        ]

    def __iter__(self) -> Iterator[ClipEvents]:
        finder: EventFinder | None = None
        events: list[Event] = []
        clip: ClipId | None = None
        for part in self.reader.parts():
            if part.starts or finder is None:
                if finder is not None and clip is not None:
                    yield self._finished(clip, finder, events)
                clip, events = part.clip, []
                finder = EventFinder(clip, [*self.by], self.settings, self.by)
            events += finder.add(part)
        if finder is not None and clip is not None:
            yield self._finished(clip, finder, events)

    def _finished(self, clip: ClipId, finder: EventFinder, events: list[Event]) -> ClipEvents:
        events = sorted(
            [*events, *finder.finish()], key=lambda one: (one.onset, AUS.index(one.aus[0]))
        )
        together = combine(events, self.settings)
        return ClipEvents(
            clip,
            finder.begin or 0.0,
            finder.seconds,
            finder.step,
            finder.frames,
            finder.coded,
            events,
            together,
        )


def _named(aus: Sequence[str]) -> str:
    return ", ".join(aus) if len(aus) <= 6 else f"{len(aus)} AUs"


def degree_of(intensity: float | None) -> int | None:
    """Return the degree that an intensity reaches, 1 to 5; None below A, or if it is not known."""
    if intensity is None or intensity < 1:
        return None
    return min(int(intensity), len(INTENSITIES))


def notation(event: Event) -> str:
    """Return the codes of an event in FACS notation, with the peak's degree where it is known."""
    letters = _letters(event)
    return format_codes(
        {one.au: FacsCode(letters.get(one.au), one.side) for one in event.parts or (event,)}
    )


def _letters(event: Event) -> dict[str, str]:
    """Return the degree, "A" to "E", at the peak of each AU of an event where it is known."""
    degrees = {one.au: degree_of(one.peak) for one in event.parts or (event,)}
    return {au: INTENSITIES[degree - 1] for au, degree in degrees.items() if degree}


def face_text(event: Event, wording: Wording, apart: float) -> str:
    """Return the text of a face on which the AUs of an event are active, and who came first."""
    degrees = _letters(event) if wording.degrees else {}
    face = wording.face(event.aus, event.sex, event.sides, degrees)
    if max(event.onsets) < event.onset - apart:
        # Nothing begins here, and who came first was said where it did.
        return face
    return wording.joined(face, wording.order(event.aus, event.onsets, apart))


def event_rows(clip: ClipEvents, wording: Wording, settings: EventSettings) -> Iterator[pa.Table]:
    """Yield the rows of the table of events for one clip, by onset; AUs come before the face."""
    # AUs come first at equal times because the merge is stable.
    ordered = merge(clip.single, clip.together, key=lambda event: event.onset)
    while rows := [_described(event, wording, settings) for event in islice(ordered, _ROWS)]:
        yield pa.Table.from_pylist(rows, EVENTS_SCHEMA)


def _described(event: Event, wording: Wording, settings: EventSettings) -> dict[str, Any]:
    if event.parts:
        return _row(event, "face", notation(event), face_text(event, wording, settings.apart))
    text = wording.local(event.aus[0], degree_of(event.peak), event.side, event.sex)
    return _row(event, "AU", notation(event), text)


def _row(event: Event, kind: str, codes: str, text: str) -> dict[str, Any]:
    return {
        "source": event.clip.source,
        "subject": event.clip.subject or None,
        "clip": event.clip.clip or None,
        "face": event.clip.face or None,
        "kind": kind,
        "aus": event.au,
        "codes": codes,
        "onset": _rounded(event.onset),
        "apex": _rounded(event.apex),
        "offset": _rounded(event.offset),
        "duration": _rounded(event.duration),
        "onset_frame": event.onset_frame,
        "apex_frame": event.apex_frame,
        "offset_frame": event.offset_frame,
        "frames": event.frames,
        "peak_intensity": _rounded(event.peak),
        "mean_intensity": _rounded(event.mean),
        "peak_probability": _rounded(event.peak_probability),
        "mean_probability": _rounded(event.mean_probability),
        "side": event.side,
        "decided_by": event.by,
        "text": text,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


@dataclass(frozen=True)
class AuSummary:
    """How often and how long an AU was active in a clip.

    Attributes:
        au: the AU.
        events: the number of its events.
        seconds: their duration together, in seconds.
        share: their share of the time in which the AU is coded, 0 to 1.
        peak: the highest intensity, or None.
        mean: the mean intensity over its active frames, or None.
        together: by other AU, the share of this AU's time in which that one is active too.
        coded: the number of frames in which the AU is coded.
    """

    au: str
    events: int
    seconds: float
    share: float
    peak: float | None
    mean: float | None
    together: Mapping[str, float]
    coded: int

    @property
    def most_often_with(self) -> str | None:
        """The AU that is active at the same time most often; None if none is."""
        return max(self.together, key=lambda au: self.together[au], default=None)


def summarise(clip: ClipEvents) -> list[AuSummary]:
    """Return how often and how long each AU of a clip was active, in FACS order."""
    by_au: dict[str, list[Event]] = {au: [] for au in clip.aus}
    for event in clip.single:
        by_au[event.aus[0]].append(event)
    return [_summary(au, clip, by_au) for au in clip.aus]


def _summary(au: str, clip: ClipEvents, by_au: Mapping[str, Sequence[Event]]) -> AuSummary:
    own = by_au[au]
    seconds = sum(event.duration for event in own)
    coded_seconds = clip.coded[au] * clip.step
    peaks = [event.peak for event in own if event.peak is not None]
    means = [(event.mean, event.frames) for event in own if event.mean is not None]
    together = {
        other: _overlap(own, events) / seconds
        for other, events in by_au.items()
        if other != au and seconds and events
    }
    total = sum(frames for _, frames in means)
    return AuSummary(
        au=au,
        events=len(own),
        seconds=seconds,
        share=min(1.0, seconds / coded_seconds) if coded_seconds else 0.0,
        peak=max(peaks, default=None),
        mean=sum(mean * frames for mean, frames in means) / total if total else None,
        together={other: share for other, share in together.items() if share > 0},
        coded=clip.coded[au],
    )


def _overlap(first: Sequence[Event], second: Sequence[Event]) -> float:
    """Return the time in seconds in which both of two AUs are active; each by rising onset."""
    total, at = 0.0, 0
    for event in first:
        while at < len(second) and second[at].offset <= event.onset:
            at += 1
        later = at
        while later < len(second) and second[later].onset < event.offset:
            total += min(event.offset, second[later].offset) - max(event.onset, second[later].onset)
            later += 1
    return total


def summary_text(clip: ClipEvents, summaries: Sequence[AuSummary], wording: Wording) -> str:
    """Return one paragraph about a clip: how often, how long, and with which others."""
    sentences = [
        wording.say(
            "clip",
            clip=clip.clip.name,
            seconds=f"{clip.seconds:.1f}",
            frames=f"{clip.frames:,}",
            coded=f"{clip.coded_frames:,}",
        )
    ]
    seen = sorted((one for one in summaries if one.events), key=lambda one: -one.seconds)
    if not seen:
        sentences.append(wording.say("nothing"))
    for one in seen:
        key = "once" if one.events == 1 else "often"
        text = wording.say(
            key,
            au=wording.named(one.au),
            times=one.events,
            seconds=f"{one.seconds:.1f}",
            percent=f"{100 * one.share:.0f}",
            mean=f"{one.seconds / one.events:.1f}",
        )
        if degree := degree_of(one.peak):
            text += wording.say("strongest", degree=INTENSITIES[degree - 1])
        other = one.most_often_with
        if other is not None:
            percent = f"{100 * one.together[other]:.0f}"
            text += wording.say("with", au=other, percent=percent)
        sentences.append(text + wording.say("end"))
    unseen = [one.au for one in summaries if not one.events]
    if seen and unseen:
        sentences.append(wording.say("never", aus=wording.listed(unseen)))
    return wording.joined(*sentences)


def summary_rows(clip: ClipEvents, wording: Wording) -> pa.Table:
    """Return the rows of the table of summaries for one clip: the clip's text, then the AUs."""
    summaries = summarise(clip)
    base = {
        "source": clip.clip.source,
        "subject": clip.clip.subject or None,
        "clip": clip.clip.clip or None,
        "face": clip.clip.face or None,
        "clip_seconds": _rounded(clip.seconds),
    }
    rows: list[dict[str, Any]] = [
        base
        | {
            "au": None,
            "events": sum(one.events for one in summaries),
            "coded_frames": clip.coded_frames,
            "text": summary_text(clip, summaries, wording),
        }
    ]
    for one in summaries:
        other = one.most_often_with
        coded_minutes = one.coded * clip.step / 60
        rows.append(
            base
            | {
                "au": one.au,
                "events": one.events,
                "per_minute": _rounded(one.events / coded_minutes) if coded_minutes else None,
                "seconds": _rounded(one.seconds),
                "share": _rounded(one.share),
                "mean_seconds": _rounded(one.seconds / one.events) if one.events else None,
                "peak_intensity": _rounded(one.peak),
                "mean_intensity": _rounded(one.mean),
                "with_au": other,
                "with_share": _rounded(one.together[other]) if other else None,
                "coded_frames": one.coded,
            }
        )
    return pa.Table.from_pylist(rows, SUMMARY_SCHEMA)
