"""Captions as a folder for Hugging Face datasets: Parquet shards and a dataset card."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fauds import __version__, resources, store
from fauds.captions.built import Built
from fauds.captions.export import Progress, frame_columns
from fauds.columns import category
from fauds.errors import UsageError
from fauds.facs import intensity_column
from fauds.files import unwritable

MARKER = "fauds-export.json"
"""What tells an export from other folders, and says what made it."""

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
    built: Built, out: Path, access: str, progress: Progress = lambda rows: None
) -> None:
    """Write data/train-*.parquet, README.md and the marker, whole or not at all.

    Args:
        built: the tables.
        out: the folder; an earlier export of fauds there is replaced.
        access: how one gets the dataset, for the card.
        progress: told of the frames written.

    Raises:
        UsageError: there is something else at that path.
        DataError: the file system refuses, or the tables do not fit together.
    """
    out = out.resolve()
    _refuse_others(out)
    with _whole_folder(out) as temporary:
        (temporary / "data").mkdir()
        _write_shards(built, temporary / "data", progress)
        store.write_text(temporary / "README.md", _card(built, access))
        store.write_json(temporary / MARKER, _made_of(built))


def _refuse_others(out: Path) -> None:
    if not out.exists() or (out / MARKER).is_file():
        return
    if out.is_dir() and not any(out.iterdir()):
        return
    raise UsageError(
        "What is there is not an export of captions: it is left as it is.",
        where=out,
        hint="name a folder that is empty or not there yet with --out",
    )


@contextmanager
def _whole_folder(out: Path) -> Iterator[Path]:
    """Give a folder beside `out` that takes its place on a clean exit, and else is removed."""
    temporary: Path | None = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".part", dir=out.parent))
        # mkdtemp's folders are their owner's alone; groups read each other's exports.
        inside = temporary / "new"
        inside.mkdir()
        yield inside
        _exchange(inside, out, temporary / "old")
    except OSError as error:
        raise unwritable(out, error) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def _exchange(new: Path, out: Path, old: Path) -> None:
    try:
        if out.exists():
            out.rename(old)
        new.rename(out)
    except BaseException:
        if old.exists() and not out.exists():
            old.rename(out)
        raise


def _write_shards(built: Built, folder: Path, progress: Progress) -> None:
    groups = _groups(built)
    group = next(groups, pa.schema(columns(built)).empty_table())
    paths: list[Path] = []
    while group is not None:
        paths.append(folder / f"{len(paths)}.part")
        group = _write_shard(paths[-1], group, groups, progress)
    for number, path in enumerate(paths):
        path.rename(folder / f"train-{number:05d}-of-{len(paths):05d}.parquet")


def _write_shard(
    path: Path, group: pa.Table, groups: Iterator[pa.Table], progress: Progress
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
    for part in built.read(frame_columns(built, "sex"), [*built.aus, "face"]):
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
        "fauds": __version__,
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
    return template.render(built=built, access=access, version=__version__)
