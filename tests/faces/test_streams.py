"""Folders, archives and videos give the same images; a broken image is reported, not fatal."""

import random
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from fauds.datasets.media_files import Archive, Source
from fauds.errors import DataError
from fauds.faces.image_decoding import decode
from fauds.faces.streams import ArchiveStream, FolderStream, VideoStream, open_stream

from .helpers import draw_image, frame_of, jpeg, write_images, write_video, write_zip

FRAMES = np.arange(3, 13, dtype=np.int32)


def open_form(form: str, root: Path):
    if form == "images":
        return FolderStream(root, write_images(root, "F001/T1", FRAMES.tolist()))
    if form == "zip":
        return ArchiveStream(write_zip(root / "F001.zip", FRAMES.tolist(), "F001/T1"), FRAMES)
    return VideoStream(write_video(root / "2F01_T1.avi", 20), FRAMES)


@pytest.mark.parametrize("form", ["images", "zip", "video"])
def test_each_row_gets_its_image(form: str, tmp_path: Path) -> None:
    stream = open_form(form, tmp_path)
    assert stream.available.all()
    rows = np.array([0, 1, 4, 9])
    read = list(stream.stream(rows))
    assert [row for row, _ in read] == rows.tolist()
    for row, image in read:
        assert frame_of(image.image) == FRAMES[row]
        plain = draw_image(int(FRAMES[row])).astype(int)
        assert (
            np.abs(image.image - plain).mean() < 6
        )  # the loss of JPEG; a swap of the colours would be larger
        assert (image.jpeg is None) == (form == "video")


def test_the_content_of_jpeg_files_is_returned_too(tmp_path: Path) -> None:
    (_, from_folder), (_, from_zip) = (
        next(open_form(form, tmp_path).stream(np.array([5]))) for form in ("images", "zip")
    )
    assert from_folder.jpeg == from_zip.jpeg == jpeg(int(FRAMES[5]))


def test_missing_images_are_known_before_reading(tmp_path: Path) -> None:
    paths = write_images(tmp_path, "F001/T1", [1, 2, 3])
    assert FolderStream(tmp_path, [paths[0], None, paths[2]]).available.tolist() == [
        True,
        False,
        True,
    ]
    archive = write_zip(tmp_path / "F001.zip", [1, 3], "F001/T1")
    assert ArchiveStream(archive, np.array([1, 2, 3])).available.tolist() == [True, False, True]


@pytest.mark.parametrize("form", ["images", "zip"])
@pytest.mark.parametrize("content", [b"", b"not an image", jpeg(4)[:-300]])
def test_a_broken_image_is_returned_as_an_error_and_skipped(
    form: str, content: bytes, tmp_path: Path
) -> None:
    stream = open_form("images", tmp_path) if form == "images" else None
    (tmp_path / "F001/T1").mkdir(parents=True, exist_ok=True)
    (tmp_path / "F001/T1/4.jpg").write_bytes(content)
    if stream is None:
        archive = write_zip(tmp_path / "F001.zip", FRAMES.tolist(), "F001/T1")
        with zipfile.ZipFile(archive.path, "w") as file:
            for frame, member in archive.members.items():
                file.writestr(member, content if frame == 4 else jpeg(frame))
        stream = ArchiveStream(archive, FRAMES)
    images = dict(stream.stream(np.arange(3)))
    assert isinstance(images[1], DataError) and "4.jpg" in str(images[1].where)
    assert frame_of(images[0].image) == 3 and frame_of(images[2].image) == 5


def test_a_removed_image_is_returned_as_an_error(tmp_path: Path) -> None:
    stream = open_form("images", tmp_path)
    (tmp_path / "F001/T1/3.jpg").unlink()
    (_, image), *_ = stream.stream(np.arange(2))
    assert isinstance(image, DataError) and "No such file" in image.what


def test_damage_in_an_archive_affects_only_the_damaged_image(tmp_path: Path) -> None:
    stream = open_form("zip", tmp_path)
    path = tmp_path / "F001.zip"
    data = bytearray(path.read_bytes())
    at = data.index(jpeg(4)) + 100
    data[at : at + 10] = bytes(10)
    path.write_bytes(data)
    images = dict(stream.stream(np.arange(3)))
    assert isinstance(images[1], DataError) and "damaged" in images[1].what
    assert frame_of(images[2].image) == 5


def test_damage_in_an_lzma_archive_affects_only_the_damaged_image(tmp_path: Path) -> None:
    path, frames = tmp_path / "F001.zip", np.array([1, 2, 3])
    members = {frame: f"F001/T1/{frame}.jpg" for frame in frames.tolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as file:
        for frame, member in members.items():
            file.writestr(member, jpeg(frame))
        start = file.getinfo(members[2]).header_offset
    data = bytearray(path.read_bytes())
    # After the local header, the name, and the nine bytes of LZMA properties.
    begin = start + 30 + len(members[2]) + 9
    data[begin : begin + 200] = b"\xff" * 200
    path.write_bytes(data)
    images = dict(ArchiveStream(Archive(path, members), frames).stream(range(3)))
    assert isinstance(images[1], DataError) and "Corrupt input data" in images[1].what
    assert frame_of(images[0].image) == 1 and frame_of(images[2].image) == 3


def test_a_file_that_is_not_an_archive_is_an_error(tmp_path: Path) -> None:
    stream = open_form("zip", tmp_path)
    (tmp_path / "F001.zip").write_bytes(b"PK not a zip file")
    with pytest.raises(DataError, match=r"F001\.zip cannot be read as a zip file"):
        list(stream.stream(np.arange(2)))


def test_an_archive_with_a_password_is_an_error(tmp_path: Path) -> None:
    stream = open_form("zip", tmp_path)
    path = tmp_path / "F001.zip"
    data = bytearray(path.read_bytes())
    # Bit 0 of the flags, in the local header and in the directory, means encrypted.
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="encrypted") as caught:
        list(stream.stream(np.arange(2)))
    assert caught.value.where == str(path)


def test_a_video_without_frames_is_an_error(tmp_path: Path) -> None:
    path = write_video(tmp_path / "2F01_T1.avi", 5)
    data = bytearray(path.read_bytes())
    while (at := data.find(b"\xff\xd8\xff")) >= 0:
        data[at : at + 1000] = bytes(1000)
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"Frames are lost inside 2F01_T1\.avi"):
        list(VideoStream(path, FRAMES).stream(np.arange(2)))


def test_images_are_preferred_to_archives_and_archives_to_videos(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "F001.zip", [3], "F001/T1")
    video = write_video(tmp_path / "2F01_T1.avi", 5)
    both, only_video = Source(archive, video, None, ""), Source(None, video, None, "")
    no_images, some_images = [None] * len(FRAMES), ["a.jpg", *[None] * (len(FRAMES) - 1)]
    for paths, source, expected in (
        (some_images, both, FolderStream),
        (no_images, both, ArchiveStream),
        (no_images, only_video, VideoStream),
    ):
        assert type(open_stream(tmp_path, paths, source, FRAMES)) is expected
    assert not open_stream(tmp_path, no_images, None, FRAMES).available.any()


@pytest.mark.parametrize("cut", [2, 100, 700, -2])
def test_a_truncated_jpeg_is_an_error(cut: int) -> None:
    with pytest.raises(DataError, match="truncated"):
        decode(jpeg(4)[:cut], "4.jpg")


def test_other_formats_are_decoded_as_rgb() -> None:
    png = cv2.imencode(".png", draw_image(4)[..., ::-1])[1].tobytes()
    assert np.array_equal(decode(png, "4.png"), draw_image(4))


def test_damage_anywhere_in_an_archive_is_reported_as_an_error(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "F001.zip", [1, 2], "F001/T1")
    whole = archive.path.read_bytes()
    directory = whole.index(b"PK\x01\x02")
    rng, reported = random.Random(0), 0
    for offset in [*range(60), *range(directory, len(whole))] * 3:
        data = bytearray(whole)
        data[offset] = rng.randrange(256)
        archive.path.write_bytes(data)
        try:
            images = ArchiveStream(archive, np.array([1, 2])).stream([0, 1])
            reported += any(isinstance(draw_image, DataError) for _, draw_image in images)
        except DataError:
            reported += 1
    assert reported > 100


def with_thumbnail(data: bytes) -> bytes:
    """Return a JPEG with a complete thumbnail in its header."""
    inner = b"Exif\0\0" + cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    return data[:2] + b"\xff\xe1" + (len(inner) + 2).to_bytes(2, "big") + inner + data[2:]


def test_the_end_marker_of_a_thumbnail_does_not_hide_truncation() -> None:
    data = with_thumbnail(jpeg(5))
    # Phones append a video to a photograph.
    assert frame_of(decode(data + b"ftypmp42" + bytes(5000), "photo.jpg")) == 5
    for cut in (len(data) - 2, len(data) // 2, 700):
        with pytest.raises(DataError, match="truncated"):
            decode(data[:cut], "photo.jpg")
