"""Ranking metrics of probabilities, which need no threshold.

Arrays: labels int8 [N, A] with 1 active, 0 inactive, -1 not coded; probabilities finite float
[N, A]. Results are float64 [A], 0 to 1, NaN where undefined. Equal probabilities count as a tie.
"""

from collections.abc import Callable

import numpy as np


def auc(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return the area under the ROC curve; NaN for an AU without active or inactive frames.

    It is the probability that an active frame is ranked above an inactive one, with ties counted
    half (the Mann-Whitney statistic); see `sklearn.metrics.roc_auc_score`.
    """
    # Importing scikit-learn takes a second; reading labels and writing captions do not need it.
    from sklearn.metrics import roc_auc_score

    return _by_name(labels, probabilities, roc_auc_score, needs=(0, 1))


def average_precision(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return the mean, over active frames, of the precision at their probability as the threshold.

    It is the area under the precision-recall curve without interpolation; see
    `sklearn.metrics.average_precision_score`. For a random order it is about the share of active
    frames. It is NaN for an AU without active frames.
    """
    from sklearn.metrics import average_precision_score

    return _by_name(labels, probabilities, average_precision_score, needs=(1,))


def _by_name(
    labels: np.ndarray,
    probabilities: np.ndarray,
    metric: Callable[[np.ndarray, np.ndarray], float],
    needs: tuple[int, ...],
) -> np.ndarray:
    """Return a metric of each column's coded frames; NaN if a label in `needs` is missing."""
    values = np.full(labels.shape[1], np.nan)
    for index, (column, scores) in enumerate(zip(labels.T, probabilities.T, strict=True)):
        if all((column == label).any() for label in needs):
            coded = column >= 0
            values[index] = metric(column[coded], scores[coded])
    return values
