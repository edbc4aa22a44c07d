"""AUC and average precision against scikit-learn, with ties and nulls."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from fauds.metrics import ranking


@given(st.integers(0, 10**6), st.integers(2, 60), st.sampled_from([2, 5, 1000]))
def test_both_are_scikit_learns(seed, frames, levels):
    """Few levels make many ties."""
    rng = np.random.default_rng(seed)
    labels = rng.choice([-1, 0, 1], (frames, 3)).astype(np.int8)
    probabilities = (rng.integers(0, levels, (frames, 3)) / levels).astype(np.float32)
    areas = ranking.auc(labels, probabilities)
    precisions = ranking.average_precision(labels, probabilities)
    for au in range(3):
        coded = labels[:, au] >= 0
        true, given_ = labels[coded, au], probabilities[coded, au]
        if 0 < true.sum() < len(true):
            assert areas[au] == pytest.approx(roc_auc_score(true, given_))
        else:
            assert np.isnan(areas[au])
        if true.sum():
            assert precisions[au] == pytest.approx(average_precision_score(true, given_))
        else:
            assert np.isnan(precisions[au])


def test_one_probability_for_all_frames_ranks_nothing():
    labels = np.array([[1], [0], [0], [1], [0], [-1]], np.int8)
    assert ranking.auc(labels, np.full((6, 1), 0.3)) == pytest.approx([0.5])
    assert ranking.average_precision(labels, np.full((6, 1), 0.3)) == pytest.approx([0.4])
