"""Where a dataset's tables lie, and the protocol that they follow: what every step works on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fauds.errors import DataError
from fauds.protocols.benchmark import Benchmark
from fauds.tables import store


@dataclass(frozen=True)
class Workspace:
    """One dataset's folder in a workdir. A plain value: it runs no step.

    Whoever writes into the folder holds ``store.lock(workspace.folder)``.

    Attributes:
        workdir: the folder of all datasets.
        dataset: the protocol's name; its tables lie in ``workdir/dataset``.
        protocol: which AUs, frames, folds and crops.
        from_file: whether the user named the protocol's file, and fauds does not ship it.
    """

    workdir: Path
    dataset: str
    protocol: Benchmark
    from_file: bool = False

    @property
    def option(self) -> str:
        """What names this dataset on the command line."""
        return "--benchmark FILE" if self.from_file else f"--dataset {self.dataset}"

    @property
    def folder(self) -> Path:
        """Where this dataset's files lie."""
        return self.workdir / self.dataset

    def path(self, table: str) -> Path:
        """Return the path of one of the tables: ``path("frames")``."""
        return self.folder / f"{table}.parquet"


@dataclass(frozen=True)
class Step:
    """What became of a step: its main file, whether it was done now, and what to tell people."""

    path: Path
    done: bool
    meta: dict[str, Any]

    @property
    def fingerprint(self) -> str:
        """The identity of the step's result: its inputs and settings."""
        return store.fingerprint(self.meta["inputs"], self.meta["settings"])

    def beside(self, table: str) -> Path:
        """Return the path of another table in the same folder: ``beside("phrases")``."""
        return self.path.with_name(f"{table}.parquet")


def meta_of(path: Path) -> dict[str, Any] | None:
    """Return the metadata of a table, None where there is none yet."""
    return store.read_meta(path) if path.exists() else None


def unchanged(paths: Sequence[Path], meta: Mapping[str, Any]) -> bool:
    """Whether all tables of a step are there and were made of the same things."""
    if not all(path.exists() for path in paths):
        return False
    try:
        olds = [store.read_meta(path) for path in paths]
    except DataError:
        return False
    return all(old.get(key) == value for old in olds for key, value in meta.items())
