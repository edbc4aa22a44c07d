"""Exports captions as a folder for Hugging Face datasets.

The folder contains Parquet files (shards), a dataset card, and a file that marks the folder as an
export.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fauds import resources
from fauds.captions.caption_tables import BuiltCaptions
from fauds.captions.export_jsonl import RowsDone, frame_columns
from fauds.errors import UsageError
from fauds.facs import intensity_column
from fauds.tables import store
from fauds.tables.atomic import write_error, write_errors
from fauds.tables.columns import category
from fauds.version import VERSION

EXPORT_MARKER = "fauds-export.json"
"""The name of the file that marks a folder as an export, and records what was exported."""

_README = "README.md"
_SHARD_NAME = re.compile(r"train-\d{5,}-of-\d{5,}\.parquet")

SHARD = 500_000_000
"""Maximum size of a shard (a Parquet file of an export) in bytes.

A row group that is larger than this forms a shard of its own.
"""


def columns(built: BuiltCaptions) -> dict[str, pa.DataType]:
    """Return the Arrow type of every column of the exported Parquet files, in column order."""
    types = {"dataset": pa.string(), "subject": pa.string(), "task": pa.string()}
    types |= {"frame": pa.int32(), "frame_id": pa.int64(), "image": pa.string()}
    types |= {"sex": pa.string()}
    types |= {au: pa.int8() for au in built.aus}
    types |= {intensity_column(au): pa.int8() for au in built.graded}
    return types | {f"{au}_text": pa.string() for au in built.aus} | {"global": pa.string()}


def write_folder(
    built: BuiltCaptions, out: Path, access: str, progress: RowsDone = lambda rows: None
) -> None:
    """Export captions to a folder: data/train-*.parquet, README.md and `EXPORT_MARKER`.

    An error leaves the folder as it was.

    Args:
        built: the caption tables.
        out: the folder to write. An earlier export in this folder is replaced; other files stay.
        access: a sentence for the dataset card about how to obtain the dataset.
        progress: a function that is called after every row group that was written, with the number
            of frames in the row group.

    Raises:
        UsageError: `out` is a file, or a folder that holds other files but no export.
        DataError: the folder cannot be written, or the frames and captions tables hold different
            frames.
    """
    with write_errors(out):
        _check_replaceable(out)
    out = out.resolve()
    with _whole_folder(out) as temporary:
        (temporary / "data").mkdir()
        _write_shards(built, temporary / "data", progress)
        store.write_text(temporary / _README, _card(built, access))
        store.write_json(temporary / EXPORT_MARKER, _marker(built))


def _check_replaceable(out: Path) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not (out / EXPORT_MARKER).is_file():
        raise UsageError(
            "The output folder is not an export of captions, so fauds does not replace it.",
            where=out,
            hint="choose an empty or a new folder with --out",
        )
    foreign_files = _foreign_files(out / "data")
    if foreign_files:
        raise UsageError(
            "The export's folder data/ contains a file that is not part of an export of captions.",
            where=foreign_files[0],
            hint="move this file out of data/, which is replaced as a whole, or choose another "
            "folder with --out",
        )


def _foreign_files(data: Path) -> list[Path]:
    """Return the paths in an export's data folder that are not Parquet files of the export.

    Replacing the folder would delete these files. If `data` exists but is not a folder, the list
    contains `data` itself.
    """
    if not data.is_dir():
        return [data] if os.path.lexists(data) else []
    return sorted(path for path in data.iterdir() if not _SHARD_NAME.fullmatch(path.name))


@contextmanager
def _whole_folder(out: Path) -> Iterator[Path]:
    """Yield a temporary folder whose content is moved to `out` at the end.

    If an error occurs, `out` stays as it was, and the temporary folder is removed.
    """
    temporary: Path | None = None
    existed = out.exists()
    # An existing folder is filled, never replaced: it may be a shell's current folder, or a mount.
    parent = out if existed else out.parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".part", dir=parent))
        # Only its owner may read mkdtemp's folder, but groups read each other's exports.
        content = temporary / "new"
        content.mkdir()
        yield content
        if existed:
            _exchange(content, out, temporary / "old")
        else:
            content.rename(out)
    except OSError as error:
        raise write_error(out, error) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def _exchange(new: Path, out: Path, old: Path) -> None:
    """Move the marker file, README.md and data/ of an export from `new` to `out`.

    Their earlier versions in `out` move to `old`; an error moves everything back.
    """
    old.mkdir()
    # The marker is written first and never missing: wherever this stops, the folder is an export.
    files = (EXPORT_MARKER, _README)
    for name in files:
        if (out / name).exists():
            shutil.copy2(out / name, old / name)
    try:
        for name in files:
            (new / name).replace(out / name)
        if (out / "data").exists():
            (out / "data").rename(old / "data")
        (new / "data").rename(out / "data")
    except BaseException:
        _undo_exchange(new, out, old, files)
        raise


def _undo_exchange(new: Path, out: Path, old: Path, files: Sequence[str]) -> None:
    """Move back all files that `_exchange` had moved before an error.

    Args:
        new: the folder that holds the new export.
        out: the folder of the export to replace.
        old: the folder that holds the replaced files.
        files: the names of the exchanged files outside the folder data/.
    """
    if not (new / "data").exists():
        (out / "data").rename(new / "data")
    if (old / "data").exists():
        (old / "data").rename(out / "data")
    for name in files:
        if (old / name).exists():
            (old / name).replace(out / name)
        elif not (new / name).exists():
            (out / name).unlink(missing_ok=True)


def _write_shards(built: BuiltCaptions, folder: Path, progress: RowsDone) -> None:
    groups = _groups(built)
    group = next(groups, pa.schema(columns(built)).empty_table())
    paths: list[Path] = []
    while group is not None:
        paths.append(folder / f"{len(paths)}.part")
        group = _write_shard(paths[-1], group, groups, progress)
    for number, path in enumerate(paths):
        path.rename(folder / f"train-{number:05d}-of-{len(paths):05d}.parquet")


def _write_shard(
    path: Path, group: pa.Table, groups: Iterator[pa.Table], progress: RowsDone
) -> pa.Table | None:
    """Write row groups to one Parquet file until it would exceed `SHARD` bytes.

    Args:
        path: the file to write.
        group: the first row group.
        groups: an iterator over the row groups that follow.
        progress: a function that is called after every row group that was written, with the number
            of frames in the row group.

    Returns:
        The first row group of the next file; None if all row groups are written.
    """
    written = largest = 0
    with path.open("wb") as file:
        # Without Arrow's own schema in the file, all readers see dictionary columns as strings.
        options = {"compression": "zstd", "store_schema": False}
        with pq.ParquetWriter(file, group.schema, **options) as writer:
            while group is not None and (not written or written + largest <= SHARD):
                writer.write_table(group, row_group_size=max(len(group), 1))
                largest = max(largest, file.tell() - written)
                written = file.tell()
                progress(len(group))
                group = next(groups, None)
        file.flush()
        os.fsync(file.fileno())
    return group


def _groups(built: BuiltCaptions) -> Iterator[pa.Table]:
    """Yield the frames and captions as tables of at most `store.ROW_GROUP` rows.

    Each table becomes one row group of a Parquet file.
    """
    parts_of_group: list[pa.Table] = []
    for part in built.read(frame_columns(built), [*built.aus, "face"]):
        if sum(map(len, [*parts_of_group, part])) > store.ROW_GROUP:
            yield _as_shard(built, parts_of_group)
            parts_of_group = []
        parts_of_group.append(part)
    if parts_of_group:
        yield _as_shard(built, parts_of_group)


def _as_shard(built: BuiltCaptions, parts: list[pa.Table]) -> pa.Table:
    """Join tables of `BuiltCaptions.read` into one table with the columns that are exported."""
    table = pa.concat_tables(parts).unify_dictionaries()
    dataset = category(np.zeros(len(table), np.int32), [built.dataset])
    table = table.append_column("dataset", pa.chunked_array([dataset]))
    table = table.append_column("global", table["face_text"])
    return table.select(list(columns(built)))


def _marker(built: BuiltCaptions) -> dict[str, Any]:
    return {
        "fauds": VERSION,
        "dataset": built.dataset,
        "frames": built.rows,
        "synthetic": built.synthetic,
        "inputs": built.captions["inputs"],
        "settings": built.settings,
    }


def _card(built: BuiltCaptions, access: str) -> str:
    from jinja2 import Environment, StrictUndefined

    source = resources.path("templates", "report", "dataset_card.md.j2")
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True)
    template = environment.from_string(source.read_text(encoding="utf-8"))
    return template.render(built=built, access=access, version=VERSION)
