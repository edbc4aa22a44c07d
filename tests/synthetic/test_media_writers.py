"""Images and videos of synthetic releases, read back with OpenCV and zipfile."""

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
from fauds.synthetic import release
from fauds.synthetic.face import draw_face
from fauds.synthetic.labels import lay_out
from fauds.synthetic.media_writers import write_video
from tests.datasets.helpers import read
from tests.synthetic.helpers import (
    BP4D,
    DISFA,
    SEED,
    SIZE,
    WIDE,
    digests,
    face_arguments,
    write_sequences,
)


def video_frames(path: Path) -> list[np.ndarray]:
    video, frames = cv2.VideoCapture(str(path)), []
    while (result := video.read())[0]:
        frames.append(result[1])
    return frames


@pytest.mark.slow
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
    first = digests(write_sequences(tmp_path / "a", like, pictures, form))
    assert first
    assert digests(write_sequences(tmp_path / "b", like, pictures, form)) == first


@pytest.mark.slow
@pytest.mark.parametrize(("like", "pictures"), [("bp4d", "zips"), ("disfa", "videos")])
def test_processes_do_not_change_the_bytes(tmp_path: Path, like: str, pictures: str) -> None:
    alone = digests(write_sequences(tmp_path / "a", like, pictures, "text"))
    assert digests(write_sequences(tmp_path / "b", like, pictures, "text", processes=2)) == alone


def test_zip_files_hold_the_images(tmp_path: Path) -> None:
    images = write_sequences(tmp_path / "a", "bp4d", "images") / "2D+3D"
    zips = write_sequences(tmp_path / "b", "bp4d", "zips") / "2D+3D"
    assert sorted(path.name for path in zips.iterdir()) == ["F001.zip", "M002.zip"]
    members = {}
    for path in zips.iterdir():
        with zipfile.ZipFile(path) as archive:
            members |= {name: archive.read(name) for name in archive.namelist()}
    assert len(members) == 10
    assert members == {
        path.relative_to(images).as_posix(): path.read_bytes() for path in images.rglob("*.jpg")
    }


def test_videos_of_bp4d_repeat_the_coded_frame_before(tmp_path: Path) -> None:
    folder = write_sequences(tmp_path, "bp4d", "videos") / "Videos"
    assert {path.name for path in folder.iterdir()} == {
        "2F01_T1.avi",
        "2F01_T5.avi",
        "2M02_T3.avi",
    }
    frames = video_frames(folder / "2F01_T1.avi")
    drawn = [draw_face(*face)[0][:, :, ::-1] for face in face_arguments("bp4d", BP4D[0])]
    shown = [
        0,
        0,
        0,
        1,
        2,
        2,
        2,
        2,
        3,
        3,
        3,
        4,
    ]  # for frames 1 to 12, of which 3, 4, 5, 9 and 12 are coded
    assert len(frames) == len(shown)
    for frame, index in zip(frames, shown, strict=True):
        differences = [np.abs(frame.astype(int) - image).mean() for image in drawn]
        assert np.argmin(differences) == index
    assert cv2.VideoCapture(str(folder / "2F01_T1.avi")).get(cv2.CAP_PROP_FPS) == 25


def test_videos_of_disfa_are_wider_than_faces_and_longer_than_the_labels(tmp_path: Path) -> None:
    folder = write_sequences(tmp_path, "disfa", "videos") / "Videos_LeftCamera"
    for name, length in (("LeftVideoSN001_comp.avi", 8 + 9), ("LeftVideoSN031_comp.avi", 11 + 10)):
        frames = video_frames(folder / name)
        assert len(frames) == length and frames[0].shape == (SIZE, WIDE, 3)
    assert cv2.VideoCapture(str(folder / "LeftVideoSN001_comp.avi")).get(cv2.CAP_PROP_FPS) == 20


def test_images_of_disfa_are_wider_than_the_face(tmp_path: Path) -> None:
    folder = write_sequences(tmp_path, "disfa", "images") / "Frames"
    assert {path.name for path in (folder / "SN001").iterdir()} == {
        f"{number}.jpg" for number in (1, 2, 3, 7, 8)
    }
    # Frame 1 is always included, because it shows that numbers are counted from 1.
    assert {path.name for path in (folder / "SN031").iterdir()} == {
        f"{number}.jpg" for number in (1, 4, 6, 11)
    }
    image = cv2.imread(str(folder / "SN031" / "6.jpg")).astype(int)
    drawn = draw_face(*list(face_arguments("disfa", DISFA[1]))[1])[0][:, :, ::-1].astype(int)
    assert image.shape == (SIZE, WIDE, 3)
    assert np.abs(image[:, 10:-10] - drawn).mean() < 8
    assert np.abs(image[:, :10] - drawn[:, :1]).mean() < 8


def test_a_synthetic_disfa_has_videos_and_landmarks(tmp_path: Path) -> None:
    release.write(tmp_path, "disfa", subjects=1, frames=8, seed=SEED, size=64)
    last = int(lay_out("disfa", subjects=1, frames=8, seed=SEED)[0].frames[-1])
    assert len(list((tmp_path / "Landmark_Points").rglob("*.mat"))) == 7
    video = cv2.VideoCapture(str(tmp_path / "Videos_LeftCamera/LeftVideoSN001_comp.avi"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == last + 9


def test_the_reader_finds_the_images_of_a_synthetic_disfa(tmp_path: Path) -> None:
    release.write(tmp_path, "disfa", subjects=2, frames=8, size=64, pictures="images")
    table = read(DISFA_READER, tmp_path).table
    assert table.num_rows == 16
    for row in table.to_pylist():
        assert row["image"] == f"Frames/{row['subject']}/{row['frame']}.jpg"


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Limit the size of files to `size` bytes, to simulate a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_video_that_does_not_fit_on_the_disk_is_an_error(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 64, 84, 3), np.uint8)
    write_video(tmp_path / "whole.avi", 25, noise)
    size = (tmp_path / "whole.avi").stat().st_size
    assert size > 200_000
    for room in (0, 5_000, 100_000, size - 1_000, size - 1):
        with largest_file(room), pytest.raises(DataError, match="could not be written completely"):
            write_video(tmp_path / "short.avi", 25, noise)
    with largest_file(size):
        write_video(tmp_path / "fits.avi", 25, noise)
    assert (tmp_path / "fits.avi").read_bytes() == (tmp_path / "whole.avi").read_bytes()


def test_a_video_in_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="could not be written completely") as caught:
        write_video(tmp_path / "no folder" / "a.avi", 25, np.zeros((2, 64, 64, 3), np.uint8))
    assert caught.value.where == str(tmp_path / "no folder" / "a.avi")


def test_the_command_writes_the_requested_images_and_landmarks(tmp_path: Path) -> None:
    common = ["synth", "--like", "bp4d", "--subjects", "1", "--frames", "8"]
    options = ["--pictures", "zips", "--landmarks", "text"]
    result = CliRunner().invoke(cli, [*common, *options, str(tmp_path / "a")])
    assert result.exit_code == 0, result.output
    names = set(digests(tmp_path / "a"))
    assert {"2D+3D/F001.zip", "landmarks/BP4D_combine_1_2_3_land.txt"} < names
    assert "2DFeatures" not in {name.split("/")[0] for name in names}
