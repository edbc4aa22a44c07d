"""Reading and writing tables with metadata, computing digests, and locking a dataset's folder.

Tables are Parquet files. Their key-value metadata has the key ``fauds``, which holds a JSON object
with the version of the table's format, the version of fauds, a digest of what the table was
computed from, and the settings that were used.
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
_AGAIN = "remove the file, and run the fauds command that writes it once more"


@contextmanager
def table_writer(path: Path, schema: pa.Schema) -> Iterator[TableWriter]:
    """Yield an object that writes a Parquet table a few rows at a time.

    Call its method ``write`` with rows, as often as needed, and set its attribute ``meta`` to the
    metadata. An existing table is replaced only after all rows are written without an error.

    Args:
        path: the path of the table; its folder is created if it does not exist.
        schema: the columns to write even if they have no value in any row. The rows may have
            further columns, which are written only if they have a value in some row.

    Raises:
        DataError: the file cannot be written, for example because the disk is full or read-only,
            or a permission is missing.
    """
    with atomic(path) as temporary:
        writer = TableWriter(path, temporary, schema, ROW_GROUP)
        try:
            yield writer
            metadata = {"schema": SCHEMA_VERSION, "fauds": VERSION, **writer.meta}
            encoded = json.dumps(metadata, sort_keys=True, ensure_ascii=False).encode()
            writer.finish({_META: encoded})
        finally:
            writer.close()


def write_table(
    path: Path,
    table: pa.Table,
    meta: dict[str, Any],
    sequence_starts: np.ndarray | None = None,
) -> None:
    """Write a table and its metadata to a Parquet file.

    An existing file is replaced completely or, after an error, left unchanged.

    Args:
        path: the path of the file; its folder is created if it does not exist.
        table: the table.
        meta: the metadata, with keys such as "inputs" (a digest of what the table was computed
            from) and "settings". The versions of the format and of fauds are added.
        sequence_starts: the indices of the rows at which row groups of the file may begin, usually
            the first row of each subject and task; None for any row.

    Raises:
        DataError: the file cannot be written, for example because the disk is full or read-only,
            or a permission is missing.
    """
    table = table.replace_schema_metadata(None)
    with table_writer(path, table.schema) as writer:
        writer.write(table, sequence_starts)
        writer.meta = meta


def sequence_starts(frames: pa.Table) -> np.ndarray:
    """Return the index of the first row of each sequence (subject and task), int64 [sequences].

    Successive frames whose subject and task are both unknown count as one sequence.

    Args:
        frames: a table of frames, sorted by subject and task.
    """
    subject, task = (_codes(frames[name]) for name in ("subject", "task"))
    changes = (np.diff(subject) != 0) | (np.diff(task) != 0)
    return np.concatenate([[0], np.flatnonzero(changes) + 1])


def _codes(column: pa.ChunkedArray) -> np.ndarray:
    """Return the codes of a dictionary column's values, int32 [N]; -1 for null."""
    codes = column.combine_chunks().indices
    # The method to_numpy of Arrow would load pandas, and so does fill_null.
    return np.from_dlpack(codes.fill_null(-1) if codes.null_count else codes)


def sequences(frames: pa.Table) -> Iterator[tuple[tuple[str, str], slice]]:
    """Yield the subject and task of each sequence in a table of frames, and the slice of its rows.

    A sequence is the rows of one subject and task, which must follow one another. An empty text
    stands for an unknown subject or task.
    """
    for start, stop in pairwise([*sequence_starts(frames).tolist(), len(frames)]):
        subject, task = (frames[name][start].as_py() or "" for name in ("subject", "task"))
        yield (subject, task), slice(start, stop)


def read_table(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Return a table that fauds wrote to a Parquet file.

    The chunks of a dictionary column all have the same dictionary.

    Args:
        path: the path of the file.
        columns: the names of the columns to read, in this order; None for all columns.

    Raises:
        DataError: the file is missing, is not a Parquet file written by fauds, has another version
            of the format, or lacks a column.
    """
    with _opened(path, columns) as file:
        return _in_order(file.read(columns), columns).unify_dictionaries()


def read_batches(path: Path, columns: list[str] | None = None) -> Iterator[pa.Table]:
    """Yield the row groups of a table that fauds wrote, each as a table.

    A row group has all rows of one or more sequences (subject and task). The dictionaries of a
    dictionary column may differ between row groups. See `read_table` for the arguments and errors.
    """
    with _opened(path, columns) as file:
        for index in range(file.num_row_groups):
            yield _in_order(file.read_row_group(index, columns), columns)


def _in_order(table: pa.Table, columns: list[str] | None) -> pa.Table:
    # Parquet returns columns in the order of the file.
    return table if columns is None else table.select(columns)


def read_meta(path: Path) -> dict[str, Any]:
    """Return the metadata of a table that fauds wrote, such as the settings that were used.

    See `read_table` for the errors.
    """
    with _opened(path) as file:
        return _decoded(path, file.metadata.metadata or {})


def column_names(path: Path) -> list[str]:
    """Return the names of the columns of a table that fauds wrote; see `read_table` for errors."""
    with _opened(path) as file:
        return list(file.schema_arrow.names)


def row_count(path: Path) -> int:
    """Return the number of rows of a table that fauds wrote; see `read_table` for the errors."""
    with _opened(path) as file:
        count: int = file.metadata.num_rows
        return count


@contextmanager
def _opened(path: Path, columns: Sequence[str] | None = None) -> Iterator[pq.ParquetFile]:
    """Yield the open Parquet file of a table that fauds wrote.

    Args:
        path: the path of the file.
        columns: the names of columns that it must have.

    Raises:
        DataError: the file is missing, is not a Parquet file written by fauds, has another version
            of the format, or lacks a column.
    """
    try:
        with pq.ParquetFile(path) as file:
            _decoded(path, file.metadata.metadata or {})
            missing = [name for name in columns or () if name not in file.schema_arrow.names]
            if missing:
                raise DataError(
                    f"{path.name} has no column {' or '.join(missing)}.", where=path, hint=_AGAIN
                )
            yield file
    except FileNotFoundError as error:
        raise DataError(
            f"There is no {path.name} in this folder.",
            where=path,
            hint="check the path, or run the fauds command that writes this file first",
        ) from error
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
            f"{path.name} has schema version {meta['schema']}, but this version of fauds reads "
            f"schema version {SCHEMA_VERSION}.",
            where=path,
            hint=_AGAIN,
        )
    return meta


def write_text(path: Path, text: str) -> None:
    """Write a text to a file as UTF-8; an error leaves an existing file unchanged."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a value to a JSON file, with indentation and without sorting keys.

    An error leaves an existing file unchanged.

    Raises:
        ValueError: the value contains NaN or infinity.
        DataError: the file cannot be written.
    """
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def fingerprint(*parts: Any) -> str:
    """Return one SHA-256 digest, in hex, of any number of values.

    Args:
        parts: the values, each of them bytes or a value that JSON can store.
    """
    digest = hashlib.sha256()
    for part in parts:
        if not isinstance(part, bytes):
            part = json.dumps(part, sort_keys=True, ensure_ascii=False).encode()
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Lock a dataset's folder while the code in the context runs.

    No other process of fauds can then lock the folder and write to it.

    Raises:
        DataError: another process has locked the folder, or the folder cannot be written or
            locked.
    """
    with _lock_file(folder).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if not isinstance(error, BlockingIOError):
                raise DataError(
                    f"The folder's file system cannot lock files: {error.strerror}.",
                    where=folder,
                    hint="use a --workdir on a local disk",
                ) from error
            file.seek(0)
            process = file.read().strip() or "unknown"
            raise DataError(
                f"Another fauds process (pid {process}) is writing to this folder.",
                where=folder,
                hint="wait until it ends, or use another --workdir",
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
            f"The folder cannot be created or written to: {error.strerror}.",
            where=folder,
            hint="choose another folder with --workdir or FAUDS_WORKDIR",
        ) from error
    return path
