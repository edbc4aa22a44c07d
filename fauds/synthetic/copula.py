"""Correlation matrices of normal variables, from which thresholds make binary labels.

`nearest_correlation` makes a matrix valid; `tetrachoric` and `outside_rest` return the matrices
with which any two labels occur together as often as required.
"""

from collections.abc import Callable

import numpy as np
from scipy.special import ndtr, ndtri

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(20)
_STEPS = 45

# Smaller eigenvalues would make the calibration amplify the rest of a direction.
_FLOOR = 0.05


def nearest_correlation(matrix: np.ndarray, rounds: int = 100) -> np.ndarray:
    """Return the correlation matrix [A, A] nearest to a symmetric matrix.

    The given matrix need not be positive definite; the returned matrix is.

    Source: N. Higham, "Computing the nearest correlation matrix", IMA J. Numer. Anal. 22, 2002
    (alternating projections with Dykstra's correction).
    """
    correction = np.zeros_like(matrix)
    for _ in range(rounds):
        values, vectors = np.linalg.eigh(matrix - correction)
        definite = (vectors * np.maximum(values, _FLOOR)) @ vectors.T
        correction = definite - (matrix - correction)
        matrix = definite.copy()
        np.fill_diagonal(matrix, 1.0)
    scale = np.sqrt(np.diag(definite))
    nearest: np.ndarray = definite / np.outer(scale, scale)
    return nearest


def outside_rest(
    rates: np.ndarray, correlation: np.ndarray, rest: tuple[float, float]
) -> np.ndarray:
    """Return the correlation of latents outside periods of rest, [A, A].

    A latent is the normal variable of an action unit, which occurs where the latent exceeds a
    threshold. Periods of rest lower all latents together, which makes any two action units occur
    together more often. The returned correlation is reduced to make up for this.

    Args:
        rates: the occurrence rates of the A action units, [A].
        correlation: the correlation, [A, A], with which two action units would occur together as
            often as required if there were no rest.
        rest: the share of time at rest, and the amount by which rest lowers every latent.
    """
    share, lowering = rest
    if share == 0:
        return nearest_correlation(correlation)
    states = ((share, lowering), (1 - share, 0.0))
    one, other = np.triu_indices(len(rates), 1)
    plain = -ndtri(rates)
    joint = _both_exceed(plain[one], plain[other], correlation[one, other])

    def rate(cut: np.ndarray) -> np.ndarray:
        return sum((w * ndtr(-cut - low) for w, low in states), start=np.zeros(()))

    def both(r: np.ndarray) -> np.ndarray:
        parts = (w * _both_exceed(cut[one] + low, cut[other] + low, r) for w, low in states)
        return sum(parts, start=np.zeros(()))

    cut = _solve(lambda cut: -rate(cut), -rates, 9.0)
    solved = np.eye(len(rates))
    solved[one, other] = solved[other, one] = _solve(both, joint, 0.999)
    return nearest_correlation(solved)


def tetrachoric(occurs: np.ndarray) -> np.ndarray:
    """Return the tetrachoric correlation [A, A] of binary labels, bool [N, A].

    For two labels, this is the correlation of two normal variables that, if thresholds are applied
    to them, give labels with the same rates and the same joint rate. Every column must contain
    True and False. Two labels that never occur together get almost -1.
    """
    counts = occurs.astype(np.float32)
    joint = (counts.T @ counts).astype(np.float64) / len(occurs)
    one, other = np.triu_indices(len(joint), 1)
    cut = -ndtri(np.diag(joint))
    result = np.eye(len(joint))
    result[one, other] = result[other, one] = _solve(
        lambda r: _both_exceed(cut[one], cut[other], r), joint[one, other], 0.999
    )
    return result


def _solve(
    rising: Callable[[np.ndarray], np.ndarray], target: np.ndarray, bound: float
) -> np.ndarray:
    """Return the arguments at which an increasing elementwise function has the target values.

    Args:
        rising: the function, from an array to an array of the same shape.
        target: the target values, an array of that shape.
        bound: the limit of the search, which covers the arguments from -bound to bound.
    """
    low, high = np.full_like(target, -bound), np.full_like(target, bound)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        below = rising(middle) < target
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    solution: np.ndarray = (low + high) / 2
    return solution


def _both_exceed(first: np.ndarray, second: np.ndarray, r: np.ndarray) -> np.ndarray:
    """Return P(X > first and Y > second) of standard normals with correlation r, elementwise.

    The derivative of this probability with respect to r is the bivariate normal density, which is
    integrated numerically over arcsin(r). Source: Z. Drezner and G. Wesolowsky, J. Stat. Comput.
    Simul. 35, 1990.
    """
    angle = np.arcsin(r)[..., None] * (_NODES + 1) / 2
    h, k = first[..., None], second[..., None]
    exponent = (h**2 + k**2 - 2 * h * k * np.sin(angle)) / (2 * np.cos(angle) ** 2)
    integral = (np.exp(-exponent) @ _WEIGHTS) * np.arcsin(r) / 2
    probability: np.ndarray = ndtr(-first) * ndtr(-second) + integral / (2 * np.pi)
    return probability
