"""What the user names, images, folders and videos, as one stream of pictures."""

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

IMAGE_SUFFIXES = frozenset((".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"))
VIDEO_SUFFIXES = frozenset(
    (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv")
)
_SUFFIXES_READ = (
    f"images: {' '.join(sorted(IMAGE_SUFFIXES))}; videos: {' '.join(sorted(VIDEO_SUFFIXES))}"
)


def find(inputs: Sequence[Path]) -> list[Path]:
    """Return the image and video files that are named, each once.

    Args:
        inputs: files, or folders whose files are taken with those of the folders in them, in
            natural order; what is hidden is left out, and so is what is neither by its suffix.

    Raises:
        UsageError: an input does not exist, or is a file of another kind.
        DataError: a folder holds neither an image nor a video.
    """
    files: list[Path] = []
    for path in inputs:
        if path.is_dir():
            files += _inside(path)
        elif not path.exists():
            raise UsageError("There is no such file or folder.", where=path)
        elif not _readable(path):
            raise UsageError(
                f"{path.name} is neither an image nor a video by its suffix.",
                where=path,
                hint=_SUFFIXES_READ,
            )
        else:
            files.append(path)
    return list(dict.fromkeys(files))


def _inside(folder: Path) -> list[Path]:
    found: list[Path] = []
    for above, folders, names in os.walk(folder):
        # What is taken out of this list is not walked into.
        folders[:] = [name for name in folders if not _hidden(name)]
        found += [Path(above) / name for name in names if not _hidden(name)]
    found = [path for path in found if _readable(path)]
    if not found:
        raise DataError(
            "The folder holds neither an image nor a video.",
            where=folder,
            hint=_SUFFIXES_READ,
        )
    return sorted(found, key=lambda path: tuple(map(natural, path.parts)))


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _readable(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES | VIDEO_SUFFIXES


def is_video(path: Path) -> bool:
    """Whether a file is a video by its suffix."""
    return path.suffix.lower() in VIDEO_SUFFIXES


@dataclass(frozen=True)
class ProcessShare:
    """Which part of the files is this process's, where torchrun starts several.

    Attributes:
        rank: this process, from 0.
        world: how many there are.
    """

    rank: int
    world: int

    @classmethod
    def of_environment(cls) -> "ProcessShare":
        """Return what torchrun's RANK and WORLD_SIZE say; else the whole.

        Raises:
            UsageError: they are no such numbers.
        """
        rank, world = launcher.rank(), launcher.world_size()
        if rank >= world:
            raise UsageError(
                f"RANK is {rank} and WORLD_SIZE {world}: that is no share of the files.",
                where="environment",
                hint="start with torchrun, which sets both, or unset both",
            )
        return cls(rank, world)

    def of_files(self, files: Sequence[Path]) -> list[Path]:
        """Return this process's files: they go round, and a video stays whole."""
        return list(files[self.rank :: self.world])

    def of_output(self, path: Path) -> Path:
        """Return the file that this process writes: ``faces.csv``, or ``faces-2of4.csv``."""
        if self.world == 1:
            return path
        return path.with_name(f"{path.stem}-{self.rank + 1}of{self.world}{path.suffix}")


def pictures(files: Sequence[Path]) -> int:
    """Return how many pictures files hold, as the headers of the videos say."""
    return sum(_frames(path) if is_video(path) else 1 for path in files)


def _frames(path: Path) -> int:
    try:
        return max(1, Video(path).frames)
    except DataError:
        return 1


def frames(files: Sequence[Path]) -> Iterator[MediaFrame]:
    """Yield the pictures of files, one at a time; one that cannot be read carries its error.

    A video whose frames end before its header says so ends with one that carries an error.
    """
    for path in files:
        if is_video(path):
            yield from _of_video(path)
        else:
            yield _of_image(path)


def _of_image(path: Path) -> MediaFrame:
    return MediaFrame(str(path), 1, None, None, _image(path))


def _image(path: Path) -> np.ndarray | DataError:
    try:
        return decode(path.read_bytes(), path)
    except OSError as error:
        return DataError(f"The image cannot be read: {error.strerror or error}.", where=path)
    except DataError as error:
        return error


def _of_video(path: Path) -> Iterator[MediaFrame]:
    try:
        video = Video(path)
        if not video.fps > 0:
            raise DataError("The video does not say how many frames a second it has.", where=path)
    except DataError as error:
        yield MediaFrame(str(path), 1, 0.0, None, error)
        return
    rate, last = video.fps, 0
    for last, image in video.stream():
        yield MediaFrame(str(path), last, (last - 1) / rate, rate, image)
    if last < max(1, video.frames):
        why = DataError(
            f"The video ends after frame {last:,}; its header says {video.frames:,}.", where=path
        )
        yield MediaFrame(str(path), last + 1, last / rate, rate, why)
