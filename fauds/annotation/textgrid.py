"""Writes the events of a clip as a Praat TextGrid, with an interval tier for each AU."""

from collections.abc import Mapping, Sequence

from fauds.annotation.subtitles import Cue


def as_textgrid(tiers: Mapping[str, Sequence[Cue]], end: float) -> str:
    """Return tiers of annotations as a TextGrid in Praat's long text format.

    Praat's tiers have no gaps: the time between annotations is filled with empty intervals.

    Args:
        tiers: by the name of the tier, its annotations, which rise in time and do not overlap.
        end: the end of the clip in seconds.
    """
    end = max([end, *(cue.stop for cues in tiers.values() for cue in cues)])
    lines = [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        "xmin = 0",
        f"xmax = {_time(end)}",
        "tiers? <exists>",
        f"size = {len(tiers)}",
        "item []:",
    ]
    for number, (name, cues) in enumerate(tiers.items(), start=1):
        intervals = _without_gaps(cues, end)
        lines += [
            f"    item [{number}]:",
            '        class = "IntervalTier"',
            f"        name = {_quoted(name)}",
            "        xmin = 0",
            f"        xmax = {_time(end)}",
            f"        intervals: size = {len(intervals)}",
        ]
        for place, cue in enumerate(intervals, start=1):
            lines += [
                f"        intervals [{place}]:",
                f"            xmin = {_time(cue.start)}",
                f"            xmax = {_time(cue.stop)}",
                f"            text = {_quoted(cue.text)}",
            ]
    return "\n".join(lines) + "\n"


def _without_gaps(cues: Sequence[Cue], end: float) -> list[Cue]:
    intervals: list[Cue] = []
    at = 0.0
    for cue in cues:
        start = max(cue.start, at)
        if start > at:
            intervals.append(Cue(at, start, ""))
        intervals.append(Cue(start, cue.stop, cue.text))
        at = cue.stop
    if end > at or not intervals:
        intervals.append(Cue(at, end, ""))
    return intervals


def _time(seconds: float) -> str:
    return f"{seconds:.6f}".rstrip("0").rstrip(".")


def _quoted(text: str) -> str:
    doubled = text.replace('"', '""')
    return f'"{doubled}"'
