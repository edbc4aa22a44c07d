"""Do probabilities mean what they say: of frames given 0.8, is the AU active in 80 %?

Arrays: labels int8 [N, A] with 1 active, 0 inactive, -1 not coded; probabilities float [N, A]
in 0..1. Bins are of equal width; bin b of B holds b / B <= p < (b + 1) / B, the last 1 too.
"""

import numpy as np

from fauds.metrics.occurrence import divide


def reliability(
    labels: np.ndarray, probabilities: np.ndarray, bins: int = 10
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the points of a reliability diagram.

    Returns:
        Mean probability and share of active frames, float64 [A, bins], NaN in an empty bin; and
        the coded frames in every bin, int64 [A, bins].
    """
    coded = labels >= 0
    aus = labels.shape[1]
    given = probabilities.astype(np.float64)
    place = np.digitize(given, np.arange(1, bins) / bins) + bins * np.arange(aus)
    at, cells = place[coded], aus * bins
    number = np.bincount(at, minlength=cells).reshape(aus, bins)
    sums = [
        np.bincount(at, values[coded], minlength=cells).reshape(aus, bins)
        for values in (given, (labels == 1).astype(np.float64))
    ]
    mean, share = (divide(values, number, number > 0) for values in sums)
    return mean, share, number


def calibration_error(labels: np.ndarray, probabilities: np.ndarray, bins: int = 10) -> np.ndarray:
    """Return the expected calibration error, float64 [A], 0 to 1; NaN without a coded frame.

    The mean over frames of the distance between their bin's mean probability and its share of
    active frames (Guo et al., 2017, for the probability of "active").
    """
    mean, share, number = reliability(labels, probabilities, bins)
    coded = number.sum(axis=1)
    gap = np.where(number > 0, number * np.abs(mean - share), 0.0).sum(axis=1)
    return divide(gap, coded, coded > 0)
