"""``fauds prepare`` as users run it, on synthetic releases in the raw layouts, and its crops in
the bench."""

import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fauds.evaluation import results as results_file
from fauds.faces.landmarks import marks
from fauds.pipeline import Project
from fauds.runs import fold as onefold
from fauds.synthetic import release
from fauds.synthetic.face import FACE_AUS, draw_identity, draw_views, face_landmarks
from fauds.synthetic.labels import draw_intensities, lay_out
from fauds.synthetic.population import generator
from fauds.tables import store
from tests.helpers import small

pytestmark = pytest.mark.usefixtures("quick_tsne")

SEED, FRAMES, SIZE = 5, 40, 64
ALONE = ("--workers", 1)
"""Crops in this process: others take longer to start than these few frames."""


@pytest.fixture(scope="module")
def raws(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """BP4D as archives, DISFA as videos; four subjects of 40 frames."""
    folder = tmp_path_factory.mktemp("Données brutes")
    for like, pictures in (("bp4d", "zips"), ("disfa", "videos")):
        release.write(
            folder / like,
            like,
            subjects=4,
            frames=FRAMES,
            seed=SEED,
            size=SIZE,
            pictures=pictures,
        )
    return {like: folder / like for like in ("bp4d", "disfa")}


def true_landmarks(like: str) -> dict[tuple[str, str, int], np.ndarray]:
    """The true 68 landmarks of the synthetic faces, by subject, task and frame."""
    takes = lay_out(like, subjects=4, frames=FRAMES, seed=SEED)
    aus, labelled = draw_intensities(like, takes, SEED)
    landmarks, start = {}, 0
    for take in takes:
        identity = draw_identity(generator(SEED, "identity", take.subject), take.sex)
        views = draw_views(generator(SEED, "views", take.subject, take.task), len(take.frames))
        for number, view in zip(take.frames.tolist(), views, strict=True):
            levels = np.zeros(len(FACE_AUS), np.float32)
            levels[[FACE_AUS.index(au) for au in aus]] = labelled[start]
            points = face_landmarks(identity, levels, view, SIZE)
            # DISFA's synthetic images are wider than the faces.
            points[:, 0] += SIZE // 6 if like == "disfa" else 0
            landmarks[take.subject, take.task, number] = points
            start += 1
    return landmarks


def wanted_eyes(points: np.ndarray, alignment: str) -> np.ndarray:
    """Where the alignment puts the eye centres of these 68 points, in plain arithmetic."""
    if alignment == "eyes-similarity":
        return np.array([[87.5, 80.0], [167.5, 80.0]])
    left, right = points[36:42].mean(0), points[42:48].mean(0)
    angle = np.arctan2(*(right - left)[::-1])
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    level = np.array([turn @ p for p in (left, right, points[30], points[48], points[54])])
    low, high = level.min(0), level.max(0)
    side = 2.9 * max(high - low)
    corner = (low + high) / 2 - side / 2
    return (level[:2] - corner) * 199 / side


@pytest.mark.slow
@pytest.mark.parametrize("alignment", ["eyes-similarity", "jaa"])
@pytest.mark.parametrize("like", ["bp4d", "disfa"])
def test_eyes_lie_where_the_protocol_says(cli, raws, work, like, alignment):
    cli.ok("prepare", "--dataset", like, "--root", raws[like], "--alignment", alignment, *ALONE)
    faces = pd.read_parquet(work / like / "faces.parquet")
    frames = pd.read_parquet(work / like / "frames.parquet").merge(faces, on="frame_id")
    truth = true_landmarks(like)
    assert len(frames) == len(truth)
    cropped = frames[frames.path.notna()]
    assert set(cropped.status) == {"aligned"} and set(frames.status) == {"aligned", "no landmarks"}
    for row in cropped.itertuples():
        points = truth[row.subject, row.task, row.frame]
        transform = np.array(row.transform).reshape(2, 3)
        eyes = marks(points[None]).eyes[0]
        placed = eyes @ transform[:, :2].T + transform[:, 2]
        assert np.abs(placed - wanted_eyes(points, alignment)).max() < 0.5
        assert (work / like / row.path).stat().st_size > 500


@pytest.mark.slow
def test_lost_frames_are_counted_by_subject_and_a_second_run_does_nothing(
    cli, raws, work, tmp_path
):
    words = ("prepare", "--dataset", "disfa", "--root", raws["disfa"])
    out = cli.ok(*words, "--sheet", tmp_path / "faces.jpg")
    lost = 4 * FRAMES - len(list((work / "disfa" / "faces").rglob("*.jpg")))
    assert lost and f"frames with a crop: {4 * FRAMES - lost} of {4 * FRAMES}" in out
    assert "SN001 loses" in out and "the labels end at" not in out
    assert "camera left" in out and (tmp_path / "faces.jpg").stat().st_size > 10_000
    before = {path: path.stat().st_mtime_ns for path in work.rglob("*.*") if path.name != ".lock"}
    assert cli.ok(*words).count("(unchanged)") == 2
    assert before == {path: path.stat().st_mtime_ns for path in before}


@pytest.mark.slow
def test_neighbours_and_detectors_close_the_gaps(cli, raws, work):
    words = ("prepare", "--dataset", "bp4d", "--root", raws["bp4d"], *ALONE)
    lost = "no landmarks"
    assert lost in cli.ok(*words)
    out = cli.ok(*words, "--without-landmarks", "detect", "--detector", "cascade")
    assert "detected" in out and "given those of cascade" in out
    outcome = cli(*words, "--without-landmarks", "detect")
    assert outcome.code == 2 and "--detector" in outcome.err


def test_only_the_frames_of_a_list_are_cropped(cli, raws, work, tmp_path):
    cli.ok("build-captions", "--dataset", "bp4d", "--root", raws["bp4d"])
    frames = pd.read_parquet(work / "bp4d" / "frames.parquet")
    some = frames.iloc[::3]
    listed = tmp_path / "their list.txt"
    lines = [f"{r.subject}/{r.task}/{r.frame:04d}.jpg" for r in some.itertuples()]
    listed.write_text("\n".join([*lines, "F099/T1/0001.jpg"]) + "\n")
    out = cli.ok("prepare", "--dataset", "bp4d", "--frames", listed, *ALONE)
    assert f"their list.txt lists {len(some) + 1} frames, of which {len(some)} are coded" in out
    faces = pd.read_parquet(work / "bp4d" / "faces.parquet")
    kept = faces.frame_id.isin(some.frame_id)
    assert (faces.status == "excluded").sum() == (~kept).sum()
    listed.write_text("no frame at all\n")
    outcome = cli("prepare", "--dataset", "bp4d", "--frames", listed, *ALONE)
    assert outcome.code == 1 and "their list.txt:1" in outcome.err


@pytest.mark.slow
def test_the_bench_crops_disfa_by_itself_and_says_so(cli, work, tmp_path):
    # A seed with which every action unit is active in three subjects.
    release.write(
        tmp_path / "raw", "disfa", subjects=4, frames=100, seed=2, size=64, pictures="images"
    )
    common = ("--dataset", "disfa")
    cli.ok("split", *common, "--root", tmp_path / "raw", "--method", "random", "--folds", 2)
    outcome = cli("bench", "vlfau", *common, *small("training.epochs=1", texts=False))
    assert outcome.code == 0, outcome.err
    assert "cropping faces (eyes-similarity)" in outcome.err
    (run,) = (work / "disfa" / "runs").iterdir()
    results = results_file.read(run)
    assert results.frames_scored == (
        pd.read_parquet(work / "disfa" / "faces.parquet").path.notna().sum()
    )
    assert results.provenance["lost"] and "Of these: no landmarks" in (run / "report.md").read_text(
        encoding="utf-8"
    )


@pytest.mark.slow
def test_a_run_says_how_its_faces_were_made_and_will_not_go_on_with_others(
    cli, raws, work, tmp_path
):
    common = ("--dataset", "bp4d")
    raw = shutil.copytree(raws["bp4d"], tmp_path / "raw")
    cli.ok("split", *common, "--root", raw, "--method", "random", "--folds", 2)
    cli.ok("prepare", *common, "--without-landmarks", "neighbours", *ALONE)
    cli.ok("bench", "vlfau", *common, *small("training.epochs=1", texts=False))
    (run,) = (work / "bp4d" / "runs").iterdir()
    results = results_file.read(run)
    assert results.protocol.alignment.startswith("eyes-similarity 1: 256 x 256")
    assert "given their neighbours' landmarks" in results.protocol.alignment
    assert results.protocol.frame_set == "every coded frame with a face crop"
    lost = sum(results.frames_without_image.values())
    assert results.frames_scored == 4 * FRAMES - lost
    assert results.provenance["faces"]["without_landmarks"] == "neighbours"
    assert "eyes-similarity 1" in (run / "report.md").read_text(encoding="utf-8")
    (run / "results.json").unlink()
    os.utime(next((raw / "2DFeatures").iterdir()))
    # Landmarks that may be others, and then another alignment.
    for options in (("--without-landmarks", "neighbours"), ("--alignment", "jaa")):
        cli.ok("prepare", *common, *options, *ALONE)
        outcome = cli("bench", *common, "--resume", run.name)
        assert outcome.code == 1 and "faces changed since" in outcome.err


@pytest.mark.slow
def test_a_run_ends_if_its_crops_are_replaced_meanwhile(cli, raws, work, monkeypatch):
    common = ("--dataset", "bp4d")
    cli.ok("split", *common, "--root", raws["bp4d"], "--method", "random", "--folds", 2)
    cli.ok("prepare", *common, *ALONE)
    infer = onefold.infer

    def infer_meanwhile(*arguments):
        predictions = infer(*arguments)
        Project(work, "bp4d").faces({"alignment": "none", "workers": 1})
        return predictions

    monkeypatch.setattr(onefold, "infer", infer_meanwhile)
    outcome = cli("bench", "vlfau", *common, *small("training.epochs=1", texts=False))
    assert outcome.code == 1 and "replaced while this run" in outcome.err
    (run,) = (work / "bp4d" / "runs").iterdir()
    assert not (run / "fold1" / "predictions.parquet").exists()


def test_an_export_says_where_the_crops_of_images_without_a_file_are(cli, raws, work):
    cli.ok("build-captions", "--dataset", "bp4d", "--root", raws["bp4d"])
    out = cli.ok("captions", "export", "--dataset", "bp4d", "--format", "jsonl")
    assert "none with an image file of its own" in out and "faces.parquet, by frame_id" in out


def test_wrong_options_are_refused_before_any_work(cli, raws, work):
    words = ("prepare", "--dataset", "bp4d", "--root", raws["bp4d"], *ALONE)
    for options, message in (
        (("--alignment", "eye-similarity"), "did you mean 'eyes-similarity'"),
        (("--alignment", "bbox-5"), "49 points have no jaw"),
        (("--detector", "cascad"), "did you mean 'cascade'"),
        (("--detector", "csv:nowhere.csv"), "nowhere.csv"),
        (("--frames", "nowhere.txt"), "nowhere.txt"),
        (("--detector", "cascade", "--alignment", "jaa"), "gives only the eyes and the face's box"),
        (("--sheet", "faces.gif"), "cannot be written as faces.gif"),
    ):
        outcome = cli(*words, *options)
        assert outcome.code in (1, 2) and message in outcome.err, outcome.err
        assert "Traceback" not in outcome.err
    assert not (work / "bp4d" / "faces").exists()


@pytest.mark.slow
def test_check_says_the_same_as_prepare_finds(cli, raws, work):
    out = cli.ok("check", "--dataset", "disfa", "--root", raws["disfa"])
    assert "videos: 4 of 4 sequences" in out and not (work / "disfa").exists()
    cli.ok("prepare", "--dataset", "disfa", "--root", raws["disfa"], *ALONE)
    for line in store.read_meta(work / "disfa" / "faces.parquet")["notes"][:2]:
        assert line in out
