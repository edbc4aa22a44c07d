"""The pictures of one sequence as a stream, from a folder of images, a zip archive or a video."""

import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import tee
from pathlib import Path
from typing import Protocol

import numpy as np

from fauds.datasets.media_files import Archive, Source
from fauds.errors import DataError
from fauds.faces.image_decoding import decode, is_jpeg
from fauds.faces.video import Video

# What zipfile raises of damaged archives, by where the damage is.
_DAMAGE = (
    OSError,
    EOFError,
    KeyError,
    ValueError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture.

    Attributes:
        image: uint8 [H, W, 3] RGB.
        jpeg: the file that it was decoded from, where that is a JPEG.
    """

    image: np.ndarray
    jpeg: bytes | None = None


class FrameStream(Protocol):
    """The pictures of the N coded frames of a sequence.

    Attributes:
        there: bool [N], False where it is known beforehand that there is none.
    """

    there: np.ndarray

    @property
    def ended_at(self) -> int | None:
        """Of a video that ended before a frame that was asked for, its last one; else None."""

    def stream(self, rows: Iterable[int]) -> Iterator[tuple[int, Picture | DataError]]:
        """Yield a row of 0 to N - 1 and its picture, or why it cannot be read, for each of `rows`.

        One picture is in memory at a time. A video that ends early ends the stream.

        Args:
            rows: rising, all of them `there`; each is taken only when its picture is asked for.

        Raises:
            DataError: nothing at all can be read.
        """


class FolderStream:
    """Image files.

    Args:
        root: what the paths are relative to.
        paths: of the N frames, None where there is none.
    """

    ended_at = None

    def __init__(self, root: Path, paths: Sequence[str | None]) -> None:
        self.there = np.array([path is not None for path in paths], bool)
        self._root = root
        self._paths = paths

    def stream(self, rows: Iterable[int]) -> Iterator[tuple[int, Picture | DataError]]:
        """See `FrameStream.stream`."""
        for row in rows:
            yield row, self._read(self._root / str(self._paths[row]))

    def _read(self, path: Path) -> Picture | DataError:
        try:
            data = path.read_bytes()
        except OSError as error:
            return DataError(f"The image cannot be read: {error.strerror}.", where=path)
        return _decoded(data, str(path))


class ArchiveStream:
    """Images in a zip file, which stays open while they are read.

    Args:
        archive: the file, and the members by label frame.
        frames: label frame numbers, int [N].
    """

    ended_at = None

    def __init__(self, archive: Archive, frames: np.ndarray) -> None:
        self._path = archive.path
        self._members = [archive.members.get(frame) for frame in frames.tolist()]
        self.there = np.array([member is not None for member in self._members], bool)

    def stream(self, rows: Iterable[int]) -> Iterator[tuple[int, Picture | DataError]]:
        """See `FrameStream.stream`."""
        try:
            file = zipfile.ZipFile(self._path)
        except (*_DAMAGE, NotImplementedError) as error:
            raise DataError(
                f"{self._path.name} cannot be read as a zip file: {error}.",
                where=self._path,
                hint="copy it again; unzip -t says whether it is whole",
            ) from error
        with file:
            for row in rows:
                yield row, self._read(file, str(self._members[row]))

    def _read(self, file: zipfile.ZipFile, member: str) -> Picture | DataError:
        where = f"{self._path}/{member}"
        try:
            with file.open(member) as stream:
                data = stream.read()
        except RuntimeError as error:
            # zipfile's way to ask for a password; it is the same for all members.
            raise DataError(
                f"{member} in {self._path.name} cannot be read: {error}.",
                where=self._path,
                hint="unpack the archive, and point at the folder",
            ) from error
        except _DAMAGE as error:
            return DataError(f"The archive is damaged here: {error}.", where=where)
        return _decoded(data, where)


class VideoStream:
    """Frames of a video: its n-th frame, counted from 1, is label frame n.

    Args:
        path: the video.
        frames: label frame numbers, int [N], rising.
    """

    def __init__(self, path: Path, frames: np.ndarray) -> None:
        self.there = frames >= 1
        # One decoder thread: other processes decode other sequences at the same time.
        self._video = Video(path, threads=1)
        self._frames = frames

    @property
    def declared(self) -> int:
        """How many frames the video's header declares; 0 where it does not."""
        return self._video.frames

    @property
    def ended_at(self) -> int | None:
        """See `FrameStream`."""
        return self._video.ended_at

    def stream(self, rows: Iterable[int]) -> Iterator[tuple[int, Picture | DataError]]:
        """See `FrameStream.stream`."""
        self._video.check_whole()
        rows, ahead = tee(rows)
        images = self._video.stream(int(self._frames[row]) for row in ahead)
        for row, (_, image) in zip(rows, images, strict=False):
            yield row, Picture(image)
        if self._video.ended_at == 0:
            raise DataError(
                f"No frame of {self._video.path.name} can be decoded.",
                where=self._video.path,
                hint="copy it again; ffprobe says more of what is wrong with it",
            )


def open_stream(
    root: Path, paths: Sequence[str | None], source: Source | None, frames: np.ndarray
) -> FrameStream:
    """Return the pictures of a sequence: its images, else those in an archive, else its video.

    Args:
        root: what `paths` are relative to.
        paths: image files of the N frames, None where there is none.
        source: what else there is.
        frames: label frame numbers, int [N], rising.

    Raises:
        DataError: the video cannot be opened.
    """
    if any(path is not None for path in paths) or source is None:
        return FolderStream(root, paths)
    if source.archive is not None:
        return ArchiveStream(source.archive, frames)
    if source.video is not None:
        return VideoStream(source.video, frames)
    return FolderStream(root, paths)


def _decoded(data: bytes, where: str) -> Picture | DataError:
    try:
        return Picture(decode(data, where), data if is_jpeg(data) else None)
    except DataError as error:
        return error
