"""Ranking metrics of probabilities, which need no threshold.

For N frames and A AUs, labels are int8 [N, A] (1 active, 0 inactive, -1 not coded), probabilities
are finite floats [N, A]. The functions return a value per AU, float64 [A], 0 to 1, NaN where
undefined. Equal probabilities are ties.
"""

from collections.abc import Callable

import numpy as np


def auc(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return the area under the ROC curve of every AU, float64 [A].

    The area is the chance that a random active frame has a higher probability than a random
    inactive frame, where ties count half (the Mann-Whitney statistic); see
    `sklearn.metrics.roc_auc_score`. The area is NaN for an AU without active frames or without
    inactive frames.

    Args:
        labels: 1 (active), 0 (inactive) or -1 (not coded), int8 [N, A].
        probabilities: the probabilities of "active", float [N, A].
    """
    # Importing scikit-learn takes a second; reading labels and writing captions do not need it.
    from sklearn.metrics import roc_auc_score

    return _by_name(labels, probabilities, roc_auc_score, needs=(0, 1))


def average_precision(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return the average precision of every AU, float64 [A].

    Each active frame's probability is used as the decision threshold, and the resulting precisions
    are averaged. The result is the area under the precision-recall curve without interpolation; see
    `sklearn.metrics.average_precision_score`. Random probabilities give about the share of active
    frames. The result is NaN for an AU without active frames.

    Args:
        labels: 1 (active), 0 (inactive) or -1 (not coded), int8 [N, A].
        probabilities: the probabilities of "active", float [N, A].
    """
    from sklearn.metrics import average_precision_score

    return _by_name(labels, probabilities, average_precision_score, needs=(1,))


def _by_name(
    labels: np.ndarray,
    probabilities: np.ndarray,
    metric: Callable[[np.ndarray, np.ndarray], float],
    needs: tuple[int, ...],
) -> np.ndarray:
    """Return a metric of the coded frames of each AU, float64 [A].

    Args:
        labels: 1 (active), 0 (inactive) or -1 (not coded), int8 [N, A].
        probabilities: the probabilities of "active", float [N, A].
        metric: a function that takes the labels and the probabilities of one AU's coded frames, and
            returns a value.
        needs: the labels, of 0 and 1, that an AU must have; the value of an AU without frames of
            one of these labels is NaN.
    """
    values = np.full(labels.shape[1], np.nan)
    for index, (column, scores) in enumerate(zip(labels.T, probabilities.T, strict=True)):
        if all((column == label).any() for label in needs):
            coded = column >= 0
            values[index] = metric(column[coded], scores[coded])
    return values
