"""The commands as a user runs them, on synthetic releases."""

import json
import shutil
import subprocess
import sys
import time

import numpy as np
import pyarrow.parquet as pq
import pytest

from fauds import resources
from fauds.errors import DataError
from fauds.evaluation import results as results_file
from fauds.pipeline import Project
from fauds.pipeline.workspace import Step
from fauds.protocols import benchmark as protocols
from fauds.report.markdown import write_report
from fauds.tables import store
from fauds.training import checkpoint
from tests.helpers import small

pytestmark = pytest.mark.usefixtures("quick_tsne")


def test_help_is_quick_and_loads_nothing_heavy():
    code = (
        "import sys; sys.argv = ['fauds', '--help']\n"
        "try:\n    import fauds.__main__; from fauds.cli.main import main; main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'spacy', 'pandas', 'numpy', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "build-captions" in done.stdout
    assert done.stdout.endswith("[]\n")


@pytest.mark.slow
def test_synth_then_captions_then_folds(cli, tmp_path, work):
    raw = tmp_path / "rÄw data"
    cli.ok("synth", raw, "--like", "bp4d", "--frames", 24, "--seed", 2, "--labels-only")
    out = cli.ok("build-captions", "--dataset", "bp4d", "--root", raw)
    assert "984 frames of 41 subjects, synthetic" in out
    assert "local: 24 distinct descriptions" in out
    frames = pq.read_table(work / "bp4d" / "frames.parquet").to_pandas()
    captions = pq.read_table(work / "bp4d" / "captions.parquet").to_pandas()
    assert (frames["frame_id"] == captions["frame_id"]).all()
    assert captions.groupby(frames["AU12"])["AU12"].nunique().tolist() == [1, 1]
    women = captions["face"][frames["sex"] == "F"]
    assert women.str.startswith("A woman's ").all()
    out = cli.ok("split", "--dataset", "bp4d", "--folds", 3)
    assert "fold 1 tests part 1 (14 subjects): F001 F002 F008 F009" in out
    assert "published-3fold" in out


@pytest.mark.slow
def test_steps_are_not_repeated_until_an_input_changes(cli, tmp_path, work):
    raw = tmp_path / "raw"
    cli.ok("synth", raw, "--like", "disfa", "--frames", 30, "--labels-only")
    command = ("build-captions", "--dataset", "disfa", "--root", raw)
    assert "(unchanged)" not in cli.ok(*command)
    tables = [work / "disfa" / f"{name}.parquet" for name in ("frames", "captions", "phrases")]
    stamps = [table.stat().st_mtime_ns for table in tables]
    assert cli.ok(*command).count("(unchanged)") == 2
    assert cli.ok("build-captions", "--dataset", "disfa").count("(unchanged)") == 2
    assert [table.stat().st_mtime_ns for table in tables] == stamps
    label = next(raw.glob("ActionUnit_Labels/SN001/SN001_au12.txt"))
    lines = label.read_text().splitlines()
    lines[3] = lines[3].split(",")[0] + ("," + "0" if lines[3].endswith("5") else ",5")
    label.write_text("\n".join(lines) + "\n")
    assert "(unchanged)" not in cli.ok(*command)
    assert tables[1].stat().st_mtime_ns > stamps[1]


@pytest.mark.slow
def test_tables_are_kept_when_the_raw_files_are_moved(cli, tmp_path, work):
    raw = tmp_path / "raw"
    cli.ok("synth", raw, "--like", "bp4d", "--frames", 16, "--labels-only")
    cli.ok("build-captions", "--dataset", "bp4d", "--root", raw)
    shutil.rmtree(raw)
    outcome = cli("split", "--dataset", "bp4d")
    assert outcome.code == 0
    assert "does not exist any more" in outcome.err


@pytest.fixture(scope="module")
def finished(six_run, tmp_path_factory):
    """A finished small bench on six synthetic subjects and random folds: workdir and run folder."""
    work = shutil.copytree(six_run, tmp_path_factory.mktemp("bench") / "work")
    (result,) = (work / "bp4d" / "runs").iterdir()
    return work, result


@pytest.mark.slow
def test_a_bench_scores_every_frame_once_by_a_model_that_never_saw_its_subject(finished):
    work, run = finished
    frames = pq.read_table(work / "bp4d" / "frames.parquet").to_pandas()
    folds = pq.read_table(run / "folds.parquet").to_pandas().set_index("subject")["fold"]
    predictions = [
        pq.read_table(path).to_pandas() for path in sorted(run.glob("fold*/predictions.parquet"))
    ]
    ids = np.concatenate([table["frame_id"] for table in predictions])
    assert sorted(ids) == frames["frame_id"].tolist()
    for table in predictions:
        assert (table["fold"] == table["subject"].astype(str).map(folds)).all()
        assert table["AU12"].between(0, 1).all()


@pytest.mark.slow
def test_results_are_those_of_a_plain_computation_from_the_predictions(finished):
    work, run = finished
    frames = pq.read_table(work / "bp4d" / "frames.parquet").to_pandas().set_index("frame_id")
    results = results_file.read(run)
    per_fold = []
    for fold in (1, 2):
        table = pq.read_table(run / f"fold{fold}" / "predictions.parquet").to_pandas()
        scores = []
        for au in results.protocol.aus:
            tp = fp = fn = 0
            for frame, probability in zip(table["frame_id"], table[au], strict=True):
                true, predicted = frames.loc[frame, au] == 1, probability >= 0.5
                tp, fp, fn = (
                    tp + (true and predicted),
                    fp + (predicted and not true),
                    fn + (true and not predicted),
                )
            f1 = 2 * tp / (2 * tp + fp + fn) if tp + fn else None
            assert results.value("f1", "fold", au, fold) == (f1 and pytest.approx(f1))
            scores += [f1] if f1 is not None else []
        per_fold.append(sum(scores) / len(scores))
    assert results.summary["f1"] == pytest.approx(sum(per_fold) / 2)
    assert results.frames_scored == results.frames_offered == len(frames)
    assert results.synthetic
    assert 0 <= results.summary["local_word_top5"] <= 1
    assert results.value("local_word_top5_no_image", "mean_of_folds") == 1


@pytest.mark.slow
def test_the_report_shows_faces_words_and_provenance_and_nothing_published(finished):
    _, run = finished
    report = (run / "report.md").read_text()
    results = json.loads((run / "results.json").read_text())
    assert "Synthetic faces" in report
    assert "Published" not in report
    assert "JAA-Net" not in report
    assert results["frames_fingerprint"] in report
    assert results["command"] in report
    images = [line for line in report.splitlines() if line.startswith("![")]
    assert len(images) == 6
    for line in images:
        assert (run / line[line.index("(") + 1 : -1]).stat().st_size > 500
    assert "None" not in report
    assert " nan" not in report


@pytest.mark.slow
def test_a_finished_run_is_not_trained_again_and_a_stopped_one_goes_on(finished, cli):
    work, run = finished
    before = {p: p.stat().st_mtime_ns for p in run.glob("fold*/weights.safetensors")}
    command = ("bench", "vlfau", "--dataset", "bp4d", "--workdir", work, "--resume", run.name)
    first = results_file.read(run)
    (run / "results.json").unlink()
    (run / "fold2" / "predictions.parquet").unlink()
    out = cli.ok(*command)
    assert "report.md" in out
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert results_file.read(run).metrics == first.metrics


@pytest.mark.slow
def test_the_log_goes_to_tensorboard_too_where_asked_for(finished, cli, tmp_path):
    work, _ = finished
    copied = shutil.copytree(work, tmp_path / "copy", ignore=shutil.ignore_patterns("runs"))
    common = ("--dataset", "bp4d", "--workdir", copied, "--fold", 2)
    outcome = cli("bench", "vlfau", *common, *small(texts=False), "--log", "tensorboard")
    assert outcome.code == 0, outcome.err
    assert "fold 2, epoch 2 of 2: loss " in outcome.err
    (run,) = (copied / "bp4d" / "runs").iterdir()
    assert list((run / "fold2" / "tensorboard").glob("events.*"))
    assert len((run / "fold2" / "log.jsonl").read_text().splitlines()) >= 2


@pytest.mark.slow
def test_weights_of_another_fold_or_preset_do_not_pass_for_a_runs_own(finished, cli, tmp_path):
    work, run = finished
    copied = shutil.copytree(work, tmp_path / "copy")
    fold = copied / "bp4d" / "runs" / run.name / "fold2"
    (fold / "predictions.parquet").unlink()
    tensors, meta = checkpoint.load(fold / "weights.safetensors")
    changed = {**meta, "aus": meta["aus"][::-1], "benchmark_version": 77}
    checkpoint.save(fold / "weights.safetensors", tensors, changed)
    outcome = cli(
        "bench", "linear", *("--dataset", "bp4d", "--workdir", copied), "--resume", run.name
    )
    assert outcome.code == 2
    assert f"{run.name} is a run of vlfau, not of linear" in outcome.err
    outcome = cli("bench", "--dataset", "bp4d", "--workdir", copied, "--resume", run.name)
    assert outcome.code == 1
    assert "fold2/weights.safetensors" in outcome.err
    assert "benchmark_version: the file has 77" in outcome.err
    assert "aus" in outcome.err


@pytest.mark.slow
def test_a_run_is_not_resumed_on_other_tables(finished, cli, tmp_path):
    work, run = finished
    copied = shutil.copytree(work, tmp_path / "copy")
    common = ("--dataset", "bp4d", "--workdir", copied)
    templates = tmp_path / "templates"
    (templates / "en").mkdir(parents=True)
    (templates / "en" / "local.j2").write_text("{{ fragments | join(' Also: ') }}")
    cli.ok("build-captions", *common, "--templates", templates)
    outcome = cli("bench", *common, "--resume", run.name)
    assert outcome.code == 1
    assert "captions changed since" in outcome.err


@pytest.mark.slow
def test_face_crops_of_another_program_replace_the_images(finished, six_root, cli, tmp_path):
    work, _ = finished
    frames = pq.read_table(work / "bp4d" / "frames.parquet").to_pandas()
    crops = tmp_path / "crops"
    left_out = 0
    for row in frames.itertuples():
        if row.subject == "F001" and left_out < 3:
            left_out += 1
            continue
        name = crops / row.subject / row.task / f"{row.frame:05d}.jpg"
        name.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(six_root / row.image, name)
    common = ("--dataset", "bp4d", "--workdir", work)
    quick = small("training.epochs=1", texts=False)
    cli.ok("bench", "vlfau", *common, *quick, "--faces", crops, "--fold", 1)
    newest = max((work / "bp4d" / "runs").iterdir(), key=lambda path: path.stat().st_mtime)
    results = results_file.read(newest)
    assert results.frames_without_image == {"F001": 3}
    assert results.folds == [1]
    assert "crops made elsewhere" in results.protocol.alignment
    assert "F001 3" in (newest / "report.md").read_text()


@pytest.mark.slow
def test_real_data_stands_beside_the_published_rows_and_shows_no_face(finished, tmp_path):
    _, run = finished
    results = results_file.read(run)
    tested = {k: sorted(part) for k, part in protocols.benchmark("bp4d").folds.parts.items()}
    own = {"folds": "published-3fold", "test_subjects": tested}
    protocol = results.protocol.model_copy(update=own)
    third = [row.model_copy(update={"fold": 3}) for row in results.metrics if row.fold == 2]
    changes = {"synthetic": False, "protocol": protocol, "metrics": [*results.metrics, *third]}
    # The counts are of the six synthetic subjects, not of the protocol's.
    changes["subject_counts"] = None
    real = results.model_copy(update=changes)

    def report(results):
        results_file.write(tmp_path, results)
        return write_report(tmp_path).read_text()

    text = report(real)
    assert "JAA-Net" in text
    assert "this run (vlfau tiny)" in text
    assert "146,607 frames fewer than published" in text
    assert "![" not in text
    for other in (
        {"synthetic": True},
        {"benchmark_version": 99},
        {"protocol": protocol.model_copy(update={"folds": "random-3fold-seed0"})},
        {"protocol": protocol.model_copy(update={"test_subjects": {1: tested[1], 2: tested[2]}})},
        {"protocol": protocol.model_copy(update={"test_subjects": tested | {3: ["F001"]}})},
    ):
        assert "JAA-Net" not in report(real.model_copy(update=other))


@pytest.mark.slow
def test_tables_are_made_again_as_they_were_not_as_the_default_is(cli, tmp_path, work):
    raw = tmp_path / "raw"
    cli.ok("synth", raw, "--like", "bp4d", "--subjects", 4, "--frames", 16)
    common = ("--dataset", "bp4d")
    out = cli.ok("build-captions", *common, "--root", raw, "--style", "composed")
    assert "distinct descriptions (12 AUs, 2 states, up to 4 neighbours)" in out
    cli.ok("split", *common, "--method", "random", "--folds", 2, "--seed", 9)
    before = pq.read_table(work / "bp4d" / "folds.parquet")
    moved = raw.rename(tmp_path / "moved")
    (work / "bp4d" / "phrases.parquet").unlink()
    changes = small("training.epochs=1", texts=False)
    cli.ok("bench", "vlfau", *common, "--root", moved, *changes)
    assert pq.read_table(work / "bp4d" / "folds.parquet").equals(before)
    assert (work / "bp4d" / "phrases.parquet").exists()
    assert store.read_meta(work / "bp4d" / "captions.parquet")["settings"]["style"] == "composed"


@pytest.fixture
def spoilt(cli, tmp_path, work, monkeypatch):
    """A function that builds captions with these options; then come other shipped templates."""
    raw = tmp_path / "raw"
    cli.ok("synth", raw, "--like", "bp4d", "--subjects", 4, "--frames", 16, "--labels-only")

    def spoil(*words):
        cli.ok("build-captions", "--dataset", "bp4d", "--root", raw, *words)
        meta = store.read_meta(work / "bp4d" / "captions.parquet")
        monkeypatch.setattr(
            "fauds.captions.caption_tables.template_hash", lambda language: "of a later version"
        )
        return Project(work, "bp4d"), store.read_meta(work / "bp4d" / "frames.parquet"), meta

    return spoil


def refused(project, frames):
    with pytest.raises(DataError) as error:
        project.captions_as_built(Step(project.workspace.path("frames"), False, frames))
    assert error.value.where == str(project.workspace.path("captions"))
    return error.value


def test_outdated_captions_say_which_of_their_inputs_changed(spoilt, work):
    project, frames, meta = spoilt("--degrees")
    other = {**meta, "settings": {**meta["settings"], "templates": "of a later version"}}
    vocabulary = store.read_table(project.workspace.path("vocabulary"))
    # As a build leaves it that was stopped while it wrote the captions.
    store.write_table(project.workspace.path("vocabulary"), vocabulary, other)
    error = refused(project, frames)
    assert "from different builds" in error.what and "other frames" not in error.what
    assert "other templates than those that fauds ships now" in error.what
    assert f"fauds build-captions --dataset bp4d --workdir '{work}' --degrees" in error.hint
    project.workspace.path("vocabulary").unlink()
    assert "The caption tables lack vocabulary.parquet" in refused(project, frames).what
    store.write_table(project.workspace.path("vocabulary"), vocabulary, meta)
    step = Step(project.workspace.path("frames"), False, frames)
    assert not project.captions_as_built(step).done
    error = refused(project, {**frames, "inputs": "of others"})
    assert "from other frames" in error.what and "other templates" in error.what


@pytest.mark.slow
def test_captions_in_an_own_language_ask_for_its_templates(spoilt, tmp_path):
    shutil.copytree(resources.root("templates") / "en", tmp_path / "own" / "de")
    style = ("--language", "de", "--templates", tmp_path / "own")
    project, frames, _ = spoilt(*style)
    project.workspace.path("vocabulary").unlink()
    error = refused(project, frames)
    assert "in the language 'de', which fauds does not ship" in error.what
    assert "--language de --templates FOLDER" in error.hint


def test_reading_options_are_not_remembered_for_other_raw_files(cli, tmp_path):
    for name in ("one", "other"):
        cli.ok("synth", tmp_path / name, "--like", "disfa", "--frames", 20, "--labels-only")
    command = ("build-captions", "--dataset", "disfa", "--root")
    assert "of 2 subjects" in cli.ok(*command, tmp_path / "one", "--subjects", "SN001,SN002")
    assert "of 2 subjects" in cli.ok(*command, tmp_path / "one")
    assert "of 27 subjects" in cli.ok(*command, tmp_path / "other")


@pytest.mark.slow
def test_a_fold_without_any_crop_is_named_before_anything_is_trained(
    finished, six_root, cli, tmp_path
):
    work, _ = finished
    folds = pq.read_table(work / "bp4d" / "folds.parquet").to_pandas()
    frames = pq.read_table(work / "bp4d" / "frames.parquet").to_pandas()
    first = folds[folds["fold"] == 1]["subject"]
    for row in frames[frames["subject"].isin(first)].itertuples():
        name = tmp_path / row.subject / row.task / f"{row.frame}.jpg"
        name.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(six_root / row.image, name)
    runs = set((work / "bp4d" / "runs").iterdir())
    common = ("--dataset", "bp4d", "--workdir", work)
    outcome = cli("bench", "vlfau", *common, *small(), "--faces", tmp_path)
    assert outcome.code == 1
    assert "No frame of fold 1's training part has a face image" in outcome.err
    assert set((work / "bp4d" / "runs").iterdir()) == runs


@pytest.mark.slow
def test_ctrl_c_keeps_finished_work_and_prints_the_command_that_resumes(cli, six_root, tmp_path):
    work = tmp_path / "work"
    common = ["--dataset", "bp4d", "--workdir", work]
    cli.ok("split", *common, "--root", six_root, "--method", "random", "--folds", "2")
    changes = small("training.epochs=400", texts=False)
    bench = [sys.executable, "-m", "fauds", "bench", "vlfau", *common, *changes]
    process = subprocess.Popen(bench, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    runs = work / "bp4d" / "runs"
    deadline = time.monotonic() + 120
    while (
        not list(runs.glob("*/fold1/checkpoint-epoch*.safetensors")) and time.monotonic() < deadline
    ):
        time.sleep(0.1)
    process.send_signal(2)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert f"--workdir {work} --resume" in err
    assert "Traceback" not in err
    (run,) = runs.iterdir()
    assert list(run.glob("fold1/checkpoint-epoch*.safetensors"))
    assert not list(run.rglob("*.part"))


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("split", "--dataset", "bp4d"), 2, "--root"),
        (("split", "--dataset", "bp5d"), 2, "did you mean 'bp4d'"),
        (("split", "--folds", "1"), 2, "--folds"),
        (("bench", "vlfaux"), 2, "did you mean 'vlfau'"),
        (("bench", "vlfau", "--preset", "tinny"), 2, "did you mean 'tiny'"),
        (("bench", "vlfau", "--set", "training.epoch=1"), 2, "did you mean 'epochs'"),
        (("bench", "vlfau", "--resume", "nothing"), 2, "there is no run here"),
        (("build-captions", "--language", "xx"), 2, "en"),
        (("build-captions", "--dataset", "disfa", "--root", "/nowhere"), 1, "/nowhere"),
        (("build-captions", "--dataset", "bp4d", "--root", "/nowhere"), 1, "/nowhere"),
        (("synth", "/proc/x", "--like", "bp4d", "--frames", "8"), 1, "/proc/x"),
        (("report", "/nowhere"), 2, "/nowhere"),
        (("dance",), 2, "dance"),
    ],
)
def test_wrong_usage_is_reported_in_one_message(cli, words, code, message, monkeypatch):
    outcome = cli(*words)
    assert outcome.code == code, outcome.err
    assert message in outcome.err
    assert "Traceback" not in outcome.err


@pytest.mark.slow
def test_a_run_whose_settings_are_cut_off_is_not_resumed_with_defaults(finished, cli, tmp_path):
    work, run = finished
    copied = shutil.copytree(work, tmp_path / "copy")
    path = copied / "bp4d" / "runs" / run.name / "settings.yaml"
    whole = path.read_text()
    common = ("--dataset", "bp4d", "--workdir", copied)
    for length in range(250, len(whole) - 40, 97):
        path.write_text(whole[:length])
        outcome = cli("bench", *common, "--resume", run.name)
        assert outcome.code == 1
        assert str(path) in outcome.err
    outcome = cli("report", work)
    assert outcome.code == 1
    assert "holds no run" in outcome.err


def test_a_workdir_that_cannot_be_written_is_named(cli, tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("")
    outcome = cli("split", "--workdir", blocked / "sub")
    assert outcome.code == 1
    assert str(blocked) in outcome.err


def test_two_processes_do_not_write_one_folder(cli, tmp_path, work):
    raw = tmp_path / "raw"
    cli.ok("synth", raw, "--like", "bp4d", "--frames", 8, "--labels-only")
    with store.lock(work / "bp4d"):
        outcome = cli("build-captions", "--dataset", "bp4d", "--root", raw)
    assert outcome.code == 1
    assert "Another fauds process" in outcome.err
