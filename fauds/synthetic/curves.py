"""Smooth curves through points, computed as a matrix product."""

from __future__ import annotations

from functools import lru_cache

import numpy as np


def curve(points: np.ndarray, steps: int = 5, closed: bool = False) -> np.ndarray:
    """Return samples of the Catmull-Rom curve through points.

    Args:
        points: the points, [N, 2].
        steps: the number of samples between two points.
        closed: whether the curve returns to the first point.

    Returns:
        The samples, float32 for float32 points. An open curve has steps * (N - 1) + 1 samples,
        including the last point. A closed curve has steps * N samples and does not repeat the
        first point.
    """
    samples: np.ndarray = _weights(len(points), steps, closed) @ points
    return samples


@lru_cache(maxsize=64)
def _weights(count: int, steps: int, closed: bool) -> np.ndarray:
    t = np.linspace(0, 1, steps, endpoint=False)
    basis = 0.5 * np.stack(
        [-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2], 1
    )
    pieces = count if closed else count - 1
    weights = np.zeros((pieces * steps + (not closed), count), np.float32)
    for piece in range(pieces):
        for k in range(4):
            column = piece - 1 + k
            column = column % count if closed else min(max(column, 0), count - 1)
            weights[piece * steps : (piece + 1) * steps, column] += basis[:, k]
    if not closed:
        weights[-1, -1] = 1
    weights.flags.writeable = False
    return weights
