"""The table of a paper: what stands in it, what is best, and what may not stand there."""

import re

import pandas as pd
import pytest

from fauds import resources
from fauds.errors import UsageError
from fauds.evaluation.finished import FinishedRun
from fauds.evaluation.results import MetricRow
from fauds.protocols import benchmark as protocols
from fauds.report.latex import latex_table
from tests.report.made import decided, made_labels, results_of

TRUTH = made_labels(per_fold=2, frames=20)


def run(values, name="run", *, ends=None, **changed):
    """A run whose mean F1 of AU01, AU12, AU24 and of all is given in %."""
    results = results_of(TRUTH, decided(TRUTH, 0.1, 1))
    aus = changed.pop("aus", results.protocol.aus)
    rows = [
        MetricRow(
            metric="f1",
            scope="mean_of_folds",
            au=au,
            fold=None,
            selection="last",
            value=None if value is None else value / 100,
            low=ends and ends[0] / 100,
            high=ends and ends[1] / 100,
            n=10,
        )
        for au, value in zip((*aus, None), values, strict=True)
    ]
    of_protocol = {"aus": list(aus), **changed.pop("protocol", {})}
    protocol = results.protocol.model_copy(update=of_protocol)
    return FinishedRun(
        name, results.model_copy(update={"metrics": rows, "protocol": protocol, **changed})
    )


def lines_of(table):
    """The table's lines by their first cell."""
    cells = [line.removesuffix(r" \\").split(" & ") for line in table.splitlines() if "&" in line]
    return {line[0]: line[1:] for line in cells}


def test_the_best_is_bold_and_the_second_underlined_as_printed():
    table = latex_table(
        [
            run((70.04, 50.0, None, 60.0), model="one"),
            run((70.01, 52.0, 20.0, 61.0), model="two"),
            run((60.0, 51.0, 30.0, 59.0), model="three"),
        ]
    )
    lines = lines_of(table)
    best, second = (lambda value: rf"\textbf{{{value}}}"), (lambda value: rf"\underline{{{value}}}")
    assert lines["one tiny"] == [best(70.0), "50.0", "--", second(60.0)]
    assert lines["two tiny"] == [best(70.0), best(52.0), second(20.0), best(61.0)]
    assert lines["three tiny"] == [second(60.0), second(51.0), best(30.0), "59.0"]
    assert "comparable with any published figure" in table


def test_a_run_alone_is_not_called_best_and_has_its_intervals_below():
    table = latex_table([run((70.0, 50.0, 20.0, 60.0), ends=(40.25, 80.75))])
    lines = table.splitlines()
    place = next(i for i, line in enumerate(lines) if line.startswith("vlfau tiny"))
    assert lines[place] == r"vlfau tiny & 70.0 & 50.0 & 20.0 & 60.0 \\"
    assert lines[place + 1] == " & " + " & ".join([r"{\tiny 40.2--80.8}"] * 4) + r" \\"
    assert "bold" not in table
    assert r" & 1 & 12 & 24 & \\" in lines
    columns = re.search(r"begin\{tabular\}\{(\w+)\}", table).group(1)
    assert len(columns) == 5


def test_runs_of_one_name_are_told_apart_and_names_are_escaped():
    values = (70.0, 50.0, 20.0, 60.0)
    table = latex_table([run(values, "a_1"), run(values, "b&2")])
    assert r"vlfau tiny (a\_1) & " in table
    assert r"vlfau tiny (b\&2) & " in table


def test_external_predictions_are_called_by_their_model_alone():
    values = (70.0, 50.0, 20.0, 60.0)
    protocol = {"selection": "elsewhere"}
    table = latex_table([run(values, preset="elsewhere", model="py-feat", protocol=protocol)])
    assert "\npy-feat & " in table
    assert " Epoch: not known." in table


def test_runs_on_other_frames_say_so():
    values = (70.0, 50.0, 20.0, 60.0)
    fewer = run(values, frames_fingerprint="other", frames_scored=1_234)
    note = f"not scored on the same frames ({run(values).results.frames_scored:,}; 1,234)."
    assert note in latex_table([run(values), fewer])
    assert "same frames" not in latex_table([run(values), run(values)])


def test_runs_of_other_protocols_are_refused():
    values = (70.0, 50.0, 20.0, 60.0)
    for changed in ({"protocol": {"threshold": 0.4}}, {"benchmark_version": 2}):
        with pytest.raises(UsageError, match="follow different protocols"):
            latex_table([run(values), run(values, **changed)])


def real(benchmark, value):
    """A run on real faces by the benchmark's own protocol, all its figures alike."""
    own = protocols.benchmark(benchmark)
    parts = {fold: sorted(part) for fold, part in own.folds.parts.items()}
    return run(
        [value] * (len(own.aus) + 1),
        aus=own.aus,
        benchmark=benchmark,
        benchmark_version=own.version,
        synthetic=False,
        protocol={"folds": own.folds.name, "test_subjects": parts},
    )


def test_published_rows_stand_beside_the_benchmarks_own_protocol_only():
    published = pd.read_csv(resources.path("benchmarks", "published/bp4d.csv"))
    paper = published[(published["method"] == "VL-FAU") & (published["metric"] == "F1")]
    mine = real("bp4d", 1.0)
    lines = lines_of(latex_table([mine]))
    plain = [re.sub(r"\\\w+\{([\d.]+)\}", r"\1", cell) for cell in lines["VL-FAU (ACMMM2024)"]]
    assert plain == [f"{value:.1f}" for value in paper["value_percent"]]
    assert [method for method in lines if "[" in method] == [] and len(lines) > 20
    assert lines["vlfau tiny"] == ["1.0"] * 13
    assert lines_of(latex_table([real("bp4d", 99.0)]))["vlfau tiny"] == [r"\textbf{99.0}"] * 13
    for changed in ({"synthetic": True}, {"benchmark_version": mine.results.benchmark_version + 1}):
        other = FinishedRun("run", mine.results.model_copy(update=changed))
        assert "VL-FAU" not in latex_table([other])


def test_published_averages_that_do_not_fit_their_aus_have_a_dagger():
    table = latex_table([real("disfa", 50.0)])
    daggers = {
        name.split(" (")[0] for name, cells in lines_of(table).items() if "dagger" in cells[-1]
    }
    assert daggers == {"UGN-B", "HMP-PS", "EAC-Net", "HSTR-Net", "SMA-Net"}
    assert "The published average does not fit its AUs" in table


def test_published_methods_that_chose_on_the_test_part_are_marked():
    table = latex_table([real("bp4d", 50.0)])
    heads = lines_of(table)
    assert "FMAE-IAT (arXiv2407.11243)$^{et}$" in heads
    assert "MDHR (Swin-B) (CVPR2024)$^{e}$" in heads
    assert {name.split(" (")[0] for name in heads if "$^{" in name} == {"FMAE-IAT", "FMAE", "MDHR"}
    for mark, what in (("e", "epoch"), ("t", "threshold")):
        assert rf"$^{{{mark}}}$Published with the {what} that is best on the test part." in table
    assert "$^{e}$" not in latex_table([run((70.0, 50.0, 20.0, 60.0))])


def test_a_published_method_without_figures_by_au_has_dashes_and_its_average():
    lines = lines_of(latex_table([real("bp4d", 50.0)]))
    plain = [re.sub(r"\\\w+\{([\d.]+)\}", r"\1", cell) for cell in lines["AU-Net (ProcIEEE2023)"]]
    assert plain == ["--"] * 12 + ["65.0"]
