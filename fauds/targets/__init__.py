"""Targets: the quantities that models predict, with their labels, decisions and metrics.

A benchmark's protocol declares its target. Begin with `base`, the interface of targets.
`occurrence` is the target of AU recognition, in which every action unit is active or inactive.
`multiclass` is the base class of targets with mutually exclusive classes; one of them is
`expression`, in which every face has one expression. `TARGETS` is the registry of targets by kind;
other packages add subclasses of `fauds.targets.base.Target` through entry points of the group
``fauds.targets``, written as name = "module:class".
"""

from typing import TYPE_CHECKING

from fauds.registry import Registry

if TYPE_CHECKING:
    from fauds.targets.base import Target

TARGETS: "Registry[type[Target]]" = Registry(
    "target",
    {
        "expression": "fauds.targets.expression:Expression",
        "occurrence": "fauds.targets.occurrence:Occurrence",
    },
    group="fauds.targets",
)
"""The registry of target classes; its keys are the kinds of targets, such as "occurrence"."""

__all__ = ["TARGETS"]
