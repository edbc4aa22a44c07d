"""Converting NumPy arrays to Arrow columns and back without loading pandas.

If pandas is installed, `pyarrow.array` and the method `to_numpy` of Arrow arrays load it on their
first use, which takes as long as reading all labels of BP4D. The functions here use neither.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa


def from_numpy(values: np.ndarray, kind: pa.DataType, null: np.ndarray | None = None) -> pa.Array:
    """Return an Arrow array of numbers, for a column of a table.

    Args:
        values: the numbers, an array [N].
        kind: the Arrow type of the column, an integer or floating-point type.
        null: a mask that is True in rows where the column is null, bool [N]; None for no nulls.
    """
    values = np.ascontiguousarray(values, kind.to_pandas_dtype())
    return pa.Array.from_buffers(kind, len(values), [_validity(null), pa.py_buffer(values)])


def _validity(null: np.ndarray | None) -> pa.Buffer | None:
    if null is None or not null.any():
        return None
    return pa.py_buffer(np.packbits(~null, bitorder="little"))


def from_strings(values: Sequence[str]) -> pa.Array:
    """Return an Arrow array of strings without nulls, for a column of a table."""
    encoded = [value.encode() for value in values]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    large = pa.LargeStringArray.from_buffers(
        len(encoded), pa.py_buffer(ends), pa.py_buffer(b"".join(encoded))
    )
    return large.cast(pa.string())


def category(codes: np.ndarray, names: Sequence[str]) -> pa.DictionaryArray:
    """Return an Arrow dictionary array, which stores each distinct text once.

    Args:
        codes: the index in `names` of the text in each of the N rows, int32 [N]; a negative index
            makes the row null.
        names: the distinct texts.
    """
    indices = from_numpy(codes, pa.int32(), codes < 0)
    return pa.DictionaryArray.from_arrays(indices, from_strings(names))


def categories(
    values: Sequence[str | None],
    *,
    lengths: Sequence[int] | None = None,
    order: Callable[[str], Any] | None = None,
) -> pa.DictionaryArray:
    """Return an Arrow dictionary array of texts, which stores each distinct text once.

    Args:
        values: the texts, [N]; None for null.
        lengths: the number of successive rows that each text fills, [N]; None for one row each.
        order: the key by which the distinct texts are sorted in the dictionary; None sorts them
            by their characters.
    """
    distinct = sorted({value for value in values if value is not None}, key=order)
    codes = {value: code for code, value in enumerate(distinct)}
    rows = np.array([-1 if value is None else codes[value] for value in values], np.int32)
    return category(rows if lengths is None else np.repeat(rows, lengths), distinct)


def to_numpy(column: pa.ChunkedArray) -> np.ndarray:
    """Return a column of N numbers, without nulls, as a NumPy array [N] of the same type."""
    parts = [
        np.frombuffer(chunk.buffers()[1], chunk.type.to_pandas_dtype())[chunk.offset :][
            : len(chunk)
        ]
        for chunk in column.chunks
    ]
    return np.concatenate(parts) if parts else np.empty(0, column.type.to_pandas_dtype())
