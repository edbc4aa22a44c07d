"""AUC and average precision, compared with their definitions, with ties and nulls."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fauds.metrics import ranking


def plain_auc(true, scores):
    """Return the share of pairs in which the active frame is ranked higher; ties count half."""
    higher = [(a > b) + (a == b) / 2 for a in scores[true == 1] for b in scores[true == 0]]
    return np.mean(higher)


def plain_precision(true, scores):
    """Return the mean, over active frames, of the precision among frames ranked as high."""
    return np.mean([true[scores >= at].mean() for at in scores[true == 1]])


@given(st.integers(0, 10**6), st.integers(2, 60), st.sampled_from([2, 5, 1000]))
def test_both_metrics_equal_their_definitions(seed, frames, levels):
    """Few levels of probability give many ties."""
    rng = np.random.default_rng(seed)
    labels = rng.choice([-1, 0, 1], (frames, 3)).astype(np.int8)
    probabilities = (rng.integers(0, levels, (frames, 3)) / levels).astype(np.float32)
    areas = ranking.auc(labels, probabilities)
    precisions = ranking.average_precision(labels, probabilities)
    for au in range(3):
        coded = labels[:, au] >= 0
        true, scores = labels[coded, au], probabilities[coded, au]
        if 0 < true.sum() < len(true):
            assert areas[au] == pytest.approx(plain_auc(true, scores))
        else:
            assert np.isnan(areas[au])
        if true.sum():
            assert precisions[au] == pytest.approx(plain_precision(true, scores))
        else:
            assert np.isnan(precisions[au])


def test_equal_probabilities_of_all_frames_are_ties():
    labels = np.array([[1], [0], [0], [1], [0], [-1]], np.int8)
    assert ranking.auc(labels, np.full((6, 1), 0.3)) == pytest.approx([0.5])
    assert ranking.average_precision(labels, np.full((6, 1), 0.3)) == pytest.approx([0.4])
