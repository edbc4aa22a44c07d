"""Tables on disk: schemas, atomic writes, metadata, fingerprints, and the lock of a folder.

Tables are Parquet files that anyone can open. Every one carries, under the key ``fauds`` of its
key-value metadata, a JSON object: schema version, fauds version, the fingerprint of its inputs
and the settings that made it.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fauds.errors import DataError
from fauds.tables.atomic import atomic
from fauds.tables.part_writer import TableWriter
from fauds.version import VERSION

SCHEMA_VERSION = 1
ROW_GROUP = 128 * 1024
_META = b"fauds"
_AGAIN = "remove it and run the step that writes it again"


@contextmanager
def table_writer(path: Path, schema: pa.Schema) -> Iterator[TableWriter]:
    """Write a table in parts, atomically: ``writer.write(part, starts)``, then ``writer.meta``.

    Args:
        path: where; the folder is made.
        schema: the columns that are written in any case. Parts may have more; those are left
            out where they are null throughout.

    Raises:
        DataError: the file system refuses (full, read-only, no permission).
    """
    with atomic(path) as temporary:
        writer = TableWriter(path, temporary, schema, ROW_GROUP)
        try:
            yield writer
            full = {"schema": SCHEMA_VERSION, "fauds": VERSION, **writer.meta}
            encoded = json.dumps(full, sort_keys=True, ensure_ascii=False).encode()
            writer.finish({_META: encoded})
        finally:
            writer.close()


def write_table(
    path: Path,
    table: pa.Table,
    meta: dict[str, Any],
    sequence_starts: np.ndarray | None = None,
) -> None:
    """Write a table with its metadata, atomically.

    Args:
        path: where; the folder is made.
        table: the rows.
        meta: what made them ("inputs", "settings", ...); versions are added.
        sequence_starts: row numbers where a sequence begins; row groups are cut there only.
    """
    table = table.replace_schema_metadata(None)
    with table_writer(path, table.schema) as writer:
        writer.write(table, sequence_starts)
        writer.meta = meta


def sequence_starts(frames: pa.Table) -> np.ndarray:
    """Return the row numbers where a sequence (subject and task) begins, int64."""
    # Arrow's own to_numpy loads pandas.
    subject, task = (
        np.from_dlpack(frames[name].combine_chunks().indices) for name in ("subject", "task")
    )
    changes = (np.diff(subject) != 0) | (np.diff(task) != 0)
    return np.concatenate([[0], np.flatnonzero(changes) + 1])


def sequences(frames: pa.Table) -> Iterator[tuple[tuple[str, str], slice]]:
    """Yield every sequence's subject and task, and its rows."""
    for start, stop in pairwise([*sequence_starts(frames).tolist(), len(frames)]):
        yield (frames["subject"][start].as_py(), frames["task"][start].as_py()), slice(start, stop)


def read_table(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Read a table that fauds wrote, its dictionary columns with one dictionary each.

    Raises:
        DataError: it is not there, not Parquet, of another schema version, or lacks a column.
    """
    with _opened(path, columns) as file:
        return _in_order(file.read(columns), columns).unify_dictionaries()


def read_batches(path: Path, columns: list[str] | None = None) -> Iterator[pa.Table]:
    """Read a table that fauds wrote, a row group at a time: whole sequences, in order.

    Dictionaries of the same column may differ between groups. Errors as in `read_table`.
    """
    with _opened(path, columns) as file:
        for index in range(file.num_row_groups):
            yield _in_order(file.read_row_group(index, columns), columns)


def _in_order(table: pa.Table, columns: list[str] | None) -> pa.Table:
    # Parquet reads columns in the file's order.
    return table if columns is None else table.select(columns)


def read_meta(path: Path) -> dict[str, Any]:
    """Read the metadata of a table that fauds wrote; errors as in `read_table`."""
    with _opened(path) as file:
        return _decoded(path, file.metadata.metadata or {})


def column_names(path: Path) -> list[str]:
    """Return the columns of a table that fauds wrote; errors as in `read_table`."""
    with _opened(path) as file:
        return list(file.schema_arrow.names)


def row_count(path: Path) -> int:
    """Return the number of rows of a table that fauds wrote; errors as in `read_table`."""
    with _opened(path) as file:
        count: int = file.metadata.num_rows
        return count


@contextmanager
def _opened(path: Path, columns: Sequence[str] | None = None) -> Iterator[pq.ParquetFile]:
    """Give a table that fauds wrote, with these columns, to read from."""
    try:
        with pq.ParquetFile(path) as file:
            _decoded(path, file.metadata.metadata or {})
            absent = [name for name in columns or () if name not in file.schema_arrow.names]
            if absent:
                raise DataError(
                    f"{path.name} has no column {', '.join(absent)}.", where=path, hint=_AGAIN
                )
            yield file
    except FileNotFoundError as error:
        raise DataError(f"There is no {path.name} here.", where=path) from error
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"{path.name} cannot be read as Parquet: {str(error).splitlines()[0]}",
            where=path,
            hint=_AGAIN,
        ) from error


def _decoded(path: Path, metadata: Mapping[bytes, bytes]) -> dict[str, Any]:
    if _META not in metadata:
        raise DataError(
            f"{path.name} was not written by fauds: it has no fauds metadata.",
            where=path,
            hint=_AGAIN,
        )
    meta: dict[str, Any] = json.loads(metadata[_META])
    if meta["schema"] != SCHEMA_VERSION:
        raise DataError(
            f"{path.name} has schema version {meta['schema']}, this fauds reads {SCHEMA_VERSION}.",
            where=path,
            hint=_AGAIN,
        )
    return meta


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, as UTF-8."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically, indented, keys as they come; NaN is refused."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def fingerprint(*parts: Any) -> str:
    """Return the SHA-256, in hex, of bytes, or of anything that JSON can say."""
    digest = hashlib.sha256()
    for part in parts:
        if not isinstance(part, bytes):
            part = json.dumps(part, sort_keys=True, ensure_ascii=False).encode()
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold the only right to write a dataset's folder.

    Raises:
        DataError: another process holds it.
    """
    with _lock_file(folder).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if not isinstance(error, BlockingIOError):
                raise DataError(
                    f"The folder's file system cannot lock files: {error.strerror}.",
                    where=folder,
                    hint="choose a folder on a local disk with --workdir",
                ) from error
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise DataError(
                f"Another fauds process (pid {holder}) is writing this folder.",
                where=folder,
                hint="wait for it to end, or give this run its own --workdir",
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _lock_file(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / ".lock"
        path.touch()
    except OSError as error:
        raise DataError(
            f"The folder cannot be written: {error.strerror}.",
            where=folder,
            hint="choose another folder with --workdir or FAUDS_WORKDIR",
        ) from error
    return path
