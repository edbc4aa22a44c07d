"""Targets of mutually exclusive classes and of AU occurrence, compared with plain computations."""

from typing import Literal

import numpy as np
import pyarrow as pa
import pytest
from sklearn import metrics

from fauds.errors import DataError
from fauds.evaluation.results import SubjectCounts, by_subject
from fauds.evaluation.selection import EpochScores, select
from fauds.metrics.intervals import intervals
from fauds.metrics.resampling import leave_one_out
from fauds.targets.multiclass import Multiclass
from fauds.targets.occurrence import Occurrence


class Shapes(Multiclass):
    kind: Literal["shapes"] = "shapes"
    classes: tuple[str, ...] = ("round", "square", "long", "never")

    @property
    def names(self):
        return self.classes

    @property
    def column(self):
        return "shape"


TARGET = Shapes()


@pytest.fixture(scope="module")
def predictions():
    rng = np.random.default_rng(0)
    labels = rng.choice([-1, 0, 1, 2], 300, p=[0.1, 0.5, 0.2, 0.2]).astype(np.int16)
    scores = rng.random((300, 4)).astype(np.float32)
    scores[np.arange(300), labels.clip(0)] += 0.5
    return labels, scores, np.repeat(np.arange(12), 25)


def test_labels_are_read_and_invalid_ones_are_an_error():
    frames = pa.table({"shape": pa.array([0, None, 3], pa.int8())})
    assert TARGET.labels(frames).tolist() == [0, -1, 3]
    indicators = TARGET.indicators(TARGET.labels(frames))
    assert indicators.tolist() == [[1, 0, 0, 0], [-1] * 4, [0, 0, 0, 1]]
    for invalid in (4, -2):
        with pytest.raises(DataError, match=f"shape has {invalid}, but"):
            TARGET.labels(pa.table({"shape": pa.array([0, invalid], pa.int8())}))


def test_metrics_of_classes_equal_those_of_scikit_learn(predictions):
    labels, scores, _ = predictions
    coded = labels >= 0
    truth, decided = labels[coded], scores[coded].argmax(axis=1)
    rates = np.array([0.5, 0.2, 0.3, 0.0])
    results = TARGET.metrics(labels, scores, 0.5, graded=True, rates=rates)
    assert results["accuracy"].overall == pytest.approx(metrics.accuracy_score(truth, decided))
    assert results["recall"].overall == pytest.approx(
        metrics.balanced_accuracy_score(truth, decided)
    )
    present = [0, 1, 2]
    f1 = metrics.f1_score(truth, decided, labels=present, average=None)
    assert results["f1"].by_name[:3] == pytest.approx(f1)
    assert np.isnan(results["f1"].by_name[3])
    assert results["f1"].overall == pytest.approx(f1.mean())
    assert results["majority_accuracy"].overall == pytest.approx((truth == 0).mean())
    matrix = metrics.confusion_matrix(truth, decided, labels=range(4))
    assert np.array_equal(TARGET.count(labels, TARGET.decide(scores, 0.5)).parts[0], matrix)
    assert TARGET.coded(labels) == [coded.sum()] * 5
    shares = TARGET.shares(TARGET.count_by(labels, TARGET.decide(scores, 0.5), labels * 0, 1))
    assert shares == pytest.approx(np.bincount(truth, minlength=4) / len(truth))


def test_intervals_of_accuracy_leave_out_one_subject_at_a_time(predictions):
    labels, scores, groups = predictions
    counts = TARGET.count_by(labels, TARGET.decide(scores, 0.5), groups, 12)
    folds = np.repeat([1, 2, 3], 4)
    statistic = TARGET.statistics["accuracy"]
    results = intervals(counts, folds, statistic, estimand="pooled")
    is_correct = (scores.argmax(axis=1) == labels) & (labels >= 0)
    assert results.value[-1] == pytest.approx(is_correct.sum() / (labels >= 0).sum())
    expected = []
    for subject in range(12):
        of_others = groups != subject
        expected.append(is_correct[of_others].sum() / (labels[of_others] >= 0).sum())
    from fauds.metrics.resampling import estimates

    values = estimates(leave_one_out(np.ones(12)), counts, folds, statistic, "pooled")[:, -1]
    assert values == pytest.approx(expected)
    assert results.low[-1] < results.value[-1] < results.high[-1]


@pytest.mark.parametrize("target", [TARGET, Occurrence(aus=("AU01", "AU02", "AU04", "AU06"))])
def test_counts_are_restored_from_the_results_file(target, predictions):
    labels, scores, groups = predictions
    if target.form == "multilabel":
        labels = (scores > 0.6).astype(np.int8)
    subjects = np.array([f"S{group:02d}" for group in groups])
    folds = groups % 3 + 1
    decisions = target.decide(scores, 0.5)
    counted = by_subject(target, labels, decisions, folds, subjects, {"S00": "F"})
    text = SubjectCounts.of(counted, target).model_dump_json()
    again = SubjectCounts.model_validate_json(text).grouped(target)
    assert again.subjects == counted.subjects
    for part, other in zip(again.counts.parts, counted.counts.parts, strict=True):
        assert np.array_equal(part, other)


def test_the_epoch_is_selected_by_accuracy_but_no_threshold_is(predictions):
    labels, scores, _ = predictions
    epochs = {1: scores[::-1].copy(), 2: scores, 3: scores * 0 + 0.25}
    by_epoch = EpochScores(TARGET, labels, epochs[3], epochs, labels[:0], {})
    results = select({1: by_epoch}, TARGET, 0.5, 0.5)
    assert results.chosen[1] == {"best_test_epoch": {"epoch": 2}}
    is_correct = (scores.argmax(axis=1) == labels)[labels >= 0]
    assert results.optimism[0].f1 == pytest.approx(is_correct.mean())


def test_class_weights_are_inverse_rates_with_mean_one():
    weights = TARGET.class_weights(np.array([10, 10, 10, 10]), np.array([5, 4, 1, 0]))
    assert np.isnan(weights[3])
    assert weights[:3] == pytest.approx(np.array([2, 2.5, 10]) / np.mean([2, 2.5, 10]))
