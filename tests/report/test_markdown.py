"""report.md: what stands beside published figures says how its epoch was chosen."""

import pytest

from fauds.evaluation import results as results_file
from fauds.protocols import benchmark as protocols
from fauds.report.markdown import write_report
from tests.report.made import decided, made_labels, results_of

TRUTH = made_labels(per_fold=2, frames=20)


@pytest.mark.parametrize("selection", ["last", "elsewhere"])
def test_a_run_beside_published_figures_says_how_its_epoch_was_chosen(tmp_path, selection):
    own = protocols.benchmark("bp4d")
    parts = {fold: sorted(part) for fold, part in own.folds.parts.items()}
    results = results_of(TRUTH, decided(TRUTH, 0.1, 1))
    changed = {"folds": own.folds.name, "test_subjects": parts, "aus": list(own.aus)}
    protocol = results.protocol.model_copy(update={**changed, "selection": selection})
    update = {"benchmark": "bp4d", "benchmark_version": own.version, "synthetic": False}
    update |= {"protocol": protocol, "subject_counts": None}
    results_file.write(tmp_path, results.model_copy(update=update))
    text = write_report(tmp_path).read_text(encoding="utf-8")
    (mine,) = (line for line in text.splitlines() if line.startswith("| **this run"))
    assert mine.split(" | ")[3:5] == [selection, "fixed at 0.5"]
    (best,) = (line for line in text.splitlines() if line.startswith("| FMAE-IAT"))
    assert best.split(" | ")[3:5] == ["test", "test"]
    (partial,) = (line for line in text.splitlines() if line.startswith("| UDCT"))
    assert partial.split(" | ")[5:17] == ["-"] * 12
    assert ("Without training.watch_test=true" in text) == (selection == "last")


def test_rows_chosen_on_the_test_part_stand_below_the_headline(tmp_path):
    own = protocols.benchmark("bp4d")
    parts = {fold: sorted(part) for fold, part in own.folds.parts.items()}
    results = results_of(TRUTH, decided(TRUTH, 0.1, 1))
    changed = {"folds": own.folds.name, "test_subjects": parts, "aus": list(own.aus)}
    (headline,) = (row for row in results.metrics if row.scope == "mean_of_folds")
    chosen = {"selection": "best_test_epoch_and_threshold", "value": 0.5}
    update = {
        "benchmark": "bp4d",
        "benchmark_version": own.version,
        "synthetic": False,
        "protocol": results.protocol.model_copy(update=changed),
        "subject_counts": None,
        "settings": {"training": {"watch_test": True}},
        "metrics": [*results.metrics, headline.model_copy(update=chosen)],
    }
    results_file.write(tmp_path, results.model_copy(update=update))
    text = write_report(tmp_path).read_text(encoding="utf-8")
    (line,) = (line for line in text.splitlines() if "epoch and threshold best" in line)
    assert line.split(" | ")[3:5] == ["test", "test"]
    assert line.split(" | ")[17] == "50.0"
    assert "watch_test=true" not in text
