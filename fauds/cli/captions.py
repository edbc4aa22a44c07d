"""The commands for captions: build-captions, and ``fauds captions`` show, stats, export, lint."""

import os
import sys
from pathlib import Path
from typing import Any

import click

from fauds.cli.options import (
    DATASET,
    WORKDIR,
    check_figure,
    new_progress,
    new_project,
    read_frames,
    read_options,
)
from fauds.errors import DataError, UsageError

_TEMPLATES = click.option(
    "--templates",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of your own sentence templates, which override those of fauds.",
)
_FIGURE = click.option(
    "--figure",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also draw a figure and write it to this .png, .pdf or .svg file.",
)


@click.command("build-captions")
@DATASET
@read_options
@click.option(
    "--language",
    default="en",
    show_default=True,
    help="Language of the descriptions: en, zh, or a language of --templates.",
)
@click.option(
    "--style",
    type=click.Choice(["composed", "plain"]),
    help="Style of an AU's descriptions: composed ones also say which neighbouring AUs are active; "
    "plain ones are the same on every face.  [default: plain]",
)
@click.option(
    "--degrees", is_flag=True, help="Describe degrees: intensities from A (trace) to E (maximum)."
)
@click.option(
    "--variants",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Number of paraphrases of each description.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Seed of the random choice of paraphrases.",
)
@_TEMPLATES
@WORKDIR
def build_captions(
    workdir: Path,
    dataset: str,
    language: str,
    style: str | None,
    degrees: bool,
    variants: int,
    seed: int,
    templates: Path | None,
    **reading: Any,
) -> None:
    """Read the labels and describe each frame: each AU (locally) and the whole face (globally)."""
    from fauds.captions import Style
    from fauds.captions.styles import style_name
    from fauds.cli.terminal import show_captions

    project = new_project(workdir, dataset)
    wording = Style(language, degrees, variants, seed, templates, style_name(style))
    # Check the language before reading labels, which can take a minute.
    project.caption_settings(wording)
    frames = read_frames(project, **reading)
    show_captions(project.captions(frames, wording))


@click.group()
def captions() -> None:
    """Show, count and export descriptions, and check templates."""


@captions.command()
@click.argument("what", required=False)
@DATASET
@click.option("--language", help="Language of an AU's descriptions.  [default: en]")
@_TEMPLATES
@click.option(
    "--sex",
    type=click.Choice(["F", "M"]),
    help="Sex of the person, for the description of a face on which only this AU is active.",
)
@click.option("--all", "every", is_flag=True, help="Show all paraphrases of an AU's descriptions.")
@_FIGURE
@WORKDIR
def show(
    what: str | None,
    dataset: str,
    workdir: Path,
    language: str | None,
    templates: Path | None,
    sex: str | None,
    every: bool,
    figure: Path | None,
) -> None:
    """Show the descriptions of WHAT: an action unit or a frame.

    WHAT is an action unit, such as AU12 or 12, for which no dataset is needed; or a frame of a
    dataset with captions, such as F001/T1/2440 (BP4D) or SN001/17 (DISFA). Without WHAT, the first
    frame with an active AU is shown.
    """
    check_figure(figure)
    au_options = {"--language": language, "--templates": templates, "--sex": sex, "--all": every}
    used = [name for name, value in au_options.items() if value]
    if what is not None and "/" not in what:
        _show_au(what, language or "en", templates, sex, every, figure)
    elif used:
        raise UsageError(
            f"{', '.join(used)} cannot be used for a frame, whose descriptions are already built.",
            hint="give an action unit (fauds captions show AU12), or run fauds build-captions with "
            "other options",
        )
    else:
        _show_frame(what, _opened(workdir, dataset), figure)


def _show_au(
    what: str,
    language: str,
    templates: Path | None,
    sex: str | None,
    every: bool,
    figure: Path | None,
) -> None:
    from fauds.captions.summaries import au_sheet
    from fauds.report.captions import show_au

    sheet = au_sheet(what, language, templates, sex)
    show_au(sheet, every=every)
    if figure:
        from fauds.report.caption_figures import draw_au

        draw_au(sheet, figure)
        click.echo(figure)


def _show_frame(what: str | None, built: Any, figure: Path | None) -> None:
    from fauds.captions.summaries import find_frame, first_frame
    from fauds.report.captions import show_frame

    frame = first_frame(built) if what is None else find_frame(built, what)
    show_frame(frame, chosen=what is None)
    if figure:
        from fauds.report.caption_figures import draw_frame

        draw_frame(frame, figure)
        click.echo(figure)


@captions.command()
@click.argument("codes")
@click.option("--sex", type=click.Choice(["F", "M"]), help="Sex of the person.")
@click.option("--language", default="en", show_default=True, help="Language of the descriptions.")
@click.option("--style", type=click.Choice(["composed", "plain"]), help="Style of the report.")
@click.option(
    "--length",
    type=click.Choice(["sentence", "face", "report"]),
    default="report",
    show_default=True,
    help="One sentence; the description of the face as in captions.parquet; or a report with codes "
    "in brackets and a line for each AU.",
)
@_TEMPLATES
def describe(
    codes: str,
    sex: str | None,
    language: str,
    style: str | None,
    length: str,
    templates: Path | None,
) -> None:
    """Describe a face by CODES in FACS notation, such as 1C+2C+L12D, or 0 for a neutral face."""
    from fauds.annotation.api import describe_notation
    from fauds.facs import parse_codes

    description = describe_notation(parse_codes(codes), sex, language, 0, templates, style)
    click.echo(getattr(description, length))


@captions.command()
@DATASET
@_FIGURE
@WORKDIR
def stats(dataset: str, workdir: Path, figure: Path | None) -> None:
    """Show how often AUs, combinations of AUs, descriptions, their lengths and words occur."""
    from fauds.captions.statistics import caption_statistics
    from fauds.report.captions import show_statistics

    check_figure(figure)
    statistics = caption_statistics(_opened(workdir, dataset))
    show_statistics(statistics)
    if figure:
        from fauds.report.caption_figures import draw_statistics

        draw_statistics(statistics, figure)
        click.echo(figure)


@captions.command()
@click.option(
    "--format",
    "kind",
    type=click.Choice(["jsonl", "hf"]),
    required=True,
    help="Format of the export: JSON Lines (jsonl) or a Hugging Face dataset (hf).",
)
@DATASET
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="File (jsonl; - for stdout) or folder (hf) to write.  [default: in the subfolder export/ "
    "of the dataset's folder]",
)
@WORKDIR
def export(kind: str, dataset: str, workdir: Path, out: Path | None) -> None:
    """Write frames with labels and descriptions as JSON Lines or a Hugging Face dataset."""
    built = _opened(workdir, dataset)
    to_stdout = out in (Path("-"), Path("/dev/stdout"))
    if kind == "hf":
        if to_stdout:
            raise UsageError(
                "The format hf is a folder, which cannot be written to stdout.",
                hint="give a folder with --out",
            )
        out = out or built.folder / "export" / "hf"
        _export_hf(built, out, new_project(workdir, dataset).workspace.protocol.access)
    elif to_stdout:
        _print_jsonl(built)
    else:
        _export_jsonl(built, out or built.folder / "export" / "captions.jsonl")


def _export_hf(built: Any, out: Path, access: str) -> None:
    from fauds.captions.export_hf import write_folder

    with new_progress() as bars, bars.bar("exporting", built.rows) as written:
        write_folder(built, out, access, written)
    click.echo(f"{out}: {_described(built)}")
    click.echo(f'  load_dataset("{out}", split="train"); its README.md describes the columns')


def _export_jsonl(built: Any, out: Path) -> None:
    from fauds.captions.export_jsonl import write_jsonl

    with new_progress() as bars, bars.bar("exporting", built.rows) as written:
        write_jsonl(built, out, written)
    click.echo(f"{out}: {_described(built)}")


def _print_jsonl(built: Any) -> None:
    from fauds.captions.export_jsonl import stream_jsonl

    try:
        stream_jsonl(built, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    except OSError as error:
        # When it exits, the interpreter would write the rest and fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            # The reader, such as head, has closed the pipe.
            return
        raise DataError(
            f"stdout could not be written: {error.strerror or error}.",
            hint="free disk space or write to another file; the output so far is incomplete",
        ) from error
    click.echo(_described(built), err=True)


def _described(built: Any) -> str:
    synthetic = ", synthetic" if built.synthetic else ""
    pictured = built.pictured()
    if not pictured:
        return (
            f"{built.rows:,} frames{synthetic}, none with an image file of its own: the paths of "
            "the crops that fauds prepare wrote are in faces.parquet, by frame_id"
        )
    some = "" if pictured == built.rows else f", {pictured:,} with an image"
    return f"{built.rows:,} frames{synthetic}{some}; images are relative to {built.image_root}"


@captions.command()
@click.option("--language", help="Check only this language.  [default: all languages]")
@_TEMPLATES
def lint(language: str | None, templates: Path | None) -> None:
    """Check templates and list their problems, one per line.

    The exit code is 1 if there are problems.
    """
    from fauds.captions.lint import check_templates

    wrong = 0
    for name in [language] if language else _languages(templates):
        report = check_templates(name, templates)
        for problem in report.problems:
            click.echo(problem)
        number = len(report.problems)
        count = "no problems" if not number else f"{number:,} problem{'s' * (number > 1)}"
        click.echo(f"{name}: {count} in {report.files} files, {report.sentences:,} sentences")
        wrong += number
    if wrong:
        raise click.exceptions.Exit(1)


def _languages(templates: Path | None) -> list[str]:
    from fauds.captions import languages

    names = languages(templates)
    if templates is None:
        return names
    if not templates.is_dir():
        raise UsageError(
            "The folder given with --templates does not exist.",
            where=templates,
            hint="give an existing folder",
        )
    own = [name for name in names if (templates / name).is_dir()]
    if not own:
        raise UsageError(
            "The folder given with --templates contains no language.",
            where=templates,
            hint=f"add a folder for each language, such as {templates}/en; its files are named as "
            "in the folder templates/en of fauds",
        )
    return own


def _opened(workdir: Path, dataset: str) -> Any:
    from fauds.captions.caption_tables import open_captions

    # A wrong name is reported here, and a dataset that has not been read yet by open_captions.
    workspace = new_project(workdir, dataset).workspace
    return open_captions(workspace.folder, workspace.protocol.name)
