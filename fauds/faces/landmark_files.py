"""Landmarks that distributions hold, read for the frames of one sequence.

All three forms count pixels from 1, as MATLAB does; what is returned counts from 0.
"""

from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import h5py
import numpy as np

from fauds.datasets.media_files import LandmarkFiles
from fauds.errors import DataError
from fauds.faces import matlab

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


_AGAIN = "copy or unpack it again from the distribution"
_BP4D_POINTS, _DISFA_POINTS = 49, 66
_HDF5 = b"\x89HDF\r\n\x1a\n"


def read(files: LandmarkFiles, frames: np.ndarray) -> np.ndarray:
    """Read the landmarks of frames.

    Args:
        files: where they lie.
        frames: label frame numbers, int [N].

    Returns:
        float32 [N, K, 2] with K = `files.points`, x and y in pixels, (0, 0) the middle of the
        first pixel; NaN for a frame that has none: not listed, an empty entry, or one that is
        zero throughout or has a point that is not a number.

    Raises:
        DataError: a file cannot be read or holds something else; with file, and frame or line.
    """
    read_form = {"bp4d-mat": _read_bp4d, "disfa-mat": _read_disfa, "jaa-text": _read_text}
    found = read_form[files.form](files, np.asarray(frames))
    with np.errstate(over="ignore"):
        pixels = (found - 1).astype(np.float32)
    known = np.isfinite(pixels).all((1, 2)) & found.any((1, 2))
    pixels[~known] = np.nan
    return pixels


def _read_bp4d(files: LandmarkFiles, frames: np.ndarray) -> np.ndarray:
    found = np.full((len(frames), _BP4D_POINTS, 2), np.nan)
    _check_is_hdf5(files.path)
    try:
        # Read-only network drives often refuse locks, and nobody writes here.
        with h5py.File(files.path, "r", locking=False) as file:
            references = _references(file, files.path)
            inside = np.flatnonzero((frames >= 1) & (frames <= len(references)))
            for row in inside.tolist():
                frame = int(frames[row])
                points = _entry(file, references[frame - 1], files.path, frame)
                if points is not None:
                    found[row] = points
    # h5py tells of damage by whichever of these its place in the file leads to.
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise _damaged(files.path, error) from error
    return found


def _references(file: h5py.File, path: Path) -> np.ndarray:
    """Return the references to the entries of all frames, [N]."""
    entries = file.get("fit/pred")
    if not isinstance(entries, h5py.Dataset) or h5py.check_ref_dtype(entries.dtype) is None:
        raise DataError(
            f"{path.name} holds no references named fit/pred, BP4D's tracked points.",
            where=path,
            hint=_AGAIN,
        )
    references: np.ndarray = entries[()].ravel()
    return references


def _entry(file: h5py.File, reference: h5py.Reference, path: Path, frame: int) -> np.ndarray | None:
    """Return the points of a frame, [49, 2], or None where the tracker found no face."""
    if not reference:
        return None
    entry = file[reference]
    if not isinstance(entry, h5py.Dataset) or entry.dtype.kind not in "fiu":
        raise DataError(f"The entry of frame {frame} holds no numbers.", where=path, hint=_AGAIN)
    if entry.shape in ((2, _BP4D_POINTS), (_BP4D_POINTS, 2)):
        points: np.ndarray = entry[()]
        return points.T if len(points) == 2 else points
    # MATLAB writes an empty array as its size, and says so in an attribute.
    if entry.size == 0 or "MATLAB_empty" in entry.attrs:
        return None
    raise DataError(
        f"The points of frame {frame} have the shape {entry.shape}; 49 points with x and y are "
        "expected.",
        where=path,
        hint=_AGAIN,
    )


def _check_is_hdf5(path: Path) -> None:
    try:
        with path.open("rb") as file:
            start = file.read(10)
    except OSError as error:
        raise _damaged(path, error) from error
    if not start:
        raise DataError(f"{path.name} is empty.", where=path, hint=_AGAIN)
    if start == b"MATLAB 5.0":
        raise DataError(
            f"{path.name} is an older MATLAB file (version 5), not MATLAB v7.3 (HDF5).",
            where=path,
            hint="take BP4D's own file, or write it with save(name, 'fit', '-v7.3')",
        )
    if not h5py.is_hdf5(path):
        raise DataError(f"{path.name} is not MATLAB v7.3 (HDF5).", where=path, hint=_AGAIN)


def _read_disfa(files: LandmarkFiles, frames: np.ndarray) -> np.ndarray:
    found = np.full((len(frames), _DISFA_POINTS, 2), np.nan)
    for row, frame in enumerate(frames.tolist()):
        if frame in files.places:
            found[row] = _read_points(files.path / str(files.places[frame]))
    return found


def _read_points(path: Path) -> np.ndarray | float:
    """Return the points of one file, [66, 2], or NaN where there is no such file."""
    try:
        data = path.read_bytes()
        _check_is_version_5(path, data)
        points = matlab.read_matrix(data, "pts")
    except FileNotFoundError:
        return np.nan
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from error
    if points is None:
        raise DataError(f"{path.name} holds no pts, DISFA's points.", where=path, hint=_AGAIN)
    if points.shape != (_DISFA_POINTS, 2):
        raise DataError(
            f"pts in {path.name} has the shape {points.shape}; 66 points with x and y are "
            "expected.",
            where=path,
            hint=_AGAIN,
        )
    return points


def _check_is_version_5(path: Path, data: bytes) -> None:
    """Say what a file is that is none of version 5, where that is plain."""
    if not data:
        raise DataError(f"{path.name} is empty.", where=path, hint=_AGAIN)
    # HDF5 begins behind MATLAB's own header, or at once where another program wrote it.
    if data.startswith((b"MATLAB 7.3", _HDF5)) or data[512:].startswith(_HDF5):
        raise DataError(
            f"{path.name} is MATLAB v7.3 (HDF5), not an older MATLAB file (version 5).",
            where=path,
            hint="take DISFA's own file, or write it with save(name, 'pts', '-v7')",
        )


def _read_text(files: LandmarkFiles, frames: np.ndarray) -> np.ndarray:
    found = np.full((len(frames), files.points, 2), np.nan)
    places = [files.places.get(frame, -1) for frame in frames.tolist()]
    lines = np.array(places, np.int64)
    listed = lines >= 0
    numbers = read_lines(files.path, lines[listed], files.points * 2)
    found[listed] = numbers.reshape(-1, files.points, 2)
    return found


def _damaged(path: Path, error: Exception) -> DataError:
    reason = getattr(error, "strerror", None) or next(iter(str(error).splitlines()), "")
    return DataError(
        f"{path.name} cannot be read (cut off or damaged?): {reason or type(error).__name__}.",
        where=path,
        hint=_AGAIN,
    )
