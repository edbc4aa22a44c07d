"""Metrics of the order in which probabilities put frames: they need no threshold.

Arrays: labels int8 [N, A] with 1 active, 0 inactive, -1 not coded; probabilities finite float
[N, A]. Results are float64 [A], 0 to 1, NaN where undefined. Equal probabilities count as a tie.
"""

from collections.abc import Callable

import numpy as np


def auc(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return the area under the ROC curve, NaN for an AU without active or without inactive frames.

    It is the chance that an active frame is ranked above an inactive one, ties counting half
    (the Mann-Whitney statistic); see `sklearn.metrics.roc_auc_score`.
    """
    # scikit-learn takes a second to load, which reading labels and writing captions do without.
    from sklearn.metrics import roc_auc_score

    return _by_name(labels, probabilities, roc_auc_score, needs=(0, 1))


def average_precision(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return the mean, over active frames, of precision at their probability as the threshold.

    That is the area under the precision-recall curve as steps, without interpolation; see
    `sklearn.metrics.average_precision_score`. NaN for an AU without an active frame; a random
    order gives about the share of active frames.
    """
    from sklearn.metrics import average_precision_score

    return _by_name(labels, probabilities, average_precision_score, needs=(1,))


def _by_name(
    labels: np.ndarray,
    probabilities: np.ndarray,
    metric: Callable[[np.ndarray, np.ndarray], float],
    needs: tuple[int, ...],
) -> np.ndarray:
    """Return a metric of every column's coded frames; NaN where a label of `needs` is not there."""
    values = np.full(labels.shape[1], np.nan)
    for place, (column, scores) in enumerate(zip(labels.T, probabilities.T, strict=True)):
        if all((column == label).any() for label in needs):
            coded = column >= 0
            values[place] = metric(column[coded], scores[coded])
    return values
