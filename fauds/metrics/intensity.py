"""Agreement of predicted with coded intensities, per AU.

For N frames and A AUs, labels are numbers [N, A], 0 to 5, negative if not coded; predicted
intensities are finite floats [N, A]. The functions return a value per AU, float64 [A], NaN where
undefined.
"""

import numpy as np

from fauds.metrics.occurrence import divide


def icc_3_1(labels: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return the intraclass correlation ICC(3,1) of labels and predictions, for every AU.

    ICC(3,1) of two raters is (MSR - MSE) / (MSR + MSE), where MSR is the mean square between frames
    and MSE is the residual mean square (Shrout and Fleiss, 1979). A constant offset between labels
    and predictions does not lower ICC(3,1), but a different scale does.

    Args:
        labels: the coded intensities, 0 to 5, negative if not coded, [N, A].
        predicted: the predicted intensities, float [N, A].

    Returns:
        ICC(3,1), float64 [A], -1 to 1; NaN if the labels of the coded frames are constant (for
        example, if no intensity above 0 is coded), or for fewer than two coded frames.
    """
    coded_variance, predicted_variance, covariance, labels_vary, _ = _moments(labels, predicted)
    frames = (coded_variance + predicted_variance + 2 * covariance) / 2
    residual = (coded_variance + predicted_variance - 2 * covariance) / 2
    return divide(frames - residual, frames + residual, labels_vary)


def pcc(labels: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return Pearson's correlation of labels and predictions for every AU, float64 [A], -1 to 1.

    The correlation is NaN if the labels or the predictions of the coded frames are constant.

    Args:
        labels: the coded intensities, 0 to 5, negative if not coded, [N, A].
        predicted: the predicted intensities, float [N, A].
    """
    coded_variance, predicted_variance, covariance, labels_vary, predicted_varies = _moments(
        labels, predicted
    )
    return divide(
        covariance, np.sqrt(coded_variance * predicted_variance), labels_vary & predicted_varies
    )


def mae(labels: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return the mean absolute error of predicted intensities for every AU, float64 [A].

    The unit is intensity levels (0 to 5); the error is NaN for an AU without a coded frame.

    Args:
        labels: the coded intensities, 0 to 5, negative if not coded, [N, A].
        predicted: the predicted intensities, float [N, A].
    """
    coded = labels >= 0
    number = coded.sum(axis=0)
    error = np.where(coded, np.abs(predicted - labels), 0.0).sum(axis=0)
    return divide(error, number, number > 0)


def _moments(labels: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return the variances and the covariance of labels and predictions over the coded frames.

    Returns:
        Five arrays [A]: the variance of the labels, the variance of the predictions and their
        covariance, float64; whether the labels vary and whether the predictions vary, bool.
    """
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
