"""Streams of the images of one sequence, from a folder of images, a zip archive or a video."""

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

# The errors that zipfile raises for damaged archives, depending on where the damage is.
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
class DecodedImage:
    """An image with the file that it was decoded from.

    Attributes:
        image: the pixels, uint8 [H, W, 3] RGB.
        jpeg: the content of the JPEG file; None if the image comes from another format.
    """

    image: np.ndarray
    jpeg: bytes | None = None


class FrameStream(Protocol):
    """The interface of streams of the images of a sequence's N coded frames.

    Attributes:
        available: whether a frame may have an image, bool [N]; False if it is known in advance
            that it has none.
    """

    available: np.ndarray

    @property
    def ended_at(self) -> int | None:
        """The last frame of a video that ended before a requested frame; None otherwise."""

    def stream(self, rows: Iterable[int]) -> Iterator[tuple[int, DecodedImage | DataError]]:
        """Yield each row with its image, or with the error if the image cannot be read.

        One image is in memory at a time. A video that ends early ends the stream.

        Args:
            rows: the rows to read, 0 to N - 1, increasing, all of them `available`; each row is
                taken from the iterable only when its image is requested.

        Raises:
            DataError: no image can be read at all.
        """


class FolderStream:
    """A stream of image files in a folder.

    Args:
        root: the folder that the paths are relative to.
        paths: the paths of the images of the N frames; None for a frame without an image.
    """

    ended_at = None

    def __init__(self, root: Path, paths: Sequence[str | None]) -> None:
        self.available = np.array([path is not None for path in paths], bool)
        self._root = root
        self._paths = paths

    def stream(self, rows: Iterable[int]) -> Iterator[tuple[int, DecodedImage | DataError]]:
        """See `FrameStream.stream`."""
        for row in rows:
            yield row, self._read(self._root / str(self._paths[row]))

    def _read(self, path: Path) -> DecodedImage | DataError:
        try:
            data = path.read_bytes()
        except OSError as error:
            return DataError(f"The image cannot be read: {error.strerror}.", where=path)
        return _decoded(data, str(path))


class ArchiveStream:
    """A stream of images in a zip file, which stays open while they are read.

    Args:
        archive: the zip file, with its members by label frame.
        frames: the label frame numbers, int [N].
    """

    ended_at = None

    def __init__(self, archive: Archive, frames: np.ndarray) -> None:
        self._path = archive.path
        self._members = [archive.members.get(frame) for frame in frames.tolist()]
        self.available = np.array([member is not None for member in self._members], bool)

    def stream(self, rows: Iterable[int]) -> Iterator[tuple[int, DecodedImage | DataError]]:
        """See `FrameStream.stream`."""
        try:
            file = zipfile.ZipFile(self._path)
        except (*_DAMAGE, NotImplementedError) as error:
            raise DataError(
                f"{self._path.name} cannot be read as a zip file: {error}.",
                where=self._path,
                hint="copy it again; unzip -t checks whether it is complete",
            ) from error
        with file:
            for row in rows:
                yield row, self._read(file, str(self._members[row]))

    def _read(self, file: zipfile.ZipFile, member: str) -> DecodedImage | DataError:
        where = f"{self._path}/{member}"
        try:
            with file.open(member) as stream:
                data = stream.read()
        except RuntimeError as error:
            # zipfile raises this for encrypted members; all members need the same password.
            raise DataError(
                f"{member} in {self._path.name} cannot be read: {error}.",
                where=self._path,
                hint="unpack the archive, and use the folder instead",
            ) from error
        except _DAMAGE as error:
            return DataError(f"The archive is damaged at this file: {error}.", where=where)
        return _decoded(data, where)


class VideoStream:
    """A stream of the frames of a video; its n-th frame, counted from 1, is label frame n.

    Args:
        path: the path of the video.
        frames: the label frame numbers, increasing, int [N].
    """

    def __init__(self, path: Path, frames: np.ndarray) -> None:
        self.available = frames >= 1
        # One decoder thread: other processes decode other sequences at the same time.
        self._video = Video(path, threads=1)
        self._frames = frames

    @property
    def declared(self) -> int:
        """The number of frames that the header of the video declares; 0 if it declares none."""
        return self._video.frames

    @property
    def ended_at(self) -> int | None:
        """See `FrameStream.ended_at`."""
        return self._video.ended_at

    def stream(self, rows: Iterable[int]) -> Iterator[tuple[int, DecodedImage | DataError]]:
        """See `FrameStream.stream`."""
        self._video.check_whole()
        rows, ahead = tee(rows)
        images = self._video.stream(int(self._frames[row]) for row in ahead)
        for row, (_, image) in zip(rows, images, strict=False):
            yield row, DecodedImage(image)
        if self._video.ended_at == 0:
            raise DataError(
                f"No frame of {self._video.path.name} can be decoded.",
                where=self._video.path,
                hint="copy it again; ffprobe shows details of the error",
            )


def open_stream(
    root: Path, paths: Sequence[str | None], source: Source | None, frames: np.ndarray
) -> FrameStream:
    """Return the images of a sequence: its image files, or its archive, or its video.

    Args:
        root: the folder that `paths` are relative to.
        paths: the paths of the image files of the N frames; None for a frame without a file.
        source: the archive and the video of the sequence; None if it has neither.
        frames: the label frame numbers, increasing, int [N].

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


def _decoded(data: bytes, where: str) -> DecodedImage | DataError:
    try:
        return DecodedImage(decode(data, where), data if is_jpeg(data) else None)
    except DataError as error:
        return error
