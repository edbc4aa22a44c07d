"""The commands of datasets: synth, check, prepare, split. Nothing heavy is imported."""

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
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--like", type=click.Choice(["bp4d", "disfa"]), required=True, help="Raw layout.")
@click.option("--subjects", type=click.IntRange(1), help="How many subjects.  [default: all]")
@click.option(
    "--frames", type=click.IntRange(1), help="Coded frames a subject.  [default: as published]"
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--labels-only", is_flag=True, help="Write no pictures and no landmarks.")
@click.option(
    "--pictures",
    type=click.Choice(["images", "zips", "videos"]),
    help="[default: images of bp4d, videos of disfa]",
)
@click.option(
    "--landmarks",
    type=click.Choice(["mat", "text"]),
    default="mat",
    show_default=True,
    help="As the dataset ships them (mat), or as JAA-Net does.",
)
def synth(
    out: Path,
    like: str,
    subjects: int | None,
    frames: int | None,
    seed: int,
    labels_only: bool,
    pictures: Literal["images", "zips", "videos"] | None,
    landmarks: Literal["mat", "text"],
) -> None:
    """Write a made-up distribution in a dataset's own raw layout into OUT."""
    from fauds.synthetic import release as distribution

    with new_progress() as progress, progress.counter("drawing faces") as drawn:
        distribution.write(
            out,
            like,
            subjects=subjects,
            frames=frames,
            seed=seed,
            labels_only=labels_only,
            pictures=pictures,
            landmarks=landmarks,
            progress=drawn,
        )
    click.echo(f"{out}: a made-up distribution in {like}'s raw layout, seed {seed}")


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
    from fauds.report.contact_sheet import check_sheet_name, draw_face_sheet

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


@click.command()
@DATASET
@read_options
@click.option(
    "--folds", "k", type=click.IntRange(2), help="[default: as many as the benchmark has, else 3]"
)
@click.option(
    "--method",
    type=click.Choice(["published", "random"]),
    help="[default: published where the benchmark has that many folds]",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of random.")
@WORKDIR
def split(
    workdir: Path,
    dataset: str,
    k: int | None,
    method: str | None,
    seed: int,
    **reading: Any,
) -> None:
    """Put every subject into one of K folds; fold k tests part k."""
    from fauds.cli.terminal import show_folds

    project = new_project(workdir, dataset)
    frames = read_frames(project, **reading)
    show_folds(project.folds(frames, k=k, method=method, seed=seed))
