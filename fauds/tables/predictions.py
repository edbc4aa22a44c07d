"""Reading and writing predictions.parquet, the table of the predictions of a fold.

The table has a row per frame, with the frame's key, such as F001/T1/2440, the number of the fold, a
score for each action unit or class, and texts that the model generated.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fauds.facs import intensity_column
from fauds.tables import schemas, store
from fauds.tables.frames import with_keys


def write(
    path: Path,
    frames: pa.Table,
    fold: int,
    names: Sequence[str],
    scores: np.ndarray,
    meta: dict[str, Any],
    *,
    texts: Mapping[str, pa.Array] | None = None,
    by_frame: Mapping[str, np.ndarray] | None = None,
    intensities: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Write the predictions for the test frames of a fold to a Parquet table.

    Args:
        path: the path of the table.
        frames: a table of the N frames, with the columns subject, task, frame and frame_id. If it
            has a column key, with keys such as F001/T1/2440, these keys are written; otherwise
            the keys are computed.
        fold: the number of the fold, from 1.
        names: the names of the A action units (AUs) or classes, which become column names.
        scores: the score of each AU or class in each frame, float32 [N, A].
        meta: the metadata of the table, see `fauds.tables.store.write_table`.
        texts: the descriptions that the model generated, an Arrow array of strings [N] for each
            column, such as ``AU01_text`` or ``face_text``; null for frames that are not described.
        by_frame: metrics with a value for each AU or class in each frame, float [N, A], NaN where
            there is none; see `frame_metrics`.
        intensities: the predicted intensity of each AU in each frame, an array [N] of numbers from
            0 to 5 for each AU.

    Raises:
        DataError: the file cannot be written.
    """
    texts = texts or {}
    schema, frames = schemas.predictions_schema(names, list(texts)), with_keys(frames)
    keys = [frames[name] for name in schema.names[:5]]
    columns = [*keys, pa.array(np.full(len(frames), fold, np.int16)), *map(pa.array, scores.T)]
    columns += [texts[name] for name in texts]
    table = pa.table(dict(zip(schema.names, columns, strict=True))).cast(schema)
    for metric, arrays in (by_frame or {}).items():
        for name, values in zip(names, arrays.T, strict=True):
            # NaN becomes null.
            column = pa.array(values, pa.float32(), from_pandas=True)
            table = table.append_column(f"{name}_{metric}", column)
    for au, values in (intensities or {}).items():
        table = table.append_column(intensity_column(au), pa.array(values, pa.float32()))
    store.write_table(path, table, meta)


def scores(table: pa.Table, names: Sequence[str]) -> np.ndarray:
    """Return the scores in a table of predictions as a NumPy array, float32 [N, A].

    Args:
        table: the predictions for N frames.
        names: the names of the A action units or classes whose scores are returned.
    """
    return np.stack([table[name].to_numpy() for name in names], axis=1)


_NO_METRIC = {"text", "intensity"}


def frame_metrics(table: pa.Table, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the metrics in a table of predictions that have a value for each frame and each name.

    Such a metric, for example the cosine between two maps, is stored in a column for each name,
    ``AU12_att_cos``, with null where a frame has no value.

    Args:
        table: the predictions for N frames.
        names: the names of the A action units or classes.

    Returns:
        Maps the name of each metric, such as ``att_cos``, to its values, float32 [N, A], NaN where
        a frame has none.
    """
    columns, first = table.schema.names, f"{names[0]}_"
    metrics = [name.removeprefix(first) for name in columns if name.startswith(first)]
    return {
        metric: np.stack([table[f"{name}_{metric}"].to_numpy() for name in names], axis=1)
        for metric in metrics
        if metric not in _NO_METRIC and all(f"{name}_{metric}" in columns for name in names)
    }


def text_columns(table: pa.Table) -> list[str]:
    """Return the names of the columns with generated texts in a table of predictions."""
    return [name for name in table.schema.names if name.endswith("_text")]


def is_described(table: pa.Table) -> pa.ChunkedArray:
    """Return a mask of the N frames that the model has described in words, an Arrow bool array [N].

    Args:
        table: a table of predictions, with at least one column of generated texts.
    """
    first, *rest = text_columns(table)
    described = pc.is_valid(table[first])
    for name in rest:
        described = pc.or_(described, pc.is_valid(table[name]))
    return described
