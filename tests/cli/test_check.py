"""`fauds check` on synthetic releases: what the raw files hold and what is missing."""

import os
import re
import shutil
from collections import namedtuple
from itertools import takewhile
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
import yaml
from scipy.io import savemat

from fauds import launcher, resources
from fauds.faces import estimates as needs
from fauds.faces.estimates import Pace
from fauds.synthetic import release


@pytest.fixture
def disfa(disfa_root, tmp_path) -> Path:
    """DISFA's layout with SN001's whole video, SN003's cut short, and SN001's landmarks."""
    root = shutil.copytree(disfa_root, tmp_path / "disfa")
    (root / "Videos_LeftCamera").mkdir()
    for subject, frames in (("SN001", 4854), ("SN003", 1000)):
        path = root / "Videos_LeftCamera" / f"LeftVideo{subject}_comp.avi"
        video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 20, (64, 48))
        for _ in range(frames):
            video.write(np.zeros((48, 64, 3), np.uint8))
        video.release()
    folder = root / "Landmark_Points" / "SN001" / "tmp_frame_lm"
    folder.mkdir(parents=True)
    points = np.random.default_rng(0).uniform(10, 40, (66, 2))
    for frame in coded(root, "SN001")[3:]:
        savemat(folder / f"SN001_{frame - 1:04}_lm.mat", {"pts": points})
    return root


def coded(root: Path, subject: str) -> list[int]:
    text = (root / "ActionUnit_Labels" / subject / f"{subject}_au1.txt").read_text()
    return [int(row.split(",")[0]) for row in text.splitlines()]


def line(out: str, start: str) -> str:
    (match,) = [text for text in out.splitlines() if text.strip().startswith(start)]
    return match.strip()


def group(out: str, head: str) -> list[str]:
    """The lines of a group of the output, up to the blank line after it."""
    lines = out.split(f"\n{head}:", 1)[1].splitlines()
    return list(takewhile(str.strip, lines[not lines[0] :]))


def test_a_complete_release_lacks_nothing(cli, bp4d_root, tmp_path):
    before = sorted(bp4d_root.rglob("*"))
    out = cli.ok("check", "--dataset", "bp4d", "--root", bp4d_root)
    assert f"bp4d in {bp4d_root}, synthetic" in out
    assert group(out, "missing") == [" nothing"]
    assert "frames with an image: 144 of 144" in out
    assert "landmarks: 49 points for 24 of 24 sequences" in out
    assert "64 x 64 pixels" in line(out, "the first image of F001/T1")
    assert "144 crops (eyes-similarity 1)" in line(out, "prepare: ")
    assert f"over {launcher.cores()} process" in line(out, "prepare: ")
    assert "48 frames in 8 sequences, but 3,934 frames are published" in "\n".join(
        group(out, "differs from the published counts")
    )
    # Neither the workdir nor any file beside the raw files.
    assert sorted(bp4d_root.rglob("*")) == before
    assert list(tmp_path.iterdir()) == []


def test_epochs_are_what_the_published_folds_leave(cli, bp4d_root):
    out = cli.ok("check", "--dataset", "bp4d", "--root", bp4d_root)
    published = resources.path("benchmarks", "bp4d.yaml").read_text()
    parts = yaml.safe_load(published)["folds"]["parts"]
    subjects = [folder.name for folder in (bp4d_root / "2D+3D").iterdir()]
    sizes = [48 * sum(name not in part for name in subjects) for part in parts.values()]
    by_fold = ", ".join(map(str, sizes))
    assert f"training frames per epoch, by fold: {by_fold}" in line(out, "bench: ")


def test_labels_alone_can_be_used_and_the_rest_is_named(cli, bp4d_root, tmp_path):
    labels = tmp_path / "labels"
    shutil.copytree(bp4d_root / "AUCoding", labels / "AUCoding")
    out = cli.ok("check", "--dataset", "bp4d", "--root", labels)
    missing = "\n".join(group(out, "missing"))
    assert "fauds prepare would stop with an error" in missing and "--detector" in missing
    assert "frames without an image: 144 (F001/T1" in missing and "F001.zip" in missing
    assert "sequences without landmarks: 24 of 24 (" in missing and "2DFeatures" in missing
    assert "\n  prepare: " not in out
    assert "synthetic" not in out.splitlines()[0]


def test_images_without_landmarks_have_no_estimate_for_crops(cli, bp4d_root, tmp_path):
    root = shutil.copytree(bp4d_root, tmp_path / "raw")
    shutil.rmtree(root / "2DFeatures")
    out = cli.ok("check", "--dataset", "bp4d", "--root", root)
    assert "frames with an image: 144 of 144" in out
    assert "fauds prepare would stop with an error" in out and "crops (" not in out


def test_sequences_with_missing_images_are_named(cli, bp4d_root, tmp_path):
    root = shutil.copytree(bp4d_root, tmp_path / "some")
    images = sorted((root / "2D+3D" / "M002" / "T3").iterdir())
    images[0].unlink()
    (root / "2DFeatures" / "M002_T3.mat").unlink()
    (root / "2DFeatures" / "F001_T1.mat").write_bytes(b"\x89HDF\r\n\x1a\n and no more")
    out = cli.ok("check", "--dataset", "bp4d", "--root", root)
    assert "frames with an image: 143 of 144" in out
    assert f"frames without an image: 1 (M002/T3 1 of {len(images)})" in out
    assert "sequences without landmarks: 1 of 24 (M002/T3)" in out
    broken = [text for text in group(out, "missing") if "F001_T1.mat cannot" in text]
    assert len(broken) == 1 and "fauds prepare would stop with an error" in broken[0]
    assert str(root / "2DFeatures" / "F001_T1.mat") in broken[0]
    assert cli("prepare", "--dataset", "bp4d", "--root", root, "--workers", 1).code == 1


def blank_landmarks(root: Path, keep: int) -> None:
    """Leave landmarks to the first few coded frames that have some, of every sequence."""
    for path in (root / "2DFeatures").iterdir():
        labels = root / "AUCoding" / "AU_OCC" / f"{path.stem}.csv"
        frames = [int(row.split(",")[0]) for row in labels.read_text().splitlines()[1:]]
        with h5py.File(path, "r+") as file:
            entries = [file[file["fit/pred"][()].ravel()[frame - 1]] for frame in frames]
            for entry in [entry for entry in entries if entry.shape == (2, 49)][keep:]:
                entry[...] = np.nan


def test_landmarks_that_are_not_numbers_are_missing(cli, bp4d_root, tmp_path):
    root = shutil.copytree(bp4d_root, tmp_path / "blank")
    blank_landmarks(root, keep=0)
    out = cli.ok("check", "--dataset", "bp4d", "--root", root)
    (lacking,) = [text for text in group(out, "missing") if "frames with landmarks" in text]
    assert "frames with landmarks: 0 of " in lacking and "in a sample of 8 of 24 files" in lacking
    assert "copy the folder 2DFeatures" in lacking
    assert "frames with landmarks" not in "\n".join(group(out, "found"))
    assert "crops (" not in out


def test_the_estimate_counts_what_has_landmarks(cli, bp4d_root, tmp_path):
    root = shutil.copytree(bp4d_root, tmp_path / "few")
    blank_landmarks(root, keep=1)
    out = cli.ok("check", "--dataset", "bp4d", "--root", root)
    known, total = map(int, re.findall(r"\d+", line(out, "frames with landmarks:"))[:2])
    assert known == 8 and 30 < total < 60
    assert f"{round(144 * 8 / total)} crops (eyes-similarity 1)" in line(out, "prepare: ")


@pytest.mark.slow
def test_an_archive_that_asks_for_a_password_is_what_prepare_refuses(cli, tmp_path):
    root = tmp_path / "zips"
    release.write(root, "bp4d", subjects=2, frames=16, seed=1, size=64, pictures="zips")
    path = next(root.rglob("F*.zip"))
    data = bytearray(path.read_bytes())
    # Bit 0 of the flags, in every local header and in the directory, says encrypted.
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = -1
        while (at := data.find(signature, at + 1)) >= 0:
            data[at + offset] |= 1
    path.write_bytes(data)
    out = cli.ok("check", "--dataset", "bp4d", "--root", root)
    (refused,) = [text for text in group(out, "missing") if "encrypted" in text]
    assert "fauds prepare would stop with an error" in refused
    done = cli("prepare", "--dataset", "bp4d", "--root", root, "--workers", 1)
    assert done.code == 1 and "encrypted" in done.err


@pytest.mark.parametrize("command", ["check", "prepare"])
def test_a_root_that_tables_cannot_name_is_refused(cli, bp4d_root, tmp_path, command):
    root = tmp_path / os.fsdecode(b"caf\xe9")
    shutil.copytree(bp4d_root, root)
    done = cli(command, "--dataset", "bp4d", "--root", root)
    assert done.code == 1 and "not valid UTF-8" in done.err
    assert "caf\\udce9" in done.err and "to do: rename" in done.err


def test_videos_are_counted_by_their_headers(cli, disfa):
    out = cli.ok("check", "--dataset", "disfa", "--root", disfa)
    cut = sum(frame > 1000 for frame in coded(disfa, "SN003"))
    assert 0 < cut < 60
    assert f"frames with an image: {60 + 60 - cut} of 180" in out
    lacking = line(out, "frames without an image")
    assert lacking.startswith(f"frames without an image: {60 + cut} (SN003 {cut} of 60, SN006 60")
    assert "LeftVideoSN001_comp.avi" in lacking
    assert "landmarks: 66 points for 1 of 3 sequences" in out
    assert "frames with landmarks: 57 of 60 (95.0 %)" in out
    assert "sequences without landmarks: 2 of 3 (SN003, SN006)" in out
    assert "64 x 48 pixels" in line(out, "the first image of SN001")
    # A crop needs both an image and landmarks.
    assert "57 crops (eyes-similarity 1)" in line(out, "prepare: ")
    first = disfa / "Videos_LeftCamera" / "LeftVideoSN001_comp.avi"
    first.write_bytes(b"RIFF is all that is left of it")
    out = cli.ok("check", "--dataset", "disfa", "--root", disfa)
    (refused,) = [text for text in group(out, "missing") if str(first) in text]
    assert "fauds prepare would stop with an error" in refused
    assert f"frames with an image: {60 - cut} of 180" in out


def test_the_other_camera_has_no_landmarks(cli, disfa):
    (disfa / "Videos_LeftCamera").rename(disfa / "Videos_RightCamera")
    for path in (disfa / "Videos_RightCamera").iterdir():
        path.rename(path.with_name(path.name.replace("Left", "Right")))
    out = cli.ok("check", "--dataset", "disfa", "--root", disfa, "--camera", "right")
    assert "camera right" in line(out, "videos: ")
    lacking = line(out, "sequences without landmarks: 3 of 3")
    assert "the left camera" in lacking and "--detector" in lacking
    out = cli.ok("check", "--dataset", "disfa", "--root", disfa)
    assert "frames with an image: 0 of 180" in out


def test_broken_labels_are_an_error(cli, bp4d_root, tmp_path):
    root = shutil.copytree(bp4d_root, tmp_path / "broken")
    path = next((root / "AUCoding" / "AU_OCC").iterdir())
    path.write_text(path.read_text() + "1,2,3\n")
    done = cli("check", "--dataset", "bp4d", "--root", root)
    assert done.code == 1 and path.name in done.err and "to do:" in done.err
    assert cli("check", "--dataset", "bp4d", "--root", tmp_path / "gone").code == 1
    assert cli("check", "--dataset", "bp4").code == 2


def test_a_disk_that_is_too_small_is_reported_before_prepare_runs(cli, bp4d_root, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**6, 10**6 - 1000, 1000))
    out = cli.ok("check", "--dataset", "bp4d", "--root", bp4d_root)
    assert "disk space: 0.0 GB are needed and 0.0 GB are free" in "\n".join(group(out, "missing"))


class Sequence:
    """As much of a `fauds.faces.plan.SequenceJob` as an estimate reads."""

    class alignment:
        name, version = "jaa", 1

    def __init__(self, frames: list[int]) -> None:
        self.frames = np.array(frames)


@pytest.mark.parametrize("video", [False, True])
def test_the_time_of_crops_is_that_of_all_frames_that_are_read(video: bool) -> None:
    jobs = [Sequence([7, 8, 9, 1000]), Sequence([5, 6])]
    present = [np.array([True, True, True, False]), np.array([True, True])]
    pace = Pace(20, 640, 480, video, reading=0.010, cropping=0.004, size=12_000.0)
    need = needs.prepare(jobs, present, pace, processes=4)
    read = 9 + 6 if video else 5
    assert need.seconds == pytest.approx((0.010 * read + 0.004 * 5) / 4)
    assert need.size == 60_000
