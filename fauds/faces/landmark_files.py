"""Readers of the landmark files that are shipped with datasets, for the frames of one sequence.

The file formats of BP4D, DISFA and JAA-Net count pixels from 1, as MATLAB does; in the returned
landmarks, pixels are counted from 0. `fauds.faces.image_landmarks` reads the landmarks of single
images.
"""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from fauds.datasets import git_lfs
from fauds.datasets.media_files import LandmarkFiles
from fauds.errors import DataError
from fauds.faces import image_landmarks, matlab
from fauds.faces.landmarks import Marks, marks
from fauds.faces.text_lines import lines_of


def read_lines(path: Path, lines: np.ndarray, count: int) -> np.ndarray:
    """Read the numbers in some lines of a text file, separated by blanks or tabs.

    Memory holds only these lines, and an index with 8 bytes for each line of the file.

    Args:
        path: the file.
        lines: the line numbers to read, counted from 0, int64 [N], in any order.
        count: how many numbers each of these lines must hold.

    Returns:
        The numbers, float64 [N, count].

    Raises:
        DataError: the file cannot be read, or a line does not exist, does not hold `count`
            numbers, or holds a word that is not a number. The error names the file, and the line
            where one is wrong.
    """
    rows = [line.split() for line in lines_of(path, lines)]
    for line, row in zip(lines.tolist(), rows, strict=True):
        if len(row) != count:
            raise _bad(path, line, f"The line has {len(row)} numbers, not {count}.")
    try:
        return np.array(rows, "S").astype(np.float64).reshape(-1, count)
    except ValueError:
        raise _first_word(path, lines.tolist(), rows) from None


def _first_word(path: Path, lines: list[int], rows: list[list[bytes]]) -> DataError:
    """Return the error about the first word, in some lines of a text file, that is not a number.

    Args:
        path: the file.
        lines: the numbers of these lines, counted from 0.
        rows: the words of each of these lines.
    """
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


_AGAIN = "copy or unpack the file again from the release"
_BP4D_POINTS, _DISFA_POINTS = 49, 66
_HDF5 = b"\x89HDF\r\n\x1a\n"


def read(files: LandmarkFiles, frames: np.ndarray) -> np.ndarray:
    """Read the landmarks of some frames of a sequence.

    Args:
        files: the landmark files of the sequence.
        frames: the numbers of the frames, as in the label files, int [N]; or their keys, str [N].

    Returns:
        The landmarks, float32 [N, K, 2] with K = `files.points`: x and y in pixels, where (0, 0)
        is the middle of the first pixel. The landmarks of a frame are NaN if the files do not
        list the frame, if its entry is empty, if all its coordinates are zero, or if one of its
        coordinates is NaN.

    Raises:
        DataError: a file cannot be read, or its content is not as expected. The error names the
            file, and the frame or line.
    """
    points = _READERS[files.form](files, np.asarray(frames))
    base = 1 if files.form in _COUNTED_FROM_1 else 0
    with np.errstate(over="ignore"):
        pixels = (points - base).astype(np.float32)
    known = np.isfinite(pixels).all((1, 2)) & points.any((1, 2))
    pixels[~known] = np.nan
    return pixels


def read_marks(files: LandmarkFiles, frames: np.ndarray) -> Marks:
    """Read the eye centres, landmarks and boxes of the faces in some frames of a sequence.

    Of RAF-DB's own annotations, which have five points, the eye centres and the boxes are known.
    See `read` for the arguments and errors.
    """
    points = read(files, frames)
    if files.form != "rafdb-text":
        return marks(points)
    # The eyes are ordered by x, whichever the annotator set first.
    order = np.argsort(points[:, :2, 0], axis=1)
    eyes = np.take_along_axis(points[:, :2].astype(np.float64), order[..., None], axis=1)
    boxes = image_landmarks.read_rafdb_boxes(files, frames)
    return Marks(eyes, np.full((len(points), 68, 2), np.nan), boxes)


def _read_bp4d(files: LandmarkFiles, frames: np.ndarray) -> np.ndarray:
    points = np.full((len(frames), _BP4D_POINTS, 2), np.nan)
    _check_is_hdf5(files.path)
    try:
        # Read-only network drives often refuse locks, and the file is only read.
        with h5py.File(files.path, "r", locking=False) as file:
            references = _references(file, files.path)
            tracked = np.flatnonzero((frames >= 1) & (frames <= len(references)))
            for row in tracked.tolist():
                frame = int(frames[row])
                entry = _entry(file, references[frame - 1], files.path, frame)
                if entry is not None:
                    points[row] = entry
    # Which of these h5py raises for a damaged file depends on where the damage is.
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise _damaged(files.path, error) from error
    return points


def _references(file: h5py.File, path: Path) -> np.ndarray:
    """Return the HDF5 references in ``fit/pred`` of a BP4D landmark file, one per frame, [N]."""
    entries = file.get("fit/pred")
    if not isinstance(entries, h5py.Dataset) or h5py.check_ref_dtype(entries.dtype) is None:
        raise DataError(
            f"{path.name} does not hold BP4D's landmarks: it has no references fit/pred.",
            where=path,
            hint=_AGAIN,
        )
    references: np.ndarray = entries[()].ravel()
    return references


def _entry(file: h5py.File, reference: h5py.Reference, path: Path, frame: int) -> np.ndarray | None:
    """Return the landmarks of a frame in a BP4D landmark file, [49, 2].

    None if the entry of the frame is empty, because the tracker found no face.

    Args:
        file: the open file.
        reference: the HDF5 reference to the entry of the frame.
        path: the path of the file, for error messages.
        frame: the number of the frame, for error messages.
    """
    if not reference:
        return None
    entry = file[reference]
    if not isinstance(entry, h5py.Dataset) or entry.dtype.kind not in "fiu":
        raise DataError(
            f"The entry of frame {frame} in {path.name} does not hold numbers.",
            where=path,
            hint=_AGAIN,
        )
    if entry.shape in ((2, _BP4D_POINTS), (_BP4D_POINTS, 2)):
        points: np.ndarray = entry[()]
        return points.T if len(points) == 2 else points
    # MATLAB stores the shape of an empty array as its data and marks it by an attribute, which
    # other programs omit.
    shape_only = entry.dtype.kind == "u" and entry.shape == (2,) and not entry[()].all()
    if entry.size == 0 or "MATLAB_empty" in entry.attrs or shape_only:
        return None
    raise DataError(
        f"The landmarks of frame {frame} have the shape {entry.shape}, but BP4D has 49 points with "
        "x and y.",
        where=path,
        hint=_AGAIN,
    )


def _check_is_hdf5(path: Path) -> None:
    try:
        with path.open("rb") as file:
            head = file.read(200)
            start = head[:10]
    except OSError as error:
        raise _damaged(path, error) from error
    if not start:
        raise DataError(f"{path.name} is empty.", where=path, hint=_AGAIN)
    if git_lfs.is_pointer(head):
        raise git_lfs.pointer_error(path)
    if start == b"MATLAB 5.0":
        raise DataError(
            f"{path.name} is a MATLAB file of the old version 5, but BP4D's landmark files have "
            "version 7.3 (HDF5).",
            where=path,
            hint="use BP4D's own file, or save it with save(name, 'fit', '-v7.3')",
        )
    if not h5py.is_hdf5(path):
        raise DataError(
            f"{path.name} is not a MATLAB file of version 7.3 (HDF5).", where=path, hint=_AGAIN
        )


def _read_disfa(files: LandmarkFiles, frames: np.ndarray) -> np.ndarray:
    points = np.full((len(frames), _DISFA_POINTS, 2), np.nan)
    for row, frame in enumerate(frames.tolist()):
        if frame in files.places:
            points[row] = _read_points(files.path / str(files.places[frame]))
    return points


def _read_points(path: Path) -> np.ndarray | float:
    """Return the landmarks in a DISFA landmark file, [66, 2], or NaN if the file does not exist."""
    try:
        data = path.read_bytes()
        _check_is_version_5(path, data)
        points = matlab.read_matrix(data, "pts")
    except FileNotFoundError:
        return np.nan
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from error
    if points is None:
        raise DataError(
            f"{path.name} does not hold DISFA's landmarks: it has no matrix pts.",
            where=path,
            hint=_AGAIN,
        )
    if points.shape != (_DISFA_POINTS, 2):
        raise DataError(
            f"The matrix pts in {path.name} has the shape {points.shape}, but DISFA has 66 points "
            "with x and y.",
            where=path,
            hint=_AGAIN,
        )
    return points


def _check_is_version_5(path: Path, data: bytes) -> None:
    """Raise DataError if a landmark file is empty, or in MATLAB's format 7.3 instead of 5."""
    if not data:
        raise DataError(f"{path.name} is empty.", where=path, hint=_AGAIN)
    if git_lfs.is_pointer(data):
        raise git_lfs.pointer_error(path)
    # HDF5 data begin after MATLAB's header, or at the first byte if another program wrote them.
    if data.startswith((b"MATLAB 7.3", _HDF5)) or data[512:].startswith(_HDF5):
        raise DataError(
            f"{path.name} is a MATLAB file of version 7.3 (HDF5), but DISFA's landmark files have "
            "the old version 5.",
            where=path,
            hint="use DISFA's own file, or save it with save(name, 'pts', '-v7')",
        )


def _read_text(files: LandmarkFiles, frames: np.ndarray) -> np.ndarray:
    points = np.full((len(frames), files.points, 2), np.nan)
    places = [files.places.get(frame, -1) for frame in frames.tolist()]
    lines = np.array(places, np.int64)
    listed = lines >= 0
    numbers = read_lines(files.path, lines[listed], files.points * 2)
    points[listed] = numbers.reshape(-1, files.points, 2)
    return points


def _damaged(path: Path, error: Exception) -> DataError:
    reason = getattr(error, "strerror", None) or next(iter(str(error).splitlines()), "")
    return DataError(
        f"{path.name} cannot be read: {reason or type(error).__name__}.",
        where=path,
        hint=_AGAIN,
    )


_COUNTED_FROM_1 = ("bp4d-mat", "disfa-mat", "jaa-text")
_READERS: dict[str, Callable[[LandmarkFiles, np.ndarray], np.ndarray]] = {
    "bp4d-mat": _read_bp4d,
    "disfa-mat": _read_disfa,
    "jaa-text": _read_text,
    "csv": image_landmarks.read_csv,
    "affectnet-csv": image_landmarks.read_affectnet_csv,
    "affectnet-npy": image_landmarks.read_affectnet_npy,
    "rafdb-text": image_landmarks.read_rafdb,
}
