"""Columns of CSV and Parquet files of other programs: their names, what they are, their values."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fauds.errors import DataError, UsageError
from fauds.facs import au_name
from fauds.tables.delimited import ColumnFile, open_columns

_TEXT = ("key", "subject", "task", "input")
_NUMBERS = ("frame", "frame_id", "fold", "benchmark_version", "success")


@dataclass(frozen=True)
class Sheet:
    """A file of columns of which some are known by their names.

    Attributes:
        made_by: benchmark and version, where fauds wrote the file.
        names: of the target's scores, which are known beside action units.
    """

    file: ColumnFile
    made_by: tuple[str, int] | None
    names: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """The file's path."""
        return self.file.path

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of all its columns, without blanks around them."""
        return self.file.header

    @cached_property
    def table(self) -> pa.Table:
        """The columns that are known, read at once.

        Raises:
            DataError: there is what is no number.
        """
        return self.file.read(
            {
                name: pa.string() if name in _TEXT else pa.float64()
                for name in self.columns
                if name in (*_TEXT, *_NUMBERS, *self.names) or _action_unit(name)
            }
        )


@dataclass(frozen=True)
class ColumnRoles:
    """What columns are.

    Attributes:
        occurrence, intensities: AU to the name of its column, of the benchmark's AUs.
        foreign: other AUs; others: names of columns that are nothing known.
    """

    occurrence: dict[str, str]
    intensities: dict[str, str]
    foreign: list[str]
    others: list[str]


def open_sheet(path: Path, targets: Sequence[str] = ()) -> Sheet:
    """Read a file's head.

    Args:
        targets: names of the target's scores.

    Raises:
        DataError: it cannot be read, or two columns have one name.
    """
    file = open_columns(path)
    return Sheet(file, _made_by(file.metadata), tuple(targets))


def _made_by(metadata: Mapping[bytes, bytes]) -> tuple[str, int] | None:
    if b"fauds" not in metadata:
        return None
    try:
        settings: dict[str, Any] = json.loads(metadata[b"fauds"])["settings"]
        return str(settings["benchmark"]), int(settings["benchmark_version"])
    except (ValueError, LookupError, TypeError):
        # Another program's, or a table of fauds that is of no benchmark.
        return None


def classify(sheet: Sheet, aus: Sequence[str]) -> ColumnRoles:
    """Tell what every column is, by its name: AU01, au1, AU01_c; AU01_r and AU01_intensity.

    Raises:
        DataError: two columns are of one AU.
    """
    found = ColumnRoles({}, {}, [], [])
    for name in sheet.columns:
        if name in (*_TEXT, *_NUMBERS):
            continue
        au = name if name in aus else _action_unit(name)
        if au is None:
            found.others.append(name)
        elif au not in aus:
            found.foreign.append(name)
        else:
            named = found.intensities if _is_intensity(name) else found.occurrence
            if au in named:
                raise DataError(f"{named[au]} and {name} are both {au}.", where=f"{sheet.path}:1")
            named[au] = name
    return found


def _action_unit(name: str) -> str | None:
    try:
        return au_name(name.casefold().removesuffix("_intensity"))
    except UsageError:
        return None


def _is_intensity(name: str) -> bool:
    return name.casefold().endswith(("_r", "_intensity"))


def numbers(sheet: Sheet, name: str) -> np.ndarray:
    """Return a column of numbers, float64 [M], NaN where it is empty."""
    values: np.ndarray = pc.fill_null(sheet.table[name], np.nan).to_numpy()
    return values


def strings(sheet: Sheet, name: str) -> np.ndarray:
    """Return a column of text, str [M], without spaces around it; "" where it is empty."""
    trimmed = pc.utf8_trim_whitespace(pc.fill_null(sheet.table[name], ""))
    return np.array(trimmed.to_pylist(), dtype=np.str_)
