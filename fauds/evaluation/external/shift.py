"""Notices predictions that lie a constant number of frames before or after the labels."""

import numpy as np

FARTHEST = 5
"""The largest shift, in frames, that is tried."""

_FEWEST = 200
"""The smallest number of frames that shows a shift."""

_GAIN = 0.02
"""By how much the mean correlation must rise for a shift to be told from chance."""


_LEAST = 0.2
"""The mean correlation below which predictions do not show a shift."""


def label_shift(
    labels: np.ndarray, scores: np.ndarray, sequences: np.ndarray, frames: np.ndarray
) -> int | None:
    """Return the shift at which scores agree best with labels; None if that is 0 or not clear.

    Agreement is the correlation of scores and labels, as a mean over AUs.

    Args:
        labels: the labels of N frames, 1, 0, or -1 if not coded, int [N, A].
        scores: the scores, float [N, A].
        sequences: the number of the sequence of each frame, int [N].
        frames: the number of each frame in its sequence, int [N].

    Returns:
        How many frames the predictions lie behind the labels: the prediction of frame n fits the
        label of frame n - shift. Negative if they lie before.
    """
    if len(frames) < _FEWEST:
        return None
    keys = sequences.astype(np.int64) * 2**32 + frames
    order = np.argsort(keys)
    labels, scores, keys = labels[order], scores[order], keys[order]
    agreement = {
        shift: _agreement(labels, scores, keys, shift) for shift in range(-FARTHEST, FARTHEST + 1)
    }
    best = max(agreement, key=lambda shift: (agreement[shift], -abs(shift)))
    if best == 0 or not agreement[best] > max(_LEAST, agreement[0] + _GAIN):
        return None
    return best


def _agreement(labels: np.ndarray, scores: np.ndarray, keys: np.ndarray, shift: int) -> float:
    """Return the mean correlation of the labels with the scores of frames `shift` later."""
    at = np.searchsorted(keys, keys + shift).clip(max=len(keys) - 1)
    pairs = keys[at] == keys + shift
    values = []
    for au in range(labels.shape[1]):
        coded = pairs & (labels[:, au] >= 0)
        truth, score = labels[coded, au], scores[at[coded], au]
        if len(truth) >= _FEWEST and truth.std() > 0 and score.std() > 0:
            values.append(float(np.corrcoef(truth, score)[0, 1]))
    return float(np.mean(values)) if values else -1.0
