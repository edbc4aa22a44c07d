"""The command describe: action units that other programs or coders wrote, in words."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import click

from fauds.errors import UsageError

if TYPE_CHECKING:
    from fauds.annotation.clips import ReadingOptions

COLUMN_OPTION = click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="ROLE=NAME",
    help="Name of the column that holds a role, where it has another name than usual: subject, "
    "clip, frame, time (seconds), time_ms, sex, image, key, face, success, confidence, codes (FACS "
    "notation), au and value (of a table with one row an AU). Can be repeated.",
)
SCALE = click.option(
    "--scale",
    type=click.Choice(["occurrence", "probability", "0-5", "0-1", "0-100"]),
    help="What the numbers of AUs mean, where the names of their columns do not say it, such as "
    "AU12; 0-1 and 0-100 are also taken for columns of intensities.",
)


@click.command()
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--events", "what", flag_value="events", help="Describe when AUs begin and end.")
@click.option(
    "--summary", "what", flag_value="summary", help="Describe every clip in one paragraph."
)
@click.option(
    "--out",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write: .csv, .xlsx, .parquet or .jsonl (tables); .srt or .vtt (subtitles), .eaf "
    "(ELAN) or .TextGrid (Praat), which hold the events of one clip: for several, put {clip} into "
    "the name.  [default: show a timeline]",
)
@click.option(
    "--language",
    default="en",
    show_default=True,
    help="Language of the descriptions: en, zh, or a language of --templates.",
)
@click.option(
    "--degrees",
    is_flag=True,
    help="Say degrees, from a trace (A) to the maximum (E), where the tables have intensities; of "
    "an event, the degree at its peak.",
)
@click.option("--codes", is_flag=True, help="Write FACS notation, such as 6+12C, beside the text.")
@click.option("--aus", metavar="AU,AU", help="Describe only these AUs, such as 6,12.")
@click.option(
    "--by",
    type=click.Choice(["decision", "probability", "intensity"]),
    help="What decides whether an AU is active.  [default: for frames the program's decisions, "
    "then probabilities, then intensities; for events the other way round]",
)
@click.option(
    "--threshold",
    type=float,
    help="Value from which an AU is active, and at which an event begins.  [default: probability "
    "0.5, intensity 2 (B)]",
)
@click.option(
    "--end",
    type=float,
    help="Value below which an event ends; lower than --threshold to keep events in one piece.  "
    "[default: as --threshold]",
)
@click.option(
    "--shortest",
    type=click.FloatRange(min=0),
    default=0.1,
    show_default=True,
    help="Shortest event in seconds.",
)
@click.option(
    "--gap",
    type=click.FloatRange(min=0),
    default=0.1,
    show_default=True,
    help="Longest interruption of an event in seconds, also by frames without a face.",
)
@click.option(
    "--apart",
    type=click.FloatRange(min=0),
    default=0.2,
    show_default=True,
    help="Difference of two beginnings in seconds from which the text says which AU came first.",
)
@click.option("--sex", type=click.Choice(["F", "M"]), help="Sex of the person, for the texts.")
@click.option(
    "--face",
    metavar="largest|all|ID",
    help="Face to describe where frames show several: the largest, the one with the program's ID, "
    "or all, each by itself.",
)
@click.option(
    "--min-confidence",
    type=float,
    help="Lowest confidence of the program at which a frame counts.",
)
@click.option(
    "--fps",
    type=float,
    help="Frames per second, from which times are computed.  [default: the table's times]",
)
@SCALE
@COLUMN_OPTION
@click.option(
    "--media",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Video that an ELAN file (.eaf) opens.",
)
@click.option(
    "--templates",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of your own sentence templates, which override those of fauds.",
)
def describe(
    inputs: tuple[Path, ...],
    what: Literal["events", "summary"] | None,
    out: Path | None,
    **options: Any,
) -> None:
    """Describe the action units (AUs) in INPUTS in words: a line a frame, events, or summaries.

    INPUTS are tables that OpenFace, py-feat, LibreFace, AUCanvas, OpenGraphAU, PyAFAR, iMotions or
    fauds explain wrote, tables of hand-coded AUs or FACS notation, and folders of such tables. No
    model and no video is needed.
    """
    # Arrow's own allocator keeps freed memory, which grows with the length of a table.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    from fauds.annotation.clips import read_clips
    from fauds.annotation.describing import Describing, check_output, describe_clips
    from fauds.annotation.events import EventSettings
    from fauds.annotation.frames import FrameRule
    from fauds.annotation.wording import Wording

    wanted = what or "frames"
    if out is not None:
        check_output(out, wanted)
    by, threshold = options["by"], options["threshold"]
    describing = Describing(
        what=cast(Any, wanted),
        wording=Wording(options["language"], options["degrees"], options["templates"]),
        rule=FrameRule(by, threshold),
        events=EventSettings(
            by=by,
            begin=threshold,
            end=options["end"],
            shortest=options["shortest"],
            gap=options["gap"],
            apart=options["apart"],
        ),
        codes=options["codes"],
        media=options["media"],
    )
    reader = read_clips(inputs, _reading_options(options), _say)
    done = describe_clips(reader, describing, out, click.echo, _say)
    for path in done.paths[:20]:
        click.echo(path)
    if done.paths:
        noun = {"frames": "frame", "summary": "row"}.get(wanted, "event")
        click.echo(
            f"{done.rows:,} {noun}{'s' * (done.rows != 1)} of {done.clips:,} "
            f"clip{'s' * (done.clips != 1)}",
            err=True,
        )


def _say(line: str) -> None:
    click.echo(line, err=True)


def named_columns(pairs: tuple[str, ...]) -> dict[str, str]:
    """Return the names of columns by role, from pairs such as ``frame=Bildnummer``.

    Raises:
        UsageError: a pair has no equals sign.
    """
    columns = {}
    for pair in pairs:
        role, equals, name = pair.partition("=")
        if not equals or not name:
            raise UsageError(
                f"{pair!r} does not name the column of a role.",
                where="--column",
                hint="write it as ROLE=NAME, such as --column frame=Bildnummer",
            )
        columns[role.strip()] = name
    return columns


def _reading_options(options: dict[str, Any]) -> "ReadingOptions":
    from fauds.annotation.clips import ReadingOptions
    from fauds.facs import au_name

    aus = options["aus"]
    return ReadingOptions(
        columns=named_columns(options["columns"]),
        scale=options["scale"],
        min_confidence=options["min_confidence"],
        face=options["face"],
        fps=options["fps"],
        aus=tuple(au_name(au) for au in aus.split(",")) if aus else None,
        sex=options["sex"],
    )
