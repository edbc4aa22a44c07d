"""Figures of a whole run: intervals, figures by sex and subject, and results files."""

import json
from dataclasses import replace

import numpy as np
import pytest

from fauds.errors import DataError
from fauds.evaluation import results as results_file
from fauds.evaluation.results import MissingFrames, Protocol, Results
from fauds.evaluation.score import FoldScores, FrameOwners, run_figures
from fauds.metrics.comparison import difference_interval
from fauds.metrics.intervals import intervals
from fauds.metrics.occurrence import count, f1
from fauds.targets.expression import Expression
from fauds.targets.occurrence import Occurrence

AUS = ("AU01", "AU12")
TARGET = Occurrence(aus=AUS)
SEXES = {"F1": "F", "F2": "F", "F3": "F", "M1": "M", "M2": "M", "M3": "M", "X1": None, "X2": None}
FOLDS = {1: ("F1", "M1", "X1", "F3"), 2: ("F2", "M2", "M3", "X2")}


@pytest.fixture(scope="module")
def run():
    rng = np.random.default_rng(0)
    folds, subjects = {}, {}
    for fold, names in FOLDS.items():
        subjects[fold] = np.repeat(names, 25)
        labels = rng.choice([-1, 0, 1], (100, 2), p=[0.1, 0.5, 0.4]).astype(np.int8)
        right = rng.random((100, 2)) < 0.8
        scores = np.where(right == (labels == 1), 0.75, 0.25).astype(np.float32)
        folds[fold] = FoldScores(labels, scores, np.array([0.4, 0.4]))
    return folds, subjects, figures_of(folds, subjects)


def figures_of(folds, subjects):
    owners = {fold: FrameOwners(names, names, True) for fold, names in subjects.items()}
    return run_figures(folds, owners, SEXES, TARGET, 0.5, "last")


def rows_of(figures, **wanted):
    return [
        row
        for row in figures.metrics
        if all(getattr(row, name) == value for name, value in wanted.items())
    ]


def test_f1_and_accuracy_over_all_folds_have_intervals_over_subjects(run):
    _, _, figures = run
    grouped = figures.subject_counts.grouped(TARGET)
    for scope in ("mean_of_folds", "pooled"):
        expected = intervals(grouped.counts, grouped.folds, f1, estimand=scope)
        for i, au in enumerate((*AUS, None)):
            (row,) = rows_of(figures, metric="f1", scope=scope, au=au)
            assert row.value == pytest.approx(expected.value[i])
            assert (row.low, row.high) == pytest.approx((expected.low[i], expected.high[i]))
            assert row.low < row.value < row.high
    assert {row.low for row in rows_of(figures, scope="fold")} == {None}
    assert figures.uncertainty.level == 0.95
    assert figures.uncertainty.unit == "subject"


def test_figures_by_sex_leave_out_subjects_of_unknown_sex(run):
    folds, subjects, figures = run
    labels, predicted, owners = (
        np.concatenate([part[fold] for fold in folds])
        for part in (
            {fold: scores.labels for fold, scores in folds.items()},
            {fold: scores.scores for fold, scores in folds.items()},
            subjects,
        )
    )
    assert {row.group for row in rows_of(figures, scope="sex")} == {"F", "M"}
    for sex in "FM":
        selected = np.isin(owners, [name for name, of_sex in SEXES.items() if of_sex == sex])
        expected = f1(count(labels[selected], predicted[selected] >= 0.5))
        for au, value in zip((*AUS, None), (*expected, expected.mean()), strict=True):
            (row,) = rows_of(figures, metric="f1", scope="sex", group=sex, au=au)
            assert row.value == pytest.approx(value)
            assert row.low < value < row.high
        assert row.n == (labels[selected] >= 0).any(axis=1).sum()


def test_every_subject_has_a_figure_over_all_aus(run):
    folds, subjects, figures = run
    of_subject = subjects[2] == "M3"
    counts = count(folds[2].labels[of_subject], folds[2].scores[of_subject] >= 0.5)
    (row,) = rows_of(figures, metric="f1", scope="subject", group="M3")
    assert row.value == pytest.approx(f1(counts).mean())
    assert row.n == (folds[2].labels[of_subject] >= 0).any(axis=1).sum()
    assert {row.group for row in rows_of(figures, scope="subject")} == set(SEXES)


def test_a_subject_who_lacks_an_au_is_compared_over_the_aus_that_all_show(run):
    folds, subjects, _ = run
    labels = folds[1].labels.copy()
    labels[(subjects[1] == "X1") & (labels[:, 1] == 1), 1] = 0
    figures = figures_of({**folds, 1: replace(folds[1], labels=labels)}, subjects)
    assert figures.subject_names == {"f1": ["AU01"], "accuracy": ["AU01", "AU12"]}
    of_subject = subjects[2] == "M3"
    counts = count(folds[2].labels[of_subject], folds[2].scores[of_subject] >= 0.5)
    (row,) = rows_of(figures, metric="f1", scope="subject", group="M3")
    assert row.value == pytest.approx(f1(counts)[0])


def test_each_au_is_compared_with_predicting_it_in_every_frame(run):
    folds, _, figures = run
    expected = []
    for scores in folds.values():
        counts = count(scores.labels, scores.scores >= 0.5)
        share = (scores.labels == 1).sum(axis=0) / (scores.labels >= 0).sum(axis=0)
        expected.append(f1(counts) - 2 * share / (1 + share))
    grouped = figures.subject_counts.grouped(TARGET)
    always = TARGET.trivial_counts(grouped.counts)
    values = [*np.mean(expected, axis=0), np.mean(expected)]
    interval = difference_interval(
        [grouped.counts], [always], grouped.folds, f1, estimand="mean_of_folds"
    )
    for i, au in enumerate((*AUS, None)):
        (row,) = rows_of(figures, metric="above_trivial", au=au)
        assert row.scope == "mean_of_folds" and row.value == pytest.approx(values[i])
        assert (row.low, row.high) == pytest.approx((interval.low[i], interval.high[i]))


def test_women_minus_men_is_the_difference_of_their_figures(run):
    _, _, figures = run
    for au in (*AUS, None):
        women, men = (
            rows_of(figures, metric="skew_f1", scope="sex", group=sex, au=au)[0].value
            for sex in "FM"
        )
        (row,) = rows_of(figures, metric="skew_f1", scope="sex_difference", au=au)
        assert row.value == pytest.approx(women - men)
        assert row.low < row.value < row.high


def test_aus_without_an_interval_are_named_with_the_reason(run):
    """In fold 1 only F3 shows AU01, and AU12 is never predicted."""
    folds, subjects, whole = run
    assert whole.without_interval == []
    assert whole.showing_subjects == {1: dict.fromkeys(AUS, 4), 2: dict.fromkeys(AUS, 4)}
    labels = folds[1].labels.copy()
    labels[(subjects[1] != "F3") & (labels[:, 0] == 1), 0] = 0
    never = {
        fold: replace(scores, scores=scores.scores * np.array([1, 0], np.float32))
        for fold, scores in {**folds, 1: replace(folds[1], labels=labels)}.items()
    }
    figures = figures_of(never, subjects)
    assert figures.without_interval == [
        "F1 of AU01: in fold 1, F3 is the only one of 4 subjects who shows it",
        "F1 of AU12: the value is the same without any one subject",
    ]
    assert figures.showing_subjects[1] == {"AU01": 1, "AU12": 4}
    for au in AUS:
        (row,) = rows_of(figures, metric="f1", scope="mean_of_folds", au=au)
        assert row.value is not None and row.low is row.high is None


def test_a_fold_of_a_single_subject_is_the_reason_for_no_interval(run):
    folds, subjects, _ = run
    alone = subjects[1] == "F1"
    kept = replace(folds[1], labels=folds[1].labels[alone], scores=folds[1].scores[alone])
    figures = figures_of({**folds, 1: kept}, {**subjects, 1: subjects[1][alone]})
    assert figures.without_interval == [f"F1 of {au}: fold 1 tests a single subject" for au in AUS]


def finished(figures, **changed):
    protocol = Protocol(
        folds="random-2fold-seed0",
        test_subjects={fold: sorted(names) for fold, names in FOLDS.items()},
        aus=list(AUS),
        occurrence="coded",
        threshold=0.5,
        selection="last",
        alignment="none 1",
        frame_set="every coded frame",
    )
    values = dict.fromkeys(("protocol_hash", "pretraining", "command"), "")
    return Results(
        benchmark="bp4d",
        benchmark_version=1,
        protocol=protocol,
        synthetic=True,
        model="vlfau",
        preset="tiny",
        settings={},
        seeds=[0],
        versions={},
        frames_fingerprint="",
        frames_offered=200,
        frames_scored=200,
        frames_without_image={},
        undefined=[],
        seconds=0.0,
        computed_on=[],
        provenance={},
        metrics=figures.metrics,
        summary=figures.summary,
        **{**values, **changed},
    )


def test_results_are_read_as_they_were_written(run, tmp_path):
    _, _, figures = run
    results = finished(
        figures,
        uncertainty=figures.uncertainty,
        chosen={1: {"validation": {"epoch": 3}}},
        subject_counts=figures.subject_counts,
        missing=MissingFrames(rule="drop", frames={"F1": 2}),
    )
    results_file.write(tmp_path, results)
    assert results_file.read(tmp_path) == results


def test_results_of_an_older_fauds_are_still_read(run, tmp_path):
    _, _, figures = run
    plain = finished(figures).model_dump(mode="json")
    for name in ("uncertainty", "chosen", "optimism", "subject_counts", "missing"):
        del plain[name]
    old = [row for row in plain["metrics"] if row["scope"] not in ("sex", "subject")]
    plain["metrics"] = [{k: v for k, v in row.items() if k != "group"} for row in old]
    (tmp_path / "results.json").write_text(json.dumps(plain))
    results = results_file.read(tmp_path)
    assert results.uncertainty is None
    assert results.value("f1", "mean_of_folds") == figures.summary["f1"]
    plain["metrics"][0]["scope"] = "galaxy"
    (tmp_path / "results.json").write_text(json.dumps(plain))
    with pytest.raises(DataError, match="not a results file"):
        results_file.read(tmp_path)


def test_a_value_is_that_of_the_protocols_selection_unless_another_is_named(run):
    _, _, figures = run
    (row,) = rows_of(figures, metric="f1", scope="mean_of_folds", au=None)
    other = row.model_copy(update={"selection": "best_test_epoch", "value": 0.99})
    results = finished(figures)
    results = results.model_copy(update={"metrics": [other, *results.metrics]})
    assert results.value("f1", "mean_of_folds") == row.value
    chosen = results.row("f1", "mean_of_folds", selection="best_test_epoch")
    assert chosen.value == 0.99
    assert results.value("always_active_f1", "mean_of_folds") is not None
    assert results.row("f1", "sex", group="F").group == "F"
    assert results.row("f1", "sex") is None


CLASSES = Expression(classes=("calm", "glad", "cross"))


@pytest.fixture(scope="module")
def images():
    """Return the labels and scores of 80 images of unknown subjects, and the figures."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 3, 80).astype(np.int16)
    scores = rng.random((80, 3)).astype(np.float32)
    scores[np.arange(80), labels] += 0.4
    keys = np.array([f"test_{number:04d}" for number in range(80)])
    owners = {1: FrameOwners(keys, np.full(80, "test"), False)}
    folds = {1: FoldScores(labels, scores, np.array([0.2, 0.5, 0.3]))}
    sexes = dict(zip(keys.tolist(), ["F", "M"] * 40, strict=True))
    return labels, scores, run_figures(folds, owners, sexes, CLASSES, 0.5, "last")


def test_intervals_of_unknown_subjects_are_over_images_and_say_so(images):
    labels, scores, figures = images
    assert figures.uncertainty.unit == "image"
    assert "people may repeat" in figures.uncertainty.note
    counts = CLASSES.count_by(labels, CLASSES.decide(scores, 0.5), np.arange(80), 80)
    statistic = CLASSES.statistics["accuracy"]
    expected = intervals(counts, np.ones(80, int), statistic, estimand="mean_of_folds")
    (row,) = rows_of(figures, metric="accuracy", scope="mean_of_folds", au=None)
    assert row.value == pytest.approx((scores.argmax(axis=1) == labels).mean())
    assert (row.low, row.high) == pytest.approx((expected.low[-1], expected.high[-1]))


def test_counts_of_unknown_subjects_are_the_confusion_matrix_of_the_test_part(images):
    labels, scores, figures = images
    plain = [[0] * 3 for _ in range(3)]
    for label, decided in zip(labels.tolist(), scores.argmax(axis=1).tolist(), strict=True):
        plain[label][decided] += 1
    by_name = dict(zip(CLASSES.names, map(tuple, plain), strict=True))
    assert figures.subject_counts.folds == {1: {"test": by_name}}
    assert rows_of(figures, scope="subject") == []


def test_figures_by_sex_need_no_subjects(images):
    labels, scores, figures = images
    right = scores.argmax(axis=1) == labels
    for sex, first in (("F", 0), ("M", 1)):
        (row,) = rows_of(figures, metric="accuracy", scope="sex", group=sex, au=None)
        assert row.value == pytest.approx(right[first::2].mean())
        assert row.low < row.value < row.high


def test_baselines_of_classes_are_figures_of_the_fold(images):
    labels, _, figures = images
    shares = np.bincount(labels, minlength=3) / 80
    assert figures.summary["majority_accuracy"] == pytest.approx(shares[1])
    assert figures.summary["prior_accuracy"] == pytest.approx(shares @ [0.2, 0.5, 0.3])
