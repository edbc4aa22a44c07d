"""Looks at a table of codes of the user's own, and writes a protocol with which it is a dataset."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from fauds.datasets.base import ReadOptions
from fauds.datasets.code_rows import CodeTable
from fauds.datasets.codes import Scale
from fauds.datasets.own_table import (
    OWN_TABLE,
    CodedFrames,
    ImageMatch,
    coded_frames,
    match_images,
    open_table,
)
from fauds.datasets.subjects import abbreviated
from fauds.errors import UsageError
from fauds.facs import AUS, au_name
from fauds.protocols import benchmark as protocols
from fauds.protocols import folds as folding
from fauds.protocols import user_files as protocol_files
from fauds.tables.atomic import atomic
from fauds.targets.occurrence import Occurrence

CODED_RULE = "coded"


@dataclass(frozen=True)
class AdoptRequest:
    """How a table becomes a dataset.

    Attributes:
        table: the table.
        name: the name of the protocol, and of the dataset's folder in the workdir.
        images: the folder of the images of the frames; None for none.
        pattern: how the path of an image is made of subject, clip and frame; None to find out.
        columns: the names of columns by what they hold, see `fauds.datasets.codes.Role`.
        scale: the scale of numbers whose columns do not say it; None if the user does not say.
        missing_code: a number that stands for "not coded"; None for no such number.
        occurrence: the rule of occurrence, "coded" or, for example, "intensity >= 2"; None for
            "coded" if the table says whether AUs occur, and otherwise "intensity >= 2".
        aus: the AUs; None for all that the table codes by the rule.
        folds: the number of folds; None for 3, or as many as there are subjects.
        seed: the seed of the random folds.
        out: the protocol's file; None for NAME.yaml in the current folder.
    """

    table: Path
    name: str
    images: Path | None = None
    pattern: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    scale: Scale | None = None
    missing_code: int | None = None
    occurrence: str | None = None
    aus: tuple[str, ...] | None = None
    folds: int | None = None
    seed: int = 0
    out: Path | None = None

    @property
    def path(self) -> Path:
        """The path of the protocol's file."""
        return self.out or Path(f"{self.name}.yaml")


@dataclass(frozen=True)
class Adoption:
    """What was understood of a table, and the protocol that was written.

    Attributes:
        path: the protocol's file.
        lines: what was understood, one line each.
        folds: whether there are folds, that is, at least two subjects.
        images: the number of frames with an image.
    """

    path: Path
    lines: tuple[str, ...]
    folds: bool
    images: int


def adopt(request: AdoptRequest) -> Adoption:
    """Look at a table, and write a protocol that names it.

    Raises:
        UsageError: the name is not that of a protocol, the protocol's file exists, a column or an
            AU does not exist, or the scale of the table's numbers is not known.
        DataError: the table cannot be read, or lacks subjects, frames or AUs.
    """
    _check_name(request)
    source = _source(request)
    table = open_table(source)
    frames = coded_frames(table)
    match = match_images(frames, request.images, request.pattern)
    if match.matched and request.images is not None and match.how.startswith("by the pattern "):
        source["pattern"] = match.how.removeprefix("by the pattern ")
    target = _target(request, table)
    counts = _count(source, target)
    parts = _folds(counts, request)
    lines = _lines(request, table, frames, match, target, counts, parts)
    text = _protocol(request, source, target, frames, parts)
    with atomic(request.path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    # What was written is read as every later command reads it.
    protocol_files.read(request.path)
    return Adoption(request.path, tuple(lines), bool(parts), match.matched)


def _check_name(request: AdoptRequest) -> None:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", request.name):
        raise UsageError(
            f"{request.name!r} cannot be the name of a protocol.",
            where="--name",
            hint="use small letters a to z, digits and hyphens, such as my-faces",
        )
    if request.name in protocols.names():
        raise UsageError(
            f"{request.name} is a protocol that fauds ships.",
            where="--name",
            hint="choose another name",
        )
    if request.path.exists():
        raise UsageError(
            f"{request.path.name} exists already.",
            where=request.path,
            hint="remove it to write it again, or choose another file with --out",
        )
    if request.path.suffix.lower() not in (".yaml", ".yml"):
        raise UsageError(
            "A protocol is a YAML file.", where=request.path, hint="give a file that ends in .yaml"
        )
    if request.pattern is not None and request.images is None:
        raise UsageError(
            "The pattern is that of paths in a folder of images.",
            where="--pattern",
            hint="name the folder with --images",
        )


def _source(request: AdoptRequest) -> dict[str, Any]:
    """Return the table of the protocol, as `fauds.datasets.base.ReadOptions.table` has it."""
    if not request.table.is_file():
        raise UsageError(
            "There is no such table."
            if not request.table.exists()
            else "This is a folder; a dataset is one table.",
            where=request.table,
            hint="give a text or Parquet file with a row for each frame and a column of subjects",
        )
    source: dict[str, Any] = {"file": str(request.table.resolve())}
    if request.columns:
        source["columns"] = dict(request.columns)
    if request.scale is not None:
        source["scale"] = request.scale
    if request.images is not None:
        source["images"] = str(request.images.resolve())
    if request.pattern is not None:
        source["pattern"] = request.pattern
    source["missing_code"] = request.missing_code
    return source


def _target(request: AdoptRequest, table: CodeTable) -> Occurrence:
    decided = {*table.has("decision"), *table.has("probability")}
    graded = {*table.has("intensity")}
    rule = request.occurrence or (CODED_RULE if decided else "intensity >= 2")
    coded = decided if rule == CODED_RULE else graded
    other = "'intensity >= 2'" if rule == CODED_RULE else CODED_RULE
    available = [au for au in AUS if au in coded]
    if not available:
        raise UsageError(
            "The table does not code whether AUs occur."
            if rule == CODED_RULE
            else "The table has no intensities.",
            where="--occurrence",
            hint=f"use --occurrence {other}",
        )
    chosen = available if request.aus is None else [au_name(au) for au in request.aus]
    absent = [au for au in chosen if au not in available]
    if absent:
        raise UsageError(
            f"The table does not code {', '.join(absent)} by the rule {rule!r}.",
            where="--aus",
            hint=f"choose from: {', '.join(available)}",
        )
    return Occurrence(aus=tuple(chosen), rule=rule)


def _count(source: Mapping[str, Any], target: Occurrence) -> folding.LabelCounts:
    """Return the label counts of each subject, as the steps of a dataset will read them."""
    tables: list[pa.Table] = []
    options = ReadOptions(aus=target.aus, occurrence_at=target.occurrence_at, table=source)
    OWN_TABLE.read(Path(source["file"]).parent, None, options, sink=tables.append)
    return folding.count_subjects(tables[0].unify_dictionaries(), target)


def _folds(counts: folding.LabelCounts, request: AdoptRequest) -> dict[int, list[str]]:
    """Return the subjects that each fold tests; empty if there is one subject only."""
    size = len(counts.subjects)
    if size < 2:
        return {}
    k = request.folds or min(folding.DEFAULT_FOLDS, size)
    if k > size:
        raise UsageError(
            f"{size} subjects cannot be divided into {k} folds.",
            where="--folds",
            hint=f"use --folds {size} or fewer",
        )
    table = folding.random_folds(counts, k, request.seed)
    parts: dict[int, list[str]] = {number: [] for number in range(1, k + 1)}
    for row in table.to_pylist():
        parts[row["fold"]].append(row["subject"])
    return parts


def _lines(
    request: AdoptRequest,
    table: CodeTable,
    frames: CodedFrames,
    match: ImageMatch,
    target: Occurrence,
    counts: folding.LabelCounts,
    parts: Mapping[int, list[str]],
) -> list[str]:
    clips = {*zip(frames.subjects, frames.tasks, strict=True)}
    named_clips = sorted({task for task in frames.tasks if task})
    lines = [
        f"table: {table.recognised()}",
        f"subjects: {len(counts.subjects)} ({abbreviated([*counts.subjects], 6)})",
    ]
    sexes = [sex for sex in counts.sexes if sex]
    known = (
        f"F {sexes.count('F')}, M {sexes.count('M')}, not known {len(counts.sexes) - len(sexes)}"
    )
    lines.append(f"sex of the subjects: {known}")
    if frames.frames is None:
        lines.append(f"frames: {len(frames):,} single images, named by their keys")
    else:
        what = f"clips: {len(clips)}"
        lines.append(f"{what} ({abbreviated(named_clips, 6)})" if named_clips else what)
        first, last = int(frames.frames.min()), int(frames.frames.max())
        lines.append(f"frames: {len(frames):,}, numbered from {first} to {last}")
    positives, coded = counts.positives.sum(axis=0), counts.coded.sum(axis=0)
    rates = [
        f"{au} {100 * positive / total:.1f}" if total else f"{au} not coded"
        for au, positive, total in zip(target.aus, positives.tolist(), coded.tolist(), strict=True)
    ]
    lines.append(f"occurrence: {target.rule}")
    lines.append(f"active frames, %: {', '.join(rates)}")
    never = [
        au for au, positive in zip(target.aus, positives.tolist(), strict=True) if not positive
    ]
    if never:
        lines.append(f"never active, so that no model learns them: {', '.join(never)}")
    graded = [au for au in target.aus if au in table.has("intensity")]
    if graded:
        lines.append(f"intensities: {', '.join(graded)}")
    sided = [au for au, sides in frames.rows.sides.items() if (sides >= 0).any()]
    if sided:
        lines.append(f"sides of the face: {', '.join(au for au in AUS if au in sided)}")
    lines += _image_lines(request, frames, match)
    lines += table.counts.lines()
    if parts:
        tested = "; ".join(f"{number}: {abbreviated(names, 4)}" for number, names in parts.items())
        lines.append(f"folds: {len(parts)}, at random by subject (fold k tests part k): {tested}")
    else:
        lines.append("folds: none, as there is one subject: no model can be tested on other people")
    return lines


def _image_lines(request: AdoptRequest, frames: CodedFrames, match: ImageMatch) -> list[str]:
    if request.images is None:
        return ["images: none; give their folder with --images DIR to train or test a model"]
    lines = [f"images: {match.matched:,} of {len(frames):,} frames, {match.how}"]
    if match.unused:
        lines.append(f"images that belong to no frame: {match.unused:,}")
    if not match.matched:
        lines.append(
            "no image fits: say how paths are made, such as --pattern '{subject}/{clip}/{frame}', "
            "or name the column of paths: --column image=NAME"
        )
    return lines


_TEMPLATE = """\
# {title}: a protocol for fauds, written by fauds adopt.
#
# Every command takes it: fauds build-captions --benchmark {file}
# docs/protocols.md explains all keys. Raise the version when you change anything that decides
# figures: aus, occurrence, folds, metric, alignment or how the table is read.
name: {name}
version: 1
title: {title}
dataset: table
table:
  # The table and the folder of images; relative paths begin at this file.
  file: {table}
{table_keys}\
# The action units that models predict and captions describe; remove those that you do not need.
aus: [{aus}]
# coded: as the table says; or intensity >= 1 to intensity >= 5.
occurrence: {occurrence}
# A number that stands for "not coded", such as 9; null for none (empty cells are not coded).
missing_code: {missing}
# a column of the table, or not published (a table subject,sex can be given with --sexes).
sexes: {sexes}
frames:
  described: every coded frame
{folds}\
metric:
  name: F1 per AU over all frames of the test part, mean over AUs, mean over folds
  threshold: 0.5    # the probability from which a model says that an AU is active
  selection: last   # the last epoch is tested; nothing is chosen on the test part
# Frames without a row in external predictions (fauds score): refuse, drop or inactive.
missing_predictions: refuse
# none: images are used as they are, which is right for face crops. For whole frames write
#   {{name: eyes-similarity, version: 1, without_landmarks: detect}}
# and find the faces with: fauds prepare --benchmark {file} --detector dlib
alignment: {{name: none, version: 1}}
licence: yours; faces of this dataset stay out of reports unless asked for
access: a table of its owner
"""


def _protocol(
    request: AdoptRequest,
    source: Mapping[str, Any],
    target: Occurrence,
    frames: CodedFrames,
    parts: Mapping[int, list[str]],
) -> str:
    """Return the protocol as YAML text with comments."""
    beside = request.path.resolve().parent
    keys = []
    if "images" in source:
        keys.append(f"images: {_scalar(_relative(Path(source['images']), beside))}")
    if "pattern" in source:
        keys.append(f"# How the path of an image is made, without its suffix.\n  pattern: "
                    f"{_scalar(source['pattern'])}")  # fmt: skip
    if "columns" in source:
        listed = ", ".join(f"{role}: {_scalar(name)}" for role, name in source["columns"].items())
        keys.append(f"columns: {{{listed}}}")
    if "scale" in source:
        keys.append(f"scale: {_scalar(source['scale'])}")
    folds = ""
    if parts:
        listed = "".join(
            f"    {number}: [{', '.join(map(_scalar, names))}]\n" for number, names in parts.items()
        )
        folds = (
            "# Random folds, seed "
            f"{request.seed}: no subject is in two of them. Fold k tests part k and trains on the "
            "others.\nfolds:\n"
            f"  name: random-{len(parts)}fold\n  parts:\n{listed}"
        )
    return _TEMPLATE.format(
        title=request.table.stem.replace("\n", " "),
        file=request.path.name,
        name=request.name,
        table=_scalar(_relative(Path(source["file"]), beside)),
        table_keys="".join(f"  {key}\n" for key in keys),
        aus=", ".join(target.aus),
        occurrence=target.rule,
        missing="null" if request.missing_code is None else request.missing_code,
        sexes="a column of the table" if "sex" in frames.rows.texts else "not published",
        folds=folds,
    ).replace(f"title: {request.table.stem}", f"title: {_scalar(request.table.stem)}", 1)


def _relative(path: Path, folder: Path) -> str:
    """Return a path relative to a folder if it lies below it, and otherwise absolute."""
    relative = os.path.relpath(path, folder)
    return str(path) if relative.startswith("..") else relative


def _scalar(text: str) -> str:
    """Return a text as a YAML scalar, quoted if it would otherwise be another value."""
    dumped: str = yaml.safe_dump([text], allow_unicode=True, default_flow_style=True, width=10**6)
    return dumped.strip()[1:-1]
