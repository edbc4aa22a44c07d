"""The commands on pictures of raw distributions. Nothing heavy is imported until they run."""

import os
from pathlib import Path
from typing import Any, Literal

import click

from fauds.cli.options import (
    CAMERA,
    DATASET,
    WORKDIR,
    new_progress,
    new_project,
    read_frames,
    read_options,
    reading,
)


@click.command()
@DATASET
@read_options
@CAMERA
@WORKDIR
def check(
    workdir: Path,
    dataset: str,
    root: Path | None,
    camera: Literal["left", "right"] | None,
    **options: Any,
) -> None:
    """Say in seconds what a raw distribution holds and lacks, and what the steps will take.

    Nothing is written. The exit code is 1 where the labels are missing or broken; pictures and
    landmarks may lack, and are then named.
    """
    from fauds.cli.terminal import show_check
    from fauds.datasets.base import ReadOptions
    from fauds.faces import check as checking

    if root is None:
        raise click.UsageError("Name the raw distribution to look at: --root FOLDER.")
    benchmark = new_project(workdir, dataset).workspace.protocol
    given = ReadOptions(**reading(**options), **benchmark.reading())
    show_check(dataset, checking.check(benchmark, root, given, camera or "left", workdir))


@click.command()
@DATASET
@read_options
@click.option(
    "--alignment",
    metavar="NAME",
    help="eyes-similarity, jaa, bbox-5 or none.  [default: the benchmark's]",
)
@click.option(
    "--without-landmarks",
    type=click.Choice(["drop", "neighbours", "detect"]),
    help="What becomes of frames that have none.  [default: the benchmark's]",
)
@click.option(
    "--detector", metavar="NAME[:PATH]", help="cascade, csv:FILE, openface:FOLDER, mediapipe:MODEL."
)
@CAMERA
@click.option(
    "--frames",
    "manifest",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Crop only the frames that this list names: CSV subject,task,frame or image paths.",
)
@click.option("--workers", type=click.IntRange(1), help="Processes.  [default: one a core]")
@click.option(
    "--sheet",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write a contact sheet of the crops, to look at.",
)
@WORKDIR
def prepare(
    workdir: Path, dataset: str, sheet: Path | None, manifest: Path | None, **options: Any
) -> None:
    """Crop and align every coded frame's face; go on where it was stopped."""
    # Arrow's own allocator keeps what it has freed, which grows with a video's length.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    from fauds.cli.terminal import show_faces
    from fauds.report.face_sheet import check_sheet_name, draw_face_sheet

    if sheet is not None:
        check_sheet_name(sheet)
    names = ("alignment", "without_landmarks", "detector", "camera", "workers")
    given = {name: options.pop(name) for name in names}
    given["manifest"] = manifest and manifest.resolve()
    project = new_project(workdir, dataset)
    read_frames(project, **options)
    with new_progress() as progress:
        given = {name: value for name, value in given.items() if value is not None}
        step = project.faces(given, progress)
    show_faces(step)
    if sheet is not None:
        draw_face_sheet(project.workspace.folder, sheet)
        click.echo(f"{sheet}: look at it")
