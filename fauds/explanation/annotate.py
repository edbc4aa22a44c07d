"""Pictures and videos with what a model says of their faces drawn on and beside them."""

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
from fauds.explanation.media import IMAGE_SUFFIXES, is_video
from fauds.explanation.media import VIDEO_SUFFIXES as FILMS
from fauds.faces.video import Video
from fauds.tables.atomic import atomic, growing

IMAGE_FORMATS = (".png", ".jpg", ".jpeg")
VIDEO_FORMATS = {".mp4": "mp4v", ".avi": "MJPG"}
"""Suffixes that can be written, and the code of a video's compression."""

_READ_ONLY = (IMAGE_SUFFIXES | FILMS | {".gif"}) - {*IMAGE_FORMATS, *VIDEO_FORMATS}
_QUALITY = 92
_RATE = 25


class AnnotatedMedia:
    """Draws on pictures and videos, frame by frame in bounded memory; also a context manager.

    A video's frames all come out equally large, at the video's own rate; those without a face
    are written too. Of a video that is stopped early, `growing` keeps the beginning.

    Args:
        path: a picture (``.png``, ``.jpg``), a video (``.mp4``, ``.avi``), or a folder, which is
            made: then every input is drawn into a file of its name, in the folders that it lies
            in below the folder that the user named. Formats that are not written get a suffix
            more: ``a.bmp.png``, ``talk.mov.mp4``.
        inputs: the files and folders that the user named.

    Raises:
        UsageError: one file for several inputs, a picture for a video or the other way round, a
            form that cannot be written, two inputs of one name, or an input as output.
    """

    def __init__(self, path: Path, inputs: Sequence[Path]) -> None:
        self.path = path
        self._inputs = [Path(given) for given in inputs]
        self._is_file = path.suffix.lower() in (*IMAGE_FORMATS, *VIDEO_FORMATS)
        self._stack = ExitStack()
        self._filmed: str | None = None
        self._film: Callable[[np.ndarray], None] | None = None
        self._check()

    def _check(self) -> None:
        names = [given.resolve().name for given in self._inputs]
        several = len(names) > 1 or any(given.is_dir() for given in self._inputs)
        if self._is_file and several:
            raise UsageError(
                f"{self.path.name} is one file, and there may be several to annotate.",
                where=self.path,
                hint="name a folder",
            )
        if self.path.suffix.lower() in _READ_ONLY and not self.path.is_dir():
            raise UsageError(
                f"Annotated pictures and videos are not written as {self.path.suffix}.",
                where=self.path,
                hint="name a folder, or a file that ends in "
                f"{', '.join((*IMAGE_FORMATS, *VIDEO_FORMATS))}",
            )
        if self._is_file:
            self._target(self._inputs[0], is_video(self._inputs[0]))
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice and not self._is_file:
            raise UsageError(
                f"Two inputs are named {twice}: their drawings would have one name.",
                hint="annotate them one at a time, or the folder that holds both",
            )

    def draw(self, frame: MediaFrame, explanations: Sequence[Explanation]) -> None:
        """Draw one readable picture, whose faces are the largest first; there may be none.

        Raises:
            UsageError: the drawing would replace its own input.
            DataError: the file system refuses, this OpenCV cannot write such a video, or the one
                before did not arrive whole.
        """
        height, width = frame.picture.shape[:2]
        rate = frame.rate
        drawn = compose(_layout(height, width), frame, explanations, fixed=rate is not None)
        if self._film is None or self._filmed != frame.source:
            self.close()
            target = self._target(Path(frame.source), rate is not None)
            if rate is None:
                _write_picture(target, drawn)
                return
            self._film = self._stack.enter_context(_film(target, rate, drawn.shape))
            self._filmed = frame.source
        self._film(drawn)

    def _target(self, source: Path, video: bool) -> Path:
        """Return the file that a picture or video is drawn into."""
        target = self.path if self._is_file else self.path / self._name(source)
        known = VIDEO_FORMATS if video else IMAGE_FORMATS
        if self._is_file and target.suffix.lower() not in known:
            kind = "a video" if video else "a picture"
            raise UsageError(
                f"{source.name} is {kind}, and {target.name} would be none.",
                where=target,
                hint=f"name a folder, or a file that ends in {', '.join(known)}",
            )
        if target.suffix.lower() not in known:
            target = target.with_name(target.name + (".mp4" if video else ".png"))
        if target.resolve() == source.resolve():
            raise UsageError(
                f"The drawing of {source.name} would replace {source.name} itself.",
                where=target,
                hint="name another place for what is annotated",
            )
        return target

    def _name(self, source: Path) -> Path:
        """Return a drawing's path in the folder of all drawings."""
        for given in self._inputs:
            if source != given and source.is_relative_to(given):
                within = source.relative_to(given)
                return within if len(self._inputs) == 1 else given.resolve().name / within
        return Path(source.name)

    def close(self) -> None:
        """Finish the video that is being written, if one is.

        Raises:
            DataError: it did not arrive whole.
        """
        self._film = None
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)


_layout = lru_cache(maxsize=64)(lay_out)


def _write_picture(path: Path, drawn: np.ndarray) -> None:
    settings = [] if path.suffix.lower() == ".png" else [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    encoded = cv2.imencode(path.suffix, cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR), settings)[1]
    with atomic(path) as temporary:
        temporary.write_bytes(encoded.tobytes())


@contextmanager
def _film(
    path: Path, rate: float, shape: tuple[int, ...]
) -> Iterator[Callable[[np.ndarray], None]]:
    """Give what writes a video's frames, uint8 [H, W, 3] RGB, at `rate` frames a second.

    Raises:
        DataError: this OpenCV cannot write such a video, or it does not count as many frames when
            it is opened again, which is how a full disk shows: OpenCV reports nothing.
    """
    with growing(path) as temporary:
        # OpenCV takes the form from the suffix.
        path_of_form = temporary.with_suffix(path.suffix)
        code, written = cv2.VideoWriter.fourcc(*VIDEO_FORMATS[path.suffix.lower()]), 0
        writer = cv2.VideoWriter(
            str(path_of_form.absolute()), code, _known(rate, path), (shape[1], shape[0])
        )
        try:
            if not writer.isOpened():
                raise DataError(
                    f"This OpenCV cannot write {path.suffix} videos of {shape[1]} x {shape[0]}.",
                    where=path,
                    hint="name a file that ends in .avi, or a folder and pictures",
                )

            def write(drawn: np.ndarray) -> None:
                nonlocal written
                writer.write(cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR))
                written += 1

            yield write
        finally:
            writer.release()
            with suppress(FileNotFoundError):
                path_of_form.replace(temporary)
            arrived = _frames(temporary)
            if not arrived:
                # What cannot be played is not worth keeping.
                os.truncate(temporary, 0)
        if arrived != written:
            raise DataError(
                f"{path.name} could not be written whole: {arrived:,} of {written:,} frames "
                "arrived. The disk is probably full.",
                where=path,
                hint="free space, or choose another place; nothing that was there before is lost",
            )


def _frames(path: Path) -> int:
    """Return how many frames a video has; 0 where it cannot be opened."""
    try:
        video = Video(path)
        # The header is finished last of all: one that knows of no frame may still have some.
        return video.frames or sum(1 for _ in video.stream())
    except DataError:
        return 0


def _known(rate: float, path: Path) -> float:
    if np.isfinite(rate) and rate > 0:
        return rate
    print(
        f"The video does not say its rate: {path.name} shows {_RATE} frames a second.",
        file=sys.stderr,
    )
    return _RATE
