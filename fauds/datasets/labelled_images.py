"""Datasets of single images, each labelled with one class: what their readers have in common.

The images belong to no sequence and have no number. Who is on them is mostly not published, and the
release itself says which are for training and which for testing.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from fauds.datasets import tree
from fauds.datasets.base import ReadOptions
from fauds.datasets.image_folders import SUFFIXES
from fauds.datasets.media_files import Footage, LandmarkFiles, SequenceId, Source
from fauds.datasets.subjects import abbreviated, select_subjects
from fauds.errors import DataError, UsageError
from fauds.registry import unknown_name_error
from fauds.tables.columns import categories, from_numpy, from_strings
from fauds.tables.delimited import open_columns, trimmed_texts
from fauds.tables.schemas import SPLIT, frames_schema
from fauds.targets.expression import COLUMN

SPLITS = ("train", "test")
LANDMARKS = "landmarks.csv"
"""A table of landmarks in a folder of images: source (an image's name), frame (1), x0, y0, ..."""

# Reasons why options cannot be used, for `fauds.datasets.base.check_options`.
NO_SUBJECTS = "the release does not say who is on its images"
NO_NUMBERS = "its images have no numbers"
NO_AUS = "its images are labelled with expressions, not with action units"

Labels = tuple[str, str, int]
"""An image's key, its part of the release's own split ("train" or "test"), and its class code."""


@dataclass(frozen=True)
class ClassCodes:
    """How the class codes of a dataset become labels.

    Attributes:
        names: the name of the class of each code that stands for a class.
        others: the meaning of each code that stands for no class, such as an image without a face.
        index: the label of each code whose class the benchmark has: its position in the
            benchmark's list of classes.
    """

    names: Mapping[int, str]
    others: Mapping[int, str]
    index: Mapping[int, int]

    def meaning(self, code: int) -> str | None:
        """Return what a code stands for; None if the dataset has no such code."""
        return self.names.get(code) or self.others.get(code)


def class_codes(
    options: ReadOptions, names: Mapping[int, str], others: Mapping[int, str] | None = None
) -> ClassCodes:
    """Return the labels of a dataset's class codes for a benchmark.

    Args:
        options: the options of reading, with the classes of the benchmark.
        names: the name of the class of each code.
        others: the meaning of each code that stands for no class; None for no such codes.

    Raises:
        UsageError: the benchmark has no classes, or one that the dataset does not label.
    """
    if not options.classes:
        raise UsageError(
            "This dataset labels each image with an expression, and the protocol names none.",
            hint=f"set target: {{kind: expression, classes: [{', '.join(names.values())}]}}",
        )
    code_of = {name: code for code, name in names.items()}
    for name in options.classes:
        if name not in code_of:
            raise unknown_name_error("class", name, list(code_of))
    index = {code_of[name]: label for label, name in enumerate(options.classes)}
    return ClassCodes(names, others or {}, index)


@dataclass(frozen=True)
class ImageFiles:
    """The files in a folder and in all folders below it.

    Attributes:
        names: the paths of the files relative to the folder, with slashes.
        digest: a hex digest of the path, size and modification time of every file.
    """

    names: frozenset[str] = frozenset()
    digest: str = ""


def list_files(folder: Path, suffixes: tuple[str, ...] = SUFFIXES) -> ImageFiles:
    """Return the files with some suffixes in a folder and below it; none if there is no folder.

    Files are left out in folders that `fauds.datasets.tree.walk` leaves out.

    Args:
        folder: the folder.
        suffixes: the ends of the names of the files, such as ".jpg", in lower case; case in the
            names does not matter.
    """
    entries: list[str] = []
    digests: list[str] = []
    for at, files in tree.walk(folder, lambda _: False) if folder.is_dir() else ():
        prefix = "" if at == folder else f"{at.relative_to(folder).as_posix()}/"
        for name in files or ():
            if name.lower().endswith(suffixes):
                status = os.stat(at / name)
                entries.append(f"{prefix}{name}")
                digests.append(f"{entries[-1]} {status.st_size} {status.st_mtime_ns}\n")
    digest = hashlib.sha256("".join(sorted(digests)).encode(errors="surrogateescape"))
    return ImageFiles(frozenset(entries), digest.hexdigest())


@dataclass(frozen=True)
class LabelledImages:
    """The images of a release that have a class of the benchmark, N of them.

    Attributes:
        keys: the unique id of each image in words, such as train_00001.
        splits: the part of the release's own split that each image is in, "train" or "test".
        labels: the label of each image: the position of its class in the benchmark's list.
        images: the path of each image; None if the file is missing.
        sexes: the sex of the person on each image, "F", "M" or None.
        subjects: the subject of each image; empty if subjects are not known.
        left_out: the number of images that are left out, by what their code stands for.
    """

    keys: list[str]
    splits: list[str]
    labels: list[int]
    images: list[str | None]
    sexes: list[str | None]
    subjects: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    def table(self) -> pa.Table:
        """Return the rows of the frames table, ordered by subject where subjects are known.

        Subject, task and frame number are null where they are not known.
        """
        size = len(self.keys)
        order = np.arange(size)
        if self.subjects:
            order = np.argsort(np.array(self.subjects, np.str_), kind="stable")
        none = categories([None] * size)
        columns = {
            "frame_id": from_numpy(np.arange(size), pa.int64()),
            "key": from_strings([self.keys[row] for row in order]),
            "subject": categories([self.subjects[row] for row in order]) if self.subjects else none,
            "task": none,
            "frame": pa.nulls(size, pa.int32()),
            "sex": categories([self.sexes[row] for row in order]),
            "image": pa.array([self.images[row] for row in order], pa.string()),
            COLUMN: from_numpy(np.array(self.labels, np.int8)[order], pa.int8()),
        }
        schema = frames_schema([COLUMN])
        table = pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)
        return table.append_column(SPLIT, categories([self.splits[row] for row in order]))

    def notes(self, classes: Sequence[str]) -> list[str]:
        """Return messages about labels, classes, missing images and subjects, one line each.

        Args:
            classes: the names of the benchmark's classes, in the order of the labels.
        """
        splits, counts = Counter(self.splits), Counter(self.labels)
        lines = [
            f"labels: {len(self.keys):,} images, "
            + ", ".join(f"{splits[split]:,} {split}" for split in SPLITS),
            "classes: "
            + ", ".join(f"{name} {counts[label]:,}" for label, name in enumerate(classes)),
        ]
        if self.left_out:
            counted = ", ".join(f"{name} {count:,}" for name, count in self.left_out.items())
            lines.append(f"left out, no class of this benchmark: {counted}")
        missing = [key for key, path in zip(self.keys, self.images, strict=True) if path is None]
        if missing:
            lines.append(f"images that are missing: {len(missing):,} ({abbreviated(missing, 4)})")
        if self.subjects:
            lines.append(f"subjects: {len(set(self.subjects))}")
        else:
            lines.append("subjects: not known, so the same person may be on several images")
        return lines

    def differences(self, expected: Mapping[str, Any] | None) -> tuple[str, ...]:
        """Return how the numbers of images differ from those that were published; see `Reading`.

        Args:
            expected: the published numbers, with the keys frames and frames_per_split; None skips
                the comparison.
        """
        expected = expected or {}
        published = expected.get("frames_per_split") or {}
        splits = Counter(self.splits)
        lines = [
            f"{splits[split]:,} {split} images where {count:,} are published"
            for split, count in published.items()
            if splits[split] != count
        ]
        if not published and expected.get("frames") not in (None, len(self.keys)):
            lines.append(f"{len(self.keys):,} images where {expected['frames']:,} are published")
        return tuple(lines)


def of_classes(labels: Iterable[Labels], codes: ClassCodes) -> tuple[list[Labels], Counter[str]]:
    """Divide labels into those of the benchmark's classes, and others.

    Args:
        labels: the key, split and class code of every image.
        codes: the labels of the codes.

    Returns:
        The key, split and label (not code) of each image of one of the benchmark's classes, and the
        number of all other images by what their code stands for.
    """
    kept: list[Labels] = []
    others: Counter[str] = Counter()
    for key, split, code in labels:
        if code in codes.index:
            kept.append((key, split, codes.index[code]))
        else:
            others[str(codes.meaning(code))] += 1
    return kept, others


def image_key(name: str) -> str:
    """Return the key that the name of an image states, such as train_00001.

    Args:
        name: the key alone, or with the ending of aligned images and the suffix of an image file:
            train_00001_aligned.jpg.
    """
    key, suffix = os.path.splitext(name)
    return (key if suffix.lower() in SUFFIXES else name).removesuffix("_aligned")


def read_subjects(path: Path, keys: Iterable[str]) -> dict[str, str]:
    """Return the subject of each image from a table with the columns image and subject.

    Args:
        path: the CSV file; images are named as `image_key` reads them.
        keys: the keys of all labelled images.

    Raises:
        DataError: the file lacks a column or an image, or names one twice.
    """
    file = open_columns(path)
    for name in ("image", "subject"):
        if name not in file.header:
            raise file.error(f"There is no column {name}.", hint="write image,subject")
    table = file.read({"image": pa.string(), "subject": pa.string()})
    names = [image_key(name) for name in trimmed_texts(table["image"])]
    subjects = dict(zip(names, trimmed_texts(table["subject"]), strict=True))
    if len(subjects) < len(names):
        repeated = next(name for name, count in Counter(names).items() if count > 1)
        raise file.error(f"{repeated} is listed twice.")
    lacking = [key for key in keys if not subjects.get(key)]
    if lacking:
        raise file.error(
            f"These images have no subject: {abbreviated(lacking, 4)}.",
            hint="give the subject of every labelled image, or remove the file",
        )
    return subjects


def select(
    labels: Sequence[Labels], subjects: Mapping[str, str], options: ReadOptions, path: Path
) -> list[Labels]:
    """Return the labels of the images of those subjects that the options name; all by default.

    Args:
        labels: the key, split and label of every image.
        subjects: the subject of each image, by key.
        options: the options of reading.
        path: the table of subjects, for the error message.
    """
    chosen = set(select_subjects([*subjects.values()], options, path))
    return [entry for entry in labels if subjects[entry[0]] in chosen]


def landmark_table(path: Path, keys: Collection[str]) -> LandmarkFiles | None:
    """Return the landmarks in a table of an image folder, `LANDMARKS`; None if there is none.

    Args:
        path: the CSV file; images are named as `image_key` reads them.
        keys: the keys of all labelled images; lines of other images are left out.

    Raises:
        DataError: the table lacks a column, lists an image twice, or lists no labelled image.
    """
    if not path.is_file():
        return None
    file = open_columns(path)
    points = next(
        (
            count
            for count in (68, 66, 49)
            if {f"{axis}{at}" for at in range(count) for axis in "xy"} <= set(file.header)
        ),
        None,
    )
    if "source" not in file.header or points is None:
        raise file.error(
            "Columns are missing: source, and x0, y0, x1, y1, ... of 49, 66 or 68 points."
        )
    names = trimmed_texts(file.read({"source": pa.string()})["source"])
    lines = {image_key(name): line for line, name in enumerate(names, start=1)}
    if len(lines) < len(names):
        counts = Counter(map(image_key, names))
        repeated = next(key for key, count in counts.items() if count > 1)
        raise file.error(f"{repeated} is listed twice.", hint="keep one line per image")
    places = {key: lines[key] for key in keys if key in lines}
    if not places:
        raise file.error(
            f"None of the lines is of an image of this dataset; they are of "
            f"{abbreviated(names, 2)}.",
            hint=f"write the key of each image in the column source, such as {next(iter(keys))}",
        )
    return LandmarkFiles("csv", points, path, places)


def sources(
    last: Mapping[SequenceId, int], landmarks: LandmarkFiles | None, digest: str
) -> Footage:
    """Return the landmarks of single images as the media files of their sequences.

    Args:
        last: the sequences of the frames table, of which only the keys are used.
        landmarks: the landmarks of all images; None if there are none.
        digest: a digest of the image and landmark files.
    """
    note = "landmarks: none found"
    if landmarks is not None:
        note = f"landmarks: {landmarks.points} points of {len(landmarks.places):,} images"
    return Footage({sequence: Source(None, None, landmarks, digest) for sequence in last}, (note,))


def wrong_code(code: object, codes: Mapping[int, str], where: object) -> DataError:
    """Return the error to raise for a class code that the dataset does not have.

    Args:
        code: the code.
        codes: what each code of the dataset stands for.
        where: the file, and the line if there is one.
    """
    listed = ", ".join(f"{number} {name}" for number, name in codes.items())
    return DataError(
        f"The class code is {code!r}.",
        where=where,
        hint=f"the codes are {listed}; compare the file with the original release",
    )
