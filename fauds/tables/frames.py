"""Computing what identifies frames: keys, such as F001/T1/2440, subjects, and digests of sets."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fauds.tables import store
from fauds.tables.columns import from_strings, to_numpy
from fauds.tables.schemas import SPLIT

UNKNOWN_SUBJECT = "unknown subject"
"""What counts and messages by subject call the frames whose subject is not known."""


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
    computed. If the dataset has a split of its own, the column split is returned too.

    Args:
        path: the path of the table.
        columns: the other columns to read, among them subject, task, frame and frame_id.

    Raises:
        DataError: the table cannot be read, or lacks a column.
    """
    existing = store.column_names(path)
    present = [name for name in ("key", SPLIT) if name in existing and name not in columns]
    return with_keys(store.read_table(path, [*present, *columns]))


def frame_names(frames: pa.Table) -> np.ndarray:
    """Return what names each frame within its sequence: its number, or its key if it has none.

    Args:
        frames: a table of N frames with the columns frame and key.

    Returns:
        The frame numbers, int32 [N]; or, if frames have no numbers, the keys, str [N].
    """
    if frames["frame"].null_count == 0:
        return to_numpy(frames["frame"])
    return np.array(frames["key"].to_pylist(), np.str_)


def last_numbers(
    names: np.ndarray, sequences: Iterable[tuple[tuple[str, str], slice]]
) -> dict[tuple[str, str], int]:
    """Return the number of the last frame of each sequence; 0 if frames have no numbers.

    Args:
        names: the numbers or keys of N frames, as `frame_names` returns them.
        sequences: the subject and task of each sequence, and the slice of its rows.
    """
    numbered = names.dtype.kind != "U"
    return {name: int(names[rows][-1]) if numbered else 0 for name, rows in sequences}


def subjects_known(frames: pa.Table) -> bool:
    """Return whether the subject of every frame is known; a table without frames counts as so."""
    return bool(frames["subject"].null_count == 0)


def sampling_units(frames: pa.Table) -> np.ndarray:
    """Return the subject of each frame, or its key where the subject is unknown, str [N].

    These are the units that intervals resample. Frames of one subject are alike and stay together;
    images of unknown subjects are units of their own, although the same person may be on several.

    Args:
        frames: a table of N frames with the column subject; and key, if a subject is unknown.
    """
    return _subject_or(frames, "key")


def split_groups(frames: pa.Table) -> np.ndarray:
    """Return the subject of each frame, or the release's part where it is unknown, str [N].

    These are the groups that are assigned to folds as a whole: subjects; and, for images of unknown
    subjects, the parts "train" and "test" of the release's own split. The group is an empty text if
    neither is known.

    Args:
        frames: a table of N frames with the column subject; and split, if the dataset has one.
    """
    return _subject_or(frames, SPLIT)


def _subject_or(frames: pa.Table, other: str) -> np.ndarray:
    names = frames["subject"].cast(pa.string())
    if names.null_count and other in frames.column_names:
        names = pc.coalesce(names, frames[other].cast(pa.string()))
    return np.array([name or "" for name in names.to_pylist()], np.str_)


def frame_set_fingerprint(frames: pa.Table, columns: Sequence[str]) -> str:
    """Return a SHA-256 digest, in hex, of the frames that results are computed on.

    Two results with the same digest were computed on the same frames with the same labels. The
    digest is that of a text with a line ``subject/task/frame labels`` for each frame, sorted. A
    frame of which one of the three is unknown has its key in their place. The labels are written as
    one number per label column, such as 0 or 1, or - for not coded.

    Args:
        frames: a table with the columns subject, task and frame and the label columns; and key, if
            a subject, task or frame number is unknown.
        columns: the names of the label columns, in the order in which the protocol lists them.
    """
    names = [frames[name].cast(pa.string()) for name in ("subject", "task", "frame")]
    keys = pc.binary_join_element_wise(*names, "/")
    if keys.null_count:
        keys = pc.coalesce(keys, frames["key"])
    codes = [pc.fill_null(frames[name].cast(pa.string()), "-") for name in columns]
    lines = pc.binary_join_element_wise(keys, pc.binary_join_element_wise(*codes, ""), " ")
    ordered = lines.take(pc.sort_indices(lines))
    text = pc.binary_join(pa.array([ordered.to_pylist()], pa.list_(pa.string())), "\n")[0].as_py()
    return hashlib.sha256(text.encode()).hexdigest()
