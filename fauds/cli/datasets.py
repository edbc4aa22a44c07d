"""The commands for datasets: synth, check, prepare, split."""

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
@click.option(
    "--like",
    type=click.Choice(["bp4d", "disfa", "rafdb", "affectnet", "affectnet-csv"]),
    required=True,
    help="The dataset whose layout of raw files is used; affectnet-csv: the older form with lists.",
)
@click.option(
    "--subjects",
    type=click.IntRange(1),
    help="Number of subjects.  [default: as in the dataset; single images: 90 people]",
)
@click.option(
    "--frames",
    type=click.IntRange(1),
    help="Number of coded (labelled) frames per subject; for single images, of images per person "
    "of the training part.  [default: as in the dataset; single images: 24]",
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the random data."
)
@click.option(
    "--size",
    type=click.IntRange(64),
    help="Height of the images in pixels.  [default: 128; single images: 112]",
)
@click.option(
    "--labels-only", is_flag=True, help="Write labels only, without images and landmarks."
)
@click.option(
    "--pictures",
    type=click.Choice(["images", "zips", "videos"]),
    help="Write the images as image files, zip archives or videos.  [default: images for bp4d, "
    "videos for disfa]",
)
@click.option(
    "--landmarks",
    type=click.Choice(["mat", "text"]),
    default="mat",
    show_default=True,
    help="Format of the landmarks: the dataset's own (mat) or JAA-Net's (text).",
)
def synth(
    out: Path,
    like: str,
    subjects: int | None,
    frames: int | None,
    seed: int,
    size: int | None,
    labels_only: bool,
    pictures: Literal["images", "zips", "videos"] | None,
    landmarks: Literal["mat", "text"],
) -> None:
    """Write a synthetic release into the folder OUT, in the layout of a dataset's raw files."""
    from fauds.synthetic import release

    with new_progress() as progress, progress.counter("generating faces") as report:
        release.write(
            out,
            like,
            subjects=subjects,
            frames=frames,
            seed=seed,
            size=size,
            labels_only=labels_only,
            pictures=pictures,
            landmarks=landmarks,
            progress=report,
        )
    click.echo(f"{out}: a synthetic release in the layout of {like}, seed {seed}")


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
    """List the contents of the raw files and what is missing, and estimate each step's time.

    The check takes seconds and writes nothing. The exit code is 1 if labels are missing or broken;
    missing images and landmarks are only listed.
    """
    from fauds.cli.terminal import show_check
    from fauds.datasets.base import ReadOptions
    from fauds.faces import check as checking

    if root is None:
        raise click.UsageError("The folder of the raw files is not given: use --root FOLDER.")
    benchmark = new_project(workdir, dataset).workspace.protocol
    reader_options = ReadOptions(**reading(**options), **benchmark.reader_options())
    show_check(dataset, checking.check(benchmark, root, reader_options, camera or "left", workdir))


@click.command()
@DATASET
@read_options
@click.option(
    "--alignment",
    metavar="NAME",
    help="Alignment of the face crops: eyes-similarity, jaa, bbox-5 or none.  [default: as in the "
    "benchmark]",
)
@click.option(
    "--without-landmarks",
    type=click.Choice(["drop", "neighbours", "detect"]),
    help="What to do with frames without landmarks: leave the frames out (drop), use the landmarks "
    "of neighbouring frames (neighbours), or run a face detector (detect).  [default: as in the "
    "benchmark]",
)
@click.option(
    "--detector",
    metavar="NAME[:PATH]",
    help="Face detector: cascade, dlib, face-alignment, csv:FILE, openface:FOLDER or "
    "mediapipe:MODEL. It replaces the dataset's landmarks or, with --without-landmarks detect, is "
    "used only for frames without landmarks.",
)
@click.option(
    "--orientation",
    type=click.Choice(["stored", "upright"]),
    help="Use images as they are stored, or turn them upright as their EXIF orientation says.  "
    "[default: as in the benchmark, or stored where the dataset's landmarks are used and upright "
    "where a detector finds all faces]",
)
@CAMERA
@click.option(
    "--frames",
    "manifest",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Crop only the frames that this file lists: a CSV file with the columns "
    "subject,task,frame, or one image path per line, or one key of a single image per line.",
)
@click.option(
    "--workers", type=click.IntRange(1), help="Number of processes.  [default: one per CPU core]"
)
@click.option(
    "--sheet",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write a contact sheet of the crops, to check them by eye: a .jpg or .png file.",
)
@WORKDIR
def prepare(
    workdir: Path, dataset: str, sheet: Path | None, manifest: Path | None, **options: Any
) -> None:
    """Crop and align the face of every coded frame.

    If the command was stopped, run it again: it continues with the remaining sequences.
    """
    # Arrow's own allocator keeps freed memory, which grows with a video's length.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    from fauds.cli.terminal import show_faces
    from fauds.report.contact_sheet import check_sheet_name, draw_face_sheet

    if sheet is not None:
        check_sheet_name(sheet)
    names = ("alignment", "without_landmarks", "detector", "orientation", "camera", "workers")
    settings = {name: options.pop(name) for name in names}
    settings["manifest"] = manifest and manifest.resolve()
    project = new_project(workdir, dataset)
    read_frames(project, **options)
    with new_progress() as progress:
        settings = {name: value for name, value in settings.items() if value is not None}
        step = project.faces(settings, progress)
    show_faces(step)
    if sheet is not None:
        draw_face_sheet(project.workspace.folder, sheet)
        click.echo(f"{sheet}: a contact sheet of the crops, to check them by eye")


@click.command()
@DATASET
@read_options
@click.option(
    "--folds",
    "k",
    type=click.IntRange(2),
    help="Number of folds.  [default: as in the benchmark, or 3]",
)
@click.option(
    "--method",
    type=click.Choice(["published", "random"]),
    help="Use the published folds of the benchmark, or random folds.  [default: published if the "
    "benchmark lists this number of folds, otherwise random]",
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the random folds."
)
@WORKDIR
def split(
    workdir: Path,
    dataset: str,
    k: int | None,
    method: str | None,
    seed: int,
    **reading: Any,
) -> None:
    """Assign every subject to one of K parts; fold k tests part k and trains on all other parts."""
    from fauds.cli.terminal import show_folds

    project = new_project(workdir, dataset)
    frames = read_frames(project, **reading)
    folds = project.folds(frames, k=k, method=method, seed=seed)
    show_folds(folds, project.workspace.protocol.target)
