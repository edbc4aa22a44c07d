"""Images, folders and videos are read as one stream, which unreadable files do not end."""

import os
import shutil

import cv2
import numpy as np
import pytest

from fauds.errors import DataError, UsageError
from fauds.explanation import media as sources
from fauds.explanation.media import ProcessShare


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


def test_a_truncated_video_ends_with_an_error_that_names_the_last_frame(tmp_path):
    whole = write_video(tmp_path / "whole.avi", frames=60).read_bytes()
    cut = tmp_path / "cut.avi"
    cut.write_bytes(whole[: len(whole) // 2])
    frames = list(sources.frames([cut]))
    read = [frame for frame in frames if not isinstance(frame.image, DataError)]
    assert 5 < len(read) < 60
    assert len(frames) == len(read) + 1
    assert f"ends after frame {len(read)}, but its header says 60" in frames[-1].image.what


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
