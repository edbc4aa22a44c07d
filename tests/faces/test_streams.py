"""Folders, archives and videos give the same pictures; a broken one is named, not fatal."""

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

from .helpers import frame_of, jpeg, picture, write_images, write_video, write_zip

FRAMES = np.arange(3, 13, dtype=np.int32)


def opened(form: str, root: Path):
    if form == "images":
        return FolderStream(root, write_images(root, "F001/T1", FRAMES.tolist()))
    if form == "zip":
        return ArchiveStream(write_zip(root / "F001.zip", FRAMES.tolist(), "F001/T1"), FRAMES)
    return VideoStream(write_video(root / "2F01_T1.avi", 20), FRAMES)


@pytest.mark.parametrize("form", ["images", "zip", "video"])
def test_rows_get_their_pictures(form: str, tmp_path: Path) -> None:
    pictures = opened(form, tmp_path)
    assert pictures.there.all()
    rows = np.array([0, 1, 4, 9])
    read = list(pictures.stream(rows))
    assert [row for row, _ in read] == rows.tolist()
    for row, found in read:
        assert frame_of(found.image) == FRAMES[row]
        plain = picture(int(FRAMES[row])).astype(int)
        assert np.abs(found.image - plain).mean() < 6  # JPEG's loss, and no swap of colours
        assert (found.jpeg is None) == (form == "video")


def test_the_files_own_bytes_come_along(tmp_path: Path) -> None:
    (_, from_folder), (_, from_zip) = (
        next(opened(form, tmp_path).stream(np.array([5]))) for form in ("images", "zip")
    )
    assert from_folder.jpeg == from_zip.jpeg == jpeg(int(FRAMES[5]))


def test_what_is_not_there_is_known_beforehand(tmp_path: Path) -> None:
    paths = write_images(tmp_path, "F001/T1", [1, 2, 3])
    assert FolderStream(tmp_path, [paths[0], None, paths[2]]).there.tolist() == [
        True,
        False,
        True,
    ]
    archive = write_zip(tmp_path / "F001.zip", [1, 3], "F001/T1")
    assert ArchiveStream(archive, np.array([1, 2, 3])).there.tolist() == [True, False, True]


@pytest.mark.parametrize("form", ["images", "zip"])
@pytest.mark.parametrize("content", [b"", b"no image", jpeg(4)[:-300]])
def test_a_broken_picture_is_passed_over(form: str, content: bytes, tmp_path: Path) -> None:
    pictures = opened("images", tmp_path) if form == "images" else None
    (tmp_path / "F001/T1").mkdir(parents=True, exist_ok=True)
    (tmp_path / "F001/T1/4.jpg").write_bytes(content)
    if pictures is None:
        archive = write_zip(tmp_path / "F001.zip", FRAMES.tolist(), "F001/T1")
        with zipfile.ZipFile(archive.path, "w") as file:
            for frame, member in archive.members.items():
                file.writestr(member, content if frame == 4 else jpeg(frame))
        pictures = ArchiveStream(archive, FRAMES)
    found = dict(pictures.stream(np.arange(3)))
    assert isinstance(found[1], DataError) and "4.jpg" in str(found[1].where)
    assert frame_of(found[0].image) == 3 and frame_of(found[2].image) == 5


def test_a_picture_that_has_gone(tmp_path: Path) -> None:
    pictures = opened("images", tmp_path)
    (tmp_path / "F001/T1/3.jpg").unlink()
    (_, found), *_ = pictures.stream(np.arange(2))
    assert isinstance(found, DataError) and "No such file" in found.what


def test_damage_within_an_archive(tmp_path: Path) -> None:
    pictures = opened("zip", tmp_path)
    path = tmp_path / "F001.zip"
    data = bytearray(path.read_bytes())
    at = data.index(jpeg(4)) + 100
    data[at : at + 10] = bytes(10)
    path.write_bytes(data)
    found = dict(pictures.stream(np.arange(3)))
    assert isinstance(found[1], DataError) and "damaged" in found[1].what
    assert frame_of(found[2].image) == 5


def test_damage_within_an_lzma_archive(tmp_path: Path) -> None:
    path, frames = tmp_path / "F001.zip", np.array([1, 2, 3])
    members = {frame: f"F001/T1/{frame}.jpg" for frame in frames.tolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as file:
        for frame, member in members.items():
            file.writestr(member, jpeg(frame))
        start = file.getinfo(members[2]).header_offset
    data = bytearray(path.read_bytes())
    # Behind the local header, the name, and LZMA's own nine bytes of properties.
    begin = start + 30 + len(members[2]) + 9
    data[begin : begin + 200] = b"\xff" * 200
    path.write_bytes(data)
    found = dict(ArchiveStream(Archive(path, members), frames).stream(range(3)))
    assert isinstance(found[1], DataError) and "Corrupt input data" in found[1].what
    assert frame_of(found[0].image) == 1 and frame_of(found[2].image) == 3


def test_an_archive_that_is_none(tmp_path: Path) -> None:
    pictures = opened("zip", tmp_path)
    (tmp_path / "F001.zip").write_bytes(b"PK no")
    with pytest.raises(DataError, match=r"F001\.zip cannot be read as a zip file"):
        list(pictures.stream(np.arange(2)))


def test_an_archive_with_a_password(tmp_path: Path) -> None:
    pictures = opened("zip", tmp_path)
    path = tmp_path / "F001.zip"
    data = bytearray(path.read_bytes())
    # Bit 0 of the flags, in the local header and in the directory, says encrypted.
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="encrypted") as caught:
        list(pictures.stream(np.arange(2)))
    assert caught.value.where == str(path)


def test_a_video_without_frames(tmp_path: Path) -> None:
    path = write_video(tmp_path / "2F01_T1.avi", 5)
    data = bytearray(path.read_bytes())
    while (at := data.find(b"\xff\xd8\xff")) >= 0:
        data[at : at + 1000] = bytes(1000)
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"Frames are lost inside 2F01_T1\.avi"):
        list(VideoStream(path, FRAMES).stream(np.arange(2)))


def test_images_come_before_archives_and_these_before_videos(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "F001.zip", [3], "F001/T1")
    video = write_video(tmp_path / "2F01_T1.avi", 5)
    both, only_video = Source(archive, video, None, ""), Source(None, video, None, "")
    none, some = [None] * len(FRAMES), ["a.jpg", *[None] * (len(FRAMES) - 1)]
    for paths, source, expected in (
        (some, both, FolderStream),
        (none, both, ArchiveStream),
        (none, only_video, VideoStream),
    ):
        assert type(open_stream(tmp_path, paths, source, FRAMES)) is expected
    assert not open_stream(tmp_path, none, None, FRAMES).there.any()


@pytest.mark.parametrize("cut", [2, 100, 700, -2])
def test_a_jpeg_cut_anywhere_is_refused(cut: int) -> None:
    with pytest.raises(DataError, match="truncated"):
        decode(jpeg(4)[:cut], "4.jpg")


def test_other_formats_are_decoded_as_rgb() -> None:
    png = cv2.imencode(".png", picture(4)[..., ::-1])[1].tobytes()
    assert np.array_equal(decode(png, "4.png"), picture(4))


def test_whatever_is_damaged_in_an_archive_is_said(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "F001.zip", [1, 2], "F001/T1")
    whole = archive.path.read_bytes()
    directory = whole.index(b"PK\x01\x02")
    drawn, said = random.Random(0), 0
    for place in [*range(60), *range(directory, len(whole))] * 3:
        data = bytearray(whole)
        data[place] = drawn.randrange(256)
        archive.path.write_bytes(data)
        try:
            found = ArchiveStream(archive, np.array([1, 2])).stream([0, 1])
            said += any(isinstance(picture, DataError) for _, picture in found)
        except DataError:
            said += 1
    assert said > 100


def with_thumbnail(data: bytes) -> bytes:
    """A JPEG with another, whole one in its header."""
    inner = b"Exif\0\0" + cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    return data[:2] + b"\xff\xe1" + (len(inner) + 2).to_bytes(2, "big") + inner + data[2:]


def test_the_end_of_a_jpeg_is_that_of_its_pixels() -> None:
    data = with_thumbnail(jpeg(5))
    # Phones append a video to a photo.
    assert frame_of(decode(data + b"ftypmp42" + bytes(5000), "photo.jpg")) == 5
    for cut in (len(data) - 2, len(data) // 2, 700):
        with pytest.raises(DataError, match="truncated"):
            decode(data[:cut], "photo.jpg")
