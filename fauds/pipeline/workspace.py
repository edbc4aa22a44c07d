"""Where a dataset's tables lie, and the protocol that they follow: what every step works on."""

from dataclasses import dataclass
from pathlib import Path

from fauds.protocols import Benchmark


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
