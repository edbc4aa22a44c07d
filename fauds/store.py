"""Tables on disk: schemas, atomic writes, metadata, fingerprints, and the lock of a folder.

Tables are Parquet files that anyone can open. Every one carries, under the key ``fauds`` of its
schema metadata, a JSON object: schema version, fauds version, the fingerprint of its inputs and
the settings that made it.
"""

import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fauds import __version__
from fauds.errors import DataError
from fauds.facs import intensity_column

SCHEMA_VERSION = 1
ROW_GROUP = 128 * 1024
_META = b"fauds"
_CATEGORY = pa.dictionary(pa.int32(), pa.string())


def frames_schema(aus: Sequence[str], intensity_aus: Sequence[str] = ()) -> pa.Schema:
    """Return the schema of frames.parquet: one row a coded frame, null where not coded."""
    return pa.schema(
        [
            ("frame_id", pa.int64()),
            ("subject", _CATEGORY),
            ("task", _CATEGORY),
            ("frame", pa.int32()),
            ("sex", _CATEGORY),
            ("image", pa.string()),
            *((au, pa.int8()) for au in aus),
            *((intensity_column(au), pa.int8()) for au in intensity_aus),
        ]
    )


def captions_schema(aus: Sequence[str]) -> pa.Schema:
    """Return the schema of captions.parquet: a frame's local descriptions and its global one."""
    return pa.schema(
        [("frame_id", pa.int64()), *((au, _CATEGORY) for au in aus), ("face", _CATEGORY)]
    )


PHRASES = pa.schema(
    [
        ("phrase_id", pa.int32()),
        ("scope", pa.string()),
        ("au", pa.string()),
        ("state", pa.string()),
        ("variant", pa.int8()),
        ("text", pa.string()),
        ("tokens", pa.list_(pa.int32())),
    ]
)
VOCABULARY = pa.schema(
    [
        ("scope", pa.string()),
        ("id", pa.int32()),
        ("token", pa.string()),
        ("space", pa.bool_()),
        ("count", pa.int64()),
    ]
)
FOLDS = pa.schema([("subject", pa.string()), ("fold", pa.int16()), ("protocol", pa.string())])
FOLD_STATISTICS = pa.schema(
    [
        ("fold", pa.int16()),
        ("au", pa.string()),
        ("train_frames", pa.int64()),
        ("train_positives", pa.int64()),
        ("test_frames", pa.int64()),
        ("test_positives", pa.int64()),
        ("weight", pa.float64()),
    ]
)


def predictions_schema(aus: Sequence[str], descriptions: bool = False) -> pa.Schema:
    """Return the schema of a fold's predictions: probabilities, and descriptions if generated."""
    written = [(f"{au}_text", pa.string()) for au in aus] + [("face_text", pa.string())]
    return pa.schema(
        [
            ("subject", _CATEGORY),
            ("task", _CATEGORY),
            ("frame", pa.int32()),
            ("frame_id", pa.int64()),
            ("fold", pa.int16()),
            *((au, pa.float32()) for au in aus),
            *(written if descriptions else ()),
        ]
    )


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on a clean exit it is synced and takes its place.

    A crash, an error or Ctrl-C leaves the old file as it was.

    Raises:
        DataError: the file system refuses (full, read-only, no permission).
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        # mkstemp's files are their owner's alone; workspaces are shared in groups.
        temporary.chmod(0o666 & ~_umask())
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        # The body may read other files; their errors are not about this one.
        if error.filename is not None and Path(error.filename).parent != path.parent:
            raise
        raise DataError(
            f"{path.name} could not be written: {error.strerror or error}.",
            where=path,
            hint="free space or choose another folder with --workdir; nothing that was there "
            "before is lost",
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


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
    full = {"schema": SCHEMA_VERSION, "fauds": __version__, **meta}
    encoded = json.dumps(full, sort_keys=True, ensure_ascii=False).encode()
    table = table.replace_schema_metadata({_META: encoded})
    with (
        atomic(path) as temporary,
        pq.ParquetWriter(temporary, table.schema, compression="zstd") as writer,
    ):
        for start, stop in _row_groups(len(table), sequence_starts):
            writer.write_table(table.slice(start, stop - start), row_group_size=stop - start)


def sequence_starts(frames: pa.Table) -> np.ndarray:
    """Return the row numbers where a sequence (subject and task) begins, int64."""
    subject, task = (frames[c].combine_chunks().indices.to_numpy() for c in ("subject", "task"))
    changes = (np.diff(subject) != 0) | (np.diff(task) != 0)
    return np.concatenate([[0], np.flatnonzero(changes) + 1])


def _row_groups(rows: int, starts: np.ndarray | None) -> Iterable[tuple[int, int]]:
    allowed = np.arange(0, rows, ROW_GROUP) if starts is None else np.asarray(starts)
    wanted = np.arange(0, rows, ROW_GROUP)
    cuts = np.unique(allowed[np.searchsorted(allowed, wanted, side="right") - 1]).tolist()
    return pairwise([*cuts, rows])


def read_table(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Read a table that fauds wrote.

    Raises:
        DataError: it is not there, not Parquet, or of another schema version.
    """
    read_meta(path)
    try:
        return pq.read_table(path, columns=columns)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from error


def read_meta(path: Path) -> dict[str, Any]:
    """Read the metadata of a table that fauds wrote; errors as in `read_table`."""
    try:
        metadata = pq.read_schema(path).metadata or {}
    except FileNotFoundError as error:
        raise DataError(f"There is no {path.name} here.", where=path) from error
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from error
    if _META not in metadata:
        raise DataError(
            f"{path.name} was not written by fauds: it has no fauds metadata.",
            where=path,
            hint="remove it and run the step that writes it again",
        )
    meta = json.loads(metadata[_META])
    if meta["schema"] != SCHEMA_VERSION:
        raise DataError(
            f"{path.name} has schema version {meta['schema']}, this fauds reads {SCHEMA_VERSION}.",
            where=path,
            hint="remove it and run the step that writes it again",
        )
    return meta


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(
        f"{path.name} cannot be read as Parquet: {str(error).splitlines()[0]}",
        where=path,
        hint="remove it and run the step that writes it again",
    )


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
