"""Divides the rows of tables of action units (AUs) into clips, a few rows at a time.

A clip is the recording of one face: a file, or the rows of one subject, clip and face of a table.
Begin with `read_clips`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fauds.datasets.code_rows import CodeRows, CodeTable, join_rows, open_codes
from fauds.datasets.codes import Quantity, Scale
from fauds.datasets.image_folders import SUFFIXES
from fauds.datasets.media_search import DATASET_VIDEO_SUFFIXES
from fauds.datasets.subjects import abbreviated
from fauds.errors import DataError, UsageError
from fauds.facs import AUS

TABLE_SUFFIXES = (".csv", ".tsv", ".txt", ".parquet")
"""The suffixes of the tables that are read from a folder."""

_WORKBOOKS = (".xlsx", ".xlsm", ".xls", ".ods")

_FROZEN = 30
"""How many successive rows with the same fractional values are worth a word."""

_STILLS = (*SUFFIXES, ".bmp", ".gif", ".tif", ".tiff", ".webp")


@dataclass(frozen=True)
class ReadingOptions:
    """How tables of AUs are read; see `fauds.datasets.code_rows.open_codes`.

    Attributes:
        columns: the names of columns with roles, see `fauds.datasets.codes.Role`.
        scale: the scale of columns whose names do not state it; None if the user does not say.
        min_confidence: the lowest confidence at which a row counts; None for any.
        face: the face to read where frames show several: "largest", the program's id of a face,
            or "all" for every face by itself; None if there should be one.
        fps: the frames per second of the video, from which times are computed; None to take the
            times of the table.
        aus: the AUs to read; None for all.
        sex: the sex of the person, "F" or "M", if the table has none.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    scale: Scale | None = None
    min_confidence: float | None = None
    face: str | None = None
    fps: float | None = None
    aus: tuple[str, ...] | None = None
    sex: Literal["F", "M"] | None = None

    def __post_init__(self) -> None:
        if self.fps is not None and not 0 < self.fps < 10_000:
            raise UsageError(
                f"{self.fps:g} frames per second are not possible.", hint="correct --fps"
            )


@dataclass(frozen=True)
class ClipId:
    """What identifies a clip.

    Attributes:
        source: the name of the table without its suffix.
        subject: the person; "" if the table does not say.
        clip: the clip, or the name of the video without its suffix; "" if the table does not say.
        face: the program's id of the face, if several faces are read by themselves; else "".
    """

    source: str
    subject: str = ""
    clip: str = ""
    face: str = ""

    @property
    def name(self) -> str:
        """The name of the clip for people, such as "talk" or "anna, T1, face 2"."""
        parts = [part for part in (self.subject, self.clip) if part] or [self.source]
        return ", ".join([*parts, *([f"face {self.face}"] if self.face else [])])


@dataclass(frozen=True)
class ClipPart:
    """Some successive frames of a clip, N of them.

    Attributes:
        clip: the clip.
        starts: whether these are the first frames of the clip.
        frames: the frame numbers, as the table counts them, rising, int64 [N]; None for single
            images.
        times: the times of the frames in seconds, rising, float64 [N]; None if they are not known.
        images: the paths of the images, if the frames are single images; None for a video.
        sexes: the sex of the person in each frame, "F", "M" or null, Arrow strings [N].
        codes: the AUs of the frames.
    """

    clip: ClipId
    starts: bool
    frames: np.ndarray | None
    times: np.ndarray | None
    images: pa.Array | None
    sexes: pa.Array
    codes: CodeRows

    def __len__(self) -> int:
        return len(self.codes)


@dataclass
class ClipReader:
    """The clips of some tables, and what is to be said about the tables.

    Attributes:
        tables: the tables, in the order in which they are read.
        options: how they are read.
        say: called with each line of text for the user while the clips are read: what a table is,
            and what was tolerated in it.
    """

    tables: list[CodeTable]
    options: ReadingOptions
    say: Callable[[str], None] = lambda line: None

    @property
    def aus(self) -> tuple[str, ...]:
        """The AUs of all tables that are read, in FACS order."""
        present = {au for table in self.tables for au in table.aus}
        chosen = self.options.aus
        return tuple(au for au in AUS if au in present and (chosen is None or au in chosen))

    def has(self, quantity: Quantity) -> tuple[str, ...]:
        """Return the AUs of which some table has decisions, probabilities or intensities."""
        present = {au for table in self.tables for au in table.has(quantity)}
        return tuple(au for au in self.aus if au in present)

    def parts(self) -> Iterator[ClipPart]:
        """Yield the frames of all clips, clip by clip and in order.

        Raises:
            DataError: a table cannot be read, its rows are not in the order of the frames, or a
                frame has several faces and the options do not say which one to read.
            UsageError: see `fauds.datasets.code_rows.CodeTable.rows`.
        """
        for table in self.tables:
            faces = _face_ids(table) if self.options.face == "all" else [""]
            for face in faces:
                yield from _TableClips(table, self.options, face, self.say).parts()
            if len(faces) > 1:
                self.say(f"{table.path}: {len(faces)} faces, read one after another")
            for line in table.counts.lines():
                self.say(f"{table.path}: {line}")


def read_clips(
    inputs: Sequence[Path],
    options: ReadingOptions | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> ClipReader:
    """Open tables of AUs; the result yields their clips.

    Args:
        inputs: tables, and folders with tables.
        options: how the tables are read; None for the defaults of `ReadingOptions`.
        say: called with each line of text for the user while the clips are read.

    Raises:
        UsageError: an input does not exist, a folder holds no table, or an AU is in no table.
        DataError: a table cannot be read, or holds no AUs.
    """
    options = options or ReadingOptions()
    tables = [
        open_codes(
            path,
            columns=options.columns,
            scale=options.scale,
            min_confidence=options.min_confidence,
            sizes=options.face == "largest",
        )
        for path in _paths(inputs)
    ]
    _say_recognised(tables, say)
    reader = ClipReader(tables, options, say)
    absent = [au for au in options.aus or () if au not in reader.aus]
    if absent:
        known = ClipReader(tables, ReadingOptions()).aus
        raise UsageError(
            f"No table holds {', '.join(absent)}.",
            where="--aus",
            hint=f"choose from: {', '.join(known)}",
        )
    return reader


def _say_recognised(tables: Sequence[CodeTable], say: Callable[[str], None]) -> None:
    """Tell the user what the tables are, in one line for tables of the same kind."""
    by_kind: dict[str, list[Path]] = {}
    for table in tables:
        by_kind.setdefault(table.recognised(), []).append(table.path)
    for kind, paths in by_kind.items():
        several = "" if len(paths) == 1 else f" and {len(paths) - 1:,} more"
        say(f"{paths[0]}{several}: {kind}")


def _paths(inputs: Sequence[Path]) -> list[Path]:
    paths: list[Path] = []
    for path in inputs:
        if not path.exists():
            raise UsageError(
                "The table does not exist.", where=path, hint="check the name of the file or folder"
            )
        if path.suffix.lower() in _WORKBOOKS:
            raise UsageError(
                "Excel files are not read.",
                where=path,
                hint="save the sheet as CSV UTF-8 (in Excel: File, Save As)",
            )
        if not path.is_dir():
            paths.append(path)
            continue
        inside = sorted(
            file
            for file in path.iterdir()
            if file.suffix.lower() in TABLE_SUFFIXES
            and not file.name.startswith(".")
            # OpenFace writes a text about the recording beside every table.
            and not file.name.endswith("_of_details.txt")
        )
        if not inside:
            raise UsageError(
                "The folder holds no table.",
                where=path,
                hint=f"the tables of a folder end in {', '.join(TABLE_SUFFIXES)}",
            )
        paths += inside
    return paths


def _face_ids(table: CodeTable) -> list[str]:
    """Return the ids of all faces of a table, in the order in which they first appear."""
    name = table.layout.places.get("face")
    if name is None:
        raise UsageError(
            "The table does not number its faces, so that they cannot be read one by one.",
            where=table.path,
            hint="use --face largest",
        )
    ids: dict[str, None] = {}
    for batch in table.file.batches([name], []):
        ids |= dict.fromkeys(text or "" for text in batch.texts[name].unique().to_pylist())
    return [*ids]


class _TableClips:
    """Divides the rows of one table into clips.

    Args:
        table: the table.
        options: how it is read.
        face: the id of the face to read, if all are read one by one; "" otherwise.
        say: called with each line of text for the user.
    """

    def __init__(
        self, table: CodeTable, options: ReadingOptions, face: str, say: Callable[[str], None]
    ) -> None:
        self._table, self._options, self._face, self._say = table, options, face, say
        self._stills = False
        self._numbered = "frame" in table.layout.places
        self._finished: set[ClipId] = set()
        self._clip: ClipId | None = None
        self._last: tuple[float, float] = (-np.inf, -np.inf)
        self._counted = 0
        self._repeated = 0
        self._frozen = _FrozenRows()

    def parts(self) -> Iterator[ClipPart]:
        kept: list[CodeRows] = []
        for rows, last in _marking_last(self._table.rows()):
            joined = join_rows([*kept, self._of_face(rows)])
            split = len(joined) if last or self._unordered else self._last_frame_start(joined)
            kept = [joined.take(np.arange(split, len(joined)))]
            yield from self._clips(joined.take(np.arange(split)))
        self._report()

    def _last_frame_start(self, rows: CodeRows) -> int:
        """Return the index of the first row of the last frame, whose rows may go on later."""
        labels, frames = self._labels(rows)
        same = (labels == labels[-1:]) & (frames == frames[-1:])
        return int(np.flatnonzero(~same)[-1]) + 1 if (~same).any() else 0

    @property
    def _unordered(self) -> bool:
        return self._stills or not self._numbered

    def _of_face(self, rows: CodeRows) -> CodeRows:
        """Return the rows of the face with the chosen id; all rows if no id is chosen."""
        wanted = self._face or self._options.face
        if wanted in (None, "largest", "all") or "face" not in rows.texts:
            return rows
        return rows.take(np.flatnonzero(_equal(rows.texts["face"], str(wanted))))

    def _labels(self, rows: CodeRows) -> tuple[np.ndarray, np.ndarray]:
        """Return a number for the clip of each row, and the row's frame number."""
        labels = np.zeros(len(rows), np.int64)
        for role in ("subject", "clip", "image"):
            if role in rows.texts:
                codes = pc.fill_null(rows.texts[role], "").dictionary_encode()
                labels = labels * (len(codes.dictionary) + 1) + codes.indices.to_numpy()
        return labels, rows.numbers.get("frame", np.zeros(len(rows)))

    def _clips(self, rows: CodeRows) -> Iterator[ClipPart]:
        if not len(rows):
            return
        if self._stills or _are_stills(rows, self._table.layout.images):
            self._stills = True
            yield self._still_part(rows)
            return
        labels, _ = self._labels(rows)
        bounds = np.flatnonzero(np.diff(labels)) + 1
        for start, stop in zip([0, *bounds], [*bounds, len(rows)], strict=True):
            yield self._part(rows.take(np.arange(start, stop)))

    def _still_part(self, rows: CodeRows) -> ClipPart:
        clip = ClipId(self._table.path.stem)
        starts = self._clip is None
        self._clip = clip
        images = rows.texts.get("image", rows.texts.get("key"))
        return ClipPart(clip, starts, None, None, images, self._sexes(rows), rows)

    def _part(self, rows: CodeRows) -> ClipPart:
        clip = self._id(rows)
        starts = clip != self._clip
        if starts:
            if clip in self._finished:
                raise self._table.file.error(
                    f"The rows of {clip.name} do not stand together.",
                    int(rows.index[0]),
                    "sort the table by subject, clip and frame",
                )
            if self._clip is not None:
                self._finished.add(self._clip)
            self._clip, self._last, self._counted = clip, (-np.inf, -np.inf), 0
        frames = self._frame_numbers(rows)
        kept = self._one_face(rows, frames, clip)
        rows, frames = rows.take(kept), frames[kept]
        times = self._times(rows, frames)
        self._check_order(rows, frames, times, clip)
        self._frozen.add(rows, frames, clip)
        return ClipPart(clip, starts, frames.astype(np.int64), times, None, self._sexes(rows), rows)

    def _id(self, rows: CodeRows) -> ClipId:
        texts = {
            role: rows.texts[role][0].as_py() or ""
            for role in ("subject", "clip", "image")
            if role in rows.texts
        }
        image = PurePosixPath(texts.get("image", "").replace("\\", "/"))
        clip = texts.get("clip", "")
        if self._table.layout.tool == "fauds explain":
            clip = PurePosixPath(clip.replace("\\", "/")).stem
        if not clip and image.suffix.lower() in DATASET_VIDEO_SUFFIXES:
            clip = image.stem
        return ClipId(self._table.path.stem, texts.get("subject", ""), clip, self._face)

    def _frame_numbers(self, rows: CodeRows) -> np.ndarray:
        if "frame" not in rows.numbers:
            first = 1 if self._table.layout.first_frame is None else self._table.layout.first_frame
            frames = np.arange(len(rows), dtype=np.float64) + first + self._counted
            self._counted += len(rows)
            return frames
        frames = rows.numbers["frame"]
        wrong = ~(np.abs(frames) < 2**53) | (frames != np.floor(frames))
        if wrong.any():
            row = int(wrong.argmax())
            shown = "empty" if np.isnan(frames[row]) else f"{frames[row]:g}"
            raise self._table.file.error(
                f"The frame number is {shown}, but must be a whole number.",
                int(rows.index[row]),
                "correct the column of frames, or name another one: --column frame=NAME",
            )
        return frames

    def _one_face(self, rows: CodeRows, frames: np.ndarray, clip: ClipId) -> np.ndarray:
        """Return the rows to keep: one for each frame, that of the chosen face."""
        if "frame" not in rows.numbers:
            return np.arange(len(rows))
        starts = np.flatnonzero(np.diff(frames, prepend=np.nan) != 0)
        if len(starts) == len(rows):
            return starts
        sizes = np.diff([*starts, len(rows)])
        several = starts[sizes > 1]
        if self._options.face == "largest":
            return self._largest(rows, starts, sizes)
        matrix = np.stack([column for values in _values(rows) for column in values.values()])
        for start, size in zip(several.tolist(), sizes[sizes > 1].tolist(), strict=True):
            block = matrix[:, start : start + size]
            if not np.array_equal(block, np.repeat(block[:, :1], size, axis=1), equal_nan=True):
                raise self._several_faces(rows, start, size, frames, clip)
            self._repeated += size - 1
        return starts

    def _several_faces(
        self, rows: CodeRows, start: int, size: int, frames: np.ndarray, clip: ClipId
    ) -> DataError:
        ids = []
        if "face" in rows.texts:
            ids = [str(name) for name in rows.texts["face"][start : start + size].to_pylist()]
        known = f" ({abbreviated(ids)})" if ids else ""
        by_id = (
            f", --face {ids[0]} for one of them, or --face all for each by itself" if ids else ""
        )
        return self._table.file.error(
            f"Frame {frames[start]:g} of {clip.name} has {size} faces{known}.",
            int(rows.index[start]),
            f"say which one to read: --face largest{by_id}",
        )

    def _largest(self, rows: CodeRows, starts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        size = rows.size
        if size is None and self._table.layout.tool == "fauds explain":
            # fauds numbers the faces of a frame by their size.
            ids = rows.texts["face"].to_pylist()
            size = -np.array([float(face or 0) for face in ids])
        if size is None:
            raise UsageError(
                "The table does not say how large the faces are.",
                where=self._table.path,
                hint="name the face by its id: --face ID; OpenFace writes sizes with the option "
                "-2Dfp",
            )
        size = np.where(np.isnan(size), -np.inf, size)
        best = np.maximum.reduceat(size, starts)
        is_best = size == np.repeat(best, sizes)
        order = np.where(is_best, np.arange(len(rows)), len(rows))
        first: np.ndarray = np.minimum.reduceat(order, starts)
        return first

    def _times(self, rows: CodeRows, frames: np.ndarray) -> np.ndarray | None:
        if self._options.fps is not None:
            first = self._table.layout.first_frame
            return (frames - (1 if first is None else first)) / self._options.fps
        times = rows.numbers.get("time")
        if times is None or np.isnan(times).all():
            return None
        if np.isnan(times).any():
            raise self._table.file.error(
                "The time of a row is empty or no time.",
                int(rows.index[np.isnan(times).argmax()]),
                "write times in seconds, or give the frames per second: --fps",
            )
        return times

    def _check_order(
        self, rows: CodeRows, frames: np.ndarray, times: np.ndarray | None, clip: ClipId
    ) -> None:
        """Raise an error unless frames and times rise from row to row."""
        clock = frames if times is None else times
        steps = np.diff(frames, prepend=self._last[0])
        back = (steps <= 0) | (np.diff(clock, prepend=self._last[1]) < 0)
        if back.any():
            row = int(back.argmax())
            what = f"frame {frames[row]:g}" if steps[row] <= 0 else f"the time {clock[row]:g} s"
            raise self._table.file.error(
                f"The rows of {clip.name} are not in order: {what} comes after a later one.",
                int(rows.index[row]),
                "sort the table by subject, clip and frame; if it holds several clips, name the "
                "column that tells them apart: --column clip=NAME",
            )
        if len(frames):
            self._last = (float(frames[-1]), float(clock[-1]))

    def _sexes(self, rows: CodeRows) -> pa.Array:
        known = rows.texts.get("sex", pa.nulls(len(rows), pa.string()))
        return known if self._options.sex is None else pc.fill_null(known, self._options.sex)

    def _report(self) -> None:
        path = self._table.path
        if self._repeated:
            self._say(f"{path}: identical rows repeated for a frame: {self._repeated:,}")
        for line in self._frozen.lines():
            self._say(f"{path}: {line}")
        if not self._numbered and not self._stills:
            self._say(f"{path}: no column of frame numbers: rows are counted as frames")


class _FrozenRows:
    """Notices that the values of many successive frames are exactly the same."""

    def __init__(self) -> None:
        self._last: np.ndarray | None = None
        self._clip: ClipId | None = None
        self._run = 0
        self._begin = 0
        self._longest: tuple[int, int, str] = (0, 0, "")
        self._count = 0

    def add(self, rows: CodeRows, frames: np.ndarray, clip: ClipId) -> None:
        columns = [
            column
            for values in (rows.probabilities, rows.intensities)
            for column in values.values()
        ]
        if not columns or not len(rows):
            return
        matrix = np.stack(columns)
        if clip != self._clip or self._last is None or len(self._last) != len(matrix):
            self._run, self._clip = 0, clip
            before = np.full((len(matrix), 1), np.inf)
        else:
            before = self._last[:, None]
        self._last = matrix[:, -1]
        # Whole numbers repeat in hand-coded tables, and where nothing moves.
        fractional = (matrix != np.floor(matrix)).any(axis=0) & ~np.isnan(matrix).all(axis=0)
        previous = np.concatenate([before, matrix[:, :-1]], axis=1)
        same = ((matrix == previous) | (np.isnan(matrix) & np.isnan(previous))).all(axis=0)
        same &= fractional
        changes = np.flatnonzero(~same)
        bounds = [0, *changes.tolist(), len(same)]
        for number, (start, stop) in enumerate(pairwise(bounds)):
            if number:
                self._run, self._begin = 0, int(frames[start])
            self._run += stop - start
            if self._run >= _FROZEN and self._run > self._longest[0]:
                self._longest = (self._run, self._begin, clip.name)

    def lines(self) -> list[str]:
        """Return a line about the longest run of equal frames, if it is long."""
        run, first, name = self._longest
        if not run:
            return []
        return [
            f"the values of {run:,} successive frames of {name} are identical, from frame {first} "
            "on: the program may have repeated them"
        ]


def _marking_last(parts: Iterator[CodeRows]) -> Iterator[tuple[CodeRows, bool]]:
    """Yield parts of a table, and whether each is the last one."""
    waiting = next(parts, None)
    for part in parts:
        assert waiting is not None
        yield waiting, False
        waiting = part
    if waiting is not None:
        yield waiting, True


def _values(rows: CodeRows) -> tuple[Mapping[str, np.ndarray], ...]:
    return rows.decisions, rows.probabilities, rows.intensities


def _are_stills(rows: CodeRows, images: bool) -> bool:
    """Return whether the rows are single images: named by images, or by keys without frames.

    Args:
        rows: the first rows of a table.
        images: whether the columns of the table are those of single images, or of a video without
            frame numbers.
    """
    if images and "image" in rows.texts:
        return _suffix(rows.texts["image"][0].as_py()) not in DATASET_VIDEO_SUFFIXES
    if images:
        return True
    if "key" in rows.texts and "frame" not in rows.numbers:
        return True
    if "image" not in rows.texts or "subject" in rows.texts:
        return "image" in rows.texts and not {"frame", "time"} & rows.numbers.keys()
    return _suffix(rows.texts["image"][0].as_py()) in _STILLS


def _suffix(path: str | None) -> str:
    return PurePosixPath((path or "").replace("\\", "/")).suffix.lower()


def _equal(column: pa.Array, text: str) -> np.ndarray:
    equal: np.ndarray = pc.fill_null(pc.equal(column, text), False).to_numpy(zero_copy_only=False)
    return equal
