"""Tells images from videos by the first bytes of a file, whatever its suffix."""

from io import BytesIO
from pathlib import Path
from typing import Literal

from PIL import Image

Kind = Literal["image", "video"]

IMAGE_SUFFIXES = frozenset(
    ".avif .bmp .gif .heic .heif .jfif .jpe .jpeg .jpg .jp2 .png .ppm .tif .tiff .webp".split()  # noqa: SIM905
)
VIDEO_SUFFIXES = frozenset(
    ".3gp .avi .flv .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ogv .ts .webm .wmv".split()  # noqa: SIM905
)
_HEAD = 512
_IMAGES = (
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"BM",
    b"II*\0",
    b"MM\0*",
    b"\0\0\0\x0cjP  ",
    *(f"P{kind}\n".encode() for kind in range(1, 7)),
)
_VIDEOS = (
    b"\x1a\x45\xdf\xa3",  # Matroska and WebM
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",  # WMV
    b"\0\0\x01\xba",  # MPEG program streams
    b"\0\0\x01\xb3",  # MPEG without a container
    b"FLV\x01",
    b"OggS",
)
_QUICKTIME = (b"moov", b"mdat", b"wide", b"free", b"skip")
_IMAGE_BRANDS = (b"avif", b"heic", b"heix", b"heim", b"mif1", b"hevc")
_PACKET = 188  # bytes of a packet of an MPEG transport stream


def kind_of(path: Path) -> Kind | None:
    """Return whether a file is an image or a video, by its content.

    A GIF with several images is a video. If the content is unknown, as that of a damaged file, the
    suffix decides, so that the reader of its kind can say what is wrong.

    Args:
        path: the file.

    Returns:
        The kind; None if neither the content nor the suffix is that of an image or a video.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError:
        head = b""
    return _by_content(path, head) or _by_suffix(path)


def _by_suffix(path: Path) -> Kind | None:
    suffix = path.suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        return "video"
    return "image" if suffix in IMAGE_SUFFIXES else None


def _by_content(path: Path, head: bytes) -> Kind | None:
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "video" if _is_animated(path) else "image"
    box, brand = head[4:8], head[8:12]
    if head.startswith(b"RIFF"):
        return {b"WEBP": "image", b"AVI ": "video"}.get(brand)  # type: ignore[return-value]
    if box == b"ftyp":
        return "image" if brand in _IMAGE_BRANDS else None if brand == b"M4A " else "video"
    if head.startswith(_VIDEOS) or box in _QUICKTIME:
        return "video"
    if head[:1] == b"G" and head[_PACKET : _PACKET + 1] == head[2 * _PACKET :][:1] == b"G":
        return "video"
    return "image" if head.startswith(_IMAGES) else None


def _is_animated(path: Path) -> bool:
    try:
        with Image.open(BytesIO(path.read_bytes()), formats=("GIF",)) as image:
            return bool(getattr(image, "is_animated", False))
    except (OSError, SyntaxError, ValueError, EOFError):
        return False
