"""Columns of CSV and Parquet files of other programs: their names, what they are, their values."""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from fauds.errors import DataError, UsageError
from fauds.facs import au_name

_TEXT = ("key", "subject", "task", "input")
_NUMBERS = ("frame", "frame_id", "fold", "benchmark_version", "success")


@dataclass(frozen=True)
class Sheet:
    """A file of columns.

    Attributes:
        columns: name without spaces around it to the name in the file.
        made_by: benchmark and version, where fauds wrote the file.
        names: of the target's scores, which are known beside action units.
    """

    path: Path
    columns: dict[str, str]
    made_by: tuple[str, int] | None
    names: tuple[str, ...] = ()

    @cached_property
    def table(self) -> pa.Table:
        """The columns that are known, read at once: other programs write hundreds besides.

        Raises:
            DataError: there is what is no number.
        """
        kinds = {
            name: pa.string() if name in _TEXT else pa.float64()
            for name in self.columns
            if name in (*_TEXT, *_NUMBERS, *self.names) or _action_unit(name)
        }
        raw = {self.columns[name]: kind for name, kind in kinds.items()}
        try:
            if self.path.suffix.lower() == ".parquet":
                found = pq.read_table(self.path, columns=list(raw)).select(list(raw))
                return pa.table([found[r].cast(k) for r, k in raw.items()], list(kinds))
            options = pa_csv.ConvertOptions(column_types=raw, include_columns=list(raw))
            found = pa_csv.read_csv(self.path, convert_options=options)
        except (OSError, pa.ArrowException) as error:
            raise _unreadable(self.path, error) from error
        return found.rename_columns(list(kinds))


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
    made_by = None
    try:
        if path.suffix.lower() == ".parquet":
            with pq.ParquetFile(path) as file:
                names = list(file.schema_arrow.names)
                made_by = _made_by(file.metadata.metadata or {})
        else:
            with path.open(encoding="utf-8-sig", newline="") as lines:
                names = next(csv.reader(lines), [])
    except (OSError, UnicodeDecodeError, csv.Error, pa.ArrowException) as error:
        raise _unreadable(path, error) from error
    columns = {name.strip(): name for name in names}
    if len(columns) < len(names):
        raise DataError("Two columns have the same name.", where=f"{path}:1")
    return Sheet(path, columns, made_by, tuple(targets))


def _made_by(metadata: dict[bytes, bytes]) -> tuple[str, int] | None:
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
    return pc.fill_null(sheet.table[name], np.nan).to_numpy()


def strings(sheet: Sheet, name: str) -> np.ndarray:
    """Return a column of text, str [M], without spaces around it; "" where it is empty."""
    trimmed = pc.utf8_trim_whitespace(pc.fill_null(sheet.table[name], ""))
    return np.array(trimmed.to_pylist(), dtype=np.str_)


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(
        f"The predictions cannot be read: {str(error).splitlines()[0]}",
        where=path,
        hint="a CSV file with a head, its numbers with points, or a Parquet file",
    )
