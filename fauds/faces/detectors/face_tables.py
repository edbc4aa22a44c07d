"""Detectors that read each frame's landmarks or boxes from CSV files that other programs wrote."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from fauds.datasets.labelled_images import image_key
from fauds.datasets.subjects import abbreviated
from fauds.errors import DataError, UsageError
from fauds.faces.base import GIVES, Face, Position
from fauds.faces.landmarks import POINTS, marks
from fauds.tables.columns import to_numpy
from fauds.tables.delimited import ColumnFile, open_columns, stacked_numbers, trimmed_texts


@dataclass(frozen=True, eq=False)
class DetectedFaces:
    """N faces that were read from a CSV file, as arrays with a row for each face, in pixels.

    Attributes:
        boxes: left, top, right and bottom of the boxes, [N, 4]; NaN for an unknown box.
        landmarks: the points, float32 [N, K, 2]; None if only boxes are known.
        eyes: the eye centres, [N, 2, 2]; NaN if they are unknown.
        scores: the detector's confidence in each face, [N], 0 to 1.
    """

    boxes: np.ndarray
    landmarks: np.ndarray | None
    eyes: np.ndarray
    scores: np.ndarray

    def face(self, row: int) -> Face:
        """Return the face in a row of these arrays, counted from 0."""
        left, top, right, bottom = self.boxes[row].tolist()
        return Face(
            (left, top, right, bottom),
            None if self.landmarks is None else self.landmarks[row],
            self.eyes[row].astype(np.float32),
            score=float(self.scores[row]),
        )


def complete(
    file: ColumnFile, landmarks: np.ndarray | None, boxes: np.ndarray | None
) -> np.ndarray:
    """Return which rows of a CSV file have a face, bool [N].

    Args:
        file: the CSV file, for error messages.
        landmarks: the points of every row, [N, K, 2]; None if the file has none.
        boxes: the box of every row, [N, 4]; None if the file has none.

    Raises:
        DataError: some but not all coordinates of a row are missing, or a box has no width or
            height.
    """
    parts = [part.reshape(len(part), -1) for part in (landmarks, boxes) if part is not None]
    finite = np.isfinite(np.concatenate(parts, axis=1))
    incomplete = np.flatnonzero(finite.any(1) & ~finite.all(1))
    if len(incomplete):
        raise file.error(
            "Some of the face's coordinates are missing.",
            int(incomplete[0]),
            "fill in all of them, or leave all of them empty if no face was found",
        )
    has_face: np.ndarray = finite.all(1)
    if boxes is not None:
        empty = np.flatnonzero(has_face & ~(boxes[:, 2:] > boxes[:, :2]).all(1))
        if len(empty):
            raise file.error(
                "The box has no width or no height.",
                int(empty[0]),
                "right must be larger than left, and bottom must be larger than top",
            )
    return has_face


def paired(numbers: np.ndarray) -> np.ndarray:
    """Return points, [N, K, 2], from a table whose columns are x, y, x, y, ..., [N, 2 K]."""
    return numbers.reshape(len(numbers), -1, 2)


def faces_of(
    landmarks: np.ndarray | None, boxes: np.ndarray | None, scores: np.ndarray | None = None
) -> DetectedFaces:
    """Return faces from their landmarks, their boxes, or both.

    Args:
        landmarks: the points, [N, K, 2] with K = 49, 66 or 68. If None, the eye centres are
            unknown (NaN).
        boxes: the boxes, [N, 4]. If None, the bounding boxes of the landmarks are used; with 49
            landmarks, which lack the jaw, boxes are unknown (NaN).
        scores: the detector's confidence in each face, [N], 0 to 1; if None, it is 1.
    """
    if landmarks is not None:
        known = marks(landmarks)
        eyes = known.eyes
        boxes = known.boxes if boxes is None else boxes
    elif boxes is not None:
        eyes = np.full((len(boxes), 2, 2), np.nan)
    else:
        raise ValueError("landmarks and boxes cannot both be None")
    return DetectedFaces(boxes, landmarks, eyes, np.ones(len(boxes)) if scores is None else scores)


_SCHEMES = (68, 66, 49)
_KEYS = ("source", "subject", "task")
_BOX = ("left", "top", "right", "bottom")
_NEEDED = (
    "the table needs the column frame, either source or subject (and task), and either the points "
    "x0,y0,x1,y1,... (49, 66 or 68 of them) or the box left,top,right,bottom"
)
_MEDIA = (
    *(".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv"),
    *(".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"),
)


class CsvDetector:
    """A detector that reads landmarks or boxes from one CSV file with a row per frame.

    The header names the columns:

    - ``subject`` and ``task`` (optional, or empty), or ``source`` (``F001/T1``, ``SN001``, the
      name of an image or video file, or the key of a single image, which may end in ``_aligned``
      and the suffix of an image file);
    - ``frame``, the frame number, counted from 1;
    - ``x0,y0,x1,y1,...``, 49, 66 or 68 points in iBUG's order; or ``left``, ``top``, ``right`` and
      ``bottom``, the box; or both.

    Coordinates are in pixels; (0, 0) is the middle of the first pixel. A frame without a row, or
    with empty coordinates, has no face. A frame has at most one row.

    If the file has no box, the bounding box of the points is used; with 49 points, which exclude
    the chin, the box is unknown (NaN). If the file has no points, the eyes are unknown (NaN).
    """

    def __init__(self, path: Path) -> None:
        file = open_columns(path)
        self.identity = f"csv ({hashlib.sha256(path.read_bytes()).hexdigest()[:16]})"
        points, boxed = _points(file), all(name in file.header for name in _BOX)
        has_keys = "source" in file.header or "subject" in file.header
        if "frame" not in file.header or not has_keys or not (points or boxed):
            raise DataError(
                "Required columns are missing in the table.",
                where=f"{path}:1",
                hint=_NEEDED,
            )
        key_columns = [name for name in _KEYS if name in file.header]
        table = _rows(file, key_columns, ["frame"], [*(points or ()), *(_BOX if boxed else ())])
        keys = list(zip(_sources(table), to_numpy(table["frame"]).tolist(), strict=True))
        _check_frames(file, keys)
        landmarks = None if points is None else paired(stacked_numbers(table, points))
        boxes = stacked_numbers(table, _BOX).astype(np.float64) if boxed else None
        has_face = complete(file, landmarks, boxes)
        self.gives = _gives(landmarks, boxes)
        self._faces = faces_of(landmarks, boxes)
        self._rows = {key: row for row, key in enumerate(keys) if has_face[row]}
        # Single images of a dataset are looked up by their keys.
        self._keyed = {(image_key(name), frame): row for (name, frame), row in self._rows.items()}

    def find(self, image: np.ndarray, at: Position) -> list[Face]:
        """Return the face that the file lists for a frame; the image is not used."""
        place = at.source, at.frame
        row = self._rows.get(place, self._keyed.get(place))
        return [] if row is None else [self._faces.face(row)]


def open_csv(path: Path | None) -> CsvDetector:
    """Return a detector that reads faces from a CSV file; `CsvDetector` describes its columns.

    Raises:
        UsageError: no path is given.
        DataError: the file cannot be read, columns are missing, a cell is not a number, a frame
            is listed twice, or some coordinates of a face are missing. The error names the line.
    """
    if path is None:
        raise UsageError(
            "The detector csv needs the path of a CSV file.",
            hint="name the file: --detector csv:landmarks.csv",
        )
    return CsvDetector(path)


def _rows(
    file: ColumnFile, texts: Sequence[str], whole: Sequence[str], numbers: Sequence[str]
) -> pa.Table:
    """Return the wanted columns of a CSV file as a table.

    Args:
        file: the CSV file.
        texts: the names of the columns that hold text.
        whole: the names of the columns that hold whole numbers.
        numbers: the names of the columns that hold numbers, which are read as float32; empty cells
            become null.

    Raises:
        DataError: the file has no rows, or a cell does not hold a value of the column's type.
    """
    types = {
        **dict.fromkeys(texts, pa.string()),
        **dict.fromkeys(whole, pa.int64()),
        **dict.fromkeys(numbers, pa.float32()),
    }
    table = file.read(types)
    if table.num_rows == 0:
        raise file.error(
            "The table has no rows, only the header.",
            hint="run the program that wrote the table again",
        )
    return table


def _points(file: ColumnFile) -> list[str] | None:
    """Return the names of a CSV file's landmark columns in the order x0, y0, x1, y1, ...

    None if the file has no such columns.
    """
    count = sum(re.fullmatch(r"x\d+", name) is not None for name in file.header)
    if count == 0:
        return None
    names = [f"{axis}{index}" for index in range(count) for axis in "xy"]
    absent = [name for name in names if name not in file.header]
    if count not in _SCHEMES or absent:
        missing = f", and {_missing(absent)}" if absent else ""
        raise DataError(
            f"The table has {count} columns of x coordinates (x0, x1, ...){missing}.",
            where=f"{file.path}:1",
            hint=_NEEDED,
        )
    return names


def _gives(landmarks: np.ndarray | None, boxes: np.ndarray | None) -> frozenset[str]:
    """Return the parts that every face in a file has: a subset of "eyes", "points" and "box".

    Args:
        landmarks: the points, [N, K, 2]; None if the file has none.
        boxes: the boxes, [N, 4]; None if the file has none.
    """
    if landmarks is None:
        return frozenset(("box",))
    known = boxes is not None or landmarks.shape[1] > POINTS
    return GIVES if known else GIVES - {"box"}


def _sources(table: pa.Table) -> list[str]:
    """Return the source of the face in every row of a CSV file.

    The source is a sequence, such as ``F001/T1``, or the name of an image or video file.
    """
    names = [trimmed_texts(table[name]) for name in table.column_names if name in _KEYS]
    if table.column_names[0] == "source" or len(names) == 1:
        return names[0]
    return [f"{subject}/{task}" if task else subject for subject, task in zip(*names, strict=True)]


def _check_frames(file: ColumnFile, keys: Sequence[tuple[str, int]]) -> None:
    below_one = next((row for row, (_, frame) in enumerate(keys) if frame < 1), None)
    if below_one is not None:
        raise file.error(
            f"The frame number must be 1 or more, not {keys[below_one][1]}.",
            below_one,
            "use frame numbers that are counted from 1",
        )
    known: set[tuple[str, int]] = set()
    for row, (source, frame) in enumerate(keys):
        if (source, frame) in known:
            raise file.error(
                f"Frame {frame} of {source} is listed twice.", row, "keep one row per frame"
            )
        known.add((source, frame))


class OpenFaceDetector:
    """A detector that reads 68 landmarks from the output of OpenFace 2's FeatureExtraction.

    The path names a CSV file, or a folder of CSV files, one for each video. A file belongs to a
    sequence or video of the same name, in which ``_`` replaces ``/``: ``F001_T1.csv`` to F001/T1,
    ``SN001.csv`` to SN001, ``talk.csv`` to ``talk.mp4``. If a sequence has no such file, the file
    is used whose name contains the subject and then the task, with any zero padding:
    ``LeftVideoSN001_comp.csv`` belongs to SN001, ``2F01_T5.csv`` to F001/T5. Upper and lower case
    are not distinguished.

    The column ``frame`` is taken as the label frame number, counted from 1. This holds for runs
    over videos, but not for runs over a folder of images, in which OpenFace counts the images.
    Points are in OpenCV's pixel coordinates, with (0, 0) the middle of the first pixel. Rows with
    ``success`` 0 are not faces. The faces of a frame are returned largest first, with
    ``confidence`` as the score.
    """

    gives = GIVES

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files = _tables_in(path)
        self._open: tuple[Path, np.ndarray, DetectedFaces] | None = None
        _check_openface(open_columns(self._files[0]))
        digest = hashlib.sha256()
        for file in self._files:
            status = file.stat()
            digest.update(f"{file.name} {status.st_size} {status.st_mtime_ns}\n".encode())
        self.identity = f"openface ({digest.hexdigest()[:16]})"

    def find(self, image: np.ndarray, at: Position) -> list[Face]:
        """Return the faces that the files list for a frame; the image is not used.

        Raises:
            DataError: no file belongs to the sequence or video, or several files do, or the file
                is damaged.
        """
        path = self._file_of(at.source)
        if self._open is None or self._open[0] != path:
            self._open = (path, *_read_openface(path))
        _, frames, faces = self._open
        first, after = np.searchsorted(frames, [at.frame, at.frame + 1])
        return [faces.face(row) for row in range(first, after)]

    def _file_of(self, source: str) -> Path:
        is_media = source.lower().endswith(_MEDIA)
        stem = source[: -len(Path(source).suffix)] if is_media else source
        exact = stem.replace("/", "_").casefold()
        matches = [file for file in self._files if file.stem.casefold() == exact]
        if not (matches or is_media):
            matches = [file for file in self._files if _name_pattern(stem).search(file.stem)]
        if len(matches) == 1:
            return matches[0]
        names = abbreviated([file.name for file in matches or self._files])
        if matches:
            raise DataError(
                f"More than one OpenFace table belongs to {source}: {names}.",
                where=self._path,
                hint="move the table to use to a separate folder",
            )
        raise DataError(
            f"No OpenFace table belongs to {source}; the folder holds {names}.",
            where=self._path,
            hint="run OpenFace's FeatureExtraction on the video of this sequence, and name the CSV "
            "file after the video",
        )


def open_openface(path: Path | None) -> OpenFaceDetector:
    """Return a detector that reads landmarks from OpenFace's output; see `OpenFaceDetector`.

    Raises:
        UsageError: no path is given.
        DataError: the path holds no table, or the first table has no landmarks.
    """
    if path is None:
        raise UsageError(
            "The detector openface needs the path of OpenFace's output.",
            hint="name the output folder, or one CSV file in it: --detector openface:processed",
        )
    return OpenFaceDetector(path)


def _tables_in(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    tables = sorted(file for file in path.glob("*.csv") if not file.name.startswith("."))
    if not tables:
        message = (
            "There is no CSV file in the folder of OpenFace's output."
            if path.is_dir()
            else "The folder or file of OpenFace's output does not exist."
        )
        raise DataError(
            message,
            where=path,
            hint="name the folder that OpenFace wrote to, or one CSV file in it",
        )
    return tables


def _name_pattern(source: str) -> re.Pattern[str]:
    """Return a regular expression for file names that contain a subject and, after it, a task.

    Args:
        source: the subject and the task, such as ``F001/T1``, or only the subject.
    """
    parts = []
    for part in source.split("/"):
        ((letters, digits),) = re.findall(r"\A(.*?)0*(\d*)\Z", part, re.DOTALL)
        # A single letter is often the end of another word.
        start = "(?<![a-z])" if len(letters) == 1 else ""
        parts.append(f"{start}{re.escape(letters)}0*{digits}(?![0-9])")
    return re.compile(".*".join(parts), re.IGNORECASE)


def _missing(names: Sequence[str]) -> str:
    return (
        f"the column{'s' * (len(names) > 1)} {abbreviated(names)} "
        f"{'is' if len(names) == 1 else 'are'} missing"
    )


def _check_openface(file: ColumnFile) -> list[str]:
    """Return the names of the landmark columns of an OpenFace file in the order x_0, y_0, x_1, ...

    Raises:
        DataError: the file is not a table that OpenFace wrote for a video.
    """
    points = [f"{axis}_{index}" for index in range(68) for axis in "xy"]
    if absent := [name for name in points if name not in file.header]:
        raise DataError(
            f"The table has no 2D landmarks: {_missing(absent)}.",
            where=f"{file.path}:1",
            hint="run OpenFace's FeatureExtraction with the option -2Dfp",
        )
    if absent := [name for name in ("frame", "confidence", "success") if name not in file.header]:
        raise DataError(
            f"The table is not OpenFace's output for a video: {_missing(absent)}.",
            where=f"{file.path}:1",
            hint="run OpenFace's FeatureExtraction on the video, and use its CSV file",
        )
    return points


def _read_openface(path: Path) -> tuple[np.ndarray, DetectedFaces]:
    """Return the faces in a file that OpenFace wrote, and the frame number of each face.

    The faces are sorted by frame number, and those of one frame by size, the largest first.
    """
    file = open_columns(path)
    points = _check_openface(file)
    table = _rows(file, (), ["frame", "success"], [*points, "confidence"])
    landmarks = paired(stacked_numbers(table, points))
    frames, success = to_numpy(table["frame"]), to_numpy(table["success"])
    scores = stacked_numbers(table, ["confidence"])[:, 0]
    has_face = complete(file, landmarks, None)
    boxes = marks(landmarks).boxes
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    order = np.lexsort((-area, frames))
    order = order[has_face[order] & (success[order] > 0)]
    return frames[order], faces_of(landmarks[order], None, scores[order])
