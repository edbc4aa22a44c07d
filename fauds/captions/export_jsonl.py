"""Captions as JSON Lines: one object a frame, written in columns, never row by row."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fauds.captions.caption_tables import Built
from fauds.errors import UsageError
from fauds.facs import INTENSITIES, intensity_column
from fauds.tables.atomic import atomic, writing
from fauds.tables.columns import from_numpy, from_strings

JSONL_KEYS = (
    "dataset",
    "subject",
    "task",
    "sex",
    "frame",
    "frame_id",
    "image",
    "aus",
    "intensities",
    "local",
    "global",
)
"""The keys of an object, in order."""

RowsDone = Callable[[int], None]
"""Called with the number of frames that were written."""


def frame_columns(built: Built) -> list[str]:
    """Return the columns of frames that an export needs, beside frame_id."""
    names = ["subject", "task", "sex", "frame", "image", *built.aus]
    return [*names, *map(intensity_column, built.graded)]


def write_jsonl(built: Built, path: Path, progress: RowsDone = lambda rows: None) -> None:
    """Write captions.jsonl, whole or not at all.

    Args:
        built: the tables.
        path: where; an earlier export of fauds there is replaced.
        progress: told of the frames written.

    Raises:
        UsageError: there is something else at that path.
        DataError: the file system refuses, or the tables do not fit together.
    """
    with writing(path):
        _refuse_others(path)
    path = path.resolve()
    with atomic(path) as temporary, temporary.open("wb") as file:
        stream_jsonl(built, file, progress)


def stream_jsonl(built: Built, file: BinaryIO, progress: RowsDone = lambda rows: None) -> None:
    """Write one JSON object a line and frame, as `json.dumps(..., ensure_ascii=False)` does.

    Args:
        built: the tables.
        file: where to; UTF-8.
        progress: told of the frames written.

    Raises:
        DataError: the tables do not fit together.
    """
    for part in built.read(frame_columns(built), [*built.aus, "face"]):
        file.write(_bytes(_lines(built, part)))
        progress(len(part))


def _refuse_others(path: Path) -> None:
    if not path.exists() or _is_ours(path):
        return
    if not path.is_file() and not path.is_dir():
        raise UsageError(
            "What is there is not a file that an export can take the place of.",
            where=path,
            hint="name a file with --out, or - for stdout",
        )
    raise UsageError(
        "What is there is not an export of captions: it is left as it is.",
        where=path,
        hint="name another file with --out, or remove this one yourself",
    )


def _is_ours(path: Path) -> bool:
    """Whether a file is empty, or begins with an object that has an export's keys."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        # The first line of any other file may be all of it.
        line = file.readline(1 << 20)
    try:
        return not line or tuple(json.loads(line)) == JSONL_KEYS
    except (ValueError, TypeError):
        return False


def _lines(built: Built, part: pa.Table) -> pa.Array:
    """Return the lines of some frames, each with its line end."""
    # Punctuation is part of the pieces beside it: every further piece costs time for every row.
    local = '}, "local": {' if built.graded else '}, "intensities": {}, "local": {'
    pieces = [
        _categories(part["subject"], f'{{"dataset": {_json(built.dataset)}, "subject": '),
        _categories(part["task"], ', "task": '),
        _categories(part["sex"], ', "sex": '),
        *_numbers(part["frame"], ', "frame": '),
        *_numbers(part["frame_id"], ', "frame_id": '),
        *_strings(part["image"], ', "image": '),
        *(_small(part[au], before, 1) for au, before in _keys(built.aus, ', "aus": {')),
        *(
            _small(part[intensity_column(au)], before, len(INTENSITIES))
            for au, before in _keys(built.graded, '}, "intensities": {')
        ),
        *(_categories(part[f"{au}_text"], before) for au, before in _keys(built.aus, local)),
        _categories(part["face_text"], '}, "global": ', "}\n"),
    ]
    return _joined(pieces)


def _keys(aus: Sequence[str], opening: str) -> list[tuple[str, str]]:
    """Return what stands before each value of an object by action unit."""
    return [(au, f"{', ' if at else opening}{_json(au)}: ") for at, au in enumerate(aus)]


def _categories(column: pa.ChunkedArray, before: str, after: str = "") -> pa.Array:
    """Return a dictionary column's values as JSON; each distinct value is encoded once."""
    codes = _one(column)
    values = [*codes.dictionary.to_pylist(), None]
    said = from_strings([before + _json(text) + after for text in values])
    null = from_numpy(np.array([len(said) - 1]), pa.int32())[0]
    return said.take(codes.indices.fill_null(null))


def _small(column: pa.ChunkedArray, before: str, most: int) -> pa.Array:
    """Return a column of integers from 0 to `most` as JSON."""
    said = from_strings([f"{before}{value}" for value in [*range(most + 1), "null"]])
    null = from_numpy(np.array([most + 1]), pa.int8())[0]
    return said.take(_one(column).fill_null(null))


def _numbers(column: pa.ChunkedArray, before: str) -> list[Any]:
    return [from_strings([before])[0], _one(column).cast(pa.string())]


def _strings(column: pa.ChunkedArray, before: str) -> list[Any]:
    """Return a string column as JSON."""
    values = _one(column)
    if values.null_count == len(values):
        return [from_strings([f"{before}null"])[0]]
    if values.null_count or pc.any(pc.match_substring_regex(values, r'["\\\x00-\x1f]')).as_py():
        return [from_strings([before + _json(value) for value in values.to_pylist()])]
    return [from_strings([f'{before}"'])[0], values, from_strings(['"'])[0]]


def _joined(pieces: Sequence[Any]) -> pa.Array:
    return pc.binary_join_element_wise(*pieces, from_strings([""])[0])


def _one(column: pa.ChunkedArray) -> pa.Array:
    # `Built.read` gives one chunk, or none.
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _bytes(lines: pa.Array) -> memoryview:
    """Return the text of all values, one after the other, without a copy."""
    _, ends, data = lines.buffers()
    begin, end = np.frombuffer(ends, np.int32)[[lines.offset, lines.offset + len(lines)]].tolist()
    return memoryview(data)[begin:end]


def _json(value: str | None) -> str:
    return json.dumps(value, ensure_ascii=False)
