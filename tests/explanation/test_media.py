"""Images, folders and videos are read as one stream, which unreadable files do not end."""

import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from fauds.errors import DataError, UsageError
from fauds.explanation import media as sources
from fauds.explanation.media import ProcessShare
from tests.clips import steps, write_clip


def plain_image(number, size=(48, 64)):
    """Return an image of one grey level, ten times its number."""
    return np.full((*size, 3), min(10 * number, 255), np.uint8)


def write_image(path, number=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), plain_image(number))
    return path


def write_video(path, frames=6, rate=10.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), rate, (64, 48))
    for number in range(1, frames + 1):
        writer.write(plain_image(number))
    writer.release()
    return path


def test_images_and_videos_of_a_folder_are_found_in_natural_order(tmp_path):
    names = ["2.jpg", "10.PNG", "1.jpeg", "sub/3.bmp", "sub/deeper/a b é.webp", "10 talk.avi"]
    for name in names:
        (write_video if name.endswith(".avi") else write_image)(tmp_path / name)
    for hidden in (".2.jpg", ".cache/1.jpg", "__MACOSX/1.jpg"):
        write_image(tmp_path / hidden)
    (tmp_path / "notes.txt").write_text("not an image")
    files = [str(path.relative_to(tmp_path)) for path in sources.find_media([tmp_path])]
    assert files[:4] == ["1.jpeg", "2.jpg", "10 talk.avi", "10.PNG"]
    assert sorted(files) == sorted(names)
    assert len(list(sources.frames(sources.find_media([tmp_path])))) == 5 + 6


def test_a_file_that_is_given_twice_is_read_once(tmp_path):
    one = write_image(tmp_path / "b.png")
    write_image(tmp_path / "a.png")
    assert [path.name for path in sources.find_media([one, tmp_path, one])] == ["b.png", "a.png"]


def test_missing_files_and_unknown_suffixes_are_refused(tmp_path):
    with pytest.raises(UsageError, match="file or folder does not exist"):
        sources.find_media([tmp_path / "missing.png"])
    (tmp_path / "notes.txt").write_text("not an image")
    with pytest.raises(UsageError, match=r"neither an image nor a video(?s:.*)\.png"):
        sources.find_media([tmp_path / "notes.txt"])
    with pytest.raises(DataError, match="folder contains neither"):
        sources.find_media([tmp_path])


def test_an_image_is_a_frame_without_a_timestamp(tmp_path):
    path = write_image(tmp_path / "a.png", 7)
    (frame,) = sources.frames([path])
    assert (frame.source, frame.number, frame.timestamp, frame.rate) == (str(path), 1, None, None)
    assert np.array_equal(frame.image, plain_image(7))


def test_a_photograph_is_rotated_by_its_exif_orientation(tmp_path):
    from PIL import Image

    upright = np.zeros((40, 60, 3), np.uint8)
    upright[:20, :30, 0] = 255
    path = tmp_path / "turned.jpg"
    photograph = Image.fromarray(upright)
    exif = photograph.getexif()
    exif[0x0112] = 6  # rotate by 90 degrees clockwise
    photograph.save(path, exif=exif, quality=95)
    (frame,) = sources.frames([path])
    assert frame.image.shape == (60, 40, 3)
    assert frame.image[10, 30, 0] > 200
    assert frame.image[10, 10, 0] < 50


def test_frames_of_a_video_have_timestamps(tmp_path):
    path = write_video(tmp_path / "ein Vidéo.avi", frames=6, rate=10.0)
    frames = list(sources.frames([path]))
    assert [frame.number for frame in frames] == [1, 2, 3, 4, 5, 6]
    assert [frame.timestamp for frame in frames] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5])
    for frame in frames:
        assert frame.image.shape == (48, 64, 3)
        assert frame.image.mean() == pytest.approx(10 * frame.number, abs=3)
    assert sources.count_frames([path, write_image(tmp_path / "a.png")]) == 7


def test_unreadable_files_have_an_error_and_do_not_end_the_stream(tmp_path):
    whole = write_image(tmp_path / "1.jpg", 9)
    (tmp_path / "2.jpg").write_bytes(whole.read_bytes()[:-300])
    (tmp_path / "3.png").write_text("not an image")
    (tmp_path / "4.png").touch()
    (tmp_path / "5.mp4").write_text("not a video")
    shutil.copy(whole, tmp_path / "6.jpg")
    frames = list(sources.frames(sources.find_media([tmp_path])))
    broken = [isinstance(frame.image, DataError) for frame in frames]
    assert broken == [False, True, True, True, True, False]
    assert "truncated" in frames[1].image.what
    assert "cannot be opened as a video" in frames[4].image.what


def test_an_image_that_cannot_be_opened_has_an_error(tmp_path):
    path = write_image(tmp_path / "1.png")
    path.unlink()
    os.symlink(tmp_path / "gone.png", path)
    (frame,) = sources.frames([path])
    assert "No such file" in frame.image.what


def test_a_truncated_video_has_the_frames_that_it_holds_and_a_message(tmp_path):
    whole = write_video(tmp_path / "whole.avi", frames=60).read_bytes()
    cut = tmp_path / "cut.avi"
    cut.write_bytes(whole[: len(whole) // 2])
    notes = []
    frames = list(sources.frames([cut], notes.append))
    assert 5 < len(frames) < 60
    assert [frame.number for frame in frames] == list(range(1, len(frames) + 1))
    for frame in frames:
        assert frame.image.mean() == pytest.approx(min(10 * frame.number, 255), abs=3)
    assert "holds" in notes[-1] and "of the 60 frames that its header declares" in notes[-1]


def test_the_file_says_that_a_constant_rate_is_assumed(tmp_path):
    notes = []
    avi = list(sources.frames([write_video(tmp_path / "a.avi")], notes.append))
    assert {frame.timing for frame in avi} == {"constant rate assumed"}
    assert notes == [
        f"{tmp_path / 'a.avi'}: the file has no times of frames: constant rate assumed, 10 a second"
    ]
    times = steps((3, 1 / 3), (9, 1 / 30))
    mp4 = list(sources.frames([write_clip(tmp_path / "a.mp4", times)], notes.append))
    assert {(frame.timing, frame.even) for frame in mp4} == {("stored in the video", False)}
    assert [frame.timestamp for frame in mp4] == pytest.approx(times, abs=0.001)
    assert len(notes) == 1


def test_a_browsers_webm_is_counted_without_a_header(tmp_path):
    path = write_clip(tmp_path / "a.webm", steps((20, 0.04)), "libvpx", live="1")
    assert sources.count_frames([path]) == 20


def test_files_are_read_by_their_content(tmp_path):
    write_image(tmp_path / "1.png").rename(tmp_path / "1.mp4")
    write_clip(tmp_path / "2.mp4", steps((5, 0.04))).rename(tmp_path / "2.jpg")
    write_image(tmp_path / "3.webp").rename(tmp_path / "3")
    write_clip(tmp_path / "4.gif", steps((5, 0.1)), "gif")
    write_clip(tmp_path / "5.gif", [0.0, 0.1], "gif")
    write_image(tmp_path / "6.avif")
    files = sources.find_media([tmp_path])
    assert [path.name for path in files] == ["1.mp4", "2.jpg", "3", "4.gif", "5.gif", "6.avif"]
    assert [sources.is_video(path) for path in files] == [False, True, False, True, True, False]
    read = [(Path(frame.source).name, frame.number) for frame in sources.frames(files)]
    assert read == [
        ("1.mp4", 1),
        *(("2.jpg", number) for number in range(1, 6)),
        ("3", 1),
        *(("4.gif", number) for number in range(1, 6)),
        ("5.gif", 1),
        ("5.gif", 2),
        ("6.avif", 1),
    ]


def test_stray_files_are_passed_over_and_listed(tmp_path):
    write_image(tmp_path / "1 (1).jpg")
    for name in (".DS_Store", "Thumbs.db", "._1.jpg", "notes.txt"):
        (tmp_path / name).write_bytes(b"\0\5\x16\7 stray")
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n"
    (tmp_path / "2.jpg").write_bytes(pointer)
    (tmp_path / "3.mp4").write_bytes(pointer)
    notes = []
    files = sources.find_media([tmp_path], notes.append)
    assert [path.name for path in files] == ["1 (1).jpg", "2.jpg", "3.mp4"]
    assert notes == [
        "passed over: 4 files that are no media files (.DS_Store, ._1.jpg, Thumbs.db, notes.txt)"
    ]
    _, image, video = sources.frames(files)
    assert "Git LFS pointer" in image.image.what and "Git LFS pointer" in video.image.what


def test_names_of_any_kind_are_read(tmp_path):
    composed, decomposed = "\u00e9\u4e2d\u6587.png", "e\u0301\u4e2d\u6587.png"
    names = [composed, decomposed, "a b#%20.png", "-a.png", f"{'n' * 200}.png", "100%d.avi"]
    folder = tmp_path / ("d" * 150) / ("e" * 150)
    for name in names:
        (write_video if name.endswith(".avi") else write_image)(folder / name)
    (tmp_path / "link").symlink_to(folder, target_is_directory=True)
    (folder / "round").symlink_to(tmp_path, target_is_directory=True)
    for top in (folder, tmp_path / "link"):
        files = sources.find_media([top])
        assert sorted(path.name for path in files if path.parent == top) == sorted(names)
        assert not any(isinstance(frame.image, DataError) for frame in sources.frames(files))


def test_a_file_that_vanishes_is_an_error_of_its_own(tmp_path):
    files = [
        write_image(tmp_path / "1.png"),
        write_video(tmp_path / "2.avi"),
        write_image(tmp_path / "3.png"),
    ]
    stream = sources.frames(files)
    assert next(stream).image.shape == (48, 64, 3)
    files[1].unlink()
    broken, last = stream
    assert "does not exist" in broken.image.what and last.image.shape == (48, 64, 3)


@pytest.mark.parametrize("world", [1, 2, 3, 8])
def test_every_file_is_handled_by_one_process(tmp_path, monkeypatch, world):
    files = [tmp_path / f"{number}.png" for number in range(7)]
    handled, written = [], set()
    for rank in range(world):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", str(world))
        share = ProcessShare.of_environment()
        own_files = share.of_files(files)
        assert own_files == sorted(own_files)
        assert 7 // world <= len(own_files) <= -(-7 // world)
        handled += own_files
        written.add(share.of_output(tmp_path / "faces.csv").name)
    assert sorted(handled) == files
    assert len(written) == world
    assert ("faces.csv" in written) == (world == 1)
    assert ("faces-2of3.csv" in written) == (world == 3)


@pytest.mark.parametrize(("rank", "world"), [("1", None), ("4", "4"), ("-1", "2"), ("", "2")])
def test_an_invalid_rank_is_refused(monkeypatch, rank, world):
    monkeypatch.setenv("RANK", rank)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    if world is not None:
        monkeypatch.setenv("WORLD_SIZE", world)
    with pytest.raises(UsageError, match=r"RANK is|not a whole number from 0"):
        ProcessShare.of_environment()


def test_a_single_process_handles_all_files(tmp_path, monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert ProcessShare.of_environment() == ProcessShare(0, 1)
