"""Videos as streams of frames, one in memory at a time."""

import os
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import repeat
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

    def check_whole(self) -> None:
        """Make sure that no frame is lost inside the file: it would shift all that come after.

        An AVI file carries no times that would tell, but its header says how many frames there
        are. They are counted without being decoded, which takes microseconds each. A file that
        was cut off has lost its end only, and passes.

        Raises:
            DataError: fewer frames than the header says, and the file's end is there.
        """
        if not self._is_whole_avi():
            return
        capture = self._open(cv2.CAP_PROP_FORMAT, -1)
        found = 0
        while capture.grab():
            found += 1
        capture.release()
        if found < self.frames:
            raise self._lost(f"{found:,} of the {self.frames:,} that its header names are found")

    def _is_whole_avi(self) -> bool:
        with self.path.open("rb") as file:
            head = file.read(12)
        size = int.from_bytes(head[4:8], "little") + 8
        is_avi = head[:4] == b"RIFF" and head[8:] == b"AVI "
        return is_avi and size <= self.path.stat().st_size

    def _lost(self, how: str) -> DataError:
        return DataError(
            f"Frames are lost inside {self.path.name}: {how}. Those after them would be taken for "
            "others.",
            where=self.path,
            hint="copy the video again; if nothing is lost and its header is wrong, write it anew: "
            "ffmpeg -i OLD -c copy NEW",
        )

    def _open(self, *options: int) -> cv2.VideoCapture:
        _silence()
        if self._threads is not None:
            options = (*options, cv2.CAP_PROP_N_THREADS, self._threads)
        # An absolute path cannot be taken for a protocol ("rtsp:...").
        capture = cv2.VideoCapture(str(self.path.absolute()), cv2.CAP_FFMPEG, [*options])
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

        Where the frames' times show that some are lost, those after them keep their own numbers
        if all frames are asked for, and are refused if some are: who names frames relies on it.

        Args:
            wanted: rising numbers, each taken when the one before was read; None for all
                frames.

        Raises:
            DataError: the file cannot be opened any more, or frames are lost inside it.
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
        clock = _Clock(capture, self.fps)
        # Where all are wanted, 0 stands for the next one, whatever its number.
        for following in repeat(0) if wanted is None else wanted:
            while number < following or following == 0:
                if not capture.grab():
                    self.ended_at = number
                    return
                number += 1
                lost = clock.lost(number)
                if lost and wanted is not None:
                    raise self._lost(f"{lost:,} before what was frame {number + lost:,}")
                number += lost
                if following == 0:
                    break
            read, image = capture.retrieve()
            if not read:
                self.ended_at = number - 1
                return
            yield number, cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


class _Clock:
    """Tells from frames' times whether some were passed over.

    Only while they come in even steps of the frame rate: of a video with an uneven rate, times
    say nothing of numbers.
    """

    def __init__(self, capture: cv2.VideoCapture, fps: float) -> None:
        self._capture = capture
        self._steps = fps / 1000
        self._first: float | None = None
        self._even = fps > 0

    def lost(self, number: int) -> int:
        """Return how many frames are missing before the one just read, the `number`-th."""
        if not self._even:
            return 0
        place = self._capture.get(cv2.CAP_PROP_POS_MSEC) * self._steps
        if self._first is None:
            self._first = place - 1
        ahead = place - self._first - number
        self._even = abs(ahead - round(ahead)) < 0.1 and ahead > -0.1
        return round(ahead) if self._even else 0


@cache
def _silence() -> None:
    """Keep FFmpeg and OpenCV from writing to stderr; what matters is raised."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
