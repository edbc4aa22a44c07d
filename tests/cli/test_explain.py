"""``fauds explain`` as a user runs it, on images, folders and videos."""

import json
import os
import signal

import cv2
import numpy as np
import pandas as pd
import pytest
from skimage import data

from fauds.explanation import media as sources
from tests.explanation.models import AUS, EYES, write_weights


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Weights of a model that was trained on whole images."""
    return write_weights(tmp_path_factory.mktemp("whole") / "weights.safetensors")


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """Weights of a model that needs faces cut out by their eyes."""
    folder = tmp_path_factory.mktemp("faces")
    return write_weights(folder / "weights.safetensors", alignment=EYES)


@pytest.fixture(scope="module")
def astronaut():
    return cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2BGR)


@pytest.fixture
def images(astronaut, tmp_path):
    """A folder: two photographs of a face, one without a face, one broken, and a note."""
    folder = tmp_path / "images ü"
    folder.mkdir()
    cv2.imwrite(str(folder / "2.png"), astronaut)
    cv2.imwrite(str(folder / "10.jpg"), astronaut)
    cv2.imwrite(str(folder / "3.png"), np.full((120, 120, 3), 90, np.uint8))
    (folder / "4.jpg").write_bytes((folder / "10.jpg").read_bytes()[:2000])
    (folder / "notes.txt").write_text("no image")
    return folder


@pytest.fixture
def video(astronaut, tmp_path):
    """Six frames at five a second, the third and fourth without a face."""
    path = tmp_path / "talk.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 5.0, (512, 512))
    for number in range(1, 7):
        writer.write(np.full_like(astronaut, 90) if number in (3, 4) else astronaut)
    writer.release()
    return path


def test_the_face_of_an_image_is_explained_in_the_terminal(cli, faces, images):
    outcome = cli("explain", images / "2.png", "--weights", faces, "--detector", "cascade")
    assert outcome.code == 0, outcome.err
    lines = outcome.out.splitlines()
    assert lines[0] == str(images / "2.png")
    for au in AUS:
        assert au in outcome.out
    assert "  face: " in outcome.out
    assert "Faces are found by cascade 2 (scikit-image " in outcome.err
    assert "1 face cropped by eyes that were estimated" in outcome.err
    assert "synthetic faces" not in outcome.err


def test_a_folder_is_explained_and_its_broken_files_are_listed(cli, faces, images):
    outcome = cli("explain", images, "--weights", faces, "--no-text")
    assert outcome.code == 0, outcome.err
    blocks = [line for line in outcome.out.splitlines() if line.startswith(str(images))]
    assert blocks == [str(images / "2.png"), str(images / "10.jpg")]
    assert "skipped: 2 images" in outcome.err
    assert "3.png: No face was found." in outcome.err
    assert "4.jpg: The JPEG is truncated" in outcome.err
    assert "passed over: 1 file that is no image or video (notes.txt)" in outcome.err
    assert "face: " not in outcome.out


def test_a_video_is_printed_as_a_block_and_then_one_line_per_frame(cli, faces, video):
    outcome = cli("explain", video, "--weights", faces)
    assert outcome.code == 0, outcome.err
    lines = [line for line in outcome.out.splitlines() if line.startswith(str(video))]
    # After a cut of the scene, the face counts as another person's.
    places = [line.partition(", frame ")[2].partition(":")[0] for line in lines]
    assert places == ["1", "2", "5, face 2", "6, face 2"]
    assert "the file has no times of frames: constant rate assumed, 5 a second" in outcome.err
    assert lines[0].endswith(", frame 1")


@pytest.mark.parametrize("batch", [1, 4, 100])
def test_a_table_has_one_row_per_face_for_any_batch_size(
    cli, faces, images, video, tmp_path, batch
):
    table = tmp_path / "out" / "faces.parquet"
    out = cli.ok("explain", images, video, "--weights", faces, "--out", table, "--batch", batch)
    assert out.strip() == f"{table}: 6 faces in 6 images"
    rows = pd.read_parquet(table)
    assert rows["source"].tolist() == [
        *(str(images / name) for name in ("2.png", "10.jpg")),
        *[str(video)] * 4,
    ]
    assert rows["frame"].tolist() == [1, 1, 1, 2, 5, 6]
    assert rows["timestamp"].tolist()[2:] == pytest.approx([0, 0.2, 0.8, 1.0])
    assert rows["AU12"].between(0, 1).all()
    assert (rows["face_text"].str.len() > 0).all()
    # The result does not depend on the other images of the batch.
    assert rows["AU12"][0] == pytest.approx(rows["AU12"][1], abs=0.02)


def test_lines_and_openface_columns_are_written_by_suffix(cli, faces, video, tmp_path):
    cli.ok("explain", video, "--weights", faces, "--out", tmp_path / "a.jsonl")
    objects = [json.loads(line) for line in (tmp_path / "a.jsonl").open(encoding="utf-8")]
    assert [face["frame"] for face in objects] == [1, 2, 5, 6]
    assert set(objects[0]["aus"]) == set(AUS)
    cli.ok("explain", video, "--weights", faces, "--out", tmp_path / "a.csv", "--no-text")
    rows = pd.read_csv(tmp_path / "a.csv")
    assert rows["success"].tolist() == [1, 1, 0, 0, 1, 1]
    outcome = cli("explain", video, "--weights", faces, "--out", tmp_path / "a.txt")
    assert outcome.code == 2
    assert ".parquet" in outcome.err


def test_images_and_videos_are_annotated(cli, faces, video, images, tmp_path):
    annotated = tmp_path / "annotated.avi"
    cli.ok(
        "explain", video, "--weights", faces, "--annotate", annotated, "--out", tmp_path / "a.csv"
    )
    capture = cv2.VideoCapture(str(annotated))
    assert int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) == 6
    capture.release()
    cli.ok("explain", images, "--weights", faces, "--annotate", tmp_path / "annotated")
    names = sorted(path.name for path in (tmp_path / "annotated").rglob("*") if path.is_file())
    assert names == ["10.jpg", "2.png", "3.png"]


def test_nothing_explained_is_an_error(cli, faces, images):
    outcome = cli("explain", images / "3.png", images / "4.jpg", "--weights", faces)
    assert outcome.code == 1
    assert "Nothing was explained: 2 images skipped" in outcome.err
    assert "Traceback" not in outcome.err


def test_weights_of_whole_images_take_every_image_as_a_face_and_say_so(cli, whole, images):
    outcome = cli("explain", images / "3.png", "--weights", whole)
    assert outcome.code == 0, outcome.err
    assert outcome.err.count("taken as one face") == 1
    outcome = cli("explain", images / "3.png", "--weights", whole, "--aligned")
    assert outcome.code == 0, outcome.err
    assert "taken as one face" not in outcome.err
    outcome = cli("explain", images / "3.png", "--weights", whole, "--detector", "cascade")
    assert outcome.code == 2
    assert "cannot be used" in outcome.err


def test_weights_of_synthetic_faces_say_so_once(cli, images, tmp_path):
    weights = write_weights(tmp_path / "weights.safetensors", synthetic=True)
    outcome = cli("explain", images, "--weights", weights)
    assert outcome.code == 0, outcome.err
    assert outcome.err.count("trained on synthetic faces only") == 1
    assert "synthetic faces" not in outcome.out


def test_the_shipped_weights_are_used_for_synthetic_faces_or_if_asked_for(
    cli, images, bp4d_root, tmp_path
):
    outcome = cli("explain", images / "2.png", "--no-text")
    assert outcome.code == 2 and "have seen synthetic faces only" in outcome.err
    assert "--weights RUN" in outcome.err and "--synthetic-weights" in outcome.err
    words = ("--detector", "cascade", "--no-text", "--out", tmp_path / "a.csv")
    outcome = cli("explain", images / "2.png", "--synthetic-weights", *words)
    assert outcome.code == 0, outcome.err
    (row,) = pd.read_csv(tmp_path / "a.csv").to_dict("records")
    assert row["weights"] == (
        "vlfau tiny (tiny-faces.safetensors), trained on synthetic faces only: means nothing for "
        "real faces"
    )
    face = next(bp4d_root.rglob("*.jpg"))
    assert cli("explain", face, "--aligned", "--no-text").code == 0


def test_subtitles_of_a_video_name_the_weights(cli, faces, video, images, tmp_path):
    out = tmp_path / "talk.srt"
    cli.ok("explain", video, "--weights", faces, "--no-text", "--out", out)
    text = out.read_text(encoding="utf-8")
    assert " --> " in text and "weights.safetensors), trained on " in text
    outcome = cli("explain", images / "2.png", "--weights", faces, "--out", out)
    assert outcome.code == 2 and "2.png is an image" in outcome.err


def test_weights_can_be_named_by_their_run(cli, work, whole, images):
    for fold in (1, 2):
        folder = work / "disfa" / "runs" / "first" / f"fold{fold}"
        folder.mkdir(parents=True)
        (folder / "weights.safetensors").write_bytes(whole.read_bytes())
    command = ("explain", images / "2.png", "--dataset", "disfa", "--weights")
    outcome = cli(*command, "first")
    assert outcome.code == 0, outcome.err
    assert "fold1 is used" in outcome.err
    assert "is used" not in cli(*command, "first/fold2").err
    outcome = cli(*command, "second")
    assert outcome.code == 2
    assert "choose from: first" in outcome.err


def test_processes_of_torchrun_share_the_files(cli, whole, images, tmp_path, monkeypatch):
    (images / "4.jpg").unlink()
    read = []
    for rank in range(4):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", "4")
        out = tmp_path / "faces.parquet"
        outcome = cli("explain", images, "--weights", whole, "--out", out, "--no-text")
        assert outcome.code == 0, outcome.err
        if rank == 3:
            assert "Process 4 of 4 has no file to read" in outcome.err
        else:
            read += pd.read_parquet(tmp_path / f"faces-{rank + 1}of4.parquet")["source"].tolist()
    assert sorted(read) == sorted(str(images / name) for name in ("2.png", "3.png", "10.jpg"))


def test_a_process_of_torchrun_without_faces_does_not_end_the_others(
    cli, faces, images, tmp_path, monkeypatch
):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    inputs = (images / "2.png", images / "3.png")
    outcome = cli("explain", *inputs, "--weights", faces, "--out", tmp_path / "a.csv", "--no-text")
    assert outcome.code == 0
    assert "Process 2 of 2: Nothing was explained: 1 image skipped" in outcome.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_finished_frames_are_kept_after_ctrl_c_or_sigterm(
    cli, faces, video, tmp_path, monkeypatch, number
):
    read = sources.frames

    def interrupted(files, note):
        for frame in read(files, note):
            yield frame
            if frame.number == 5:
                os.kill(os.getpid(), number)

    monkeypatch.setattr(sources, "frames", interrupted)
    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    out, annotated = tmp_path / "a.csv", tmp_path / "annotated.avi"
    command = ("explain", video, "--weights", faces, "--out", out, "--annotate", annotated)
    outcome = cli(*command, "--batch", 1, "--no-text")
    assert outcome.code == 130
    assert "Stopped early" in outcome.err
    assert "Traceback" not in outcome.err
    assert pd.read_csv(tmp_path / "a.part.csv")["frame"].tolist() == [1, 2, 3, 4, 5]
    assert not out.exists()
    capture = cv2.VideoCapture(str(tmp_path / "annotated.part.avi"))
    assert int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) == 5
    capture.release()
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == before


def test_out_and_annotate_with_one_name_are_refused_before_any_work(cli, whole, images, tmp_path):
    out = tmp_path / "q.csv"
    other = tmp_path / "images ü" / ".." / "q.csv"
    outcome = cli("explain", images, "--weights", whole, "--out", out, "--annotate", other)
    assert outcome.code == 2
    assert "cannot hold both the table (--out) and the annotated images (--annotate)" in outcome.err
    assert not out.exists()


def test_videos_that_cannot_be_opened_are_not_put_down_to_the_detector(cli, faces, tmp_path):
    (tmp_path / "a.avi").write_bytes(b"no video")
    outcome = cli("explain", tmp_path / "a.avi", "--weights", faces)
    assert outcome.code == 1
    assert "Nothing was explained" in outcome.err and "copy these files again" in outcome.err
    assert "--aligned" not in outcome.err


def test_faces_without_a_known_box_are_written_and_annotated(cli, faces, images, tmp_path):
    points = np.random.default_rng(1).uniform(180, 260, (49, 2))
    points[19:25], points[25:31] = (195, 110), (235, 110)
    head = ["source", "frame", *(f"{axis}{at}" for at in range(49) for axis in "xy")]
    row = ["2.png", 1, *points.round(1).ravel()]
    table = tmp_path / "points.csv"
    table.write_text("\n".join(",".join(map(str, cells)) for cells in (head, row)))
    command = ("explain", images / "2.png", "--weights", faces, "--detector", f"csv:{table}")
    for form in ("jsonl", "csv", "parquet"):
        out = tmp_path / f"out.{form}"
        cli.ok(*command, "--no-text", "--out", out, "--annotate", tmp_path / "annotated.png")
    assert json.loads((tmp_path / "out.jsonl").read_text())["box"] is None
    assert pd.read_parquet(tmp_path / "out.parquet")["left"].isna().all()
    assert (tmp_path / "annotated.png").stat().st_size


def test_a_table_of_faces_is_not_used_for_two_files_of_one_name(cli, faces, images, tmp_path):
    (images / "more").mkdir()
    (images / "more" / "2.png").write_bytes((images / "2.png").read_bytes())
    table = tmp_path / "boxes.csv"
    table.write_text("source,frame,left,top,right,bottom\n2.png,1,10,10,90,90\n")
    outcome = cli("explain", images, "--weights", faces, "--detector", f"csv:{table}")
    assert outcome.code == 2
    assert "Two files are named 2.png" in outcome.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("missing.png",), "file or folder does not exist"),
        ((), "Missing argument"),
        (("2.png", "--weights", "none.safetensors"), "no weights file or run"),
        (("2.png", "--detector", "cascad"), "cascade"),
        (("notes.txt",), "neither an image nor a video"),
    ],
)
def test_wrong_usage_is_reported_in_one_message(cli, faces, images, monkeypatch, words, message):
    monkeypatch.chdir(images)
    arguments = words if "--weights" in words else (*words, "--weights", faces)
    outcome = cli("explain", *arguments)
    assert outcome.code == 2
    assert message in outcome.err
    assert "Traceback" not in outcome.err
