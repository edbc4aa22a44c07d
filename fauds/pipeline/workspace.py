"""The folder and the protocol of a dataset, and the result of a step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fauds.errors import DataError
from fauds.protocols.benchmark import Benchmark
from fauds.tables import store


@dataclass(frozen=True)
class Workspace:
    """The folder of one dataset in a workdir, and its protocol.

    A workspace is a plain value and runs no step. A step that writes into the folder must hold
    ``store.lock(workspace.folder)``.

    Attributes:
        workdir: the folder that contains the folders of all datasets.
        dataset: the name of the protocol; its tables are in ``workdir/dataset``.
        protocol: the AUs, frames, folds and alignment of the benchmark.
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
    """The result of a step.

    Attributes:
        path: the path of the step's main table.
        done: whether the step ran now; False if its tables were up to date.
        meta: the metadata of the table, with "inputs", "settings" and notes for the user.
    """

    path: Path
    done: bool
    meta: dict[str, Any]

    @property
    def fingerprint(self) -> str:
        """A hash of the step's inputs and settings, by which later steps detect changes."""
        return store.fingerprint(self.meta["inputs"], self.meta["settings"])

    def beside(self, table: str) -> Path:
        """Return the path of another table in the folder, for example ``beside("phrases")``."""
        return self.path.with_name(f"{table}.parquet")


def meta_of(path: Path) -> dict[str, Any] | None:
    """Return the metadata of a table; None if the table does not exist."""
    return store.read_meta(path) if path.exists() else None


def unchanged(paths: Sequence[Path], meta: Mapping[str, Any]) -> bool:
    """Whether all tables of a step exist and have this metadata."""
    if not all(path.exists() for path in paths):
        return False
    try:
        existing = [store.read_meta(path) for path in paths]
    except DataError:
        return False
    return all(old.get(key) == value for old in existing for key, value in meta.items())
