"""The dataset, target, detector and model of a third-party package work with every command."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from fauds.cli.main import main
from fauds.datasets import DATASETS
from fauds.faces.detectors import DETECTORS
from fauds.nn import MODELS
from fauds.targets import TARGETS
from tests.plugins.package import FRAMES, MOODS, PEOPLE, install, write

pytestmark = pytest.mark.slow


class Installed:
    """Runs fauds in this process, with the package installed.

    Attributes:
        folder: the folder of the release and the protocols.
        site: the folder that the package is installed in.
    """

    def __init__(self, folder: Path, site: Path) -> None:
        self.folder, self.site = folder, site
        self.workdir = folder / "work"

    def __call__(self, *words: object) -> subprocess.CompletedProcess[str]:
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.setenv("FAUDS_WORKDIR", str(self.workdir))
            patch.setattr(sys, "argv", ["fauds", *map(str, words)])
            with pytest.raises(SystemExit) as ended:
                main()
        code = int(ended.value.code or 0)
        return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())

    def ok(self, *words: object) -> str:
        done = self(*words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def protocol(self, name: str) -> Path:
        return self.folder / f"{name}.yaml"

    def newest(self, name: str, model: str) -> str:
        """Return the name of the newest run of a model."""
        return [run.name for run in self.runs(name) if run.name.startswith(model)][-1]

    def runs(self, name: str) -> list[Path]:
        return sorted((self.folder / "work" / name / "runs").iterdir())


def forget(site: Path) -> None:
    """Make registries read entry points again, and remove the package's modules."""
    for registry in (DATASETS, DETECTORS, MODELS, TARGETS):
        registry.__dict__.pop("_targets", None)
    for name in [name for name in sys.modules if name.partition(".")[0] == "its"]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def its(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    folder = tmp_path_factory.mktemp("plugin")
    write(folder)
    installed = Installed(folder, install(folder))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(installed.site))
        forget(installed.site)
        for name in ("its-aus", "its-moods"):
            where = ("--benchmark", installed.protocol(name))
            installed.ok("split", *where, "--root", folder / "raw", "--folds", 3)
            installed.ok("bench", "itsmodel", *where)
        yield installed
    forget(installed.site)


def test_a_new_process_finds_all_four_plugins(its):
    """In a new process, no test has used the registries before."""
    code = (
        "from fauds.datasets import DATASETS; from fauds.faces.detectors import DETECTORS; "
        "from fauds.nn import MODELS; from fauds.targets import TARGETS; "
        "print(DATASETS['itsdata'], MODELS['itsmodel'], TARGETS['mood'], DETECTORS['itsdetector'])"
    )
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (root, its.site)))}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("its.") == 3


def test_the_plugin_model_predicts_action_units_of_the_plugin_dataset(its):
    (run, *_) = its.runs("its-aus")
    results = json.loads((run / "results.json").read_text())
    assert (results["model"], results["preset"]) == ("itsmodel", "tiny")
    assert results["protocol"]["aus"] == ["AU12", "AU25"]
    assert "target" not in results["protocol"]
    assert results["frames_scored"] == len(PEOPLE) * FRAMES
    # The colours of the images depend on the labels, so that they can be learnt.
    assert results["summary"]["f1"] > 0.8
    assert set(results["without"]) == {"descriptions", "attention maps"}
    assert not (its.folder / "work" / "its-aus" / "captions.parquet").exists()
    predictions = pq.read_table(run / "fold1" / "predictions.parquet")
    assert predictions["key"][0].as_py().count("-") == 1
    names = predictions.schema.names
    assert "AU12" in names and [name for name in names if name.endswith("_text")] == []
    assert (run / "fold1" / "features.parquet").exists()
    assert not (run / "fold1" / "attention.parquet").exists()


def test_the_metrics_of_the_plugin_target_equal_a_plain_computation(its):
    (run, *_) = its.runs("its-moods")
    results = json.loads((run / "results.json").read_text())
    assert results["protocol"]["target"] == {"kind": "mood", "classes": list(MOODS)}
    frames = pq.read_table(its.folder / "work" / "its-moods" / "frames.parquet").to_pandas()
    truth = frames.set_index("key").mood
    accuracies, recalls = [], []
    for fold in (1, 2, 3):
        predicted = pq.read_table(run / f"fold{fold}" / "predictions.parquet").to_pandas()
        labels = truth[predicted.key].to_numpy()
        decided = predicted[list(MOODS)].to_numpy().argmax(axis=1)
        coded = ~np.isnan(labels)
        right = decided[coded] == labels[coded]
        accuracies.append(right.mean())
        recalls.append(np.mean([right[labels[coded] == k].mean() for k in range(len(MOODS))]))
    assert results["summary"]["accuracy"] == pytest.approx(np.mean(accuracies))
    assert results["summary"]["recall"] == pytest.approx(np.mean(recalls))
    assert results["summary"]["accuracy"] > results["summary"]["majority_accuracy"] + 0.3
    rows = [r for r in results["metrics"] if (r["metric"], r["scope"]) == ("accuracy", "pooled")]
    assert [row["au"] for row in rows] == [*MOODS, None]
    assert rows[-1]["low"] < rows[-1]["value"] < rows[-1]["high"]


@pytest.mark.parametrize(("name", "figure"), [("its-aus", "mean F1"), ("its-moods", "accuracy")])
def test_the_plugin_model_can_be_compared_with_the_linear_model_and_reported(its, name, figure):
    where = ("--benchmark", its.protocol(name))
    small = "model.backbone.args={embed_dim: 16, depths: [1, 1, 1, 1], num_heads: [1, 1, 2, 2]}"
    changes = ("model.backbone.weights=null", small, "model.image_size=56", "training.epochs=1")
    words = [word for change in changes for word in ("--set", change)]
    output = its.ok("bench", "linear", "--preset", "tiny", *where, *words)
    assert figure.split()[-1] in output
    linear, plugin = (its.newest(name, model) for model in ("linear", "itsmodel"))
    compared = its.ok("compare", plugin, linear, "--dataset", name)
    assert f"of {figure}" in compared or f"their {figure}" in compared
    table = its.ok("report", plugin, linear, "--dataset", name, "--latex")
    assert "itsmodel tiny" in table
    its.ok("report", plugin, linear, "--dataset", name)
    run = its.folder / "work" / name / "runs" / plugin
    page, markdown = ((run / f"report.{kind}").read_text() for kind in ("html", "md"))
    for text in (page, markdown):
        assert "the model does not produce them" in text
    if name == "its-moods":
        assert "glad" in page
        assert "Majority class" in page
        for word in ("action unit", "always active", "F1 by AU"):
            assert word not in page.lower().replace("facial action unit", "")
    assert figure.split()[-1] in its.ok("results", "--dataset", name) or name == "its-moods"


@pytest.mark.parametrize("name", ["its-aus", "its-moods"])
def test_scoring_predictions_from_a_file_gives_the_metrics_of_the_run(its, name, tmp_path):
    (run, *_) = its.runs(name)
    tables = (pq.read_table(part).to_pandas() for part in run.glob("fold*/predictions.parquet"))
    file = tmp_path / "predictions.csv"
    pd.concat(tables).drop(columns=["key", "frame_id"]).to_csv(file, index=False)
    its.ok("score", file, "--dataset", name, "--name", "again")
    scored = next(run for run in its.runs(name) if run.name.startswith("score-"))
    from_file, from_run = (
        json.loads((folder / "results.json").read_text()) for folder in (scored, run)
    )
    assert from_file["frames_fingerprint"] == from_run["frames_fingerprint"]
    for metric, value in from_file["summary"].items():
        assert value == pytest.approx(from_run["summary"][metric])


def test_weights_of_the_plugin_model_can_be_explained_and_exported(its):
    image = its.folder / "raw" / "0-0.png"
    for name, names in (("its-aus", ("AU12", "AU25")), ("its-moods", MOODS)):
        (run, *_) = its.runs(name)
        out = its.folder / f"{name}.jsonl"
        its.ok("explain", image, "--weights", run, "--out", out)
        explanation = json.loads(out.read_text().splitlines()[0])
        for part in names:
            assert part in json.dumps(explanation)
        onnx = its.folder / f"{name}.onnx"
        its.ok("export", run, "--out", onnx)
        assert onnx.stat().st_size > 1000


def test_faces_are_cropped_with_the_plugin_detector(its):
    where = ("--benchmark", its.protocol("its-aus"))
    options = (
        "--alignment",
        "bbox-5",
        "--without-landmarks",
        "detect",
        "--detector",
        "itsdetector",
    )
    its.ok("prepare", *where, *options)
    faces = pq.read_table(its.folder / "work" / "its-aus" / "faces.parquet").to_pandas()
    assert faces.path.notna().all()
    misspelt = its("prepare", *where, "--detector", "itsdetektor")
    assert misspelt.returncode == 2
    assert "did you mean 'itsdetector'" in misspelt.stderr


def test_unknown_models_and_targets_are_errors_that_suggest_the_plugins(its):
    where = ("--benchmark", its.protocol("its-aus"))
    misspelt = its("bench", "itsmodell", *where)
    assert misspelt.returncode == 2
    assert "did you mean 'itsmodel'" in misspelt.stderr
    text = its.protocol("its-moods").read_text()
    other = its.folder / "other.yaml"
    other.write_text(text.replace("kind: mood", "kind: moods").replace("its-moods", "other"))
    misspelt = its("bench", "itsmodel", "--benchmark", other)
    assert misspelt.returncode == 1
    assert "did you mean 'mood'" in misspelt.stderr
    run = its.runs("its-moods")[0]
    inactive = its("score", run, "--dataset", "its-moods", "--missing", "inactive")
    assert inactive.returncode == 2
    assert "cannot count as inactive" in inactive.stderr
    captions = its("build-captions", "--benchmark", its.protocol("its-moods"))
    assert captions.returncode == 2
    assert "captions describe action units" in captions.stderr
    described = its("bench", "vlfau", "--preset", "tiny", "--benchmark", its.protocol("its-moods"))
    assert described.returncode == 2
    assert "of which each frame has one" in described.stderr
