"""Computing the keys of frames, such as F001/T1/2440, and a digest of a set of frames."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from fauds.tables import store
from fauds.tables.columns import from_strings


def frame_keys(frames: pa.Table) -> pa.ChunkedArray:
    """Return the key of each frame, a text that no other frame of the dataset has.

    The key is made of subject, task and frame number, as in F001/T1/2440, or SN003/29 for datasets
    without tasks.

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
    """Return a table of frames with the column key after the column frame_id.

    The column has the unique key of each frame, such as F001/T1/2440. If the table already has a
    column key, the keys in this column are kept.
    """
    if "key" in frames.column_names:
        keys = frames["key"].cast(pa.string())
        frames = frames.drop_columns("key")
    else:
        keys = frame_keys(frames)
    return frames.add_column(frames.schema.get_field_index("frame_id") + 1, "key", keys)


def read_keyed(path: Path, columns: list[str]) -> pa.Table:
    """Return some columns of frames.parquet, and the column key with keys such as F001/T1/2440.

    If the table was written by an older version of fauds and has no column key, the keys are
    computed.

    Args:
        path: the path of the table.
        columns: the other columns to read, among them subject, task, frame and frame_id.

    Raises:
        DataError: the table cannot be read, or lacks a column.
    """
    present = ["key"] if "key" in store.column_names(path) else []
    return with_keys(store.read_table(path, [*present, *columns]))


def frame_set_fingerprint(frames: pa.Table, columns: Sequence[str]) -> str:
    """Return a SHA-256 digest, in hex, of the frames that results are computed on.

    Two results with the same digest were computed on the same frames with the same labels. The
    digest is that of a text with a line ``subject/task/frame labels`` for each frame, sorted. The
    labels are written as one character per label column: 0, 1, or - for not coded.

    Args:
        frames: a table with the columns subject, task and frame and the label columns.
        columns: the names of the label columns, in the order in which the protocol lists them.
    """
    keys = [frames[name].cast(pa.string()) for name in ("subject", "task", "frame")]
    codes = [pc.fill_null(frames[name].cast(pa.string()), "-") for name in columns]
    lines = pc.binary_join_element_wise(
        pc.binary_join_element_wise(*keys, "/"), pc.binary_join_element_wise(*codes, ""), " "
    )
    ordered = lines.take(pc.sort_indices(lines))
    text = pc.binary_join(pa.array([ordered.to_pylist()], pa.list_(pa.string())), "\n")[0].as_py()
    return hashlib.sha256(text.encode()).hexdigest()
