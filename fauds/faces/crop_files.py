"""The files of one sequence's crops: images written whole, and its rows in parts.

    faces/eyes-similarity-1/F001/T1/2440.jpg
    faces/eyes-similarity-1/.parts/F001_T1-0000.parquet

A part is the rows of 512 coded frames. It is removed before the first of the crops it names
changes, written after the last, and carries the fingerprint of what made them: work that was
stopped goes on behind the last whole part.
"""

import os
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from fauds.errors import DataError
from fauds.faces.plan import SequenceJob
from fauds.tables import store
from fauds.tables.atomic import writing

PART = 512
"""Coded frames in a part."""

_QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 95]
_TEMPORARY = ".part"


class CropFiles:
    """The crops and parts of one sequence.

    Args:
        job: the sequence.
    """

    def __init__(self, job: SequenceJob) -> None:
        self._job = job
        self._relative = "/".join(("faces", f"{job.how.name}-{job.how.version}", job.name))
        self._folder = job.folder / self._relative
        self._parts = job.folder / "faces" / f"{job.how.name}-{job.how.version}" / ".parts"

    @cached_property
    def slices(self) -> list[slice]:
        """The parts, as rows of the sequence."""
        count = len(self._job.frames)
        return [slice(begin, min(begin + PART, count)) for begin in range(0, count, PART)]

    def pending(self) -> list[int]:
        """Return the numbers of the parts that are not done, or not with these inputs."""
        there = self._names()
        return [number for number in range(len(self.slices)) if not self._is_done(number, there)]

    def frames_left(self) -> int:
        """Return how many coded frames the pending parts have."""
        return sum(
            self.slices[number].stop - self.slices[number].start for number in self.pending()
        )

    def _is_done(self, number: int, there: set[str]) -> bool:
        try:
            if self.meta(number).get("crops") != self._job.fingerprint:
                return False
            paths = store.read_table(self._part_path(number), ["path"])["path"]
        except DataError:
            return False
        return {path.rsplit("/", 1)[1] for path in paths.drop_null().to_pylist()} <= there

    def prepare_folder(self) -> None:
        """Make the folder of the crops, without what a killed run left in it."""
        with writing(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
        self._remove(name for name in self._names() if name.endswith(_TEMPORARY))

    def path(self, frame: int) -> str:
        """Return the path of a label frame's crop, relative to the dataset's folder."""
        return f"{self._relative}/{frame}.jpg"

    def write(self, frame: int, crop: np.ndarray | bytes) -> None:
        """Write a crop whole or not at all: RGB uint8 [H, W, 3], or a JPEG file's content.

        Raises:
            DataError: the file system refuses.
        """
        if isinstance(crop, bytes):
            data: Any = crop
        else:
            data = cv2.imencode(".jpg", cv2.cvtColor(crop, cv2.COLOR_RGB2BGR), _QUALITY)[1]
        path = self._folder / f"{frame}.jpg"
        # The process's number keeps it apart from one that has not noticed yet that its run died.
        temporary = self._folder / f".{frame}.jpg.{os.getpid()}{_TEMPORARY}"
        with writing(path):
            try:
                temporary.write_bytes(data)
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise

    def begin_part(self, number: int) -> None:
        """Remove the rows that a part had: from here on crops change that they speak of."""
        path = self._part_path(number)
        with writing(path):
            path.unlink(missing_ok=True)

    def write_part(self, number: int, rows: pa.Table, meta: dict[str, Any]) -> None:
        """Write the rows of a part, and what else is to be known of it."""
        store.write_table(self._part_path(number), rows, meta | {"crops": self._job.fingerprint})

    def part(self, number: int) -> pa.Table:
        """Read the rows of a part; errors as of `fauds.tables.store.read_table`."""
        return store.read_table(self._part_path(number))

    def meta(self, number: int) -> dict[str, Any]:
        """Read what `write_part` was given; errors as of `fauds.tables.store.read_meta`."""
        return store.read_meta(self._part_path(number))

    def keep_only(self, paths: Sequence[str]) -> None:
        """Remove the crops that earlier settings left, and what a killed run left half-written."""
        wanted = {path.rsplit("/", 1)[1] for path in paths}
        ours = (".jpg", _TEMPORARY)
        self._remove(name for name in self._names() if name.endswith(ours) and name not in wanted)

    def _names(self) -> set[str]:
        try:
            return set(os.listdir(self._folder))
        except (FileNotFoundError, NotADirectoryError):
            return set()

    def _remove(self, names: Iterable[str]) -> None:
        for name in names:
            with writing(self._folder / name):
                (self._folder / name).unlink(missing_ok=True)

    def _part_path(self, number: int) -> Path:
        return self._parts / f"{self._job.name.replace('/', '_')}-{number:04}.parquet"


def remove_temporaries(folder: Path) -> None:
    """Remove what a killed run left beside the table and among the parts of any alignment."""
    for pattern in (".faces.parquet.*", "faces/*/.parts/.*"):
        for path in folder.glob(f"{pattern}{_TEMPORARY}*"):
            path.unlink(missing_ok=True)
