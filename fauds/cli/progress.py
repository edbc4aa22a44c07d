"""Shows progress on stderr: messages, and progress bars if stderr is a terminal."""

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
    """A context manager that shows progress bars and messages while steps run.

    Args:
        stream: the stream to write to; progress bars are shown only if the stream is a terminal.
            None to show nothing, as in every process of a distributed run except the first.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._console = Console(file=stream, quiet=stream is None)
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._console,
            # rich's own check takes files for terminals if FORCE_COLOR is set.
            disable=stream is None or not stream.isatty(),
            transient=True,
        )

    def __enter__(self) -> "ProgressBars":
        self._bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bars.stop()

    def say(self, line: str) -> None:
        """Write a message as one line, which stays visible above the progress bars."""
        self._console.out(line, highlight=False)

    @contextmanager
    def bar(self, description: str, total: int) -> Iterator[Callable[[int], None]]:
        """Return a context manager that shows a progress bar and yields a function to advance it.

        The function takes the number of steps that were finished since its last call.

        Args:
            description: the text beside the bar.
            total: the number of steps of the whole task.
        """
        task = self._bars.add_task(description, total=total)
        try:
            yield lambda steps: self._bars.advance(task, steps)
        finally:
            self._bars.remove_task(task)

    @contextmanager
    def counter(self, description: str) -> Iterator[Callable[[int, int], None]]:
        """Return a context manager that shows a progress bar whose total may change.

        The context manager yields a function that updates the bar. The function takes the number of
        steps finished so far and the total number of steps.

        Args:
            description: the text beside the bar.
        """
        task = self._bars.add_task(description, total=None)
        try:
            yield lambda done, total: self._bars.update(task, completed=done, total=total)
        finally:
            self._bars.remove_task(task)
