"""Intensity metrics, compared with SciPy and with a plain analysis of variance."""

import numpy as np
import pytest
from scipy.stats import pearsonr

from fauds.metrics import intensity


def plain_icc(first, second):
    """Return ICC(3,1) from the mean squares of the two-way table, frame by frame."""
    n, ratings = len(first), list(zip(first, second, strict=True))
    grand = sum(a + b for a, b in ratings) / (2 * n)
    raters = [sum(first) / n, sum(second) / n]
    between = sum(2 * ((a + b) / 2 - grand) ** 2 for a, b in ratings) / (n - 1)
    residual = sum(
        (pair[j] - sum(pair) / 2 - raters[j] + grand) ** 2 for pair in ratings for j in (0, 1)
    ) / (n - 1)
    return (between - residual) / (between + residual)


@pytest.mark.parametrize("seed", range(5))
def test_all_metrics_equal_plain_ones_of_the_coded_frames(seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(-1, 6, (50, 4)).astype(np.int8)
    predicted = (labels + rng.normal(0, 2, (50, 4))).astype(np.float32)
    agreement, correlation, error = (
        metric(labels, predicted) for metric in (intensity.icc_3_1, intensity.pcc, intensity.mae)
    )
    for au in range(4):
        coded = labels[:, au] >= 0
        true, values = labels[coded, au].astype(float), predicted[coded, au].astype(float)
        assert agreement[au] == pytest.approx(plain_icc(true, values))
        assert correlation[au] == pytest.approx(pearsonr(true, values).statistic)
        assert error[au] == pytest.approx(np.abs(true - values).mean())


def test_an_offset_does_not_lower_icc_but_a_scale_does():
    labels = np.array([[0], [1], [3], [5]], np.int8)
    assert intensity.icc_3_1(labels, labels + 0.7) == pytest.approx([1])
    assert intensity.icc_3_1(labels, labels * 0.5)[0] < 0.9
    assert intensity.pcc(labels, labels * 0.5) == pytest.approx([1])


def test_the_correlation_of_a_constant_prediction_is_undefined():
    labels = np.array([[0, 2, -1], [3, 2, -1], [1, 2, 4]], np.int8)
    predicted = np.full((3, 3), 0.1)
    assert np.isnan(intensity.pcc(labels, predicted)).all()
    assert intensity.icc_3_1(labels, predicted) == pytest.approx([0, np.nan, np.nan], nan_ok=True)
    assert intensity.mae(labels, predicted) == pytest.approx([1.3, 1.9, 3.9])
    assert np.isnan(intensity.mae(np.full((2, 1), -1), np.zeros((2, 1))))[0]
