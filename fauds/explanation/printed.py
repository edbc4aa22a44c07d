"""Explanations as text for a terminal: a block a face, and for the rest of a video a line each."""

from collections.abc import Callable, Sequence

from fauds.explanation.types import Explanation


class Printed:
    """A sink that prints.

    Args:
        echo: called with every text.
    """

    def __init__(self, echo: Callable[[str], None]) -> None:
        self._echo = echo
        self._video: str | None = None

    def write(self, explanations: Sequence[Explanation]) -> None:
        """Print the faces of one picture."""
        for said in explanations:
            if said.timestamp is not None and said.source == self._video:
                self._echo(said.line())
            else:
                self._echo(f"{said}\n")
        self._video = explanations[0].source

    def skip(self, source: str, frame: int, timestamp: float | None, why: str) -> None:
        """Print nothing: what was skipped is told at the end."""

    def close(self) -> None:
        """Print nothing more."""
