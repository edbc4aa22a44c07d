"""Videos are read in order, frame by frame, and damaged ones are reported."""

from pathlib import Path

import numpy as np
import pytest

from fauds.errors import DataError
from fauds.faces.streams import VideoStream
from fauds.faces.video import Video
from tests.clips import number_of, numbered, steps, write_clip

from .helpers import HEIGHT, WIDTH, frame_of, write_video


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos") / "two words, é"
    return write_video(folder / "2F01_T1 100%d.avi", 31)


def test_frames_are_read_in_order_and_numbered_from_1(video: Path) -> None:
    read = list(Video(video).stream())
    assert [frame.number for frame in read] == list(range(1, 32))
    assert [frame_of(frame.image) for frame in read] == list(range(1, 32))
    assert {frame.image.shape for frame in read} == {(HEIGHT, WIDTH, 3)}


def test_colours_are_rgb(video: Path) -> None:
    image = next(Video(video).stream()).image
    red = (image[..., 0].astype(int) - image[..., 2]) > 80
    green = (image[..., 1].astype(int) - image[..., 2]) > 80
    assert 10 < red.sum() < 120 and 10 < green.sum() < 120
    # The red dot is drawn on the image-left eye.
    assert np.nonzero(red)[1].mean() < np.nonzero(green)[1].mean()


def test_the_header_gives_the_number_of_frames_the_rate_and_the_size(video: Path) -> None:
    opened = Video(video)
    assert (opened.frames, opened.rate, opened.size) == (31, 25, (WIDTH, HEIGHT))


@pytest.mark.parametrize("wanted", [[1], [31], [2, 3, 20, 31], []])
@pytest.mark.parametrize("threads", [None, 1])
def test_only_wanted_frames_are_returned(
    video: Path, wanted: list[int], threads: int | None
) -> None:
    opened = Video(video, threads)
    read = list(opened.stream(np.array(wanted, np.int32)))
    assert [frame.number for frame in read] == wanted
    assert [frame_of(frame.image) for frame in read] == wanted
    assert opened.ended_at is None


def test_a_video_that_ends_early_reports_its_last_frame(video: Path) -> None:
    opened = Video(video)
    assert [frame.number for frame in opened.stream(np.array([30, 31, 32, 45]))] == [30, 31]
    assert opened.ended_at == 31


def test_a_truncated_video_ends_where_it_was_cut(video: Path, tmp_path: Path) -> None:
    data = video.read_bytes()
    starts = [at for at in range(len(data)) if data[at : at + 3] == b"\xff\xd8\xff"]
    cut = tmp_path / "cut.avi"
    cut.write_bytes(data[: starts[12]])
    opened = Video(cut)
    read = [frame_of(frame.image) for frame in opened.stream()]
    assert (opened.frames, opened.missing) == (31, 19)
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
    read = [(frame.number, frame_of(frame.image)) for frame in opened.stream()]
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
    read = list(opened.stream())
    assert [frame.number for frame in read] == list(range(1, len(read) + 1))
    assert 100 < len(read) < 200
    # Frames after the loss keep their own times. The grey level of an image encodes the last five
    # bits of its frame number.
    assert read[-1].time == pytest.approx(199 / 25, abs=0.001)
    assert [round(25 * frame.time + 1) % 32 for frame in read] == [
        frame_of(frame.image) for frame in read
    ]
    with pytest.raises(
        DataError, match=r"Frames are lost inside damaged\.mkv: \d+ after frame \d+"
    ):
        opened.check_whole()


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


def assert_each_at_its_time(path: Path, times: list[float], step: float = 0.001) -> Video:
    """Check that all frames are read, in order, each at its own time."""
    video = Video(path)
    read = list(video.stream())
    assert [frame.number for frame in read] == list(range(1, len(times) + 1))
    assert [number_of(frame.image) for frame in read] == [
        number % 32 for number in range(1, len(times) + 1)
    ]
    assert [frame.time for frame in read] == pytest.approx(times, abs=step)
    assert video.times.tolist() == pytest.approx(times, abs=step)
    return video


VARIABLE = steps((9, 1 / 3), (30, 1 / 30))
"""Three frames a second, then thirty."""


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "mpeg4"), ("a.mov", "libx264"), ("a.webm", "libvpx")]
)
def test_frames_at_a_variable_rate_have_their_own_times(
    tmp_path: Path, name: str, codec: str
) -> None:
    video = assert_each_at_its_time(write_clip(tmp_path / name, VARIABLE, codec), VARIABLE)
    assert not video.is_constant and video.timed
    video.check_whole()


def test_a_browsers_webm_without_duration_and_count_is_numbered_from_1(tmp_path: Path) -> None:
    times = [0.0, *(0.034 + 0.0333 * at for at in range(59))]
    path = write_clip(tmp_path / "recording.webm", times, "libvpx", live="1")
    video = assert_each_at_its_time(path, times)
    assert video.frames == 0 and video.is_constant


@pytest.mark.parametrize("rate", [30000 / 1001, 60000 / 1001, 24000 / 1001])
def test_rates_of_television_do_not_drift(tmp_path: Path, rate: float) -> None:
    times = [at / rate for at in range(250)]
    video = assert_each_at_its_time(write_clip(tmp_path / "a.mp4", times), times)
    assert video.is_constant


def test_frames_that_are_stored_in_another_order_are_read_as_they_are_shown(
    tmp_path: Path,
) -> None:
    times = steps((40, 0.04))
    assert_each_at_its_time(write_clip(tmp_path / "a.mp4", times, "libx264", b_frames=3), times)


def test_a_video_that_begins_later_keeps_its_times(tmp_path: Path) -> None:
    # The MP4 has an edit list that leaves the first two seconds empty.
    times = [2 + at / 25 for at in range(20)]
    assert_each_at_its_time(write_clip(tmp_path / "a.mp4", times, b_frames=2), times)


def test_the_clock_of_a_transport_stream_starts_anywhere(tmp_path: Path) -> None:
    times = [3600 + at / 25 for at in range(20)]
    path = write_clip(tmp_path / "a.ts", times, "libx264")
    assert_each_at_its_time(path, [time - 3600 for time in times])


@pytest.mark.parametrize(("name", "codec"), [("a.avi", "mjpeg"), ("a.h264", "libx264")])
def test_without_times_a_constant_rate_is_assumed(tmp_path: Path, name: str, codec: str) -> None:
    times = steps((30, 0.04))
    video = assert_each_at_its_time(write_clip(tmp_path / name, times, codec), times)
    assert not video.timed and video.rate == 25


def test_a_variable_rate_is_not_mistaken_for_lost_frames(tmp_path: Path) -> None:
    screen = steps(*((count, 0.1 * gap) for count, gap in ((5, 1), (1, 7), (4, 1), (2, 3))))
    Video(write_clip(tmp_path / "screen.mp4", screen)).check_whole()
    lost = steps((30, 0.04), (1, 0.16), (30, 0.04))
    with pytest.raises(DataError, match="3 after frame 31"):
        Video(write_clip(tmp_path / "lost.mp4", lost)).check_whole()


def corners(image: np.ndarray) -> str:
    """Return the colours of the corners, from the top left, row by row."""
    places = image[5, 5], image[5, -6], image[-6, 5], image[-6, -6]
    return "".join("rgbk"[int(np.argmax(at)) if at.max() > 120 else 3] for at in places)


@pytest.mark.parametrize(
    ("turned", "shape", "expected"),
    [
        (None, (48, 64), "rgbk"),
        (90, (64, 48), "gkrb"),
        (180, (48, 64), "kbgr"),
        (-90, (64, 48), "brkg"),
    ],
)
def test_a_video_is_turned_once_as_its_rotation_says(
    tmp_path: Path, turned: float | None, shape: tuple[int, int], expected: str
) -> None:
    image = np.zeros((48, 64, 3), np.uint8)
    image[:16, :16], image[:16, -16:], image[-16:, :16] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    path = write_clip(tmp_path / "a.mov", [0, 0.1], images=[image] * 2, turned=turned)
    for frame in Video(path).stream():
        assert frame.image.shape[:2] == shape
        assert corners(frame.image) == expected


def test_a_sound_file_with_a_cover_is_not_a_video(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"ID3" + bytes(200))
    with pytest.raises(DataError, match="cannot be opened as a video"):
        Video(tmp_path / "a.mp4")


def test_a_damaged_frame_has_no_number(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.avi", steps((20, 0.04)), "mjpeg")
    data = bytearray(path.read_bytes())
    starts = [at for at in range(len(data)) if data[at : at + 3] == b"\xff\xd8\xff"]
    data[starts[9] : starts[10] - 8] = bytes(starts[10] - 8 - starts[9])
    path.write_bytes(data)
    video = Video(path)
    read = list(video.stream())
    assert [frame.number for frame in read] == list(range(1, 20))
    assert [number_of(frame.image) for frame in read] == [*range(1, 10), *range(11, 21)]
    assert read[9].time == pytest.approx(0.4)
    assert video.undecodable == 1
    with pytest.raises(DataError, match="Frames are lost inside"):
        list(video.stream([15]))


def test_numbers_can_be_read_back() -> None:
    assert [number_of(numbered(number)) for number in range(32)] == list(range(32))
