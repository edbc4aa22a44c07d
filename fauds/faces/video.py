"""Reading of videos as streams of frames, one in memory at a time."""

import os
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import repeat
from pathlib import Path

import cv2
import numpy as np

from fauds.errors import DataError


class Video:
    """A video file, whose frames are numbered from 1.

    Frames are read in order from the first one, because seeking is not exact.

    Args:
        path: the path of the file.
        threads: the number of decoder threads; None lets FFmpeg choose.

    Attributes:
        fps: the frames per second according to the header.
        frames: the number of frames according to the header; 0 if it declares none.
        size: the width and height in pixels according to the header.
        ended_at: the number of the last readable frame; None until `stream` has reached the end.

    Raises:
        DataError: the file does not exist, or FFmpeg cannot open it as a video.
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
        """Check that no frame is lost inside the file, which would shift all later frames.

        An AVI file stores no times that would show a loss, but its header declares the number of
        frames. The frames are counted without being decoded, which takes microseconds per frame.
        A file that was cut off passes the check, because it has lost only frames at its end.

        Raises:
            DataError: the file is complete but has fewer frames than its header declares.
        """
        if not self._is_whole_avi():
            return
        capture = self._open(cv2.CAP_PROP_FORMAT, -1)
        count = 0
        while capture.grab():
            count += 1
        capture.release()
        if count < self.frames:
            raise self._lost(
                f"it has {count:,} of the {self.frames:,} frames that its header declares"
            )

    def _is_whole_avi(self) -> bool:
        with self.path.open("rb") as file:
            head = file.read(12)
        size = int.from_bytes(head[4:8], "little") + 8
        is_avi = head[:4] == b"RIFF" and head[8:] == b"AVI "
        return is_avi and size <= self.path.stat().st_size

    def _lost(self, details: str) -> DataError:
        return DataError(
            f"Frames are lost inside {self.path.name}: {details}. All later frames would get wrong "
            "frame numbers.",
            where=self.path,
            hint="copy the video again; if no frame is lost and its header is wrong, rewrite the "
            "file: ffmpeg -i OLD -c copy NEW",
        )

    def _open(self, *options: int) -> cv2.VideoCapture:
        _silence()
        if self._threads is not None:
            options = (*options, cv2.CAP_PROP_N_THREADS, self._threads)
        # FFmpeg cannot mistake an absolute path for a protocol such as "rtsp:...".
        capture = cv2.VideoCapture(str(self.path.absolute()), cv2.CAP_FFMPEG, [*options])
        if not capture.isOpened():
            problem = "cannot be opened as a video" if self.path.is_file() else "does not exist"
            raise DataError(
                f"{self.path.name} {problem}.",
                where=self.path,
                hint="copy it again; ffprobe shows details of the error",
            )
        return capture

    def stream(self, wanted: Iterable[int] | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """Yield frames in order, each as its number and its pixels, uint8 [H, W, 3] RGB.

        Frames that are not wanted are skipped without converting their pixels, and nothing is
        read after the last wanted frame. If the video ends or is damaged before that frame, the
        stream ends early; `ended_at` is then the number of the last readable frame.

        The time stamps of the frames may show that frames are lost inside the file. If all frames
        are read (`wanted` is None), the frames after the loss keep their original numbers. If only
        certain frames are wanted, a loss is an error, because their numbers must be right.

        Args:
            wanted: the numbers of the frames to read, increasing; None reads all frames. A number
                is taken from the iterable only after the previous wanted frame has been read.

        Raises:
            DataError: the file can no longer be opened, or frames are lost inside it.
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
        # If all frames are wanted, 0 stands for the next frame, whatever its number.
        for following in repeat(0) if wanted is None else wanted:
            while number < following or following == 0:
                if not capture.grab():
                    self.ended_at = number
                    return
                number += 1
                lost = clock.lost(number)
                if lost and wanted is not None:
                    raise self._lost(f"{lost:,} before frame {number + lost:,}")
                number += lost
                if following == 0:
                    break
            read, image = capture.retrieve()
            if not read:
                self.ended_at = number - 1
                return
            yield number, cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


class _Clock:
    """Detects frames that are lost inside a video, by the time stamps of the frames that are read.

    Losses are detected only while the time stamps advance in even steps, as the frame rate says.
    In a video with an uneven rate, time stamps do not determine frame numbers.
    """

    def __init__(self, capture: cv2.VideoCapture, fps: float) -> None:
        self._capture = capture
        self._steps = fps / 1000
        self._first: float | None = None
        self._even = fps > 0

    def lost(self, number: int) -> int:
        """Return the number of frames that are lost before the frame just read.

        Args:
            number: the number that this frame has if no frame was lost directly before it.
        """
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
    """Stop FFmpeg and OpenCV from writing to stderr; errors are raised instead."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
