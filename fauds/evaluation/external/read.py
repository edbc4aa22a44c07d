"""Reads tables of external predictions, and finds out which frame each of their rows is about.

The tables are opened and their columns recognised by `fauds.datasets.code_rows`, as for every
command. A row names its frame by subject, task and frame number; by the key of an image; by the
path of an image or video; or by a frame number in a file that is named after its sequence (one
subject in one task). `match` checks that the frames are those of the protocol.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from fauds.datasets.code_rows import CodeRows, CodeTable, join_rows, open_codes
from fauds.datasets.codes import TABLE
from fauds.datasets.subjects import abbreviated
from fauds.errors import DataError, UsageError
from fauds.evaluation.external.frame_names import Sequences

_FOLDS = "fold*/predictions.parquet"
_FORMATS = (
    "a table needs the columns subject, task and frame (task only if subjects have several tasks), "
    "or key for images without numbers; a file of OpenFace, LibreFace or another program needs a "
    "column of frames and the name of its sequence, such as F001_T1.csv; a file of py-feat needs "
    "input and frame; every file also needs a column for each AU or class, such as AU01"
)


@dataclass(frozen=True)
class ExternalPredictions:
    """Predictions of M frames by another program.

    Attributes:
        subjects: the subject of each frame, str [M].
        tasks: the task of each frame, str [M]; "" for datasets without tasks.
        frames: the frame numbers, counted as the labels count frames, int64 [M].
        occurrence: by AU or class, probabilities or decisions 0 and 1, float64 [M].
        intensities: by AU, intensities from 0 to 5, float64 [M].
        folds: the number of the fold whose model predicted each frame, int64 [M]; None if the files
            do not name folds.
        tracked: whether the program processed whole sequences, including frames that are not coded.
        keys: the keys of the images, str [M], if they have no numbers; subjects and tasks are then
            empty texts, and frames 0. None for numbered frames.
        notes: lines of text for the user: the recognised format, and the columns and frames that
            were not read.
        sources: by file name, the SHA-256 of the file.
    """

    subjects: np.ndarray
    tasks: np.ndarray
    frames: np.ndarray
    occurrence: dict[str, np.ndarray]
    intensities: dict[str, np.ndarray]
    folds: np.ndarray | None
    tracked: bool
    notes: tuple[str, ...]
    sources: dict[str, str]
    keys: np.ndarray | None = None

    def name(self, row: int) -> str:
        """Return the key of a predicted frame, such as F001/T1/2440, for messages."""
        if self.keys is not None:
            return str(self.keys[row])
        parts = (self.subjects[row], self.tasks[row], self.frames[row])
        return "/".join(str(part) for part in parts if part != "")


def read(
    path: Path, aus: Sequence[str], benchmark: tuple[str, int], sequences: Sequences
) -> ExternalPredictions:
    """Read predictions of another program, and check their values.

    Args:
        path: a text or Parquet file, a folder of such files, or the folder of a run of fauds.
        aus: the names of the AUs or classes that the benchmark scores; columns of other AUs are not
            read.
        benchmark: the name and version of the benchmark; files that name another benchmark or
            version are refused.
        sequences: the sequences of the dataset, by which file names are interpreted.

    Raises:
        UsageError: the path does not exist, or the folder contains no CSV or Parquet file.
        DataError: a file has an unknown format, lacks an AU, is for another version of the
            protocol, or contains a value out of range; the message names the file and the line.
    """
    # Columns without a scale hold probabilities, or decisions, which are probabilities 0 and 1.
    tables = [open_codes(file, names=aus, scale="probability") for file in _files(path)]
    kinds = {table.path: _kind(table) for table in tables}
    distinct = sorted(set(kinds.values()))
    if len(distinct) > 1:
        raise DataError(
            f"The files are in several formats: {', '.join(distinct)}.",
            where=path,
            hint="score the files of each format separately",
        )
    parts = [_Part(table, aus, benchmark, sequences) for table in tables]
    notes = [_recognised(distinct[0], len(tables), sequences), *_unread_columns(tables, aus)]
    skipped = sum(part.without_face for part in parts)
    if skipped:
        notes.append(f"{skipped:,} frames in which no face was found count as not predicted")
    incomplete = sum(part.incomplete for part in parts)
    if incomplete:
        first = next(part.first_incomplete for part in parts if part.incomplete)
        notes.append(
            f"{incomplete:,} frames without a number for every AU or class count as not predicted; "
            f"the first is in {first}"
        )
    for table in tables:
        notes += [line for line in table.counts.lines() if not line.startswith("rows without a")]
    return _joined(parts, distinct[0] != TABLE, tuple(notes), path)


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.exists():
        raise UsageError(
            "The predictions cannot be read: there is no such file or folder.",
            where=path,
            hint="name a file, a folder of files, or a run of fauds bench",
        )
    files = sorted(path.glob(_FOLDS))
    files = files or sorted(
        file for file in path.glob("*") if file.suffix.lower() in (".csv", ".tsv", ".parquet")
    )
    if not files:
        raise UsageError(
            "The folder contains no CSV or Parquet file.",
            where=path,
            hint=f"name a file, a folder of files, or a run of fauds bench; {_FORMATS}",
        )
    return files


def _kind(table: CodeTable) -> str:
    """Return `TABLE` if rows name their frames as the dataset does, or else the program.

    Raises:
        DataError: the rows name no frames.
    """
    places = table.layout.places
    if {"subject", "frame"} <= places.keys() or ("key" in places and "image" not in places):
        return TABLE
    if "frame" in places or "image" in places:
        return table.layout.tool
    raise DataError(
        "The format of this prediction file is not recognised by its columns: "
        f"{abbreviated(list(table.file.header))}.",
        where=table.path,
        hint=_FORMATS,
    )


def _recognised(kind: str, files: int, sequences: Sequences) -> str:
    """Return a line of text that tells the user which format the files have.

    Args:
        kind: the format, such as "OpenFace".
        files: the number of files.
        sequences: the sequences of the dataset.
    """
    output = f"{kind}'s output"
    if kind == TABLE:
        names = "subject, task and frame" if sequences.numbered else "key"
        output = f"a table with {names}"
    return f"read as {output}: {files} file{'s' if files > 1 else ''}"


def _unread_columns(tables: Sequence[CodeTable], aus: Sequence[str]) -> list[str]:
    """Return lines of text that tell the user which columns of the files were not read."""
    others, foreign = [], []
    for table in tables:
        others += [*table.layout.others, *table.layout.unknown_aus]
        foreign += [one.name for one in table.layout.columns if one.au not in aus]
    others, foreign = list(dict.fromkeys(others)), list(dict.fromkeys(foreign))
    lines = [f"columns not read, as they are unknown: {abbreviated(others)}"] if others else []
    return lines + (
        [f"columns not read, as the benchmark does not score these AUs: {', '.join(foreign)}"]
        if foreign
        else []
    )


class _Part:
    """The predictions in one file, of which only rows with all AUs or classes are kept.

    Args:
        table: the opened file.
        aus: the names of the AUs or classes.
        benchmark: the name and the version of the benchmark.
        sequences: the sequences of the dataset.
    """

    def __init__(
        self,
        table: CodeTable,
        aus: Sequence[str],
        benchmark: tuple[str, int],
        sequences: Sequences,
    ) -> None:
        self._table, self._sequences = table, sequences
        self.path = table.path
        _check_version(table, benchmark)
        _check_aus(table, aus)
        parts = list(table.rows())
        if not parts:
            self._be_empty(aus)
            return
        rows = join_rows(parts)
        self._check_versions(rows, benchmark)
        self.folds = self._whole(rows, "fold") if "fold" in rows.numbers else None
        subjects, tasks, frames, keys = self._frames(rows)
        values = {au: rows.probabilities.get(au, rows.decisions.get(au)) for au in aus}
        columns = {au: column for au, column in values.items() if column is not None}
        complete = ~np.isnan(np.stack([*columns.values()])).any(axis=0)
        self.without_face = int((~rows.has_face).sum())
        lacking = rows.has_face & ~complete
        self.incomplete = int(lacking.sum())
        if self.incomplete:
            place = table.file.error("", int(rows.index[lacking.argmax()])).where
            self.first_incomplete = str(place)
        keep = np.flatnonzero(rows.has_face & complete)
        self.subjects, self.tasks, self.frames = subjects[keep], tasks[keep], frames[keep]
        self.keys = None if keys is None else keys[keep]
        self.folds = None if self.folds is None else self.folds[keep]
        self.values = {au: column[keep] for au, column in columns.items()}
        intensities = {au: rows.intensities[au][keep] for au in aus if au in rows.intensities}
        self.intensities = {
            au: column for au, column in intensities.items() if not np.isnan(column).any()
        }

    def _be_empty(self, aus: Sequence[str]) -> None:
        nothing = np.empty(0)
        self.subjects = self.tasks = np.empty(0, np.str_)
        self.frames = np.empty(0, np.int64)
        self.keys = None if self._sequences.numbered else np.empty(0, np.str_)
        self.folds = np.empty(0, np.int64) if "fold" in self._table.layout.places else None
        self.values = dict.fromkeys(aus, nothing)
        self.intensities = {au: nothing for au in self._table.has("intensity") if au in aus}
        self.without_face = self.incomplete = 0
        self.first_incomplete = ""

    def _check_versions(self, rows: CodeRows, benchmark: tuple[str, int]) -> None:
        if "benchmark_version" not in rows.numbers:
            return
        for version in sorted(set(self._whole(rows, "benchmark_version").tolist())):
            if version != benchmark[1]:
                raise _other_version(self._table, (benchmark[0], version), benchmark)

    def _whole(self, rows: CodeRows, role: str) -> np.ndarray:
        """Return a column of whole numbers, int64 [N].

        Raises:
            DataError: a cell is empty or not a whole number.
        """
        values = rows.numbers[role]
        # Beyond 2**53, float64 cannot represent every whole number.
        wrong = ~((np.abs(values) < 2**53) & (values == np.floor(values)))
        if wrong.any():
            row = int(wrong.argmax())
            shown = "empty" if np.isnan(values[row]) else f"{values[row]:g}"
            name = self._table.layout.places[role]
            raise self._table.file.error(
                f"The column {name} is {shown}, but must hold whole numbers.",
                int(rows.index[row]),
                "correct this cell",
            )
        return values.astype(np.int64)

    def _frames(
        self, rows: CodeRows
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
        """Return the subject, task and frame number of each row, and its key if it has no number.

        Raises:
            DataError: rows name their frames in another way than the dataset, or name none of it.
        """
        if _kind(self._table) == TABLE:
            return self._named_frames(rows)
        if "image" in rows.texts or "clip" in rows.texts:
            inputs = rows.texts.get("image", rows.texts.get("clip"))
            subjects, tasks, frames = self._sequences.of_inputs(
                _strings(inputs), self._counted_from_0(rows), self.path
            )
            return subjects, tasks, frames, None
        subject, task = self._sequences.of_name(self.path.stem, self.path)
        size = len(rows)
        frames = self._counted_from_0(rows) + 1
        return np.full(size, subject), np.full(size, task), frames, None

    def _counted_from_0(self, rows: CodeRows) -> np.ndarray:
        """Return the frame number of each row in its video, counted from 0."""
        if "frame" not in rows.numbers:
            return np.zeros(len(rows), np.int64)
        frames = self._whole(rows, "frame")
        first = self._table.layout.first_frame
        if first is None:
            # A program that writes a frame 0 counts from 0.
            first = 0 if (frames == 0).any() else 1
        if (frames < first).any():
            raise DataError(
                f"The file has a frame {frames.min()}, but {self._table.layout.tool} counts frames "
                f"from {first}.",
                where=self.path,
                hint="number the frames from 1, as the labels do: add 1 to the column frame",
            )
        return frames - first

    def _named_frames(
        self, rows: CodeRows
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
        numbered, places = self._sequences.numbered, self._table.layout.places
        needed = ("subject", "frame") if numbered else ("key",)
        missing = [role for role in needed if role not in places]
        if missing:
            raise DataError(
                f"There is no column {', '.join(missing)}.",
                where=self.path,
                hint="name each frame as frames.parquet does, by subject, task and frame number"
                if numbered
                else "this dataset's images have no numbers: name them by their keys, as "
                "frames.parquet does",
            )
        size = len(rows)
        if not numbered:
            unknown = np.full(size, "")
            return unknown, unknown, np.zeros(size, np.int64), _strings(rows.texts["key"])
        if "clip" in rows.texts:
            tasks = _strings(rows.texts["clip"])
        elif self._sequences.have_tasks:
            raise DataError(
                "The column task is missing, but the subjects of this dataset have several tasks.",
                where=self.path,
                hint="add a column task with the task of each frame, such as T1 to T8 for BP4D",
            )
        else:
            tasks = np.full(size, "")
        return _strings(rows.texts["subject"]), tasks, self._whole(rows, "frame"), None


def _strings(column: pa.Array | None) -> np.ndarray:
    """Return a column of texts, str [N]; "" where a cell is empty."""
    return np.array([text or "" for text in (column.to_pylist() if column else [])], np.str_)


def _check_version(table: CodeTable, benchmark: tuple[str, int]) -> None:
    if table.layout.made_by not in (None, benchmark):
        assert table.layout.made_by is not None
        raise _other_version(table, table.layout.made_by, benchmark)


def _other_version(
    table: CodeTable, other: tuple[str, int], benchmark: tuple[str, int]
) -> DataError:
    name, version = benchmark
    return DataError(
        f"The predictions are for {other[0]}, version {other[1]}, and cannot be scored by "
        f"{name}, version {version}.",
        where=table.path,
        hint=f"predict the frames of {name}, version {version}; or score by the benchmark and "
        "version that the predictions are for, if need be with another version of fauds",
    )


def _check_aus(table: CodeTable, aus: Sequence[str]) -> None:
    predicted = {*table.has("probability"), *table.has("decision")}
    missing = [au for au in aus if au not in predicted]
    if not missing:
        return
    intensity_only = [au for au in missing if au in table.has("intensity")]
    hint = "add a column for each of them: the benchmark scores all of its AUs or classes"
    if intensity_only:
        hint += (
            f"; for {', '.join(intensity_only)} there are only intensities: add columns of "
            "probabilities or decisions"
        )
    raise DataError(
        f"There are no predictions of {', '.join(missing)}.", where=table.path, hint=hint
    )


def _joined(
    parts: Sequence[_Part], tracked: bool, notes: tuple[str, ...], path: Path
) -> ExternalPredictions:
    """Join the predictions of all files into one set of arrays.

    The intensities of an AU are kept only if every file has them. For `tracked` and `notes` see
    `ExternalPredictions`.
    """
    with_intensities = [
        au for au in parts[0].intensities if all(au in part.intensities for part in parts)
    ]
    folds = [part.folds for part in parts if part.folds is not None]
    if folds and len(folds) < len(parts):
        raise DataError(
            "Some of the files have a column fold, and some have none.",
            where=path,
            hint="add the column fold to all files, so that all subjects can be checked, or remove "
            "it from all files",
        )
    base = path if path.is_dir() else path.parent
    keys = [part.keys for part in parts if part.keys is not None]
    return ExternalPredictions(
        subjects=np.concatenate([part.subjects for part in parts]),
        tasks=np.concatenate([part.tasks for part in parts]),
        frames=np.concatenate([part.frames for part in parts]),
        occurrence={
            au: np.concatenate([part.values[au] for part in parts]) for au in parts[0].values
        },
        intensities={
            au: np.concatenate([part.intensities[au] for part in parts]) for au in with_intensities
        },
        folds=np.concatenate(folds) if folds else None,
        tracked=tracked,
        notes=notes,
        sources={part.path.relative_to(base).as_posix(): _sha256(part.path) for part in parts},
        keys=np.concatenate(keys) if keys else None,
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
