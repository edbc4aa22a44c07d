"""Decoding of compressed images by their content, whatever the suffix of the file.

A broken image is an error, so no missing pixel is filled in. JPEG files, which most images are, are
decoded by OpenCV, and others by Pillow, except for images of more than 8 bits a channel, which
Pillow cannot represent.
"""

import struct
import warnings
from importlib import import_module
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from fauds.datasets import git_lfs
from fauds.errors import DataError

_START_OF_SCAN, _END = 0xDA, b"\xff\xd9"
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_HINT = "copy or extract the file again, or leave the frame out"
# Formats that run other programs, such as EPS, are not among them.
_FORMATS = ("PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "JPEG", "JPEG2000", "PPM", "DIB")
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_ORIENTATION, _BITS_PER_SAMPLE = 0x0112, 258
_FILLED = 128
_RANGES = (8, 10, 12, 14, 16)
"""The numbers of bits that cameras and microscopes use in images of 16 bits a channel."""


def decode(
    data: bytes, where: Path | str, *, photograph: bool = False, upright: bool | None = None
) -> np.ndarray:
    """Decode an image: JPEG, PNG, GIF, BMP, TIFF, WebP, AVIF, PPM, JPEG 2000, and HEIC.

    HEIC needs the package pillow-heif. If a file holds several images, the first is returned.
    Transparent pixels are shown on white. Of images with 16 bits a channel the used range, of 8,
    10, 12, 14 or 16 bits, becomes 0 to 255; floating-point images must range from 0 to 1 or from 0
    to 255.

    Args:
        data: the content of the image file.
        where: the path of the file, or its place in an archive, for error messages.
        photograph: True for an image that stands alone: it is turned as its EXIF orientation says,
            and the used range of a 16-bit image is judged by its largest value. False for a frame
            of a dataset: its pixels are returned as they are stored, because its landmarks were
            made for these, and 16-bit images that do not use their range are refused, because
            another frame of the sequence could appear to have another range.
        upright: whether the image is turned as its EXIF orientation says; None for `photograph`.

    Returns:
        The image, uint8 [H, W, 3] RGB.

    Raises:
        DataError: the data are truncated, too large, or not an image, or the range of their values
            is unknown.
    """
    upright = photograph if upright is None else upright
    if is_jpeg(data):
        scan, size, channels = _jpeg_header(data)
        # OpenCV fills the missing part of a truncated JPEG with grey and reports success.
        if data.rfind(_END, scan) < 0:
            raise DataError("The JPEG is truncated: its end is missing.", where=where, hint=_HINT)
        _check_size(size, where)
        # Pillow knows that Adobe stores CMYK inverted.
        image = _opened_by_pillow(data, where) if channels == 4 else _jpeg(data, where)
    elif _is_deep(data):
        image = _deep(data, where, photograph=photograph)
    else:
        image = _opened_by_pillow(data, where)
    if data.startswith(_TIFF):
        # The decoders of TIFF have turned the image already.
        if not upright and exif_orientation(data) != 1:
            raise DataError(
                "The TIFF has an orientation tag, so the pixels as its landmarks count them are "
                "not known.",
                where=where,
                hint="remove the tag, or convert the image to PNG",
            )
        return image
    return _turned(image, exif_orientation(data)) if upright else image


def exif_orientation(data: bytes) -> int:
    """Return the orientation, 1 to 8, that an image file declares; 1 if it declares none."""
    if is_jpeg(data) and b"Exif\0\0" not in data[:65536]:
        return 1
    try:
        with Image.open(BytesIO(data), formats=_FORMATS) as image:
            orientation = image.getexif().get(_ORIENTATION, 1)
    except (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError):
        return 1
    return orientation if orientation in _TURNS else 1


_TURNS = {
    1: lambda image: image,
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.swapaxes(0, 1),
    6: lambda image: image[::-1].swapaxes(0, 1),
    7: lambda image: image[::-1, ::-1].swapaxes(0, 1),
    8: lambda image: image[:, ::-1].swapaxes(0, 1),
}
"""How an image with an EXIF orientation is turned upright."""


def _turned(image: np.ndarray, orientation: int) -> np.ndarray:
    return np.ascontiguousarray(_TURNS[orientation](image))


def is_jpeg(data: bytes) -> bool:
    """Return whether the data begin like a JPEG file."""
    return data[:2] == b"\xff\xd8"


def _jpeg_header(data: bytes) -> tuple[int, tuple[int, int], int]:
    """Return where the pixels of a JPEG file begin, its width and height, and its channels.

    Searching all data for the marker of the pixels, or of their end, would not do: a thumbnail in
    the header also has both, and phones append videos after the image. Size and channels are 0 if
    the header is cut off.
    """
    offset, size, channels = 2, (0, 0), 0
    while data[offset : offset + 1] == b"\xff":
        marker = data[offset + 1] if offset + 1 < len(data) else _START_OF_SCAN
        if marker == _START_OF_SCAN:
            break
        if marker in _FRAME_HEADERS and offset + 10 <= len(data):
            height, width, channels = struct.unpack_from(">HHB", data, offset + 5)
            size = (width, height)
        # Any number of FF bytes may precede a marker.
        padding = marker == 0xFF
        offset += 1 if padding else 2 + int.from_bytes(data[offset + 2 : offset + 4], "big")
    return offset, size, channels


def _jpeg(data: bytes, where: Path | str) -> np.ndarray:
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    image = _opened_by_opencv(data, flags)
    if image is None:
        raise _not_an_image(data, where)
    # OpenCV fills missing pixels with this grey, here where the header declares too many rows.
    if (image[-1, -8:] == _FILLED).all() and not _is_whole_jpeg(data):
        raise DataError(
            "The JPEG has fewer pixels than its header declares.", where=where, hint=_HINT
        )
    return image


def _is_whole_jpeg(data: bytes) -> bool:
    """Return whether a JPEG file has all pixels that its header declares, which FFmpeg checks."""
    import av

    decoder = av.CodecContext.create("mjpeg", "r")
    decoder.options = {"err_detect": "explode"}
    try:
        decoder.decode(av.Packet(data))
    except av.FFmpegError:
        return False
    return True


def _opened_by_opencv(data: bytes, flags: int) -> np.ndarray | None:
    # OpenCV prints errors that are raised here.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        # OpenCV raises for empty data and for more pixels than it allows.
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        return None


def _opened_by_pillow(data: bytes, where: Path | str) -> np.ndarray:
    try:
        with warnings.catch_warnings():
            # The limit below is an error, and damage is one when the pixels are read.
            warnings.simplefilter("ignore")
            with Image.open(BytesIO(data), formats=_formats(data)) as image:
                return pixels_of(image, where)
    except Image.DecompressionBombError as error:
        raise _too_large("with more", where) from error
    except UnidentifiedImageError as error:
        raise _not_an_image(data, where) from error
    # Which of these Pillow raises for a damaged file depends on where the damage is.
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, IndexError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise DataError(
            f"The image is damaged or truncated: {reason}.", where=where, hint=_HINT
        ) from error


def pixels_of(image: Image.Image, where: Path | str) -> np.ndarray:
    """Return the pixels of a Pillow image as it is stored, uint8 [H, W, 3] RGB.

    Transparency and the range of values are treated as by `decode` for a photograph.

    Raises:
        DataError: the range of the values is unknown.
    """
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _eight_bits(np.asarray(image), where, photograph=True)
    if image.has_transparency_data:
        visible = image.convert("RGBA")
        background = Image.new("RGBA", visible.size, "white")
        return np.array(Image.alpha_composite(background, visible).convert("RGB"))
    return np.array(image.convert("RGB"))


def _is_deep(data: bytes) -> bool:
    """Return whether the file is a PNG or TIFF with more than 8 bits a channel."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return data[24:25] == b"\x10"
    if not data.startswith(_TIFF):
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(BytesIO(data), formats=("TIFF",)) as image:
                bits = image.tag_v2.get(_BITS_PER_SAMPLE, (1,))  # type: ignore[attr-defined]
    except UnidentifiedImageError:
        return True  # Pillow reads no colours in floating point.
    except (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError):
        return False
    deep: bool = max(bits) > 8
    return deep


def _deep(data: bytes, where: Path | str, *, photograph: bool) -> np.ndarray:
    """Return an image of more than 8 bits a channel, uint8 [H, W, 3] RGB."""
    if data[:4] == b"\x89PNG" and len(data) >= 24:
        width, height = struct.unpack_from(">II", data, 16)
        _check_size((width, height), where)
    image = _opened_by_opencv(data, cv2.IMREAD_UNCHANGED)
    if image is None:
        raise _not_an_image(data, where)
    if image.ndim == 3 and image.shape[2] == 4:
        colours, alpha = image[..., :3], image[..., 3:]
        opaque = alpha / (np.iinfo(alpha.dtype).max if alpha.dtype.kind == "u" else 1)
        image = _eight_bits(colours, where, photograph=photograph)
        image = np.rint(image * opaque + 255 * (1 - opaque)).astype(np.uint8)
    else:
        image = _eight_bits(image, where, photograph=photograph)
    return image if image.ndim == 3 and image.shape[2] == 1 else image[..., ::-1].copy()


def _eight_bits(values: np.ndarray, where: Path | str, *, photograph: bool) -> np.ndarray:
    """Return an image of integers or floating-point numbers as uint8 [H, W, 3], channels as given.

    Args:
        values: the image, [H, W] or [H, W, 3].
        where: the place of the image, for error messages.
        photograph: whether the used range may be judged by the largest value.

    Raises:
        DataError: the range of the values is unknown.
    """
    if values.ndim == 2:
        values = np.repeat(values[..., None], 3, axis=2)
    if values.dtype == np.uint8:
        return values
    low, high = float(values.min()), float(values.max())
    if values.dtype.kind == "f":
        if not (low >= 0 and high <= 255):
            raise _unknown_range(f"floating-point values from {low:g} to {high:g}", where)
        scaled: np.ndarray = np.rint(values * (255 if high <= 1 else 1)).astype(np.uint8)
        return scaled
    if low < 0 or high > 65535:
        raise _unknown_range(f"values from {low:,.0f} to {high:,.0f}", where)
    used = next(bits for bits in _RANGES if high < 2**bits)
    if used < 16 and not photograph:
        raise _unknown_range(f"16 bits a channel, of which {used} seem to be used", where)
    return (values.astype(np.uint16) >> (used - 8)).astype(np.uint8)


def _unknown_range(what: str, where: Path | str) -> DataError:
    return DataError(
        f"The image has {what}, so its white level is unknown.",
        where=where,
        hint="convert the image to 8 bits, with the same factor for all images of a sequence",
    )


def _check_size(size: tuple[int, int], where: Path | str) -> None:
    most = _most_pixels()
    if most is not None and size[0] * size[1] > most:
        raise _too_large(f"of {size[0]:,} x {size[1]:,} pixels", where)


def _most_pixels() -> int | None:
    return None if Image.MAX_IMAGE_PIXELS is None else 2 * Image.MAX_IMAGE_PIXELS


def _too_large(size: str, where: Path | str) -> DataError:
    return DataError(
        f"The image is too large: it is one {size}, and at most {(_most_pixels() or 0) / 1e6:.0f} "
        "million pixels are read.",
        where=where,
        hint="make the image smaller by another program",
    )


def _is_heif(data: bytes) -> bool:
    return data[4:8] == b"ftyp" and data[8:12] in (b"heic", b"heix", b"hevc", b"heim", b"mif1")


def _formats(data: bytes) -> tuple[str, ...]:
    if not (_is_heif(data) and find_spec("pillow_heif")):
        return _FORMATS
    import_module("pillow_heif").register_heif_opener()
    return ("HEIF",)


def _not_an_image(data: bytes, where: Path | str) -> DataError:
    if git_lfs.is_pointer(data):
        return git_lfs.pointer_error(where)
    if _is_heif(data) and not find_spec("pillow_heif"):
        return DataError(
            "The image is in the format HEIC, which needs the package pillow-heif.",
            where=where,
            hint="pip install pillow-heif, or convert the image to JPEG",
        )
    if not data:
        return DataError("The file is empty.", where=where, hint=_HINT)
    return DataError("The file is not an image that can be decoded.", where=where, hint=_HINT)
