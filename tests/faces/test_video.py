"""Videos are read in order, frame by frame, and damaged ones are reported."""

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


def test_frames_are_read_in_order_and_numbered_from_1(video: Path) -> None:
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


def test_the_header_gives_the_number_of_frames_the_rate_and_the_size(video: Path) -> None:
    opened = Video(video)
    assert (opened.frames, opened.fps, opened.size) == (31, 25, (WIDTH, HEIGHT))


@pytest.mark.parametrize("wanted", [[1], [31], [2, 3, 20, 31], []])
@pytest.mark.parametrize("threads", [None, 1])
def test_only_wanted_frames_are_returned(
    video: Path, wanted: list[int], threads: int | None
) -> None:
    opened = Video(video, threads)
    read = list(opened.stream(np.array(wanted, np.int32)))
    assert [number for number, _ in read] == wanted
    assert [frame_of(image) for _, image in read] == wanted
    assert opened.ended_at is None


def test_a_video_that_ends_early_reports_its_last_frame(video: Path) -> None:
    opened = Video(video)
    assert [number for number, _ in opened.stream(np.array([30, 31, 32, 45]))] == [30, 31]
    assert opened.ended_at == 31


def test_a_truncated_video_ends_where_it_was_cut(video: Path, tmp_path: Path) -> None:
    data = video.read_bytes()
    starts = [at for at in range(len(data)) if data[at : at + 3] == b"\xff\xd8\xff"]
    cut = tmp_path / "cut.avi"
    cut.write_bytes(data[: starts[12]])
    opened = Video(cut)
    read = [frame_of(image) for _, image in opened.stream()]
    assert opened.frames == 31
    assert read == list(range(1, 13)) and opened.ended_at == 12


def damaged(video: Path, folder: Path) -> Path:
    """Return a copy of the video in which three frames are overwritten with zeros."""
    data = bytearray(video.read_bytes())
    starts = [at for at in range(len(data)) if data[at : at + 3] == b"\xff\xd8\xff"]
    data[starts[10] - 8 : starts[13] - 8] = bytes(starts[13] - starts[10])
    path = folder / video.name
    path.write_bytes(data)
    return path


def test_frames_lost_inside_a_file_are_an_error(video: Path, tmp_path: Path) -> None:
    Video(video).check_whole()
    opened = Video(damaged(video, tmp_path))
    read = [(number, frame_of(image)) for number, image in opened.stream()]
    # An AVI file has no times, so frames after the loss silently get wrong numbers.
    assert any(number != frame for number, frame in read)
    with pytest.raises(DataError, match=r"28 of the 31 frames that its header declares"):
        opened.check_whole()
    stream = VideoStream(opened.path, np.arange(1, 32))
    with pytest.raises(DataError, match="Frames are lost inside"):
        next(stream.stream(range(31)))


def test_frame_times_reveal_lost_frames(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mkv", 200)
    data = bytearray(whole.read_bytes())
    middle, gone = len(data) // 2, len(data) // 5
    data[middle : middle + gone] = bytes(gone)
    (tmp_path / "damaged.mkv").write_bytes(data)
    opened = Video(tmp_path / "damaged.mkv")
    read = [(number, frame_of(image)) for number, image in opened.stream()]
    assert 100 < len(read) < 200 and read[-1][0] == 200
    # The grey level of an image encodes the last five bits of its frame number.
    assert [number % 32 for number, _ in read] == [frame for _, frame in read]
    with pytest.raises(DataError, match="Frames are lost inside"):
        list(opened.stream([200]))


def test_a_truncated_video_does_not_count_as_losing_frames_inside(
    video: Path, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.avi"
    cut.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    Video(cut).check_whole()


@pytest.mark.parametrize("content", [b"", b"not a video\n" * 500, None])
def test_a_file_that_is_not_a_video_is_an_error(
    tmp_path: Path, content: bytes | None, capfd
) -> None:
    path = tmp_path / "2F01_T1.avi"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(
        DataError, match=r"2F01_T1\.avi (cannot be opened|does not exist)"
    ) as caught:
        Video(path)
    assert caught.value.where == str(path)
    assert capfd.readouterr().err == ""
