"""Agreement of predicted with coded intensities, per AU.

Arrays: labels [N, A], 0 to 5, negative if not coded; predicted finite float [N, A]. Results are
float64 [A], NaN where undefined.
"""

import numpy as np

from fauds.metrics.occurrence import divide


def icc_3_1(labels: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return the intraclass correlation ICC(3,1) of two raters, -1 to 1.

    ICC(3,1) is (MSR - MSE) / (MSR + MSE) with the mean squares of frames (MSR) and of the residual
    (MSE) (Shrout and Fleiss, 1979). A constant offset between the raters does not lower it, a
    different scale does. It is NaN if both raters are constant, or for fewer than two coded frames.
    """
    coded_variance, predicted_variance, covariance, labels_vary, predicted_varies = _moments(
        labels, predicted
    )
    frames = (coded_variance + predicted_variance + 2 * covariance) / 2
    residual = (coded_variance + predicted_variance - 2 * covariance) / 2
    return divide(frames - residual, frames + residual, labels_vary | predicted_varies)


def pcc(labels: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return Pearson's correlation, -1 to 1; NaN if labels or predictions are constant."""
    coded_variance, predicted_variance, covariance, labels_vary, predicted_varies = _moments(
        labels, predicted
    )
    return divide(
        covariance, np.sqrt(coded_variance * predicted_variance), labels_vary & predicted_varies
    )


def mae(labels: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return the mean absolute error in intensity levels; NaN without a coded frame."""
    coded = labels >= 0
    number = coded.sum(axis=0)
    error = np.where(coded, np.abs(predicted - labels), 0.0).sum(axis=0)
    return divide(error, number, number > 0)


def _moments(labels: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return both variances, the covariance, and whether labels and predictions vary, each [A]."""
    coded = labels >= 0
    number = np.maximum(coded.sum(axis=0), 1)
    centred, varies = [], []
    for values in (labels.astype(np.float64), predicted.astype(np.float64)):
        mean = np.where(coded, values, 0.0).sum(axis=0) / number
        centred.append(np.where(coded, values - mean, 0.0))
        # Compare the values: due to rounding, the variance of a constant may be just above 0.
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
