"""Readers of the landmarks of single images, in the formats of RAF-DB, AffectNet and CSV tables.

All of these formats count pixels from 0: (0, 0) is the middle of the first pixel. Points are NaN
for images that have none.
"""

import csv
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from fauds.datasets.affectnet import COORDINATES, IMAGE_PATH
from fauds.datasets.labelled_images import image_key
from fauds.datasets.media_files import LandmarkFiles, Place
from fauds.datasets.npy_files import read_npy
from fauds.errors import DataError
from fauds.faces.text_lines import lines_of

_AGAIN = "copy or unpack the file again from the release"


def read_csv(files: LandmarkFiles, names: np.ndarray) -> np.ndarray:
    """Return the points in a table with a line per image and the columns x0, y0, x1, y1, ...

    Args:
        files: the table; a place is the index of a line, from 0, and line 0 is the header.
        names: the keys of the N images, str [N].

    Returns:
        The points, float64 [N, K, 2] with K = `files.points`.

    Raises:
        DataError: a cell is not a number, or a line is no longer that of its image; the error names
            the file and the line.
    """
    points = np.full((len(names), files.points, 2), np.nan)
    listed = {row: files.places[key] for row, key in enumerate(names) if key in files.places}
    lines = {row: line for row, line in listed.items() if isinstance(line, int)}
    wanted = [f"{axis}{k}" for k in range(files.points) for axis in "xy"]
    for row, (where, cells) in _cells(files.path, lines, ["source", *wanted]).items():
        _check_name(cells[0], str(names[row]), where)
        points[row] = _numbers(cells[1:], where).reshape(-1, 2)
    return points


def read_affectnet_csv(files: LandmarkFiles, names: np.ndarray) -> np.ndarray:
    """Return the points in AffectNet's lists, whose column facial_landmarks holds x;y;x;y...

    For arguments and errors see `read_csv`; a place is the name of a list and the index of a line.
    """
    points = np.full((len(names), files.points, 2), np.nan)
    by_list: dict[str, dict[int, int]] = {}
    for row, key in enumerate(names):
        place = files.places.get(key)
        if isinstance(place, tuple):
            by_list.setdefault(place[0], {})[row] = place[1]
    for name, lines in by_list.items():
        cells_of = _cells(files.path / name, lines, [IMAGE_PATH, COORDINATES])
        for row, (where, (image, text)) in cells_of.items():
            _check_name(os.path.splitext(image)[0], str(names[row]), where)
            values = _numbers(text.split(";"), where)
            if np.isfinite(values).any():
                points[row] = _shaped(values, files.points, where)
    return points


def read_affectnet_npy(files: LandmarkFiles, names: np.ndarray) -> np.ndarray:
    """Return the points in AffectNet's NumPy files, one for each image: x, y, x, y, ...

    For arguments and errors see `read_csv`; a place is the path of a file.
    """
    points = np.full((len(names), files.points, 2), np.nan)
    for row, key in enumerate(names):
        if key in files.places:
            path = files.path / str(files.places[key])
            values = read_npy(path)
            if values.dtype.kind not in "fiu":
                raise DataError("The file holds no numbers.", where=path, hint=_AGAIN)
            points[row] = _shaped(values.ravel().astype(np.float64), files.points, str(path))
    return points


def read_rafdb(files: LandmarkFiles, names: np.ndarray) -> np.ndarray:
    """Return the five points that RAF-DB's annotators set, float64 [N, 5, 2].

    They are the centres of the eyes, the tip of the nose and the corners of the mouth. For
    arguments and errors see `read_csv`; a place is the image's name without its suffix.
    """
    keys = [files.places.get(name) for name in names.tolist()]
    return _of_files(files.path, keys, "manual/{}_manu_attri.txt", _five_points, (5, 2))


def read_rafdb_boxes(files: LandmarkFiles, names: np.ndarray) -> np.ndarray:
    """Return RAF-DB's boxes of faces: left, top, right and bottom, float64 [N, 4].

    An image may have a box and no points. For arguments and errors see `read_rafdb`.
    """
    return _of_files(files.path, names.tolist(), "boundingbox/{}_boundingbox.txt", _box, (4,))


def _cells(
    path: Path, lines: Mapping[int, int], columns: Sequence[str]
) -> dict[int, tuple[str, list[str]]]:
    """Read some cells of a CSV file without reading the whole file into memory.

    Args:
        path: the file; no cell may hold a line break.
        lines: the indices of the lines to read, from 0, by any number; line 0 is the header.
        columns: the names of the columns.

    Returns:
        By the numbers in `lines`: the place of the line, for messages, and the cells of the columns
        in it; a cell that the line lacks is an empty text.
    """
    header, *rows = lines_of(path, np.array([0, *lines.values()], np.int64))
    names = [name.strip() for name in next(csv.reader([header.decode("utf-8-sig")]), [])]
    wanted = [names.index(name) for name in columns]
    cells_of = {}
    for (at, line), row in zip(lines.items(), rows, strict=True):
        cells = next(csv.reader([row.decode("utf-8", errors="replace")]), [])
        texts = [cells[column].strip() if column < len(cells) else "" for column in wanted]
        cells_of[at] = (f"{path}:{line + 1}", texts)
    return cells_of


def _check_name(name: str, key: str, where: str) -> None:
    if key not in (name, image_key(name)):
        raise DataError(
            f"This line is of the image {name!r}, but that of {key!r} was here before.",
            where=where,
            hint="the file has changed, or has empty lines, which must be removed: read the "
            "release again",
        )


def _of_files(
    folder: Path,
    names: Sequence[Place | None],
    pattern: str,
    parse: Callable[[str, str], np.ndarray],
    shape: tuple[int, ...],
) -> np.ndarray:
    """Return the values in a text file for each image, NaN where there is no file.

    Args:
        folder: the folder of the files.
        names: the images' names without their suffixes, [N]; None for an image without a file.
        pattern: the path of an image's file, relative to the folder; a name stands for ``{}``.
        parse: a function that returns the values in a text; it also gets the file's path.
        shape: the shape of the values in one file.
    """
    values = np.full((len(names), *shape), np.nan)
    for row, name in enumerate(names):
        if name is None:
            continue
        path = folder / pattern.format(name)
        text = _text(path)
        if text is not None:
            values[row] = parse(text, str(path))
    return values


def _text(path: Path) -> str | None:
    """Return the content of a text file; None if the file does not exist."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"The file cannot be read: {error.strerror}.", where=path) from error


def _five_points(text: str, where: str) -> np.ndarray:
    lines = text.splitlines()[:5]
    values = [_numbers(line.split(), f"{where}:{at}") for at, line in enumerate(lines, start=1)]
    if len(values) < 5 or any(len(value) != 2 for value in values):
        raise DataError(
            "The first five lines must hold x and y of a point each.", where=where, hint=_AGAIN
        )
    return np.stack(values)


def _box(text: str, where: str) -> np.ndarray:
    box = _numbers(text.split()[:4], where)
    if len(box) != 4 or not (box[2:] > box[:2]).all():
        raise DataError(
            "The file must hold a box: left, top, right and bottom.", where=where, hint=_AGAIN
        )
    return box


def _numbers(cells: list[str], where: str) -> np.ndarray:
    """Return texts as numbers, float64, NaN for an empty text."""
    try:
        return np.array([float(cell) if cell.strip() else np.nan for cell in cells])
    except ValueError:
        wrong = next(cell for cell in cells if not _is_number(cell))
        raise DataError(
            f"{wrong[:40]!r} is not a number.", where=where, hint="copy the file again"
        ) from None


def _is_number(cell: str) -> bool:
    try:
        float(cell or "nan")
    except ValueError:
        return False
    return True


def _shaped(values: np.ndarray, points: int, where: str) -> np.ndarray:
    if len(values) != 2 * points:
        raise DataError(
            f"There are {len(values)} coordinates; {points} points with x and y are expected.",
            where=where,
            hint=_AGAIN,
        )
    return values.reshape(points, 2)
