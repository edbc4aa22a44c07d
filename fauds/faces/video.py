"""Reading of videos as streams of frames, one in memory at a time, each with its own time.

Videos are decoded by FFmpeg through PyAV, which gives the presentation time that the container
stores for a frame, and tells which frames are damaged.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from fauds.datasets import git_lfs
from fauds.errors import DataError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame as DecodedFrame
    from av.video.stream import VideoStream as DecodedStream

_EVEN = 0.1
"""The largest deviation of a step between two frames from the usual step, as its share."""

_EVEN_SHARE = 0.95
"""The share of even steps from which on a video has a constant rate, so that gaps are losses."""

_ASSUMED_RATE = 25.0
"""Frames per second, where a video without times does not state a rate either."""


class VideoFrame(NamedTuple):
    """A decoded frame of a video.

    Attributes:
        number: how many frames were decoded up to this one; the first is number 1.
        time: the presentation time in seconds; 0 is the beginning of the presentation.
        image: the pixels, uint8 [H, W, 3] RGB, upright as the video's rotation says.
    """

    number: int
    time: float
    image: np.ndarray


class Video:
    """A video file, whose decoded frames are numbered from 1.

    Frames are read in order from the first one, because seeking is not exact.

    Args:
        path: the path of the file.
        threads: the number of decoder threads; None lets FFmpeg choose.

    Attributes:
        rate: the mean number of frames per second according to the header. Frames need not be
            evenly spaced.
        frames: the number of frames according to the header, which may be wrong; 0 if it declares
            none.
        size: the width and height in pixels according to the header, before rotation.
        timed: whether the container stores the times of frames. If not, as in AVI files and in
            streams without a container, a constant rate is assumed.
        ended_at: the number of the last readable frame; None until `stream` has reached the end.
        undecodable: the number of damaged frames that `stream` has left out so far.

    Raises:
        DataError: the file does not exist, or FFmpeg cannot open it as a video.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        from av.format import Flags

        self.path = path
        self._threads = threads
        self.ended_at: int | None = None
        self.undecodable = 0
        container = self._open()
        try:
            stream = self._video_of(container)
            flags = int(container.format.flags)
            rate = stream.average_rate or stream.guessed_rate
            self.rate = float(rate) if rate else _ASSUMED_RATE
            self.frames: int = stream.frames
            self.size: tuple[int, int] = (stream.width, stream.height)
            self.timed = container.format.name != "avi" and not flags & cast(
                int, Flags.no_timestamps.value
            )
            # The clock of transport and program streams starts anywhere.
            starts_anywhere = flags & cast(int, Flags.ts_discont.value) and container.start_time
            self._origin = Fraction(container.start_time or 0, 10**6) if starts_anywhere else 0
        finally:
            container.close()

    @property
    def times(self) -> np.ndarray:
        """The presentation times of all frames in the file in seconds, increasing, float64 [N].

        They are read from the container without decoding the frames, which takes microseconds per
        frame. Frames that turn out to be damaged have a time too. Without stored times, the times
        are those of a constant rate.
        """
        return self._index[0]

    @property
    def missing(self) -> int:
        """The number of frames that the header declares and the file does not hold."""
        return max(0, self.frames - self._index[1])

    @cached_property
    def _index(self) -> tuple[np.ndarray, int]:
        """The times of the frames that are shown, and the number of frames in the file."""
        times: list[float] = []
        shown = frames = 0
        for packet in self._packets():
            frames += 1
            if packet.is_discard:
                continue  # An edit list leaves it out.
            shown += 1
            if packet.pts is not None and packet.time_base is not None:
                times.append(float(packet.pts * packet.time_base - self._origin))
        if not self.timed or len(times) < shown:
            return np.arange(shown) / self.rate, frames
        return np.sort(np.array(times, np.float64)), frames

    @cached_property
    def is_constant(self) -> bool:
        """Whether the frames are evenly spaced, apart from at most 5 % of the steps between them.

        It is the case without stored times.
        """
        return self._even_step() is not None

    def _even_step(self) -> float | None:
        """Return the usual seconds between two frames; None if the frames are unevenly spaced."""
        steps = np.diff(self.times)
        if not len(steps):
            return 1 / self.rate
        usual = float(np.median(steps))
        # A container may store times in milliseconds.
        even = np.abs(steps - usual) <= _EVEN * usual + 0.001
        return usual if even.mean() >= _EVEN_SHARE else None

    def check_whole(self) -> None:
        """Check that no frame is lost inside the file, which would shift all later frames.

        If the frames are evenly spaced apart from a few gaps, frames are lost in these gaps. An AVI
        file stores no times that would show a loss, but its header declares the number of frames. A
        file that was cut off passes the check, because it has lost only frames at its end.

        Raises:
            DataError: frames are lost inside the file.
        """
        times = self.times
        if self._is_whole_avi() and len(times) < self.frames:
            raise self._lost(
                f"it has {len(times):,} of the {self.frames:,} frames that its header declares"
            )
        usual = self._even_step()
        if not self.timed or usual is None or not usual > 0:
            return
        missing = np.rint(np.diff(times) / usual).astype(int) - 1
        gaps = np.flatnonzero(missing > 0)
        if len(gaps):
            first = int(gaps[0])
            raise self._lost(f"{missing[first]:,} after frame {first + 1:,}")

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

    def _open(self) -> InputContainer:
        import av

        try:
            # FFmpeg cannot mistake an absolute path for a protocol such as "rtsp:..."; a playlist
            # must not make it open other files.
            return av.open(
                str(self.path.absolute()),
                metadata_errors="replace",
                options={"protocol_whitelist": "file"},
            )
        except (av.FFmpegError, ValueError) as error:
            if self._is_lfs_pointer():
                raise git_lfs.pointer_error(self.path) from error
            problem = "cannot be opened as a video" if self.path.is_file() else "does not exist"
            raise DataError(
                f"{self.path.name} {problem}.",
                where=self.path,
                hint="copy it again; ffprobe shows details of the error",
            ) from error

    def _is_lfs_pointer(self) -> bool:
        try:
            with self.path.open("rb") as file:
                return git_lfs.is_pointer(file.read(200))
        except OSError:
            return False

    def _video_of(self, container: InputContainer) -> DecodedStream:
        # The cover image of an audio file counts as a video stream too.
        streams = [
            stream
            for stream in container.streams.video
            if not stream.disposition & stream.disposition.attached_pic
        ]
        if not streams or streams[0].codec_context is None:
            raise DataError(
                f"{self.path.name} holds no video that can be decoded.",
                where=self.path,
                hint="check with ffprobe which streams the file has",
            )
        return streams[0]

    def _packets(self) -> Iterator[Packet[Any]]:
        """Yield the compressed frames, in the order of the file."""
        import av

        container = self._open()
        try:
            for packet in container.demux(self._video_of(container)):
                if packet.size:
                    yield packet
        except av.FFmpegError:
            return  # The file ends in the middle of a frame.
        finally:
            container.close()

    def stream(self, wanted: Iterable[int] | None = None) -> Iterator[VideoFrame]:
        """Yield frames in order.

        Frames that are not wanted are skipped without converting their pixels, and nothing is
        read after the last wanted frame. If the video ends before that frame, the stream ends
        early; `ended_at` is then the number of the last readable frame.

        A frame that is damaged is left out and has no number; `undecodable` counts these frames. If
        only certain frames are wanted, a damaged frame before one of them is an error, because
        their numbers must be right.

        Args:
            wanted: the numbers of the frames to read, increasing; None reads all frames. A number
                is taken from the iterable only after the previous wanted frame has been read.

        Raises:
            DataError: the file can no longer be opened, frames are lost inside it, or its rotation
                is not a quarter turn.
        """
        self.ended_at, self.undecodable = None, 0
        container = self._open()
        try:
            yield from self._read(container, wanted)
        finally:
            container.close()

    def _read(
        self, container: InputContainer, wanted: Iterable[int] | None
    ) -> Iterator[VideoFrame]:
        number, time, image = 0, -1 / self.rate, None
        frames = self._decoded(container)
        for following in count(1) if wanted is None else wanted:
            while number < following:
                image = next(frames, None)
                if image is None:
                    self.ended_at = number
                    return
                if wanted is not None and self.undecodable:
                    raise self._lost(f"{self.undecodable:,} around frame {number + 1:,} is damaged")
                number, time = number + 1, self._time(image, time)
            if image is not None:
                yield VideoFrame(number, time, self._upright(image))

    def _decoded(self, container: InputContainer) -> Iterator[DecodedFrame]:
        import av

        stream = self._video_of(container)
        if self._threads is None:
            stream.thread_type = "AUTO"
        else:
            stream.thread_count = self._threads
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError:
                packet = None  # The file ends in the middle of a frame.
            if packet is None:
                return
            if packet.is_corrupt:
                self.undecodable += 1
                continue
            try:
                frames = packet.decode()
            except av.FFmpegError:
                self.undecodable += 1
                continue
            for frame in frames:
                if frame.is_corrupt:
                    self.undecodable += 1
                else:
                    yield frame

    def _time(self, frame: DecodedFrame, before: float) -> float:
        """Return the presentation time of a frame in seconds.

        Args:
            frame: the frame.
            before: the time of the frame before, from which a time that is not stored follows.
        """
        if frame.pts is None or frame.time_base is None:
            return before + 1 / self.rate
        return float(frame.pts * frame.time_base - self._origin)

    def _upright(self, frame: DecodedFrame) -> np.ndarray:
        """Return the pixels of a frame, turned and mirrored as its display matrix says."""
        image: np.ndarray = frame.to_ndarray(format="rgb24")
        matrix = frame.side_data.get("DISPLAYMATRIX")
        if matrix is None:
            return image
        # Display matrices are 3 x 3, row by row, as 16.16 fixed point.
        a, b, _, c, d, *_ = np.frombuffer(bytes(cast(Any, matrix)), np.int32).tolist()
        mirrored = a * d - b * c < 0
        if mirrored:
            a, c = -a, -c
        turns = math.degrees(math.atan2(c, a)) / 90
        if abs(turns - round(turns)) > 0.01:
            raise DataError(
                f"The video is to be shown turned by {90 * turns:.0f} degrees, but only quarter "
                "turns are possible.",
                where=self.path,
                hint="turn the video by another program first",
            )
        image = np.rot90(image, round(turns))
        return np.ascontiguousarray(image[:, ::-1] if mirrored else image)
