"""Finds events in the action units (AUs) of a clip: when an AU begins, is strongest, and ends.

`EventFinder` takes the frames of a clip a few at a time and returns the events of single AUs;
`combine` returns the stretches of time in which the same AUs are active together.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from fauds.annotation.clips import ClipId, ClipPart
from fauds.errors import UsageError
from fauds.facs import AUS, INTENSITIES, SIDES

By = Literal["decision", "probability", "intensity"]
"""What decides whether an AU is active."""


@dataclass(frozen=True)
class EventSettings:
    """The rules by which events begin and end.

    Attributes:
        by: what decides whether an AU is active; None for intensities where a table has them, as
            FACS coders mark the strength at which a movement begins and ends, then probabilities,
            then decisions.
        begin: the value at which an event begins; None for intensity B (2), from which coders
            commonly score an event, or probability 0.5. A decision begins at 1.
        end: the value below which it ends; None for `begin`. A lower value (hysteresis) keeps an
            event in one piece that flickers about the value at which it began.
        shortest: the shortest event in seconds. 0.1 keeps a blink, the shortest movement that
            coders mark, and leaves out single frames of a detector's noise.
        gap: the longest interruption in seconds, also by frames without a face, that does not
            end an event. 0.1 bridges frames that a detector missed, but not two movements.
        apart: the difference of two beginnings in seconds from which the text of a combination
            says which AU came first, and below which changes of a combination are one. Coders
            place a beginning by eye to about 0.2 s.
    """

    by: By | None = None
    begin: float | None = None
    end: float | None = None
    shortest: float = 0.1
    gap: float = 0.1
    apart: float = 0.2

    def __post_init__(self) -> None:
        if self.begin is not None and self.end is not None and self.end > self.begin:
            raise UsageError(
                f"An event that begins at {self.begin:g} cannot end below {self.end:g}.",
                hint="let it end below the value at which it begins, or below a lower one",
            )
        for name in ("shortest", "gap", "apart"):
            if not getattr(self, name) >= 0:
                raise UsageError(
                    f"{name} must be 0 or more seconds, not {getattr(self, name)}.",
                    hint=f"correct --{name}",
                )

    def begins_at(self, by: By) -> float:
        """Return the value at which an event begins that is decided by a quantity."""
        if by == "decision":
            return 1.0
        return self.begin if self.begin is not None else {"intensity": 2.0}.get(by, 0.5)

    def ends_below(self, by: By) -> float:
        """Return the value below which an event ends that is decided by a quantity."""
        if by == "decision":
            return 1.0
        return self.end if self.end is not None else self.begins_at(by)

    def described(self, by: By) -> str:
        """Return the rules for a quantity in words."""
        start, stop = self.begins_at(by), self.ends_below(by)
        rules = {
            "decision": "decisions of the table",
            "probability": f"probabilities, from {start:g} until below {stop:g}",
            "intensity": f"intensities, from {_level(start)} until below {_level(stop)}",
        }
        return (
            f"by {rules[by]}; shortest {self.shortest:g} s, interruptions up to {self.gap:g} s "
            "belong to the event"
        )


def _level(value: float) -> str:
    """Return an intensity with its letter, such as "B (2)"."""
    if value in range(1, 6):
        return f"{INTENSITIES[int(value) - 1]} ({value:g})"
    return f"{value:g}"


@dataclass(frozen=True)
class Event:
    """A movement: an AU, or several AUs together, from the first to the last active frame.

    Attributes:
        clip: the clip.
        aus: the AUs, in the order in which they began; one, unless several are combined.
        onset_frame: the number of the first active frame.
        apex_frame: the number of the frame in which the AU is strongest; None if only decisions
            are known, and for several AUs.
        offset_frame: the number of the last active frame.
        onset: the time of the first active frame in seconds.
        apex: the time of the apex in seconds, or None.
        offset: the time at which the last active frame ends, in seconds.
        frames: the number of active frames.
        by: what decided that the AU is active.
        peak: the highest intensity, 0 to 5, or None.
        mean: the mean intensity over the active frames, or None.
        peak_probability: the highest probability, 0 to 1, or None.
        mean_probability: the mean probability over the active frames, or None.
        side: the side of the face, one of `fauds.facs.SIDES`, or None.
        onsets: the onset of each of several AUs in seconds, in the order of `aus`; it may lie
            before the combination's onset.
        parts: the event of each of several AUs, in the order of `aus`; empty for one AU.
        sides: the side of each AU that has one, by AU.
        sex: the sex of the person, "F", "M" or None.
    """

    clip: ClipId
    aus: tuple[str, ...]
    onset_frame: int
    apex_frame: int | None
    offset_frame: int
    onset: float
    apex: float | None
    offset: float
    frames: int
    by: By
    peak: float | None = None
    mean: float | None = None
    peak_probability: float | None = None
    mean_probability: float | None = None
    side: str | None = None
    onsets: tuple[float, ...] = ()
    parts: tuple["Event", ...] = ()
    sides: Mapping[str, str] | None = None
    sex: str | None = None

    @property
    def duration(self) -> float:
        """The duration in seconds."""
        return self.offset - self.onset

    @property
    def au(self) -> str:
        """The AU, or the AUs joined by plus signs in FACS order."""
        return "+".join(sorted(self.aus))


@dataclass
class _Run:
    """An event that may still go on; sums are over its active frames."""

    onset_frame: int
    onset: float
    last_frame: int
    last: float
    frames: int
    apex_frame: int
    apex: float
    highest: float
    intensity: tuple[float, float, int]
    probability: tuple[float, float, int]
    side: int

    def extend(self, other: "_Run") -> None:
        """Add a later run that is part of the same event."""
        self.last_frame, self.last = other.last_frame, other.last
        self.frames += other.frames
        if other.highest > self.highest:
            self.highest, self.apex_frame, self.apex = other.highest, other.apex_frame, other.apex
        self.intensity = _added(self.intensity, other.intensity)
        self.probability = _added(self.probability, other.probability)
        self.side = self.side if self.side >= 0 else other.side


def _added(
    first: tuple[float, float, int], second: tuple[float, float, int]
) -> tuple[float, float, int]:
    return max(first[0], second[0]), first[1] + second[1], first[2] + second[2]


class EventFinder:
    """Finds the events of the AUs of one clip, whose frames are passed a few at a time.

    Args:
        clip: the clip.
        aus: the AUs, in FACS order.
        settings: the rules.
        by: by AU, what decides whether it is active.
    """

    def __init__(
        self, clip: ClipId, aus: Sequence[str], settings: EventSettings, by: Mapping[str, By]
    ) -> None:
        self._clip, self._aus, self._settings, self._by = clip, tuple(aus), settings, dict(by)
        self._on = dict.fromkeys(self._aus, False)
        self._open: dict[str, _Run] = {}
        self._last_time: float | None = None
        self._step: float | None = None
        self._sex: str | None = None
        self.frames = 0
        self.coded = dict.fromkeys(self._aus, 0)
        self.seconds = 0.0
        self.begin: float | None = None

    @property
    def step(self) -> float:
        """The time between two frames in seconds; 0 for a clip of one frame."""
        return self._step or 0.0

    def add(self, part: ClipPart) -> list[Event]:
        """Add frames of the clip, and return the events that have ended, in no fixed order.

        Raises:
            UsageError: the times of the frames are not known.
        """
        if part.times is None or part.frames is None:
            raise UsageError(
                f"The times of the frames of {self._clip.name} are not known, so that it has no "
                "events.",
                where=self._clip.source,
                hint="give the frames per second of the video: --fps 30; single images have no "
                "events",
            )
        if not len(part):
            return []
        times = part.times
        if self._step is None and len(times) > 1:
            self._step = float(np.median(np.diff(times)))
        if self.begin is None:
            self.begin = float(times[0])
        self.seconds = float(times[-1]) - self.begin + self.step
        self.frames += len(part)
        if self._sex is None:
            known = part.sexes.drop_null()
            self._sex = known[0].as_py() if len(known) else None
        # A jump in time is an interruption, as if the frames between had no face.
        before = times[:1] - self.step if self._last_time is None else np.array([self._last_time])
        steps = np.diff(times, prepend=before)
        jumps = steps > self._settings.gap + 1.5 * self.step
        events: list[Event] = []
        for au in self._aus:
            values = _deciding(part, au, self._by[au])
            if values is None:
                continue
            self.coded[au] += int((~np.isnan(values)).sum())
            was_on = self._on[au]
            for number, run in enumerate(self._runs(part, au, values, jumps)):
                goes_on = was_on and not number and run.onset == times[0] and not jumps[0]
                events += self._close_or_extend(au, run, goes_on)
            events += self._close_old(au, float(times[-1]))
        self._last_time = float(times[-1])
        return events

    def finish(self) -> list[Event]:
        """Return the events that had not ended with the last frame."""
        events = [event for au in [*self._open] for event in self._close(au)]
        self._open = {}
        return events

    def _runs(
        self, part: ClipPart, au: str, values: np.ndarray, jumps: np.ndarray
    ) -> Iterator[_Run]:
        """Yield the stretches of successive active frames of an AU in some frames of the clip."""
        assert part.times is not None and part.frames is not None
        by = self._by[au]
        start, stop = self._settings.begins_at(by), self._settings.ends_below(by)
        # 1 where the AU becomes active, -1 where it stops, 0 where it stays as it was before.
        state = np.zeros(len(values), np.int8)
        state[values >= start] = 1
        state[(values < stop) | np.isnan(values)] = -1
        state[jumps & (values < start)] = -1
        decided = np.where(state != 0, np.arange(len(state)), -1)
        latest = np.maximum.accumulate(decided)
        on = np.where(latest >= 0, state[latest] > 0, self._on[au])
        self._on[au] = bool(on[-1])
        change = on.copy()
        change[1:] = (on[1:] != on[:-1]) | jumps[1:]
        starts = np.flatnonzero(change & on)
        if not len(starts):
            return
        ends_at = np.flatnonzero(np.append(change[1:] | ~on[1:], True) & on)
        intensities = part.codes.intensities.get(au)
        probabilities = part.codes.probabilities.get(au)
        strength = intensities if intensities is not None else probabilities
        sides = part.codes.sides.get(au)
        for first, last in zip(starts.tolist(), ends_at.tolist(), strict=True):
            inside = slice(first, last + 1)
            apex, highest = -1, -np.inf
            if strength is not None and not np.isnan(strength[inside]).all():
                apex = first + int(np.nanargmax(strength[inside]))
                highest = float(strength[apex])
            coded = np.empty(0, np.int8) if sides is None else sides[inside][sides[inside] >= 0]
            yield _Run(
                onset_frame=int(part.frames[first]),
                onset=float(part.times[first]),
                last_frame=int(part.frames[last]),
                last=float(part.times[last]),
                frames=last + 1 - first,
                apex_frame=int(part.frames[apex]),
                apex=float(part.times[apex]),
                highest=highest,
                intensity=_summed(intensities, inside),
                probability=_summed(probabilities, inside),
                side=int(np.bincount(coded).argmax()) if len(coded) else -1,
            )

    def _close_or_extend(self, au: str, run: _Run, goes_on: bool) -> list[Event]:
        """Add a run to the event that is open, or return that event and open another.

        Args:
            au: the AU.
            run: the run.
            goes_on: whether the run continues one of the frames before.
        """
        previous = self._open.get(au)
        if previous is None:
            self._open[au] = run
            return []
        if goes_on or run.onset - (previous.last + self.step) <= self._settings.gap + 1e-9:
            previous.extend(run)
            return []
        events = self._close(au)
        self._open[au] = run
        return events

    def _close_old(self, au: str, now: float) -> list[Event]:
        """Return the event of an AU that no later frame can belong to, if there is one."""
        run = self._open.get(au)
        if run is None or now - (run.last + self.step) <= self._settings.gap + self.step:
            return []
        return self._close(au)

    def _close(self, au: str) -> list[Event]:
        run = self._open.pop(au)
        offset = run.last + self.step
        if offset - run.onset < self._settings.shortest - 1e-9:
            return []
        has_apex = np.isfinite(run.highest)
        peak, mean = _peak_and_mean(run.intensity)
        peak_probability, mean_probability = _peak_and_mean(run.probability)
        side = SIDES[run.side] if run.side >= 0 else None
        return [
            Event(
                clip=self._clip,
                aus=(au,),
                onset_frame=run.onset_frame,
                apex_frame=run.apex_frame if has_apex else None,
                offset_frame=run.last_frame,
                onset=run.onset,
                apex=run.apex if has_apex else None,
                offset=offset,
                frames=run.frames,
                by=self._by[au],
                peak=peak,
                mean=mean,
                peak_probability=peak_probability,
                mean_probability=mean_probability,
                side=side,
                onsets=(run.onset,),
                sides={au: side} if side else {},
                sex=self._sex,
            )
        ]


def _deciding(part: ClipPart, au: str, by: By) -> np.ndarray | None:
    return part.codes.values(by).get(au)


def _summed(values: np.ndarray | None, inside: slice) -> tuple[float, float, int]:
    """Return the maximum, the sum and the number of the values of some frames that are coded."""
    if values is None:
        return -np.inf, 0.0, 0
    coded = values[inside][~np.isnan(values[inside])]
    if not len(coded):
        return -np.inf, 0.0, 0
    return float(coded.max()), float(coded.sum()), len(coded)


def _peak_and_mean(sums: tuple[float, float, int]) -> tuple[float | None, float | None]:
    highest, total, count = sums
    return (highest, total / count) if count else (None, None)


def deciding_quantity(
    reader_has: Mapping[By, Sequence[str]], aus: Sequence[str], by: By | None
) -> dict[str, By]:
    """Return what decides whether each AU is active.

    Args:
        reader_has: the AUs of which a table has decisions, probabilities and intensities.
        aus: the AUs.
        by: what the user wants; None for the first that an AU has of intensities, probabilities and
            decisions.

    Raises:
        UsageError: no AU has what the user wants.
    """
    order: tuple[By, ...] = ("intensity", "probability", "decision") if by is None else (by,)
    chosen = {}
    for au in aus:
        quantity = next((one for one in order if au in reader_has.get(one, ())), None)
        if quantity is not None:
            chosen[au] = quantity
    if aus and not chosen:
        nouns = {"intensity": "intensities", "probability": "probabilities"}
        raise UsageError(
            f"The tables have no {nouns.get(order[0], 'decisions')}.",
            where="--by",
            hint="leave out --by, or choose what the tables have",
        )
    return chosen


_Stretch = tuple[float, float, tuple[Event, ...]]
"""A beginning and an end in seconds, and the events that go on between them."""


def combine(events: Sequence[Event], settings: EventSettings) -> list[Event]:
    """Return the stretches of a clip in which the same AUs are active together, in order.

    A stretch that is shorter than `settings.apart` becomes part of a longer one beside it: of the
    next one if all of its AUs go on, and otherwise of the one before.

    Args:
        events: the events of single AUs of one clip, in any order.
        settings: the rules.
    """
    raw = [*_stretches(events)]
    joined: list[_Stretch] = []
    waiting: float | None = None
    for number, (start, stop, active) in enumerate(raw):
        after = raw[number + 1] if number + 1 < len(raw) else None
        begin = start if waiting is None else waiting
        waiting = None
        short = stop - begin < settings.apart - 1e-9
        if short and after is not None and after[0] == stop and _aus(active) <= _aus(after[2]):
            waiting = begin
            continue
        before = joined[-1] if joined and joined[-1][1] == begin else None
        if before is not None and (short or _aus(before[2]) == _aus(active)):
            joined[-1] = (before[0], stop, before[2])
        else:
            joined.append((begin, stop, active))
    begin_of = {event.onset: event.onset_frame for event in events}
    return [_combination(*stretch, begin_of) for stretch in joined]


def _stretches(events: Sequence[Event]) -> Iterator[_Stretch]:
    """Yield the times between two changes in which some AU is active."""
    bounds = sorted({time for event in events for time in (event.onset, event.offset)})
    ordered = sorted(events, key=lambda event: (event.onset, AUS.index(event.aus[0])))
    active: list[Event] = []
    position = 0
    for start, stop in pairwise(bounds):
        while position < len(ordered) and ordered[position].onset <= start:
            active.append(ordered[position])
            position += 1
        active = [event for event in active if event.offset > start]
        if active:
            yield start, stop, tuple(active)


def _aus(events: Sequence[Event]) -> set[str]:
    return {event.aus[0] for event in events}


def _combination(
    start: float, stop: float, events: tuple[Event, ...], begin_of: Mapping[float, int]
) -> Event:
    by_onset = sorted(events, key=lambda event: (event.onset, AUS.index(event.aus[0])))
    first = by_onset[0]
    rate = _frames_per_second(first)
    onset_frame = begin_of.get(start, first.onset_frame + round((start - first.onset) * rate))
    frames = max(1, round((stop - start) * rate))
    return Event(
        clip=first.clip,
        aus=tuple(event.aus[0] for event in by_onset),
        onset_frame=onset_frame,
        apex_frame=None,
        offset_frame=onset_frame + frames - 1,
        onset=start,
        apex=None,
        offset=stop,
        frames=frames,
        by=first.by,
        onsets=tuple(event.onset for event in by_onset),
        parts=tuple(by_onset),
        sides={event.aus[0]: event.side for event in by_onset if event.side},
        sex=first.sex,
    )


def _frames_per_second(event: Event) -> float:
    """Return how much frame numbers rise in a second, as an event shows it."""
    return (event.offset_frame - event.onset_frame + 1) / event.duration if event.duration else 0.0
