"""Reads images, videos and folders of them as one stream of frames."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fauds import launcher
from fauds.datasets.base import natural
from fauds.errors import DataError, UsageError
from fauds.explanation.explained import MediaFrame
from fauds.faces.image_decoding import decode
from fauds.faces.video import Video
from fauds.tables.paths import SYNTHETIC_MARKER

IMAGE_SUFFIXES = frozenset((".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"))
VIDEO_SUFFIXES = frozenset(
    (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv")
)
_SUFFIXES_READ = (
    f"give images ({' '.join(sorted(IMAGE_SUFFIXES))}) or videos "
    f"({' '.join(sorted(VIDEO_SUFFIXES))})"
)


def find_media(inputs: Sequence[Path]) -> list[Path]:
    """Return the paths of the image and video files in the inputs, each file once.

    Args:
        inputs: files and folders. Folders are searched recursively, in natural order (2 before 10).
            Hidden files, and files that are neither images nor videos by their suffix, are ignored.

    Raises:
        UsageError: an input does not exist, or its suffix is not that of an image or a video.
        DataError: a folder contains neither an image nor a video.
    """
    files: list[Path] = []
    for path in inputs:
        if path.is_dir():
            files += _inside(path)
        elif not path.exists():
            raise UsageError(
                "The file or folder does not exist.", where=path, hint="give an existing path"
            )
        elif not _readable(path):
            raise UsageError(
                f"{path.name} is neither an image nor a video, judging by its suffix.",
                where=path,
                hint=_SUFFIXES_READ,
            )
        else:
            files.append(path)
    return list(dict.fromkeys(files))


def _inside(folder: Path) -> list[Path]:
    files: list[Path] = []
    for above, folders, names in os.walk(folder):
        # os.walk does not descend into folders that are removed from this list.
        folders[:] = [name for name in folders if not _hidden(name)]
        files += [Path(above) / name for name in names if not _hidden(name)]
    files = [path for path in files if _readable(path)]
    if not files:
        raise DataError(
            "The folder contains neither an image nor a video.",
            where=folder,
            hint=_SUFFIXES_READ,
        )
    return sorted(files, key=lambda path: tuple(map(natural, path.parts)))


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _readable(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES | VIDEO_SUFFIXES


def is_video(path: Path) -> bool:
    """Return whether a file has the suffix of a video."""
    return path.suffix.lower() in VIDEO_SUFFIXES


@dataclass(frozen=True)
class ProcessShare:
    """Selects the files that this process handles if torchrun started several processes.

    Attributes:
        rank: the index of this process, counted from 0.
        world: the number of processes.
    """

    rank: int
    world: int

    @classmethod
    def of_environment(cls) -> "ProcessShare":
        """Return the share of this process, as torchrun's variables RANK and WORLD_SIZE define it.

        If these environment variables are not set, the process handles all files.

        Raises:
            UsageError: the variables are not valid numbers, or RANK is not below WORLD_SIZE.
        """
        rank, world = launcher.rank(), launcher.world_size()
        if rank >= world:
            raise UsageError(
                f"RANK is {rank}, but must be less than WORLD_SIZE, which is {world}.",
                where="environment variables",
                hint="start with torchrun, which sets both variables, or unset both",
            )
        return cls(rank, world)

    def of_files(self, files: Sequence[Path]) -> list[Path]:
        """Return the files that this process handles, out of all files; videos are not split."""
        return list(files[self.rank :: self.world])

    def of_output(self, path: Path) -> Path:
        """Return the path of the file that this process writes.

        If there is only one process, this is the path itself, such as ``faces.csv``; otherwise the
        number of the process is added, as in ``faces-2of4.csv``.
        """
        if self.world == 1:
            return path
        return path.with_name(f"{path.stem}-{self.rank + 1}of{self.world}{path.suffix}")


def is_synthetic(path: Path) -> bool:
    """Return whether a file lies in a synthetic release, whose faces fauds generated."""
    return any((folder / SYNTHETIC_MARKER).exists() for folder in path.resolve().parents)


def count_frames(files: Sequence[Path]) -> int:
    """Return the total number of images and video frames in some files.

    The number of a video's frames is read from the header of the video, which may be wrong.
    """
    return sum(_frame_count(path) if is_video(path) else 1 for path in files)


def _frame_count(path: Path) -> int:
    try:
        return max(1, Video(path).frames)
    except DataError:
        return 1


def frames(files: Sequence[Path]) -> Iterator[MediaFrame]:
    """Yield the images and video frames of files, one at a time.

    For an unreadable image, the yielded frame contains an error instead of pixels. If a video has
    fewer frames than its header says, a frame with an error is yielded after its last frame.
    """
    for path in files:
        if is_video(path):
            yield from _video_frames(path)
        else:
            yield _image_frame(path)


def _image_frame(path: Path) -> MediaFrame:
    return MediaFrame(str(path), 1, None, None, _read_image(path))


def _read_image(path: Path) -> np.ndarray | DataError:
    try:
        return decode(path.read_bytes(), path)
    except OSError as error:
        return DataError(f"The image cannot be read: {error.strerror or error}.", where=path)
    except DataError as error:
        return error


def _video_frames(path: Path) -> Iterator[MediaFrame]:
    try:
        video = Video(path)
        if not video.fps > 0:
            raise DataError("The frame rate of the video is unknown.", where=path)
    except DataError as error:
        yield MediaFrame(str(path), 1, 0.0, None, error)
        return
    rate, last = video.fps, 0
    for last, image in video.stream():
        yield MediaFrame(str(path), last, (last - 1) / rate, rate, image)
    if last < max(1, video.frames):
        too_short = DataError(
            f"The video ends after frame {last:,}, but its header says {video.frames:,} frames.",
            where=path,
        )
        yield MediaFrame(str(path), last + 1, last / rate, rate, too_short)
