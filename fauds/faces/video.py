"""Videos as streams of frames, one in memory at a time."""

import os
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import count
from pathlib import Path

import cv2
import numpy as np

from fauds.errors import DataError


class Video:
    """A video file. Frames are numbered from 1 and read in order: seeking is not exact.

    Args:
        path: of the file.
        threads: that decode; None leaves the number to FFmpeg.

    Attributes:
        fps: frames a second, as the header says.
        frames: how many there are, as the header says; 0 where it does not.
        size: width and height in pixels, as the header says.
        ended_at: the last frame that could be read, where `stream` came to the end; else None.

    Raises:
        DataError: the file is missing, or no video that FFmpeg opens.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        self.path = path
        self._threads = threads
        self.ended_at: int | None = None
        capture = self._open()
        self.fps = float(capture.get(cv2.CAP_PROP_FPS))
        self.frames = max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        self.size = (
            int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
            int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
        )
        capture.release()

    def _open(self) -> cv2.VideoCapture:
        _silence()
        options = [] if self._threads is None else [cv2.CAP_PROP_N_THREADS, self._threads]
        # An absolute path cannot be taken for a protocol ("rtsp:...").
        capture = cv2.VideoCapture(str(self.path.absolute()), cv2.CAP_FFMPEG, options)
        if not capture.isOpened():
            what = "cannot be opened as a video" if self.path.is_file() else "is not here"
            raise DataError(
                f"{self.path.name} {what}.",
                where=self.path,
                hint="copy it again; ffprobe says more of what is wrong with it",
            )
        return capture

    def stream(self, wanted: Iterable[int] | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """Yield frames as (number, uint8 [H, W, 3] RGB), in order.

        Frames that are not wanted are passed over without converting their pixels, and nothing
        is read after the last wanted one. A video that ends before it, or is damaged there,
        ends the stream; `ended_at` then says where.

        Args:
            wanted: rising numbers, each taken when the one before was read; None for all
                frames.

        Raises:
            DataError: the file cannot be opened any more.
        """
        capture = self._open()
        try:
            yield from self._read(capture, wanted)
        finally:
            capture.release()

    def _read(
        self, capture: cv2.VideoCapture, wanted: Iterable[int] | None
    ) -> Iterator[tuple[int, np.ndarray]]:
        number = 0
        for following in count(1) if wanted is None else wanted:
            while number < following:
                if not capture.grab():
                    self.ended_at = number
                    return
                number += 1
            read, image = capture.retrieve()
            if not read:
                self.ended_at = number - 1
                return
            yield number, cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


@cache
def _silence() -> None:
    """Keep FFmpeg and OpenCV from writing to stderr; what matters is raised."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
