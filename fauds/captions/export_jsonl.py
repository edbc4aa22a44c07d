"""Exports captions as JSON Lines, one object per frame.

The text of the lines is put together column by column with Arrow; encoding the frames one by one
with `json` would take far longer.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fauds.captions.caption_tables import BuiltCaptions
from fauds.errors import UsageError
from fauds.facs import INTENSITIES, intensity_column
from fauds.tables.atomic import atomic, write_errors
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
"""The keys of the JSON object of each frame, in order."""

RowsDone = Callable[[int], None]
"""A progress function: it is called with the number of frames that were just written."""


def frame_columns(built: BuiltCaptions) -> list[str]:
    """Return the names of the frames table's columns that an export needs, except frame_id."""
    names = ["subject", "task", "sex", "frame", "image", *built.aus]
    return [*names, *map(intensity_column, built.graded)]


def write_jsonl(built: BuiltCaptions, path: Path, progress: RowsDone = lambda rows: None) -> None:
    """Write captions to a JSON Lines file; an error leaves no partial file.

    Args:
        built: the caption tables.
        path: the file to write; an earlier export at this path is replaced.
        progress: a function that is called whenever some frames were written, with their number.

    Raises:
        UsageError: `path` exists and is not an earlier export.
        DataError: the file cannot be written, or the frames and captions tables hold different
            frames.
    """
    with write_errors(path):
        _check_replaceable(path)
    path = path.resolve()
    with atomic(path) as temporary, temporary.open("wb") as file:
        stream_jsonl(built, file, progress)


def stream_jsonl(
    built: BuiltCaptions, file: BinaryIO, progress: RowsDone = lambda rows: None
) -> None:
    """Write captions to a stream as JSON Lines: one JSON object per frame and line.

    The lines are the same as those of `json.dumps(..., ensure_ascii=False)`.

    Args:
        built: the caption tables.
        file: the binary stream that the lines are written to, in UTF-8.
        progress: a function that is called whenever some frames were written, with their number.

    Raises:
        DataError: the frames and captions tables hold different frames.
    """
    for part in built.read(frame_columns(built), [*built.aus, "face"]):
        file.write(_bytes(_lines(built, part)))
        progress(len(part))


def _check_replaceable(path: Path) -> None:
    if not path.exists() or _is_export(path):
        return
    if not path.is_file() and not path.is_dir():
        raise UsageError(
            "The output path is not a regular file, so captions cannot be exported to it.",
            where=path,
            hint="choose a file with --out, or - for stdout",
        )
    raise UsageError(
        "The output file is not an export of captions, so fauds does not replace it.",
        where=path,
        hint="choose another file with --out, or remove this file yourself",
    )


def _is_export(path: Path) -> bool:
    """Return whether a path is an empty file, or a file of an earlier export of captions.

    The first line of an export is a JSON object with the keys `JSONL_KEYS`.
    """
    if not path.is_file():
        return False
    with path.open("rb") as file:
        # In other files the first line may be the whole file: read no more than 1 MiB of it.
        line = file.readline(1 << 20)
    try:
        return not line or tuple(json.loads(line)) == JSONL_KEYS
    except (ValueError, TypeError):
        return False


def _lines(built: BuiltCaptions, part: pa.Table) -> pa.Array:
    """Return the JSON lines of some frames as an Arrow array of strings that end with a newline.

    Args:
        built: the caption tables.
        part: a table of frames with their captions, from `BuiltCaptions.read`.
    """
    # JSON punctuation is part of the pieces next to it: each further piece costs time in every row.
    local = '}, "local": {' if built.graded else '}, "intensities": {}, "local": {'
    pieces = [
        _categories(part["subject"], f'{{"dataset": {_json(built.dataset)}, "subject": '),
        _categories(part["task"], ', "task": '),
        _categories(part["sex"], ', "sex": '),
        *_numbers(part["frame"], ', "frame": '),
        *_numbers(part["frame_id"], ', "frame_id": '),
        *_strings(part["image"], ', "image": '),
        *(
            _small_numbers(part[au], before, 1)
            for au, before in _key_prefixes(built.aus, ', "aus": {')
        ),
        *(
            _small_numbers(part[intensity_column(au)], before, len(INTENSITIES))
            for au, before in _key_prefixes(built.graded, '}, "intensities": {')
        ),
        *(
            _categories(part[f"{au}_text"], before)
            for au, before in _key_prefixes(built.aus, local)
        ),
        _categories(part["face_text"], '}, "global": ', "}\n"),
    ]
    return _joined(pieces)


def _key_prefixes(aus: Sequence[str], opening: str) -> list[tuple[str, str]]:
    """Return the name of each action unit with the JSON text that goes before its value.

    For AU01 and AU02 this is ``opening`` + ``"AU01": `` and then ``, "AU02": ``.
    """
    return [(au, f"{', ' if at else opening}{_json(au)}: ") for at, au in enumerate(aus)]


def _categories(column: pa.ChunkedArray, before: str, after: str = "") -> pa.Array:
    """Return each value of a dictionary column as JSON, between the texts `before` and `after`.

    Every distinct value is encoded only once. A null value becomes ``null``.
    """
    codes = _single_chunk(column)
    values = [*codes.dictionary.to_pylist(), None]
    texts = from_strings([before + _json(text) + after for text in values])
    null = from_numpy(np.array([len(texts) - 1]), pa.int32())[0]
    return texts.take(codes.indices.fill_null(null))


def _small_numbers(column: pa.ChunkedArray, before: str, most: int) -> pa.Array:
    """Return each value of a column of integers from 0 to `most` as JSON, after the text `before`.

    A null value becomes ``null``.
    """
    texts = from_strings([f"{before}{value}" for value in [*range(most + 1), "null"]])
    null = from_numpy(np.array([most + 1]), pa.int8())[0]
    return texts.take(_single_chunk(column).fill_null(null))


def _numbers(column: pa.ChunkedArray, before: str) -> list[Any]:
    return [from_strings([before])[0], _single_chunk(column).cast(pa.string())]


def _strings(column: pa.ChunkedArray, before: str) -> list[Any]:
    """Return texts and arrays which, joined row by row, are `before` and a string value as JSON."""
    values = _single_chunk(column)
    if values.null_count == len(values):
        return [from_strings([f"{before}null"])[0]]
    if values.null_count or pc.any(pc.match_substring_regex(values, r'["\\\x00-\x1f]')).as_py():
        return [from_strings([before + _json(value) for value in values.to_pylist()])]
    return [from_strings([f'{before}"'])[0], values, from_strings(['"'])[0]]


def _joined(pieces: Sequence[Any]) -> pa.Array:
    return pc.binary_join_element_wise(*pieces, from_strings([""])[0])


def _single_chunk(column: pa.ChunkedArray) -> pa.Array:
    # The tables of `BuiltCaptions.read` have one chunk or none.
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _bytes(lines: pa.Array) -> memoryview:
    """Return the bytes of all strings of an Arrow array, concatenated, without copying them."""
    _, ends, data = lines.buffers()
    begin, end = np.frombuffer(ends, np.int32)[[lines.offset, lines.offset + len(lines)]].tolist()
    return memoryview(data)[begin:end]


def _json(value: str | None) -> str:
    return json.dumps(value, ensure_ascii=False)
