"""Progress on stderr: bars where it is a terminal, and lines that say what happens everywhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import (
    Progress as Bars,
)


class ProgressBars:
    """A context in which steps of work can show a bar, and say what happens.

    Args:
        stream: where to; bars are shown only on a terminal. None shows nothing at all, for
            processes that work beside the one that speaks.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._console = Console(file=stream, quiet=stream is None)
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._console,
            # Not asked of rich: where FORCE_COLOR is set it takes files for terminals too.
            disable=stream is None or not stream.isatty(),
            transient=True,
        )

    def __enter__(self) -> "ProgressBars":
        self._bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bars.stop()

    def say(self, line: str) -> None:
        """Write a line that stays: above the bars on a terminal, as plain text elsewhere."""
        self._console.out(line, highlight=False)

    @contextmanager
    def bar(self, description: str, total: int) -> Iterator[Callable[[int], None]]:
        """Show a bar; the function given says how many more steps are done."""
        task = self._bars.add_task(description, total=total)
        try:
            yield lambda steps: self._bars.advance(task, steps)
        finally:
            self._bars.remove_task(task)

    @contextmanager
    def counter(self, description: str) -> Iterator[Callable[[int, int], None]]:
        """Show a bar; the function given says how many steps are done, and of how many."""
        task = self._bars.add_task(description, total=None)
        try:
            yield lambda done, total: self._bars.update(task, completed=done, total=total)
        finally:
            self._bars.remove_task(task)
