"""Videos are read in order, frame by frame, and what is wrong with them is said."""

from pathlib import Path

import numpy as np
import pytest

from fauds.errors import DataError
from fauds.faces.streams import VideoStream
from fauds.faces.video import Video

from .helpers import HEIGHT, WIDTH, frame_of, write_video


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos") / "two words, é"
    return write_video(folder / "2F01_T1 100%d.avi", 31)


def test_frames_come_in_order_counted_from_1(video: Path) -> None:
    read = list(Video(video).stream())
    assert [number for number, _ in read] == list(range(1, 32))
    assert [frame_of(image) for _, image in read] == list(range(1, 32))
    assert {image.shape for _, image in read} == {(HEIGHT, WIDTH, 3)}


def test_colours_are_rgb(video: Path) -> None:
    _, image = next(Video(video).stream())
    red = (image[..., 0].astype(int) - image[..., 2]) > 80
    green = (image[..., 1].astype(int) - image[..., 2]) > 80
    assert 10 < red.sum() < 120 and 10 < green.sum() < 120
    # The red dot is drawn on the image-left eye.
    assert np.nonzero(red)[1].mean() < np.nonzero(green)[1].mean()


def test_the_header(video: Path) -> None:
    opened = Video(video)
    assert (opened.frames, opened.fps, opened.size) == (31, 25, (WIDTH, HEIGHT))


@pytest.mark.parametrize("wanted", [[1], [31], [2, 3, 20, 31], []])
@pytest.mark.parametrize("threads", [None, 1])
def test_only_wanted_frames(video: Path, wanted: list[int], threads: int | None) -> None:
    opened = Video(video, threads)
    read = list(opened.stream(np.array(wanted, np.int32)))
    assert [number for number, _ in read] == wanted
    assert [frame_of(image) for _, image in read] == wanted
    assert opened.ended_at is None


def test_a_video_that_ends_early(video: Path) -> None:
    opened = Video(video)
    assert [number for number, _ in opened.stream(np.array([30, 31, 32, 45]))] == [30, 31]
    assert opened.ended_at == 31


def test_a_video_cut_off_ends_where_it_was_cut(video: Path, tmp_path: Path) -> None:
    data = video.read_bytes()
    starts = [at for at in range(len(data)) if data[at : at + 3] == b"\xff\xd8\xff"]
    cut = tmp_path / "cut.avi"
    cut.write_bytes(data[: starts[12]])
    opened = Video(cut)
    read = [frame_of(image) for _, image in opened.stream()]
    assert opened.frames == 31
    assert read == list(range(1, 13)) and opened.ended_at == 12


def damaged(video: Path, folder: Path) -> Path:
    """A copy in which three frames are overwritten with zeros."""
    data = bytearray(video.read_bytes())
    starts = [at for at in range(len(data)) if data[at : at + 3] == b"\xff\xd8\xff"]
    data[starts[10] - 8 : starts[13] - 8] = bytes(starts[13] - starts[10])
    path = folder / video.name
    path.write_bytes(data)
    return path


def test_frames_that_are_lost_inside_a_file_end_the_work(video: Path, tmp_path: Path) -> None:
    Video(video).check_whole()
    opened = Video(damaged(video, tmp_path))
    read = [(number, frame_of(image)) for number, image in opened.stream()]
    # An AVI file has no times: what comes after the loss is counted wrongly, and nothing shows it.
    assert any(number != frame for number, frame in read)
    with pytest.raises(DataError, match=r"28 of the 31 that its header names are found"):
        opened.check_whole()
    pictures = VideoStream(opened.path, np.arange(1, 32))
    with pytest.raises(DataError, match="Frames are lost inside"):
        next(pictures.stream(range(31)))


def test_a_video_with_times_shows_where_frames_are_lost(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mkv", 200)
    data = bytearray(whole.read_bytes())
    middle, gone = len(data) // 2, len(data) // 5
    data[middle : middle + gone] = bytes(gone)
    (tmp_path / "damaged.mkv").write_bytes(data)
    opened = Video(tmp_path / "damaged.mkv")
    read = [(number, frame_of(image)) for number, image in opened.stream()]
    assert 100 < len(read) < 200 and read[-1][0] == 200
    # The frames' pictures show their numbers' last five bits.
    assert [number % 32 for number, _ in read] == [frame for _, frame in read]
    with pytest.raises(DataError, match="Frames are lost inside"):
        list(opened.stream([200]))


def test_a_video_cut_off_is_no_such_video(video: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.avi"
    cut.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    Video(cut).check_whole()


@pytest.mark.parametrize("content", [b"", b"no video\n" * 500, None])
def test_what_is_no_video(tmp_path: Path, content: bytes | None, capfd) -> None:
    path = tmp_path / "2F01_T1.avi"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"2F01_T1\.avi (cannot be opened|is not here)") as caught:
        Video(path)
    assert caught.value.where == str(path)
    assert capfd.readouterr().err == ""
