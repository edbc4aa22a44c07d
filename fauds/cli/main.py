"""The command line: parse, call one function, print. Nothing heavy is imported until needed."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import click

from fauds import launcher
from fauds.cli.bench import bench
from fauds.cli.captions import build_captions, captions
from fauds.cli.datasets import check, prepare, split, synth
from fauds.cli.explain import explain, export
from fauds.cli.results import compare, report, results, score
from fauds.errors import FaudsError
from fauds.version import VERSION


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(VERSION, prog_name="fauds")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """Facial action unit labels as language, and models measured on it."""


_COMMANDS = (
    *(synth, check, build_captions, captions, split, prepare),
    *(bench, score, results, compare, report, explain, export),
)
for _command in _COMMANDS:
    cli.add_command(_command)


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
