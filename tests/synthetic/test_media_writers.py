"""Pictures of made-up distributions, read back with cv2 and zipfile."""

import resource
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from fauds.cli.main import cli
from fauds.datasets.disfa import DISFA as DISFA_READER
from fauds.errors import DataError
from fauds.synthetic import release as distribution
from fauds.synthetic.face import draw_face
from fauds.synthetic.labels import lay_out
from fauds.synthetic.media_writers import write_video
from tests.datasets.helpers import read
from tests.synthetic.helpers import BP4D, DISFA, SEED, SIZE, WIDE, digests, faces, written


def video_frames(path: Path) -> list[np.ndarray]:
    video, frames = cv2.VideoCapture(str(path)), []
    while (taken := video.read())[0]:
        frames.append(taken[1])
    return frames


@pytest.mark.parametrize(
    ("like", "pictures", "form"),
    [
        ("bp4d", "images", "mat"),
        ("bp4d", "zips", "text"),
        ("bp4d", "videos", "mat"),
        ("disfa", "images", "text"),
        ("disfa", "videos", "mat"),
    ],
)
def test_the_same_call_writes_the_same_bytes(
    tmp_path: Path, like: str, pictures: str, form: str
) -> None:
    first = digests(written(tmp_path / "a", like, pictures, form))
    assert first
    assert digests(written(tmp_path / "b", like, pictures, form)) == first


@pytest.mark.parametrize(("like", "pictures"), [("bp4d", "zips"), ("disfa", "videos")])
def test_processes_do_not_change_the_bytes(tmp_path: Path, like: str, pictures: str) -> None:
    alone = digests(written(tmp_path / "a", like, pictures, "text"))
    assert digests(written(tmp_path / "b", like, pictures, "text", processes=2)) == alone


def test_zip_files_hold_the_images(tmp_path: Path) -> None:
    images = written(tmp_path / "a", "bp4d", "images") / "2D+3D"
    zips = written(tmp_path / "b", "bp4d", "zips") / "2D+3D"
    assert sorted(path.name for path in zips.iterdir()) == ["F001.zip", "M002.zip"]
    found = {}
    for path in zips.iterdir():
        with zipfile.ZipFile(path) as archive:
            found |= {name: archive.read(name) for name in archive.namelist()}
    assert len(found) == 10
    assert found == {
        path.relative_to(images).as_posix(): path.read_bytes() for path in images.rglob("*.jpg")
    }


def test_bp4d_s_videos_repeat_the_coded_frame_before(tmp_path: Path) -> None:
    folder = written(tmp_path, "bp4d", "videos") / "Videos"
    assert {path.name for path in folder.iterdir()} == {
        "2F01_T1.avi",
        "2F01_T5.avi",
        "2M02_T3.avi",
    }
    frames = video_frames(folder / "2F01_T1.avi")
    drawn = [draw_face(*face)[0][:, :, ::-1] for face in faces("bp4d", BP4D[0])]
    shown = [0, 0, 0, 1, 2, 2, 2, 2, 3, 3, 3, 4]  # of frames 1 to 12; coded are 3, 4, 5, 9, 12
    assert len(frames) == len(shown)
    for frame, index in zip(frames, shown, strict=True):
        differences = [np.abs(frame.astype(int) - image).mean() for image in drawn]
        assert np.argmin(differences) == index
    assert cv2.VideoCapture(str(folder / "2F01_T1.avi")).get(cv2.CAP_PROP_FPS) == 25


def test_disfa_s_videos_are_wider_and_longer_than_what_is_labelled(tmp_path: Path) -> None:
    folder = written(tmp_path, "disfa", "videos") / "Videos_LeftCamera"
    for name, length in (("LeftVideoSN001_comp.avi", 8 + 9), ("LeftVideoSN031_comp.avi", 11 + 10)):
        frames = video_frames(folder / name)
        assert len(frames) == length and frames[0].shape == (SIZE, WIDE, 3)
    assert cv2.VideoCapture(str(folder / "LeftVideoSN001_comp.avi")).get(cv2.CAP_PROP_FPS) == 20


def test_disfa_s_images_are_the_face_in_a_wider_picture(tmp_path: Path) -> None:
    folder = written(tmp_path, "disfa", "images") / "Frames"
    assert {path.name for path in (folder / "SN001").iterdir()} == {
        f"{number}.jpg" for number in (1, 2, 3, 7, 8)
    }
    # Frame 1 is there whether coded or not: it shows that numbers count from 1.
    assert {path.name for path in (folder / "SN031").iterdir()} == {
        f"{number}.jpg" for number in (1, 4, 6, 11)
    }
    image = cv2.imread(str(folder / "SN031" / "6.jpg")).astype(int)
    drawn = draw_face(*list(faces("disfa", DISFA[1]))[1])[0][:, :, ::-1].astype(int)
    assert image.shape == (SIZE, WIDE, 3)
    assert np.abs(image[:, 10:-10] - drawn).mean() < 8
    assert np.abs(image[:, :10] - drawn[:, :1]).mean() < 8


def test_made_up_disfa_has_videos_and_landmarks(tmp_path: Path) -> None:
    distribution.write(tmp_path, "disfa", subjects=1, frames=8, seed=SEED, size=64)
    last = int(lay_out("disfa", subjects=1, frames=8, seed=SEED)[0].frames[-1])
    assert len(list((tmp_path / "Landmark_Points").rglob("*.mat"))) == 7
    video = cv2.VideoCapture(str(tmp_path / "Videos_LeftCamera/LeftVideoSN001_comp.avi"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == last + 9


def test_the_reader_finds_the_images_of_made_up_disfa(tmp_path: Path) -> None:
    distribution.write(tmp_path, "disfa", subjects=2, frames=8, size=64, pictures="images")
    table = read(DISFA_READER, tmp_path).table
    assert table.num_rows == 16
    for row in table.to_pylist():
        assert row["image"] == f"Frames/{row['subject']}/{row['frame']}.jpg"


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let the system refuse whatever grows beyond `size` bytes, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_video_that_does_not_fit_is_an_error(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 64, 84, 3), np.uint8)
    write_video(tmp_path / "whole.avi", 25, noise)
    size = (tmp_path / "whole.avi").stat().st_size
    assert size > 200_000
    for room in (0, 5_000, 100_000, size - 1_000, size - 1):
        with largest_file(room), pytest.raises(DataError, match="could not be written whole"):
            write_video(tmp_path / "short.avi", 25, noise)
    with largest_file(size):
        write_video(tmp_path / "fits.avi", 25, noise)
    assert (tmp_path / "fits.avi").read_bytes() == (tmp_path / "whole.avi").read_bytes()


def test_a_video_where_none_can_be_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="could not be written whole") as caught:
        write_video(tmp_path / "no folder" / "a.avi", 25, np.zeros((2, 64, 64, 3), np.uint8))
    assert caught.value.where == str(tmp_path / "no folder" / "a.avi")


def test_the_command_asks_for_pictures_and_landmarks(tmp_path: Path) -> None:
    common = ["synth", "--like", "bp4d", "--subjects", "1", "--frames", "8"]
    options = ["--pictures", "zips", "--landmarks", "text"]
    result = CliRunner().invoke(cli, [*common, *options, str(tmp_path / "a")])
    assert result.exit_code == 0, result.output
    names = set(digests(tmp_path / "a"))
    assert {"2D+3D/F001.zip", "landmarks/BP4D_combine_1_2_3_land.txt"} < names
    assert "2DFeatures" not in {name.split("/")[0] for name in names}
