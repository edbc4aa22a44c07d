"""Finds the sequence and the labelled frame that a file name or an image path refers to.

A sequence is the recording of one subject during one task, such as ``F001_T1``.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

import numpy as np
import pyarrow as pa

from fauds.datasets import image_folders as images
from fauds.datasets.base import Reader
from fauds.datasets.image_folders import Listing
from fauds.datasets.media_search import DATASET_VIDEO_SUFFIXES
from fauds.datasets.subjects import abbreviated
from fauds.errors import DataError

SequenceKey = tuple[str, str]


class Sequences:
    """The sequences of a dataset, which can be looked up by file names.

    A sequence is the recording of one subject during one task, such as ``F001_T1``.

    Args:
        frames: the table of frames, with the columns subject, task and frame.
        reader: the dataset's reader, which knows how image files are numbered; None for a dataset
            that joins two others.
        image_base: the number in the name of the image file that shows the first labelled frame
            (frame 1 in the labels); None if the user did not declare it.

    Attributes:
        numbered: whether the frames have numbers; if not, they are single images of no sequence.
        last: by subject and task, the number of the last labelled frame.
        have_tasks: whether subjects have several tasks.
    """

    def __init__(self, frames: pa.Table, reader: Reader | None, image_base: int | None) -> None:
        self.numbered = frames["frame"].null_count == 0
        if not self.numbered:
            frames = frames.slice(0, 0)
        keys = frames.select(["subject", "task"])
        decoded = pa.table({name: keys[name].cast(pa.string()) for name in keys.column_names})
        grouped = decoded.append_column("frame", frames["frame"]).group_by(["subject", "task"])
        rows = grouped.aggregate([("frame", "max")]).to_pylist()
        self.last: dict[SequenceKey, int] = {
            (row["subject"], row["task"]): row["frame_max"] for row in rows
        }
        self._reader, self._declared = reader, image_base
        subjects, tasks = ({key[i] for key in self.last} for i in (0, 1))
        self.have_tasks = tasks - {""} != set()
        any_subject, any_task = (_any_of(names) for names in (subjects, tasks))
        task_group = rf"[-_./\\ ]({any_task})" if self.have_tasks else "()"
        self._by_upper_case = {_upper(key): key for key in self.last}
        self._pattern = re.compile(rf"(?<!\d)({any_subject}){task_group}(?!\d)", re.IGNORECASE)

    def of_name(self, name: str, where: object) -> SequenceKey:
        """Return the subject and the task of the sequence that a file name refers to.

        Args:
            name: a file name or path, such as ``F001_T1`` or ``LeftVideoSN001_comp``. If the name
                contains several sequences, the last one counts.
            where: the file, for the error message.

        Raises:
            DataError: the name contains no sequence of the dataset.
        """
        if not self.numbered:
            raise DataError(
                "This dataset's images belong to no sequence, so that a file cannot be named after "
                "one.",
                where=where,
                hint="use a table with the column key and a column for every class",
            )
        matches = self._pattern.findall(name)
        key = self._by_upper_case.get(_upper(matches[-1])) if matches else None
        if key is None:
            sequences = ["_".join(filter(None, known)) for known in self.last]
            raise DataError(
                f"The name {name!r} contains no sequence (subject and task) of the dataset.",
                where=where,
                hint=f"name each file after its sequence, one of: {abbreviated(sequences)}",
            )
        return key

    def of_inputs(
        self, inputs: np.ndarray, counted: np.ndarray, where: object
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the subject, the task and the frame number in the labels for each of M rows.

        Args:
            inputs: the path of an image, such as ``F001/T1/2440.jpg``, or of a video, str [M].
            counted: the number of the video's frame, counted from 0, int [M]; ignored for images.
            where: the file that lists the inputs, for the error message.

        Returns:
            subjects: str [M].
            tasks: str [M].
            frames: frame numbers as the labels count frames, int64 [M].

        Raises:
            DataError: a path contains no sequence, the name of an image contains no frame number,
                or it is not known which image shows frame 1 of the labels.
        """
        distinct, inverse = np.unique(inputs, return_inverse=True)
        keys = [self.of_name(name, where) for name in distinct.tolist()]
        image_numbers = np.array([_number(name, where) for name in distinct.tolist()], np.int64)
        base = self._base(keys, image_numbers, where)
        frames = np.where(
            image_numbers[inverse] >= 0, image_numbers[inverse] + 1 - base, counted + 1
        )
        subjects, tasks = (np.array([key[i] for key in keys], np.str_)[inverse] for i in (0, 1))
        return subjects, tasks, frames

    def _base(self, keys: list[SequenceKey], numbers: np.ndarray, where: object) -> int:
        """Return the number in the file name of the image that shows frame 1 of the labels, 0 or 1.

        Args:
            keys: the subject and the task of each input file.
            numbers: the number in the name of each input file, int64; -1 for videos.
            where: the file that lists the inputs, for the error message.
        """
        by_key: dict[SequenceKey, list[int]] = {}
        for key, number in zip(keys, numbers.tolist(), strict=True):
            if number >= 0:
                by_key.setdefault(key, []).append(number)
        listings: Mapping[images.FolderKey, Listing] = {
            tuple(filter(None, key)): Listing("/".join(filter(None, key)), np.sort(of_key), [])
            for key, of_key in by_key.items()
        }
        last = {tuple(filter(None, key)): self.last[key] for key in by_key}
        if not by_key:
            return 1
        if self._reader is None:
            raise DataError(
                "The frames of image files cannot be determined: how the files are numbered is not "
                "known for joined datasets.",
                where=where,
                hint="give the predictions as a table with the columns subject, task and frame",
            )
        try:
            base, _ = self._reader.image_base(listings, last, self._declared)
        except DataError as error:
            raise DataError(
                error.what,
                where=where,
                hint="read the dataset again with the number of the image that shows frame 1 of "
                "the labels (fauds build-captions --image-base 0 or 1); or give the predictions as "
                "a table with the columns subject, task and frame",
            ) from error
        return 1 if base is None else base


def _any_of(names: Iterable[str]) -> str:
    """Return a regular expression that matches any of the names, and prefers longer names."""
    return "|".join(map(re.escape, sorted(names, key=len, reverse=True)))


def _upper(key: SequenceKey) -> SequenceKey:
    return key[0].upper(), key[1].upper()


def _number(name: str, where: object) -> int:
    """Return the number in an image's file name; -1 for a video."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.suffix.lower() in DATASET_VIDEO_SUFFIXES:
        return -1
    digits = images.digits(path.stem, of_videos=True)
    if not digits:
        raise DataError(
            f"The file name of {name!r} contains no frame number.",
            where=where,
            hint="name images as the dataset does, e.g. F001/T1/2440.jpg or SN001/0.png",
        )
    return int(digits)
