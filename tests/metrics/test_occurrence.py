"""Occurrence metrics against scikit-learn, column by column, nulls dropped by hand."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from fauds.metrics import occurrence


@pytest.mark.parametrize("seed", range(5))
def test_f1_and_accuracy_are_scikit_learns(seed):
    rng = np.random.default_rng(seed)
    labels = rng.choice([-1, 0, 1], (300, 7), p=[0.2, 0.5, 0.3]).astype(np.int8)
    decisions = occurrence.decide(rng.random((300, 7)), 0.5)
    counts = occurrence.count(labels, decisions)
    for au in range(7):
        coded = labels[:, au] >= 0
        true, said = labels[coded, au], decisions[coded, au]
        assert occurrence.f1(counts)[au] == pytest.approx(f1_score(true, said))
        assert occurrence.accuracy(counts)[au] == pytest.approx(accuracy_score(true, said))
        assert counts.coded[au] == coded.sum()
        always = f1_score(true, np.ones_like(true))
        assert occurrence.always_active_f1(counts)[au] == pytest.approx(always)


def test_what_is_undefined_is_nan_and_not_zero():
    labels = np.array([[0, -1, 1], [0, -1, 0]], np.int8)
    counts = occurrence.count(labels, np.array([[True, True, False], [False, True, False]]))
    assert np.isnan(occurrence.f1(counts)).tolist() == [True, True, False]
    assert occurrence.f1(counts)[2] == 0
    assert np.isnan(occurrence.accuracy(counts)).tolist() == [False, True, False]


def test_the_prevalence_baseline_is_a_constant_decision():
    labels = np.array([[1, 1], [0, 0], [1, 1], [0, 1]], np.int8)
    counts = occurrence.count(labels, labels == 1)
    found = occurrence.prevalence_f1(counts, np.array([0.4, 0.6]), 0.5)
    assert found == pytest.approx([0, f1_score(labels[:, 1], np.ones(4))])


def test_a_probability_at_the_threshold_is_active():
    assert occurrence.decide(np.array([[0.5, 0.4999]]), 0.5).tolist() == [[True, False]]
