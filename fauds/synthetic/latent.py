"""Latents that move smoothly over true frame numbers, and the cut points between intensities.

Every seed draws one full-size population and calibrates it over all coded frames: cut points are
quantiles there, and latents are mixed a little until action units correlate as published. A
smaller draw is a part of that population: its labels are those that the full size has there.
"""

from dataclasses import dataclass, replace
from functools import cache, lru_cache

import numpy as np
from scipy.linalg import sqrtm
from scipy.ndimage import gaussian_filter1d
from scipy.special import ndtr, ndtri

from fauds.synthetic import copula
from fauds.synthetic.layout import Take, lay_out
from fauds.synthetic.population import KNOT_SPACING, OCCURS_FROM, Population, generator, population

# What a draw may miss: a share of frames, and factors.
_COUNTS, _SPREAD, _RUNS = 0.027, 1.45, 1.45


def misfit(people: Population, takes: list[Take], occurs: np.ndarray) -> float:
    """Return the largest deviation from the published, in units of what is accepted.

    Measured are the number of active action units per frame, the spread of occurrence rates
    between subjects, and median run lengths: rates and pairwise correlations leave them open,
    and 41 or 27 subjects vary in them.

    Args:
        people: the population.
        takes: all its sequences at full size.
        occurs: bool [N, A], occurrence in all their frames.
    """
    counts = np.bincount(occurs.sum(axis=1), minlength=len(people.counts)) / len(occurs)
    spread = np.log(_subject_rates(people, takes, occurs).std(axis=0) / people.spread)
    runs = np.log(_median_runs(takes, occurs) / people.runs)
    return max(
        float(np.abs(counts - people.counts).max() / _COUNTS),
        float(np.abs(spread).max() / np.log(_SPREAD)),
        float(np.abs(runs).max() / np.log(_RUNS)),
    )


def _starts(takes: list[Take]) -> np.ndarray:
    """Return the first row of every take."""
    return np.cumsum([0, *(len(take.frames) for take in takes[:-1])])


def _subject_rates(people: Population, takes: list[Take], occurs: np.ndarray) -> np.ndarray:
    """Return occurrence rates [S, A]."""
    active = np.add.reduceat(occurs, _starts(takes), axis=0, dtype=np.int64)
    rows = [people.subjects.index(take.subject) for take in takes]
    totals = np.zeros((len(people.subjects), occurs.shape[1]))
    np.add.at(totals, rows, active)
    rates: np.ndarray = totals / people.frames[:, None]
    return rates


def _median_runs(takes: list[Take], occurs: np.ndarray) -> np.ndarray:
    """Return the median length [A] of active runs within sequences, in frames."""
    # A row of nothing before every sequence, and after the last, ends all runs.
    padded = np.insert(occurs, [*_starts(takes), len(occurs)], False, axis=0)
    edges = np.diff(padded.astype(np.int8), axis=0)
    return np.array(
        [
            np.median(np.flatnonzero(column == -1) - np.flatnonzero(column == 1))
            for column in edges.T
        ]
    )


# The slow part's smoothing width where a sequence has more than one knot, in frames: 8 seconds of
# DISFA, about as long as its longest tenth of runs.
_SLOW_WIDTH = 150

# How gradually a face goes to rest, in standard deviations of the slow process behind it.
_REST_SOFTNESS = 0.2

# Smoothing kernels end after this many widths.
_TRUNCATE = 4.0

_CALIBRATION_ROUNDS, _CALIBRATION_STEP = 6, 0.7

# BP4D's attempts mostly pass, more than half of DISFA's do.
_ATTEMPTS = 6


@dataclass(frozen=True)
class Draw:
    """What one seed draws for the whole population, and how it is calibrated.

    Attributes:
        people: the population.
        seed, attempt: what every random choice is derived from.
        fixed: [S, K, A] shift and subject offset.
        slow: [S, K, G, A] slow part at the knots.
        rest: [S, K, G] standard normal; low is rest.
        mix: [A, A] from calibration, applied to the slow part and to movement's noise.
        cuts: [A, 5] ascending; an intensity is the number of cuts that the latent exceeds.
    """

    people: Population
    seed: int
    attempt: int
    fixed: np.ndarray
    slow: np.ndarray
    rest: np.ndarray
    mix: np.ndarray
    cuts: np.ndarray


@lru_cache(maxsize=4)
def draw(like: str, seed: int) -> Draw:
    """Return a seed's population, drawn at full size and calibrated.

    It is the first of a few attempts whose likeness to the published is good, or else the best.

    Raises:
        UsageError: an unknown dataset, or a negative seed.
    """
    takes = lay_out(like, seed=seed)
    people = population(like)
    least = np.inf
    for attempt in range(_ATTEMPTS):
        drawn, occurs = _calibrated(_uncalibrated(people, seed, attempt), takes)
        distance = misfit(people, takes, occurs)
        if attempt == 0 or distance < least:
            best, least = drawn, distance
        if distance < 1:
            break
    return best


def _uncalibrated(people: Population, seed: int, attempt: int) -> Draw:
    fixed = _fixed(people, generator(seed, f"subjects {attempt}"))
    slow, rest = _slow(people, generator(seed, f"slow {attempt}"))
    size = len(people.aus)
    return Draw(people, seed, attempt, fixed, slow, rest, np.eye(size), np.zeros((size, 5)))


def _calibrated(trial: Draw, takes: list[Take]) -> tuple[Draw, np.ndarray]:
    """Return a draw with its mix and cuts, and occurrence bool [N, A] over all takes.

    With the model's covariance alone, rare action units, which a few subjects show at a few
    moments, correlate as those moments happen to coincide. So each round changes the latents'
    correlation by what the labels' tetrachoric correlation misses; the best round is kept.
    """
    people = trial.people
    lowering = np.concatenate([_lowering(trial, take) for take in takes])[:, None]
    best, least = (trial, np.empty(0)), np.inf
    for _ in range(_CALIBRATION_ROUNDS):
        gaussian = np.concatenate([_gaussian(trial, take) for take in takes])
        values = gaussian - lowering
        cuts = _cuts(values, people.exceedance)
        occurs = values > cuts[:, OCCURS_FROM - 1]
        missed = people.published - copula.tetrachoric(occurs)
        error = np.abs(missed).mean()
        if error < least:
            best, least = (replace(trial, cuts=cuts), occurs), error
        if error < people.near_enough:
            break
        trial = replace(trial, mix=trial.mix @ _recolouring(gaussian, _CALIBRATION_STEP * missed))
    return best


def intensities(drawn: Draw, take: Take) -> np.ndarray:
    """Return one sequence's intensities, int8 [F, A] from 0 to 5."""
    values = _gaussian(drawn, take) - _lowering(drawn, take)[:, None]
    levels: np.ndarray = (values[:, :, None] > drawn.cuts).sum(axis=2, dtype=np.int8)
    return levels


def _cuts(values: np.ndarray, exceedance: np.ndarray) -> np.ndarray:
    """Return the cuts [A, L] that these shares [A, L] of the values [N, A] exceed."""
    cuts = [np.quantile(*pair) for pair in zip(values.T, 1 - exceedance, strict=True)]
    # A published share of 0 must stay 0, whatever rounding does to the largest value.
    return np.where(exceedance > 0.5 / len(values), np.stack(cuts), np.inf)


def _recolouring(values: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Return the symmetric matrix that changes the correlation of values [N, A] so.

    It is the optimal transport map between two Gaussians, the least change to the values;
    unlike a Cholesky factor it prefers no action unit.
    """
    target = copula.nearest_correlation(np.corrcoef(values.T) + change)
    root = sqrtm(np.cov(values.T)).real
    back = np.linalg.inv(root)
    transport: np.ndarray = back @ sqrtm(root @ target @ root).real @ back
    return transport


def _fixed(people: Population, rng: np.random.Generator) -> np.ndarray:
    subject = np.empty((len(people.subjects), len(people.aus)))
    for sex in sorted(set(people.sexes), key=str):
        rows = np.array([other == sex for other in people.sexes])
        subject[rows] = _scores(rng, int(rows.sum()), people.correlation)
    fixed: np.ndarray = people.shift + (subject * people.subject_sd)[:, None]
    return fixed


def _slow(people: Population, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    size = len(people.aus)
    correlation = np.eye(size + 1)
    correlation[:size, :size] = people.correlation
    if len(people.knots) == 1:
        count = len(people.subjects)
        scores = np.stack([_scores(rng, count, correlation) for _ in people.tasks], axis=1)
        standard = scores[:, :, None]
    else:
        standard = _drift(rng, people, correlation)
    return standard[..., :size] * people.slow_sd, standard[..., size]


def _scores(rng: np.random.Generator, count: int, correlation: np.ndarray) -> np.ndarray:
    """Return [count, A] correlated normal scores: every column holds the same quantiles.

    Independent draws for 41 or 27 subjects would miss the published spread between them.
    """
    drawn = _whitened(rng.standard_normal((count, len(correlation))))
    ranks = np.argsort(np.argsort(drawn @ np.linalg.cholesky(correlation).T, axis=0), axis=0)
    return ndtri((ranks + 0.5) / count)


def _drift(rng: np.random.Generator, people: Population, correlation: np.ndarray) -> np.ndarray:
    """Return [S, K, G, A], correlated across the last axis and smooth along knots."""
    shape = (len(people.subjects), len(people.tasks), len(people.knots), len(correlation))
    smooth = gaussian_filter1d(rng.standard_normal(shape), _SLOW_WIDTH / KNOT_SPACING, axis=2)
    white = _whitened(smooth.reshape(-1, len(correlation)))
    return (white @ np.linalg.cholesky(correlation).T).reshape(shape)


def _whitened(samples: np.ndarray) -> np.ndarray:
    """Return samples [N, A] with mean 0 and the identity as their covariance."""
    samples = samples - samples.mean(axis=0)
    return samples @ np.linalg.inv(sqrtm(samples.T @ samples / len(samples)).real)


def _gaussian(drawn: Draw, take: Take) -> np.ndarray:
    """Return one sequence's latent [F, A], but for rest."""
    people = drawn.people
    where = people.subjects.index(take.subject), people.tasks.index(take.task)
    slow = _at(people, drawn.slow[where] @ drawn.mix, take.frames)
    latent: np.ndarray = drawn.fixed[where] + slow + _movement(drawn, take)
    return latent


def _lowering(drawn: Draw, take: Take) -> np.ndarray:
    """Return how far rest lowers every latent [F]."""
    people = drawn.people
    knots = drawn.rest[people.subjects.index(take.subject), people.tasks.index(take.task)]
    share, lowering = people.rest
    if not share:
        return np.zeros(len(take.frames))
    process = _at(people, knots[:, None], take.frames)[:, 0]
    return lowering * ndtr((ndtri(share) - process) / _REST_SOFTNESS)


def _at(people: Population, knots: np.ndarray, frames: np.ndarray) -> np.ndarray:
    if len(knots) == 1:
        return np.broadcast_to(knots, (len(frames), knots.shape[1]))
    return np.stack([np.interp(frames, people.knots, column) for column in knots.T], axis=1)


def _movement(drawn: Draw, take: Take) -> np.ndarray:
    """Return movement [F, A]: correlated white noise, smoothed over frames.

    Noise is drawn from frame 0 on, so that a frame's value depends on no other frame asked for.
    """
    people = drawn.people
    first, last = int(take.frames[0]), int(take.frames[-1])
    margin = int(_TRUNCATE * people.width.max()) + 1
    rng = generator(drawn.seed, f"movement {drawn.attempt}", take.subject, take.task)
    noise = rng.standard_normal((last + 1 + 2 * margin, len(people.aus)))[first:]
    factor = np.linalg.cholesky(people.correlation).T * people.movement_sd
    noise = noise @ factor @ drawn.mix
    smooth = [
        gaussian_filter1d(noise[:, au], width, truncate=_TRUNCATE) * _restoring(width)
        for au, width in enumerate(people.width)
    ]
    movement: np.ndarray = np.stack(smooth, axis=1)[take.frames - first + margin]
    return movement


@cache
def _restoring(width: float) -> float:
    """Return what smoothed unit white noise is multiplied by to have variance 1 again."""
    lags = np.arange(-int(_TRUNCATE * width + 0.5), int(_TRUNCATE * width + 0.5) + 1)
    kernel = np.exp(-0.5 * (lags / width) ** 2)
    return float(kernel.sum() / np.sqrt((kernel**2).sum()))
