"""Dataset readers: each turns the raw files of one dataset into the frames table.

The frames table has one row per labelled frame, with its labels and the path of its image.
`DATASETS` maps dataset names to readers. Another package adds a reader through the entry-point
group ``fauds.datasets``, as ``name = "module:reader"``; the reader is an object with the methods of
`fauds.datasets.base.Reader`. Begin with `base`; then read `disfa` as an example of sequences, and
`rafdb` as one of single images. `own_table` reads a table of the user's own. `codes` and
`code_rows` read tables of action units that other programs wrote, for all commands.
"""

from typing import TYPE_CHECKING

from fauds.registry import Registry

if TYPE_CHECKING:
    from fauds.datasets.base import Reader

DATASETS: "Registry[Reader]" = Registry(
    "dataset",
    {
        "affectnet": "fauds.datasets.affectnet:AFFECTNET",
        "bp4d": "fauds.datasets.bp4d:BP4D",
        "disfa": "fauds.datasets.disfa:DISFA",
        "rafdb": "fauds.datasets.rafdb:RAFDB",
        "synthetic": "fauds.datasets.bp4d:BP4D",
        "synthetic-rafdb": "fauds.datasets.rafdb:RAFDB",
        "table": "fauds.datasets.own_table:OWN_TABLE",
    },
    group="fauds.datasets",
)
"""The reader of each dataset. The synthetic datasets have the layouts of BP4D and RAF-DB."""

__all__ = ["DATASETS"]
