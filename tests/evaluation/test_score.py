"""The figures of folds, their means, and figures that are undefined."""

import hashlib
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from fauds.evaluation import score
from fauds.evaluation.score import MetricRows
from fauds.tables.frames import frame_set_fingerprint
from fauds.targets.expression import Expression
from fauds.targets.occurrence import Occurrence

AUS = ("AU01", "AU12")
LAST = MetricRows(Occurrence(aus=AUS), "last")
STATES = ("active", "inactive")


def frames(order):
    labels = {"AU01": [0, 1, None], "AU12": [1, 1, 0]}
    table = pa.table(
        {
            "subject": pa.array(["F001", "F001", "M002"]).dictionary_encode(),
            "task": pa.array(["T1", "T10", ""]).dictionary_encode(),
            "frame": pa.array([7, 12, 3], pa.int32()),
            **{au: pa.array(values, pa.int8()) for au, values in labels.items()},
        }
    )
    return table.take(order)


def test_the_fingerprint_is_a_hash_of_sorted_lines_of_frames_and_labels():
    lines = b"F001/T1/7 01\nF001/T10/12 11\nM002//3 -0"
    expected = hashlib.sha256(lines).hexdigest()
    assert frame_set_fingerprint(frames([2, 0, 1]), AUS) == expected
    assert frame_set_fingerprint(frames([0, 1, 2]), AUS) == expected
    assert frame_set_fingerprint(frames([0, 1]), AUS) != expected
    assert frame_set_fingerprint(frames([0, 1, 2]), AUS[::-1]) != expected


def scores(labels, probabilities, measures=None):
    labels = np.array(labels, np.int8)
    predicted = np.array(probabilities, np.float32)
    return score.FoldScores(labels, predicted, np.array([0.3, 0.6]), measures or {})


def test_means_are_over_aus_then_over_folds_and_leave_out_undefined_figures():
    one = scores([[1, 1], [0, 1]], [[0.9, 0.9], [0.9, 0.1]])  # F1 2/3, 2/3
    two = scores([[0, 1], [0, -1], [0, 0]], [[0.1, 0.9], [0.1, 0.9], [0.1, 0.1]])  # none, 1
    rows = score.metric_rows({1: one, 2: two}, 0.5, LAST)
    value = {(row.metric, row.scope, row.au, row.fold): row.value for row in rows}.__getitem__
    assert value(("f1", "fold", "AU01", 1)) == pytest.approx(2 / 3)
    assert value(("f1", "fold", "AU01", 2)) is None
    assert value(("f1", "fold", None, 2)) == 1
    assert value(("f1", "mean_of_folds", "AU01", None)) == pytest.approx(2 / 3)
    assert value(("f1", "mean_of_folds", None, None)) == pytest.approx((2 / 3 + 1) / 2)
    assert value(("f1", "pooled", "AU12", None)) == pytest.approx(2 * 2 / (2 * 2 + 0 + 1))
    assert value(("prevalence_f1", "fold", "AU01", 1)) is None
    assert value(("prevalence_f1", "fold", "AU12", 1)) == 1
    assert score.summary(rows, LAST.target)["f1"] == value(("f1", "mean_of_folds", None, None))
    assert score.undefined(rows, LAST.target) == [
        "balanced_f1, skew_f1, auc of AU12 in fold 1: no positive or no negative frame in the test "
        "part",
        "f1, recall, average_precision of AU01 in fold 2: no positive frame in the test part",
        "precision of AU01 in fold 2: no frame was predicted to be active",
        "balanced_f1, skew_f1, auc of AU01 in fold 2: no positive or no negative frame in the test "
        "part",
    ]


def test_a_baseline_has_a_mean_only_over_the_same_aus_and_folds_as_f1():
    """AU01 is active in 30 % of the training frames: at threshold 0.5 never predicted active."""
    one = scores([[1, 1], [0, 0]], [[0.9, 0.9], [0.9, 0.1]])
    often = replace(one, rates=np.array([0.7, 0.6]))
    # Without an active frame of AU01 there is no F1 either, and nothing to compare.
    without = scores([[0, 1], [0, 0]], [[0.1, 0.9], [0.1, 0.1]])

    def prevalence(*folds):
        rows = score.metric_rows(dict(enumerate(folds, 1)), 0.5, LAST)
        return {(r.scope, r.au, r.fold): r.value for r in rows if r.metric == "prevalence_f1"}

    always = pytest.approx(2 * 0.5 / (1 + 0.5))
    whole = prevalence(often, often)
    assert whole["fold", None, 1] == whole["mean_of_folds", None, None] == always
    part = prevalence(one, often)
    assert (part["fold", "AU01", 1], part["fold", "AU01", 2]) == (None, always)
    assert (part["fold", None, 1], part["fold", None, 2]) == (None, always)
    assert part["mean_of_folds", "AU01", None] is None
    assert part["mean_of_folds", "AU12", None] == always
    assert part["mean_of_folds", None, None] is None
    assert prevalence(without)["fold", None, 1] == always


def test_undefined_figures_with_the_same_reason_are_listed_together():
    rows = score.metric_rows({1: scores([[1, 1], [0, 0]], [[0.9, 0.9], [0.9, 0.1]])}, 0.5, LAST)
    assert score.undefined(rows, LAST.target) == []
    nothing = scores([[0, 1], [0, 0]], [[0.1, 0.9], [0.1, 0.1]])
    lines = score.undefined(score.metric_rows({3: nothing}, 0.5, LAST), LAST.target)
    assert [" of AU01 in fold 3: " in line for line in lines] == [True] * 3


def test_baselines_have_no_selection_of_the_epoch():
    words = {"local_word_top5": (0.9, 10), "local_word_top5_no_image": (0.8, 10)}
    rows = score.metric_rows({1: scores([[1, 0]], [[0.9, 0.1]], words)}, 0.5, LAST)
    untrained = {row.metric for row in rows if row.selection == "none"}
    assert untrained == {"always_active_f1", "prevalence_f1", "local_word_top5_no_image"}
    assert {row.selection for row in rows if row.metric not in untrained} == {"last"}


def test_the_variance_over_aus_is_computed_from_their_means_over_folds():
    one = scores([[1, 1], [0, 1]], [[0.9, 0.9], [0.9, 0.1]])  # F1 2/3, 2/3
    two = scores([[1, 1], [0, 0]], [[0.9, 0.1], [0.1, 0.9]])  # F1 1, 0
    rows = score.metric_rows({1: one, 2: two}, 0.5, LAST)
    variances = {(row.scope, row.fold): row.value for row in rows if row.metric == "f1_variance"}
    assert variances["fold", 1] == 0
    assert variances["fold", 2] == 0.25
    assert variances["mean_of_folds", None] == pytest.approx(np.var([5 / 6, 1 / 3]))


def test_decisions_have_no_metrics_that_need_probabilities():
    labels, decided = np.array([[1], [0]], np.int8), np.array([[1], [1]], np.float32)
    fold = score.FoldScores(labels, decided, np.array([0.5]), graded=False)
    names = {
        row.metric
        for row in score.metric_rows(
            {1: fold}, 0.5, MetricRows(Occurrence(aus=AUS[:1]), "elsewhere")
        )
    }
    assert names.isdisjoint({"auc", "average_precision", "calibration_error"})
    assert {"f1", "recall", "skew_f1"} <= names


def test_scores_of_the_models_of_different_folds_are_not_ranked_together():
    """Each fold ranks perfectly, but the scores of fold 2 are all above those of fold 1."""
    folds = {
        fold: scores([[1, 1], [0, 0]], [[low + 0.1, low + 0.1], [low, low]])
        for fold, low in ((1, 0.1), (2, 0.7))
    }
    rows = score.metric_rows(folds, 0.5, LAST)
    auc = {row.scope: row.value for row in rows if row.metric == "auc" and row.au == "AU01"}
    assert auc == {"fold": 1, "mean_of_folds": 1}
    of_scopes = {
        name: {row.scope for row in rows if row.metric == name}
        for name in ("average_precision", "calibration_error", "brier_score", "f1")
    }
    by_fold = {"fold", "mean_of_folds"}
    assert of_scopes == {**dict.fromkeys(of_scopes, by_fold), "f1": {*by_fold, "pooled"}}


def test_intensities_are_scored_on_coded_frames():
    labels, decided = np.array([[1], [0], [1]], np.int8), np.array([[1], [1], [0]], np.float32)
    coded, predicted = np.array([[5], [-1], [2]]), np.array([[4.0], [0.0], [4.5]])
    intensities = score.Intensities(["AU12"], coded, predicted)
    fold = score.FoldScores(labels, decided, np.array([0.5]), intensities=intensities)
    rows = score.metric_rows({1: fold}, 0.5, MetricRows(Occurrence(aus=["AU12"]), "elsewhere"))
    maes = {
        (row.scope, row.au): (row.value, row.n) for row in rows if row.metric == "intensity_mae"
    }
    assert maes["fold", "AU12"] == maes["pooled", None] == ((1 + 2.5) / 2, 2)
    # Correlations are of one model, and each fold has its own.
    for name in ("intensity_icc", "intensity_pcc"):
        scopes = {row.scope for row in rows if row.metric == name}
        assert scopes == {"fold", "mean_of_folds"}


def test_a_class_without_frames_has_no_accuracy_and_the_reason_is_given():
    classes = MetricRows(Expression(classes=("calm", "glad", "cross")), "last")
    labels, right = np.array([0, 1, 1], np.int16), np.eye(3, dtype=np.float32)[[0, 1, 0]]
    fold = score.FoldScores(labels, right, np.full(3, 1 / 3))
    rows = score.metric_rows({1: fold}, 0.5, classes)
    assert score.undefined(rows, classes.target) == [
        "accuracy, recall, f1 of cross in fold 1: no frame of the class in the test part"
    ]


def test_agreement_is_the_share_of_texts_that_describe_the_predicted_state():
    texts = {"AU01": ("Up.", "Not up."), "AU12": ("Wide.", "Not wide.")}
    rows = [
        (au, state, sentences[i])
        for au, sentences in texts.items()
        for i, state in enumerate(STATES)
    ]
    columns = [list(column) for column in zip(*rows, strict=True)]
    phrases = pa.table(dict(zip(("au", "state", "text"), columns, strict=True)))
    predictions = pa.table(
        {
            "AU01": [0.9, 0.9, 0.1, 0.1],
            "AU12": [0.5, 0.4, 0.9, 0.9],
            "AU01_text": ["Up.", "Not up.", "Not up.", None],
            "AU12_text": ["Wide.", "Not wide.", "Wide. Wide.", None],
        }
    )
    assert score.text_agreement(predictions, phrases, AUS, 0.5) == (4 / 6, 6)
    assert score.text_agreement(predictions.select(AUS), phrases, AUS, 0.5) is None


def test_agreement_interprets_degrees_by_the_occurrence_rule():
    phrases = pa.table({"au": ["AU12"] * 3, "state": ["inactive", "A", "C"], "text": list("iac")})
    written = {"AU12": [0.9, 0.9, 0.1, 0.1], "AU12_text": ["c", "a", "a", "i"]}
    for occurrence_at, matching in ((None, 3), (2, 3), (1, 3)):
        agreed = score.text_agreement(pa.table(written), phrases, ["AU12"], 0.5, occurrence_at)
        assert agreed == (matching / 4, 4)
    only_a = pa.table({"AU12": [0.9, 0.1], "AU12_text": ["a", "a"]})
    trace = {at: score.text_agreement(only_a, phrases, ["AU12"], 0.5, at) for at in (None, 2)}
    low = pa.table({"AU12": [0.1], "AU12_text": ["a"]})
    assert trace[None] == trace[2] == (0.5, 2)
    assert score.text_agreement(low, phrases, ["AU12"], 0.5, 2) == (1.0, 1)
    assert score.text_agreement(low, phrases, ["AU12"], 0.5, None) == (0.0, 1)
