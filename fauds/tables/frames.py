"""Rows of frames.parquet: their keys in words, and the fingerprint of a set of frames."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from fauds.tables import store
from fauds.tables.columns import from_strings


def frame_keys(frames: pa.Table) -> pa.ChunkedArray:
    """Return every frame's unique id in words: F001/T1/2440, or SN003/29 where there is no task.

    Args:
        frames: with the columns subject, task and frame.
    """
    subject, task, number = (
        frames[name].cast(pa.string()) for name in ("subject", "task", "frame")
    )
    # Arrow loads pandas to take a Python string for a scalar.
    slash, empty = from_strings(["/", ""])
    absent = pa.nulls(1, pa.string())[0]
    # A null part is skipped with its slash.
    task = pc.if_else(pc.equal(task, empty), absent, task)
    return pc.binary_join_element_wise(subject, task, number, slash, null_handling="skip")


def with_keys(frames: pa.Table) -> pa.Table:
    """Return frames with the column `key` after frame_id; keys that they have already stay."""
    if "key" in frames.column_names:
        keys = frames["key"].cast(pa.string())
        frames = frames.drop_columns("key")
    else:
        keys = frame_keys(frames)
    return frames.add_column(frames.schema.get_field_index("frame_id") + 1, "key", keys)


def read_keyed(path: Path, columns: list[str]) -> pa.Table:
    """Read columns of frames.parquet, and `key`: made here for a table of an older fauds."""
    there = ["key"] if "key" in store.column_names(path) else []
    return with_keys(store.read_table(path, [*there, *columns]))


def frame_set_fingerprint(frames: pa.Table, columns: Sequence[str]) -> str:
    """Return the SHA-256 of the sorted lines ``subject/task/frame labels`` of the scored frames.

    Labels are one character a column of labels, in the protocol's order: 0, 1, or - for not coded.
    Two results with the same fingerprint were scored on the same frames with the same labels.
    """
    keys = [frames[name].cast(pa.string()) for name in ("subject", "task", "frame")]
    codes = [pc.fill_null(frames[name].cast(pa.string()), "-") for name in columns]
    lines = pc.binary_join_element_wise(
        pc.binary_join_element_wise(*keys, "/"), pc.binary_join_element_wise(*codes, ""), " "
    )
    ordered = lines.take(pc.sort_indices(lines))
    text = pc.binary_join(pa.array([ordered.to_pylist()], pa.list_(pa.string())), "\n")[0].as_py()
    return hashlib.sha256(text.encode()).hexdigest()
