"""Datasets of single images from raw files to a report, as users run it on synthetic releases."""

import csv
import json
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from fauds.errors import DataError
from fauds.faces import plan as planning
from fauds.synthetic import release
from fauds.tables import store
from tests.helpers import Cli

ALONE = ("--workers", 1)
CLASSES = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
TINY = (
    "model.backbone.weights=null",
    "model.backbone.args={embed_dim: 16, depths: [1, 1, 1, 1], num_heads: [1, 1, 2, 2]}",
    "model.image_size=56",
    "training.device=cpu",
)


@pytest.fixture
def roots(portrait_roots: dict[str, Path], tmp_path: Path) -> dict[str, Path]:
    """Return copies of releases that a test may change."""
    return {
        like: Path(shutil.copytree(root, tmp_path / "raw" / like))
        for like, root in portrait_roots.items()
    }


def faces(work: Path, name: str) -> pd.DataFrame:
    """Return faces.parquet with the key of every image as its index."""
    frames = store.read_table(work / name / "frames.parquet", ["frame_id", "key"]).to_pandas()
    table = store.read_table(work / name / "faces.parquet").to_pandas()
    return table.merge(frames, on="frame_id").set_index("key")


def points_of(root: Path) -> dict[str, np.ndarray]:
    """Return the points in a table landmarks.csv, [68, 2] by key."""
    with (root / "landmarks.csv").open(newline="") as file:
        return {
            row["source"]: np.array(
                [[float(row[f"{axis}{k}"]) for axis in "xy"] for k in range(68)]
            )
            for row in csv.DictReader(file)
        }


def edit_points(root: Path, key: str, x0: str) -> None:
    """Replace the x of the first point of an image in a table landmarks.csv."""
    path = root / "landmarks.csv"
    lines = [line.split(",") for line in path.read_text().splitlines()]
    next(line for line in lines if line[0] == key)[2] = x0
    path.write_text("\n".join(map(",".join, lines)) + "\n")


def test_images_are_used_as_they_are_or_aligned_by_their_exact_landmarks(cli, work, portrait_roots):
    root = portrait_roots["rafdb"]
    out = cli.ok("prepare", "--dataset", "rafdb", "--root", root, "--alignment", "none", *ALONE)
    assert "by status: aligned 32" in out
    table = faces(work, "rafdb")
    for key in ("train_00007", "test_0003"):
        image = root / f"basic/Image/aligned/{key}_aligned.jpg"
        path = table.path[key]
        assert path.endswith(f"/{key}.jpg")
        assert (work / "rafdb" / path).read_bytes() == image.read_bytes()
    cli.ok("prepare", "--dataset", "rafdb", "--alignment", "eyes-similarity", *ALONE)
    table, points = faces(work, "rafdb"), points_of(root / "basic/Image/aligned")
    for key, row in table.iterrows():
        eyes = np.array([points[key][36:42].mean(0), points[key][42:48].mean(0)])
        assert np.array(row.eyes).reshape(2, 2) == pytest.approx(eyes, abs=1e-3)
        transform = np.array(row["transform"]).reshape(2, 3)
        moved = eyes @ transform[:, :2].T + transform[:, 2]
        assert moved == pytest.approx(np.array([[87.5, 80.0], [167.5, 80.0]]), abs=0.01)
        assert cv2.imread(str(work / "rafdb" / row.path)).shape == (256, 256, 3)
    assert not table.jump.any()


@pytest.mark.parametrize("like", ["affectnet", "affectnet-csv"])
def test_both_forms_of_affectnet_are_aligned_by_their_own_points(cli, work, portrait_roots, like):
    where = ("--dataset", "affectnet", "--root", portrait_roots[like])
    out = cli.ok("prepare", *where, *ALONE)
    labels = store.row_count(work / "affectnet/frames.parquet")
    assert f"frames with a crop: {labels} of {labels}" in out
    assert "landmarks: 68 points of 32 images" in out
    table = faces(work, "affectnet")
    assert all("/images-0000/" in path for path in table.path)
    assert set(table.landmarks) == {{"affectnet": "affectnet-npy"}.get(like, like)}
    assert "(unchanged)" in cli.ok("prepare", "--dataset", "affectnet", *ALONE)


def test_original_images_are_cropped_by_the_releases_own_boxes_and_eyes(cli, work, roots):
    root = roots["rafdb"]
    for folder in ("aligned", "original"):
        (root / "basic/Image" / folder / "landmarks.csv").unlink()
    where = ("--dataset", "rafdb", "--root", root, "--images", "basic/Image/original", *ALONE)
    cli.ok("prepare", *where, "--alignment", "bbox-5")
    for key, row in faces(work, "rafdb").iterrows():
        text = (root / f"basic/Annotation/boundingbox/{key}_boundingbox.txt").read_text()
        x0, y0, x1, y1 = map(float, text.split())
        a, _, c, _, e, f = row["transform"]
        margin = np.array([(x1 - x0), (y1 - y0)]) * 0.05
        corner = np.array([x0, y0]) - margin
        assert [a * corner[0] + c, e * corner[1] + f] == pytest.approx([-0.5, -0.5], abs=1e-6)
    cli.ok("prepare", *where, "--alignment", "eyes-similarity")
    assert faces(work, "rafdb").path.notna().all()
    refused = cli("prepare", *where, "--alignment", "jaa")
    assert refused.code == 1 and "the release holds only 5 of a face" in refused.err
    aligned = cli("prepare", "--dataset", "rafdb", "--root", root, "--alignment", "jaa", *ALONE)
    refused = cli(
        "prepare", *where[:4], "--images", "basic/Image/aligned", "--alignment", "jaa", *ALONE
    )
    assert aligned.code == refused.code == 1 and "the release has none" in refused.err


def test_images_of_no_sequence_are_cropped_in_portions(cli, work, portrait_roots, monkeypatch):
    where = ("--dataset", "affectnet", "--root", portrait_roots["affectnet"])
    cli.ok("prepare", *where, *ALONE)
    before = faces(work, "affectnet")
    crops = {key: (work / "affectnet" / path).read_bytes() for key, path in before.path.items()}
    shutil.rmtree(work / "affectnet/faces")
    (work / "affectnet/faces.parquet").unlink()
    monkeypatch.setattr(planning, "PORTION", 10)
    cli.ok("prepare", *where, *ALONE)
    table = faces(work, "affectnet")
    folders = {path.split("/")[-2] for path in table.path}
    assert folders == {f"images-000{n}" for n in range(-(-len(table) // 10))}
    for key, path in table.path.items():
        assert (work / "affectnet" / path).read_bytes() == crops[key]


def test_crops_that_replace_those_of_the_same_keys_need_no_space(cli, work, roots, monkeypatch):
    where = ("--dataset", "affectnet", "--root", roots["affectnet"], *ALONE)
    cli.ok("prepare", *where)
    image = roots["affectnet"] / "train_set/images/3.jpg"
    image.write_bytes(image.read_bytes() + b"\0")
    usage = shutil.disk_usage(work)._replace(free=0)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    assert "(unchanged)" not in cli.ok("prepare", *where)
    (work / "affectnet" / faces(work, "affectnet").path["train/3"]).unlink()
    refused = cli("prepare", *where)
    assert refused.code == 1 and "for 1 crops are needed" in refused.err


def test_a_landmark_outside_its_image_is_flagged_and_the_crop_is_kept(cli, work, roots):
    edit_points(roots["rafdb"] / "basic/Image/aligned", "train_00005", "-7.5")
    where = ("--dataset", "rafdb", "--root", roots["rafdb"], *ALONE)
    out = cli.ok("prepare", *where, "--alignment", "bbox-5")
    assert "flagged, landmarks reach out of the image (outside): 1 frames" in out
    table = faces(work, "rafdb")
    assert table.index[table.outside].tolist() == ["train_00005"]
    assert table.path.notna().all()


def test_wrong_landmarks_are_an_error_that_names_the_line(cli, roots):
    folder = roots["rafdb"] / "basic/Image/aligned"
    edit_points(folder, "train_00005", "left")
    where = ("--dataset", "rafdb", "--root", roots["rafdb"], *ALONE)
    wrong = cli("prepare", *where, "--alignment", "bbox-5")
    assert wrong.code == 1 and "'left' is not a number" in wrong.err
    assert f"{folder}/landmarks.csv:6" in wrong.err.replace("\n", "")


def test_images_that_are_missing_broken_or_without_a_face_are_counted_and_others_kept(
    cli, work, roots
):
    images = roots["affectnet"] / "train_set/images"
    cv2.imwrite(str(images / "3.jpg"), np.full((64, 64, 3), 90, np.uint8))
    (images / "4.jpg").write_bytes(b"no image")
    (images / "5.jpg").unlink()
    where = ("--dataset", "affectnet", "--root", roots["affectnet"], *ALONE)
    options = ("--alignment", "bbox-5", "--detector", "cascade")
    out = cli.ok("prepare", *where, *options)
    status = faces(work, "affectnet").status
    assert status["train/3"] == "no face"
    assert (status["train/4"], status["train/5"]) == ("unreadable", "no picture")
    assert "images that are missing: 1 (train/5)" in out
    assert "images that cannot be read: train/4 (" in out
    assert "unknown subject loses" in out
    assert (status == "detected").sum() > 20
    before = {path: path.stat().st_mtime_ns for path in work.rglob("faces/**/*.jpg")}
    assert "(unchanged)" in cli.ok("prepare", *where, *options)
    assert {path: path.stat().st_mtime_ns for path in work.rglob("faces/**/*.jpg")} == before


@pytest.mark.parametrize("ending", ["", "_aligned.jpg"])
def test_a_table_of_landmarks_is_also_a_detector(cli, work, portrait_roots, tmp_path, ending):
    root = portrait_roots["rafdb"]
    table = (root / "basic/Image/aligned/landmarks.csv").read_text()
    (tmp_path / "points.csv").write_text(table.replace(",1,", f"{ending},1,"))
    detector = f"csv:{tmp_path / 'points.csv'}"
    where = ("--dataset", "rafdb", "--root", root, *ALONE)
    cli.ok("prepare", *where, "--alignment", "eyes-similarity")
    own = faces(work, "rafdb")
    cli.ok("prepare", *where, "--alignment", "eyes-similarity", "--detector", detector)
    detected = faces(work, "rafdb")
    assert set(detected.status) == {"detected"}
    for key in own.index:
        assert detected["transform"][key] == pytest.approx(own["transform"][key], abs=1e-3)


def test_landmarks_of_neighbours_are_refused_for_single_images(cli, portrait_roots):
    where = ("--dataset", "affectnet", "--root", portrait_roots["affectnet"], *ALONE)
    refused = cli("prepare", *where, "--without-landmarks", "neighbours")
    assert refused.code == 2 and "this dataset has single images" in refused.err


def test_a_list_names_single_images_by_their_keys(cli, work, portrait_roots, tmp_path):
    listed = tmp_path / "mine.txt"
    listed.write_text("key\ntrain_00002\ntest_0001.jpg\ntrain_99999.jpg 5\n")
    where = ("--dataset", "rafdb", "--root", portrait_roots["rafdb"], *ALONE)
    out = cli.ok("prepare", *where, "--alignment", "none", "--frames", listed)
    assert "mine.txt lists 3 images, of which 2 are in this dataset" in out
    cropped = faces(work, "rafdb").path.dropna()
    assert set(cropped.index) == {"train_00002", "test_0001"}
    listed.write_text("train_00002\ntrain_00002\n")
    refused = cli("prepare", *where, "--alignment", "none", "--frames", listed)
    assert refused.code == 1 and "train_00002 is listed twice" in refused.err
    listed.write_text("F001/T1/3\n")
    refused = cli("prepare", *where, "--alignment", "none", "--frames", listed)
    assert refused.code == 1 and "None of the images" in refused.err


def test_check_says_what_a_release_holds_and_what_is_missing(cli, roots):
    out = cli.ok("check", "--dataset", "rafdb", "--root", roots["rafdb"])
    assert "labels: 32 images, 24 train, 8 test" in out
    assert "24 train images where 12,271 are published" in out
    assert "build-captions" not in out and "missing: nothing" in out
    root = roots["affectnet"]
    codes = {
        f"{path.parts[-3].removesuffix('_set')}/{path.name.removesuffix('_exp.npy')}": int(
            np.load(path)
        )
        for path in root.glob("*_set/annotations/*_exp.npy")
    }
    # Contempt is no class of the protocol.
    keys = [key for key, code in codes.items() if code != 7]
    lost = sorted(key for key in keys if key.startswith("val/"))[:3]
    for key in lost:
        (root / f"val_set/images/{key[4:]}.jpg").unlink()
    (root / f"val_set/annotations/{lost[0][4:]}_lnd.npy").unlink()
    out = cli.ok("check", "--dataset", "affectnet", "--root", root)
    total = len(keys)
    assert f"frames with an image: {total - 3} of {total}\n" in out
    assert f"frames without an image: 3 ({', '.join(lost)}); copy images beside" in out
    known = f"{total - 1} of {total} ({100 * (total - 1) / total:.1f} %), counted by file names\n"
    assert f"frames with landmarks: {known}" in out
    assert "the first image train/1: 64 x 64 pixels" in out
    assert "sequence" not in out and "images-0000" not in out


@pytest.mark.parametrize("portion", [10, 4096])
def test_check_counts_the_lines_of_a_list_that_have_landmarks(cli, roots, monkeypatch, portion):
    monkeypatch.setattr(planning, "PORTION", portion)
    root = roots["affectnet-csv"]
    own = ("--dataset", "affectnet", "--root", root)
    kept = 0
    for path in (root / "Manually_Annotated_file_lists").iterdir():
        head, *rows = [line.split(",") for line in path.read_text().splitlines()]
        for at, row in enumerate(rows):
            # The first portion of ten images has no landmarks.
            if path.name == "training.csv" and at < 12:
                row[5] = ""
            kept += bool(row[5]) and row[6] != "7"
        path.write_text("\n".join(",".join(row) for row in (head, *rows)) + "\n")
    out = cli.ok("check", *own)
    total = int(re.search(r"frames with an image: (\d+) of", out)[1])
    share = f"{100 * kept / total:.1f} %"
    assert (
        f"frames with landmarks: {kept} of {total} ({share}), counted by lines of text files\n"
        in out
    )
    assert "sequence" not in out
    for path in (root / "Manually_Annotated_file_lists").iterdir():
        head, *rows = [line.split(",") for line in path.read_text().splitlines()]
        rows = [[*row[:5], "", *row[6:]] for row in rows]
        path.write_text("\n".join(",".join(row) for row in (head, *rows)) + "\n")
    out = cli.ok("check", *own)
    missing = out.split("missing:")[1]
    assert f"frames with landmarks: 0 of {total} (0.0 %); the release has 68 points" in missing
    assert "sequence" not in out


def test_the_split_of_the_release_is_the_only_fold(cli, work, portrait_roots):
    out = cli.ok("split", "--dataset", "affectnet", "--root", portrait_roots["affectnet"])
    assert "fold 1 tests part 1, the release's own part: test" in out
    assert "the subjects are not known: the same person may be in both parts" in out
    assert "frames of part k that are of the expression" in out
    folds = store.read_table(work / "affectnet/folds.parquet").to_pandas()
    assert dict(zip(folds.subject, folds.fold, strict=True)) == {"train": 0, "test": 1}
    assert set(folds.protocol) == {"release"}
    refused = cli("split", "--dataset", "affectnet", "--method", "random")
    assert refused.code == 1 and "keep the images of a person together" in refused.err
    out = cli.ok("split", "--dataset", "rafdb", "--root", portrait_roots["rafdb"])
    assert "fold 1 tests part 1 (2 subjects): P5 P6" in out
    assert "trained on: 4 subjects" in out


def test_crops_that_belong_to_no_image_or_twice_to_one_are_an_error(
    cli, work, portrait_roots, tmp_path
):
    import fauds

    root = portrait_roots["affectnet"]
    cli.ok("split", "--dataset", "affectnet", "--root", root)
    dataset = fauds.open(work / "affectnet")
    crops = tmp_path / "crops"

    def refused(folder: Path) -> DataError:
        with pytest.raises(DataError) as caught:
            dataset.torch(fold=1, part="train", faces=folder)
        assert caught.value.where.startswith(str(folder))
        return caught.value

    assert refused(crops).what == "The folder of crops does not exist."
    shutil.copytree(root / "train_set/images", crops)
    error = refused(crops)
    assert error.what == "No image in this folder has the name of a coded frame."
    assert error.hint == "name the images by the keys of the frames, such as train/1.jpg"
    shutil.copytree(root / "train_set/images", crops / "train")
    assert dataset.torch(fold=1, part="train", faces=crops)[0]["key"] == "train/1"
    shutil.copyfile(crops / "train/2.jpg", crops / "train/2.png")
    assert (
        refused(crops).what == "train/2.jpg and train/2.png are both image train/2 of this folder."
    )


def test_captions_describe_action_units_only(cli, portrait_roots):
    refused = cli("build-captions", "--dataset", "rafdb", "--root", portrait_roots["rafdb"])
    assert refused.code == 2 and "captions describe action units" in refused.err


def newest(work: Path, name: str) -> Path:
    return max((work / name / "runs").iterdir(), key=lambda run: run.stat().st_mtime_ns)


@pytest.fixture(scope="module")
def larger_roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return releases of nine people, with every expression in the training part."""
    folder = tmp_path_factory.mktemp("larger")
    for like in ("rafdb", "affectnet"):
        release.write(folder / like, like, subjects=9, frames=12, seed=2, size=64)
    return {like: folder / like for like in ("rafdb", "affectnet")}


@pytest.fixture(scope="module")
def trained(
    larger_roots: dict[str, Path], quick_tsne: None, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return a workdir with a run of linear on RAF-DB's layout, and two on AffectNet's."""
    work = tmp_path_factory.mktemp("expressions") / "work"
    changes = [word for change in TINY for word in ("--set", change)]
    with pytest.MonkeyPatch.context() as patch:
        cli = Cli(patch, None)
        for name, seed, epochs in (("rafdb", 0, 1), ("affectnet", 0, 1), ("affectnet", 1, 2)):
            where = ("--dataset", name, "--root", larger_roots[name], "--workdir", work)
            own = ("--set", f"training.seed={seed}", "--set", f"training.epochs={epochs}")
            cli.quietly("bench", "linear", "--preset", "tiny", *where, *changes, *own)
    return work


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rafdb", "affectnet"])
def test_the_figures_of_a_run_equal_a_plain_computation(trained, name):
    run = sorted((trained / name / "runs").iterdir())[0]
    results = json.loads((run / "results.json").read_text())
    classes = results["protocol"]["aus"]
    frames = store.read_table(trained / name / "frames.parquet").to_pandas().set_index("key")
    predicted = store.read_table(run / "fold1/predictions.parquet").to_pandas().set_index("key")
    assert set(predicted.index) == set(frames.index[frames.split == "test"])
    truth = frames.expression[predicted.index].to_numpy()
    decided = predicted[classes].to_numpy().argmax(axis=1)
    summary = results["summary"]
    assert summary["accuracy"] == pytest.approx((truth == decided).mean())
    recall = metrics.recall_score(
        truth, decided, labels=np.unique(truth), average="macro", zero_division=0
    )
    f1 = metrics.f1_score(truth, decided, labels=np.unique(truth), average="macro", zero_division=0)
    assert (summary["recall"], summary["f1"]) == pytest.approx((recall, f1))
    shares = frames.expression[frames.split == "train"].value_counts(normalize=True)
    assert summary["majority_accuracy"] == pytest.approx((truth == shares.idxmax()).mean())
    prior = sum(shares.get(label, 0) for label in truth) / len(truth)
    assert summary["prior_accuracy"] == pytest.approx(prior)
    counts = results["subject_counts"]["folds"]["1"]
    total = np.sum([[by_name[c] for c in classes] for by_name in counts.values()], axis=0)
    expected = metrics.confusion_matrix(truth, decided, labels=range(len(classes)))
    assert total.tolist() == expected.tolist()
    unit = {"rafdb": "subject", "affectnet": "image"}[name]
    assert results["uncertainty"]["unit"] == unit
    assert list(counts) == {"rafdb": ["P7", "P8", "P9"], "affectnet": ["test"]}[name]


@pytest.mark.slow
def test_the_reports_show_the_confusion_matrix_and_say_that_people_may_repeat(trained, cli):
    run = sorted((trained / "affectnet/runs").iterdir())[0]
    page, text = ((run / f"report.{kind}").read_text() for kind in ("html", "md"))
    for report in (page, text):
        assert "Confusion matrix" in report
        for word in ("action unit", "always active"):
            assert word not in report.lower()
    assert "people may repeat" in page
    assert "95 % interval over images" in text
    assert "Published" not in page
    out = cli.ok("results", "--dataset", "affectnet", "--workdir", trained)
    assert "accuracy %" in out and "F1 %" not in out


@pytest.mark.slow
def test_two_models_are_compared_image_by_image(trained, cli):
    first, second = (run.name for run in sorted((trained / "affectnet/runs").iterdir())[:2])
    where = ("--dataset", "affectnet", "--workdir", trained)
    out = cli.ok("compare", first, second, *where)
    assert "paired by image: subjects are not known, and people may repeat" in out
    frames = store.read_table(trained / "affectnet/frames.parquet").to_pandas().set_index("key")
    right = []
    for run in (first, second):
        folder = trained / "affectnet/runs" / run
        classes = json.loads((folder / "results.json").read_text())["protocol"]["aus"]
        table = store.read_table(folder / "fold1/predictions.parquet").to_pandas().set_index("key")
        decided = table[classes].to_numpy().argmax(axis=1)
        right.append(100 * (frames.expression[table.index].to_numpy() == decided).mean())
    a, b = right
    row = next(line for line in out.splitlines() if line.startswith(" overall"))
    assert row.split()[1:4] == [f"{a:.1f}", f"{b:.1f}", f"{a - b:+.1f}"]
    table = cli.ok("report", first, second, *where, "--latex")
    assert "95 \\% intervals over images" in table


@pytest.mark.slow
def test_predictions_of_another_program_are_scored_by_their_keys(trained, cli, tmp_path):
    for name in ("rafdb", "affectnet"):
        run = sorted((trained / name / "runs").iterdir())[0]
        table = store.read_table(run / "fold1/predictions.parquet").to_pandas()
        classes = json.loads((run / "results.json").read_text())["protocol"]["aus"]
        file = tmp_path / f"{name}.csv"
        table[["key", *classes]].to_csv(file, index=False)
        cli.ok("score", file, "--dataset", name, "--workdir", trained, "--name", "again")
        scored = json.loads((newest(trained, name) / "results.json").read_text())
        before = json.loads((run / "results.json").read_text())
        assert scored["frames_fingerprint"] == before["frames_fingerprint"]
        for metric, value in scored["summary"].items():
            assert value == pytest.approx(before["summary"][metric])
        table[["key", *classes]][1:].to_csv(file, index=False)
        refused = cli("score", file, "--dataset", name, "--workdir", trained)
        assert refused.code == 1 and "have no prediction" in refused.err
        shutil.rmtree(newest(trained, name))


@pytest.mark.slow
def test_crops_of_another_program_are_found_by_their_keys(trained, cli, larger_roots, tmp_path):
    """The images of the release, under the names of their keys, give the run's own figures."""
    run = sorted((trained / "rafdb/runs").iterdir())[0]
    for path in (larger_roots["rafdb"] / "basic/Image/aligned").glob("*.jpg"):
        shutil.copyfile(path, tmp_path / path.name.replace("_aligned", ""))
    changes = [word for change in TINY for word in ("--set", change)]
    where = ("--dataset", "rafdb", "--workdir", trained, "--faces", tmp_path)
    cli.ok("bench", "linear", "--preset", "tiny", *where, *changes, "--set", "training.epochs=1")
    again = newest(trained, "rafdb")
    old, new = (json.loads((one / "results.json").read_text()) for one in (run, again))
    assert new["summary"] == pytest.approx(old["summary"])
    shutil.rmtree(again)


@pytest.mark.slow
def test_python_opens_the_images_of_either_part(trained):
    import fauds

    dataset = fauds.open(trained / "affectnet")
    frames = dataset.frames
    for part in ("train", "test"):
        samples = dataset.torch(fold=1, part=part, image_size=56)
        keys = frames.key[frames.split == part].tolist()
        assert [samples[row]["key"] for row in range(len(samples))] == keys
        assert int(samples[0]["labels"]) == frames.expression[frames.split == part].iloc[0]


@pytest.mark.slow
def test_weights_of_expressions_explain_an_image(trained, cli, larger_roots, tmp_path):
    run = sorted((trained / "affectnet/runs").iterdir())[0]
    image = larger_roots["affectnet"] / "val_set/images/1.jpg"
    out = tmp_path / "explained.jsonl"
    cli.ok("explain", image, "--weights", run, "--aligned", "--out", out)
    explained = json.loads(out.read_text().splitlines()[0])
    assert set(explained["aus"]) == {*CLASSES}
    assert sum(explained["aus"].values()) == pytest.approx(1, abs=1e-3)


@pytest.mark.slow
def test_an_exported_model_of_expressions_is_described_by_its_classes(trained, cli, tmp_path):
    run = sorted((trained / "affectnet/runs").iterdir())[0]
    out = cli.ok("export", run, "--out", tmp_path / "model.onnx")
    classes = json.loads((run / "results.json").read_text())["protocol"]["aus"]
    assert f"expressions: {', '.join(classes)}\n" in out
    assert "action unit" not in out
