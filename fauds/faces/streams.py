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
from fauds.faces.image_decoding import decode, exif_orientation, is_jpeg
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
    """An image, with the file content that it was decoded from if that is a JPEG file.

    Attributes:
        image: the pixels, uint8 [H, W, 3] RGB.
        jpeg: the content of the JPEG file; None if the image comes from another format, or was
            turned.
        orientation: the EXIF orientation, 1 to 8, that the file declares; 1 if it declares none.
    """

    image: np.ndarray
    jpeg: bytes | None = None
    orientation: int = 1


class FrameStream(Protocol):
    """The interface of objects that read the images of a sequence's N coded frames one by one.

    Attributes:
        available: which frames may have an image, bool [N]; False for a frame that is known in
            advance to have no image.
    """

    available: np.ndarray

    @property
    def ended_at(self) -> int | None:
        """The number of a video's last readable frame, if the video ended too early.

        None if all requested frames could be read, or if the images do not come from a video.
        """

    def stream(self, rows: Iterable[int]) -> Iterator[tuple[int, DecodedImage | DataError]]:
        """Yield images of the sequence, each with the row of its frame.

        The row is the position of the frame among the N coded frames of the sequence. If an image
        cannot be read, the row is yielded with the error instead of the image. One image is in
        memory at a time. If a video ends early, the stream ends with the last readable frame.

        Args:
            rows: the rows to read, 0 to N - 1, increasing, all of them `available`. A row is
                taken from the iterable only when its image is requested from the stream.

        Raises:
            DataError: no image can be read at all.
        """


class FolderStream:
    """A stream of a sequence's images from image files in a folder.

    Args:
        root: the folder that `paths` are relative to.
        paths: the paths of the images of the N frames; None for a frame without an image.
        upright: whether images are turned as their EXIF orientation says.
    """

    ended_at = None

    def __init__(self, root: Path, paths: Sequence[str | None], *, upright: bool = False) -> None:
        self._upright = upright
        self.available = np.array([path is not None for path in paths], bool)
        self._root = root
        self._paths = paths

    def stream(self, rows: Iterable[int]) -> Iterator[tuple[int, DecodedImage | DataError]]:
        """Yield the row and the image (or error) of each frame; see `FrameStream.stream`."""
        for row in rows:
            yield row, self._read(self._root / str(self._paths[row]))

    def _read(self, path: Path) -> DecodedImage | DataError:
        try:
            data = path.read_bytes()
        except OSError as error:
            return DataError(
                f"The image cannot be read: {error.strerror}.",
                where=path,
                hint="copy the image again from the release",
            )
        return _decoded(data, str(path), self._upright)


class ArchiveStream:
    """A stream of a sequence's images from a zip file, which stays open while images are read.

    Args:
        archive: the zip file, with the name of the image file inside it for each frame number.
        frames: the numbers of the N coded frames, as in the label files, int [N].
        upright: whether images are turned as their EXIF orientation says.
    """

    ended_at = None

    def __init__(self, archive: Archive, frames: np.ndarray, *, upright: bool = False) -> None:
        self._upright = upright
        self._path = archive.path
        self._members = [archive.members.get(frame) for frame in frames.tolist()]
        self.available = np.array([member is not None for member in self._members], bool)

    def stream(self, rows: Iterable[int]) -> Iterator[tuple[int, DecodedImage | DataError]]:
        """Yield the row and the image (or error) of each frame; see `FrameStream.stream`."""
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
                hint="unpack the zip file, and use the unpacked images instead",
            ) from error
        except _DAMAGE as error:
            return DataError(
                f"The zip file is damaged at this image: {error}.",
                where=where,
                hint="copy the zip file again; unzip -t checks whether it is complete",
            )
        return _decoded(data, where, self._upright)


class VideoStream:
    """A stream of a sequence's images from a video.

    The first frame of the video is frame 1 of the label files, the second is frame 2, and so on.

    Args:
        path: the path of the video.
        frames: the numbers of the N coded frames, as in the label files, increasing, int [N].
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
        """The last readable frame's number, if the video ended too early, otherwise None."""
        return self._video.ended_at

    def stream(self, rows: Iterable[int]) -> Iterator[tuple[int, DecodedImage | DataError]]:
        """Yield the row and the image (or error) of each frame; see `FrameStream.stream`."""
        self._video.check_whole()
        rows, ahead = tee(rows)
        images = self._video.stream(int(self._frames[row]) for row in ahead)
        for row, frame in zip(rows, images, strict=False):
            yield row, DecodedImage(frame.image)
        if self._video.ended_at == 0:
            raise DataError(
                f"No frame of {self._video.path.name} can be decoded.",
                where=self._video.path,
                hint="copy it again; ffprobe shows details of the error",
            )


def open_stream(
    root: Path,
    paths: Sequence[str | None],
    source: Source | None,
    frames: np.ndarray,
    *,
    upright: bool = False,
) -> FrameStream:
    """Return a stream of the images of a sequence from its image files, its zip file or its video.

    Args:
        root: the folder that `paths` are relative to.
        paths: the paths of the image files of the N frames; None for a frame without a file.
        source: the zip file and the video of the sequence; None if it has neither.
        frames: the numbers of the N coded frames, as in the label files, increasing, int [N].
        upright: whether images are turned as their EXIF orientation says. Videos always are, as
            their containers say.

    Raises:
        DataError: the video cannot be opened.
    """
    if any(path is not None for path in paths) or source is None:
        return FolderStream(root, paths, upright=upright)
    if source.archive is not None:
        return ArchiveStream(source.archive, frames, upright=upright)
    if source.video is not None:
        return VideoStream(source.video, frames)
    return FolderStream(root, paths)


def _decoded(data: bytes, where: str, upright: bool) -> DecodedImage | DataError:
    try:
        image = decode(data, where, upright=upright)
        orientation = exif_orientation(data)
        unchanged = is_jpeg(data) and not (upright and orientation != 1)
        return DecodedImage(image, data if unchanged else None, orientation)
    except DataError as error:
        return error
