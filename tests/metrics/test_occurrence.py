"""Occurrence metrics, compared with scikit-learn for each column without nulls."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score

from fauds.metrics import occurrence
from fauds.metrics.occurrence import Counts


def random_frames(seed, frames=300, aus=7):
    rng = np.random.default_rng(seed)
    labels = rng.choice([-1, 0, 1], (frames, aus), p=[0.2, 0.5, 0.3]).astype(np.int8)
    return labels, occurrence.decide(rng.random((frames, aus)), 0.5)


def coded_columns(labels, decisions):
    """Yield the labels and decisions of every AU without null labels."""
    for au in range(labels.shape[1]):
        coded = labels[:, au] >= 0
        yield labels[coded, au], decisions[coded, au]


def plain_skew_f1(true, decided):
    """Return F1 with each inactive frame weighted by positives / negatives."""
    weights = np.where(true == 1, 1.0, true.sum() / (true == 0).sum())
    return f1_score(true, decided, sample_weight=weights)


SCIKIT = {
    "f1": f1_score,
    "accuracy": accuracy_score,
    "precision": precision_score,
    "recall": recall_score,
    "balanced_f1": lambda true, decided: f1_score(true, decided, average="macro"),
    "skew_f1": plain_skew_f1,
    "always_active_f1": lambda true, decided: f1_score(true, np.ones_like(true)),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", SCIKIT)
def test_metrics_equal_those_of_scikit_learn(name, seed):
    labels, decisions = random_frames(seed)
    counts = occurrence.count(labels, decisions)
    expected = [SCIKIT[name](*column) for column in coded_columns(labels, decisions)]
    assert getattr(occurrence, name)(counts) == pytest.approx(expected)
    assert counts.coded.tolist() == (labels >= 0).sum(axis=0).tolist()


def test_counts_by_subject_equal_those_of_each_subjects_frames():
    labels, decisions = random_frames(4)
    subjects = np.random.default_rng(4).choice([0, 1, 3], len(labels))
    counts = occurrence.count_by(labels, decisions, subjects, 5)
    for subject in range(5):
        of_subject = subjects == subject
        alone = occurrence.count(labels[of_subject], decisions[of_subject])
        for part in ("tp", "fp", "fn", "tn"):
            assert getattr(counts, part)[subject].tolist() == getattr(alone, part).tolist()
    assert counts.total().tp.tolist() == occurrence.count(labels, decisions).tp.tolist()


@pytest.mark.parametrize("name", SCIKIT)
def test_a_metric_takes_the_counts_of_many_subjects_at_once(name):
    labels, decisions = random_frames(5)
    subjects = np.random.default_rng(5).integers(0, 4, len(labels))
    together = getattr(occurrence, name)(occurrence.count_by(labels, decisions, subjects, 4))
    for subject in range(4):
        of_subject = subjects == subject
        alone = getattr(occurrence, name)(
            occurrence.count(labels[of_subject], decisions[of_subject])
        )
        assert together[subject] == pytest.approx(alone)


def test_undefined_metrics_are_nan_and_not_zero():
    labels = np.array([[0, -1, 1], [0, -1, 0]], np.int8)
    counts = occurrence.count(labels, np.array([[True, True, False], [False, True, False]]))
    assert np.isnan(occurrence.f1(counts)).tolist() == [True, True, False]
    assert occurrence.f1(counts)[2] == 0
    assert np.isnan(occurrence.accuracy(counts)).tolist() == [False, True, False]
    assert np.isnan(occurrence.precision(counts)).tolist() == [False, True, True]
    assert np.isnan(occurrence.recall(counts)).tolist() == [True, True, False]
    assert np.isnan(occurrence.balanced_f1(counts)).tolist() == [True, True, False]
    assert np.isnan(occurrence.skew_f1(counts)).tolist() == [True, True, False]


def test_balanced_and_skew_f1_are_undefined_without_inactive_frames():
    all_active = Counts(*(np.array([n]) for n in (3, 0, 1, 0)))
    assert occurrence.f1(all_active) == pytest.approx(6 / 7)
    assert np.isnan(occurrence.balanced_f1(all_active)[0])
    assert np.isnan(occurrence.skew_f1(all_active)[0])


def test_skew_f1_does_not_depend_on_how_rare_an_au_is():
    even, rare = (Counts(*(np.array([n]) for n in c)) for c in ((80, 10, 20, 90), (8, 100, 2, 900)))
    assert occurrence.skew_f1(even) == pytest.approx(occurrence.skew_f1(rare))
    assert occurrence.f1(even)[0] > 5 * occurrence.f1(rare)[0]


def test_the_prevalence_baseline_is_the_f1_of_a_constant_decision():
    labels = np.array([[1, 1], [0, 0], [1, 1], [0, 1]], np.int8)
    counts = occurrence.count(labels, labels == 1)
    scores = occurrence.prevalence_f1(counts, np.array([0.4, 0.6]), 0.5)
    always = f1_score(labels[:, 1], np.ones(4))
    assert scores == pytest.approx([np.nan, always], nan_ok=True)
    assert occurrence.f1(occurrence.always_active(counts))[1] == pytest.approx(always)


def test_a_probability_at_the_threshold_is_active():
    assert occurrence.decide(np.array([[0.5, 0.4999]]), 0.5).tolist() == [[True, False]]


def test_means_and_variances_leave_out_undefined_values():
    values = np.array([[0.2, np.nan, 0.6], [np.nan, np.nan, np.nan]])
    assert occurrence.defined_mean(values) == pytest.approx([0.4, np.nan], nan_ok=True)
    assert occurrence.variance_over_aus(values) == pytest.approx([0.04, np.nan], nan_ok=True)
