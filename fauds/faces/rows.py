"""What became of frames, as arrays in a worker and as rows of faces.parquet."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from fauds import schemas
from fauds.columns import category, from_numpy, from_strings, to_numpy
from fauds.faces import quality
from fauds.faces.landmarks import Marks

STATUSES = (
    "aligned",
    "neighbours",
    "detected",
    "no landmarks",
    "no face",
    "no picture",
    "unreadable",
    "excluded",
)
"""A frame has a crop by its landmarks, by those of the frames around it, or by a detector's; or
it has none: no (usable) landmarks, no face found by the detector, no picture, a picture that
cannot be read, or not in the list of frames that was asked for."""

(
    ALIGNED,
    NEIGHBOURS,
    DETECTED,
    NO_LANDMARKS,
    NO_FACE,
    NO_PICTURE,
    UNREADABLE,
    EXCLUDED,
) = range(len(STATUSES))

CROPPED = STATUSES[: DETECTED + 1]


class CropRows:
    """What is known of the N frames of a part; filled in while they are worked on.

    Attributes:
        status: int32 [N], positions in `STATUSES`. That of a frame whose picture has not been
            reached says what it will be if there is one.
        marks: of the frames' faces.
        transforms: float64 [N, 2, 3].
        sizes: width and height of the pictures, int64 [N, 2].
    """

    def __init__(self, status: np.ndarray, marks: Marks, transforms: np.ndarray) -> None:
        self.status = status
        self.marks = marks
        self.transforms = transforms
        self.sizes = np.zeros((len(status), 2), np.int64)

    def put_face(self, row: int, marks: Marks, transform: np.ndarray) -> None:
        """Enter the one face of `marks` that a detector found."""
        self.marks.eyes[row] = marks.eyes[0]
        self.marks.points[row] = marks.points[0]
        self.marks.boxes[row] = marks.boxes[0]
        self.transforms[row] = transform

    def table(self, paths: Sequence[str | None], origins: Sequence[str]) -> pa.Table:
        """Return rows of faces.parquet without ``frame_id`` and ``jump``.

        Args:
            paths: of the frames' crops, relative to the dataset's folder; None where there is none.
            origins: where landmarks come from, by status "aligned", "neighbours", "detected".
        """
        marks, status = self.marks, self.status
        lost = status > DETECTED
        without = lost | ~np.isfinite(marks.eyes).all((1, 2))
        eyes = marks.eyes.reshape(-1, 4)
        origin = np.where(without & np.isnan(marks.boxes).any(1), -1, status)
        return pa.table(
            {
                "path": _strings(paths),
                "status": category(status, STATUSES),
                "transform": _fixed(self.transforms.reshape(-1, 6), pa.float64(), lost),
                "inter_ocular": from_numpy(quality.inter_ocular(marks), pa.float32(), without),
                "eyes": _fixed(eyes, pa.float32(), without),
                "landmarks": category(np.where(lost, -1, origin), origins),
                "outside": _flags(quality.outside(marks, self.sizes), lost),
                "eyes_crossed": _flags(quality.eyes_crossed(marks), lost),
            }
        )


def finished(parts: Sequence[pa.Table], ids: pa.ChunkedArray, frames: np.ndarray) -> pa.Table:
    """Return the rows of a whole sequence as faces.parquet has them.

    Args:
        parts: as `CropRows.table` makes them, in order.
        ids: the frame_id of every row.
        frames: label frame numbers, int [N].
    """
    table = pa.concat_tables(parts).combine_chunks()
    known = _bits(table["eyes"].is_valid().combine_chunks())
    eyes = np.full((len(table), 4), np.nan)
    eyes[known] = to_numpy(pa.chunked_array([table["eyes"].combine_chunks().flatten()])).reshape(
        -1, 4
    )
    marks = Marks(eyes.reshape(-1, 2, 2), np.empty(0), np.empty(0))
    lost = _bits(table["path"].is_null().combine_chunks())
    columns: dict[str, Any] = {name: table[name] for name in table.column_names}
    columns |= {"frame_id": ids, "jump": _flags(quality.jump(marks, frames), lost)}
    schema = schemas.faces_schema()
    return pa.table({name: columns[name] for name in schema.names}, schema)


def _fixed(values: np.ndarray, kind: pa.DataType, null: np.ndarray) -> pa.Array:
    """Return rows [N, K] as a column of lists of K."""
    values = np.where(null[:, None], 0, values)
    flat = from_numpy(values.ravel(), kind)
    layout = pa.list_(kind, values.shape[1])
    return pa.Array.from_buffers(layout, len(values), [_packed(~null)], children=[flat])


def _flags(values: np.ndarray, null: np.ndarray) -> pa.Array:
    return pa.Array.from_buffers(pa.bool_(), len(values), [_packed(~null), _packed(values & ~null)])


def _packed(values: np.ndarray) -> pa.Buffer:
    return pa.py_buffer(np.packbits(values, bitorder="little"))


def _strings(values: Sequence[str | None]) -> pa.Array:
    there = np.array([value is not None for value in values], bool)
    places = from_numpy(np.cumsum(there) - 1, pa.int64(), ~there)
    return from_strings([value for value in values if value is not None]).take(places)


def _bits(column: pa.Array) -> np.ndarray:
    """Return truth values without nulls as bool [N]."""
    return to_numpy(pa.chunked_array([column.cast(pa.uint8())])).astype(bool)
