"""Two models on the same frames: figures, verdicts, and what cannot be compared."""

import json
from dataclasses import replace

import numpy as np
import pytest

from fauds.errors import DataError, UsageError
from fauds.evaluation import finished as loading
from fauds.evaluation import results as results_file
from fauds.evaluation.compare import changed_settings, compare_runs
from fauds.evaluation.results import EXTERNAL, SubjectCounts, by_subject
from fauds.report.compare import as_data, show_comparison, verdict
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
    assert sentences[0].startswith(
        "These two trained models cannot be told apart for people like these 18: "
    )
    f1 = pair.metrics["f1"].comparison
    half = 100 * (f1.high[-1] - f1.low[-1]) / 2
    assert f"detects a true difference of {1.4 * half:.1f} points in about four" in sentences[0]
    assert sentences[1].startswith("Mean accuracy does not tell them apart")
    assert "train three to five seeds of each and join them with commas" in sentences[2]
    assert f1.low[-1] < 0 < f1.high[-1]


def test_the_better_model_is_named_whichever_comes_first(models):
    first, _, worse = models
    points = 100 * compare_runs([first], [worse]).metrics["f1"].comparison.difference[-1]
    for pair, (better, other) in (
        (compare_runs([first], [worse]), "ab"),
        (compare_runs([worse], [first]), "ba"),
    ):
        whom = "for people like these 18"
        beginning = f"Trained model {better} is better than trained model {other} {whom}: "
        assert verdict(pair)[0].startswith(f"{beginning}by {points:.1f} points of mean F1")


def test_the_method_is_judged_only_where_both_sides_have_several_seeds():
    sides = [
        [loaded(f"{name}{seed}", decided(TRUTH, wrong, seed), seed) for seed in seeds]
        for name, wrong, seeds in (("good", 0.15, (1, 2)), ("bad", 0.35, (3, 4)))
    ]
    settings = {**sides[1][0].results.settings, "model": {"dim": 32}}
    for run in sides[1]:
        run.results.settings.update(settings)
    assert verdict(compare_runs(*sides))[0].startswith("Model a is better than model b ")
    one = verdict(compare_runs(sides[0], sides[1][:1]))
    assert one[0].startswith("Model a is better than trained model b ")
    assert "one training run" in one[-1]


def test_the_seeds_of_one_side_alone_are_said_to_be_of_that_side(models, capsys):
    first, second, worse = models
    show_comparison(compare_runs([worse], [first, second]))
    printed = capsys.readouterr().out
    assert "its 95 % interval over subjects and the training seeds of model b; p:" in printed
    show_comparison(compare_runs([worse], [first]))
    printed = capsys.readouterr().out
    assert "its 95 % interval over subjects; p:" in printed
    assert "Not in the interval: that models trained on other subjects would differ too" in printed


def test_a_metric_without_an_interval_gets_no_verdict(models):
    """A difference that no subject changes says nothing about other subjects."""
    first, second, _ = models
    pair = compare_runs([first], [second])

    def unknown(compared):
        ends = dict.fromkeys(("low", "high"), np.full(4, np.nan))
        return replace(compared, comparison=compared.comparison._replace(**ends))

    alike = {name: unknown(compared) for name, compared in pair.metrics.items()}
    lines = verdict(replace(pair, metrics=alike), margin=0.01)
    for line, figure in zip(lines, ("mean F1", "mean accuracy"), strict=False):
        assert line.startswith(f"The {figure} of these two trained models differs by ")
        assert line.endswith("so that there is no interval and no verdict.")
    assert not any("equivalent" in line or "tell them apart" in line for line in lines)
    data = as_data(replace(pair, metrics=alike), margin=0.01)["metrics"]
    assert data["f1"]["equivalent"] is data["accuracy"]["equivalent"] is None


def test_equivalence_is_said_only_if_the_interval_lies_within_the_margin(models):
    first, second, _ = models
    pair = compare_runs([first], [second])
    comparison = pair.headline.comparison
    reach = max(abs(comparison.low[-1]), abs(comparison.high[-1]))
    within, beyond = 1.1 * reach, 0.9 * reach
    assert "They are equivalent within" in verdict(pair, within)[1]
    assert "within 100 points: " in verdict(pair, 1.0)[1]
    assert "equivalent within 1 point is not shown: " in verdict(pair, 0.01)[1]
    assert "is not shown: the interval reaches further" in verdict(pair, beyond)[1]
    assert not any("equivalent" in line for line in verdict(pair))
    assert as_data(pair, within)["metrics"]["f1"]["equivalent"] is True


def test_a_p_value_that_disagrees_with_the_interval_is_explained(models):
    first, _, worse = models
    pair = compare_runs([first], [worse])
    f1 = pair.metrics["f1"]
    p = f1.comparison.p.copy()
    p[-1] = 0.2
    changed = replace(f1, comparison=f1.comparison._replace(p=p))
    lines = verdict(replace(pair, metrics={**pair.metrics, "f1": changed}))
    assert "The permutation test, a check, disagrees (p 0.200)" in lines[1]
    assert "follows the interval, which excludes 0" in lines[1]
    assert not any("disagrees" in line for line in verdict(pair))


def test_two_models_that_decide_alike_get_no_verdict(models):
    first, _, _ = models
    twin = replace(first, name="twin")
    lines = verdict(compare_runs([first], [twin]))
    assert lines[0].endswith("so that there is no interval and no verdict.")


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


def test_two_external_models_of_one_name_do_not_differ_by_a_seed(models):
    first, _, worse = (
        replace(run, results=run.results.model_copy(update={"preset": EXTERNAL})) for run in models
    )
    assert not any("seed alone" in line for line in verdict(compare_runs([first], [worse])))


def test_the_metric_of_a_model_is_the_mean_over_its_seeds(models):
    first, second, worse = models
    f1 = compare_runs([first, second], [worse]).metrics["f1"]
    alone = [compare_runs([run], [worse]).metrics["f1"].a for run in (first, second)]
    assert f1.of_seeds_a == pytest.approx([figures[-1] for figures in alone])
    assert f1.a == pytest.approx(np.mean(alone, axis=0))


def test_where_every_subject_is_a_fold_the_mean_of_subjects_has_an_interval():
    names, alone = np.unique(TRUTH.subjects, return_inverse=True)
    truth = replace(TRUTH, folds=alone + 1)
    decisions = [decided(truth, 0.15, 1), decided(truth, 0.30, 3)]
    folds = {fold + 1: [name] for fold, name in enumerate(names.tolist())}
    runs = [loaded(f"run{i}", decisions[i], i, truth, test_subjects=folds) for i in range(2)]
    pair = compare_runs([runs[0]], [runs[1]])
    by_subject = [
        [
            plain_f1(truth.labels[alone == i, au], decisions[0][alone == i, au])
            for i in range(len(names))
        ]
        for au in range(3)
    ]
    assert pair.estimand == "mean_of_folds"
    assert pair.metrics["f1"].a[:3] == pytest.approx(np.nanmean(by_subject, axis=1))
    assert verdict(pair)[0].startswith("Trained model a is better than trained model b")


def test_where_one_fold_of_several_is_a_single_subject_frames_are_taken_together():
    names, number = np.unique(TRUTH.subjects, return_inverse=True)
    of_subject = np.where(np.arange(len(names)) == 0, 1, 2 + np.arange(len(names)) % 2)
    truth = replace(TRUTH, folds=of_subject[number])
    folds = {fold: names[of_subject == fold].tolist() for fold in (1, 2, 3)}
    decisions = [decided(truth, 0.15, 1), decided(truth, 0.30, 3)]
    runs = [loaded(f"run{i}", decisions[i], i, truth, test_subjects=folds) for i in range(2)]
    pair = compare_runs([runs[0]], [runs[1]])
    pooled = [plain_f1(truth.labels[:, au], decisions[0][:, au]) for au in range(3)]
    assert pair.estimand == "pooled"
    assert pair.metrics["f1"].a == pytest.approx([*pooled, np.mean(pooled)])


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


def test_crops_of_another_detector_are_refused_and_the_detectors_are_named():
    runs = [
        loaded(
            name,
            decided(TRUTH, 0.15, seed),
            alignment=f"eyes-similarity 1: 256 x 256 pixels. Landmarks: {landmarks}.",
        )
        for seed, (name, landmarks) in enumerate(
            (("first", "those of dlib 20.0.1 (ab)"), ("other", "those of cascade (cd)"))
        )
    ]
    with pytest.raises(DataError) as refused:
        compare_runs([runs[0]], [runs[1]])
    words = "(its landmarks: those of dlib 20.0.1 (ab), against those of cascade (cd))"
    assert f"they differ in the alignment {words}." in str(refused.value)


def test_detectors_that_do_not_change_the_images_are_listed(models):
    first, second, _ = models

    def detected(run, faces):
        provenance = {**run.results.provenance, "faces": faces}
        return replace(run, results=run.results.model_copy(update={"provenance": provenance}))

    with_dlib = detected(second, {"name": "none", "detector": "dlib 20.0.1 (ab)"})
    changed = changed_settings(first.results, with_dlib.results)
    assert changed["faces.detector"] == (None, "dlib 20.0.1 (ab)")
    assert compare_runs([first], [with_dlib]).undeclared == ()
    joined = {"name": "none", "train": {"detector": "b"}, "test": {"detector": "a"}}
    changed = changed_settings(with_dlib.results, detected(first, joined).results)
    assert changed["faces.detector"] == ("dlib 20.0.1 (ab)", "a, b")
    release = detected(second, {"name": "none", "detector": None})
    assert "faces.detector" not in changed_settings(first.results, release.results)
    with pytest.raises(UsageError, match=r"differ by more than the seed: faces\.detector"):
        compare_runs([first, with_dlib], [models[2]])


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
    assert data["permutations"] == 10_000  # of 2^18


def test_all_swaps_of_few_subjects_are_used_and_counted():
    few = made_labels(per_fold=2)
    pair = compare_runs(
        *([loaded(f"run{seed}", decided(few, 0.2, seed), seed, few)] for seed in (1, 2))
    )
    assert as_data(pair)["permutations"] == 2**6
