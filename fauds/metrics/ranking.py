"""Metrics of the order in which probabilities put frames: they need no threshold.

Arrays: labels int8 [N, A] with 1 active, 0 inactive, -1 not coded; probabilities finite float
[N, A]. Results are float64 [A], 0 to 1, NaN where undefined. Equal probabilities count as a tie.
"""

import numpy as np
from scipy.stats import rankdata

from fauds.metrics.occurrence import divide


def auc(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return the area under the ROC curve, NaN for an AU without active or without inactive frames.

    It is the chance that an active frame is ranked above an inactive one, ties counting half
    (the Mann-Whitney statistic).
    """
    active, inactive = labels == 1, labels == 0
    scores = np.where(labels < 0, np.nan, probabilities)
    ranks = rankdata(scores, axis=0, nan_policy="omit")
    positives, negatives = active.sum(axis=0), inactive.sum(axis=0)
    above = np.where(active, ranks, 0.0).sum(axis=0) - positives * (positives + 1) / 2
    pairs = positives * negatives
    return divide(above, pairs, pairs > 0)


def average_precision(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return the mean, over active frames, of precision at their probability as the threshold.

    That is the area under the precision-recall curve as steps, without interpolation. NaN for
    an AU without an active frame; a random order gives about the share of active frames.
    """
    coded = labels >= 0
    order = np.argsort(np.where(coded, -probabilities.astype(np.float64), np.inf), axis=0)
    active = np.take_along_axis(labels == 1, order, axis=0)
    called = np.take_along_axis(coded, order, axis=0).cumsum(axis=0)
    found = active.cumsum(axis=0)
    last = _ends_of_ties(np.take_along_axis(probabilities, order, axis=0))
    precision = np.take_along_axis(found / np.maximum(called, 1), last, axis=0)
    positives = active.sum(axis=0)
    total = np.where(active, precision, 0.0).sum(axis=0)
    return divide(total, positives, positives > 0)


def _ends_of_ties(ordered: np.ndarray) -> np.ndarray:
    """Return, for every row of ordered columns [N, A], the last row with the same value."""
    rows = len(ordered)
    ends = np.ones(ordered.shape, bool)
    ends[:-1] = ordered[:-1] != ordered[1:]
    at = np.where(ends, np.arange(rows)[:, None], rows)
    return np.minimum.accumulate(at[::-1], axis=0)[::-1]
