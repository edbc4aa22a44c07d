"""The files that are written when a sequence is cropped: crops, and table rows about them.

    faces/eyes-similarity-1/F001/T1/2440.jpg
    faces/eyes-similarity-1/.parts/F001_T1-0000.parquet

The table rows of a sequence are stored in parts of 512 coded frames, with one file for each part.
The file of a part is removed before any crop of the part is changed. It is written again after the
last crop of the part, and holds the fingerprint of the inputs and settings. A run that was stopped
can therefore be resumed after the last complete part.
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
from fauds.tables.atomic import write_errors

PART = 512
"""The number of coded frames in a part."""

_QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 95]
_TEMPORARY = ".part"


class CropFiles:
    """The crops of one sequence, and the files with its table rows.

    The rows are stored in parts of 512 coded frames, with one file for each part.

    Args:
        job: the sequence.
    """

    def __init__(self, job: SequenceJob) -> None:
        self._job = job
        self._relative = "/".join(
            ("faces", f"{job.alignment.name}-{job.alignment.version}", job.name)
        )
        self._folder = job.folder / self._relative
        self._parts = (
            job.folder / "faces" / f"{job.alignment.name}-{job.alignment.version}" / ".parts"
        )

    @cached_property
    def slices(self) -> list[slice]:
        """For each part (up to 512 frames), the slice of the sequence's frames that it holds."""
        count = len(self._job.frames)
        return [slice(begin, min(begin + PART, count)) for begin in range(0, count, PART)]

    def pending(self) -> list[int]:
        """Return the numbers of the parts that must be made, counted from 0.

        A part, the rows of up to 512 coded frames, must be made if its file or one of its crops is
        missing, or if it was made from other inputs or settings.
        """
        names = self._names()
        return [number for number in range(len(self.slices)) if not self._is_done(number, names)]

    def frames_left(self) -> int:
        """Return the number of coded frames in the parts that must be made (see `pending`)."""
        return sum(
            self.slices[number].stop - self.slices[number].start for number in self.pending()
        )

    def new_crops(self) -> int:
        """Return the number of crops that do not exist yet; existing ones may be outdated."""
        names = self._names()
        frames, keep = self._job.frames, self._job.keep
        parts = [self.slices[number] for number in self.pending()]
        wanted = [frame for rows in parts for frame in frames[rows][keep[rows]].tolist()]
        return sum(_crop_name(frame) not in names for frame in wanted)

    def _is_done(self, number: int, names: set[str]) -> bool:
        """Return whether the file of a part is up to date and all crops of the part exist.

        Args:
            number: the number of the part, counted from 0.
            names: the names of the files in the folder of crops.
        """
        try:
            if self.meta(number).get("crops") != self._job.fingerprint:
                return False
            paths = store.read_table(self._part_path(number), ["path"])["path"]
        except DataError:
            return False
        return {path.rsplit("/", 1)[1] for path in paths.drop_null().to_pylist()} <= names

    def prepare_folder(self) -> None:
        """Create the folder of the crops and remove temporary files of a killed run."""
        with write_errors(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
        self._remove(name for name in self._names() if name.endswith(_TEMPORARY))

    def path(self, frame: int | str) -> str:
        """Return the path of the crop of a frame, relative to the dataset's folder.

        Args:
            frame: the label frame number, or the frame's key if it has no number.
        """
        return f"{self._relative}/{_crop_name(frame)}"

    def write(self, frame: int | str, crop: np.ndarray | bytes) -> None:
        """Write a crop; an error leaves no incomplete file behind.

        Args:
            frame: the frame number, as in the label files, or the frame's key if it has no number.
            crop: the crop, RGB uint8 [H, W, 3], or the content of a JPEG file.

        Raises:
            DataError: the file cannot be written.
        """
        if isinstance(crop, bytes):
            data: Any = crop
        else:
            data = cv2.imencode(".jpg", cv2.cvtColor(crop, cv2.COLOR_RGB2BGR), _QUALITY)[1]
        path = self._folder / _crop_name(frame)
        # The process id keeps this file apart from that of a worker that outlives a killed run.
        temporary = self._folder / f".{path.name}.{os.getpid()}{_TEMPORARY}"
        with write_errors(path):
            try:
                temporary.write_bytes(data)
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise

    def begin_part(self, number: int) -> None:
        """Remove the file with the rows of a part, before the crops of the part are changed.

        Args:
            number: the number of the part, counted from 0.
        """
        path = self._part_path(number)
        with write_errors(path):
            path.unlink(missing_ok=True)

    def write_part(self, number: int, rows: pa.Table, meta: dict[str, Any]) -> None:
        """Write the file of a part.

        Args:
            number: the number of the part, counted from 0.
            rows: the rows of faces.parquet for the part's frames.
            meta: further information to store in the file, as JSON values.
        """
        store.write_table(self._part_path(number), rows, meta | {"crops": self._job.fingerprint})

    def part(self, number: int) -> pa.Table:
        """Return the table rows in the file of a part, which has up to 512 frames.

        Args:
            number: the number of the part, counted from 0.

        Raises:
            DataError: the file is missing or cannot be read.
        """
        return store.read_table(self._part_path(number))

    def meta(self, number: int) -> dict[str, Any]:
        """Return the metadata in the file of a part, as JSON values by name.

        Args:
            number: the number of the part, counted from 0.

        Raises:
            DataError: the file is missing or cannot be read.
        """
        return store.read_meta(self._part_path(number))

    def keep_only(self, paths: Sequence[str]) -> None:
        """Remove temporary files, and the sequence's crops that are not in a list.

        Such crops may remain from runs with other settings, and temporary files from killed runs.

        Args:
            paths: the paths of the crops to keep, relative to the dataset's folder.
        """
        wanted = {path.rsplit("/", 1)[1] for path in paths}
        suffixes = (".jpg", _TEMPORARY)
        self._remove(
            name for name in self._names() if name.endswith(suffixes) and name not in wanted
        )

    def _names(self) -> set[str]:
        try:
            return set(os.listdir(self._folder))
        except (FileNotFoundError, NotADirectoryError):
            return set()

    def _remove(self, names: Iterable[str]) -> None:
        for name in names:
            with write_errors(self._folder / name):
                (self._folder / name).unlink(missing_ok=True)

    def _part_path(self, number: int) -> Path:
        return self._parts / f"{self._job.name.replace('/', '_')}-{number:04}.parquet"


def _crop_name(frame: int | str) -> str:
    """Return the name of the file of a frame's crop; a key may hold slashes."""
    return f"{str(frame).replace('/', '~')}.jpg"


def remove_temporaries(folder: Path) -> None:
    """Remove the temporary files that a killed run left when it was writing table rows.

    They are in the folder of faces.parquet and in the folders with the rows of single parts.

    Args:
        folder: the dataset's folder.
    """
    for pattern in (".faces.parquet.*", "faces/*/.parts/.*"):
        for path in folder.glob(f"{pattern}{_TEMPORARY}*"):
            path.unlink(missing_ok=True)
