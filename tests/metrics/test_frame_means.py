"""Means over frames, and their intervals, against plain computations."""

import numpy as np
import pandas as pd
import pytest

from fauds.metrics.comparison import compare
from fauds.metrics.frame_means import MEAN, sums_by
from fauds.metrics.intervals import intervals
from fauds.metrics.resampling import with_overall

FRAMES, SUBJECTS, NAMES = 400, 12, 3


@pytest.fixture
def values() -> np.ndarray:
    rng = np.random.default_rng(3)
    values = rng.uniform(-1, 1, (FRAMES, NAMES))
    values[rng.random(values.shape) < 0.3] = np.nan
    values[:, 2] = np.nan
    return values


@pytest.fixture
def subjects() -> np.ndarray:
    return np.random.default_rng(4).integers(0, SUBJECTS, FRAMES)


def test_means_are_those_of_pandas_and_nan_where_no_frame_has_a_value(values, subjects):
    sums = sums_by(values, subjects, SUBJECTS)
    means = with_overall(MEAN, sums)
    table = pd.DataFrame(values).assign(subject=subjects)
    plain = table.groupby("subject").mean().to_numpy()
    np.testing.assert_allclose(means[:, :-1], plain, rtol=1e-12)
    assert np.isnan(means[:, 2]).all()
    for subject in range(SUBJECTS):
        own = values[subjects == subject]
        assert means[subject, -1] == pytest.approx(np.nanmean(own))


def test_the_interval_is_that_of_leaving_out_a_subject(values, subjects):
    sums = sums_by(values, subjects, SUBJECTS)
    interval = intervals(
        sums, np.ones(SUBJECTS, np.int64), MEAN, estimand="mean_of_folds", lowest=-1
    )
    assert interval.value[-1] == pytest.approx(np.nanmean(values))
    without = np.array([np.nanmean(values[subjects != s]) for s in range(SUBJECTS)])
    error = np.sqrt((SUBJECTS - 1) / SUBJECTS * ((without - without.mean()) ** 2).sum())
    assert interval.low[-1] < interval.value[-1] < interval.high[-1]
    # 3.182 is the 97.5 % quantile of Student's t with a third of 12 subjects minus 1.
    assert (interval.high[-1] - interval.low[-1]) / 2 == pytest.approx(3.182 * error, rel=0.05)
    assert np.isnan(interval.low[2])


def test_two_models_are_compared_on_the_same_frames(values, subjects):
    better = sums_by(values + 0.2, subjects, SUBJECTS)
    sums = sums_by(values, subjects, SUBJECTS)
    folds = np.ones(SUBJECTS, np.int64)
    pair = compare([better], [sums], folds, MEAN, estimand="mean_of_folds", permutations=200)
    assert pair.difference[-1] == pytest.approx(0.2)
    assert not sums.same_labels(sums_by(np.where(values > 0, values, np.nan), subjects, SUBJECTS))
