"""fauds report, compare and results, on runs made by hand."""

import csv
import io
import json
import os
import shutil
import time

import pytest
import yaml

from fauds.evaluation import results as results_file
from tests.report.made import decided, made_labels, results_of, write_run

TRUTH = made_labels(per_fold=6, frames=40)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A workdir with two seeds of a model and a worse one."""
    work = tmp_path_factory.mktemp("results") / "wörk dir"
    runs = work / "synthetic" / "runs"
    for name, wrong, seed in (("one", 0.15, 1), ("two", 0.15, 2), ("worse", 0.3, 3)):
        write_run(runs / name, TRUTH, decided(TRUTH, wrong, seed), seed)
    return work


@pytest.fixture
def work(made, tmp_path):
    return shutil.copytree(made, tmp_path / made.name)


def test_two_runs_are_compared_by_name_folder_or_results_file(cli, made, tmp_path):
    runs = made / "synthetic" / "runs"
    shutil.copyfile(runs / "worse" / "results.json", tmp_path / "results_b.json")
    sides = {"worse": "one", str(runs / "worse"): str(runs / "one")}
    sides[str(tmp_path / "results_b.json")] = str(runs / "one" / "results.json")
    tables = set()
    for b, a in sides.items():
        out = cli.ok("compare", a, b, "--workdir", made)
        assert "a: one (seed 1)" in out
        assert "Trained model a is better than trained model b for people like these 18: by " in out
        tables.add(out[out.index(" F1 %") :])
    assert len(tables) == 1
    out = cli.ok("compare", "one", "two", "--workdir", made)
    assert "These two trained models cannot be told apart for people like these 18" in out
    assert "differs: training.seed: 1 (a), 2 (b)" in out
    assert "The workdir holds 3 runs of this protocol." in out


def test_seeds_of_a_model_are_joined_by_commas(cli, made):
    out = cli.ok("compare", "one,two", "worse", "--workdir", made)
    assert "a: one (seed 1), two (seed 2)" in out
    assert "mean F1 of each seed: " in out
    refused = cli("compare", "one,one", "worse", "--workdir", made)
    assert (refused.code, "have the same seed" in refused.err) == (2, True)


def test_results_files_alone_are_told_apart_by_their_folders(cli, made, tmp_path):
    for name in ("one", "two", "worse"):
        (tmp_path / name).mkdir()
        shutil.copyfile(
            made / "synthetic" / "runs" / name / "results.json", tmp_path / name / "results.json"
        )
    one, two, worse = (tmp_path / name / "results.json" for name in ("one", "two", "worse"))
    out = cli.ok("compare", f"{one},{two}", worse)
    assert "a: one (seed 1), two (seed 2)" in out
    assert "b: worse (seed 3)" in out


def _without_an_au(counts):
    counts["1"]["F001"].pop("AU12")


def _without_a_fold(counts):
    counts.pop("2")


def _of_a_stranger(counts):
    counts["1"]["F999"] = counts["1"]["F001"]


def _of_nobody(counts):
    counts["3"].clear()


@pytest.mark.parametrize("tamper", [_without_an_au, _without_a_fold, _of_a_stranger, _of_nobody])
def test_counts_that_are_not_of_their_protocol_are_refused(cli, made, tmp_path, tamper):
    plain = json.loads((made / "synthetic" / "runs" / "one" / "results.json").read_text())
    tamper(plain["subject_counts"]["folds"])
    (tmp_path / "mine.json").write_text(json.dumps(plain))
    outcome = cli("compare", tmp_path / "mine.json", "worse", "--workdir", made)
    assert outcome.code == 1
    assert "counts by subject in this results file do not match" in outcome.err
    assert "mine.json" in outcome.err


def test_runs_that_count_other_subjects_are_refused(cli, made, tmp_path):
    plain = json.loads((made / "synthetic" / "runs" / "one" / "results.json").read_text())
    plain["subject_counts"]["folds"]["1"].pop("F001")
    (tmp_path / "mine.json").write_text(json.dumps(plain))
    outcome = cli("compare", tmp_path / "mine.json", "worse", "--workdir", made)
    assert (outcome.code, "in the subjects whose frames were counted" in outcome.err) == (1, True)


def test_a_broken_results_file_is_named_with_its_problem(cli, made, tmp_path):
    plain = json.loads((made / "synthetic" / "runs" / "one" / "results.json").read_text())
    plain["metrics"][2]["value"] = "high"
    (tmp_path / "mine.json").write_text(json.dumps(plain))
    outcome = cli("compare", tmp_path / "mine.json", "worse", "--workdir", made)
    assert outcome.code == 1
    assert (
        "not a results file that this version of fauds can read: metrics.2.value: Input should be"
        in outcome.err
    )


def test_the_figures_of_a_comparison_are_written_as_json(cli, made, tmp_path):
    file = tmp_path / "compared.json"
    cli.ok("compare", "one", "worse", "--workdir", made, "--json", file)
    assert json.loads(file.read_text())["metrics"]["f1"]["told_apart"] is True
    alone = cli.ok("compare", "one", "worse", "--workdir", made, "--json", "-")
    assert json.loads(alone) == json.loads(file.read_text())


def test_runs_that_cannot_be_compared_are_refused_with_a_reason(cli, work):
    runs = work / "synthetic" / "runs"
    unknown = cli("compare", "one", "three", "--workdir", work)
    assert unknown.code == 2
    assert "There is no run 'three'" in unknown.err
    assert "There is no run ''" in cli("compare", "one,", "two", "--workdir", work).err
    assert "choose from: one, two, worse" in unknown.err
    (runs / "two" / "results.json").unlink()
    unfinished = cli("compare", "one", "two", "--workdir", work)
    assert (unfinished.code, "no results yet" in unfinished.err) == (1, True)
    (runs / "two" / "results.json").mkdir()
    folder = cli("compare", "one", "two", "--workdir", work)
    assert (folder.code, "results file cannot be read: Is a directory" in folder.err) == (1, True)
    broken = runs / "worse" / "results.json"
    broken.write_text("{")
    for named in ("worse", broken):
        outcome = cli("compare", "one", named, "--workdir", work)
        assert (outcome.code, "not a results file" in outcome.err) == (1, True)
    results_file.write(
        runs / "worse", results_of(TRUTH, decided(TRUTH, 0.3, 3), 3, alignment="jaa 1")
    )
    other = cli("compare", "one", "worse", "--workdir", work)
    assert (other.code, "they differ in the alignment" in other.err) == (1, True)


def test_all_runs_are_listed_with_the_commands_that_finish_unfinished_ones(cli, work):
    runs = work / "synthetic" / "runs"
    (runs / "two" / "results.json").unlink()
    shutil.rmtree(runs / "two" / "fold3")
    (runs / "worse" / "settings.yaml").write_text("model: [")
    begun = time.mktime((2026, 1, 2, 3, 4, 5, 0, 0, -1))
    os.utime(runs / "one" / "settings.yaml", (begun, begun))
    shutil.copytree(runs / "one", work / "bp4d" / "runs" / "vlfau-full-20260102-030405")
    out = cli.ok("results", "--workdir", work)
    lines = out.splitlines()
    listed = {
        line.split()[0]: line.split() for line in lines if line.startswith(" ") and line.strip()
    }
    f1 = 100 * results_file.read(runs / "one").summary["f1"]
    assert listed["one"] == ["one", "3/3", f"{f1:.1f}", "-", "1", "2026-01-02"]
    assert listed["two"][1:4] == ["2/3", "-", "unfinished"]
    assert listed["worse"][1:4] == ["-", "-", "broken"]
    assert "one: vlfau tiny training.seed=1" in lines
    assert "synthetic (synthetic faces)" in lines
    assert listed["vlfau-full-20260102-030405"][-1] == "2026-01-02"
    assert f"--dataset synthetic --workdir '{work}' --resume two" in out
    assert f"broken: {runs / 'worse'}: settings.yaml cannot be read" in out
    only = cli.ok("results", "--workdir", work, "--dataset", "bp4d")
    assert "vlfau-full" in only
    assert "worse" not in only
    for other in ("disfa", "*", work.parent):
        assert "no run yet" in cli.ok("results", "--workdir", work, "--dataset", other)


def test_predictions_whose_scoring_was_stopped_are_scored_again(cli, work):
    folder = work / "synthetic" / "runs" / "two"
    (folder / "results.json").unlink()
    saved = yaml.safe_load((folder / "settings.yaml").read_text())
    made = {"predictions": "/data/my file.csv", "missing": "drop"}
    saved |= {"preset": "elsewhere", "model": "openface", "settings": made}
    (folder / "settings.yaml").write_text(yaml.safe_dump(saved))
    out = cli.ok("results", "--workdir", work)
    assert "go on with: fauds score '/data/my file.csv' --dataset synthetic --workdir " in out
    assert "--name openface --missing drop" in out


def test_the_list_of_runs_is_written_as_json_and_csv(cli, made, tmp_path):
    rows = json.loads(cli.ok("results", "--workdir", made, "--json", "-"))
    assert [(row["name"], row["seed"], row["state"]) for row in rows] == [
        ("one", 1, "finished"),
        ("two", 2, "finished"),
        ("worse", 3, "finished"),
    ]
    assert rows[0]["f1"] == results_file.read(made / "synthetic" / "runs" / "one").summary["f1"]
    cli.ok("results", "--workdir", made, "--csv", tmp_path / "runs.csv")
    lines = list(csv.DictReader(io.StringIO((tmp_path / "runs.csv").read_text())))
    assert [line["changes"] for line in lines] == [f"training.seed={seed}" for seed in (1, 2, 3)]


def test_a_papers_table_is_printed_or_written(cli, made, tmp_path):
    table = cli.ok("report", "one", "worse", "--workdir", made, "--latex")
    assert table.startswith("% \\usepackage{booktabs}\n\\begin{table*}\n")
    assert "vlfau tiny (worse) & " in table
    file = tmp_path / "table.tex"
    cli.ok("report", "one", "worse", "--workdir", made, "--latex", file)
    assert file.read_text() == table


def test_reports_are_written_again_and_one_page_shows_all_runs(cli, work):
    runs = work / "synthetic" / "runs"
    out = cli.ok("report", "one", runs / "worse", "--workdir", work)
    assert (runs / "one" / "report.md").exists()
    assert (runs / "worse" / "report.md").exists()
    page = runs / "one" / "report.html"
    assert out.splitlines()[-1] == str(page)
    assert "worse" in page.read_text(encoding="utf-8")
    assert not (runs / "worse" / "report.html").exists()
    refused = cli("report", runs / "one" / "results.json")
    assert (refused.code, "this is a file" in refused.err) == (2, True)
