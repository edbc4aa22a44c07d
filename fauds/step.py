"""What became of a step of a dataset's folder, and whether it need be done again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fauds import store
from fauds.errors import DataError


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
