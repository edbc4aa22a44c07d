"""Compressed images to pixels; what is broken is refused and never filled in."""

from pathlib import Path

import cv2
import numpy as np

from fauds.errors import DataError

_PIXELS, _END = b"\xda", b"\xff\xd9"
_HINT = "copy or extract it again, or leave the frame out"


def decode(data: bytes, where: Path | str) -> np.ndarray:
    """Return an image, uint8 [H, W, 3] RGB, of any format that OpenCV reads.

    Args:
        data: the whole file.
        where: the file, or its place in an archive, for the error.

    Raises:
        DataError: it is truncated, or no image.
    """
    # OpenCV fills what is missing of a truncated JPEG with grey and calls it read.
    if is_jpeg(data) and not _has_end(data):
        raise DataError("The JPEG is truncated: its end is missing.", where=where, hint=_HINT)
    try:
        # OpenCV raises for no bytes at all and for more pixels than it allows.
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error:
        image = None
    if image is None:
        raise DataError("The file is not an image that can be decoded.", where=where, hint=_HINT)
    return image


def _has_end(data: bytes) -> bool:
    """Whether a JPEG's end marker follows its pixels.

    A thumbnail in its header ends too, and phones append videos: the place alone says nothing.
    """
    at = 2
    while data[at : at + 1] == b"\xff" and data[at + 1 : at + 2] != _PIXELS:
        # A marker may be preceded by any number of FF.
        filling = data[at + 1 : at + 2] == b"\xff"
        at += 1 if filling else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    # From the end, where it is: the whole picture need not be searched.
    return data.rfind(_END, at) >= 0


def is_jpeg(data: bytes) -> bool:
    """Whether a file begins as JPEG files do."""
    return data[:2] == b"\xff\xd8"
