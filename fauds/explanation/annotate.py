"""Writes annotated images and videos, which show boxes, action units and descriptions of faces."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np

from fauds.errors import DataError, UsageError
from fauds.explanation.annotated_image import compose, lay_out
from fauds.explanation.explained import Explanation, MediaFrame
from fauds.explanation.media import IMAGE_SUFFIXES, VIDEO_SUFFIXES, is_video
from fauds.faces.video import Video
from fauds.tables.atomic import atomic, atomic_keeping_partial

IMAGE_FORMATS = (".png", ".jpg", ".jpeg")
VIDEO_FORMATS = {".mp4": "mp4v", ".avi": "MJPG"}
"""The suffixes of videos that can be written, and the four-character code of their codec."""

_READ_ONLY = (IMAGE_SUFFIXES | VIDEO_SUFFIXES | {".gif"}) - {*IMAGE_FORMATS, *VIDEO_FORMATS}
_JPEG_QUALITY = 92
_DEFAULT_RATE = 25


class AnnotatedMedia:
    """Writes annotated images and videos, frame by frame in bounded memory.

    All frames of an annotated video have the same size and the frame rate of the original; frames
    without a face are included. If writing is interrupted, the frames so far are kept in a file
    with the suffix ``.part``. Use as a context manager, or call `close`.

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
        self._write_frame: Callable[[np.ndarray], None] | None = None
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
            DataError: the file cannot be written, this version of OpenCV cannot write a video of
                this format and size, or the previous video was not written completely.
        """
        height, width = frame.pixels.shape[:2]
        rate = frame.rate
        annotated = compose(
            _layout(height, width),
            frame,
            explanations,
            fixed=rate is not None,
            weights=self._weights,
        )
        if self._write_frame is None or self._video_source != frame.source:
            self.close()
            output = self._output_path(Path(frame.source), rate is not None)
            if rate is None:
                _write_image(output, annotated)
                return
            self._write_frame = self._stack.enter_context(
                _open_video(output, rate, annotated.shape)
            )
            self._video_source = frame.source
        self._write_frame(annotated)

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
    path: Path, rate: float, shape: tuple[int, ...]
) -> Iterator[Callable[[np.ndarray], None]]:
    """Return a context manager that opens a video file for writing.

    It yields a function that writes one frame, uint8 [H, W, 3] RGB. When the context ends, the
    frames in the file are counted, since OpenCV reports no error when the disk is full.

    Args:
        path: the video file.
        rate: the frame rate in frames per second.
        shape: the shape of the frames: height, width, channels.

    Raises:
        DataError: this version of OpenCV cannot write a video of this format and size, or frames
            are missing in the written file.
    """
    with atomic_keeping_partial(path) as temporary:
        # OpenCV infers the format from the suffix.
        path_with_suffix = temporary.with_suffix(path.suffix)
        code, written = cv2.VideoWriter.fourcc(*VIDEO_FORMATS[path.suffix.lower()]), 0
        writer = cv2.VideoWriter(
            str(path_with_suffix.absolute()), code, _valid_rate(rate, path), (shape[1], shape[0])
        )
        try:
            if not writer.isOpened():
                raise DataError(
                    f"This version of OpenCV cannot write {path.suffix} videos of {shape[1]} x "
                    f"{shape[0]} pixels.",
                    where=path,
                    hint="give a file that ends in .avi, or extract the frames as images",
                )

            def write(annotated: np.ndarray) -> None:
                nonlocal written
                writer.write(cv2.cvtColor(annotated, cv2.COLOR_RGB2BGR))
                written += 1

            yield write
        finally:
            writer.release()
            with suppress(FileNotFoundError):
                path_with_suffix.replace(temporary)
            readable = _count_frames(temporary)
            if not readable:
                # A video without readable frames is not kept.
                os.truncate(temporary, 0)
        if readable != written:
            raise DataError(
                f"{path.name} could not be written completely: {readable:,} of {written:,} frames "
                "were saved. The disk is probably full.",
                where=path,
                hint="free disk space, or choose another folder; an earlier file was not replaced",
            )


def _count_frames(path: Path) -> int:
    """Return the number of frames of a video; 0 if it cannot be opened."""
    try:
        video = Video(path)
        # The header is written last: if it says 0 frames, the video may still have some.
        return video.frames or sum(1 for _ in video.stream())
    except DataError:
        return 0


def _valid_rate(rate: float, path: Path) -> float:
    """Return the frame rate of an annotated video in frames per second.

    It is the frame rate of the original video. If that is unknown, a warning is printed and a
    default rate is returned.

    Args:
        rate: the frame rate of the original video; not a positive number if unknown.
        path: the annotated video, for the warning.
    """
    if np.isfinite(rate) and rate > 0:
        return rate
    print(
        f"The frame rate of the video is unknown: {path.name} is written with {_DEFAULT_RATE} "
        "frames per second.",
        file=sys.stderr,
    )
    return _DEFAULT_RATE
