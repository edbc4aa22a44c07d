"""Faces from files that other programs wrote: landmarks or boxes by frame in CSV files."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from fauds.datasets.subjects import shortened
from fauds.errors import DataError, UsageError
from fauds.faces.base import GIVES, Face, Position
from fauds.faces.landmarks import POINTS, marks
from fauds.tables.columns import to_numpy
from fauds.tables.delimited import ColumnFile, open_columns, stacked, trimmed


@dataclass(frozen=True, eq=False)
class DetectedFaces:
    """The faces of many images.

    Attributes:
        boxes: [N, 4]; NaN where not known.
        landmarks: float32 [N, K, 2], or None.
        eyes: [N, 2, 2]; NaN where not known.
        scores: [N].
    """

    boxes: np.ndarray
    landmarks: np.ndarray | None
    eyes: np.ndarray
    scores: np.ndarray

    def face(self, row: int) -> Face:
        """Return the face of a row."""
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
    """Return which rows have a face, bool [N].

    Raises:
        DataError: a row has a part of its coordinates only, or a box without extent.
    """
    parts = [part.reshape(len(part), -1) for part in (landmarks, boxes) if part is not None]
    finite = np.isfinite(np.concatenate(parts, axis=1))
    partly = np.flatnonzero(finite.any(1) & ~finite.all(1))
    if len(partly):
        raise file.bad(
            "Some of the face's coordinates are missing.",
            int(partly[0]),
            "give all of them, or leave all empty where no face was found",
        )
    there: np.ndarray = finite.all(1)
    if boxes is not None:
        empty = np.flatnonzero(there & ~(boxes[:, 2:] > boxes[:, :2]).all(1))
        if len(empty):
            raise file.bad(
                "The box ends before it begins.",
                int(empty[0]),
                "right must be larger than left, and bottom than top",
            )
    return there


def paired(numbers: np.ndarray) -> np.ndarray:
    """Return columns x, y, x, y and so on, [N, 2 K], as points [N, K, 2]."""
    return numbers.reshape(len(numbers), -1, 2)


def faces_of(
    landmarks: np.ndarray | None, boxes: np.ndarray | None, scores: np.ndarray | None = None
) -> DetectedFaces:
    """Return faces of which at least one of landmarks and boxes is known.

    Args:
        landmarks: [N, K, 2], K = 49, 66 or 68; without them the eyes are NaN.
        boxes: [N, 4]; where None, the least ones around 66 or 68 landmarks, NaN for 49.
        scores: [N]; where None, 1.
    """
    if landmarks is not None:
        found = marks(landmarks)
        eyes = found.eyes
        boxes = found.boxes if boxes is None else boxes
    elif boxes is not None:
        eyes = np.full((len(boxes), 2, 2), np.nan)
    else:
        raise ValueError("landmarks or boxes must be known")
    return DetectedFaces(boxes, landmarks, eyes, np.ones(len(boxes)) if scores is None else scores)


_SCHEMES = (68, 66, 49)
_KEYS = ("source", "subject", "task")
_BOX = ("left", "top", "right", "bottom")
_NEEDED = (
    "it needs frame, either source or subject (and task), and either the points x0,y0,x1,y1,... "
    "(49, 66 or 68 of them) or the box left,top,right,bottom"
)
_MEDIA = (
    *(".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv"),
    *(".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"),
)


class CsvDetector:
    """Landmarks or boxes from one CSV file, a line a frame.

    The first line names the columns: ``subject`` and ``task`` (which may be absent, or empty) or
    ``source`` (``F001/T1``, ``SN001``, or the name of an image or video); ``frame``, the label
    frame, from 1; and ``x0,y0,x1,y1,...``, 49, 66 or 68 points in iBUG's order, or ``left``,
    ``top``, ``right``, ``bottom``, or both. Pixels; (0, 0) is the middle of the first pixel. A
    frame that has no line, or whose coordinates are all empty, has no face. A frame has one
    line at most.

    Without columns of a box, it is the least one around the points; it is not known (NaN) with
    49 points, which leave the chin out. Without points the eyes are not known (NaN).
    """

    def __init__(self, path: Path) -> None:
        file = open_columns(path)
        self.identity = f"csv ({hashlib.sha256(path.read_bytes()).hexdigest()[:16]})"
        points, boxed = _points(file), all(name in file.header for name in _BOX)
        keyed = "source" in file.header or "subject" in file.header
        if "frame" not in file.header or not keyed or not (points or boxed):
            raise DataError("The table lacks columns.", where=f"{path}:1", hint=_NEEDED)
        named = [name for name in _KEYS if name in file.header]
        table = _rows(file, named, ["frame"], [*(points or ()), *(_BOX if boxed else ())])
        keys = list(zip(_sources(table), to_numpy(table["frame"]).tolist(), strict=True))
        _check_frames(file, keys)
        landmarks = None if points is None else paired(stacked(table, points))
        boxes = stacked(table, _BOX).astype(np.float64) if boxed else None
        there = complete(file, landmarks, boxes)
        self.gives = _given(landmarks, boxes)
        self._faces = faces_of(landmarks, boxes)
        self._rows = {key: row for row, key in enumerate(keys) if there[row]}

    def find(self, image: np.ndarray, at: Position) -> list[Face]:
        """Return the face of a frame, as the file has it; the image is not looked at."""
        row = self._rows.get((at.source, at.frame))
        return [] if row is None else [self._faces.face(row)]


def open_csv(path: Path | None) -> CsvDetector:
    """Return the detector of a CSV file; see `CsvDetector` for its columns.

    Raises:
        UsageError: no path is given.
        DataError: the file cannot be read or lacks columns; with its line: a cell that is no
            number, a frame named twice, a face of which only a part is there.
    """
    if path is None:
        raise UsageError("The detector csv needs a file.", hint="name it: csv:landmarks.csv")
    return CsvDetector(path)


def _rows(
    file: ColumnFile, texts: Sequence[str], whole: Sequence[str], numbers: Sequence[str]
) -> pa.Table:
    """Read columns of text, of whole numbers and of numbers (float32; null where empty).

    Raises:
        DataError: the file has no rows, or see `ColumnFile.read`.
    """
    types = {
        **dict.fromkeys(texts, pa.string()),
        **dict.fromkeys(whole, pa.int64()),
        **dict.fromkeys(numbers, pa.float32()),
    }
    table = file.read(types)
    if table.num_rows == 0:
        raise file.bad(
            "The table has no rows.", hint="run what wrote it again: only its head is there"
        )
    return table


def _points(file: ColumnFile) -> list[str] | None:
    """Return the columns of the points in order, x0, y0, x1 and so on; None without any."""
    count = sum(re.fullmatch(r"x\d+", name) is not None for name in file.header)
    if count == 0:
        return None
    names = [f"{axis}{index}" for index in range(count) for axis in "xy"]
    absent = [name for name in names if name not in file.header]
    if count not in _SCHEMES or absent:
        lacking = f", and {_absent(absent)}" if absent else ""
        raise DataError(
            f"The table has {count} columns of x{lacking}.", where=f"{file.path}:1", hint=_NEEDED
        )
    return names


def _given(landmarks: np.ndarray | None, boxes: np.ndarray | None) -> frozenset[str]:
    if landmarks is None:
        return frozenset(("box",))
    known = boxes is not None or landmarks.shape[1] > POINTS
    return GIVES if known else GIVES - {"box"}


def _sources(table: pa.Table) -> list[str]:
    names = [trimmed(table[name]) for name in table.column_names if name in _KEYS]
    if table.column_names[0] == "source" or len(names) == 1:
        return names[0]
    return [f"{subject}/{task}" if task else subject for subject, task in zip(*names, strict=True)]


def _check_frames(file: ColumnFile, keys: Sequence[tuple[str, int]]) -> None:
    early = next((row for row, (_, frame) in enumerate(keys) if frame < 1), None)
    if early is not None:
        raise file.bad(f"The frame is {keys[early][1]}.", early, "frames count from 1")
    seen: set[tuple[str, int]] = set()
    for row, (source, frame) in enumerate(keys):
        if (source, frame) in seen:
            raise file.bad(
                f"Frame {frame} of {source} comes twice.", row, "keep one face a frame in the table"
            )
        seen.add((source, frame))


class OpenFaceDetector:
    """68 landmarks from what OpenFace 2's FeatureExtraction wrote for videos.

    A folder of CSV files, or one file, each of one video. The file of a source is the one whose
    name without suffix equals the source, with ``_`` for ``/`` (``F001_T1.csv``,
    ``SN001.csv``; ``talk.csv`` for ``talk.mp4``). Of a sequence that has none, it is the one
    whose name contains the subject and after it the task, in any padding:
    ``LeftVideoSN001_comp.csv`` is SN001, ``2F01_T5.csv`` is F001/T5. Upper and lower case are
    the same.

    ``frame`` counts from 1 and is taken for the label frame, as it is for videos; a run over a
    folder of images counts these instead, and does not fit. Points are taken for OpenCV's
    pixels, (0, 0) the middle of the first. Rows with ``success`` 0 are no faces; several faces
    of a frame come largest first. ``confidence`` is the score.
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
        """Return the faces of a frame, as the file has them; the image is not looked at.

        Raises:
            DataError: no file, or more than one, is of this source; the file is damaged.
        """
        path = self._file_of(at.source)
        if self._open is None or self._open[0] != path:
            self._open = (path, *_read_openface(path))
        _, frames, faces = self._open
        first, after = np.searchsorted(frames, [at.frame, at.frame + 1])
        return [faces.face(row) for row in range(first, after)]

    def _file_of(self, source: str) -> Path:
        media = source.lower().endswith(_MEDIA)
        stem = source[: -len(Path(source).suffix)] if media else source
        exact = stem.replace("/", "_").casefold()
        found = [file for file in self._files if file.stem.casefold() == exact]
        if not (found or media):
            found = [file for file in self._files if _names(stem).search(file.stem)]
        if len(found) == 1:
            return found[0]
        names = shortened([file.name for file in found or self._files])
        if found:
            raise DataError(
                f"More than one of OpenFace's tables is of {source}: {names}.",
                where=self._path,
                hint="keep the one to use in a folder of its own",
            )
        raise DataError(
            f"None of OpenFace's tables is of {source}; there is {names}.",
            where=self._path,
            hint="run FeatureExtraction on its video, and name the table after it",
        )


def open_openface(path: Path | None) -> OpenFaceDetector:
    """Return the detector of OpenFace's output; see `OpenFaceDetector`.

    Raises:
        UsageError: no path is given.
        DataError: there is no table there, or the first lacks the landmarks.
    """
    if path is None:
        raise UsageError(
            "The detector openface needs OpenFace's output.",
            hint="name its folder, or one table: openface:processed",
        )
    return OpenFaceDetector(path)


def _tables_in(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    found = sorted(file for file in path.glob("*.csv") if not file.name.startswith("."))
    if not found:
        what = "There is no CSV file in this folder." if path.is_dir() else "This does not exist."
        raise DataError(what, where=path, hint="name the folder that OpenFace wrote to")
    return found


def _names(source: str) -> re.Pattern[str]:
    """Return what finds the subject, and the task after it, in a file's name."""
    parts = []
    for part in source.split("/"):
        ((letters, digits),) = re.findall(r"\A(.*?)0*(\d*)\Z", part, re.DOTALL)
        # One letter is easily the end of another word.
        start = "(?<![a-z])" if len(letters) == 1 else ""
        parts.append(f"{start}{re.escape(letters)}0*{digits}(?![0-9])")
    return re.compile(".*".join(parts), re.IGNORECASE)


def _absent(names: Sequence[str]) -> str:
    return f"{shortened(names)} {'is' if len(names) == 1 else 'are'} absent"


def _check_openface(file: ColumnFile) -> list[str]:
    """Return the columns of the points in order."""
    points = [f"{axis}_{index}" for index in range(68) for axis in "xy"]
    if absent := [name for name in points if name not in file.header]:
        raise DataError(
            f"The table has no 2D landmarks: {_absent(absent)}.",
            where=f"{file.path}:1",
            hint="run FeatureExtraction with -2Dfp",
        )
    if absent := [name for name in ("frame", "confidence", "success") if name not in file.header]:
        raise DataError(
            f"The table is not one of a video: {_absent(absent)}.",
            where=f"{file.path}:1",
            hint="run FeatureExtraction on the video",
        )
    return points


def _read_openface(path: Path) -> tuple[np.ndarray, DetectedFaces]:
    """Return the frames of all faces, rising, and the faces, larger ones of a frame first."""
    file = open_columns(path)
    points = _check_openface(file)
    table = _rows(file, (), ["frame", "success"], [*points, "confidence"])
    landmarks = paired(stacked(table, points))
    frames, success = to_numpy(table["frame"]), to_numpy(table["success"])
    scores = stacked(table, ["confidence"])[:, 0]
    there = complete(file, landmarks, None)
    boxes = marks(landmarks).boxes
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    order = np.lexsort((-area, frames))
    order = order[there[order] & (success[order] > 0)]
    return frames[order], faces_of(landmarks[order], None, scores[order])
