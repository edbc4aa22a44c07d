"""The group of all commands, and the conversion of errors into messages and exit codes.

Modules that take long to import, such as PyTorch, are imported only when a command needs them.
"""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import click

from fauds import launcher
from fauds.cli.adopt import adopt
from fauds.cli.bench import bench
from fauds.cli.captions import build_captions, captions
from fauds.cli.datasets import check, prepare, split, synth
from fauds.cli.describe import describe
from fauds.cli.explain import explain, export
from fauds.cli.maps import maps
from fauds.cli.results import compare, merge, report, results, score
from fauds.errors import FaudsError
from fauds.version import VERSION


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(VERSION, prog_name="fauds")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """Describe facial action units in words, and train and score models that recognise them."""


_COMMANDS = (
    *(describe, adopt, synth, check, build_captions, captions, split, prepare),
    *(bench, merge, score, results, compare, report, explain, maps, export),
)
for _command in _COMMANDS:
    cli.add_command(_command)


def main() -> NoReturn:
    """Run the command line and exit.

    An error is printed as a message without a traceback, and determines the exit code.
    """
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
        click.echo(f"{_process_prefix()}Error: {error}", err=True)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        # All processes are stopped together: only the first one prints the message.
        if not _process_prefix():
            click.echo("Stopped. Files already written are kept.", err=True)
        sys.exit(130)
    except Exception as error:
        if debug:
            raise
        click.echo(
            f"{_process_prefix()}Error: {type(error).__name__}: {error}\n"
            "  to do: run fauds --debug COMMAND ... to see the traceback",
            err=True,
        )
        sys.exit(1)


def _process_prefix() -> str:
    """Return ``process N: ``, which begins the error messages of this process.

    N is the number, from 0, of the process among all that torchrun started. The text is empty for
    process 0, and without torchrun.
    """
    try:
        number = launcher.rank()
    except FaudsError:
        # A command that uses the process number reports the error itself.
        return ""
    return "" if number == 0 else f"process {number}: "


@contextmanager
def _stoppable() -> Iterator[None]:
    """Return a context manager in which SIGTERM stops the program as Ctrl-C does.

    Finished work is then kept when torchrun or the scheduler of a cluster stops the program.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        # torchrun repeats the terminal's Ctrl-C, which would interrupt the closing of files.
        if not stopping:
            stopping = True
            # A signal to the process group also ends the worker processes that load data. torch
            # would report their end as an error.
            signal.signal(signal.SIGCHLD, lambda *_: None)
            raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for number, handler in before.items():
            # A shell makes background jobs ignore Ctrl-C: leave that as it is.
            if handler != signal.SIG_IGN:
                signal.signal(number, stop)
        yield
    except FaudsError:
        raise
    except Exception as error:
        # A signal to the process group also ends worker processes, which may raise this error.
        if stopping:
            raise KeyboardInterrupt from error
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
