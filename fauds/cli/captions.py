"""The commands of captions: build-captions, and ``fauds captions`` show, stats, export, lint."""

import os
import sys
from pathlib import Path
from typing import Any

import click

from fauds.cli.options import (
    DATASET,
    WORKDIR,
    new_progress,
    new_project,
    read_frames,
    read_options,
)
from fauds.errors import DataError, UsageError

_TEMPLATES = click.option(
    "--templates",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of templates that override the shipped ones of the language.",
)
_FIGURE = click.option(
    "--figure",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Draw it too: a .png, .pdf or .svg file.",
)


@click.command("build-captions")
@DATASET
@read_options
@click.option("--language", default="en", show_default=True, help="en, zh, or one of your own.")
@click.option("--degrees", is_flag=True, help="Say the intensity, A (trace) to E (maximum).")
@click.option(
    "--variants", type=click.IntRange(1), default=1, show_default=True, help="Paraphrases a state."
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the paraphrases."
)
@_TEMPLATES
@WORKDIR
def build_captions(
    workdir: Path,
    dataset: str,
    language: str,
    degrees: bool,
    variants: int,
    seed: int,
    templates: Path | None,
    **reading: Any,
) -> None:
    """Read the labels and write each frame's local and global descriptions."""
    from fauds.captions import Style
    from fauds.cli.terminal import show_captions

    project = new_project(workdir, dataset)
    style = Style(language, degrees, variants, seed, templates)
    # Before any reading or drawing: a wrong language should not cost a minute to hear of.
    project.caption_settings(style)
    frames = read_frames(project, **reading)
    show_captions(project.captions(frames, style))


@click.group()
def captions() -> None:
    """Look at descriptions, count them, export them, check templates."""


@captions.command()
@click.argument("what", required=False)
@DATASET
@click.option("--language", help="Of an AU's descriptions.  [default: en]")
@_TEMPLATES
@click.option("--sex", type=click.Choice(["F", "M"]), help="Whose face, for an AU's global text.")
@click.option("--all", "every", is_flag=True, help="Every paraphrase of an AU.")
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
    """Show all that is said of WHAT: an action unit or a frame.

    An action unit is AU12 or 12; nothing need be read for it. A frame is F001/T1/2440 (BP4D) or
    SN001/17 (DISFA) of captions that were built. Without WHAT it is the first frame with
    something active.
    """
    _check_figure(figure)
    of_au = {"--language": language, "--templates": templates, "--sex": sex, "--all": every}
    given = [name for name, value in of_au.items() if value]
    if what is not None and "/" not in what:
        _show_au(what, language or "en", templates, sex, every, figure)
    elif given:
        raise UsageError(
            f"{', '.join(given)} is for an action unit: a frame has the descriptions it was "
            "built with.",
            hint="name one (fauds captions show AU12), or build with other options",
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
@DATASET
@_FIGURE
@WORKDIR
def stats(dataset: str, workdir: Path, figure: Path | None) -> None:
    """Count what captions say: AUs, descriptions, lengths, words, combinations."""
    from fauds.captions.statistics import compute
    from fauds.report.captions import show_statistics

    _check_figure(figure)
    statistics = compute(_opened(workdir, dataset))
    show_statistics(statistics)
    if figure:
        from fauds.report.caption_figures import draw_statistics

        draw_statistics(statistics, figure)
        click.echo(figure)


@captions.command()
@click.option("--format", "kind", type=click.Choice(["jsonl", "hf"]), required=True)
@DATASET
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="File (jsonl; - is stdout) or folder (hf).  [default: in the dataset's folder, export/]",
)
@WORKDIR
def export(kind: str, dataset: str, workdir: Path, out: Path | None) -> None:
    """Write frames with labels and descriptions as JSON Lines or a Hugging Face dataset."""
    built = _opened(workdir, dataset)
    to_stdout = out in (Path("-"), Path("/dev/stdout"))
    if kind == "hf":
        if to_stdout:
            raise UsageError("A folder cannot go to stdout.", hint="name one with --out")
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
    click.echo(f'  load_dataset("{out}", split="train"); README.md says what is in it')


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
        # At its end the interpreter would write the rest, and fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            # Whoever read it has had enough.
            return
        raise DataError(
            f"stdout could not be written: {error.strerror or error}.",
            hint="free space, or choose another place; what was written is not whole",
        ) from error
    click.echo(_described(built), err=True)


def _described(built: Any) -> str:
    made_up = ", made up" if built.synthetic else ""
    pictured = built.pictured()
    if not pictured:
        return (
            f"{built.rows:,} frames{made_up}, none with an image file of its own: the crops of "
            "fauds prepare are in faces.parquet, by frame_id"
        )
    some = "" if pictured == built.rows else f", {pictured:,} with an image"
    return f"{built.rows:,} frames{made_up}{some}; images are relative to {built.image_root}"


@captions.command()
@click.option("--language", help="Only this one.  [default: all there are]")
@_TEMPLATES
def lint(language: str | None, templates: Path | None) -> None:
    """List what is wrong with templates, a line each; exit code 1 if there is anything."""
    from fauds.captions.lint import check

    wrong = 0
    for name in [language] if language else _languages(templates):
        report = check(name, templates)
        for problem in report.problems:
            click.echo(problem)
        found = len(report.problems)
        count = "no problems" if not found else f"{found:,} problem{'s' * (found > 1)}"
        click.echo(f"{name}: {count} in {report.files} files, {report.sentences:,} sentences")
        wrong += found
    if wrong:
        raise click.exceptions.Exit(1)


def _languages(templates: Path | None) -> list[str]:
    from fauds.captions import languages

    names = languages(templates)
    if templates is None:
        return names
    if not templates.is_dir():
        raise UsageError("The templates folder is not there.", where=templates)
    own = [name for name in names if (templates / name).is_dir()]
    if not own:
        raise UsageError(
            "The templates folder holds no language.",
            where=templates,
            hint=f"it has a folder by language, such as {templates}/en; see templates/",
        )
    return own


def _opened(workdir: Path, dataset: str) -> Any:
    from fauds.captions.caption_tables import opened

    # A wrong name is told from a dataset that has not been read yet.
    workspace = new_project(workdir, dataset).workspace
    return opened(workspace.folder, workspace.protocol.name)


def _check_figure(figure: Path | None) -> None:
    if figure is not None and figure.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise UsageError(
            f"A figure cannot be a {figure.suffix or 'file without suffix'}.",
            where=figure,
            hint="name a .png, .pdf or .svg file",
        )
