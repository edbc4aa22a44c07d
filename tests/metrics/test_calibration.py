"""Calibration, compared with a plain loop over bins."""

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss

from fauds.metrics import calibration


def plain(true, probabilities, bins):
    """Return the error, and (mean probability, share, count) of every bin."""
    points, error = [], 0.0
    for b in range(bins):
        inside = [
            (t, p)
            for t, p in zip(true, probabilities, strict=True)
            if b / bins <= p < (b + 1) / bins or (b == bins - 1 and p == 1)
        ]
        if not inside:
            points.append((np.nan, np.nan, 0))
            continue
        share, mean = (np.mean([pair[i] for pair in inside]) for i in (0, 1))
        points.append((mean, share, len(inside)))
        error += len(inside) / len(true) * abs(share - mean)
    return error, np.array(points)


@pytest.mark.parametrize("bins", [1, 4, 10])
def test_error_and_reliability_equal_those_of_a_loop_over_bins(bins):
    rng = np.random.default_rng(bins)
    labels = rng.choice([-1, 0, 1], (80, 3)).astype(np.int8)
    probabilities = rng.integers(0, 21, (80, 3)) / 20
    error = calibration.calibration_error(labels, probabilities, bins)
    mean, share, number = calibration.reliability(labels, probabilities, bins)
    for au in range(3):
        coded = labels[:, au] >= 0
        expected, points = plain(labels[coded, au], probabilities[coded, au], bins)
        assert error[au] == pytest.approx(expected)
        result = np.stack([mean[au], share[au], number[au]], axis=1)
        assert result == pytest.approx(points, nan_ok=True)


def test_calibrated_probabilities_have_no_error():
    labels = np.array([[1], [0], [0], [0], [1], [-1]], np.int8)
    probabilities = np.array([[0.25], [0.25], [0.25], [0.25], [1.0], [0.9]], np.float32)
    assert calibration.calibration_error(labels, probabilities) == pytest.approx([0])


def test_the_error_of_an_au_without_codes_is_undefined():
    labels = np.full((4, 1), -1, np.int8)
    assert np.isnan(calibration.calibration_error(labels, np.full((4, 1), 0.5)))[0]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_probability_at_an_edge_is_in_the_bin_above_whatever_its_type(dtype):
    edges = np.arange(10) / 10
    _, _, number = calibration.reliability(np.ones((10, 1), np.int8), edges[:, None].astype(dtype))
    assert number.tolist() == [[1] * 10]


def test_the_brier_score_is_the_mean_squared_error():
    rng = np.random.default_rng(0)
    labels = rng.choice([-1, 0, 1], (80, 2)).astype(np.int8)
    labels[:, 1] = -1
    probabilities = rng.random((80, 2))
    coded = labels[:, 0] >= 0
    expected = brier_score_loss(labels[coded, 0], probabilities[coded, 0])
    scores = calibration.brier_score(labels, probabilities)
    assert scores == pytest.approx([expected, np.nan], nan_ok=True)
