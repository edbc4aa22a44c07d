"""One small registry: names to things, with a helpful error for a name that is not there."""

import difflib
from collections.abc import Iterator
from functools import cached_property
from importlib import import_module
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from fauds.errors import UsageError

T = TypeVar("T")


def unknown(kind: str, name: str, known: list[str]) -> UsageError:
    """Return the error for a name that is not among the known ones, with the nearest guess."""
    near = difflib.get_close_matches(name, known, n=1)
    guess = f"did you mean {near[0]!r}? " if near else ""
    return UsageError(
        f"There is no {kind} named {name!r}.",
        hint=f"{guess}there is: {', '.join(sorted(known)) or 'none'}",
    )


class Registry(Generic[T]):
    """Names to objects that are imported only when asked for.

    Args:
        kind: what the names stand for, for error messages ("dataset").
        builtin: name to ``"module:attribute"``.
        group: the entry-point group through which other packages add their own.
    """

    def __init__(self, kind: str, builtin: dict[str, str], group: str) -> None:
        self.kind = kind
        self._builtin = builtin
        self._group = group

    @cached_property
    def _targets(self) -> dict[str, str]:
        plugins = {point.name: point.value for point in entry_points(group=self._group)}
        return plugins | self._builtin

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._targets))

    def __getitem__(self, name: str) -> T:
        """Return the object of that name.

        Raises:
            UsageError: no such name; the message lists what there is and the nearest guess.
        """
        if name not in self._targets:
            raise unknown(self.kind, name, list(self._targets))
        module, _, attribute = self._targets[name].partition(":")
        target: T = getattr(import_module(module), attribute)
        return target
