"""Predictions made elsewhere: files of several programs, told apart by their columns, to arrays.

A table has subject, task and frame. OpenFace writes a file a sequence, named like it, and counts
its frames from 1, as labels of videos do. py-feat names the picture, or the video, whose frames
it counts from 0. Values are checked here; whether the frames are the protocol's is not.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fauds.datasets.subjects import shortened
from fauds.errors import DataError, UsageError
from fauds.evaluation.external.column_roles import ColumnRoles, Sheet, classify, open_sheet
from fauds.evaluation.external.formats import FORMATS, READERS, TABLE_FORMAT, Part, kind_of, whole
from fauds.evaluation.external.frame_names import Sequences

_FOLDS = "fold*/predictions.parquet"


@dataclass(frozen=True)
class ExternalPredictions:
    """What was read.

    Attributes:
        subjects, tasks: str [M]; frames: int64 [M], as the labels count them.
        occurrence: AU to probabilities, or decisions 0 and 1, float64 [M].
        intensities: AU to 0 to 5, float64 [M].
        folds: the fold that each was predicted by, int64 [M]; None where no file says.
        tracked: whether a program went over whole sequences, coded or not.
        notes: what was read as what, and what was not read, a line each.
        sources: SHA-256 by name of every file.
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


def read(
    path: Path, aus: Sequence[str], benchmark: tuple[str, int], sequences: Sequences
) -> ExternalPredictions:
    """Read predictions.

    Args:
        path: a CSV or Parquet file, a folder of them, or a run of fauds.
        aus: the benchmark's; others are not read.
        benchmark: its name and version, which predictions may carry too.
        sequences: the dataset's, which names of files are read by.

    Raises:
        UsageError: the path is no file and no folder with any.
        DataError: a file is of no known format, lacks an AU, is of another protocol's version, or
            holds what is no probability; file and line are named.
    """
    sheets = [open_sheet(file, aus) for file in _files(path)]
    kinds = {sheet.path: kind_of(sheet) for sheet in sheets}
    several = sorted(set(kinds.values()))
    if len(several) > 1:
        raise DataError(
            f"The files are of several formats: {', '.join(several)}.",
            where=path,
            hint="score each apart",
        )
    columns = {sheet.path: classify(sheet, aus) for sheet in sheets}
    parts, notes = [], [_recognised(several[0], len(sheets))]
    lost = 0
    for sheet in sheets:
        _check_version(sheet, benchmark)
        found = columns[sheet.path]
        _check_aus(sheet, found, aus)
        part, without = READERS[several[0]](sheet, found, sequences)
        _check_values(sheet, part)
        parts.append(part)
        lost += without
    notes += _unread(list(columns.values()))
    if lost:
        notes.append(f"{lost:,} frames in which no face was found count as not predicted")
    return _joined(parts, several[0] != TABLE_FORMAT, tuple(notes), sheets, path)


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.exists():
        raise UsageError("There is no such file or folder.", where=path)
    found = sorted(path.glob(_FOLDS))
    found = found or sorted(
        file for file in path.glob("*") if file.suffix.lower() in (".csv", ".parquet")
    )
    if not found:
        raise UsageError(
            "There are no predictions here: no CSV or Parquet file.",
            where=path,
            hint=f"name a file, a folder of files, or a run of fauds bench; {FORMATS}",
        )
    return found


def _recognised(kind: str, files: int) -> str:
    what = {TABLE_FORMAT: "a table with subject, task and frame"}.get(kind, f"{kind}'s output")
    return f"read as {what}: {files} file{'s' if files > 1 else ''}"


def _unread(columns: Sequence[ColumnRoles]) -> list[str]:
    """Name what was not read."""
    others = list(dict.fromkeys(name for found in columns for name in found.others))
    foreign = list(dict.fromkeys(name for found in columns for name in found.foreign))
    lines = [f"not read, unknown columns: {shortened(others)}"] if others else []
    return lines + (
        [f"not read, action units of another set: {', '.join(foreign)}"] if foreign else []
    )


def _check_version(sheet: Sheet, benchmark: tuple[str, int]) -> None:
    name, version = benchmark
    told = {sheet.made_by} if sheet.made_by else set()
    if "benchmark_version" in sheet.columns:
        told |= {(name, number) for number in set(whole(sheet, "benchmark_version").tolist())}
    for other in sorted(told - {benchmark}):
        raise DataError(
            f"The predictions are of {other[0]}, version {other[1]}; this is {name}, version "
            f"{version}.",
            where=sheet.path,
            hint="predict the frames of this version, or score with a fauds that has the other",
        )


def _check_aus(sheet: Sheet, found: ColumnRoles, aus: Sequence[str]) -> None:
    missing = [au for au in aus if au not in found.occurrence]
    if not missing:
        return
    graded = [au for au in missing if au in found.intensities]
    hint = "the benchmark scores all of its action units"
    if graded:
        hint += f"; of {', '.join(graded)} there are intensities alone: decide occurrence too"
    raise DataError(
        f"There are no predictions of {', '.join(missing)}.", where=sheet.path, hint=hint
    )


def _check_values(sheet: Sheet, part: Part) -> None:
    for named, top in ((part.values, 1), (part.intensities, 5)):
        for au, values in named.items():
            wrong = ~((values >= 0) & (values <= top))
            if not wrong.any():
                continue
            at = int(np.argmax(wrong))
            key = "/".join(
                str(word)
                for word in (part.subjects[at], part.tasks[at], part.frames[at])
                if word != ""
            )
            what = "a probability" if top == 1 else "an intensity"
            empty = bool(np.isnan(values[at]))
            others = int(wrong.sum()) - 1
            raise DataError(
                f"{au} of {key} is {'no number' if empty else f'{values[at]:g}'}, not {what} of 0 "
                f"to {top}" + (f"; nor are {others:,} more of its values." if others else "."),
                where=sheet.path,
                hint="frames without a prediction are left out of the file; see --missing"
                if empty
                else "AU01 is a probability of 0 to 1, or a decision 0 or 1; AU01_r an intensity "
                "of 0 to 5",
            )


def _joined(
    parts: Sequence[Part],
    tracked: bool,
    notes: tuple[str, ...],
    sheets: Sequence[Sheet],
    path: Path,
) -> ExternalPredictions:
    graded = [au for au in parts[0].intensities if all(au in part.intensities for part in parts)]
    folds = [part.folds for part in parts if part.folds is not None]
    if folds and len(folds) < len(parts):
        raise DataError(
            "Some of the files have a column fold, and some have none.",
            where=path,
            hint="give all of them one, so that every subject can be checked, or none",
        )
    base = path if path.is_dir() else path.parent
    return ExternalPredictions(
        subjects=np.concatenate([part.subjects for part in parts]),
        tasks=np.concatenate([part.tasks for part in parts]),
        frames=np.concatenate([part.frames for part in parts]),
        occurrence={
            au: np.concatenate([part.values[au] for part in parts]) for au in parts[0].values
        },
        intensities={au: np.concatenate([part.intensities[au] for part in parts]) for au in graded},
        folds=np.concatenate(folds) if folds else None,
        tracked=tracked,
        notes=notes,
        sources={sheet.path.relative_to(base).as_posix(): _sha256(sheet.path) for sheet in sheets},
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
