"""Reading of some lines of a large text file, without reading the whole file into memory."""

from functools import lru_cache
from pathlib import Path

import numpy as np

from fauds.errors import DataError

_AGAIN = "copy or unpack the file again from the release"
_CHANGED = "the file is cut off or has changed: copy it again, and run fauds prepare with --root"
_CHUNK = 2**20


def lines_of(path: Path, lines: np.ndarray) -> list[bytes]:
    """Return some lines of a text file, with their line breaks.

    Only these lines, and an index with 8 bytes for each line of the file, are kept in memory.

    Args:
        path: the file.
        lines: the line numbers to read, counted from 0, int64 [N], in any order.

    Raises:
        DataError: the file cannot be read or has fewer lines.
    """
    try:
        status = path.stat()
        starts = _line_starts(path, status.st_mtime_ns, status.st_size)
        if len(lines) and lines.max() >= len(starts) - 1:
            raise DataError(
                f"{path.name} has only {len(starts) - 1} lines, and line {lines.max() + 1} is "
                "needed.",
                where=path,
                hint=_CHANGED,
            )
        with path.open("rb") as file:
            wanted = []
            for line in lines.tolist():
                file.seek(starts[line])
                wanted.append(file.read(starts[line + 1] - starts[line]))
            return wanted
    except OSError as error:
        raise DataError(
            f"{path.name} cannot be read: {error.strerror}.", where=path, hint=_AGAIN
        ) from error


@lru_cache(maxsize=8)
def _line_starts(path: Path, changed: int, size: int) -> np.ndarray:
    """Return the byte offset of each line of a file, and of the file's end, int64 [lines + 1].

    Results are cached: a file that was changed has another modification time or size.

    Args:
        path: the file.
        changed: the modification time of the file in nanoseconds.
        size: the size of the file in bytes.
    """
    ends, done = [np.zeros(1, np.int64)], 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            ends.append(np.flatnonzero(np.frombuffer(chunk, np.uint8) == ord("\n")) + done + 1)
            done += len(chunk)
    starts = np.concatenate(ends)
    return starts if starts[-1] == done else np.append(starts, done)
