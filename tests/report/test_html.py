"""The page of finished runs: what it says, what it leaves out, and that it holds all it shows."""

import re
from base64 import b64decode
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest

from fauds.captions import describe, describe_face
from fauds.cli.terminal import show_results
from fauds.errors import DataError, UsageError
from fauds.evaluation import results as results_file
from fauds.evaluation.results import MissingFrames, SubjectCounts
from fauds.protocols.benchmark import benchmark
from fauds.report.charts import draw_training
from fauds.report.html import write_html
from fauds.report.html.compared import published
from fauds.report.html.face_images import attention_peak
from fauds.report.html.runs import read_runs
from fauds.report.html.sections import _published as published_section
from fauds.tables import store
from tests.report.runs import AUS, SUBJECTS, row, write_gallery, write_run

_ADDRESSES = ("src", "href", "xlink:href")


class _Page(HTMLParser):
    """Takes a page to pieces: ids, addresses, and the words of every table cell."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.tables: dict[str, list[list[str]]] = {}
        self._rows: list[list[str]] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.ids += [values["id"]] if values.get("id") else []
        self.addresses += [
            values[key] or "" for key in ("src", "href", "xlink:href") if key in values
        ]
        if tag == "table":
            self._rows = []
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th"):
            self._rows[-1].append("")
        self._inside = tag if tag in ("td", "th", "caption", "small", "span", "b") else ""

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "caption":
            self.tables[data] = self._rows
        elif self._inside in ("td", "th", "small", "span", "b") and self._rows and self._rows[-1]:
            self._rows[-1][-1] += data


def read(path: Path) -> tuple[str, _Page]:
    text = path.read_text()
    return text, _Page(text)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "work" / "synthetic" / "runs" / "one")


def test_the_page_shows_the_figures_of_the_run(run):
    text, page = read(write_html([run]))
    folds = page.tables["F1 by fold, in %"]
    assert folds[0] == ["Action unit", "Fold 1", "Fold 2", "Mean of folds", "Pooled"]
    assert [cells[0] for cells in folds[1:]] == [*AUS, "Mean"]
    one, two, mean = (float(figure) for figure in folds[-1][1:4])
    assert mean == pytest.approx((one + two) / 2, abs=0.11)
    assert f"Mean F1 is {mean:.1f}\u00a0% (no interval was computed)." in text
    assert "fold 1: from 2.500 to 1.250 in 2 epochs" in text


def test_synthetic_data_are_declared_before_any_figure(run):
    text, _ = read(write_html([run]))
    body = text[text.index("<body") :]
    assert body.index("Synthetic faces") < body.index("Mean F1")


def test_the_page_needs_nothing_but_itself(run):
    write_gallery(run, {})
    text, page = read(write_html([run]))
    outside = [address for address in page.addresses if not address.startswith(("#", "data:"))]
    assert outside == [] and page.addresses
    assert len(page.ids) == len(set(page.ids))
    links = {address[1:] for address in page.addresses if address.startswith("#")}
    assert links <= set(page.ids)
    named = set(re.findall(r"url\(#([^)]+)\)", text))
    assert named
    assert named <= set(page.ids)
    assert "default-src 'none'" in text


def test_values_from_files_are_escaped(run):
    write_gallery(run, {0: ("<script>alert(1)</script>", "A <b>face</b>.")})
    text, _ = read(write_html([run]))
    assert "<script>alert" not in text
    assert "A &lt;b&gt;face&lt;/b&gt;." in text
    assert "a&lt;b=1" in text


def test_intervals_and_other_epoch_selections_are_shown_if_the_run_has_them(tmp_path):
    extra = [
        row("f1", 0.9, selection="best_test_epoch"),
        row("skew_f1", 0.5, scope="sex", group="F", low=0.4, high=0.6),
        row("skew_f1", 0.5, scope="sex", au="AU06", group="F"),
        row("skew_f1", 0.8, scope="sex", group="M", low=0.7, high=0.9),
        row("skew_f1", -0.3, scope="sex_difference", low=-0.41, high=-0.2),
        row("f1", 0.3, scope="subject", group="F002"),
        row("f1", 0.2, scope="subject", group="M001"),
    ]
    folder = write_run(tmp_path / "work" / "synthetic" / "runs" / "one", extra=extra)
    text, page = read(write_html([folder]))
    assert "Apart:" not in text and "Where the interval holds 0, no gap is shown" in text
    assert "The difference of the means leaves out AU06: one sex has no value." in text
    sexes = page.tables["F1 at equal shares by sex, all frames of one sex pooled, in %"]
    women, men = "50.0 40.0 to 60.0", "80.0 70.0 to 90.0"
    assert sexes[-1] == ["Mean", women, men, "-30.0 -41.0 to -20.0"]
    subjects = page.tables["By subject, in %, the lowest F1 first"]
    assert [cells[0] for cells in subjects[1:]] == ["M001", "F002"]
    chosen = page.tables["Mean F1 by how the epoch and the threshold are chosen, in %"]
    headline, best = float(chosen[1][1]), chosen[2]
    assert best[1] == "90.0"
    assert float(best[2]) == pytest.approx(90 - headline, abs=0.11)


def test_a_baseline_that_is_no_baseline_for_an_au_has_no_mean(tmp_path):
    """AUs are active in 40 % of the training frames: never predicted at threshold 0.5."""
    other = row("prevalence_f1", 0.6, scope="fold", au="AU01", fold=1, selection="none")
    folder = write_run(tmp_path / "work" / "synthetic" / "runs" / "one", extra=[other])
    _, page = read(write_html([folder]))
    head, *rows = page.tables["By action unit, means of folds, in %"]
    cells = {cells[0]: cells[head.index("F1, training prevalence")] for cells in rows}
    never = dict.fromkeys(AUS[1:], "never active")
    assert cells == {"AU01": "-", **never, "Mean": "-"}


def test_several_runs_stand_side_by_side_and_the_best_is_marked(tmp_path):
    runs = tmp_path / "work" / "synthetic" / "runs"
    full = write_run(runs / "full")
    base = write_run(runs / "base", switches=(False, False, False), extra=[])
    path = write_html([full, base])
    assert path == full / "report.html"
    text, page = read(path)
    parts = page.tables["What each part of the model adds: F1 and words among the first five, in %"]
    assert [cells[:4] for cells in parts[1:]] == [["B", *["no"] * 3], ["A", *["yes"] * 3]]
    # Both made the same predictions: both are best.
    overview = page.tables["The runs of this page, means of folds, in %"]
    assert ["(best)" in cells[1] for cells in overview[1:]] == [True, True]
    assert "model.multi_level=false" in text


def test_runs_on_other_frames_are_not_ranked(tmp_path):
    runs = tmp_path / "work" / "synthetic" / "runs"
    one = write_run(runs / "one")
    other = write_run(runs / "other", changes={"frames_fingerprint": "f" * 64})
    text, _ = read(write_html([one, other]))
    assert "were not scored on the same frames" in text
    assert "(best)" not in text


def test_external_predictions_say_so_and_name_missing_frames(tmp_path):
    missing = results_file.MissingFrames(rule="inactive", frames={"F001": 2, "M001": 1})
    changes = {"preset": "elsewhere", "missing": missing, "settings": {}}
    changes["provenance"] = {"captions": {"language": "none", "templates": "none"}}
    folder = tmp_path / "work" / "synthetic" / "runs" / "score-mine"
    text, _ = read(write_html([write_run(folder, changes=changes)]))
    assert "was scored on external predictions" in text
    assert "3 frames had no prediction: they were scored as inactive." in text
    assert "This run kept no face." in text


def test_runs_of_two_benchmarks_have_no_common_page(tmp_path, run):
    real = write_run(tmp_path / "work" / "bp4d" / "runs" / "one", synthetic=False)
    with pytest.raises(UsageError, match="several benchmarks"):
        write_html([run, real])
    with pytest.raises(DataError, match="holds no run"):
        write_html([tmp_path])


def test_real_faces_stay_out_unless_asked_for(tmp_path):
    folder = write_run(tmp_path / "work" / "bp4d" / "runs" / "one", synthetic=False)
    write_gallery(folder, {})
    text, page = read(write_html([folder]))
    assert "licence" in text
    assert not [address for address in page.addresses if "image/jpeg" in address]
    assert "image/jpeg" not in text
    assert "Synthetic" not in text
    assert "JAA-Net" not in text


def test_real_faces_are_those_of_their_frames_where_asked_for(tmp_path):
    folder = write_run(tmp_path / "work" / "bp4d" / "runs" / "one", synthetic=False)
    write_gallery(folder, {})
    crops = tmp_path / "crops"
    shade = {0: 20, 9: 200}
    for at, value in shade.items():
        path = crops / ("F001" if at < 8 else "M001") / "T1" / f"{at}.png"
        path.parent.mkdir(parents=True)
        cv2.imwrite(str(path), np.full((32, 32, 3), value, np.uint8))
    store.write_text(folder / "settings.yaml", f"faces: {crops}\n")
    text, _ = read(write_html([folder], with_faces=True))
    cards = re.findall(
        r'<article[^>]*url\(data:image/jpeg;base64,([^)]+)\)">\s*<h3[^>]*>(.*?)<', text
    )
    assert [name for _, name in cards] == ["F001/T1/0", "M001/T1/9"]
    for (data, _), value in zip(cards, shade.values(), strict=True):
        shown = cv2.imdecode(np.frombuffer(b64decode(data), np.uint8), cv2.IMREAD_COLOR)
        assert abs(shown.mean() - value) < 2


def test_published_rows_stand_beside_the_protocol_they_were_made_with(tmp_path):
    bp4d = benchmark("bp4d")
    parts = {fold: sorted(part) for fold, part in bp4d.folds.parts.items()}
    own = {"folds": bp4d.folds.name, "test_subjects": parts, "aus": list(bp4d.aus)}
    folder = write_run(tmp_path / "work" / "bp4d" / "runs" / "one", synthetic=False)
    results = results_file.read(folder)
    protocol = results.protocol.model_copy(update=own)
    changed = {"protocol": protocol, "benchmark_version": bp4d.version}
    results_file.write(folder, results.model_copy(update=changed))
    for metric, jaa in (("f1", "60.0"), ("accuracy", "78.4")):
        table = published(read_runs([folder]), metric)
        chosen = ("Epoch chosen", "Threshold")
        assert table.head == ("Method", *bp4d.aus, "Mean", *chosen, "Source")
        theirs = next(row for row in table.rows if row.name == "JAA-Net (ECCV2018)")
        assert theirs.cells[12].text == jaa
        assert [cell.text for cell in theirs.cells[13:15]] == ["undeclared", "fixed at 0.5"]
        assert table.rows[-1].name == "vlfau (tiny), this run"
        assert table.rows[-1].cells[-1].text.endswith("frames fewer than published")
    results_file.write(folder, results.model_copy(update={**changed, "synthetic": True}))
    assert published(read_runs([folder])) is None


def test_rows_chosen_on_the_test_part_stand_beside_published_rows_that_are(tmp_path):
    bp4d = benchmark("bp4d")
    parts = {fold: sorted(part) for fold, part in bp4d.folds.parts.items()}
    own = {"folds": bp4d.folds.name, "test_subjects": parts, "aus": list(bp4d.aus)}
    folder = write_run(tmp_path / "work" / "bp4d" / "runs" / "one", synthetic=False)
    results = results_file.read(folder)
    changed = {
        "protocol": results.protocol.model_copy(update=own),
        "benchmark_version": bp4d.version,
    }
    plain = results.model_copy(update=changed)
    results_file.write(folder, plain)
    table = published(read_runs([folder]))
    by_name = {row.name: [cell.text for cell in row.cells] for row in table.rows}
    assert by_name["FMAE-IAT (arXiv2407.11243)"][13:15] == ["test", "test"]
    assert by_name["MDHR (Swin-B) (CVPR2024)"][13:15] == ["test", "fixed at 0.5"]
    assert [name for name in by_name if "this run" in name] == ["vlfau (tiny), this run"]
    assert by_name["vlfau (tiny), this run"][13:15] == ["last", "fixed at 0.5"]
    note = "cannot show later the row that is chosen in the same way"
    assert note in " ".join(published_section(read_runs([folder])).words)

    extra = [
        row("f1", value, selection=selection)
        for selection, value in (
            ("best_test_epoch", 0.71),
            ("best_test_threshold", 0.72),
            ("best_test_epoch_and_threshold", 0.73),
        )
    ]
    settings = {**plain.settings, "training": {"watch_test": True}}
    tested = {"metrics": [*plain.metrics, *extra], "settings": settings}
    results_file.write(folder, plain.model_copy(update=tested))
    table = published(read_runs([folder]))
    ours = [
        (line.name, *(cell.text for cell in line.cells[12:15]))
        for line in table.rows
        if "this run" in line.name
    ]
    name = "vlfau (tiny), this run"
    assert ours[1:] == [
        (f"{name}, epoch best on the test part", "71.0", "test", "fixed at 0.5"),
        (f"{name}, epoch and threshold best on the test part", "73.0", "test", "test"),
    ]
    assert note not in " ".join(published_section(read_runs([folder])).words)


def test_published_methods_without_figures_by_au_have_their_mean_and_no_flag(tmp_path):
    disfa = benchmark("disfa")
    parts = {fold: sorted(part) for fold, part in disfa.folds.parts.items()}
    own = {"folds": disfa.folds.name, "test_subjects": parts, "aus": list(disfa.aus)}
    folder = write_run(tmp_path / "work" / "disfa" / "runs" / "one", synthetic=False)
    results = results_file.read(folder)
    protocol = results.protocol.model_copy(update=own)
    changed = {"protocol": protocol, "benchmark": "disfa", "benchmark_version": disfa.version}
    results_file.write(folder, results.model_copy(update=changed))
    rows = {row.name: row.cells for row in published(read_runs([folder])).rows}
    texts = [cell.text for cell in rows["UDCT (CVPR2026)"]]
    assert texts[:9] == ["71.1", "-", "-", "-", "61.5", "-", "-", "-", "67.4"]
    assert "average" not in texts[-1]
    flagged = {name for name, cells in rows.items() if "average does not fit" in cells[-1].text}
    assert {name.split(" (")[0] for name in flagged} == {
        *("UGN-B", "HMP-PS", "EAC-Net", "HSTR-Net", "SMA-Net"),
    }


def test_descriptions_that_contradict_each_other_are_named(run):
    smile = describe("AU12", "active")
    assert describe("AU12", "inactive") != smile
    faces = {0: (smile, describe_face([], sex="F")), 1: (smile, describe_face(["AU12"], sex="F"))}
    write_gallery(run, faces)
    text, _ = read(write_html([run]))
    cards = re.findall(r'<article.*?data-contradicted="([^"]*)"', text)
    assert cards[0] == "AU12"
    assert set(cards[1:]) == {""}
    assert "own description says active, the face&#39;s says inactive" in text


def test_labels_that_were_changed_since_are_not_taken_for_those_that_were_scored(run):
    assert "Reliability:" in read(write_html([run]))[0]
    frames = store.read_table(run.parent.parent / "frames.parquet")
    place = frames.schema.get_field_index("AU12")
    flipped = pa.array(1 - frames["AU12"].to_numpy(), pa.int8())
    meta = {"inputs": "y", "settings": {}}
    changed = frames.set_column(place, "AU12", flipped)
    store.write_table(run.parent.parent / "frames.parquet", changed, meta)
    text, _ = read(write_html([run]))
    assert "Reliability:" not in text
    assert "are not beside it any more" in text


def test_the_map_of_features_is_shown_if_the_run_kept_features(run):
    assert "kept no features" in read(write_html([run]))[0]
    rng = np.random.default_rng(0)
    table = {"frame_id": list(range(16)), "subject": ["F001", "M001"] * 8, "sex": ["F", "M"] * 8}
    for au in AUS:
        table[au] = pa.FixedSizeListArray.from_arrays(pa.array(rng.random(16 * 6), pa.float32()), 6)
    store.write_table(
        run / "fold1" / "features.parquet", pa.table(table), {"inputs": "x", "settings": {}}
    )
    text, _ = read(write_html([run]))
    assert "t-SNE map of AU features of 16 faces of 2 subjects" in text
    assert text == write_html([run]).read_text()


def test_the_peak_of_attention_is_described_in_words():
    attention = np.zeros((7, 7), np.float32)
    attention[0, 6] = 1
    assert attention_peak(attention) == "upper right"
    assert attention_peak(attention.T) == "lower left"
    assert attention_peak(np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0]])) == "middle"


@pytest.mark.slow
def test_a_page_of_many_faces_is_small(run):
    write_gallery(run, {}, side=300)
    many = store.read_table(run / "gallery.parquet")
    many = pa.concat_tables([many] * 6).replace_schema_metadata(None).slice(0, 180)
    meta = {"inputs": "x", "settings": {"height": 4, "width": 4}}
    store.write_table(run / "gallery.parquet", many, meta)
    path = write_html([run])
    assert path.read_text().count("<article") == 180
    # The faces here are noise, which JPEG cannot make small.
    assert path.stat().st_size < 8e6


def test_of_one_subject_the_map_of_features_has_one_colouring(run):
    rng = np.random.default_rng(0)
    table = {"frame_id": list(range(9)), "subject": ["F001"] * 9}
    table["sex"] = pa.nulls(9, pa.string())
    for au in AUS:
        table[au] = pa.FixedSizeListArray.from_arrays(pa.array(rng.random(9 * 6), pa.float32()), 6)
    meta = {"inputs": "x", "settings": {}}
    store.write_table(run / "fold1" / "features.parquet", pa.table(table), meta)
    text, _ = read(write_html([run]))
    assert "t-SNE map of AU features of 9 faces of 1 subject, by action unit." in text


def test_undefined_figures_are_listed_in_a_table(tmp_path):
    lines = [f"f1 of AU12 in fold {fold}: no positive frame in the test part" for fold in (1, 2)]
    folder = tmp_path / "work" / "synthetic" / "runs" / "one"
    _, page = read(write_html([write_run(folder, changes={"undefined": lines})]))
    table = page.tables["Undefined and left out of means: 2"]
    assert table[1:] == [
        [f"f1 of AU12 in fold {fold}", "no positive frame in the test part"] for fold in (1, 2)
    ]


def test_hundreds_of_undefined_figures_do_not_fill_the_terminal(tmp_path, capsys):
    lines = [f"f1 of AU12 in fold {fold}: no positive frame" for fold in range(1, 42)]
    folder = tmp_path / "work" / "synthetic" / "runs" / "one"
    show_results(write_run(folder, changes={"undefined": lines}))
    printed = [
        line for line in capsys.readouterr().out.splitlines() if line.startswith("undefined")
    ]
    assert printed[0].endswith(lines[0])
    assert printed[-1].endswith(f"{41 - len(printed) + 1} more, see report.html")
    assert len(printed) < 20


def test_aus_below_the_mean_beyond_noise_are_named(tmp_path):
    mean = row("f1", 0.8, low=0.7, high=0.9)
    weak = row("f1", 0.5, au=AUS[0], low=0.4, high=0.69)
    unsure = row("f1", 0.6, au=AUS[1], low=0.4, high=0.71)
    runs = tmp_path / "work" / "synthetic" / "runs"
    some = write_run(runs / "some", extra=[mean, weak, unsure])
    assert f"begins): {AUS[0]}. Strongest" in read(write_html([some]))[0]
    none = write_run(runs / "none", extra=[mean, unsure])
    assert "None has an interval that ends before" in read(write_html([none]))[0]


def test_aus_whose_lead_over_the_baseline_has_no_interval_are_named(tmp_path):
    extra = [
        row("above_trivial", 0.2, au=AUS[0], low=0.1, high=0.3),
        row("above_trivial", 0.3, au=AUS[1]),
    ]
    runs = tmp_path / "work" / "synthetic" / "runs"
    text = read(write_html([write_run(runs / "above", extra=extra)]))[0]
    untested = f"Not tested, since the difference has no interval: {AUS[1]}."
    assert "Every action unit with an interval is above the baseline (always active)" in text
    assert untested in text
    extra.append(row("above_trivial", 0.1, au=AUS[2], low=-0.1, high=0.3))
    text = read(write_html([write_run(runs / "some", extra=extra)]))[0]
    assert f"reaches 0: {AUS[2]}. {untested}" in text


def test_subjects_whose_frames_were_left_out_are_not_counted(tmp_path):
    """M002 has no prediction, and the rule of the run is to leave such frames out."""
    counts = dict.fromkeys(AUS, (1, 1, 1, 1))
    changes = {
        "subject_counts": SubjectCounts(
            folds={1: {"F001": counts, "M001": counts}, 2: {"F002": counts}}
        ),
        "showing_subjects": {1: dict.fromkeys(AUS, 2), 2: dict.fromkeys(AUS, 1)},
        "missing": MissingFrames(rule="drop", frames={"M002": 8}),
    }
    folder = write_run(tmp_path / "work" / "synthetic" / "runs" / "one", changes=changes)
    text, page = read(write_html([folder]))
    assert ", 3 subjects, 4 action units." in text
    assert "Fold 2 tests 1 subject: F002." in text
    showing = page.tables["Tested subjects who show each action unit, by fold"]
    assert showing[1] == [AUS[0], "2 of 2", "1 of 1"]


def test_a_headline_without_an_interval_says_why(tmp_path):
    how = {"method": "jackknife_t", "resamples": 0, "level": 0.95, "seed": 0, "note": "Subjects."}
    changes = {"uncertainty": results_file.Uncertainty(**how)}
    folder = write_run(tmp_path / "work" / "synthetic" / "runs" / "one", changes=changes)
    results = results_file.read(folder)
    assert "(no interval: the subjects show no spread)." in read(write_html([folder]))[0]
    tested = {1: ["F001"], 2: ["M001", "M002"]}
    alone = results.protocol.model_copy(update={"test_subjects": tested})
    rows = [
        line.model_copy(update={"value": 0.5, "low": 0.25, "high": 0.75})
        if (line.metric, line.scope, line.au) == ("f1", "pooled", None)
        else line
        for line in results.metrics
    ]
    changed = {"protocol": alone, "metrics": rows}
    results_file.write(folder, results.model_copy(update=changed))
    text, _ = read(write_html([folder]))
    assert (
        "(no interval: a test part has one subject); over all frames pooled it is 50.0\u00a0%, "
        "95\u00a0% interval 25.0 to 75.0\u00a0%." in text
    )


def test_the_same_run_is_not_compared_with_itself(run):
    with pytest.raises(UsageError, match="named twice"):
        write_html([run, run.parent / "." / run.name])


def test_the_training_of_many_folds_is_summarised():
    logs = {
        fold: [{"epoch": 1, "total": 3.0 + fold}, {"epoch": 2, "total": 1.0 + fold}]
        for fold in range(1, 42)
    }
    words = draw_training(logs).words
    assert words == (
        "Training loss; 41 folds: from 4.000 to 44.000 after the first epoch, "
        "from 2.000 to 42.000 after the last one."
    )
    few = draw_training({fold: logs[fold] for fold in (1, 2)}).words
    assert "fold 2: from 5.000 to 3.000 in 2 epochs" in few


def test_how_often_each_action_unit_is_active_stands_beside_its_figures(tmp_path):
    # tp, fp, fn, tn: six of eight frames active, then one of four coded.
    outcomes = {
        "AU01": (5, 1, 1, 1),
        "AU06": (1, 0, 0, 3),
        "AU12": (0, 0, 0, 8),
        "AU25": (8, 0, 0, 0),
    }
    counts = SubjectCounts(
        folds={fold: dict.fromkeys(subjects, outcomes) for fold, subjects in SUBJECTS.items()}
    )
    run = write_run(tmp_path / "synthetic" / "runs" / "one", changes={"subject_counts": counts})
    page = _Page(write_html([run]).read_text())
    (table,) = (rows for name, rows in page.tables.items() if name.startswith("By action unit"))
    place = table[0].index("Active frames")
    assert [line[place] for line in table[1:]] == ["75.0", "25.0", "0.0", "100.0", "50.0"]
