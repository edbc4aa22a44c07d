"""Reads files with predictions of other programs into arrays.

Three formats are recognised by their columns. A table has the columns subject, task and frame, or
key for images without numbers. OpenFace writes one file for each sequence (one subject in one
task); the file is named after the sequence, and frames are counted from 1, as in the labels of
videos. Each row of a file of py-feat names an image, or a video and the number of a frame in it,
counted from 0. The values are checked here; `match` checks that the frames are those of the
protocol.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fauds.datasets.subjects import abbreviated
from fauds.errors import DataError, UsageError
from fauds.evaluation.external.column_roles import ColumnRoles, Sheet, classify, open_sheet
from fauds.evaluation.external.formats import FORMATS, READERS, TABLE_FORMAT, Part, kind_of, whole
from fauds.evaluation.external.frame_names import Sequences

_FOLDS = "fold*/predictions.parquet"


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
        keys: the keys of the images, str [M], if they have no numbers, as in `Part`; None for
            numbered frames.
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
        path: a CSV or Parquet file, a folder of such files, or the folder of a run of fauds.
        aus: the names of the AUs or classes that the benchmark scores; columns of other AUs are not
            read.
        benchmark: the name and version of the benchmark; files that name another benchmark or
            version are refused.
        sequences: the sequences of the dataset, by which file names are interpreted.

    Raises:
        UsageError: the path does not exist, or the folder contains no CSV or Parquet file.
        DataError: a file has an unknown format, lacks an AU, is for another version of the
            protocol, or contains a value out of range; the message names the file and the frame.
    """
    sheets = [open_sheet(file, aus) for file in _files(path)]
    formats = {sheet.path: kind_of(sheet) for sheet in sheets}
    distinct = sorted(set(formats.values()))
    if len(distinct) > 1:
        raise DataError(
            f"The files are in several formats: {', '.join(distinct)}.",
            where=path,
            hint="score the files of each format separately",
        )
    columns = {sheet.path: classify(sheet, aus) for sheet in sheets}
    parts, notes = [], [_recognised(distinct[0], len(sheets), sequences)]
    without_face = 0
    for sheet in sheets:
        _check_version(sheet, benchmark)
        roles = columns[sheet.path]
        _check_aus(sheet, roles, aus)
        part, skipped = READERS[distinct[0]](sheet, roles, sequences)
        _check_values(sheet, part)
        parts.append(part)
        without_face += skipped
    notes += _unread_columns(list(columns.values()))
    if without_face:
        notes.append(f"{without_face:,} frames in which no face was found count as not predicted")
    return _joined(parts, distinct[0] != TABLE_FORMAT, tuple(notes), sheets, path)


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
        file for file in path.glob("*") if file.suffix.lower() in (".csv", ".parquet")
    )
    if not files:
        raise UsageError(
            "The folder contains no CSV or Parquet file.",
            where=path,
            hint=f"name a file, a folder of files, or a run of fauds bench; {FORMATS}",
        )
    return files


def _recognised(kind: str, files: int, sequences: Sequences) -> str:
    """Return a line of text that tells the user which format the files have.

    Args:
        kind: the format, such as "OpenFace".
        files: the number of files.
        sequences: the sequences of the dataset.
    """
    output = f"{kind}'s output"
    if kind == TABLE_FORMAT:
        names = "subject, task and frame" if sequences.numbered else "key"
        output = f"a table with {names}"
    return f"read as {output}: {files} file{'s' if files > 1 else ''}"


def _unread_columns(columns: Sequence[ColumnRoles]) -> list[str]:
    """Return lines of text that tell the user which columns of the files were not read."""
    others = list(dict.fromkeys(name for roles in columns for name in roles.others))
    foreign = list(dict.fromkeys(name for roles in columns for name in roles.foreign))
    lines = [f"columns not read, as they are unknown: {abbreviated(others)}"] if others else []
    return lines + (
        [f"columns not read, as the benchmark does not score these AUs: {', '.join(foreign)}"]
        if foreign
        else []
    )


def _check_version(sheet: Sheet, benchmark: tuple[str, int]) -> None:
    name, version = benchmark
    declared = {sheet.made_by} if sheet.made_by else set()
    if "benchmark_version" in sheet.columns:
        declared |= {(name, number) for number in set(whole(sheet, "benchmark_version").tolist())}
    for other in sorted(declared - {benchmark}):
        raise DataError(
            f"The predictions are for {other[0]}, version {other[1]}, and cannot be scored by "
            f"{name}, version {version}.",
            where=sheet.path,
            hint=f"predict the frames of {name}, version {version}; or score by the benchmark and "
            "version that the predictions are for, if need be with another version of fauds",
        )


def _check_aus(sheet: Sheet, roles: ColumnRoles, aus: Sequence[str]) -> None:
    missing = [au for au in aus if au not in roles.occurrence]
    if not missing:
        return
    intensity_only = [au for au in missing if au in roles.intensities]
    hint = "add a column for each of them: the benchmark scores all of its AUs or classes"
    if intensity_only:
        hint += (
            f"; for {', '.join(intensity_only)} there are only intensities: add columns of "
            "probabilities or decisions"
        )
    raise DataError(
        f"There are no predictions of {', '.join(missing)}.", where=sheet.path, hint=hint
    )


def _check_values(sheet: Sheet, part: Part) -> None:
    for columns, top in ((part.values, 1), (part.intensities, 5)):
        for au, values in columns.items():
            wrong = ~((values >= 0) & (values <= top))
            if not wrong.any():
                continue
            at = int(np.argmax(wrong))
            words = (part.subjects[at], part.tasks[at], part.frames[at])
            key = "/".join(str(word) for word in words if word != "")
            if part.keys is not None:
                key = str(part.keys[at])
            quantity = "a probability" if top == 1 else "an intensity"
            empty = bool(np.isnan(values[at]))
            others = int(wrong.sum()) - 1
            raise DataError(
                f"{au} of {key} is {'empty' if empty else f'{values[at]:g}'}, not {quantity} "
                f"from 0 to {top}" + (f"; {others:,} more values are wrong." if others else "."),
                where=sheet.path,
                hint="leave out rows without a prediction; --missing decides how these frames are "
                "scored"
                if empty
                else "write probabilities from 0 to 1, or decisions 0 and 1, into columns such as "
                "AU01, and intensities from 0 to 5 into columns such as AU01_r",
            )


def _joined(
    parts: Sequence[Part],
    tracked: bool,
    notes: tuple[str, ...],
    sheets: Sequence[Sheet],
    path: Path,
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
        sources={sheet.path.relative_to(base).as_posix(): _sha256(sheet.path) for sheet in sheets},
        keys=np.concatenate(keys) if keys else None,
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
