"""Occurrence metrics per AU over frames, with null labels left out.

Arrays: labels int8 [N, A] with 1 active, 0 inactive, -1 not coded; decisions bool [N, A];
probabilities float [N, A] in 0..1. Results are float64 [A]; NaN where undefined.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Counts:
    """Confusion counts per AU, int64 [A], over the frames where the AU is coded."""

    tp: np.ndarray
    fp: np.ndarray
    fn: np.ndarray
    tn: np.ndarray

    @property
    def coded(self) -> np.ndarray:
        """Frames scored per AU, int64 [A]."""
        return self.tp + self.fp + self.fn + self.tn

    @property
    def positives(self) -> np.ndarray:
        """Frames with the AU active, int64 [A]."""
        return self.tp + self.fn


def decide(probabilities: np.ndarray, threshold: float) -> np.ndarray:
    """Return decisions bool [N, A]: active where the probability is at least the threshold."""
    return probabilities >= threshold


def count(labels: np.ndarray, decisions: np.ndarray) -> Counts:
    """Count decisions against labels, null labels left out."""
    active, inactive = labels == 1, labels == 0
    return Counts(
        tp=(active & decisions).sum(axis=0),
        fp=(inactive & decisions).sum(axis=0),
        fn=(active & ~decisions).sum(axis=0),
        tn=(inactive & ~decisions).sum(axis=0),
    )


def f1(counts: Counts) -> np.ndarray:
    """Return F1 = 2 tp / (2 tp + fp + fn), NaN for an AU without a positive frame."""
    top = 2.0 * counts.tp
    return _divide(top, top + counts.fp + counts.fn, counts.positives > 0)


def accuracy(counts: Counts) -> np.ndarray:
    """Return the share of coded frames decided rightly, NaN for an AU without a coded frame."""
    return _divide(counts.tp + counts.tn, counts.coded, counts.coded > 0)


def always_active_f1(counts: Counts) -> np.ndarray:
    """Return the F1 of calling the AU active in every frame: 2 p / (1 + p) at prevalence p."""
    top = 2.0 * counts.positives
    return _divide(top, counts.positives + counts.coded, counts.positives > 0)


def prevalence_f1(counts: Counts, prevalence: np.ndarray, threshold: float) -> np.ndarray:
    """Return the F1 of giving every frame the training prevalence as its probability.

    Args:
        prevalence: share of active frames in the training part, float [A].
        threshold: the decision threshold; below it the constant is "inactive", whose F1 is 0.
    """
    return np.where(prevalence >= threshold, always_active_f1(counts), 0.0) + np.where(
        counts.positives > 0, 0.0, np.nan
    )


def _divide(top: np.ndarray, bottom: np.ndarray, defined: np.ndarray) -> np.ndarray:
    return np.divide(top, bottom, out=np.full(np.shape(top), np.nan), where=defined)
