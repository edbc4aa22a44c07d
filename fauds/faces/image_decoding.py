"""Decoding of compressed images; a broken image is an error, so no missing pixel is filled in."""

from pathlib import Path

import cv2
import numpy as np

from fauds.errors import DataError

_START_OF_SCAN, _END = b"\xda", b"\xff\xd9"
_HINT = "copy or extract the file again, or leave the frame out"


def decode(data: bytes, where: Path | str) -> np.ndarray:
    """Decode an image of any format that OpenCV reads.

    Args:
        data: the content of the image file.
        where: the path of the file, or its place in an archive, for error messages.

    Returns:
        The image, uint8 [H, W, 3] RGB.

    Raises:
        DataError: the data are truncated, or not an image.
    """
    # OpenCV fills the missing part of a truncated JPEG with grey and reports success.
    if is_jpeg(data) and not _has_end(data):
        raise DataError("The JPEG is truncated: its end is missing.", where=where, hint=_HINT)
    try:
        # OpenCV raises for empty data and for more pixels than it allows.
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error:
        image = None
    if image is None:
        raise DataError("The file is not an image that can be decoded.", where=where, hint=_HINT)
    return image


def _has_end(data: bytes) -> bool:
    """Return whether the data of a JPEG file hold the end marker that follows the pixels.

    It is not enough to search all data for a marker: a thumbnail in the header also has an end
    marker, and phones append videos after the image.
    """
    offset = 2
    while data[offset : offset + 1] == b"\xff" and data[offset + 1 : offset + 2] != _START_OF_SCAN:
        # Any number of FF bytes may precede a marker.
        padding = data[offset + 1 : offset + 2] == b"\xff"
        offset += 1 if padding else 2 + int.from_bytes(data[offset + 2 : offset + 4], "big")
    # The marker is near the end, so searching backwards is fast.
    return data.rfind(_END, offset) >= 0


def is_jpeg(data: bytes) -> bool:
    """Return whether the data begin like a JPEG file."""
    return data[:2] == b"\xff\xd8"
