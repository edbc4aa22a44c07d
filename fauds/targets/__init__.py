"""Targets: what a protocol predicts, how it is labelled, decided and scored.

Begin with `base`, the interface. `occurrence` is the target of AU recognition: every action unit
is active or not. `multiclass` holds what targets share whose classes exclude each other. `TARGETS`
knows kinds by name. Another package adds its own through the entry-point group
``fauds.targets``: name = "module:class", a `fauds.targets.base.Target`.
"""

from typing import TYPE_CHECKING

from fauds.registry import Registry

if TYPE_CHECKING:
    from fauds.targets.base import Target

TARGETS: "Registry[type[Target]]" = Registry(
    "target",
    {"occurrence": "fauds.targets.occurrence:Occurrence"},
    group="fauds.targets",
)
"""Kind of a target to its class."""

__all__ = ["TARGETS"]
