"""The keys of the rows of frames.parquet, and the fingerprint of a set of frames."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from fauds.tables import store
from fauds.tables.columns import from_strings


def frame_keys(frames: pa.Table) -> pa.ChunkedArray:
    """Return the unique key of each frame: F001/T1/2440, or SN003/29 for datasets without tasks.

    Args:
        frames: a table with the columns subject, task and frame.
    """
    subject, task, number = (
        frames[name].cast(pa.string()) for name in ("subject", "task", "frame")
    )
    # Arrow would load pandas to convert a Python string to a scalar.
    slash, empty = from_strings(["/", ""])
    null = pa.nulls(1, pa.string())[0]
    # The join skips a null task together with its slash.
    task = pc.if_else(pc.equal(task, empty), null, task)
    return pc.binary_join_element_wise(subject, task, number, slash, null_handling="skip")


def with_keys(frames: pa.Table) -> pa.Table:
    """Return frames with the column `key` after frame_id; existing keys are kept."""
    if "key" in frames.column_names:
        keys = frames["key"].cast(pa.string())
        frames = frames.drop_columns("key")
    else:
        keys = frame_keys(frames)
    return frames.add_column(frames.schema.get_field_index("frame_id") + 1, "key", keys)


def read_keyed(path: Path, columns: list[str]) -> pa.Table:
    """Read columns of frames.parquet and the column `key`, which older tables do not have.

    Args:
        path: the path of the table.
        columns: the other columns to read, among them subject, task, frame and frame_id.

    Raises:
        DataError: the table cannot be read, or lacks a column.
    """
    present = ["key"] if "key" in store.column_names(path) else []
    return with_keys(store.read_table(path, [*present, *columns]))


def frame_set_fingerprint(frames: pa.Table, columns: Sequence[str]) -> str:
    """Return the SHA-256, in hex, of the scored frames and their labels.

    Two results with the same fingerprint were scored on the same frames with the same labels. The
    digest is that of the sorted lines ``subject/task/frame labels``. The labels have one character
    per column of labels: 0, 1, or - for not coded.

    Args:
        frames: a table with the columns subject, task and frame and those of the labels.
        columns: the columns of the labels, in the protocol's order.
    """
    keys = [frames[name].cast(pa.string()) for name in ("subject", "task", "frame")]
    codes = [pc.fill_null(frames[name].cast(pa.string()), "-") for name in columns]
    lines = pc.binary_join_element_wise(
        pc.binary_join_element_wise(*keys, "/"), pc.binary_join_element_wise(*codes, ""), " "
    )
    ordered = lines.take(pc.sort_indices(lines))
    text = pc.binary_join(pa.array([ordered.to_pylist()], pa.list_(pa.string())), "\n")[0].as_py()
    return hashlib.sha256(text.encode()).hexdigest()
