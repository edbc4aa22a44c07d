"""Images are read by their content: bits, modes, orientation, and files that are damaged."""

import struct
import zlib
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from fauds.errors import DataError
from fauds.faces.file_kinds import kind_of
from fauds.faces.image_decoding import decode
from tests.clips import number_of, steps, write_clip

GREY = np.linspace(0, 255, 64).round()[None].repeat(48, 0).astype(np.uint8)
"""A ramp of grey levels, [48, 64]."""


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    """Return the content of an image file."""
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_deep_images_are_scaled_by_the_range_that_is_used_or_refused(bits: int) -> None:
    deep = np.round(GREY / 255.0 * (2**bits - 1)).astype(np.uint16)
    for suffix in (".png", ".tif"):
        data = cv2.imencode(suffix, deep)[1].tobytes()
        image = decode(data, "a", photograph=True)
        assert image.dtype == np.uint8 and np.abs(image[..., 1].astype(int) - GREY).max() <= 1
        if bits < 16:
            with pytest.raises(DataError, match=f"{bits} seem to be used"):
                decode(data, "a")


@pytest.mark.parametrize("highest", [1.0, 255.0])
def test_floating_point_images_range_to_1_or_255(highest: float) -> None:
    data = cv2.imencode(".tif", (GREY / 255 * highest).astype(np.float32))[1].tobytes()
    assert np.abs(decode(data, "a")[..., 0].astype(int) - GREY).max() <= 1
    data = cv2.imencode(".tif", GREY.astype(np.float32) - 500)[1].tobytes()
    with pytest.raises(DataError, match="floating-point values from"):
        decode(data, "a")


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("CMYK", "JPEG"), ("P", "PNG"), ("P", "GIF"), ("L", "AVIF"), ("L", "WEBP"), ("L", "PNG")],
)
def test_modes_and_formats_are_read_alike(mode: str, kind: str) -> None:
    image = Image.fromarray(GREY).convert("RGB" if mode == "CMYK" else "L").convert(mode)
    read = decode(saved(image, kind), "a")
    assert read.shape == (48, 64, 3) and np.abs(read.astype(int) - GREY[..., None]).mean() < 3


def test_transparent_pixels_are_white_and_one_bit_is_black_and_white() -> None:
    alpha = Image.fromarray(np.where(np.arange(64) < 32, 0, 255)[None].repeat(48, 0).astype("u1"))
    image = Image.merge("LA", (Image.new("L", (64, 48), 90), alpha))
    assert decode(saved(image, "PNG"), "a")[0, [0, 63], 0].tolist() == [255, 90]
    bits = Image.fromarray(GREY > 128)
    assert decode(saved(bits, "PNG"), "a")[0, [0, 63], 0].tolist() == [0, 255]


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_only_photographs_are_turned_as_exif_says(kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # The stored image is to be turned clockwise.
    data = saved(Image.fromarray(GREY), kind, exif=exif)
    stored, turned = decode(data, "a"), decode(data, "a", photograph=True)
    assert stored.shape == (48, 64, 3) and turned.shape == (64, 48, 3)
    np.testing.assert_array_equal(turned, np.rot90(stored, -1))


def test_an_image_that_is_too_large_is_told_so_with_the_limit(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    png = saved(Image.fromarray(GREY), "PNG")
    png = png[:12] + chunk + png[33:]
    gif = saved(Image.fromarray(GREY), "GIF")
    gif = gif[:6] + struct.pack("<HH", 65535, 65535) + gif[10:]
    for name, data in (("a.png", png), ("a.gif", gif)):
        (tmp_path / name).write_bytes(data)
        assert kind_of(tmp_path / name) == "image"
        with pytest.raises(DataError, match="at most 179 million pixels"):
            decode(data, name)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_png_with_fewer_rows_than_it_declares_is_an_error(bits: int) -> None:
    for image in (GREY, np.zeros_like(GREY)):
        data = cv2.imencode(".png", image.astype(f"u{bits // 8}") * (2 ** (bits - 8)))[1].tobytes()
        chunk = data[12:20] + struct.pack(">I", 60) + data[24:29]
        taller = data[:12] + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[33:]
        with pytest.raises(DataError):
            decode(taller, "a", photograph=True)
        assert decode(data, "a", photograph=True).shape == (48, 64, 3)


def test_truncated_images_are_errors_and_truncated_videos_have_right_frames(
    tmp_path: Path,
) -> None:
    from fauds.explanation.media import frames

    rng = np.random.default_rng(0)
    image = Image.fromarray(cv2.resize(rng.integers(0, 255, (6, 8, 3), np.uint8), (64, 48)))
    for kind in ("JPEG", "PNG", "BMP", "WEBP", "AVIF", "TIFF", "GIF", "JPEG2000", "PPM"):
        data = saved(image, kind)
        for eighth in range(8):
            with pytest.raises(DataError):
                decode(data[: len(data) * eighth // 8], kind, photograph=True)
    for name, codec in (("a.mp4", "mpeg4"), ("a.webm", "libvpx"), ("a.avi", "mjpeg")):
        data = write_clip(tmp_path / name, steps((24, 0.04)), codec).read_bytes()
        for eighth in range(8):
            (tmp_path / name).write_bytes(data[: len(data) * eighth // 8])
            *before, last = frames([tmp_path / name])
            read = before if isinstance(last.image, DataError) else [*before, last]
            assert [number_of(one.image) for one in read] == list(range(1, len(read) + 1))
