"""Options and helpers that several modules of commands share. Nothing heavy is imported."""

import sys
from pathlib import Path
from typing import Any

import click

WORKDIR = click.option(
    "--workdir",
    type=click.Path(path_type=Path, file_okay=False),
    default="fauds-work",
    envvar="FAUDS_WORKDIR",
    show_default=True,
    show_envvar=True,
    help="Folder that holds one folder per dataset.",
)
DATASET = click.option(
    "--dataset",
    default="synthetic",
    show_default=True,
    metavar="D",
    help="synthetic, bp4d or disfa.",
)


def workspace(workdir: Path, dataset: str) -> Any:
    """Return the dataset's `fauds.workspace.Workspace`, which speaks on stderr."""
    from fauds.workspace import Workspace

    return Workspace(workdir, dataset, say=lambda line: click.echo(line, err=True))


def new_progress() -> Any:
    """Return a `fauds.report.progress.Progress` on stderr."""
    from fauds.report.progress import Progress

    return Progress(sys.stderr)
