"""Two models on the same frames: figures, verdicts, and what cannot be compared."""

import json
from dataclasses import replace

import numpy as np
import pytest

from fauds.errors import DataError, UsageError
from fauds.evaluation import finished as loading
from fauds.evaluation import results as results_file
from fauds.evaluation.compare import changed_settings, compare_runs
from fauds.evaluation.results import SubjectCounts, by_subject
from fauds.report.compare import as_data, verdict
from fauds.targets.occurrence import Occurrence
from tests.report.made import (
    AUS,
    TARGET,
    decided,
    made_labels,
    plain_f1,
    relabelled,
    results_of,
    write_run,
)

TRUTH = made_labels()


def loaded(name, decisions, seed=0, truth=TRUTH, **changed):
    results = results_of(truth, decisions, seed, **changed)
    return loading.CountedRun(
        name, results, results.subject_counts.grouped(results.protocol.predicts)
    )


@pytest.fixture(scope="module")
def models():
    """Two trainings of one model, and a model that errs twice as often."""
    return (
        loaded("first", decided(TRUTH, 0.15, 1), seed=0),
        loaded("second", decided(TRUTH, 0.15, 2), seed=1),
        loaded("worse", decided(TRUTH, 0.30, 3), seed=0),
    )


def mean_of_folds(decisions, au):
    values = []
    for fold in (1, 2, 3):
        here = TRUTH.folds == fold
        values.append(plain_f1(TRUTH.labels[here, au], decisions[here, au]))
    return np.mean(values)


def test_the_figures_are_those_of_a_count_frame_by_frame(models):
    first, _, worse = models
    f1 = compare_runs([first], [worse]).metrics["f1"]
    a = [mean_of_folds(decided(TRUTH, 0.15, 1), au) for au in range(3)]
    b = [mean_of_folds(decided(TRUTH, 0.30, 3), au) for au in range(3)]
    assert f1.a == pytest.approx([*a, np.mean(a)])
    assert f1.b == pytest.approx([*b, np.mean(b)])
    assert f1.comparison.difference == pytest.approx(f1.a - f1.b)


def test_two_trainings_of_one_model_cannot_be_told_apart(models):
    first, second, _ = models
    pair = compare_runs([first], [second])
    sentences = verdict(pair)
    assert sentences[0].startswith("These two models cannot be told apart on these 18 subjects: ")
    assert sentences[1].startswith("Mean accuracy does not tell them apart")
    assert "another seed" in sentences[2]
    f1 = pair.metrics["f1"].comparison
    assert f1.low[-1] < 0 < f1.high[-1]


def test_the_better_model_is_named_whichever_comes_first(models):
    first, _, worse = models
    points = 100 * compare_runs([first], [worse]).metrics["f1"].comparison.difference[-1]
    for pair, (better, other) in (
        (compare_runs([first], [worse]), "ab"),
        (compare_runs([worse], [first]), "ba"),
    ):
        beginning = f"Model {better} is better than model {other} on these 18 subjects: "
        assert verdict(pair)[0].startswith(f"{beginning}by {points:.1f} points of mean F1")


def test_seeds_that_differ_are_no_better_model(models):
    first, _, worse = models
    sentences = verdict(compare_runs([first], [worse]))
    assert "The two differ by the seed alone" in sentences[-1]
    settings = {**worse.results.settings, "model": {"dim": 32}}
    other = replace(worse, results=worse.results.model_copy(update={"settings": settings}))
    assert (
        "what training with another seed would change"
        in verdict(compare_runs([first], [other]))[-1]
    )


def test_seeds_are_averaged_by_subject_and_each_is_shown(models):
    first, second, worse = models
    f1 = compare_runs([first, second], [worse]).metrics["f1"]
    alone = [compare_runs([run], [worse]).metrics["f1"].a for run in (first, second)]
    assert f1.of_seeds_a == pytest.approx([figures[-1] for figures in alone])
    tp, errors = (np.zeros((3, 3)) for _ in range(2))
    for wrong, seed in ((0.15, 1), (0.15, 2)):
        decisions = decided(TRUTH, wrong, seed)
        for fold in (1, 2, 3):
            here = TRUTH.folds == fold
            coded = TRUTH.labels[here] >= 0
            right = decisions[here] == (TRUTH.labels[here] == 1)
            tp[fold - 1] += (coded & right & decisions[here]).sum(axis=0)
            errors[fold - 1] += (coded & ~right).sum(axis=0)
    assert f1.a[:-1] == pytest.approx((2 * tp / (2 * tp + errors)).mean(axis=0))


def test_seeds_that_differ_more_than_the_models_are_reported():
    runs = [loaded(f"run{seed}", decided(TRUTH, 0.1 + 0.1 * seed, seed), seed) for seed in (0, 1)]
    other = [
        loaded(f"other{seed}", decided(TRUTH, 0.1 + 0.1 * seed, 7 + seed), seed) for seed in (0, 1)
    ]
    assert verdict(compare_runs(runs, other))[-1] == (
        "The seeds of one model alone differ by more than the two models do."
    )


def test_where_every_subject_is_a_fold_the_frames_of_all_are_taken_together():
    names, alone = np.unique(TRUTH.subjects, return_inverse=True)
    truth = replace(TRUTH, folds=alone + 1)
    decisions = [decided(truth, 0.15, 1), decided(truth, 0.30, 3)]
    folds = {fold + 1: [name] for fold, name in enumerate(names.tolist())}
    runs = [loaded(f"run{i}", decisions[i], i, truth, test_subjects=folds) for i in range(2)]
    pair = compare_runs([runs[0]], [runs[1]])
    pooled = [plain_f1(truth.labels[:, au], decisions[0][:, au]) for au in range(3)]
    assert pair.estimand == "pooled"
    assert pair.metrics["f1"].a == pytest.approx([*pooled, np.mean(pooled)])
    assert verdict(pair)[0].startswith("Model a is better than model b on these 18 subjects")


def test_one_side_holds_seeds_of_one_setting_only(models):
    first, second, _ = models
    settings = {**second.results.settings, "model": {"dim": 32}}
    other = loading.CountedRun(
        "wider", second.results.model_copy(update={"settings": settings}), second.counted
    )
    with pytest.raises(UsageError, match=r"differ by more than the seed: model\.dim"):
        compare_runs([first, other], [second])
    for twice in (first, loaded("again", decided(TRUTH, 0.15, 4), seed=0)):
        with pytest.raises(UsageError, match="are the same or have the same seed: first"):
            compare_runs([first, twice], [second])


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"threshold": 0.4}, "the threshold (0.5 against 0.4)"),
        ({"alignment": "jaa 1"}, "the alignment (none 1: the frames as they are against jaa 1)"),
        ({"frame_set": "a list"}, "the frame set (every coded frame with an image against a list)"),
        ({"folds": "random"}, "the fold list (published-3fold against random)"),
        ({"occurrence": "intensity >= 2"}, "the rule of occurrence (coded against intensity >= 2)"),
        ({"benchmark_version": 2}, "the benchmark version (1 against 2)"),
        ({"test_subjects": {1: ["F001"]}}, "fold 1: 6 and 1 subjects, fold 2: 6 and 0 subjects"),
        ({"frames_fingerprint": "0"}, "the scored frames or their labels (1,080 frames each, not"),
        ({"frames_fingerprint": "0", "frames_scored": 9}, "the scored frames (1,080 against 9)"),
    ],
)
def test_other_protocols_and_frames_are_refused_in_words(models, changed, words):
    other = loaded("other", decided(TRUTH, 0.15, 2), **changed)
    with pytest.raises(DataError) as refused:
        compare_runs([models[0]], [other])
    assert str(refused.value).startswith("first and other cannot be compared: they differ in ")
    assert words in str(refused.value)


def test_other_action_units_are_named(models):
    results = models[1].results
    protocol = results.protocol.model_copy(update={"aus": ["AU01", "AU12", "AU26"]})
    other = results.model_copy(update={"protocol": protocol})
    with pytest.raises(DataError, match="the first run: AU24; only in the second run: AU26"):
        compare_runs([models[0]], [loading.CountedRun("other", other, models[1].counted)])


def external(name, decisions, **changed):
    """Return results of external predictions, which declare less."""
    known = {
        "preset": "elsewhere",
        "model": "openface",
        "settings": {"predictions": f"/data/{name}.csv"},
        "seeds": [],
        "selection": "elsewhere",
        "alignment": "not known: predictions made elsewhere",
        "frame_set": "every coded frame",
    }
    run = loaded(name, decisions, **{**known, **changed})
    rows = [row.model_copy(update={"selection": "elsewhere"}) for row in run.results.metrics]
    return replace(run, results=run.results.model_copy(update={"metrics": rows}))


def test_external_predictions_are_compared_with_a_note_on_what_they_do_not_declare(models):
    pair = compare_runs([models[0]], [external("other", decided(TRUTH, 0.15, 2))])
    assert [words.partition(" (")[0] for words in pair.undeclared] == [
        "the selection of the epoch",
        "the alignment",
        "the frame set",
    ]
    assert changed_settings(models[0].results, pair.b[0].results) == {
        "model": ("vlfau", "openface")
    }
    other = external("other", decided(TRUTH, 0.15, 2), threshold=0.4)
    with pytest.raises(DataError, match="the threshold"):
        compare_runs([models[0]], [other])


def test_action_units_in_another_order_are_named_as_that(models):
    other = loaded("other", decided(TRUTH, 0.15, 2), aus=list(AUS[::-1]))
    with pytest.raises(DataError, match=r"the action units \(in another order\)"):
        compare_runs([models[0]], [other])


def test_external_predictions_with_one_model_name_are_one_model(models):
    one, two = (external(name, decided(TRUTH, 0.15, i)) for i, name in enumerate(("one", "two")))
    assert len(compare_runs([one, two], [models[0]]).metrics["f1"].of_seeds_a) == 2
    with pytest.raises(UsageError, match=r"differ by more than the seed: model\."):
        compare_runs([one, external("two", decided(TRUTH, 0.1, 3), model="pyfeat")], [models[0]])
    with pytest.raises(UsageError, match="are the same"):
        compare_runs([one, one], [models[0]])


def test_counts_survive_the_results_file(tmp_path):
    decisions = decided(TRUTH, 0.2, 5)
    counts = by_subject(
        TARGET, TRUTH.labels, decisions, TRUTH.folds, TRUTH.subjects, {"F001": "F", "M002": None}
    )
    back = SubjectCounts.model_validate_json(SubjectCounts.of(counts, TARGET).model_dump_json())
    again = back.grouped(Occurrence(aus=AUS[::-1]))
    for name in ("tp", "fp", "fn", "tn"):
        values = getattr(again.counts, name)
        assert np.array_equal(values, getattr(counts.counts, name)[:, ::-1])
    assert again.subjects == counts.subjects
    assert again.folds.tolist() == counts.folds.tolist()
    assert again.sexes == counts.sexes
    first = TRUTH.subjects == "F001"
    hits = (TRUTH.labels[first] == 1) & decisions[first]
    assert back.folds[1]["F001"]["AU12"][0] == hits[:, 1].sum()
    assert back.sexes == {"F001": "F"}


def test_results_without_counts_are_counted_again_from_the_predictions(tmp_path):
    decisions = decided(TRUTH, 0.2, 5)
    run = write_run(tmp_path / "bp4d" / "runs" / "one", TRUTH, decisions)
    whole = loading.load(run)
    results_file.write(run, whole.results.model_copy(update={"subject_counts": None}))
    again = loading.load(run)
    assert again.counted.subjects == whole.counted.subjects
    assert again.counted.sexes == whole.counted.sexes
    for name in ("tp", "fp", "fn", "tn"):
        assert np.array_equal(
            getattr(again.counted.counts, name), getattr(whole.counted.counts, name)
        )
    with pytest.raises(DataError, match="hold no counts by subject"):
        loading.load(run / "results.json")
    write_run(tmp_path / "bp4d" / "runs" / "two", relabelled(TRUTH, 1), decisions)
    with pytest.raises(DataError, match="labels have changed since this run was scored"):
        loading.load(run)


def test_the_data_are_plain_json_with_one_row_per_au_and_the_mean(models):
    first, _, worse = models
    pair = compare_runs([first], [worse])
    data = json.loads(json.dumps(as_data(pair), allow_nan=False))
    rows = data["metrics"]["f1"]["rows"]
    assert [row["au"] for row in rows] == [*AUS, None]
    assert rows[-1]["difference"] == pytest.approx(rows[-1]["a"] - rows[-1]["b"])
    assert data["metrics"]["f1"]["told_apart"] is True
    assert (data["a"], data["b"], data["subjects"]) == (["first"], ["worse"], 18)
