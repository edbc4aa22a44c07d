"""Reads images, videos and folders of them as one stream of frames."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fauds import launcher
from fauds.datasets.base import natural
from fauds.datasets.media_files import printable
from fauds.datasets.subjects import abbreviated
from fauds.errors import DataError, UsageError
from fauds.explanation.explained import ASSUMED_TIMES, STORED_TIMES, MediaFrame
from fauds.faces.file_kinds import IMAGE_SUFFIXES, VIDEO_SUFFIXES, kind_of
from fauds.faces.image_decoding import decode
from fauds.faces.video import Video
from fauds.tables.paths import SYNTHETIC_MARKER

_SUFFIXES_READ = (
    f"give images ({' '.join(sorted(IMAGE_SUFFIXES))}) or videos "
    f"({' '.join(sorted(VIDEO_SUFFIXES))})"
)

Note = Callable[[str], None]
"""A function that is called with a message for the user."""


def find_media(inputs: Sequence[Path], note: Note = lambda line: None) -> list[Path]:
    """Return the paths of the image and video files in the inputs, each file once.

    Args:
        inputs: files and folders. Folders are searched recursively, linked ones included, in
            natural order (2 before 10). Hidden files, and files that are neither images nor videos
            by their content or their suffix, are passed over.
        note: a function that is called with a message about the files passed over, if there are
            any.

    Raises:
        UsageError: an input does not exist, or is neither an image nor a video.
        DataError: a folder contains neither an image nor a video.
    """
    files: list[Path] = []
    passed_over: list[Path] = []
    for path in inputs:
        if path.is_dir():
            files += _inside(path, passed_over)
        elif not path.exists():
            raise UsageError(
                "The file or folder does not exist.", where=path, hint="give an existing path"
            )
        elif kind_of(path) is None:
            raise UsageError(
                f"{path.name} is neither an image nor a video, judging by its content and suffix.",
                where=path,
                hint=_SUFFIXES_READ,
            )
        else:
            files.append(path)
    if passed_over:
        names = abbreviated([printable(path.name) for path in passed_over], 6)
        count = len(passed_over)
        kinds = "file that is no image or video" if count == 1 else "files that are no media files"
        note(f"passed over: {count:,} {kinds} ({names})")
    return list(dict.fromkeys(files))


def _inside(folder: Path, passed_over: list[Path]) -> list[Path]:
    files: list[Path] = []
    entered: set[Path] = set()
    for above, folders, names in os.walk(folder, followlinks=True):
        # A link may lead to a folder that contains it.
        entered.add(Path(above).resolve())
        # os.walk does not descend into folders that are removed from this list.
        folders[:] = [
            name
            for name in folders
            if not _hidden(name) and Path(above, name).resolve() not in entered
        ]
        for path in (Path(above) / name for name in names):
            unread = _hidden(path.name) or kind_of(path) is None
            (passed_over if unread else files).append(path)
    if not files:
        raise DataError(
            "The folder contains neither an image nor a video.",
            where=folder,
            hint=_SUFFIXES_READ,
        )
    passed_over.sort(key=_natural)
    return sorted(files, key=_natural)


def _natural(path: Path) -> tuple[Any, ...]:
    return tuple(map(natural, path.parts))


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def is_video(path: Path) -> bool:
    """Return whether a file is a video by its content, or by its suffix if that is unknown."""
    return kind_of(path) == "video"


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

    The frames of a video are counted without being decoded, which takes microseconds per frame.
    """
    return sum(_frame_count(path) if is_video(path) else 1 for path in files)


def _frame_count(path: Path) -> int:
    try:
        return max(1, len(Video(path).times))
    except DataError:
        return 1


def frames(files: Sequence[Path], note: Note = lambda line: None) -> Iterator[MediaFrame]:
    """Yield the images and video frames of files, one at a time.

    For an image or a video that cannot be read, the yielded frame contains an error instead of
    pixels. The numbers of a video's frames count the frames that were decoded.

    Args:
        files: the paths of the images and videos.
        note: a function that is called with messages about videos: that a constant rate is assumed,
            that frames are damaged, and that a video has fewer frames than its header says.
    """
    for path in files:
        if is_video(path):
            yield from _video_frames(path, note)
        else:
            yield _image_frame(path)


def _image_frame(path: Path) -> MediaFrame:
    return MediaFrame(str(path), 1, None, None, _read_image(path))


def _read_image(path: Path) -> np.ndarray | DataError:
    try:
        return decode(path.read_bytes(), path, photograph=True)
    except OSError as error:
        return DataError(f"The image cannot be read: {error.strerror or error}.", where=path)
    except DataError as error:
        return error


def _video_frames(path: Path, note: Note) -> Iterator[MediaFrame]:
    last = 0
    try:
        video = Video(path)
        timing, even = STORED_TIMES if video.timed else ASSUMED_TIMES, video.is_constant
        if not video.timed:
            note(f"{path}: the file has no times of frames: {timing}, {video.rate:g} a second")
        for last, time, image in video.stream():
            yield MediaFrame(str(path), last, time, video.rate, image, timing, even)
        if not last:
            raise DataError("No frame of the video can be decoded.", where=path)
    except DataError as error:
        # A video that has vanished ends here as well.
        yield MediaFrame(str(path), last + 1, 0.0, None, error)
        return
    if video.undecodable:
        note(f"{path}: {video.undecodable:,} frames are damaged and left out")
    if video.missing:
        held = video.frames - video.missing
        note(
            f"{path}: the file holds {held:,} of the {video.frames:,} frames that its header "
            "declares; it may be cut off"
        )
