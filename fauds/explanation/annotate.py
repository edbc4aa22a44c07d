"""Writes annotated images and videos, which show boxes, action units and descriptions of faces."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any, Self, cast

import av
import cv2
import numpy as np
from av.video.stream import VideoStream

from fauds.errors import DataError, UsageError
from fauds.explanation.annotated_image import compose, lay_out
from fauds.explanation.explained import Explanation, MediaFrame
from fauds.explanation.media import is_video
from fauds.faces.file_kinds import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from fauds.faces.video import Video
from fauds.tables.atomic import atomic, atomic_keeping_partial

IMAGE_FORMATS = (".png", ".jpg", ".jpeg")
VIDEO_FORMATS = {".mp4": ("mpeg4", "yuv420p"), ".avi": ("mjpeg", "yuvj420p")}
"""The suffixes of videos that can be written, and FFmpeg's encoder and pixel format for them.

These encoders are FFmpeg's own: its encoder of H.264 in PyAV's wheels has the GPL.
"""

_READ_ONLY = (IMAGE_SUFFIXES | VIDEO_SUFFIXES) - {*IMAGE_FORMATS, *VIDEO_FORMATS}
_JPEG_QUALITY = 92
_TICKS = 60_000
"""The ticks per second of times in MP4 files, the finest that is a multiple of common rates."""

_COARSEST = 4
"""The coarsest quantiser of the encoders, which range from 2 (best) to 31."""


class AnnotatedMedia:
    """Writes annotated images and videos, frame by frame in bounded memory.

    All frames of an annotated video have the same size, and the times of the original frames;
    frames without a face are included. If writing is interrupted, the frames so far are kept in a
    file with the suffix ``.part``. Use as a context manager, or call `close`.

    Args:
        path: the output: an image (``.png``, ``.jpg``), a video (``.mp4``, ``.avi``), or a folder,
            which is created if necessary. A folder receives a file for every input, with the name
            of the input and in the same subfolders. If the format of an input cannot be written,
            a suffix is added: ``a.bmp.png``, ``talk.mov.mp4``.
        inputs: the input files and folders.
        weights: the model's weights in words, which every annotated image names.

    Raises:
        UsageError: `path` is a file but there may be several inputs, `path` is an image but the
            input is a video or vice versa, the format cannot be written, two inputs have the same
            name, or an input would be overwritten.
    """

    def __init__(self, path: Path, inputs: Sequence[Path], weights: str = "") -> None:
        self.path = path
        self._weights = weights
        self._inputs = [Path(path) for path in inputs]
        self._is_file = path.suffix.lower() in (*IMAGE_FORMATS, *VIDEO_FORMATS)
        self._stack = ExitStack()
        self._video_source: str | None = None
        self._write_frame: Callable[[np.ndarray, float], None] | None = None
        self._check()

    def _check(self) -> None:
        names = [path.resolve().name for path in self._inputs]
        several = len(names) > 1 or any(path.is_dir() for path in self._inputs)
        if self._is_file and several:
            raise UsageError(
                f"{self.path.name} is one file, but there may be several inputs to annotate.",
                where=self.path,
                hint="give a folder for the annotated files",
            )
        if self.path.suffix.lower() in _READ_ONLY and not self.path.is_dir():
            raise UsageError(
                f"Annotated images and videos cannot be written as {self.path.suffix} files.",
                where=self.path,
                hint="give a folder, or a file that ends in "
                f"{', '.join((*IMAGE_FORMATS, *VIDEO_FORMATS))}",
            )
        if self._is_file:
            self._output_path(self._inputs[0], is_video(self._inputs[0]))
        duplicate = next((name for name in names if names.count(name) > 1), None)
        if duplicate and not self._is_file:
            raise UsageError(
                f"Two inputs are named {duplicate}: the annotated files would have the same name.",
                hint="annotate the inputs one at a time, or a folder that contains both",
            )

    def draw(self, frame: MediaFrame, explanations: Sequence[Explanation]) -> None:
        """Draw the explanations of one frame on it, and write the annotated frame.

        Args:
            frame: the image or video frame, which must be readable.
            explanations: the explanations of the frame's faces, largest face first; may be empty.

        Raises:
            UsageError: the annotated file would replace its own input.
            DataError: the file cannot be written, its format cannot hold the times of the frames,
                or the previous video was not written completely.
        """
        height, width = frame.pixels.shape[:2]
        time = frame.timestamp
        annotated = compose(
            _layout(height, width),
            frame,
            explanations,
            fixed=time is not None,
            weights=self._weights,
        )
        if self._write_frame is None or self._video_source != frame.source:
            self.close()
            output = self._output_path(Path(frame.source), time is not None)
            if time is None:
                _write_image(output, annotated)
                return
            self._write_frame = self._stack.enter_context(
                _open_video(output, frame, annotated.shape)
            )
            self._video_source = frame.source
        self._write_frame(annotated, time or 0.0)

    def _output_path(self, source: Path, video: bool) -> Path:
        """Return the path of the annotated file for an input file.

        Args:
            source: the input file.
            video: whether the input file is a video instead of an image.

        Raises:
            UsageError: the annotated file would replace the input file, or only one of these two
                files is a video.
        """
        output = self.path if self._is_file else self.path / self._relative_path(source)
        formats = VIDEO_FORMATS if video else IMAGE_FORMATS
        if self._is_file and output.suffix.lower() not in formats:
            media_type = "a video" if video else "an image"
            raise UsageError(
                f"{source.name} is {media_type}, but {output.name} is not.",
                where=output,
                hint=f"give a folder, or a file that ends in {', '.join(formats)}",
            )
        if output.suffix.lower() not in formats:
            output = output.with_name(output.name + (".mp4" if video else ".png"))
        if output.resolve() == source.resolve():
            raise UsageError(
                f"The annotated {source.name} would replace {source.name} itself.",
                where=output,
                hint="give another file or folder for the annotated files",
            )
        return output

    def _relative_path(self, source: Path) -> Path:
        """Return the path of the annotated file for an input file, relative to the output folder.

        For a file in an input folder, the path includes the subfolders of the input folder. If
        there are several inputs, it also begins with the input folder's name.
        """
        for path in self._inputs:
            if source != path and source.is_relative_to(path):
                within = source.relative_to(path)
                return within if len(self._inputs) == 1 else path.resolve().name / within
        return Path(source.name)

    def close(self) -> None:
        """Finish the video that is being written, if there is one.

        Raises:
            DataError: the video was not written completely.
        """
        self._write_frame = None
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)


_layout = lru_cache(maxsize=64)(lay_out)


def _write_image(path: Path, annotated: np.ndarray) -> None:
    settings = [] if path.suffix.lower() == ".png" else [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    encoded = cv2.imencode(path.suffix, cv2.cvtColor(annotated, cv2.COLOR_RGB2BGR), settings)[1]
    with atomic(path) as temporary:
        temporary.write_bytes(encoded.tobytes())


@contextmanager
def _open_video(
    path: Path, first: MediaFrame, shape: tuple[int, ...]
) -> Iterator[Callable[[np.ndarray, float], None]]:
    """Return a context manager that opens a video file for writing.

    It yields a function that writes one frame, uint8 [H, W, 3] RGB, at a time in seconds. When the
    context ends, the frames in the file are counted.

    Args:
        path: the video file.
        first: the first frame of the original video.
        shape: the shape of the annotated frames: height, width, channels.

    Raises:
        DataError: the format cannot hold the times of the frames, the file cannot be written, or
            frames are missing in the written file.
    """
    suffix = path.suffix.lower()
    if suffix == ".avi" and not first.even:
        raise DataError(
            f"The frames of {Path(first.source).name} are unevenly spaced in time, which an AVI "
            "file cannot hold.",
            where=path,
            hint="give a file that ends in .mp4",
        )
    with atomic_keeping_partial(path) as temporary:
        with _encoder(path, temporary, first, shape) as write:
            yield write
        readable = _count_frames(temporary)
        if readable != write.frames:
            raise DataError(
                f"{path.name} could not be written completely: {readable:,} of {write.frames:,} "
                "frames were saved.",
                where=path,
                hint="choose another folder; an earlier file was not replaced",
            )


class _Encoder:
    """Encodes frames into an open file.

    Attributes:
        frames: the number of frames so far.
    """

    def __init__(self, container: Any, stream: Any, ticks: Fraction) -> None:
        self.frames = 0
        self._container = container
        self._stream = stream
        self._ticks = ticks
        self._last: int | None = None

    def __call__(self, annotated: np.ndarray, time: float) -> None:
        size = (self._stream.width, self._stream.height)
        if annotated.shape[1::-1] != size:
            # Browsers change the size of a recording when the connection becomes slow.
            annotated = cv2.resize(annotated, size, interpolation=cv2.INTER_AREA)
        frame = av.VideoFrame.from_ndarray(annotated, format="rgb24")
        place = round(time / self._ticks)
        frame.pts = place if self._last is None else max(place, self._last + 1)
        frame.time_base = self._ticks
        self._last = frame.pts
        self._container.mux(self._stream.encode(frame))
        self.frames += 1

    def finish(self) -> None:
        """Write what the encoder still holds, and the end of the file."""
        self._container.mux(self._stream.encode())


@contextmanager
def _encoder(
    path: Path, temporary: Path, first: MediaFrame, shape: tuple[int, ...]
) -> Iterator[_Encoder]:
    suffix = path.suffix.lower()
    codec, pixels = VIDEO_FORMATS[suffix]
    rate = Fraction(first.rate or 25).limit_denominator(1001)
    ticks = 1 / rate if suffix == ".avi" else Fraction(1, _TICKS)
    with _reported(path):
        container = av.open(str(temporary.absolute()), "w", format=suffix[1:])
        stream = cast(VideoStream, container.add_stream(codec, rate=rate))
        stream.width, stream.height, stream.pix_fmt = shape[1], shape[0], pixels
        stream.codec_context.time_base = ticks
        stream.codec_context.qmin, stream.codec_context.qmax = 2, _COARSEST
        stream.bit_rate = 8 * shape[0] * shape[1]
    write = _Encoder(container, stream, ticks)
    try:
        with _reported(path):
            yield write
    finally:
        # The frames so far are kept when the work is interrupted.
        with _reported(path):
            try:
                if write.frames:
                    write.finish()
            finally:
                container.close()
                if not _count_frames(temporary):
                    # A video without readable frames is not kept.
                    os.truncate(temporary, 0)


@contextmanager
def _reported(path: Path) -> Iterator[None]:
    """Raise errors of FFmpeg as errors about the file that is written."""
    try:
        yield
    except av.FFmpegError as error:
        raise DataError(
            f"{path.name} cannot be written: {error.strerror}.",
            where=path,
            hint="free disk space, or choose another folder; an earlier file was not replaced",
        ) from error


def _count_frames(path: Path) -> int:
    """Return the number of frames of a video; 0 if it cannot be opened."""
    try:
        return len(Video(path).times)
    except DataError:
        return 0
