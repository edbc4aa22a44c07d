"""predictions.parquet of a fold: keys, fold, a score a name, and texts where there are any."""

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
        frames: subject, task, frame and frame_id of the N frames, and key where they have one.
        names: of the scores.
        scores: float32 [N, A].
        meta: of the table.
        texts: column (``AU01_text``, ``face_text``) to texts, null where not described.
        intensities: AU to predicted intensities, 0 to 5, [N].
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
    """Return the columns of scores, float32 [N, A]."""
    return np.stack([table[name].to_numpy() for name in names], axis=1)


def text_columns(table: pa.Table) -> list[str]:
    """Return the names of the columns of generated texts."""
    return [name for name in table.schema.names if name.endswith("_text")]


def is_described(table: pa.Table) -> pa.ChunkedArray:
    """Return which frames have any description, bool [N]; there must be columns of them."""
    first, *rest = text_columns(table)
    written = pc.is_valid(table[first])
    for name in rest:
        written = pc.or_(written, pc.is_valid(table[name]))
    return written
