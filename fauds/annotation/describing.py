"""Describes the clips of tables of action units (AUs), and writes the result in any format.

Begin with `describe_clips`. A table of frames, events or summaries has all clips; subtitles, ELAN
and Praat files have one clip each.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pyarrow as pa

from fauds.annotation.clips import ClipPart, ClipReader
from fauds.annotation.elan import as_eaf
from fauds.annotation.event_tables import (
    EVENTS_SCHEMA,
    SUMMARY_SCHEMA,
    ClipEvents,
    EventsOfClips,
    event_rows,
    face_text,
    notation,
    summarise,
    summary_rows,
    summary_text,
)
from fauds.annotation.events import EventSettings
from fauds.annotation.frames import FrameDescriber, FrameRule
from fauds.annotation.sheets import SHEET_FORMATS, open_sheet_file
from fauds.annotation.subtitles import Cue, as_srt, as_vtt
from fauds.annotation.textgrid import as_textgrid
from fauds.annotation.timeline import clock, timeline
from fauds.annotation.wording import Wording
from fauds.errors import UsageError
from fauds.facs import au_name
from fauds.tables.atomic import atomic
from fauds.version import VERSION

What = Literal["frames", "events", "summary"]
"""What is described: every frame, events, or each clip as a whole."""

CLIP_FORMATS = (".srt", ".vtt", ".eaf", ".textgrid")
"""The suffixes of files that hold the events of one clip."""

_FACE_TIER = "face"
_CODES_TIER = "codes"


@dataclass(frozen=True)
class Describing:
    """What is to be described, and how.

    Attributes:
        what: frames, events or summaries.
        wording: the texts.
        rule: what makes an AU active in a frame.
        events: the rules of events.
        codes: whether FACS notation stands beside the texts.
        media: the video that an ELAN file opens; None for none.
        note: a line about the AUs that a file of one clip states, such as the weights of the model
            that predicted them; "" for none.
    """

    what: What = "frames"
    wording: Wording = field(default_factory=Wording)
    rule: FrameRule = field(default_factory=FrameRule)
    events: EventSettings = field(default_factory=EventSettings)
    codes: bool = False
    media: Path | None = None
    note: str = ""


@dataclass
class Described:
    """What was described.

    Attributes:
        rows: the number of rows, or of annotations, that were written or shown.
        clips: the number of clips.
        paths: the files that were written.
    """

    rows: int = 0
    clips: int = 0
    paths: list[Path] = field(default_factory=list)


def check_output(out: Path, what: What) -> What:
    """Return what a file holds, by its suffix and what the user asks for.

    Raises:
        UsageError: no format has this suffix, or it cannot hold summaries.
    """
    suffix = out.suffix.lower()
    if suffix in SHEET_FORMATS:
        return what
    if suffix not in CLIP_FORMATS:
        raise UsageError(
            f"Descriptions cannot be written as a {suffix or 'suffix-less'} file.",
            where=out,
            hint=f"give a file that ends in {', '.join([*SHEET_FORMATS, *CLIP_FORMATS])}",
        )
    if what == "summary":
        raise UsageError(
            f"A {suffix} file holds events, not summaries.",
            where=out,
            hint=f"leave out --summary, or give a file that ends in {', '.join(SHEET_FORMATS)}",
        )
    return "events"


def describe_clips(
    reader: ClipReader,
    describing: Describing,
    out: Path | None,
    show: Callable[[str], None],
    say: Callable[[str], None],
) -> Described:
    """Describe all clips, and write the result to a file or show it as lines of text.

    Args:
        reader: the clips.
        describing: what is described, and how.
        out: the file, whose suffix decides its format; None to show lines of text. For several
            clips, the name of a file that holds one clip has ``{clip}`` in it, which stands for
            the name of the clip.
        show: called with each line to show, if there is no file.
        say: called with each line about how AUs are decided.

    Raises:
        UsageError: the suffix is of no format; several clips would be written into one file, or
            a table would be replaced; or the times of the frames are not known but needed.
        DataError: a table is invalid, or the file cannot be written.
    """
    what = describing.what if out is None else check_output(out, describing.what)
    if out is not None and out.resolve() in [table.path.resolve() for table in reader.tables]:
        raise UsageError(
            f"The output would replace the table {out.name}.",
            where=out,
            hint="give another file for the descriptions",
        )
    if what == "frames":
        return _frames(reader, describing, out, show, say)
    events = EventsOfClips(reader, describing.events)
    for line in events.described():
        say(line)
    if out is None:
        return _shown(events, describing, show)
    if out.suffix.lower() in CLIP_FORMATS:
        return _clip_files(events, describing, out)
    return _event_table(events, describing, out, what)


def _frames(
    reader: ClipReader,
    describing: Describing,
    out: Path | None,
    show: Callable[[str], None],
    say: Callable[[str], None],
) -> Described:
    describer = FrameDescriber(reader, describing.wording, describing.rule, describing.codes)
    say(describer.rule.described(describer.has, describer.aus))
    done = Described()
    about = _about(reader, {"active": describer.rule.described(describer.has, describer.aus)})
    sheet = (
        nullcontext(None)
        if out is None
        else open_sheet_file(out, describer.schema, "frames", about)
    )
    with sheet as write:
        for part in reader.parts():
            table = describer.table(part)
            done.rows += len(table)
            done.clips += part.starts
            if write is not None:
                write(table)
                continue
            for line in _frame_lines(part, table, describing.codes):
                show(line)
    done.paths += [] if out is None else [out]
    return done


def _frame_lines(part: ClipPart, table: pa.Table, codes: bool) -> Iterator[str]:
    if part.starts:
        yield part.clip.name
    images = [None] * len(table) if part.images is None else part.images.to_pylist()
    times = table["time"].to_pylist() if "time" in table.column_names else [None] * len(table)
    notes = table["codes"].to_pylist() if codes else [None] * len(table)
    rows = zip(
        images,
        table["frame"].to_pylist(),
        times,
        notes,
        table["face_text"].to_pylist(),
        strict=True,
    )
    for image, frame, time, note, text in rows:
        place = image if frame is None else f"{frame:>6}"
        moment = "" if time is None else f"  {clock(time)}"
        yield f"  {place}{moment}{f'  {note}' if note else ''}  {text or '-'}"


def _about(reader: ClipReader, more: Mapping[str, str]) -> dict[str, str]:
    tables = [f"{table.path.name}: {table.recognised()}" for table in reader.tables]
    return {"written by": f"fauds {VERSION}", "read from": "\n".join(tables[:20]), **more}


def _shown(events: EventsOfClips, describing: Describing, show: Callable[[str], None]) -> Described:
    done = Described()
    for clip in events:
        done.clips += 1
        done.rows += len(clip.single)
        if describing.what == "summary":
            for line in _summary_lines(clip, describing.wording):
                show(line)
            continue
        for line in timeline(clip, describing.wording, describing.events, describing.codes):
            show(line)
    return done


def _summary_lines(clip: ClipEvents, wording: Wording) -> Iterator[str]:
    summaries = summarise(clip)
    yield summary_text(clip, summaries, wording)
    yield "  AU    events  per min  seconds  share %  mean s  peak  most often with"
    for one in summaries:
        minutes = one.coded * clip.step / 60
        rate = f"{one.events / minutes:.1f}" if minutes else "-"
        mean = f"{one.seconds / one.events:.1f}" if one.events else "-"
        peak = "-" if one.peak is None else f"{one.peak:.1f}"
        other = one.most_often_with
        beside = f"{other} {100 * one.together[other]:.0f} %" if other else "-"
        yield (
            f"  {one.au}  {one.events:>6}  {rate:>7}  {one.seconds:>7.1f}  "
            f"{100 * one.share:>7.1f}  {mean:>6}  {peak:>4}  {beside}"
        )


def _event_table(events: EventsOfClips, describing: Describing, out: Path, what: What) -> Described:
    done = Described(paths=[out])
    schema = SUMMARY_SCHEMA if what == "summary" else EVENTS_SCHEMA
    about = _about(events.reader, {"events": "\n".join(events.described())})
    with open_sheet_file(out, schema, what, about) as write:
        for clip in events:
            tables: Iterable[pa.Table] = (
                [summary_rows(clip, describing.wording)]
                if what == "summary"
                else event_rows(clip, describing.wording, describing.events)
            )
            done.clips += 1
            for table in tables:
                done.rows += len(table)
                write(table)
    return done


def _clip_files(events: EventsOfClips, describing: Describing, out: Path) -> Described:
    done = Described()
    texts: dict[Path, str] = {}
    for clip in events:
        path = Path(str(out).replace("{clip}", _file_name(clip.clip.name)))
        if path in done.paths:
            raise UsageError(
                f"There are several clips, but a {out.suffix} file holds one.",
                where=out,
                hint=f"put {{clip}} into the name: --out '{{clip}}{out.suffix}'",
            )
        texts[path] = clip_text(clip, describing, out.suffix)
        done.paths.append(path)
        done.clips += 1
        done.rows += len(clip.together)
        if "{clip}" in str(out):
            _write_texts(texts)
    _write_texts(texts)
    return done


def _write_texts(texts: dict[Path, str]) -> None:
    """Write texts to their files, and forget them."""
    for path, text in texts.items():
        with atomic(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    texts.clear()


def _file_name(name: str) -> str:
    """Return the name of a clip as a part of a file's name."""
    return re.sub(r'[/\\:*?"<>|\x00-\x1f]+', "_", name).strip(". ") or "clip"


def clip_text(clip: ClipEvents, describing: Describing, suffix: str) -> str:
    """Return the events of a clip as the content of a subtitle, ELAN or Praat file.

    Args:
        clip: the events of the clip.
        describing: how they are described.
        suffix: the suffix of the file, one of `CLIP_FORMATS`.
    """
    faces = [
        (event, face_text(event, describing.wording, describing.events.apart))
        for event in clip.together
    ]
    codes = [notation(event) for event in clip.together]
    if suffix.lower() in (".srt", ".vtt"):
        cues = [
            Cue(event.onset, event.offset, f"{note}\n{text}" if describing.codes else text)
            for (event, text), note in zip(faces, codes, strict=True)
        ]
        cues = _with_note(cues, describing.note)
        return as_srt(cues) if suffix.lower() == ".srt" else as_vtt(cues, describing.note)
    tiers: dict[str, Sequence[Cue]] = {
        _FACE_TIER: [Cue(event.onset, event.offset, text) for event, text in faces],
        _CODES_TIER: [
            Cue(event.onset, event.offset, note)
            for (event, _), note in zip(faces, codes, strict=True)
        ],
    }
    for au in clip.aus:
        tiers[au_name(au)] = [
            Cue(event.onset, event.offset, notation(event))
            for event in clip.single
            if event.aus == (au,)
        ]
    end = clip.begin + clip.seconds
    if suffix.lower() == ".eaf":
        return as_eaf(tiers, describing.media, clip.clip.subject, describing.note)
    if describing.note:
        tiers["note"] = [Cue(0, end, describing.note)]
    return as_textgrid(tiers, end)


def _with_note(cues: list[Cue], note: str) -> list[Cue]:
    """Return subtitles with a note below the first; alone for two seconds if there is none."""
    if not note:
        return cues
    if not cues:
        return [Cue(0, 2, note)]
    first = cues[0]
    return [Cue(first.start, first.stop, f"{first.text}\n{note}"), *cues[1:]]
