"""Captions as a folder for Hugging Face datasets: Parquet shards and a dataset card."""

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
from fauds.captions.caption_tables import Built
from fauds.captions.export_jsonl import RowsDone, frame_columns
from fauds.errors import UsageError
from fauds.facs import intensity_column
from fauds.tables import store
from fauds.tables.atomic import unwritable, writing
from fauds.tables.columns import category
from fauds.version import VERSION

EXPORT_MARKER = "fauds-export.json"
"""What tells an export from other folders, and says what made it."""

_README = "README.md"
_SHARD_NAME = re.compile(r"train-\d{5,}-of-\d{5,}\.parquet")

SHARD = 500_000_000
"""Bytes that a shard stays below, unless a single row group is larger."""


def columns(built: Built) -> dict[str, pa.DataType]:
    """Return the columns of the shards and their types."""
    kinds = {"dataset": pa.string(), "subject": pa.string(), "task": pa.string()}
    kinds |= {"frame": pa.int32(), "frame_id": pa.int64(), "image": pa.string()}
    kinds |= {"sex": pa.string()}
    kinds |= {au: pa.int8() for au in built.aus}
    kinds |= {intensity_column(au): pa.int8() for au in built.graded}
    return kinds | {f"{au}_text": pa.string() for au in built.aus} | {"global": pa.string()}


def write_folder(
    built: Built, out: Path, access: str, progress: RowsDone = lambda rows: None
) -> None:
    """Write data/train-*.parquet, README.md and the marker, whole or not at all.

    Args:
        built: the tables.
        out: the folder; an earlier export of fauds there is replaced, and what else is in it
            stays.
        access: how one gets the dataset, for the card.
        progress: told of the frames written.

    Raises:
        UsageError: there is something else at that path.
        DataError: the file system refuses, or the tables do not fit together.
    """
    with writing(out):
        _refuse_others(out)
    out = out.resolve()
    with _whole_folder(out) as temporary:
        (temporary / "data").mkdir()
        _write_shards(built, temporary / "data", progress)
        store.write_text(temporary / _README, _card(built, access))
        store.write_json(temporary / EXPORT_MARKER, _made_of(built))


def _refuse_others(out: Path) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not (out / EXPORT_MARKER).is_file():
        raise UsageError(
            "What is there is not an export of captions: it is left as it is.",
            where=out,
            hint="name a folder that is empty or not there yet with --out",
        )
    foreign = _foreign(out / "data")
    if foreign:
        raise UsageError(
            "What is there is not of an export of captions: it is left as it is.",
            where=foreign[0],
            hint="move it out of data/, which is replaced, or name another folder with --out",
        )


def _foreign(data: Path) -> list[Path]:
    """Return what is not a shard, of all that goes when the folder of shards is replaced."""
    if not data.is_dir():
        return [data] if os.path.lexists(data) else []
    return sorted(path for path in data.iterdir() if not _SHARD_NAME.fullmatch(path.name))


@contextmanager
def _whole_folder(out: Path) -> Iterator[Path]:
    """Give a folder whose content becomes that of `out` on a clean exit; else it is removed."""
    temporary: Path | None = None
    there = out.exists()
    # A folder that is there is filled, never replaced: it may be a shell's, or a mount.
    beside = out if there else out.parent
    try:
        beside.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".part", dir=beside))
        # mkdtemp's folders are their owner's alone; groups read each other's exports.
        inside = temporary / "new"
        inside.mkdir()
        yield inside
        if there:
            _exchange(inside, out, temporary / "old")
        else:
            inside.rename(out)
    except OSError as error:
        raise unwritable(out, error) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def _exchange(new: Path, out: Path, old: Path) -> None:
    """Put marker, card and data of `new` into `out`; what was there goes to `old`."""
    old.mkdir()
    # The marker first and never away: whatever stops this, the folder is known as an export.
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
        _bring_back(new, out, old, files)
        raise


def _bring_back(new: Path, out: Path, old: Path, files: Sequence[str]) -> None:
    """Undo an exchange, however far it got."""
    if not (new / "data").exists():
        (out / "data").rename(new / "data")
    if (old / "data").exists():
        (old / "data").rename(out / "data")
    for name in files:
        if (old / name).exists():
            (old / name).replace(out / name)
        elif not (new / name).exists():
            (out / name).unlink(missing_ok=True)


def _write_shards(built: Built, folder: Path, progress: RowsDone) -> None:
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
    """Write a group and those after it while they fit; return the first that does not."""
    written = largest = 0
    with path.open("wb") as file:
        # Without Arrow's own schema, dictionary columns are plain strings to all readers.
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


def _groups(built: Built) -> Iterator[pa.Table]:
    """Yield the frames in row groups of at most `store.ROW_GROUP` rows."""
    waiting: list[pa.Table] = []
    for part in built.read(frame_columns(built), [*built.aus, "face"]):
        if sum(map(len, [*waiting, part])) > store.ROW_GROUP:
            yield _as_shard(built, waiting)
            waiting = []
        waiting.append(part)
    if waiting:
        yield _as_shard(built, waiting)


def _as_shard(built: Built, parts: list[pa.Table]) -> pa.Table:
    """Return rows with the columns of the shards, in their order."""
    table = pa.concat_tables(parts).unify_dictionaries()
    whose = category(np.zeros(len(table), np.int32), [built.dataset])
    table = table.append_column("dataset", pa.chunked_array([whose]))
    table = table.append_column("global", table["face_text"])
    return table.select(list(columns(built)))


def _made_of(built: Built) -> dict[str, Any]:
    return {
        "fauds": VERSION,
        "dataset": built.dataset,
        "frames": built.rows,
        "synthetic": built.synthetic,
        "inputs": built.captions["inputs"],
        "settings": built.settings,
    }


def _card(built: Built, access: str) -> str:
    from jinja2 import Environment, StrictUndefined

    source = resources.path("templates", "report", "dataset_card.md.j2")
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True)
    template = environment.from_string(source.read_text(encoding="utf-8"))
    return template.render(built=built, access=access, version=VERSION)
