"""Recognises the columns in prediction files of other programs by name, and reads their values."""

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
    """A CSV or Parquet file, some of whose columns are recognised by their names.

    Attributes:
        file: the opened file.
        made_by: if fauds wrote the file, the name and the version of the benchmark that it was
            written for; None if another program wrote the file.
        names: the names of the AUs or classes that the benchmark scores. Columns with these names
            are recognised, and so are the columns of all other action units.
    """

    file: ColumnFile
    made_by: tuple[str, int] | None
    names: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """The path of the file."""
        return self.file.path

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of all columns of the file, without leading and trailing blanks."""
        return self.file.header

    @cached_property
    def table(self) -> pa.Table:
        """A table of the recognised columns: text columns as strings, all others as float64.

        Raises:
            DataError: a cell of a numeric column is not a number.
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
    """What the columns of a prediction file contain.

    Attributes:
        occurrence: for each AU of the benchmark, the name of the column with the AU's probability
            or with a decision 0 or 1.
        intensities: for each AU of the benchmark, the name of the column with the AU's intensity.
        foreign: the names of columns of AUs that the benchmark does not score.
        others: the names of columns that are not recognised.
    """

    occurrence: dict[str, str]
    intensities: dict[str, str]
    foreign: list[str]
    others: list[str]


def open_sheet(path: Path, targets: Sequence[str] = ()) -> Sheet:
    """Open a prediction file and read the names of its columns, not yet their values.

    Args:
        path: a CSV or Parquet file.
        targets: the names of the AUs or classes that the benchmark scores.

    Raises:
        DataError: the file cannot be read, or two columns have the same name.
    """
    file = open_columns(path)
    return Sheet(file, _made_by(file.metadata), tuple(targets))


def _made_by(metadata: Mapping[bytes, bytes]) -> tuple[str, int] | None:
    """Return the name and the version of the benchmark that the metadata of a file names.

    Return None if it names none: only Parquet files that fauds wrote for a benchmark name it.
    """
    if b"fauds" not in metadata:
        return None
    try:
        settings: dict[str, Any] = json.loads(metadata[b"fauds"])["settings"]
        return str(settings["benchmark"]), int(settings["benchmark_version"])
    except (ValueError, LookupError, TypeError):
        # The metadata is of another program, or of a table of fauds that has no benchmark.
        return None


def classify(sheet: Sheet, aus: Sequence[str]) -> ColumnRoles:
    """Determine what each column of a file contains from the name of the column.

    Columns such as ``AU01``, ``au1`` and ``AU01_c`` contain the occurrence of an AU, and columns
    such as ``AU01_r`` and ``AU01_intensity`` its intensity.

    Args:
        sheet: the file whose columns are classified.
        aus: the names of the AUs or classes that the benchmark scores.

    Raises:
        DataError: two columns contain the occurrence, or the intensity, of the same AU.
    """
    roles = ColumnRoles({}, {}, [], [])
    for name in sheet.columns:
        if name in (*_TEXT, *_NUMBERS):
            continue
        au = name if name in aus else _action_unit(name)
        if au is None:
            roles.others.append(name)
        elif au not in aus:
            roles.foreign.append(name)
        else:
            columns = roles.intensities if _is_intensity(name) else roles.occurrence
            if au in columns:
                raise DataError(
                    f"The columns {columns[au]} and {name} both hold {au}.",
                    where=f"{sheet.path}:1",
                    hint="remove or rename one of the two columns",
                )
            columns[au] = name
    return roles


def _action_unit(name: str) -> str | None:
    """Return the AU that a column's name refers to; None if the name is not that of an AU."""
    try:
        return au_name(name.casefold().removesuffix("_intensity"))
    except UsageError:
        return None


def _is_intensity(name: str) -> bool:
    return name.casefold().endswith(("_r", "_intensity"))


def numbers(sheet: Sheet, name: str) -> np.ndarray:
    """Return a numeric column of a file with M rows, float64 [M], NaN where a cell is empty."""
    values: np.ndarray = pc.fill_null(sheet.table[name], np.nan).to_numpy()
    return values


def strings(sheet: Sheet, name: str) -> np.ndarray:
    """Return a text column of a file with M rows, str [M]; "" where a cell is empty.

    Blanks around the texts are removed.
    """
    trimmed = pc.utf8_trim_whitespace(pc.fill_null(sheet.table[name], ""))
    return np.array(trimmed.to_pylist(), dtype=np.str_)
