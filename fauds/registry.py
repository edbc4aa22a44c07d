"""A registry of objects by name, with a helpful error for an unknown name."""

import difflib
from collections.abc import Iterator
from functools import cached_property
from importlib import import_module
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from fauds.errors import UsageError

T = TypeVar("T")


def unknown_name_error(kind: str, name: str, known: list[str]) -> UsageError:
    """Return an error that says that a name is unknown and lists the known names.

    If a known name is similar to the unknown name, the error suggests the known name.

    Args:
        kind: what kind of object the names stand for, such as "dataset", for the message.
        name: the name that the user gave.
        known: the names that exist.
    """
    near = difflib.get_close_matches(name, known, n=1)
    suggestion = f"did you mean {near[0]!r}? " if near else ""
    return UsageError(
        f"There is no {kind} named {name!r}.",
        hint=f"{suggestion}choose from: {', '.join(sorted(known)) or 'none'}",
    )


class Registry(Generic[T]):
    """A mapping from names to objects that imports each object when it is first used.

    Args:
        kind: what the objects are, such as "dataset", for error messages.
        builtin: where the objects of fauds itself are, as ``"module:attribute"``, by name.
        group: the entry-point group through which other packages add objects.
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
        """Return the object with a name; the first use of an object imports it.

        Raises:
            UsageError: the name is unknown; the message lists the known names.
        """
        if name not in self._targets:
            raise unknown_name_error(self.kind, name, list(self._targets))
        module, _, attribute = self._targets[name].partition(":")
        target: T = getattr(import_module(module), attribute)
        return target
