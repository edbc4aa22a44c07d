"""Readers: a raw distribution, as its authors ship it, to the frames table.

`DATASETS` knows them by name. Another package adds its own through the entry-point group
``fauds.datasets``: name = "module:reader", an object like `fauds.datasets.base.Reader`.
"""

from typing import TYPE_CHECKING

from fauds.registry import Registry

if TYPE_CHECKING:
    from fauds.datasets.base import Reader

DATASETS: "Registry[Reader]" = Registry(
    "dataset",
    {
        "bp4d": "fauds.datasets.bp4d:BP4D",
        "disfa": "fauds.datasets.disfa:DISFA",
        "synthetic": "fauds.datasets.bp4d:BP4D",
    },
    group="fauds.datasets",
)
"""Dataset name to its reader. The made-up dataset has BP4D's layout, and its reader."""

__all__ = ["DATASETS"]
