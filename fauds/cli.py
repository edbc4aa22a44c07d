"""The command line: parse, call one function, print. Nothing heavy is imported until needed."""

import os
import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NoReturn

import click

from fauds import __version__
from fauds.cli_captions import captions
from fauds.cli_explain import explain
from fauds.cli_export import export
from fauds.cli_faces import check, prepare
from fauds.cli_options import (
    DATASET,
    WORKDIR,
    new_progress,
    read_frames,
    read_options,
    workspace,
)
from fauds.errors import FaudsError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="fauds")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """Facial action unit labels as language, and models measured on it."""


for _command in (captions, check, prepare, explain, export):
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
    from fauds.synthetic import distribution

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
    from fauds.report.terminal import show_captions

    space = workspace(workdir, dataset)
    style = Style(language, degrees, variants, seed, templates)
    # Before any reading or drawing: a wrong language should not cost a minute to hear of.
    space.caption_settings(style)
    frames = read_frames(space, **reading)
    show_captions(space, space.captions(frames, style))


@cli.command()
@DATASET
@read_options
@click.option("--folds", "k", type=click.IntRange(2), default=3, show_default=True)
@click.option(
    "--method",
    type=click.Choice(["published", "random"]),
    help="[default: published where the benchmark has that many folds]",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of random.")
@WORKDIR
def split(
    workdir: Path, dataset: str, k: int, method: str | None, seed: int, **reading: Any
) -> None:
    """Put every subject into one of K folds; fold k tests part k."""
    from fauds.report.terminal import show_folds

    space = workspace(workdir, dataset)
    frames = read_frames(space, **reading)
    show_folds(space, space.folds(frames, k=k, method=method, seed=seed))


@cli.command()
@click.argument("model", default="vlfau")
@DATASET
@read_options
@click.option("--preset", help="Settings of the model.  [default: tiny on synthetic, else full]")
@click.option("--fold", "folds", type=int, multiple=True, help="Only this fold; may be repeated.")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change a setting.")
@click.option(
    "--faces",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of face crops made elsewhere: F001/T1/2440.jpg, SN001/0.png.",
)
@click.option("--resume", metavar="RUN", help="Go on with a run that was stopped.")
@click.option(
    "--log",
    type=click.Choice(["tensorboard"]),
    help="Write training's figures for TensorBoard too; log.jsonl is written always.",
)
@WORKDIR
def bench(
    workdir: Path,
    model: str,
    dataset: str,
    preset: str | None,
    folds: tuple[int, ...],
    changes: tuple[str, ...],
    faces: Path | None,
    resume: str | None,
    log: str | None,
    **reading: Any,
) -> None:
    """Train MODEL on every fold, test it on the fold's part, and report.

    On several GPUs of one machine: torchrun --nproc-per-node N -m fauds bench ...
    """
    from fauds.bench import plan as planning
    from fauds.report.terminal import show_results
    from fauds.training import processes

    space = workspace(workdir, dataset)
    request = planning.Request(model, preset, folds, changes, faces, resume)
    plan = planning.make(request, space.benchmark, space.folder / "runs")
    if resume and any(value is not None for value in reading.values()):
        raise click.UsageError("A resumed run reads nothing again: leave the reading options out.")
    prepares = processes.leads() and not resume
    frames = read_frames(space, **reading) if prepares else None
    try:
        with new_progress(shown=processes.leads()) as progress:
            space.bench(plan, frames, progress, tensorboard=log == "tensorboard")
    except BaseException:
        if plan.begun and processes.leads():
            words = ["fauds", "bench", "--dataset", dataset, "--workdir", str(workdir)]
            again = shlex.join([*words, "--resume", plan.folder.name])
            click.echo(f"What is done is kept. Go on with: {again}", err=True)
        raise
    if processes.leads():
        show_results(plan.folder)


@cli.command()
@click.argument("run", type=click.Path(path_type=Path, exists=True, file_okay=False))
def report(run: Path) -> None:
    """Write report.md of a finished RUN again from its files, and show its tables."""
    from fauds.report.markdown import write_report
    from fauds.report.terminal import show_results

    write_report(run)
    show_results(run)


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
    rank = os.environ.get("RANK", "0")
    return "" if rank == "0" else f"process {rank}: "


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
