"""Functions that write the frames of a sequence as image files, into a zip file, or as a video."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile, ZipInfo

import cv2
import numpy as np

from fauds.errors import DataError

_JPEG_QUALITY = 92


def write_images(folder: Path, numbers: np.ndarray, frames: Iterable[np.ndarray]) -> None:
    """Write frames as JPEG files ``NUMBER.jpg`` into a new folder.

    Args:
        folder: the folder, which must not exist.
        numbers: the number of each frame, int [F].
        frames: the F frames, each uint8 [H, W, 3] BGR.
    """
    folder.mkdir(parents=True)
    for number, frame in zip(numbers.tolist(), frames, strict=True):
        (folder / f"{number}.jpg").write_bytes(jpeg(frame))


def add_to_zip(
    archive: ZipFile, folder: str, numbers: np.ndarray, frames: Iterable[np.ndarray]
) -> None:
    """Add frames as JPEG files ``FOLDER/NUMBER.jpg`` to an open zip archive.

    Args:
        archive: the archive.
        folder: the folder inside the archive.
        numbers: the number of each frame, int [F].
        frames: the F frames, each uint8 [H, W, 3] BGR.
    """
    for number, frame in zip(numbers.tolist(), frames, strict=True):
        # A ZipInfo has a constant date, so the bytes do not depend on the time.
        member = ZipInfo(f"{folder}/{number}.jpg")
        member.create_system = 3
        member.external_attr = 0o644 << 16
        archive.writestr(member, jpeg(frame), ZIP_STORED)


def write_video(path: Path, rate: int, frames: Iterable[np.ndarray]) -> None:
    """Write frames as a video in motion JPEG.

    Args:
        path: the path of the video, which ends in ``.avi``.
        rate: the number of frames per second.
        frames: the frames, at least one, each uint8 [H, W, 3] BGR; H and W are even and the same
            for all frames.

    Raises:
        DataError: the written video has a wrong number of frames. OpenCV does not report errors
            such as a full disk, so the video is opened again to check.
    """
    frames = iter(frames)
    first = next(frames)
    height, width = first.shape[:2]
    code = cv2.VideoWriter.fourcc(*"MJPG")
    with _silence():
        writer, count = cv2.VideoWriter(str(path), code, rate, (width, height)), 0
        try:
            if not writer.isOpened():
                raise _unwritable(path)
            for frame in chain([first], frames):
                writer.write(frame)
                count += 1
        finally:
            writer.release()
        if not _is_whole(path, count):
            raise _unwritable(path)


@contextmanager
def _silence() -> Iterator[None]:
    """Keep OpenCV from printing a line for every frame that it cannot write."""
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


def _is_whole(path: Path, count: int) -> bool:
    video = cv2.VideoCapture(str(path))
    try:
        # The count is written last: a file that is one byte short has a count of 0.
        return video.isOpened() and round(video.get(cv2.CAP_PROP_FRAME_COUNT)) == count
    finally:
        video.release()


def _unwritable(path: Path) -> DataError:
    return DataError(
        "The video could not be written completely.",
        where=path,
        hint="free some disk space or choose another folder, then run the same command again",
    )


def jpeg(frame: np.ndarray) -> bytes:
    """Return an image, uint8 [H, W, 3] BGR, as the content of a JPEG file."""
    written, data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    if not written:
        raise RuntimeError("OpenCV cannot write JPEG")
    return data.tobytes()
