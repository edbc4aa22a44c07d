"""The command line: parse, call one function, print. Nothing heavy is imported until needed."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NoReturn

import click

from fauds import launcher
from fauds.cli.bench import bench
from fauds.cli.captions import captions
from fauds.cli.datasets import check, prepare
from fauds.cli.explain import explain, export
from fauds.cli.options import DATASET, WORKDIR, new_progress, new_project, read_frames, read_options
from fauds.cli.results import compare, report, results, score
from fauds.errors import FaudsError
from fauds.version import VERSION


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(VERSION, prog_name="fauds")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """Facial action unit labels as language, and models measured on it."""


for _command in (bench, captions, check, prepare, explain, export, report, compare, results, score):
    cli.add_command(_command)


@cli.command()
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


@cli.command("build-captions")
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
@click.option(
    "--templates",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of templates that override the shipped ones of the language.",
)
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


@cli.command()
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


def main() -> NoReturn:
    """Run the command line; errors become one message and an exit code."""
    debug = "--debug" in sys.argv
    try:
        with _stoppable():
            sys.exit(cli.main(standalone_mode=False) or 0)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except FaudsError as error:
        if debug:
            raise
        click.echo(f"{_who()}Error: {error}", err=True)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        # Of several processes one speaks for all: they are stopped together.
        if not _who():
            click.echo("Stopped. What was written is kept.", err=True)
        sys.exit(130)
    except Exception as error:
        if debug:
            raise
        click.echo(
            f"{_who()}Error: {type(error).__name__}: {error}\n"
            "  to do: run fauds --debug ... to see where",
            err=True,
        )
        sys.exit(1)


def _who() -> str:
    """Return which of torchrun's processes this is, where it is not the first."""
    try:
        number = launcher.rank()
    except FaudsError:
        # The command itself says so, if it asks.
        return ""
    return "" if number == 0 else f"process {number}: "


@contextmanager
def _stoppable() -> Iterator[None]:
    """Take an order to end, of torchrun or a cluster, as Ctrl-C: what was done is kept."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    told = False

    def stop(*_: object) -> None:
        nonlocal told
        # torchrun repeats the terminal's Ctrl-C, which would break off the closing of files.
        if not told:
            told = True
            # An order to a whole group ends torch's loaders too, which it would call a failure.
            signal.signal(signal.SIGCHLD, lambda *_: None)
            raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for number, handler in before.items():
            # A shell lets what runs in the background ignore Ctrl-C.
            if handler != signal.SIG_IGN:
                signal.signal(number, stop)
        yield
    except FaudsError:
        raise
    except Exception as error:
        # An order to a whole group ends processes that this one works with, which fails then.
        if told:
            raise KeyboardInterrupt from error
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
