"""Protocols at the command line: shown, and others than the shipped ones from a file."""

import csv
import shutil
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from fauds import resources
from fauds.evaluation import results as results_file
from fauds.pipeline import Project
from fauds.synthetic import release
from tests.helpers import small

pytestmark = pytest.mark.usefixtures("quick_tsne")

EXAMPLES = resources.path("benchmarks", "examples")
QUICK = small("training.epochs=1", texts=False)


@pytest.fixture(scope="module")
def bp4d_images(tmp_path_factory):
    """BP4D's layout: three subjects with their images, and every AU in more than one."""
    root = tmp_path_factory.mktemp("made-up") / "bp4d"
    release.write(root, "bp4d", subjects=3, frames=24, seed=2, size=64)
    return root


@pytest.fixture(scope="module")
def disfa_27(tmp_path_factory):
    """DISFA's layout: all 27 subjects, few frames, labels only."""
    root = tmp_path_factory.mktemp("made-up") / "disfa"
    release.write(root, "disfa", frames=30, seed=5, labels_only=True)
    return root


@pytest.fixture(scope="module")
def disfa_images(tmp_path_factory):
    """DISFA's layout: three subjects with their images."""
    root = tmp_path_factory.mktemp("made-up") / "disfa"
    release.write(root, "disfa", subjects=3, frames=20, seed=5, size=64, pictures="images")
    return root


def changed(tmp_path, example, **changes):
    """Write an example with changes to a file of its own."""
    path = tmp_path / "own.yaml"
    values = yaml.safe_load((EXAMPLES / f"{example}.yaml").read_text()) | changes
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    return path


def intensities(root, au):
    """Read an AU's intensities as DISFA's files hold them: by subject and frame."""
    values = {}
    for path in sorted(root.rglob(f"SN*_au{au}.txt")):
        for line in path.read_text().split():
            frame, value = line.split(",")
            values[path.name[:5], int(frame)] = int(value)
    return values


def runs(work, name):
    return sorted((work / name / "runs").iterdir())


def test_the_benchmarks_are_listed_and_described(cli):
    out = cli.ok("bench", "--list")
    assert "Models: au-cues, linear, vlfau" in out
    assert "bp4d  version 2" in out and "disfa  version 2" in out
    out = cli.ok("bench", "--describe", "bp4d")
    assert "146,847" in out
    assert "part 3: F004 F006 F007" in out
    (first,) = (line.split() for line in out.splitlines() if line.split()[:1] == ["1"])
    assert first == ["1", "14", "8", "6", "50,631"]
    out = " ".join(out.split())
    assert "Published F1 of 47 methods: JAA-Net" in out
    on_test = "FMAE-IAT, FMAE, MDHR (ResNet-50), MDHR (Swin-B). Epoch not declared: the other 43."
    assert f"Epoch best on the test part: {on_test}" in out
    assert "Threshold best on the test part: FMAE-IAT, FMAE. Threshold not declared" in out
    out = cli.ok("bench", "--describe", EXAMPLES / "disfa-occurrence-1.yaml")
    assert "a coded intensity of 1 or more" in out
    assert "No published figure" in out
    outcome = cli("bench", "--describe", "bp4")
    assert outcome.code == 2 and "did you mean 'bp4d'" in outcome.err


def test_counts_of_some_subjects_only_are_described_as_far_as_they_go(cli, tmp_path):
    folds = {"name": "two", "parts": {1: ["F001", "F002"], 2: ["M001"]}}
    counts = {"source": "mine", "subjects": 2, "sequences": 9, "frames": 70}
    expected = {**counts, "frames_per_subject": {"F001": 40, "M001": 30}}
    values = {"name": "some", "folds": folds, "expected": expected}
    out = cli.ok("bench", "--describe", changed(tmp_path, "bp4d-leave-one-subject-out", **values))
    parts = [line.split() for line in out.splitlines() if line.split()[:1] in (["1"], ["2"])]
    assert parts == [["1", "2", "2", "0", "-"], ["2", "1", "0", "1", "30"]]


def test_a_file_and_a_name_together_are_refused(cli):
    outcome = cli("split", "--dataset", "bp4d", "--benchmark", EXAMPLES / "disfa-12au.yaml")
    assert outcome.code == 2
    assert "cannot be used together" in outcome.err


def test_a_protocol_of_twelve_disfa_aus_is_known_by_name_after_its_first_use(cli, work, disfa_27):
    out = cli.ok("build-captions", "--benchmark", EXAMPLES / "disfa-12au.yaml", "--root", disfa_27)
    assert "24 distinct descriptions (12 AUs, 2 states)" in out
    out = cli.ok("split", "--dataset", "disfa-12au")
    assert "fold 1 tests part 1 (9 subjects): SN001 SN002" in out
    assert "published-3fold" in out
    frames = pq.read_table(work / "disfa-12au" / "frames.parquet").to_pandas()
    truth = intensities(disfa_27, 20)
    assert len(truth) == len(frames)
    for row in frames.itertuples():
        assert (truth[row.subject, row.frame] >= 2) == row.AU20


def test_occurrence_can_begin_at_a_trace(cli, work, disfa_27):
    file = EXAMPLES / "disfa-occurrence-1.yaml"
    cli.ok("build-captions", "--benchmark", file, "--root", disfa_27)
    frames = pq.read_table(work / "disfa-occurrence-1" / "frames.parquet").to_pandas()
    truth = intensities(disfa_27, 12)
    assert 1 in truth.values()
    for row in frames.itertuples():
        assert (truth[row.subject, row.frame] >= 1) == row.AU12


@pytest.mark.slow
def test_leave_one_subject_out_is_run_from_its_file(cli, work, bp4d_images):
    # The synthetic images are face crops already.
    cli.ok(
        *("prepare", "--benchmark", EXAMPLES / "bp4d-leave-one-subject-out.yaml"),
        *("--root", bp4d_images, "--alignment", "none", "--workers", 1),
    )
    cli.ok("bench", "vlfau", "--dataset", "bp4d-leave-one-subject-out", *QUICK, "--fold", 2)
    (run,) = runs(work, "bp4d-leave-one-subject-out")
    results = results_file.read(run)
    assert results.protocol.folds == "leave-one-subject-out"
    assert results.protocol.test_subjects == {2: ["F004"]}
    assert (results.frames_scored, results.frames_offered) == (24, 72)
    folds = pq.read_table(run / "folds.parquet").to_pydict()
    assert dict(zip(folds["subject"], folds["fold"], strict=True)) == {
        "F001": 1,
        "F004": 2,
        "M002": 3,
    }
    assert "JAA-Net" not in (run / "report.md").read_text()


def test_a_list_of_frames_is_exactly_what_is_offered(cli, work, tmp_path, bp4d_images):
    cli.ok("build-captions", "--dataset", "bp4d", "--root", bp4d_images)
    every = pq.read_table(work / "bp4d" / "frames.parquet").to_pandas()
    listed = every.iloc[5::3]
    with (tmp_path / "list.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["subject", "task", "frame"])
        rows.writerows(zip(listed["subject"], listed["task"], listed["frame"], strict=True))
    frames = {"described": "every third frame", "file": "list.csv"}
    file = changed(tmp_path, "bp4d-leave-one-subject-out", name="bp4d-third", frames=frames)
    command = ("build-captions", "--benchmark", file, "--root", bp4d_images)
    assert f"list.csv lists {len(listed)} frames" in cli.ok(*command)
    offered = pq.read_table(work / "bp4d-third" / "frames.parquet").to_pandas()
    keys = ["subject", "task", "frame", "image", "AU12"]
    assert offered[keys].astype(str).values.tolist() == listed[keys].astype(str).values.tolist()
    assert offered["frame_id"].tolist() == list(range(len(listed)))
    captions = pq.read_table(work / "bp4d-third" / "captions.parquet")
    assert len(captions) == len(listed)
    assert cli.ok(*command).count("(unchanged)") == 2
    assert cli.ok("build-captions", "--dataset", "bp4d-third").count("(unchanged)") == 2
    # The list is part of the protocol: another one needs another version.
    text = (tmp_path / "list.csv").read_text().splitlines()
    (tmp_path / "list.csv").write_text("\n".join(text[:-1]) + "\n")
    outcome = cli(*command)
    assert outcome.code == 1
    assert "version" in outcome.err and "raise the version" in outcome.err


@pytest.mark.slow
def test_trained_on_one_dataset_and_tested_on_another(
    cli, work, tmp_path, bp4d_images, disfa_images
):
    for dataset, root in (("bp4d", bp4d_images), ("disfa", disfa_images)):
        cli.ok(
            *("prepare", "--dataset", dataset, "--root", root),
            *("--alignment", "none", "--workers", 1),
        )
    file = EXAMPLES / "bp4d-to-disfa.yaml"
    outcome = cli("bench", "vlfau", "--benchmark", file, *QUICK)
    assert outcome.code == 1
    assert "alignment: bp4d-to-disfa requires eyes-similarity 1" in outcome.err
    as_they_are = {"name": "none", "version": 1}
    file = changed(tmp_path, "bp4d-to-disfa", version=2, alignment=as_they_are)
    cli.ok("bench", "vlfau", "--benchmark", file, *QUICK, "--fold", 1)
    (run,) = runs(work, "bp4d-to-disfa")
    results = results_file.read(run)
    counted = {
        name: Counter(pq.read_table(work / name / "frames.parquet")["subject"].to_pylist())
        for name in ("bp4d", "disfa")
    }
    assert results.protocol.test_subjects == {1: sorted(counted["disfa"])}
    assert results.protocol.aus == ["AU01", "AU02", "AU04", "AU06", "AU12"]
    assert results.frames_scored == results.frames_offered == counted["disfa"].total()
    assert "bp4d v2: every coded frame" in results.protocol.frame_set
    assert "disfa v2: none 1" in results.protocol.alignment
    members = results.provenance["reading"]
    assert (members["train"]["name"], members["train"]["version"]) == ("bp4d", 2)
    assert members["test"]["occurrence"] == "intensity >= 2"
    predicted = pq.read_table(run / "fold1" / "predictions.parquet").to_pandas()
    assert Counter(predicted["subject"]) == counted["disfa"]
    faces = pq.read_table(work / "bp4d-to-disfa" / "faces.parquet")["path"].to_pylist()
    assert len(faces) > 100
    for path in faces:
        assert (work / "bp4d-to-disfa" / path).is_file()
    statistics = pq.read_table(work / "bp4d-to-disfa" / "fold_statistics.parquet").to_pandas()
    labels = pq.read_table(work / "bp4d" / "frames.parquet")["AU12"].drop_null().to_pylist()
    (row,) = statistics[statistics["au"] == "AU12"].itertuples()
    assert (row.train_frames, row.train_positives) == (len(labels), sum(labels))
    page = (run / "report.html").read_text()
    assert "Trained on BP4D, tested on DISFA" in page
    assert "disfa version 2; occurrence intensity &gt;= 2" in page


def test_synthetic_and_real_faces_are_not_joined(cli, work, tmp_path, bp4d_images, disfa_27):
    """Results of synthetic data show faces and may be passed on; of real data they may not."""
    real = tmp_path / "real"
    shutil.copytree(disfa_27, real)
    (real / "fauds-synthetic.json").unlink()
    cli.ok("build-captions", "--dataset", "bp4d", "--root", bp4d_images)
    cli.ok("build-captions", "--dataset", "disfa", "--root", real)
    outcome = cli("build-captions", "--benchmark", EXAMPLES / "bp4d-to-disfa.yaml")
    assert outcome.code == 1
    assert "bp4d is synthetic and disfa is real" in outcome.err
    assert not (work / "bp4d-to-disfa" / "frames.parquet").exists()


def test_a_later_version_has_its_own_folds_whatever_the_earlier_one_had(
    cli, work, tmp_path, bp4d_images
):
    example = "bp4d-leave-one-subject-out"
    file = changed(tmp_path, example, name="own", folds=None)
    cli.ok("split", "--benchmark", file, "--root", bp4d_images)
    assert set(pq.read_table(work / "own" / "folds.parquet")["protocol"].to_pylist()) == {
        "random-3fold-seed0"
    }
    folds = {"name": "mine", "parts": {1: ["F001", "F004"], 2: ["M002"]}}
    file = changed(tmp_path, example, name="own", version=2, folds=folds)
    project = Project.by_file(work, file, print)
    made = pq.read_table(project.folds_as_made(project.frames()).path).to_pydict()
    assert made["protocol"] == ["mine"] * 3
    assert dict(zip(made["subject"], made["fold"], strict=True)) == {
        "F001": 1,
        "F004": 1,
        "M002": 2,
    }


def test_a_single_subject_leaves_none_to_train_on(cli, bp4d_images):
    file = EXAMPLES / "bp4d-leave-one-subject-out.yaml"
    outcome = cli("split", "--benchmark", file, "--root", bp4d_images, "--subjects", "F001")
    assert outcome.code == 1
    assert "needs at least two subjects, but only F001 was read" in outcome.err


def test_a_joined_protocol_names_the_options_it_does_not_take(cli, tmp_path, bp4d_images):
    file = EXAMPLES / "bp4d-to-disfa.yaml"
    outcome = cli("build-captions", "--benchmark", file)
    assert outcome.code == 2
    assert "The raw files of bp4d have not been read into this workdir yet" in outcome.err
    outcome = cli("build-captions", "--benchmark", file, "--root", bp4d_images)
    assert outcome.code == 2
    assert "joins the tables of bp4d and disfa" in outcome.err
    outcome = cli("bench", "vlfau", "--benchmark", file, "--faces", tmp_path)
    assert outcome.code == 2
    assert "joins two datasets and uses their crops" in outcome.err
    outcome = cli("check", "--benchmark", file, "--root", bp4d_images)
    assert outcome.code == 2
    assert "joins the tables" in outcome.err


def test_a_subject_in_both_datasets_is_refused(cli, tmp_path, bp4d_images):
    values = yaml.safe_load((EXAMPLES / "bp4d-leave-one-subject-out.yaml").read_text())
    for name in ("one", "other"):
        file = Path(tmp_path / f"{name}.yaml")
        file.write_text(yaml.safe_dump(values | {"name": name}))
        cli.ok("build-captions", "--benchmark", file, "--root", bp4d_images)
    pair = {"train": "one", "test": "other", "name": "one-to-other"}
    outcome = cli("build-captions", "--benchmark", changed(tmp_path, "bp4d-to-disfa", **pair))
    assert outcome.code == 1
    assert "one and other have subject ids in common (F001, F004, M002)" in outcome.err
    missing = changed(tmp_path, "bp4d-to-disfa", **pair, aus=["AU12", "AU26"])
    outcome = cli("build-captions", "--benchmark", missing)
    assert outcome.code == 1
    assert "aus: the protocol one lacks AU26" in outcome.err
