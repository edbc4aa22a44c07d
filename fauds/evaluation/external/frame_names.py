"""Which labelled frame a file name or a picture's path means."""

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

import numpy as np
import pyarrow as pa

from fauds.datasets import image_folders as images
from fauds.datasets.base import Reader
from fauds.datasets.image_folders import Listing
from fauds.datasets.media_search import DATASET_VIDEO_SUFFIXES
from fauds.datasets.subjects import shortened
from fauds.errors import DataError

SequenceKey = tuple[str, str]


class Sequences:
    """The sequences of a dataset, found again in names.

    Args:
        frames: the frames table, with subject, task and frame.
        reader: the dataset's, which knows how pictures are numbered; None of joined datasets.
        image_base: number of label frame 1's picture, where it was declared.
    """

    def __init__(self, frames: pa.Table, reader: Reader | None, image_base: int | None) -> None:
        keys = frames.select(["subject", "task"])
        plain = pa.table({name: keys[name].cast(pa.string()) for name in keys.column_names})
        last = plain.append_column("frame", frames["frame"]).group_by(["subject", "task"])
        rows = last.aggregate([("frame", "max")]).to_pylist()
        self.last: dict[SequenceKey, int] = {
            (row["subject"], row["task"]): row["frame_max"] for row in rows
        }
        self._reader, self._declared = reader, image_base
        subjects, tasks = ({key[i] for key in self.last} for i in (0, 1))
        self.have_tasks = tasks != {""}
        either, then = (_any_of(names) for names in (subjects, tasks))
        of_task = rf"[-_./\\ ]({then})" if self.have_tasks else "()"
        self._spelt = {_upper(key): key for key in self.last}
        self._pattern = re.compile(rf"(?<!\d)({either}){of_task}(?!\d)", re.IGNORECASE)

    def of_name(self, name: str, where: object) -> SequenceKey:
        """Return the sequence that a name says: F001_T1, LeftVideoSN001_comp.

        Raises:
            DataError: it says none of the dataset's.
        """
        matches = self._pattern.findall(name)
        key = self._spelt.get(_upper(matches[-1])) if matches else None
        if key is None:
            there = ["_".join(filter(None, known)) for known in self.last]
            raise DataError(
                f"{name!r} names no sequence of the dataset.",
                where=where,
                hint=f"name files like the sequences: {shortened(there)}",
            )
        return key

    def of_inputs(
        self, inputs: np.ndarray, counted: np.ndarray, where: object
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return subject, task and label frame of pictures and of frames of videos.

        Args:
            inputs: paths, str [M]: F001/T1/2440.jpg, or a video's.
            counted: the frame of a video, from 0, int [M].

        Raises:
            DataError: a path says no sequence, a picture has no number, or it cannot be told
                which picture shows label frame 1.
        """
        distinct, of = np.unique(inputs, return_inverse=True)
        keys = [self.of_name(name, where) for name in distinct.tolist()]
        stills = np.array([_number(name, where) for name in distinct.tolist()], np.int64)
        base = self._base(keys, stills, where)
        frames = np.where(stills[of] >= 0, stills[of] + 1 - base, counted + 1)
        subjects, tasks = (np.array([key[i] for key in keys], np.str_)[of] for i in (0, 1))
        return subjects, tasks, frames

    def _base(self, keys: list[SequenceKey], numbers: np.ndarray, where: object) -> int:
        by_key: dict[SequenceKey, list[int]] = {}
        for key, number in zip(keys, numbers.tolist(), strict=True):
            if number >= 0:
                by_key.setdefault(key, []).append(number)
        listings: Mapping[images.FolderKey, Listing] = {
            tuple(filter(None, key)): Listing("/".join(filter(None, key)), np.sort(found), [])
            for key, found in by_key.items()
        }
        last = {tuple(filter(None, key)): self.last[key] for key in by_key}
        if not by_key:
            return 1
        if self._reader is None:
            raise DataError(
                "How pictures are numbered is not known of two datasets joined.",
                hint="give a table with subject, task and frame",
            )
        try:
            base, _ = self._reader.image_base(listings, last, self._declared)
        except DataError as error:
            raise DataError(
                error.what,
                where=where,
                hint="read the dataset again and declare which picture shows label frame 1: fauds "
                "build-captions --image-base 0 or 1; or give a table with subject, task and frame",
            ) from error
        return 1 if base is None else base


def _any_of(names: Iterable[str]) -> str:
    """Return a pattern of any of the names, of which one may begin another."""
    return "|".join(map(re.escape, sorted(names, key=len, reverse=True)))


def _upper(key: SequenceKey) -> SequenceKey:
    return key[0].upper(), key[1].upper()


def _number(name: str, where: object) -> int:
    """Return a picture's number; -1 of a video."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.suffix.lower() in DATASET_VIDEO_SUFFIXES:
        return -1
    digits = images.digits(path.stem, of_videos=True)
    if not digits:
        raise DataError(
            f"{name!r} has no frame's number for a name.",
            where=where,
            hint="name pictures as the dataset does: F001/T1/2440.jpg, SN001/0.png",
        )
    return int(digits)
