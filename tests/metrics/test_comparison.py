"""Paired comparison of two models, compared with swapping subjects one by one."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import binomtest

from fauds.errors import DataError
from fauds.metrics import occurrence
from fauds.metrics.comparison import compare
from fauds.metrics.occurrence import Counts
from fauds.metrics.resampling import draw, estimates


def pair(seed, better=0.0, subjects=9, aus=2):
    """Return the counts of two models, of which a has a higher recall, and the folds."""
    rng = np.random.default_rng(seed)
    active = rng.integers(1, 60, (subjects, aus))
    inactive = rng.integers(20, 90, (subjects, aus))
    share = rng.beta(8, 6, (subjects, aus))
    models = []
    for more in (better, 0.0):
        tp = rng.binomial(active, np.clip(share + rng.normal(more, 0.1, share.shape), 0, 1))
        fp = rng.binomial(inactive, 0.2)
        models.append(Counts(tp=tp, fp=fp, fn=active - tp, tn=inactive - fp))
    return *models, np.arange(subjects) % 3


def mixed(a, b, from_b):
    """Return counts that are b's for the subjects in `from_b`, and a's for the others."""
    use_b = np.array(from_b, bool)[:, None]
    return Counts(*(np.where(use_b, getattr(b, part), getattr(a, part))
                    for part in ("tp", "fp", "fn", "tn")))  # fmt: skip


@pytest.mark.parametrize("estimand", ["mean_of_folds", "pooled"])
def test_p_is_the_share_of_all_swaps_with_at_least_the_same_difference(estimand):
    a, b, folds = pair(1, better=0.12, subjects=6)

    def figure(counts):
        return estimates(np.ones((1, 6)), counts, folds, occurrence.f1, estimand)[0]

    swaps = [np.array(swap) for swap in product([0, 1], repeat=6)]
    every = np.array([figure(mixed(a, b, s)) - figure(mixed(a, b, 1 - s)) for s in swaps])
    exact = (np.abs(every) >= np.abs(every[0]) - 1e-12).mean(axis=0)
    result = compare(a, b, folds, occurrence.f1, estimand=estimand, permutations=20000)
    assert result.difference == pytest.approx(every[0])
    assert result.p == pytest.approx(exact, abs=0.015)


def test_identical_models_do_not_differ():
    a, _, folds = pair(2)
    result = compare(a, a, folds, occurrence.f1, estimand="mean_of_folds", permutations=200)
    assert result.p.tolist() == [1, 1, 1]
    assert result.difference.tolist() == result.low.tolist() == result.high.tolist() == [0, 0, 0]


def test_the_interval_uses_the_same_resamples_for_both_models():
    a, b, folds = pair(3, better=0.1)
    result = compare(a, b, folds, occurrence.f1, estimand="pooled", resamples=400, seed=9)
    weights = draw(folds, 400, 9)
    resamples = estimates(weights, a, folds, occurrence.f1, "pooled") - estimates(
        weights, b, folds, occurrence.f1, "pooled"
    )
    # Three folds of three: t at 2 degrees of freedom, and 3 / 2 for the resamples' variance.
    half = 4.302653 * resamples.std(axis=0) * np.sqrt(3 / 2)
    assert result.high - result.difference == pytest.approx(half)
    assert result.difference - result.low == pytest.approx(half)


def test_pairing_detects_a_difference_smaller_than_the_spread_of_subjects():
    a, b, folds = pair(4, better=0.25, subjects=18)
    result = compare(a, b, folds, occurrence.f1, estimand="mean_of_folds", permutations=2000)
    assert result.low[-1] > 0
    assert result.p[-1] < 0.01
    other = compare(b, a, folds, occurrence.f1, estimand="mean_of_folds", permutations=2000)
    assert other.difference == pytest.approx(-result.difference)
    assert other.p[-1] < 0.01


def test_equal_models_differ_significantly_no_more_often_than_the_level():
    result = [compare(*pair(seed), occurrence.f1, estimand="mean_of_folds", resamples=2,
                     permutations=199).p[-1] for seed in range(200)]  # fmt: skip
    for level in (0.05, 0.2, 0.5):
        alarms = int(np.sum(np.array(result) <= level))
        assert binomtest(alarms, 200, level).pvalue > 0.001


def test_an_au_without_active_frames_has_no_difference():
    a, b, folds = pair(5)
    for counts in (a, b):
        counts.tp[:, 0] = counts.fn[:, 0] = 0
    result = compare(a, b, folds, occurrence.f1, estimand="pooled", permutations=50)
    for figures in result:
        assert np.isnan(figures).tolist() == [True, False, False]


def test_a_fold_of_one_subject_makes_the_interval_undefined():
    a, b, _ = pair(6)
    folds = np.array([1, 2, 2, 2, 2, 3, 3, 3, 3])
    result = compare(a, b, folds, occurrence.f1, estimand="mean_of_folds", permutations=50)
    assert np.isnan(result.low).all() and not np.isnan(result.p).any()


def test_models_scored_on_different_labels_are_an_error():
    a, _, folds = pair(7)
    _, other, _ = pair(8)
    with pytest.raises(DataError, match="same labels"):
        compare(a, other, folds, occurrence.f1, estimand="pooled")
    fewer = Counts(*(part[:-1] for part in (a.tp, a.fp, a.fn, a.tn)))
    with pytest.raises(DataError, match="same labels"):
        compare(a, fewer, folds, occurrence.f1, estimand="pooled")
