"""The cropping step: what it writes and skips, and that stopped runs resume without loss."""

import errno
import gc
import itertools
import os
import pickle
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from fauds.datasets import DATASETS
from fauds.errors import DataError, UsageError
from fauds.faces import crop_files
from fauds.faces import plan as planning
from fauds.faces.base import Face
from fauds.faces.image_decoding import decode
from fauds.faces.plan import CropRequest
from fauds.faces.prepare import prepare
from fauds.pipeline import Project
from fauds.synthetic import release
from fauds.tables import store

from .helpers import (
    SmallDataset,
    eyes_at,
    frame_of,
    jpeg,
    landmarks,
    tree,
    write_images,
    write_landmarks,
    write_video,
    write_zip,
)

ALL = range(1, 41)
ROOT = Path(__file__).parents[2]


@pytest.fixture
def dataset(tmp_path: Path) -> SmallDataset:
    """F001/T1 as images, F001/T2 in a zip file, F002/T1 as a video; frames 20 to 24 lack points."""
    root = tmp_path / "raw"
    dataset = SmallDataset(tmp_path / "work", root)
    known = [*range(1, 20), *range(25, 41)]
    sources = {
        ("F001", "T1"): {"images": write_images(root, "F001/T1", ALL)},
        ("F001", "T2"): {"archive": write_zip(root / "F001.zip", ALL, "F001/T2")},
        ("F002", "T1"): {"video": write_video(root / "2F02_T1.avi", 45)},
    }
    for number, (sequence, media) in enumerate(sources.items()):
        points = write_landmarks(root / "landmarks" / f"{number}.txt", known)
        dataset.add(sequence, ALL, landmarks=points, **media)
    return dataset


def read_crop(path: Path) -> np.ndarray:
    return cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)


def middle(image: np.ndarray, channel: int) -> np.ndarray:
    """Return the middle of the red (0) or green (1) dot, x and y."""
    other = image[..., 2].astype(int)
    rows_columns = np.nonzero(image[..., channel] - other > 70)
    return np.array([rows_columns[1].mean(), rows_columns[0].mean()])


def transformed(transform: list[float], point: np.ndarray) -> np.ndarray:
    return np.array(transform).reshape(2, 3) @ [*point, 1]


def test_every_crop_shows_its_frame_with_the_eyes_where_the_table_says(
    dataset: SmallDataset,
) -> None:
    done = dataset.prepare()
    assert done.done and done.meta["frames"] == {"aligned": 105, "no landmarks": 15}
    frames = store.read_table(dataset.folder / "frames.parquet").to_pylist()
    rows = dataset.rows()
    assert [row["frame_id"] for row in rows] == [frame["frame_id"] for frame in frames]
    for frame, row in zip(frames, rows, strict=True):
        if 20 <= frame["frame"] <= 24:
            assert row["status"] == "no landmarks"
            for name in ("path", "transform", "eyes", "inter_ocular", "landmarks", "jump"):
                assert not row[name]
            continue
        name = f"{frame['subject']}/{frame['task']}/{frame['frame']}.jpg"
        assert row["path"] == f"faces/eyes-similarity-1/{name}"
        crop = read_crop(dataset.folder / row["path"])
        assert crop.shape == (256, 256, 3)
        assert frame_of(crop) == frame["frame"] % 32
        eyes = eyes_at(frame["frame"])
        assert np.allclose(row["eyes"], eyes.ravel(), atol=1e-3)
        assert row["inter_ocular"] == pytest.approx(36, abs=1e-3)
        for channel, eye in enumerate(eyes):
            expected = transformed(row["transform"], eye)
            assert np.abs(middle(crop, channel) - expected).max() < 1.5
        assert row["landmarks"] == "jaa-text"
        assert (row["outside"], row["eyes_crossed"], row["jump"]) == (False, False, False)


def test_only_crops_parts_and_tables_are_written(dataset: SmallDataset) -> None:
    dataset.prepare()
    names = Counter(Path(name).suffix for name in tree(dataset.folder))
    assert names == {".jpg": 105, ".parquet": 3 + 2}


IBUG_49 = [*range(17, 60), 61, 62, 63, 65, 66, 67]
"""The numbers of the 49 points among iBUG's 68."""


def test_the_table_has_the_landmarks_in_pixels_of_the_crop(dataset: SmallDataset) -> None:
    dataset.prepare()
    frames = store.read_table(dataset.folder / "frames.parquet").to_pylist()
    for frame, row in zip(frames, dataset.rows(), strict=True):
        if row["path"] is None:
            assert row["points"] is None
            continue
        points = np.array(row["points"], float).reshape(68, 2)
        expected = np.full((68, 2), np.nan)
        for index, point in zip(IBUG_49, landmarks(frame["frame"]), strict=True):
            expected[index] = transformed(row["transform"], point)
        # Landmarks are rounded to 1/64 of a pixel.
        np.testing.assert_allclose(points, expected, atol=0.01)
        crop = read_crop(dataset.folder / row["path"])
        for channel, eye in enumerate((points[36:42], points[42:48])):
            assert np.abs(middle(crop, channel) - eye.mean(0)).max() < 1.5


def test_images_without_alignment_keep_the_landmarks_that_there_are(dataset: SmallDataset) -> None:
    done = dataset.prepare(alignment="none")
    assert done.meta["frames"] == {"aligned": 120}
    assert done.meta["described"] == "none 1: the frames as they are"
    assert "landmarks, which do not change the images: jaa-text" in done.meta["notes"]
    assert any(
        note.startswith("frames with a crop but without landmarks: 15 (F001/T1 frame 20, ")
        for note in done.meta["notes"]
    )
    row, unknown = dataset.rows()[0], dataset.rows()[19]
    points = np.array(row["points"], float).reshape(68, 2)[IBUG_49]
    np.testing.assert_allclose(points, landmarks(1), atol=0.01)
    assert row["landmarks"] == "jaa-text"
    assert unknown["path"] and unknown["points"] is None and unknown["landmarks"] is None
    assert dataset.prepare(alignment="none").done is False


def test_crops_of_an_older_version_are_made_again_with_landmarks(
    dataset: SmallDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset.prepare()
    new = tree(dataset.folder)
    with monkeypatch.context() as older:
        older.setattr(planning, "CROPS_VERSION", 1)
        dataset.prepare()
    for path in (dataset.folder / "faces").rglob("*.parquet"):
        store.write_table(
            path, store.read_table(path).drop_columns("points"), store.read_meta(path)
        )
    assert dataset.prepare().done
    assert tree(dataset.folder) == new


def test_the_table_opens_in_pandas(dataset: SmallDataset) -> None:
    dataset.prepare()
    table = pd.read_parquet(dataset.folder / "faces.parquet")
    assert len(table) == 120 and table["path"].notna().sum() == 105
    assert table["outside"].sum() == 0


def test_the_metadata_hold_the_settings_the_lost_frames_and_the_notes(
    dataset: SmallDataset,
) -> None:
    meta = dataset.prepare().meta
    frames = store.read_meta(dataset.folder / "frames.parquet")
    assert meta["inputs"] == store.fingerprint(frames["inputs"], frames["settings"])
    assert meta["lost"] == {"F001": {"no landmarks": 10}, "F002": {"no landmarks": 5}}
    assert {"name": "eyes-similarity", "version": 1, "size": 256}.items() <= meta[
        "settings"
    ].items()
    assert "F001 loses 10 of 80 frames (12.5 %): no landmarks 10" in meta["notes"]
    assert (
        "F002/T1: the video has 45 frames, the labels end at 40: the 5 frames after are not used"
        in meta["notes"]
    )
    assert dataset.prepare(**meta["request"]).done is False
    assert dataset.prepare(version=None, workers=2).done is False
    stored = store.read_meta(dataset.folder / "faces.parquet")
    assert {key: stored[key] for key in meta} == meta


def test_gaps_are_filled_from_neighbours_on_request(dataset: SmallDataset) -> None:
    dataset.prepare(without_landmarks="neighbours")
    rows = dataset.rows()[19:24]
    share = (np.arange(20, 25) - 19)[:, None, None] / 6
    plain = eyes_at(19) + share * (eyes_at(25) - eyes_at(19))
    assert [row["status"] for row in rows] == ["neighbours"] * 5
    assert [row["landmarks"] for row in rows] == ["neighbours"] * 5
    assert np.allclose([row["eyes"] for row in rows], plain.reshape(5, 4), atol=1e-3)


class DotDetector:
    """A detector that finds the dots, except in frames whose number ends in 2."""

    identity = "dots 1"

    def find(self, image, at):
        if at.frame % 10 == 2 or frame_of(image) != at.frame % 32:
            return []
        eyes = np.stack([middle(image, 0), middle(image, 1)]).astype(np.float32)
        return [Face((40.0, 20.0, 120.0, 110.0), None, eyes)]


@pytest.fixture
def dots(monkeypatch: pytest.MonkeyPatch) -> str:
    from fauds.faces import plan, sequence

    for module in (plan, sequence):
        monkeypatch.setattr(module, "open_detector", lambda spec: DotDetector())
    sequence._detector.cache_clear()
    return "dots:somewhere"


def test_a_detector_can_be_used_for_frames_without_landmarks(
    dataset: SmallDataset, dots: str
) -> None:
    done = dataset.prepare(without_landmarks="detect", detector=dots)
    assert done.meta["frames"] == {"aligned": 105, "detected": 12, "no face": 3}
    row = dataset.rows()[19]
    assert (row["status"], row["landmarks"]) == ("detected", "dots")
    assert np.allclose(row["eyes"], eyes_at(20).ravel(), atol=1)
    crop = read_crop(dataset.folder / row["path"])
    assert np.abs(middle(crop, 0) - transformed(row["transform"], row["eyes"][:2])).max() < 1.5


def test_a_detector_can_be_used_for_all_frames(dataset: SmallDataset, dots: str) -> None:
    done = dataset.prepare(detector=dots)
    assert done.meta["frames"] == {"detected": 108, "no face": 12}
    assert done.meta["settings"]["detector"] == "dots 1"
    boxes = dataset.prepare(alignment="bbox-5", detector=dots)
    assert boxes.meta["frames"] == {"detected": 108, "no face": 12}


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"without_landmarks": "detect"}, "no detector is named"),
        ({"without_landmarks": "neighbours", "detector": "cascade"}, "one frame at a time"),
        ({"alignment": "eyes"}, "no alignment named 'eyes'"),
        ({"version": 7}, "version 1 in this version of fauds"),
        ({"workers": 0}, "number of workers must be at least 1, not 0"),
        ({"without_landmarks": "neighbour"}, "'neighbour' of without_landmarks is unknown"),
        ({"camera": "Left"}, "'Left' of camera is unknown"),
    ],
)
def test_contradictory_or_unknown_settings_are_an_error(
    dataset: SmallDataset, request_: dict, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        dataset.prepare(**request_)
    assert not (dataset.folder / "faces").exists()


def test_an_alignment_whose_landmarks_are_missing_is_an_error(dataset: SmallDataset) -> None:
    with pytest.raises(DataError, match="49 points have no jaw") as caught:
        dataset.prepare(alignment="bbox-5")
    assert "cascade" in caught.value.hint
    for sequence, source in dataset.sources.items():
        dataset.sources[sequence] = type(source)(source.archive, source.video, None, "")
    with pytest.raises(DataError, match="needs landmarks") as caught:
        dataset.prepare()
    assert "cascade" in caught.value.hint
    assert dataset.prepare(alignment="none").meta["frames"] == {"aligned": 120}


def test_the_alignment_none_copies_jpeg_files(dataset: SmallDataset) -> None:
    dataset.prepare(alignment="none")
    for row in dataset.rows()[:80]:
        assert (dataset.folder / row["path"]).read_bytes() == jpeg(int(Path(row["path"]).stem))
    assert frame_of(read_crop(dataset.folder / dataset.rows()[85]["path"])) == 6
    row = dataset.rows()[0]
    assert row["status"] == "aligned" and row["transform"] == [1, 0, 0, 0, 1, 0]


def test_unreadable_images_are_listed_and_skipped(dataset: SmallDataset) -> None:
    (dataset.root / "F001/T1/7.jpg").write_bytes(jpeg(7)[:-200])
    (dataset.root / "F001/T1/9.jpg").unlink()
    done = dataset.prepare()
    assert [row["status"] for row in dataset.rows()[5:10]] == [
        "aligned",
        "unreadable",
        "aligned",
        "unreadable",
        "aligned",
    ]
    assert any(
        "F001/T1 frame 7" in note and "truncated" in note and "frame 9" in note
        for note in done.meta["notes"]
    )


def test_a_video_shorter_than_its_labels_is_reported(dataset: SmallDataset) -> None:
    write_video(dataset.root / "2F02_T1.avi", 33)
    done = dataset.prepare()
    assert [row["status"] for row in dataset.rows()[-8:]] == ["aligned"] + ["no picture"] * 7
    assert (
        "F002/T1: the video ends at frame 33: frames 34 to 40 have no image" in done.meta["notes"]
    )


@pytest.mark.parametrize("workers", [1, 2])
def test_a_broken_source_ends_the_run(dataset: SmallDataset, workers: int) -> None:
    (dataset.root / "F001.zip").write_bytes(b"not a zip file")
    with pytest.raises(DataError, match="cannot be read as a zip file"):
        dataset.prepare(workers=workers)
    assert not (dataset.folder / "faces.parquet").exists()


def test_a_short_video_is_reported_even_if_its_last_frames_have_no_landmarks(
    dataset: SmallDataset,
) -> None:
    write_video(dataset.root / "2F02_T1.avi", 33)
    sequence = ("F002", "T1")
    points = write_landmarks(dataset.root / "landmarks" / "2.txt", range(1, 31))
    dataset.add(sequence, ALL, video=dataset.root / "2F02_T1.avi", landmarks=points)
    assert (
        "F002/T1: the video ends at frame 33: frames 34 to 40 have no image"
        in dataset.prepare().meta["notes"]
    )


def test_a_broken_video_is_no_error_if_none_of_its_frames_is_needed(dataset: SmallDataset) -> None:
    (dataset.root / "2F02_T1.avi").write_bytes(b"not a video")
    dataset.add(("F002", "T1"), ALL, video=dataset.root / "2F02_T1.avi")
    assert dataset.prepare().meta["frames"] == {"aligned": 70, "no landmarks": 50}


def test_label_frame_0_has_no_image_in_a_video(tmp_path: Path) -> None:
    dataset = SmallDataset(tmp_path / "work", tmp_path / "raw")
    video = write_video(dataset.root / "2F01_T1.avi", 20)
    points = write_landmarks(dataset.root / "l.txt", range(10))
    dataset.add(("F001", "T1"), range(10), video=video, landmarks=points)
    assert dataset.prepare().meta["frames"] == {"aligned": 9, "no picture": 1}
    assert frame_of(read_crop(dataset.folder / dataset.rows()[1]["path"])) == 1


def test_media_files_are_closed_after_each_sequence(dataset: SmallDataset) -> None:
    gc.collect()
    gc.disable()
    before = os.listdir("/proc/self/fd")
    dataset.prepare()
    after = os.listdir("/proc/self/fd")
    gc.enable()
    assert after == before


def test_a_moved_folder_of_images_is_an_error(dataset: SmallDataset) -> None:
    dataset.write_frames()
    dataset.root.rename(dataset.root.with_name("moved"))
    with pytest.raises(DataError, match="no longer exists"):
        dataset.prepare()


def test_a_crop_that_cannot_be_written_is_an_error(dataset: SmallDataset) -> None:
    blocked = dataset.folder / "faces/eyes-similarity-1/F001/T1"
    blocked.parent.mkdir(parents=True)
    blocked.touch()
    with pytest.raises(DataError, match="T1 could not be written: File exists") as caught:
        dataset.prepare()
    assert caught.value.where == str(blocked)


def blank_landmarks(dataset: SmallDataset) -> None:
    for path in (dataset.root / "landmarks").iterdir():
        lines = path.read_text().splitlines()
        path.write_text("".join(" ".join(["0"] * len(line.split())) + "\n" for line in lines))


def no_images(dataset: SmallDataset) -> None:
    for sequence, source in dataset.sources.items():
        dataset.images[sequence] = [None] * len(ALL)
        dataset.sources[sequence] = type(source)(None, None, source.landmarks, "")


def unreadable_images(dataset: SmallDataset) -> None:
    for path in (dataset.root / "F001/T1").iterdir():
        path.write_text("not an image")
    for sequence in [*dataset.frames][1:]:
        for columns in (dataset.frames, dataset.images, dataset.sources):
            del columns[sequence]


@pytest.mark.parametrize(
    ("spoil", "counts", "example", "where"),
    [
        (
            blank_landmarks,
            "no landmarks 120",
            "0.txt holds no usable landmarks of F001/T1",
            "0.txt",
        ),
        (no_images, "no landmarks 15, no picture 105", "F001/T1 has neither images", "raw"),
        (unreadable_images, "unreadable 35", "F001/T1 frame 1 (", "raw"),
    ],
)
def test_a_run_without_any_crop_is_an_error_that_gives_the_reason(
    dataset: SmallDataset,
    spoil: Callable[[SmallDataset], None],
    counts: str,
    example: str,
    where: str,
) -> None:
    spoil(dataset)
    with pytest.raises(DataError, match="No frame could be cropped") as caught:
        dataset.prepare()
    assert counts in caught.value.what and example in caught.value.what
    assert Path(caught.value.where).name == where
    assert caught.value.hint.endswith(f"fauds check --dataset bp4d --root {dataset.root}")


def test_a_detector_that_finds_no_face_at_all_is_an_error(
    dataset: SmallDataset, monkeypatch, dots: str
) -> None:
    monkeypatch.setattr(DotDetector, "find", lambda self, image, at: [])
    with pytest.raises(DataError, match=r"the detector dots:somewhere finds no face"):
        dataset.prepare(detector=dots)


def test_a_detector_that_lacks_what_the_alignment_needs_is_an_error(
    dataset: SmallDataset, monkeypatch, dots: str
) -> None:
    monkeypatch.setattr(DotDetector, "gives", frozenset({"eyes", "box"}), raising=False)
    for without in ("drop", "detect"):
        with pytest.raises(UsageError, match="jaa needs the face's points") as caught:
            dataset.prepare(alignment="jaa", detector=dots, without_landmarks=without)
        assert "mediapipe" in caught.value.hint and "cascade" not in caught.value.hint
    monkeypatch.setattr(DotDetector, "gives", frozenset({"box"}))
    with pytest.raises(UsageError, match="needs the eyes"):
        dataset.prepare(detector=dots)
    assert not (dataset.folder / "faces").exists()
    assert dataset.prepare(alignment="bbox-5", detector=dots).meta["frames"]["detected"] == 108


def full_after(monkeypatch: pytest.MonkeyPatch, crops: int) -> None:
    """Simulate a disk that is full after `crops` crops and half of the next one."""
    real, calls = Path.write_bytes, itertools.count()

    def write(self, data):
        if self.name.endswith(".part") and next(calls) >= crops:
            real(self, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device", str(self))
        return real(self, data)

    monkeypatch.setattr(Path, "write_bytes", write)


def test_a_full_disk_leaves_no_temporary_files_and_keeps_the_table_of_another_alignment(
    dataset: SmallDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset.prepare()
    before = tree(dataset.folder)
    with monkeypatch.context() as full:
        full_after(full, 10)
        with pytest.raises(DataError, match="No space left on device") as caught:
            dataset.prepare(alignment="jaa")
    assert caught.value.hint.startswith("free space")
    assert not list(dataset.folder.rglob(".*.part"))
    after = tree(dataset.folder)
    assert {name: after[name] for name in before} == before
    assert dataset.prepare().done is False
    assert dataset.prepare(alignment="jaa").done
    assert dataset.rows()[0]["path"].startswith("faces/jaa-1/")


def test_a_full_disk_removes_the_table_of_crops_that_were_changed(
    dataset: SmallDataset, dots: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset.prepare()
    with monkeypatch.context() as full:
        full_after(full, 10)
        with pytest.raises(DataError, match="No space left on device"):
            dataset.prepare(detector=dots)
    assert not (dataset.folder / "faces.parquet").exists()


def free(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Let every disk report this number of free bytes."""
    usage = shutil.disk_usage("/")._replace(free=size)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)


@pytest.mark.parametrize("alignment", ["eyes-similarity", "none"])
def test_a_disk_without_space_for_the_crops_is_an_error_before_the_first_one(
    dataset: SmallDataset, monkeypatch: pytest.MonkeyPatch, alignment: str
) -> None:
    """All 120 frames have an image; a crop's size is that of the crops which were made before."""
    dataset.prepare(alignment=alignment)
    crops = [path.stat().st_size for path in (dataset.folder / "faces").rglob("F001/T1/*.jpg")]
    shutil.rmtree(dataset.folder / "faces")
    (dataset.folder / "faces.parquet").unlink()
    before = tree(dataset.folder)
    needed = 120 * np.mean(crops)
    free(monkeypatch, int(0.8 * needed))
    with pytest.raises(DataError, match="for 120 crops are needed") as caught:
        dataset.prepare(alignment=alignment)
    assert f"The disk has {0.8 * needed / 1e3:.0f} kB free" in caught.value.what
    estimate = int(re.search(r"about (\d+) kB for", caught.value.what)[1])
    assert estimate == pytest.approx(needed / 1e3, rel=0.1)
    assert caught.value.where == str(dataset.folder)
    assert tree(dataset.folder) == before
    free(monkeypatch, int(1.2 * needed))
    assert dataset.prepare(alignment=alignment).done


def test_space_that_later_steps_need_is_not_used_for_crops(
    dataset: SmallDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    free(monkeypatch, 50_000_000)
    with pytest.raises(DataError, match=r"50.0 MB free, .*, 60.0 MB for the files of the run"):
        dataset.prepare(reserve=60_000_000)
    first = dataset.prepare(reserve=40_000_000)
    assert first.done and not dataset.prepare().done  # the reserve is no setting of the crops


def test_crops_that_replace_others_need_no_space(
    dataset: SmallDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset.prepare(without_landmarks="neighbours")
    sequence = ("F001", "T1")
    points = write_landmarks(dataset.root / "landmarks" / "new.txt", ALL)
    dataset.add(sequence, ALL, images=dataset.images[sequence], landmarks=points, digest="1")
    free(monkeypatch, 0)
    assert dataset.prepare(without_landmarks="neighbours").done


def test_a_second_run_does_nothing(dataset: SmallDataset) -> None:
    first = dataset.prepare()
    before = tree(dataset.folder)
    times = {path: path.stat().st_mtime_ns for path in dataset.folder.rglob("*.[jp]*")}
    second = dataset.prepare()
    assert not second.done and second.meta.items() >= first.meta.items()
    assert tree(dataset.folder) == before
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_a_removed_crop_is_written_again(dataset: SmallDataset) -> None:
    dataset.prepare()
    before = tree(dataset.folder)
    (dataset.folder / dataset.rows()[3]["path"]).unlink()
    assert dataset.prepare().done
    assert tree(dataset.folder) == before


def test_changed_landmarks_change_the_crops_and_remove_outdated_ones(dataset: SmallDataset) -> None:
    dataset.prepare(without_landmarks="neighbours")
    assert len(list((dataset.folder / "faces").rglob("*.jpg"))) == 120
    dataset.prepare()
    assert len(list((dataset.folder / "faces").rglob("*.jpg"))) == 105
    before = tree(dataset.folder)
    sequence = ("F001", "T1")
    points = write_landmarks(dataset.root / "landmarks" / "new.txt", range(1, 40))
    dataset.add(sequence, ALL, images=dataset.images[sequence], landmarks=points, digest="1")
    assert dataset.prepare().meta["frames"] == {"aligned": 109, "no landmarks": 11}
    changed = {name for name, data in tree(dataset.folder).items() if before.get(name) != data}
    assert {name for name in changed if name.endswith(".jpg")} == {
        f"faces/eyes-similarity-1/F001/T1/{frame}.jpg" for frame in range(20, 25)
    }


def stop_at(monkeypatch: pytest.MonkeyPatch, method: str, call: int) -> None:
    """Let the `call`-th call of a method of `CropFiles` end the run, like a kill."""
    real, calls = getattr(crop_files.CropFiles, method), itertools.count(1)

    def stopping(self, *arguments):
        if next(calls) == call:
            raise KeyboardInterrupt
        return real(self, *arguments)

    monkeypatch.setattr(crop_files.CropFiles, method, stopping)


def test_crops_of_a_stopped_run_with_other_settings_are_replaced(
    dataset: SmallDataset, dots: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crop_files, "PART", 16)
    dataset.prepare()
    before = tree(dataset.folder)
    with monkeypatch.context() as killed:
        # In the middle of the second part.
        stop_at(killed, "write", 24)
        with pytest.raises(KeyboardInterrupt):
            dataset.prepare(detector=dots)
    assert any(before[name] != data for name, data in tree(dataset.folder).items())
    dataset.prepare()
    assert tree(dataset.folder) == before


def test_a_run_stopped_before_removing_outdated_crops_is_completed_by_the_next(
    dataset: SmallDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset.prepare()
    before = tree(dataset.folder)
    dataset.prepare(without_landmarks="neighbours")
    with monkeypatch.context() as killed:
        stop_at(killed, "keep_only", 1)
        with pytest.raises(KeyboardInterrupt):
            dataset.prepare()
    (dataset.folder / "faces/eyes-similarity-1/F001/T1/.7.jpg.1.part").touch()
    dataset.prepare()
    assert tree(dataset.folder) == before


def test_a_changed_detector_file_changes_the_crops(dataset: SmallDataset, tmp_path: Path) -> None:
    table = tmp_path / "points.csv"
    eyes = []
    for shift in (0, 5):
        names = ",".join(f"x{point},y{point}" for point in range(49))
        points = [(landmarks(frame) + shift).ravel() for frame in ALL]
        rows = [
            f"F001,T1,{frame}," + ",".join(f"{value:.4f}" for value in row)
            for frame, row in zip(ALL, points, strict=True)
        ]
        table.write_text("\n".join([f"subject,task,frame,{names}", *rows]) + "\n")
        dataset.prepare(detector=f"csv:{table}")
        eyes.append(dataset.rows()[0]["eyes"])
    assert np.allclose(np.subtract(*eyes), -5, atol=1e-3)


def test_a_saved_request_has_absolute_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    request = CropRequest("jaa", 1, detector="csv:points.csv", manifest="list.txt").json_values()
    assert request["detector"] == f"csv:{tmp_path.resolve() / 'points.csv'}"
    assert request["manifest"] == str(tmp_path.resolve() / "list.txt")
    assert CropRequest("jaa", 1, detector="cascade").json_values()["detector"] == "cascade"
    assert CropRequest("jaa", 1).json_values()["detector"] is None


def test_only_the_frames_of_a_list_are_cropped(dataset: SmallDataset, tmp_path: Path) -> None:
    listed = tmp_path / "listed.csv"
    names = [f"F001,T1,{n}" for n in (1, 2, 3)] + [f"F002,T1,{n}" for n in (5, 20)]
    listed.write_text("subject,task,frame\n" + "\n".join(names) + "\n")
    done = dataset.prepare(manifest=listed)
    assert done.meta["frames"] == {"aligned": 4, "excluded": 115, "no landmarks": 1}
    assert done.meta["settings"]["manifest"]["name"] == "listed.csv"
    assert "listed.csv" in done.meta["frame_set"]
    assert done.meta["lost"] == {"F002": {"no landmarks": 1}}


def test_jumps_are_found_across_parts(
    dataset: SmallDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crop_files, "PART", 4)
    path = dataset.root / "landmarks" / "0.txt"
    lines = path.read_text().splitlines()
    # Frame 9 begins the third part.
    lines[8] = " ".join(f"{value + 31:.4f}" for value in landmarks(9).ravel())
    path.write_text("\n".join(lines) + "\n")
    dataset.prepare()
    jumps = [row["jump"] for row in dataset.rows()[:40]]
    assert [n for n, jump in enumerate(jumps, 1) if jump] == [9, 10]


def test_the_bytes_do_not_depend_on_workers_or_parts_done(dataset: SmallDataset) -> None:
    shown: list[tuple[int, int]] = []
    dataset.prepare(lambda done, total: shown.append((done, total)))
    assert shown[0] == (0, 120) and shown[-1] == (120, 120)
    before = tree(dataset.folder)
    for path in dataset.folder.rglob("*"):
        if path.name in ("faces.parquet", "F001_T2-0000.parquet"):
            path.unlink()
    dataset.prepare(workers=3)
    assert tree(dataset.folder) == before


@pytest.mark.parametrize("seed", range(4))
def test_removed_parts_and_crops_are_written_again_with_the_same_bytes(
    seed: int, dataset: SmallDataset, dots: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crop_files, "PART", 4)
    rng = random.Random(seed)
    (dataset.root / "F001/T1/7.jpg").write_bytes(jpeg(7)[:-200])
    (dataset.root / "F001/T1/22.jpg").unlink()
    members = dataset.sources["F001", "T2"].archive.members
    for frame in (1, 5, 6, 7, 8):
        del members[frame]
    write_video(dataset.root / "2F02_T1.avi", 33)
    listed = tmp_path / "listed.csv"
    names = [f"{s},{t},{n}" for s, t in dataset.frames for n in ALL if rng.random() < 0.8]
    listed.write_text("\n".join(["subject,task,frame", *names]) + "\n")
    request = {
        "manifest": listed,
        "detector": dots if seed % 2 else None,
        "without_landmarks": "detect" if seed % 2 else "neighbours",
    }
    dataset.prepare(**request)
    before, rows = tree(dataset.folder), dataset.rows()
    assert {"unreadable", "no picture", "excluded"} <= {row["status"] for row in rows}
    parts = sorted((dataset.folder / "faces").rglob("*.parquet"))
    for path in rng.sample(parts, 12):
        path.unlink()
    for path in rng.sample(sorted((dataset.folder / "faces").rglob("*.jpg")), 3):
        path.unlink()
    assert dataset.prepare(**request).done
    assert tree(dataset.folder) == before


def test_crops_of_a_dataset_without_tasks_are_named_by_subject(tmp_path: Path) -> None:
    dataset = SmallDataset(tmp_path / "work", tmp_path)
    points = write_landmarks(tmp_path / "l.txt", ALL)
    video = write_video(tmp_path / "LeftVideoSN001_comp.avi", 40)
    dataset.add(("SN001", ""), ALL, video=video, landmarks=points)
    dataset.prepare()
    assert dataset.rows()[16]["path"] == "faces/eyes-similarity-1/SN001/17.jpg"
    assert (dataset.folder / "faces/eyes-similarity-1/SN001/17.jpg").is_file()


_RUN = """
import pickle, sys
from fauds.faces import crop_files
crop_files.PART = 32
if __name__ == "__main__":
    made = pickle.load(open(sys.argv[1], "rb"))
    made.prepare(workers=int(sys.argv[2]))
"""


@pytest.fixture
def long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallDataset:
    """Two sequences with many parts each."""
    monkeypatch.setattr(crop_files, "PART", 32)
    dataset = SmallDataset(tmp_path / "work", tmp_path / "raw")
    points = write_landmarks(dataset.root / "l.txt", range(1, 241))
    for task in ("T1", "T2"):
        video = write_video(dataset.root / f"2F01_{task}.avi", 240)
        dataset.add(("F001", task), range(1, 241), video=video, landmarks=points)
    dataset.write_frames()
    (tmp_path / "made.pickle").write_bytes(pickle.dumps(dataset))
    (tmp_path / "run.py").write_text(_RUN)
    return dataset


def start(dataset: SmallDataset, workers: int) -> subprocess.Popen:
    folder = dataset.folder.parent
    return subprocess.Popen(
        [sys.executable, folder / "run.py", folder / "made.pickle", str(workers)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def count(dataset: SmallDataset) -> int:
    return sum(1 for _ in (dataset.folder / "faces").rglob("[0-9]*.jpg"))


def run_until(dataset: SmallDataset, process: subprocess.Popen, crops: int) -> None:
    until = time.monotonic() + 60
    while count(dataset) < crops and process.poll() is None and time.monotonic() < until:
        time.sleep(0.005)


@pytest.mark.slow
def test_killed_runs_leave_only_whole_crops_and_are_resumed(long: SmallDataset) -> None:
    rng = random.Random(time.time_ns())
    for number, workers in enumerate((2, 1, 2)):
        process = start(long, workers)
        run_until(long, process, count(long) + 1 + rng.randrange(100))
        time.sleep(rng.random() / 20)
        process.kill()
        # Workers keep stderr open, so this also waits for their end.
        process.communicate(timeout=20)
        for path in (long.folder / "faces").rglob("[0-9]*.jpg"):
            assert path.read_bytes()[-2:] == b"\xff\xd9", (number, path)
        if process.returncode == 0:
            break
    assert long.prepare().path.is_file()
    killed = tree(long.folder)
    for path in sorted((long.folder / "faces").rglob("*.*"), reverse=True):
        if path.is_file():
            path.unlink()
    (long.folder / "faces.parquet").unlink()
    long.prepare()
    whole = tree(long.folder)
    assert killed.keys() == whole.keys()
    assert [name for name in whole if whole[name] != killed[name]] == []


@pytest.mark.slow
def test_ctrl_c_stops_at_once_and_keeps_whole_parts(long: SmallDataset) -> None:
    process = start(long, 2)
    run_until(long, process, 120)
    os.killpg(process.pid, signal.SIGINT)
    began = time.monotonic()
    _, errors = process.communicate(timeout=30)
    assert time.monotonic() - began < 5
    assert process.returncode != 0
    assert errors.count(b"Traceback") == 1 and b"KeyboardInterrupt" in errors
    parts = list((long.folder / "faces").rglob("*.parquet"))
    assert parts and not (long.folder / "faces.parquet").exists()


@pytest.mark.slow
def test_a_killed_worker_ends_the_run_with_an_error_and_keeps_its_crops(long: SmallDataset) -> None:
    process = start(long, 2)
    run_until(long, process, 40)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    workers = [
        int(child)
        for child in children
        if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]
    os.kill(workers[0], signal.SIGKILL)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 1 and b"run the same command again" in errors
    before = count(long)
    assert before >= 40 and long.prepare().meta["frames"] == {"aligned": 480}


def crops_of(raw: Path, work: Path, like: str) -> dict[tuple[str, int], dict]:
    """Crop a synthetic release and return the rows, with "crop", by sequence and frame."""
    project = Project(work, like)
    frames = project.frames(raw)
    folder = project.workspace.folder
    table = store.read_table(frames.path, ["subject", "task", "frame"]).to_pylist()
    names = [(row["subject"], row["task"]) for row in table]
    last = {name: row["frame"] for name, row in zip(names, table, strict=True)}
    footage = DATASETS[like].footage(raw, last)
    root = Path(frames.meta["image_root"])
    prepare(folder, frames.path, footage, root, {}, CropRequest("eyes-similarity", 1))
    rows = store.read_table(folder / "faces.parquet").to_pylist()
    crops = [row["path"] and (folder / row["path"]).read_bytes() for row in rows]
    return {
        ("/".join(name), place["frame"]): row | {"crop": crop}
        for name, place, row, crop in zip(names, table, rows, crops, strict=True)
    }


@pytest.mark.slow
@pytest.mark.parametrize("like", ["bp4d", "disfa"])
def test_images_archives_and_videos_of_a_synthetic_release_give_the_same_crops(
    like: str, tmp_path: Path
) -> None:
    forms = ("images", "zips", "videos") if like == "bp4d" else ("images", "videos")
    crops = {}
    for form in forms:
        raw = tmp_path / form
        release.write(raw, like, subjects=2, frames=16, seed=1, size=64, pictures=form)
        crops[form] = crops_of(raw, tmp_path / "work" / form, like)
    images = crops["images"]
    lost = [key for key, row in images.items() if row["status"] == "no landmarks"]
    assert lost and len(lost) < 4 and len(images) == 32
    for form in forms[1:]:
        for key, row in crops[form].items():
            assert {name: row[name] for name in row if name != "crop"} == {
                name: images[key][name] for name in row if name != "crop"
            }
            if form == "zips":
                assert row["crop"] == images[key]["crop"]
            elif key not in lost:
                one, other = (
                    decode(crop, key).astype(int) for crop in (row["crop"], images[key]["crop"])
                )
                assert np.abs(one - other).mean() < 8
