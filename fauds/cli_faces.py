"""The commands on pictures of raw distributions. Nothing heavy is imported until they run."""

import os
from pathlib import Path
from typing import Any, Literal

import click

from fauds.cli_options import (
    DATASET,
    WORKDIR,
    new_progress,
    read_frames,
    read_options,
    workspace,
)


@click.command()
@DATASET
@click.option(
    "--root", type=click.Path(path_type=Path), required=True, help="The raw distribution."
)
@click.option(
    "--camera",
    type=click.Choice(["left", "right"]),
    default="left",
    show_default=True,
    help="Which of DISFA's videos.",
)
@click.option(
    "--images",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the images are, under the root, where there are several sets of them.",
)
@click.option(
    "--image-base",
    type=click.IntRange(0, 1),
    help="Number of the first image, where it cannot be told from the files.",
)
@WORKDIR
def check(
    workdir: Path,
    dataset: str,
    root: Path,
    camera: Literal["left", "right"],
    images: Path | None,
    image_base: int | None,
) -> None:
    """Say in seconds what a raw distribution holds and lacks, and what the steps will take.

    Nothing is written. The exit code is 1 where the labels are missing or broken; pictures and
    landmarks may lack, and are then named.
    """
    from fauds.datasets.base import ReadOptions
    from fauds.faces import check as checking
    from fauds.report.check import show_check

    benchmark = workspace(workdir, dataset).benchmark
    fields = {"aus": benchmark.aus, "images": images, "image_base": image_base}
    if benchmark.occurrence_at is not None:
        fields["occurrence_at"] = benchmark.occurrence_at
    options = ReadOptions(**fields)
    show_check(dataset, checking.check(benchmark, root, options, camera, workdir))


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
@click.option("--camera", type=click.Choice(["left", "right"]), help="Of DISFA.  [default: left]")
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
    from fauds.report.face_sheet import check_sheet_name, draw_face_sheet
    from fauds.report.terminal import show_faces

    if sheet is not None:
        check_sheet_name(sheet)
    names = ("alignment", "without_landmarks", "detector", "camera", "workers")
    given = {name: options.pop(name) for name in names}
    given["manifest"] = manifest and manifest.resolve()
    space = workspace(workdir, dataset)
    read_frames(space, **options)
    with new_progress() as progress:
        given = {name: value for name, value in given.items() if value is not None}
        step = space.faces(given, progress)
    show_faces(step)
    if sheet is not None:
        draw_face_sheet(space.folder, sheet)
        click.echo(f"{sheet}: look at it")
