"""Writes videos of which every frame's number and time are known, in several containers."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

_PIXELS = {"mjpeg": "yuvj420p", "gif": "rgb8"}


def numbered(number: int, size: tuple[int, int] = (64, 48)) -> np.ndarray:
    """Return an image of one grey level, 32 + 6 times the number modulo 32."""
    return np.full((size[1], size[0], 3), 32 + 6 * (number % 32), np.uint8)


def number_of(image: np.ndarray) -> int:
    """Return the number, modulo 32, of which `numbered` made an image."""
    return round((float(np.median(image)) - 32) / 6)


def write_clip(
    path: Path,
    times: Sequence[float],
    codec: str = "mpeg4",
    *,
    images: Iterable[np.ndarray] | None = None,
    turned: float | None = None,
    b_frames: int = 0,
    **options: Any,
) -> Path:
    """Write a video whose frames are shown at the given times in seconds; return its path.

    Args:
        path: the path, whose suffix determines the container.
        times: the times of the frames, increasing.
        codec: the name of FFmpeg's encoder.
        images: the frames, uint8 [H, W, 3] RGB; without them, `numbered` from 1 on.
        turned: degrees counterclockwise for the rotation tag.
        b_frames: the largest number of B-frames in a row.
        options: options of FFmpeg's writer of the container.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    images = list(images or [numbered(number) for number in range(1, len(times) + 1)])
    base = Fraction(1, 1000) if path.suffix in (".webm", ".mkv") else Fraction(1, 60000)
    rate = 30
    if path.suffix in (".avi", ".gif"):
        rate = round((len(times) - 1) / (times[-1] - times[0]))
        base = Fraction(1, rate)
    with av.open(str(path), "w", options=options) as file:
        stream = file.add_stream(codec, rate=rate)
        stream.pix_fmt = _PIXELS.get(codec, "yuv420p")
        stream.codec_context.time_base = base
        stream.codec_context.max_b_frames = b_frames
        stream.codec_context.gop_size = 12
        stream.bit_rate = 4_000_000
        stream.height, stream.width = images[0].shape[:2]
        if turned is not None:
            stream.set_display_rotation(turned)
        for time, image in zip(times, images, strict=True):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = round(time / base), base
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


def steps(*parts: tuple[int, float]) -> list[float]:
    """Return times from 0 on: for every part, that many frames a step of seconds apart."""
    gaps = [step for count, step in parts for _ in range(count)]
    return [0.0, *np.cumsum(gaps)[:-1].tolist()]
