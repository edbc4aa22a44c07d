"""NumPy arrays to Arrow columns and back without `pyarrow.array` and `to_numpy`.

Those two load pandas on their first use, where it is installed, which costs as much as reading
all of BP4D's labels.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa


def from_numpy(values: np.ndarray, kind: pa.DataType, null: np.ndarray | None = None) -> pa.Array:
    """Return a numeric column.

    Args:
        values: [N], of the type that `kind` names.
        kind: an Arrow integer or floating type.
        null: bool [N], True where the column is null.
    """
    values = np.ascontiguousarray(values, kind.to_pandas_dtype())
    return pa.Array.from_buffers(kind, len(values), [_validity(null), pa.py_buffer(values)])


def _validity(null: np.ndarray | None) -> pa.Buffer | None:
    if null is None or not null.any():
        return None
    return pa.py_buffer(np.packbits(~null, bitorder="little"))


def from_strings(values: Sequence[str]) -> pa.Array:
    """Return a string column, string [N]."""
    encoded = [value.encode() for value in values]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    large = pa.LargeStringArray.from_buffers(
        len(encoded), pa.py_buffer(ends), pa.py_buffer(b"".join(encoded))
    )
    return large.cast(pa.string())


def category(codes: np.ndarray, names: Sequence[str]) -> pa.DictionaryArray:
    """Return a dictionary column: names by code, int32 [N]; null where the code is negative."""
    indices = from_numpy(codes, pa.int32(), codes < 0)
    return pa.DictionaryArray.from_arrays(indices, from_strings(names))


def to_numpy(column: pa.ChunkedArray) -> np.ndarray:
    """Return a numeric column without nulls as [N], of its own type."""
    parts = [
        np.frombuffer(chunk.buffers()[1], chunk.type.to_pandas_dtype())[chunk.offset :][
            : len(chunk)
        ]
        for chunk in column.chunks
    ]
    return np.concatenate(parts) if parts else np.empty(0, column.type.to_pandas_dtype())
