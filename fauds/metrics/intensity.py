"""Agreement of predicted with coded intensities, per AU.

Arrays: labels [N, A], 0 to 5, negative where not coded; predicted finite float [N, A]. Results are
float64 [A], NaN where undefined.
"""

import numpy as np

from fauds.metrics.occurrence import divide


def icc_3_1(labels: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return the intraclass correlation ICC(3,1) of two raters, -1 to 1.

    (MSR - MSE) / (MSR + MSE) with the mean squares of frames and of the residual (Shrout and
    Fleiss, 1979). A constant offset between the raters costs nothing, another scale does. NaN
    where both raters are constant, or for fewer than two coded frames.
    """
    coded_variance, predicted_variance, covariance, varies, says = _moments(labels, predicted)
    frames = (coded_variance + predicted_variance + 2 * covariance) / 2
    residual = (coded_variance + predicted_variance - 2 * covariance) / 2
    return divide(frames - residual, frames + residual, varies | says)


def pcc(labels: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return Pearson's correlation, -1 to 1; NaN where either is constant."""
    coded_variance, predicted_variance, covariance, varies, says = _moments(labels, predicted)
    return divide(covariance, np.sqrt(coded_variance * predicted_variance), varies & says)


def mae(labels: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return the mean absolute error in intensity levels; NaN without a coded frame."""
    coded = labels >= 0
    number = coded.sum(axis=0)
    error = np.where(coded, np.abs(predicted - labels), 0.0).sum(axis=0)
    return divide(error, number, number > 0)


def _moments(labels: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return variances, covariance, and whether either varies at all, each [A]."""
    coded = labels >= 0
    number = np.maximum(coded.sum(axis=0), 1)
    centred, varies = [], []
    for values in (labels.astype(np.float64), predicted.astype(np.float64)):
        mean = np.where(coded, values, 0.0).sum(axis=0) / number
        centred.append(np.where(coded, values - mean, 0.0))
        # Told by the values themselves: rounding leaves a constant a variance just above 0.
        top = np.where(coded, values, -np.inf).max(axis=0, initial=-np.inf)
        varies.append(top > np.where(coded, values, np.inf).min(axis=0, initial=np.inf))
    first, second = centred
    freedom = np.maximum(number - 1, 1)
    return (
        (first**2).sum(axis=0) / freedom,
        (second**2).sum(axis=0) / freedom,
        (first * second).sum(axis=0) / freedom,
        *varies,
    )
