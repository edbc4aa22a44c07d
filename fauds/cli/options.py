"""Options that several commands share, and functions that use the values of these options."""

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fauds.errors import UsageError

if TYPE_CHECKING:
    from fauds.cli.progress import ProgressBars

WORKDIR = click.option(
    "--workdir",
    type=click.Path(path_type=Path, file_okay=False),
    default="fauds-work",
    envvar="FAUDS_WORKDIR",
    show_default=True,
    show_envvar=True,
    help="Folder in which fauds keeps its files, in one folder per dataset.",
)
_FILE = "fauds.protocol"
"""The key under which click's context holds the file of --benchmark."""
_DATASET = click.option(
    "--dataset",
    metavar="D",
    help="Dataset: synthetic, bp4d, disfa, rafdb, affectnet, synthetic-rafdb, or the name of a "
    "protocol that was given before with --benchmark.  [default: synthetic]",
)
_BENCHMARK = click.option(
    "--benchmark",
    "protocol",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="FILE",
    help="YAML file with a protocol of your own; see docs/protocols.md.",
)
CAMERA = click.option(
    "--camera", type=click.Choice(["left", "right"]), help="Camera of DISFA.  [default: left]"
)
_READING = (
    click.option(
        "--root",
        type=click.Path(path_type=Path),
        help="Folder of the raw files; needed only once, as the workdir stores its path.",
    ),
    click.option(
        "--sexes",
        type=click.Path(path_type=Path, dir_okay=False),
        help="CSV file with the columns subject,sex (F or M), for datasets that do not publish the "
        "sexes.",
    ),
    click.option(
        "--images",
        type=click.Path(path_type=Path, file_okay=False),
        help="Folder of the images under the root, if the root holds several sets of images.",
    ),
    click.option(
        "--image-base",
        type=click.IntRange(0, 1),
        help="Number of the first image of every sequence, if it cannot be inferred from the "
        "files.",
    ),
    click.option(
        "--missing-aus",
        type=click.Choice(["error", "null"]),
        help="Meaning of a missing AU file: an error (error), or labels that are not coded (null)."
        "  [default: error]",
    ),
    click.option(
        "--subjects", "only", metavar="ID,ID", help="Read only these subjects, separated by commas."
    ),
)


def DATASET(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --dataset and --benchmark to a command, which gets the dataset's name as `dataset`."""

    @wraps(command)
    def chosen(*args: Any, dataset: str | None, **options: Any) -> Any:
        return command(*args, dataset=dataset or "synthetic", **options)

    return NAMED_DATASET(chosen)


def NAMED_DATASET(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --dataset and --benchmark to a command that has a default of its own.

    The command gets the name of the dataset as `dataset`; None if the user names none.
    """

    @wraps(command)
    def chosen(*args: Any, dataset: str | None, protocol: Path | None, **options: Any) -> Any:
        if protocol is None:
            return command(*args, dataset=dataset, **options)
        if dataset is not None:
            raise click.UsageError(
                "--dataset (the name of a protocol) and --benchmark (a protocol's file) cannot be "
                "used together: leave one of them out."
            )
        from fauds.protocols import user_files as protocol_files

        click.get_current_context().meta[_FILE] = protocol
        return command(*args, dataset=protocol_files.read(protocol).name, **options)

    return _DATASET(_BENCHMARK(chosen))


def read_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for reading raw files to a command.

    The command gets the values as keyword arguments, and passes them on to `reading` or
    `read_frames`.
    """
    for option in reversed(_READING):
        command = option(command)
    return command


def check_figure(figure: Path | None) -> None:
    """Check that the file of a figure, if any, has a suffix of a format that can be written.

    Raises:
        UsageError: the suffix is not .png, .pdf or .svg.
    """
    if figure is not None and figure.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise UsageError(
            f"A figure cannot be written as a {figure.suffix or 'suffix-less'} file.",
            where=figure,
            hint="give a .png, .pdf or .svg file",
        )


def new_project(workdir: Path, dataset: str) -> Any:
    """Return the `fauds.pipeline.Project` that runs the steps for a dataset.

    The project writes its messages to stderr. If the command has the option --benchmark, the
    project follows the protocol in this file.

    Args:
        workdir: the folder that contains one folder per dataset.
        dataset: the name of the dataset.
    """
    from fauds.pipeline import Project

    def say(line: str) -> None:
        click.echo(line, err=True)

    file = click.get_current_context().meta.get(_FILE)
    return Project.by_file(workdir, file, say) if file else Project(workdir, dataset, say)


def new_progress(shown: bool = True) -> "ProgressBars":
    """Return a `fauds.cli.progress.ProgressBars` that writes to stderr.

    Args:
        shown: whether to show anything at all.
    """
    from fauds.cli.progress import ProgressBars

    return ProgressBars(sys.stderr if shown else None)


def reading(
    sexes: Path | None,
    images: Path | None,
    image_base: int | None,
    missing_aus: str | None,
    only: str | None,
) -> dict[str, Any]:
    """Return the options that the user gave, as fields of `fauds.datasets.base.ReadOptions`.

    The keys of the dict are the names of the fields. Options that the user did not give are left
    out.

    Args:
        sexes: a CSV file with columns subject and sex.
        images: the folder of the images under the root.
        image_base: the number of the first image, 0 or 1.
        missing_aus: the meaning of a missing AU file: "error" or "null" (not coded).
        only: the ids of the subjects to read, separated by commas.
    """
    fields = {
        "sex_table": sexes.resolve() if sexes else None,
        "images": images,
        "image_base": image_base,
        "missing_aus": missing_aus,
        "subjects": tuple(name.strip() for name in only.split(",")) if only else None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def read_frames(project: Any, root: Path | None, **options: Any) -> Any:
    """Read a dataset's raw files into frames.parquet, print a summary, and return the `Step`.

    Args:
        project: the dataset's `fauds.pipeline.Project`.
        root: the folder of the raw files; None for the folder used before.
        options: the values of the options that `read_options` adds, except --root.
    """
    from fauds.cli.terminal import show_frames

    with new_progress() as progress:
        step = project.frames(root, reading(**options), progress)
    show_frames(step)
    return step
