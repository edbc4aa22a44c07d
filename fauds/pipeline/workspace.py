"""The folder and protocol of a dataset, and the result of a step that writes tables there.

There are steps that read frames, build captions, make folds and crop faces.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fauds.errors import DataError
from fauds.protocols.benchmark import Benchmark
from fauds.tables import store


@dataclass(frozen=True)
class Workspace:
    """The folder of one dataset, which contains its tables, and the dataset's protocol.

    A workspace itself reads and writes no files. Code that writes into the folder must hold the
    lock ``fauds.tables.store.lock(workspace.folder)``.

    Attributes:
        workdir: the folder that contains the folders of all datasets.
        dataset: the name of the dataset, which is the name of its protocol; the tables of the
            dataset are in ``workdir/dataset``.
        protocol: the dataset's target, frames, folds, alignment and metric.
        from_file: whether the protocol is from the user's own file and does not ship with fauds.
    """

    workdir: Path
    dataset: str
    protocol: Benchmark
    from_file: bool = False

    @property
    def option(self) -> str:
        """The command-line option that selects this dataset."""
        return "--benchmark FILE" if self.from_file else f"--dataset {self.dataset}"

    @property
    def folder(self) -> Path:
        """The folder of this dataset's files."""
        return self.workdir / self.dataset

    def path(self, table: str) -> Path:
        """Return the path of a table, for example ``path("frames")``."""
        return self.folder / f"{table}.parquet"


@dataclass(frozen=True)
class Step:
    """The result of a step that writes tables, such as reading frames or cropping faces.

    Attributes:
        path: the path of the step's main table.
        done: whether the tables were written now; False if they were up to date.
        meta: the metadata of the main table: "inputs" (a hash), "settings", notes for the user and
            further entries.
    """

    path: Path
    done: bool
    meta: dict[str, Any]

    @property
    def fingerprint(self) -> str:
        """A hash (text) of the step's inputs and settings, by which later steps detect changes."""
        return store.fingerprint(self.meta["inputs"], self.meta["settings"])

    def beside(self, table: str) -> Path:
        """Return the path of another table in the main table's folder: ``beside("phrases")``."""
        return self.path.with_name(f"{table}.parquet")


def meta_of(path: Path) -> dict[str, Any] | None:
    """Return the metadata of a table file, such as its settings; None if there is no such file."""
    return store.read_meta(path) if path.exists() else None


def unchanged(paths: Sequence[Path], meta: Mapping[str, Any]) -> bool:
    """Return whether all tables of a step exist and have the expected entries in their metadata.

    Args:
        paths: the paths of the step's tables.
        meta: the expected entries; further entries in the tables' metadata are ignored.
    """
    if not all(path.exists() for path in paths):
        return False
    try:
        existing = [store.read_meta(path) for path in paths]
    except DataError:
        return False
    return all(old.get(key) == value for old in existing for key, value in meta.items())
