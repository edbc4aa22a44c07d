"""Landmarks of another frame count than the video are reported with the offset that fits best."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from fauds.datasets.media_files import LandmarkFiles
from fauds.faces.landmark_offset import best_offset
from fauds.faces.video import Video
from tests.clips import steps, write_clip

from .helpers import SmallDataset, eyes_at, landmarks

TEXTURE = cv2.resize(np.random.default_rng(0).integers(0, 255, (12, 16, 3), np.uint8), (80, 60))


def write_head(path: Path, count: int, *, moves: bool = True) -> Path:
    """Write a video of a textured head that moves with `eyes_at`."""
    images = []
    for frame in range(1, count + 1):
        image = np.full((120, 160, 3), 90, np.uint8)
        x, y = eyes_at(frame if moves else 1).mean(0)
        map_to = np.array([[1, 0, x - 40], [0, 1, y - 30]])
        images.append(
            cv2.warpAffine(TEXTURE, map_to, (160, 120), image, borderMode=cv2.BORDER_TRANSPARENT)
        )
    return write_clip(path, steps((count, 0.04)), "mjpeg", images=images)


def write_points(path: Path, frames: list[int]) -> LandmarkFiles:
    """Write the landmarks of these frames as those of frames 1, 2, ..."""
    # The head does not turn in the video.
    rows = []
    for frame in frames:
        points = landmarks(frame)
        left, right = eyes_at(frame)
        level = np.array([[-18, 0], [18, 0]]) + (left + right) / 2
        points[19:25] += level[0] - left
        points[25:31] += level[1] - right
        rows.append(points.ravel() + 1)
    path.write_text("".join(" ".join(f"{value:.4f}" for value in row) + "\n" for row in rows))
    return LandmarkFiles("jaa-text", 49, path, {at: at - 1 for at in range(1, len(frames) + 1)})


@pytest.mark.parametrize("offset", [0, 3, -4])
def test_the_offset_that_fits_the_images_is_found(tmp_path: Path, offset: int) -> None:
    video = Video(write_head(tmp_path / "a.avi", 90))
    # Entry n + offset is of image n.
    files = write_points(tmp_path / "a.txt", [at - offset for at in range(1, 88)])
    assert best_offset(video, files, 87) == offset


def test_a_head_at_rest_fits_no_offset_best(tmp_path: Path) -> None:
    video = Video(write_head(tmp_path / "a.avi", 60, moves=False))
    assert best_offset(video, write_points(tmp_path / "a.txt", [1] * 58), 58) is None


def test_landmarks_of_another_count_are_reported_and_not_shifted(tmp_path: Path) -> None:
    dataset = SmallDataset(tmp_path / "work", tmp_path)
    dataset.folder.mkdir()
    video = write_head(tmp_path / "a.avi", 90)
    files = write_points(tmp_path / "a.txt", [at + 3 for at in range(1, 88)])
    dataset.add(("F001", "T1"), range(1, 81), video=video, landmarks=files)
    (line,) = [note for note in dataset.prepare().meta["notes"] if "nothing is shifted" in note]
    assert line == (
        "F001/T1: the video has 90 frames, and its landmarks are those of 87; the landmarks of "
        "frame n - 3 fit the image of frame n best; nothing is shifted"
    )
    eyes = np.array([row["eyes"] for row in dataset.rows()]).reshape(-1, 2, 2).mean(1)
    expected = [eyes_at(frame + 3).mean(0) for frame in range(1, 81)]
    np.testing.assert_allclose(eyes, expected, atol=0.01)


def test_equal_counts_are_not_reported(tmp_path: Path) -> None:
    dataset = SmallDataset(tmp_path / "work", tmp_path)
    dataset.folder.mkdir()
    video = write_head(tmp_path / "a.avi", 60)
    files = write_points(tmp_path / "a.txt", [*range(1, 61)])
    dataset.add(("F001", "T1"), range(1, 41), video=video, landmarks=files)
    assert not [note for note in dataset.prepare().meta["notes"] if "shifted" in note]
