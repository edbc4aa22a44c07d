"""Events of action units: against a plain frame-by-frame computation, and by hand."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fauds.annotation.clips import ClipId, ClipPart, ReadingOptions
from fauds.annotation.event_tables import face_text, summarise
from fauds.annotation.events import EventFinder, EventSettings, combine
from fauds.annotation.wording import Wording
from fauds.datasets.code_rows import CodeRows
from fauds.errors import UsageError
from tests.annotation.helpers import events_of, openface, ramp

STEP = 0.04


def part_of(values: list[float], first: int, starts: bool, times: np.ndarray) -> ClipPart:
    column = np.array(values, np.float64)
    size = len(column)
    rows = CodeRows(
        {}, {}, np.ones(size, bool), None, {}, {}, {"AU12": column}, {}, np.arange(size)
    )
    frames = np.arange(first, first + size)
    sexes = pa.nulls(size, pa.string())
    return ClipPart(ClipId("clip"), starts, frames, times[first : first + size], None, sexes, rows)


def plain_events(values: list[float], settings: EventSettings) -> list[tuple[int, int, float]]:
    """Return the first and last frame and the peak of every event, frame by frame."""
    begin, end = settings.begins_at("intensity"), settings.ends_below("intensity")
    runs: list[list[int]] = []
    on = False
    for frame, value in enumerate(values):
        if np.isnan(value) or value < end:
            on = False
        elif value >= begin:
            on = True
        if on and runs and runs[-1][-1] == frame - 1:
            runs[-1].append(frame)
        elif on:
            runs.append([frame])
    joined: list[list[int]] = []
    for run in runs:
        if joined and (run[0] - joined[-1][-1] - 1) * STEP <= settings.gap + 1e-6:
            joined[-1] += run
        else:
            joined.append(run)
    return [
        (run[0], run[-1], max(values[frame] for frame in run))
        for run in joined
        if (run[-1] - run[0] + 1) * STEP >= settings.shortest - 1e-6
    ]


@given(
    values=st.lists(st.sampled_from([0.0, 1.0, 1.6, 2.0, 2.5, 4.0, float("nan")]), min_size=2,
                    max_size=60),
    cuts=st.lists(st.integers(1, 59), max_size=4),
    end=st.sampled_from([None, 1.5]),
    gap=st.sampled_from([0.0, 0.04, 0.1]),
    shortest=st.sampled_from([0.0, 0.08, 0.1]),
)  # fmt: skip
def test_events_are_those_of_a_plain_loop_however_the_clip_is_divided(
    values: list[float], cuts: list[int], end: float | None, gap: float, shortest: float
) -> None:
    settings = EventSettings(end=end, gap=gap, shortest=shortest)
    # Programs round times to milliseconds.
    times = np.round(np.arange(len(values)) * STEP + 0.0004, 3)
    bounds = sorted({0, len(values), *(cut for cut in cuts if 1 < cut < len(values))})
    finder = EventFinder(ClipId("clip"), ["AU12"], settings, {"AU12": "intensity"})
    events = []
    for start, stop in pairwise(bounds):
        events += finder.add(part_of(values[start:stop], start, start == 0, times))
    events += finder.finish()
    result = [(event.onset_frame, event.offset_frame, event.peak) for event in events]
    assert result == plain_events(values, settings)
    for event in events:
        inside = values[event.onset_frame : event.offset_frame + 1]
        assert event.apex_frame is not None
        assert values[event.apex_frame] == event.peak == np.nanmax(inside)
        assert event.onset == times[event.onset_frame]
        assert event.offset == pytest.approx(times[event.offset_frame] + STEP)


def test_an_event_begins_at_b_and_ends_below_b(tmp_path: Path) -> None:
    path = openface(
        tmp_path / "a.csv", {"AU12": ramp((0, 5), (1.9, 2), (2, 3), (4.5, 1), (1.99, 4))}
    )
    (clip,) = events_of(path)
    (event,) = clip.single
    assert (event.onset_frame, event.apex_frame, event.offset_frame) == (8, 11, 11)
    assert (event.onset, event.apex, event.offset) == pytest.approx((0.7, 1.0, 1.1))
    assert event.peak == 4.5 and event.mean == pytest.approx((3 * 2 + 4.5) / 4)
    assert event.frames == 4 and event.duration == pytest.approx(0.4)


def test_hysteresis_gap_and_shortest_duration_are_settings(tmp_path: Path) -> None:
    values = ramp((0, 2), (2.5, 3), (1.5, 1), (2.5, 3), (0, 2), (2.5, 1), (0, 5))
    path = openface(tmp_path / "a.csv", {"AU12": values})

    def spans(**settings: float) -> list[tuple[int, int]]:
        (clip,) = events_of(path, **settings)
        return [(event.onset_frame, event.offset_frame) for event in clip.single]

    assert spans(gap=0, shortest=0) == [(3, 5), (7, 9), (12, 12)]
    assert spans(gap=0, shortest=0.2) == [(3, 5), (7, 9)]
    assert spans(gap=0.1, shortest=0) == [(3, 9), (12, 12)]
    assert spans(gap=0, shortest=0, end=1.5) == [(3, 9), (12, 12)]
    assert spans(gap=0.3, shortest=0) == [(3, 12)]
    assert spans(gap=0, shortest=0, begin=3) == []


def test_lost_faces_interrupt_an_event_unless_they_are_short(tmp_path: Path) -> None:
    path = openface(tmp_path / "a.csv", {"AU12": ramp((3, 20))}, without_face=[5, 11, 12, 13])
    (clip,) = events_of(path)
    assert [(e.onset_frame, e.offset_frame) for e in clip.single] == [(1, 10), (14, 20)]
    # LibreFace leaves out the rows of frames without a face.
    rows = [f"{frame},{100 * frame},1,3" for frame in (0, 1, 2, 4, 5, 9, 10)]
    libre = tmp_path / "b.csv"
    libre.write_text("\n".join(["frame_idx,frame_time_in_ms,au_1,au_1_intensity", *rows]) + "\n")
    (clip,) = events_of(libre)
    assert [(e.onset_frame, e.offset_frame) for e in clip.single] == [(0, 5), (9, 10)]


def test_events_come_from_decisions_probabilities_or_intensities(tmp_path: Path) -> None:
    path = openface(
        tmp_path / "a.csv",
        {"AU12": ramp((0, 3), (1.2, 4), (3, 3))},
        decisions={"AU12": ramp((0, 3), (1, 4), (1, 3)), "AU28": ramp((1, 4), (0, 6))},
    )
    (clip,) = events_of(path)
    assert {(e.aus, e.by, e.onset_frame) for e in clip.single} == {
        (("AU12",), "intensity", 8),
        (("AU28",), "decision", 1),
    }
    (blink,) = (event for event in clip.single if event.aus == ("AU28",))
    assert blink.apex_frame is None and blink.peak is None
    (clip,) = events_of(path, by="decision")
    (smile,) = (event for event in clip.single if event.aus == ("AU12",))
    assert (smile.onset_frame, smile.peak, smile.apex_frame) == (4, 3, 8)
    with pytest.raises(UsageError, match="no probabilities"):
        events_of(path, by="probability")
    fex = tmp_path / "fex.csv"
    cells = [0.1, 0.49, 0.5, 0.9, 0.6, 0.2]
    fex.write_text(
        "frame,FaceRectX,AU12,input\n"
        + "".join(f"{frame},1,{value},talk.mp4\n" for frame, value in enumerate(cells))
    )
    (clip,) = events_of(fex, ReadingOptions(fps=10))
    (event,) = clip.single
    assert (event.onset_frame, event.apex_frame, event.offset_frame) == (2, 3, 4)
    assert (event.onset, event.offset) == pytest.approx((0.2, 0.5))
    assert event.peak_probability == 0.9 and event.peak is None


def test_events_need_times(tmp_path: Path) -> None:
    path = tmp_path / "fex.csv"
    path.write_text("frame,FaceRectX,AU12,input\n0,1,0.9,talk.mp4\n")
    with pytest.raises(UsageError, match="times of the frames of talk are not known") as caught:
        events_of(path)
    assert "--fps" in caught.value.hint


def test_aus_that_are_active_together_are_combined_and_who_came_first_is_known(
    tmp_path: Path,
) -> None:
    aus = {
        "AU06": ramp((0, 14), (3, 16)),  # from 1.4 s
        "AU12": ramp((0, 10), (3, 20)),  # from 1.0 s
        "AU25": ramp((0, 15), (3, 10), (0, 5)),  # from 1.5 s, 0.1 s after AU06
    }
    (clip,) = events_of(openface(tmp_path / "a.csv", aus))
    spans = [(e.aus, round(e.onset, 3), round(e.offset, 3)) for e in clip.together]
    assert spans == [
        (("AU12",), 1.0, 1.4),
        (("AU12", "AU06", "AU25"), 1.4, 2.5),
        (("AU12", "AU06"), 2.5, 3.0),
    ]
    assert clip.together[1].onsets == pytest.approx((1.0, 1.4, 1.5))
    assert [e.onset_frame for e in clip.together] == [11, 15, 26]
    texts = [face_text(event, Wording(), 0.2) for event in clip.together]
    assert [text.endswith("AU12 began first, AU06 and AU25 0.4 s later.") for text in texts] == [
        False,
        True,
        False,
    ]
    assert "began first" not in texts[2], "it is said where an AU begins"


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 50), st.integers(1, 20)), min_size=1, max_size=8
    )
)
def test_combinations_do_not_overlap_and_cover_exactly_the_time_of_their_aus(
    spans: list[tuple[int, int, int]],
) -> None:
    finder_events = []
    covered = np.zeros(80, bool)
    for au, start, length in spans:
        on = np.zeros(80)
        on[start : start + length] = 3
        covered |= on > 0
        finder = EventFinder(ClipId("c"), ["AU12"], EventSettings(), {"AU12": "intensity"})
        part = part_of(on.tolist(), 0, True, np.arange(80) * 0.1)
        name = ("AU06", "AU12", "AU25")[au]
        for event in [*finder.add(part), *finder.finish()]:
            finder_events.append(event.__class__(**{**event.__dict__, "aus": (name,)}))
    together = combine(finder_events, EventSettings(apart=0))
    for first, second in pairwise(together):
        assert first.offset <= second.onset + 1e-9
    total = sum(event.duration for event in together)
    assert total == pytest.approx(covered.sum() * 0.1)
    longer = combine(finder_events, EventSettings(apart=0.35))
    assert sum(event.duration for event in longer) == pytest.approx(total)
    assert len(longer) <= len(together)


def test_a_summary_counts_events_time_and_company(tmp_path: Path) -> None:
    aus = {
        "AU06": ramp((0, 20), (3, 20), (0, 60)),
        "AU12": ramp((0, 10), (3, 20), (0, 20), (4, 10), (0, 40)),
        "AU25": ramp((0, 100)),
    }
    (clip,) = events_of(openface(tmp_path / "a.csv", aus))
    cheek, smile, lips = summarise(clip)
    assert (smile.events, smile.seconds, smile.share) == (2, pytest.approx(3), pytest.approx(0.3))
    assert smile.peak == 4 and smile.mean == pytest.approx((20 * 3 + 10 * 4) / 30)
    assert smile.together == {"AU06": pytest.approx(1 / 3)}
    assert cheek.together == {"AU12": pytest.approx(0.5)}
    assert (lips.events, lips.seconds, lips.together, lips.peak) == (0, 0, {}, None)
    assert clip.seconds == pytest.approx(10) and clip.frames == 100


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"begin": 1, "end": 2}, "cannot end below 2"), ({"gap": -1}, "gap must be 0 or more")],
)
def test_rules_that_contradict_themselves_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        EventSettings(**settings)
