"""Progress bars on stderr, only where it is a terminal; nothing is printed elsewhere."""

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


class Progress:
    """A context in which steps of work can show a bar.

    Args:
        stream: where to; nothing is shown unless it is a terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        console = Console(file=stream)
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )

    def __enter__(self) -> "Progress":
        self._bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bars.stop()

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
