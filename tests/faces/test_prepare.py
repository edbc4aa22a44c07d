"""The step that crops: what it writes, what it skips, and that stopping it loses nothing."""

import errno
import gc
import itertools
import os
import pickle
import random
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
from fauds.faces.base import Face
from fauds.faces.image_decoding import decode
from fauds.faces.plan import CropRequest
from fauds.faces.prepare import prepare
from fauds.pipeline import Project
from fauds.synthetic import release as distribution
from fauds.tables import store

from .helpers import (
    MadeUp,
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
def made(tmp_path: Path) -> MadeUp:
    """F001/T1 as images, F001/T2 in a zip, F002/T1 as a video; frames 20 to 24 lack landmarks."""
    root = tmp_path / "raw"
    made = MadeUp(tmp_path / "work", root)
    known = [*range(1, 20), *range(25, 41)]
    sources = {
        ("F001", "T1"): {"images": write_images(root, "F001/T1", ALL)},
        ("F001", "T2"): {"archive": write_zip(root / "F001.zip", ALL, "F001/T2")},
        ("F002", "T1"): {"video": write_video(root / "2F02_T1.avi", 45)},
    }
    for number, (sequence, found) in enumerate(sources.items()):
        points = write_landmarks(root / "landmarks" / f"{number}.txt", known)
        made.add(sequence, ALL, landmarks=points, **found)
    return made


def read_crop(path: Path) -> np.ndarray:
    return cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)


def middle(image: np.ndarray, channel: int) -> np.ndarray:
    """Where a red (0) or green (1) dot is, x and y."""
    rest = image[..., 2].astype(int)
    there = np.nonzero(image[..., channel] - rest > 70)
    return np.array([there[1].mean(), there[0].mean()])


def apply(transform: list[float], point: np.ndarray) -> np.ndarray:
    return np.array(transform).reshape(2, 3) @ [*point, 1]


def test_every_crop_shows_its_frame_with_the_eyes_where_the_table_says(made: MadeUp) -> None:
    done = made.prepare()
    assert done.done and done.meta["frames"] == {"aligned": 105, "no landmarks": 15}
    frames = store.read_table(made.folder / "frames.parquet").to_pylist()
    rows = made.rows()
    assert [row["frame_id"] for row in rows] == [frame["frame_id"] for frame in frames]
    for frame, row in zip(frames, rows, strict=True):
        if 20 <= frame["frame"] <= 24:
            assert row["status"] == "no landmarks"
            for name in ("path", "transform", "eyes", "inter_ocular", "landmarks", "jump"):
                assert not row[name]
            continue
        place = f"{frame['subject']}/{frame['task']}/{frame['frame']}.jpg"
        assert row["path"] == f"faces/eyes-similarity-1/{place}"
        crop = read_crop(made.folder / row["path"])
        assert crop.shape == (256, 256, 3)
        assert frame_of(crop) == frame["frame"] % 32
        eyes = eyes_at(frame["frame"])
        assert np.allclose(row["eyes"], eyes.ravel(), atol=1e-3)
        assert row["inter_ocular"] == pytest.approx(36, abs=1e-3)
        for channel, eye in enumerate(eyes):
            there = apply(row["transform"], eye)
            assert np.abs(middle(crop, channel) - there).max() < 1.5
        assert row["landmarks"] == "jaa-text"
        assert (row["outside"], row["eyes_crossed"], row["jump"]) == (False, False, False)


def test_nothing_is_left_but_crops_parts_and_tables(made: MadeUp) -> None:
    made.prepare()
    names = Counter(Path(name).suffix for name in tree(made.folder))
    assert names == {".jpg": 105, ".parquet": 3 + 2}


def test_the_table_opens_in_pandas(made: MadeUp) -> None:
    made.prepare()
    table = pd.read_parquet(made.folder / "faces.parquet")
    assert len(table) == 120 and table["path"].notna().sum() == 105
    assert table["outside"].sum() == 0


def test_metadata_and_notes(made: MadeUp) -> None:
    meta = made.prepare().meta
    frames = store.read_meta(made.folder / "frames.parquet")
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
    assert made.prepare(**meta["request"]).done is False
    assert made.prepare(version=None, workers=2).done is False
    stored = store.read_meta(made.folder / "faces.parquet")
    assert {key: stored[key] for key in meta} == meta


def test_neighbours_are_taken_where_asked(made: MadeUp) -> None:
    made.prepare(without_landmarks="neighbours")
    rows = made.rows()[19:24]
    share = (np.arange(20, 25) - 19)[:, None, None] / 6
    plain = eyes_at(19) + share * (eyes_at(25) - eyes_at(19))
    assert [row["status"] for row in rows] == ["neighbours"] * 5
    assert [row["landmarks"] for row in rows] == ["neighbours"] * 5
    assert np.allclose([row["eyes"] for row in rows], plain.reshape(5, 4), atol=1e-3)


class DotDetector:
    """Finds the dots; blind to frames whose number ends in 2."""

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


def test_a_detector_for_frames_without_landmarks(made: MadeUp, dots: str) -> None:
    done = made.prepare(without_landmarks="detect", detector=dots)
    assert done.meta["frames"] == {"aligned": 105, "detected": 12, "no face": 3}
    row = made.rows()[19]
    assert (row["status"], row["landmarks"]) == ("detected", "dots")
    assert np.allclose(row["eyes"], eyes_at(20).ravel(), atol=1)
    crop = read_crop(made.folder / row["path"])
    assert np.abs(middle(crop, 0) - apply(row["transform"], row["eyes"][:2])).max() < 1.5


def test_a_detector_for_all_frames(made: MadeUp, dots: str) -> None:
    done = made.prepare(detector=dots)
    assert done.meta["frames"] == {"detected": 108, "no face": 12}
    assert done.meta["settings"]["detector"] == "dots 1"
    boxes = made.prepare(alignment="bbox-5", detector=dots)
    assert boxes.meta["frames"] == {"detected": 108, "no face": 12}


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"without_landmarks": "detect"}, "none is named"),
        ({"without_landmarks": "neighbours", "detector": "cascade"}, "one frame at a time"),
        ({"alignment": "eyes"}, "no alignment named 'eyes'"),
        ({"version": 7}, "version 1 in this fauds"),
        ({"workers": 0}, "0 workers"),
        ({"without_landmarks": "neighbour"}, "without_landmarks is 'neighbour'"),
        ({"camera": "Left"}, "camera is 'Left'"),
    ],
)
def test_settings_that_cannot_be(made: MadeUp, request_: dict, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        made.prepare(**request_)
    assert not (made.folder / "faces").exists()


def test_an_alignment_that_needs_what_is_not_there(made: MadeUp) -> None:
    with pytest.raises(DataError, match="49 points have no jaw") as caught:
        made.prepare(alignment="bbox-5")
    assert "cascade" in caught.value.hint
    for sequence, source in made.sources.items():
        made.sources[sequence] = type(source)(source.archive, source.video, None, "")
    with pytest.raises(DataError, match="needs landmarks") as caught:
        made.prepare()
    assert "cascade" in caught.value.hint
    assert made.prepare(alignment="none").meta["frames"] == {"aligned": 120}


def test_none_copies_jpeg_files(made: MadeUp) -> None:
    made.prepare(alignment="none")
    for row in made.rows()[:80]:
        assert (made.folder / row["path"]).read_bytes() == jpeg(int(Path(row["path"]).stem))
    assert frame_of(read_crop(made.folder / made.rows()[85]["path"])) == 6
    assert made.rows()[0]["transform"] == [1, 0, 0, 0, 1, 0] and made.rows()[0]["eyes"] is None


def test_unreadable_pictures_are_named_and_passed_over(made: MadeUp) -> None:
    (made.root / "F001/T1/7.jpg").write_bytes(jpeg(7)[:-200])
    (made.root / "F001/T1/9.jpg").unlink()
    done = made.prepare()
    assert [row["status"] for row in made.rows()[5:10]] == [
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


def test_a_video_shorter_than_its_labels(made: MadeUp) -> None:
    write_video(made.root / "2F02_T1.avi", 33)
    done = made.prepare()
    assert [row["status"] for row in made.rows()[-8:]] == ["aligned"] + ["no picture"] * 7
    assert (
        "F002/T1: the video ends at frame 33: frames 34 to 40 have no picture" in done.meta["notes"]
    )


@pytest.mark.parametrize("workers", [1, 2])
def test_a_broken_source_ends_the_run(made: MadeUp, workers: int) -> None:
    (made.root / "F001.zip").write_bytes(b"no")
    with pytest.raises(DataError, match="cannot be read as a zip file"):
        made.prepare(workers=workers)
    assert not (made.folder / "faces.parquet").exists()


def test_a_video_whose_end_has_no_landmarks_either(made: MadeUp) -> None:
    write_video(made.root / "2F02_T1.avi", 33)
    sequence = ("F002", "T1")
    points = write_landmarks(made.root / "landmarks" / "2.txt", range(1, 31))
    made.add(sequence, ALL, video=made.root / "2F02_T1.avi", landmarks=points)
    assert (
        "F002/T1: the video ends at frame 33: frames 34 to 40 have no picture"
        in made.prepare().meta["notes"]
    )


def test_a_video_of_which_no_frame_is_wanted_may_be_broken(made: MadeUp) -> None:
    (made.root / "2F02_T1.avi").write_bytes(b"no")
    made.add(("F002", "T1"), ALL, video=made.root / "2F02_T1.avi")
    assert made.prepare().meta["frames"] == {"aligned": 70, "no landmarks": 50}


def test_a_label_frame_0_has_no_frame_in_a_video(tmp_path: Path) -> None:
    made = MadeUp(tmp_path / "work", tmp_path / "raw")
    video = write_video(made.root / "2F01_T1.avi", 20)
    points = write_landmarks(made.root / "l.txt", range(10))
    made.add(("F001", "T1"), range(10), video=video, landmarks=points)
    assert made.prepare().meta["frames"] == {"aligned": 9, "no picture": 1}
    assert frame_of(read_crop(made.folder / made.rows()[1]["path"])) == 1


def test_sources_are_closed_behind_each_sequence(made: MadeUp) -> None:
    gc.collect()
    gc.disable()
    before = os.listdir("/proc/self/fd")
    made.prepare()
    after = os.listdir("/proc/self/fd")
    gc.enable()
    assert after == before


def test_images_that_have_moved(made: MadeUp) -> None:
    made.write_frames()
    made.root.rename(made.root.with_name("moved"))
    with pytest.raises(DataError, match="not here any more"):
        made.prepare()


def test_a_disk_that_refuses(made: MadeUp) -> None:
    blocked = made.folder / "faces/eyes-similarity-1/F001/T1"
    blocked.parent.mkdir(parents=True)
    blocked.touch()
    with pytest.raises(DataError, match="T1 could not be written: File exists") as caught:
        made.prepare()
    assert caught.value.where == str(blocked)


def blank_landmarks(made: MadeUp) -> None:
    for path in (made.root / "landmarks").iterdir():
        lines = path.read_text().splitlines()
        path.write_text("".join(" ".join(["0"] * len(line.split())) + "\n" for line in lines))


def no_pictures(made: MadeUp) -> None:
    for sequence, source in made.sources.items():
        made.images[sequence] = [None] * len(ALL)
        made.sources[sequence] = type(source)(None, None, source.landmarks, "")


def unreadable_pictures(made: MadeUp) -> None:
    for path in (made.root / "F001/T1").iterdir():
        path.write_text("no picture")
    for sequence in [*made.frames][1:]:
        for columns in (made.frames, made.images, made.sources):
            del columns[sequence]


@pytest.mark.parametrize(
    ("spoil", "counts", "example", "where"),
    [
        (blank_landmarks, "no landmarks 120", "0.txt holds no landmarks of F001/T1", "0.txt"),
        (no_pictures, "no landmarks 15, no picture 105", "F001/T1 has neither images", "raw"),
        (unreadable_pictures, "unreadable 35", "F001/T1 frame 1 (", "raw"),
    ],
)
def test_not_one_crop_is_an_error_that_says_why(
    made: MadeUp, spoil: Callable[[MadeUp], None], counts: str, example: str, where: str
) -> None:
    spoil(made)
    with pytest.raises(DataError, match="Not one frame could be cropped") as caught:
        made.prepare()
    assert counts in caught.value.what and example in caught.value.what
    assert Path(caught.value.where).name == where
    assert caught.value.hint.endswith(f"fauds check --dataset bp4d --root {made.root}")


def test_faces_that_a_detector_does_not_find(made: MadeUp, monkeypatch, dots: str) -> None:
    monkeypatch.setattr(DotDetector, "find", lambda self, image, at: [])
    with pytest.raises(DataError, match=r"the detector dots:somewhere finds no face"):
        made.prepare(detector=dots)


def test_a_detector_that_never_gives_what_is_needed(made: MadeUp, monkeypatch, dots: str) -> None:
    monkeypatch.setattr(DotDetector, "gives", frozenset({"eyes", "box"}), raising=False)
    for without in ("drop", "detect"):
        with pytest.raises(UsageError, match="jaa needs the face's points") as caught:
            made.prepare(alignment="jaa", detector=dots, without_landmarks=without)
        assert "mediapipe" in caught.value.hint and "cascade" not in caught.value.hint
    monkeypatch.setattr(DotDetector, "gives", frozenset({"box"}))
    with pytest.raises(UsageError, match="needs the eyes"):
        made.prepare(detector=dots)
    assert not (made.folder / "faces").exists()
    assert made.prepare(alignment="bbox-5", detector=dots).meta["frames"]["detected"] == 108


def full_after(monkeypatch: pytest.MonkeyPatch, crops: int) -> None:
    """Let the disk be full after so many crops; half of the next one is still written."""
    real, calls = Path.write_bytes, itertools.count()

    def write(self, data):
        if self.name.endswith(".part") and next(calls) >= crops:
            real(self, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device", str(self))
        return real(self, data)

    monkeypatch.setattr(Path, "write_bytes", write)


def test_a_full_disk_leaves_no_litter_and_another_alignments_table(
    made: MadeUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.prepare()
    before = tree(made.folder)
    with monkeypatch.context() as full:
        full_after(full, 10)
        with pytest.raises(DataError, match="No space left on device") as caught:
            made.prepare(alignment="jaa")
    assert caught.value.hint.startswith("free space")
    assert not list(made.folder.rglob(".*.part"))
    after = tree(made.folder)
    assert {name: after[name] for name in before} == before
    assert made.prepare().done is False
    assert made.prepare(alignment="jaa").done
    assert made.rows()[0]["path"].startswith("faces/jaa-1/")


def test_a_full_disk_takes_the_table_of_crops_that_changed(
    made: MadeUp, dots: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.prepare()
    with monkeypatch.context() as full:
        full_after(full, 10)
        with pytest.raises(DataError, match="No space left on device"):
            made.prepare(detector=dots)
    assert not (made.folder / "faces.parquet").exists()


def test_a_second_run_does_nothing(made: MadeUp) -> None:
    first = made.prepare()
    before = tree(made.folder)
    times = {path: path.stat().st_mtime_ns for path in made.folder.rglob("*.[jp]*")}
    second = made.prepare()
    assert not second.done and second.meta.items() >= first.meta.items()
    assert tree(made.folder) == before
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_a_crop_that_has_gone_is_made_again(made: MadeUp) -> None:
    made.prepare()
    before = tree(made.folder)
    (made.folder / made.rows()[3]["path"]).unlink()
    assert made.prepare().done
    assert tree(made.folder) == before


def test_other_landmarks_make_other_crops_and_leave_none_behind(made: MadeUp) -> None:
    made.prepare(without_landmarks="neighbours")
    assert len(list((made.folder / "faces").rglob("*.jpg"))) == 120
    made.prepare()
    assert len(list((made.folder / "faces").rglob("*.jpg"))) == 105
    before = tree(made.folder)
    sequence = ("F001", "T1")
    points = write_landmarks(made.root / "landmarks" / "new.txt", range(1, 40))
    made.add(sequence, ALL, images=made.images[sequence], landmarks=points, digest="1")
    assert made.prepare().meta["frames"] == {"aligned": 109, "no landmarks": 11}
    changed = {name for name, data in tree(made.folder).items() if before.get(name) != data}
    assert {name for name in changed if name.endswith(".jpg")} == {
        f"faces/eyes-similarity-1/F001/T1/{frame}.jpg" for frame in range(20, 25)
    }


def stop_at(monkeypatch: pytest.MonkeyPatch, method: str, call: int) -> None:
    """Let the n-th call of a method of `CropFiles` end the run, as a kill would."""
    real, calls = getattr(crop_files.CropFiles, method), itertools.count(1)

    def stopping(self, *given):
        if next(calls) == call:
            raise KeyboardInterrupt
        return real(self, *given)

    monkeypatch.setattr(crop_files.CropFiles, method, stopping)


def test_a_stopped_run_with_other_settings_leaves_no_crops_to_the_first_ones(
    made: MadeUp, dots: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crop_files, "PART", 16)
    made.prepare()
    before = tree(made.folder)
    with monkeypatch.context() as killed:
        # In the middle of the second part.
        stop_at(killed, "write", 24)
        with pytest.raises(KeyboardInterrupt):
            made.prepare(detector=dots)
    assert any(before[name] != data for name, data in tree(made.folder).items())
    made.prepare()
    assert tree(made.folder) == before


def test_a_run_that_was_stopped_before_it_tidied_up(
    made: MadeUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.prepare()
    before = tree(made.folder)
    made.prepare(without_landmarks="neighbours")
    with monkeypatch.context() as killed:
        stop_at(killed, "keep_only", 1)
        with pytest.raises(KeyboardInterrupt):
            made.prepare()
    (made.folder / "faces/eyes-similarity-1/F001/T1/.7.jpg.1.part").touch()
    made.prepare()
    assert tree(made.folder) == before


def test_a_detector_whose_file_was_changed_is_asked_anew(made: MadeUp, tmp_path: Path) -> None:
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
        made.prepare(detector=f"csv:{table}")
        eyes.append(made.rows()[0]["eyes"])
    assert np.allclose(np.subtract(*eyes), -5, atol=1e-3)


def test_a_request_can_be_made_again_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = CropRequest("jaa", 1, detector="csv:points.csv", manifest="list.txt").plain()
    assert asked["detector"] == f"csv:{tmp_path.resolve() / 'points.csv'}"
    assert asked["manifest"] == str(tmp_path.resolve() / "list.txt")
    assert CropRequest("jaa", 1, detector="cascade").plain()["detector"] == "cascade"
    assert CropRequest("jaa", 1).plain()["detector"] is None


def test_a_list_of_frames(made: MadeUp, tmp_path: Path) -> None:
    listed = tmp_path / "listed.csv"
    names = [f"F001,T1,{n}" for n in (1, 2, 3)] + [f"F002,T1,{n}" for n in (5, 20)]
    listed.write_text("subject,task,frame\n" + "\n".join(names) + "\n")
    done = made.prepare(manifest=listed)
    assert done.meta["frames"] == {"aligned": 4, "excluded": 115, "no landmarks": 1}
    assert done.meta["settings"]["manifest"]["name"] == "listed.csv"
    assert "listed.csv" in done.meta["frame_set"]
    assert done.meta["lost"] == {"F002": {"no landmarks": 1}}


def test_jumps_are_found_across_parts(made: MadeUp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crop_files, "PART", 4)
    path = made.root / "landmarks" / "0.txt"
    lines = path.read_text().splitlines()
    # Frame 9 begins the third part.
    lines[8] = " ".join(f"{value + 31:.4f}" for value in landmarks(9).ravel())
    path.write_text("\n".join(lines) + "\n")
    made.prepare()
    jumps = [row["jump"] for row in made.rows()[:40]]
    assert [n for n, jump in enumerate(jumps, 1) if jump] == [9, 10]


def test_the_bytes_do_not_depend_on_workers_or_parts_done(made: MadeUp) -> None:
    shown: list[tuple[int, int]] = []
    made.prepare(lambda done, total: shown.append((done, total)))
    assert shown[0] == (0, 120) and shown[-1] == (120, 120)
    before = tree(made.folder)
    for path in made.folder.rglob("*"):
        if path.name in ("faces.parquet", "F001_T2-0000.parquet"):
            path.unlink()
    made.prepare(workers=3)
    assert tree(made.folder) == before


@pytest.mark.parametrize("luck", range(4))
def test_any_parts_can_be_made_again(
    luck: int, made: MadeUp, dots: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crop_files, "PART", 4)
    drawn = random.Random(luck)
    (made.root / "F001/T1/7.jpg").write_bytes(jpeg(7)[:-200])
    (made.root / "F001/T1/22.jpg").unlink()
    members = made.sources["F001", "T2"].archive.members
    for frame in (1, 5, 6, 7, 8):
        del members[frame]
    write_video(made.root / "2F02_T1.avi", 33)
    listed = tmp_path / "listed.csv"
    names = [f"{s},{t},{n}" for s, t in made.frames for n in ALL if drawn.random() < 0.8]
    listed.write_text("\n".join(["subject,task,frame", *names]) + "\n")
    asked = {
        "manifest": listed,
        "detector": dots if luck % 2 else None,
        "without_landmarks": "detect" if luck % 2 else "neighbours",
    }
    made.prepare(**asked)
    before, rows = tree(made.folder), made.rows()
    assert {"unreadable", "no picture", "excluded"} <= {row["status"] for row in rows}
    parts = sorted((made.folder / "faces").rglob("*.parquet"))
    for path in drawn.sample(parts, 12):
        path.unlink()
    for path in drawn.sample(sorted((made.folder / "faces").rglob("*.jpg")), 3):
        path.unlink()
    assert made.prepare(**asked).done
    assert tree(made.folder) == before


def test_disfa_sequences_have_no_task(tmp_path: Path) -> None:
    made = MadeUp(tmp_path / "work", tmp_path)
    points = write_landmarks(tmp_path / "l.txt", ALL)
    video = write_video(tmp_path / "LeftVideoSN001_comp.avi", 40)
    made.add(("SN001", ""), ALL, video=video, landmarks=points)
    made.prepare()
    assert made.rows()[16]["path"] == "faces/eyes-similarity-1/SN001/17.jpg"
    assert (made.folder / "faces/eyes-similarity-1/SN001/17.jpg").is_file()


_RUN = """
import pickle, sys
from fauds.faces import crop_files
crop_files.PART = 32
if __name__ == "__main__":
    made = pickle.load(open(sys.argv[1], "rb"))
    made.prepare(workers=int(sys.argv[2]))
"""


@pytest.fixture
def long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MadeUp:
    """Two sequences of many parts."""
    monkeypatch.setattr(crop_files, "PART", 32)
    made = MadeUp(tmp_path / "work", tmp_path / "raw")
    points = write_landmarks(made.root / "l.txt", range(1, 241))
    for task in ("T1", "T2"):
        video = write_video(made.root / f"2F01_{task}.avi", 240)
        made.add(("F001", task), range(1, 241), video=video, landmarks=points)
    made.write_frames()
    (tmp_path / "made.pickle").write_bytes(pickle.dumps(made))
    (tmp_path / "run.py").write_text(_RUN)
    return made


def start(made: MadeUp, workers: int) -> subprocess.Popen:
    folder = made.folder.parent
    return subprocess.Popen(
        [sys.executable, folder / "run.py", folder / "made.pickle", str(workers)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def count(made: MadeUp) -> int:
    return sum(1 for _ in (made.folder / "faces").rglob("[0-9]*.jpg"))


def run_until(made: MadeUp, process: subprocess.Popen, crops: int) -> None:
    until = time.monotonic() + 60
    while count(made) < crops and process.poll() is None and time.monotonic() < until:
        time.sleep(0.005)


@pytest.mark.slow
def test_killed_runs_leave_whole_crops_and_go_on(long: MadeUp) -> None:
    luck = random.Random(time.time_ns())
    for number, workers in enumerate((2, 1, 2)):
        process = start(long, workers)
        run_until(long, process, count(long) + 1 + luck.randrange(100))
        time.sleep(luck.random() / 20)
        process.kill()
        # Workers hold stderr open: it ends only when they have ended too.
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
def test_ctrl_c_stops_at_once_and_keeps_whole_parts(long: MadeUp) -> None:
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
def test_a_worker_that_is_ended_from_outside(long: MadeUp) -> None:
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
    """Crop a made-up distribution; returns the rows by sequence and frame, with "crop"."""
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
def test_made_up_distributions_in_all_their_forms(like: str, tmp_path: Path) -> None:
    forms = ("images", "zips", "videos") if like == "bp4d" else ("images", "videos")
    found = {}
    for form in forms:
        raw = tmp_path / form
        distribution.write(raw, like, subjects=2, frames=16, seed=1, size=64, pictures=form)
        found[form] = crops_of(raw, tmp_path / "work" / form, like)
    images = found["images"]
    lost = [key for key, row in images.items() if row["status"] == "no landmarks"]
    assert lost and len(lost) < 4 and len(images) == 32
    for form in forms[1:]:
        for key, row in found[form].items():
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
