"""Single lines of a large text file of numbers, found by an index of where lines begin."""

from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np

from fauds.errors import DataError

_CHUNK = 2**20


def read_lines(path: Path, lines: np.ndarray, count: int) -> np.ndarray:
    """Read some lines of a text file of numbers with blanks or tabs between them.

    Args:
        path: the file; of it only these lines, and an index of 8 bytes a line, are kept.
        lines: which, counted from 0, int64 [N], in any order.
        count: how many numbers each of them has.

    Returns:
        float64 [N, count].

    Raises:
        DataError: with file and line: another count of numbers, a word, or no such line.
    """
    try:
        status = path.stat()
        starts = _line_starts(path, status.st_mtime_ns, status.st_size)
        _check_there(path, lines, len(starts) - 1)
        with path.open("rb") as file:
            rows = [_cells(file, starts, line) for line in lines.tolist()]
    except OSError as error:
        raise DataError(f"{path.name} cannot be read: {error.strerror}.", where=path) from error
    for line, row in zip(lines.tolist(), rows, strict=True):
        if len(row) != count:
            raise _bad(path, line, f"The line has {len(row)} numbers, {count} are expected.")
    try:
        return np.array(rows, "S").astype(np.float64).reshape(-1, count)
    except ValueError:
        raise _first_word(path, lines.tolist(), rows) from None


@lru_cache(maxsize=8)
def _line_starts(path: Path, changed: int, size: int) -> np.ndarray:
    """Return where lines begin, and where the last one ends, int64 [lines + 1].

    A file that was changed has another time or size, and so another entry.
    """
    ends, done = [np.zeros(1, np.int64)], 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            ends.append(np.flatnonzero(np.frombuffer(chunk, np.uint8) == ord("\n")) + done + 1)
            done += len(chunk)
    starts = np.concatenate(ends)
    return starts if starts[-1] == done else np.append(starts, done)


def _check_there(path: Path, lines: np.ndarray, count: int) -> None:
    if len(lines) and lines.max() >= count:
        raise DataError(
            f"{path.name} has {count} lines; line {lines.max() + 1} is asked for.",
            where=path,
            hint="its list of images is longer: take both files from the same place",
        )


def _cells(file: BinaryIO, starts: np.ndarray, line: int) -> list[bytes]:
    file.seek(starts[line])
    return file.read(starts[line + 1] - starts[line]).split()


def _first_word(path: Path, lines: list[int], rows: list[list[bytes]]) -> DataError:
    for line, row in zip(lines, rows, strict=True):
        for cell in row:
            try:
                float(cell)
            except ValueError:
                word = cell[:40].decode(errors="replace")
                return _bad(path, line, f"The line holds {word!r}, which is not a number.")
    raise AssertionError("every cell is a number")


def _bad(path: Path, line: int, what: str) -> DataError:
    return DataError(what, where=f"{path}:{line + 1}", hint="copy the file again")
