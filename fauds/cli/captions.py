"""The commands for captions: build-captions, and ``fauds captions`` show, stats, export, lint."""

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
    help="Folder of templates, which replace the shipped ones of the language.",
)
_FIGURE = click.option(
    "--figure",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also draw a figure: a .png, .pdf or .svg file.",
)


@click.command("build-captions")
@DATASET
@read_options
@click.option(
    "--language", default="en", show_default=True, help="Language: en, zh, or one of --templates."
)
@click.option("--degrees", is_flag=True, help="Describe the intensity, A (trace) to E (maximum).")
@click.option(
    "--variants",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Number of paraphrases per state.",
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
    # Check the language before reading labels, which can take a minute.
    project.caption_settings(style)
    frames = read_frames(project, **reading)
    show_captions(project.captions(frames, style))


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
    help="Sex of the subject, in the global description of an AU.",
)
@click.option("--all", "every", is_flag=True, help="Show every paraphrase of an AU.")
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

    An action unit is AU12 or 12, and needs no dataset. A frame is F001/T1/2440 (BP4D) or SN001/17
    (DISFA) of a dataset with captions. Without WHAT, the first frame with an active AU is shown.
    """
    _check_figure(figure)
    au_options = {"--language": language, "--templates": templates, "--sex": sex, "--all": every}
    used = [name for name, value in au_options.items() if value]
    if what is not None and "/" not in what:
        _show_au(what, language or "en", templates, sex, every, figure)
    elif used:
        raise UsageError(
            f"{', '.join(used)} is for an action unit: the descriptions of a frame are already "
            "built.",
            hint="name an action unit (fauds captions show AU12), or run build-captions again",
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
    """Count AUs, descriptions, their lengths, words, and combinations of AUs."""
    from fauds.captions.statistics import caption_statistics
    from fauds.report.captions import show_statistics

    _check_figure(figure)
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
    help="JSON Lines, or a Hugging Face dataset.",
)
@DATASET
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="File (jsonl; - is stdout) or folder (hf) to write.  [default: in export/ of the "
    "dataset's folder]",
)
@WORKDIR
def export(kind: str, dataset: str, workdir: Path, out: Path | None) -> None:
    """Write frames with labels and descriptions as JSON Lines or a Hugging Face dataset."""
    built = _opened(workdir, dataset)
    to_stdout = out in (Path("-"), Path("/dev/stdout"))
    if kind == "hf":
        if to_stdout:
            raise UsageError(
                "A folder cannot be written to stdout.", hint="name a folder with --out"
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
    click.echo(f'  load_dataset("{out}", split="train"); README.md describes it')


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
            hint="free disk space or write to another place; what was written is incomplete",
        ) from error
    click.echo(_described(built), err=True)


def _described(built: Any) -> str:
    synthetic = ", synthetic" if built.synthetic else ""
    pictured = built.pictured()
    if not pictured:
        return (
            f"{built.rows:,} frames{synthetic}, none with an image file of its own: the crops of "
            "fauds prepare are in faces.parquet, by frame_id"
        )
    some = "" if pictured == built.rows else f", {pictured:,} with an image"
    return f"{built.rows:,} frames{synthetic}{some}; images are relative to {built.image_root}"


@captions.command()
@click.option("--language", help="Check only this language.  [default: all languages]")
@_TEMPLATES
def lint(language: str | None, templates: Path | None) -> None:
    """Check templates and list their problems, one per line; the exit code is 1 if any exist."""
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
        raise UsageError("The templates folder does not exist.", where=templates)
    own = [name for name in names if (templates / name).is_dir()]
    if not own:
        raise UsageError(
            "The templates folder holds no language.",
            where=templates,
            hint=f"it has a folder by language, such as {templates}/en; see templates/",
        )
    return own


def _opened(workdir: Path, dataset: str) -> Any:
    from fauds.captions.caption_tables import open_captions

    # This tells a wrong name from a dataset that has not been read yet.
    workspace = new_project(workdir, dataset).workspace
    return open_captions(workspace.folder, workspace.protocol.name)


def _check_figure(figure: Path | None) -> None:
    if figure is not None and figure.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise UsageError(
            f"A figure cannot be a {figure.suffix or 'file without suffix'}.",
            where=figure,
            hint="name a .png, .pdf or .svg file",
        )
