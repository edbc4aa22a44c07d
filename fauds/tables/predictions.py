"""Reading and writing predictions.parquet of a fold: keys, fold, scores and generated texts."""

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
    intensities: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Write the predictions of a fold's test part.

    Args:
        path: the path of the table.
        frames: the N frames, with the columns subject, task, frame and frame_id; the column key
            is used if it exists.
        fold: the number of the fold, from 1.
        names: the names of the A scores, which become columns.
        scores: the scores, float32 [N, A].
        meta: the metadata of the table, see `fauds.tables.store.write_table`.
        texts: the generated texts by column (``AU01_text``, ``face_text``), string [N]; null for
            frames without a description.
        intensities: the predicted intensities by AU, 0 to 5, [N].

    Raises:
        DataError: the file cannot be written.
    """
    texts = texts or {}
    schema, frames = schemas.predictions_schema(names, list(texts)), with_keys(frames)
    keys = [frames[name] for name in schema.names[:5]]
    columns = [*keys, pa.array(np.full(len(frames), fold, np.int16)), *map(pa.array, scores.T)]
    columns += [texts[name] for name in texts]
    table = pa.table(dict(zip(schema.names, columns, strict=True))).cast(schema)
    for au, values in (intensities or {}).items():
        table = table.append_column(intensity_column(au), pa.array(values, pa.float32()))
    store.write_table(path, table, meta)


def scores(table: pa.Table, names: Sequence[str]) -> np.ndarray:
    """Return the scores of the named columns, float32 [N, A]."""
    return np.stack([table[name].to_numpy() for name in names], axis=1)


def text_columns(table: pa.Table) -> list[str]:
    """Return the names of the columns of generated texts."""
    return [name for name in table.schema.names if name.endswith("_text")]


def is_described(table: pa.Table) -> pa.ChunkedArray:
    """Return whether each frame has a description, bool [N].

    The table must have at least one column of generated texts.
    """
    first, *rest = text_columns(table)
    described = pc.is_valid(table[first])
    for name in rest:
        described = pc.or_(described, pc.is_valid(table[name]))
    return described
