"""What reports show of classes: the confusion matrix, and published figures of expressions."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fauds import resources
from fauds.evaluation import results as results_file
from fauds.evaluation.finished import FinishedRun
from fauds.evaluation.results import MetricRow, Protocol, Results
from fauds.evaluation.score import FoldScores, FrameOwners, run_figures
from fauds.protocols.benchmark import benchmark
from fauds.report.html import write_html
from fauds.report.latex import latex_table
from fauds.report.markdown import write_report
from fauds.report.published import published_rows, rows_beside_published
from fauds.report.tables import confusion_table
from fauds.tables import store
from tests.report.made import decided, made_labels, results_of

PAPER = ("rafdb", "affectnet")


def scored(
    name: str, seed: int = 0, *, known: bool = False
) -> tuple[np.ndarray, np.ndarray, Results]:
    """Return labels and decisions, int [N], of a benchmark's test part, and the results of them.

    If `known`, the images are of three persons, P0 to P2, in turn.
    """
    protocol = benchmark(name)
    classes = len(protocol.target.names)
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, 90).astype(np.int16)
    scores = rng.random((90, classes)).astype(np.float32)
    scores[np.arange(90), labels] += 0.5
    keys = np.array([f"test_{number:04d}" for number in range(90)])
    people = np.array([f"P{number % 3}" for number in range(90)])
    owners = FrameOwners(people, people, True)
    figures = run_figures(
        {1: FoldScores(labels, scores, np.full(classes, 1 / classes))},
        {1: owners if known else FrameOwners(keys, np.full(90, "test"), False)},
        dict.fromkeys([*keys.tolist(), *people.tolist()]),
        protocol.target,
        0.5,
        "last",
    )
    own = Protocol(
        folds="release",
        test_subjects={1: ["P0", "P1", "P2"] if known else ["test"]},
        aus=list(protocol.target.names),
        occurrence="",
        threshold=0.5,
        selection="last",
        alignment="none 1",
        frame_set="every labelled image",
        **protocol.target.protocol_keys(),
    )
    truth = made_labels()
    results = results_of(truth, decided(truth, 0.1, 0))
    changed = {
        "benchmark": name,
        "benchmark_version": protocol.version,
        "protocol": own,
        "synthetic": False,
        "metrics": figures.metrics,
        "summary": figures.summary,
        "subject_counts": figures.subject_counts,
        "uncertainty": figures.uncertainty,
        "subject_names": figures.subject_names,
    }
    return labels, scores.argmax(axis=1), results.model_copy(update=changed)


def test_the_confusion_matrix_has_a_row_for_each_true_class():
    labels, decisions, results = scored("rafdb")
    table = confusion_table(results)
    names = benchmark("rafdb").target.names
    assert table.head == ("true expression", *names, "all")
    for code, row in enumerate(table.rows[:-1]):
        plain = [int(((labels == code) & (decisions == other)).sum()) for other in range(7)]
        assert row.name == names[code]
        assert [int(cell.text) for cell in row.cells] == [*plain, sum(plain)]
    decided_as = [int((decisions == code).sum()) for code in range(7)]
    assert [int(cell.text) for cell in table.rows[-1].cells] == [*decided_as, 90]


def test_action_units_have_no_confusion_matrix():
    truth = made_labels()
    assert confusion_table(results_of(truth, decided(truth, 0.1, 0))) is None


def write(results: Results, folder: Path) -> Path:
    results_file.write(folder, results)
    store.write_text(folder / "settings.yaml", "{faces: null, preset: tiny}")
    return folder


def test_reports_of_classes_name_no_threshold(tmp_path):
    _, _, results = scored("rafdb")
    (headline,) = (r for r in results.metrics if _is_headline(r))
    chosen = headline.model_copy(update={"selection": "best_test_epoch"})
    results = results.model_copy(update={"metrics": [*results.metrics, chosen]})
    assert "threshold" not in latex_table([FinishedRun("mine", results)])
    run = write(results, tmp_path / "work" / "rafdb" / "runs" / "mine")
    markdown = write_report(run).read_text(encoding="utf-8")
    assert (
        "threshold 0.5" not in markdown and "release; fold k tests part k; epoch: last" in markdown
    )
    page = write_html([run]).read_text(encoding="utf-8")
    assert "threshold 0.5" not in page and "threshold as declared" not in page
    assert "Accuracy by how the epoch is chosen, in %" in page


def test_the_accuracy_of_a_person_is_no_mean_of_classes(tmp_path):
    """Accuracy over all classes is the share of all frames decided rightly."""
    labels, decisions, results = scored("rafdb", known=True)
    assert set(results.subject_names) == {"recall", "f1"}
    row = results.row("accuracy", "subject", group="P1")
    assert row.value == pytest.approx((labels == decisions)[1::3].mean())
    page = write_html([write(results, tmp_path / "work" / "rafdb" / "runs" / "mine")])
    assert "compare subjects with care" not in page.read_text(encoding="utf-8")


def _is_headline(row: MetricRow) -> bool:
    return (row.metric, row.scope, row.au) == ("accuracy", "mean_of_folds", None)


def test_classes_have_no_threshold_beside_published_rows():
    _, _, results = scored("rafdb")
    headline = results.row("accuracy", "mean_of_folds")
    chosen = [
        headline.model_copy(update={"selection": name})
        for name in ("best_test_epoch", "best_test_epoch_and_threshold")
    ]
    tested = results.model_copy(update={"metrics": [*results.metrics, *chosen]})
    rows = rows_beside_published(tested, "accuracy")
    assert [(row.epoch, row.threshold) for row in rows] == [("last", "none"), ("test", "none")]
    assert set(published_rows(results)["threshold_selection"]) == {"none"}


@pytest.mark.parametrize("name", PAPER)
def test_published_accuracies_stand_beside_the_releases_own_split_only(name):
    _, _, results = scored(name)
    table = published_rows(results)
    assert len(table) == 22 and not table["off"].any()
    other_parts = results.protocol.model_copy(update={"test_subjects": {1: ["P01"]}})
    random = results.protocol.model_copy(update={"folds": "random"})
    for changed in (
        {"protocol": other_parts},
        {"protocol": random},
        {"synthetic": True},
        {"benchmark_version": 99},
    ):
        assert published_rows(results.model_copy(update=changed)) is None


@pytest.mark.parametrize(
    ("name", "metric", "method", "value"),
    [
        ("rafdb", "accuracy", "APViT", 91.0),
        ("rafdb", "accuracy", "APViT + AU cues", 91.03),
        ("rafdb", "CAM-COS", "LayerCAM + AU cues", 84),
        ("rafdb", "ATT-COS", "TS-CAM", 55),
        ("affectnet", "accuracy", "GradCAM++ + AU cues", 62.45),
        ("affectnet", "CAM-COS", "WILDCAT", 62),
        ("affectnet", "ATT-COS", "APViT + AU cues", 84),
    ],
)
def test_published_figures_are_those_of_the_paper(name, metric, method, value):
    rows = pd.read_csv(resources.path("benchmarks", f"published/{name}.csv"))
    row = rows[(rows["metric"] == metric) & (rows["method"] == method)]
    assert row["value_percent"].tolist() == [value]


@pytest.mark.parametrize("name", PAPER)
def test_every_published_figure_has_a_source_and_cues_raise_each_of_them(name):
    rows = pd.read_csv(resources.path("benchmarks", f"published/{name}.csv"))
    assert rows[["source", "selection", "venue"]].notna().all(axis=None)
    assert set(rows["metric"]) == {"accuracy", "CAM-COS", "ATT-COS"}
    for _, metric in rows.groupby("metric"):
        values = metric.set_index("method")["value_percent"]
        plain = [method for method in values.index if not method.endswith(" + AU cues")]
        assert len(values) == 2 * len(plain) >= 20
        assert all(values[f"{method} + AU cues"] > values[method] for method in plain)
