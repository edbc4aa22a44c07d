"""Calibration and accuracy of probabilities, for example the Brier score.

A model is calibrated if, of the frames with probability 0.8, the AU is active in 80 %.

For N frames and A AUs, labels are int8 [N, A] (1 active, 0 inactive, -1 not coded), probabilities
float [N, A] from 0 to 1. The range from 0 to 1 is divided into bins of equal width: of B bins, bin
b holds the probabilities p with b / B <= p < (b + 1) / B; the last bin also holds p = 1.
"""

import numpy as np

from fauds.metrics.occurrence import divide


def reliability(
    labels: np.ndarray, probabilities: np.ndarray, bins: int = 10
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the points of a reliability diagram for every AU.

    The diagram compares probabilities, in bins of equal width, with the share of active frames.

    Args:
        labels: 1 (active), 0 (inactive) or -1 (not coded), int8 [N, A], for N frames and A AUs.
        probabilities: the probabilities of "active", float [N, A].
        bins: the number of bins into which the range from 0 to 1 is divided.

    Returns:
        Three arrays. The mean probability in every bin, float64 [A, bins]; the share of frames in
        every bin in which the AU is active, float64 [A, bins]; and the number of coded frames in
        every bin, int64 [A, bins]. The first two are NaN in an empty bin.
    """
    coded = labels >= 0
    aus = labels.shape[1]
    double = probabilities.astype(np.float64)
    # Edges of the same type: 0.7 as float32 is below 0.7 as float64, but belongs to the bin.
    edges = (np.arange(1, bins) / bins).astype(np.result_type(probabilities, np.float16))
    bin_index = np.digitize(probabilities, edges) + bins * np.arange(aus)
    coded_bins, cells = bin_index[coded], aus * bins
    counts = np.bincount(coded_bins, minlength=cells).reshape(aus, bins)
    sums = [
        np.bincount(coded_bins, values[coded], minlength=cells).reshape(aus, bins)
        for values in (double, (labels == 1).astype(np.float64))
    ]
    mean, share = (divide(values, counts, counts > 0) for values in sums)
    return mean, share, counts


def calibration_error(labels: np.ndarray, probabilities: np.ndarray, bins: int = 10) -> np.ndarray:
    """Return the expected calibration error of every AU's probability of "active".

    This is the error for a binary label (Naeini, Cooper and Hauskrecht, 2015), not that of the most
    probable of several classes (Guo et al., 2017), which for two classes has another value. Frames
    are grouped by probability into bins of equal width. The error of a bin is the absolute
    difference between its mean probability and its share of active frames; the result is the mean
    of these errors, weighted by the number of coded frames in each bin.

    Args:
        labels: 1 (active), 0 (inactive) or -1 (not coded), int8 [N, A], for N frames and A AUs.
        probabilities: the probabilities of "active", float [N, A].
        bins: the number of bins into which the range from 0 to 1 is divided.

    Returns:
        The errors, float64 [A], 0 to 1; NaN for an AU without a coded frame.
    """
    mean, share, counts = reliability(labels, probabilities, bins)
    coded = counts.sum(axis=1)
    total_gap = np.where(counts > 0, counts * np.abs(mean - share), 0.0).sum(axis=1)
    return divide(total_gap, coded, coded > 0)


def brier_score(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return the Brier score of every AU: the mean squared error of the probability of "active".

    The lower, the better: 0 for certain and correct probabilities; a constant probability of 0.5
    has 0.25 (Brier, 1950, for a binary label).

    Args:
        labels: 1 (active), 0 (inactive) or -1 (not coded), int8 [N, A], for N frames and A AUs.
        probabilities: the probabilities of "active", float [N, A].

    Returns:
        The scores, float64 [A], 0 to 1; NaN for an AU without a coded frame.
    """
    coded = labels >= 0
    number = coded.sum(axis=0)
    errors = np.where(coded, (probabilities.astype(np.float64) - (labels == 1)) ** 2, 0.0)
    return divide(errors.sum(axis=0), number, number > 0)
