"""Smooth latent processes over frame numbers, and the cut points between intensities.

Every seed defines one population of full size, which is calibrated over all coded frames: cut
points are quantiles of the latents, and latents are mixed slightly until action units correlate as
published. A smaller dataset is a part of that population and has the same labels there.
"""

from dataclasses import dataclass, replace
from functools import cache, lru_cache

import numpy as np
from scipy.linalg import sqrtm
from scipy.ndimage import gaussian_filter1d
from scipy.special import ndtr, ndtri

from fauds.synthetic import copula
from fauds.synthetic.layout import SyntheticSequence, lay_out
from fauds.synthetic.population import KNOT_SPACING, OCCURS_FROM, Population, generator, population

# The accepted deviations from the published statistics: a share of frames, and two factors.
_COUNTS, _SPREAD, _RUNS = 0.027, 1.45, 1.45


def misfit(cohort: Population, sequences: list[SyntheticSequence], occurs: np.ndarray) -> float:
    """Return the largest deviation from the published statistics, relative to the accepted one.

    The statistics are the number of active action units per frame, the spread of occurrence rates
    between subjects, and the median run lengths. Rates and pairwise correlations do not determine
    them, and with 41 or 27 subjects they vary between samples.

    Args:
        cohort: the population.
        sequences: all its sequences at full size.
        occurs: the occurrence in all their frames, bool [N, A].
    """
    counts = np.bincount(occurs.sum(axis=1), minlength=len(cohort.counts)) / len(occurs)
    spread = np.log(_subject_rates(cohort, sequences, occurs).std(axis=0) / cohort.spread)
    runs = np.log(_median_runs(sequences, occurs) / cohort.runs)
    return max(
        float(np.abs(counts - cohort.counts).max() / _COUNTS),
        float(np.abs(spread).max() / np.log(_SPREAD)),
        float(np.abs(runs).max() / np.log(_RUNS)),
    )


def _starts(sequences: list[SyntheticSequence]) -> np.ndarray:
    """Return the first row of every sequence."""
    return np.cumsum([0, *(len(sequence.frames) for sequence in sequences[:-1])])


def _subject_rates(
    cohort: Population, sequences: list[SyntheticSequence], occurs: np.ndarray
) -> np.ndarray:
    """Return the occurrence rates of the subjects, [S, A]."""
    active = np.add.reduceat(occurs, _starts(sequences), axis=0, dtype=np.int64)
    rows = [cohort.subjects.index(sequence.subject) for sequence in sequences]
    totals = np.zeros((len(cohort.subjects), occurs.shape[1]))
    np.add.at(totals, rows, active)
    rates: np.ndarray = totals / cohort.frames[:, None]
    return rates


def _median_runs(sequences: list[SyntheticSequence], occurs: np.ndarray) -> np.ndarray:
    """Return the median length of active runs within sequences, [A], in frames."""
    # An inactive row before every sequence, and after the last, ends all runs.
    padded = np.insert(occurs, [*_starts(sequences), len(occurs)], False, axis=0)
    edges = np.diff(padded.astype(np.int8), axis=0)
    return np.array(
        [
            np.median(np.flatnonzero(column == -1) - np.flatnonzero(column == 1))
            for column in edges.T
        ]
    )


# The smoothing width of the slow part in sequences with more than one knot, in frames: 8 seconds of
# DISFA, about the length of its longest tenth of runs.
_SLOW_WIDTH = 150

# The softness of the transition to rest, in standard deviations of the underlying slow process.
_REST_SOFTNESS = 0.2

# Smoothing kernels end after this many widths.
_TRUNCATE = 4.0

_CALIBRATION_ROUNDS, _CALIBRATION_STEP = 6, 0.7

# Most attempts for BP4D are accepted, and more than half of those for DISFA.
_ATTEMPTS = 6


@dataclass(frozen=True)
class Draw:
    """The random sample of one seed for the whole population, with its calibration.

    Attributes:
        cohort: the population.
        seed: the seed from which, with the attempt, every random choice is derived.
        attempt: the number of the attempt with this seed.
        fixed: the shift plus the subject offset, [S, K, A].
        slow: the slow part at the knots, [S, K, G, A].
        rest: a standard normal process, [S, K, G]; low values mean rest.
        mix: the calibration matrix, [A, A], applied to the slow part and to the noise of the
            movement.
        cuts: the ascending cut points, [A, 5]; an intensity is the number of cut points that the
            latent exceeds.
    """

    cohort: Population
    seed: int
    attempt: int
    fixed: np.ndarray
    slow: np.ndarray
    rest: np.ndarray
    mix: np.ndarray
    cuts: np.ndarray


@lru_cache(maxsize=4)
def draw(like: str, seed: int) -> Draw:
    """Return the population of a seed, sampled at full size and calibrated.

    It is the first of a few attempts that deviates acceptably from the published statistics, or
    the best one if none does.

    Raises:
        UsageError: the dataset is unknown, or the seed is negative.
    """
    sequences = lay_out(like, seed=seed)
    cohort = population(like)
    least = np.inf
    for attempt in range(_ATTEMPTS):
        sample, occurs = _calibrated(_uncalibrated(cohort, seed, attempt), sequences)
        distance = misfit(cohort, sequences, occurs)
        if attempt == 0 or distance < least:
            best, least = sample, distance
        if distance < 1:
            break
    return best


def _uncalibrated(cohort: Population, seed: int, attempt: int) -> Draw:
    fixed = _fixed(cohort, generator(seed, f"subjects {attempt}"))
    slow, rest = _slow(cohort, generator(seed, f"slow {attempt}"))
    size = len(cohort.aus)
    return Draw(cohort, seed, attempt, fixed, slow, rest, np.eye(size), np.zeros((size, 5)))


def _calibrated(sample: Draw, sequences: list[SyntheticSequence]) -> tuple[Draw, np.ndarray]:
    """Return a sample with its mix and cuts, and the occurrence in all sequences, bool [N, A].

    With the covariance of the model alone, the correlations of rare action units, which few
    subjects show at few moments, depend on which moments coincide. Therefore each round changes
    the correlation of the latents by the error of the labels' tetrachoric correlation; the best
    round is kept.
    """
    cohort = sample.cohort
    lowering = np.concatenate([_lowering(sample, sequence) for sequence in sequences])[:, None]
    best, least = (sample, np.empty(0)), np.inf
    for _ in range(_CALIBRATION_ROUNDS):
        gaussian = np.concatenate([_gaussian(sample, sequence) for sequence in sequences])
        values = gaussian - lowering
        cuts = _cuts(values, cohort.exceedance)
        occurs = values > cuts[:, OCCURS_FROM - 1]
        missed = cohort.published - copula.tetrachoric(occurs)
        error = np.abs(missed).mean()
        if error < least:
            best, least = (replace(sample, cuts=cuts), occurs), error
        if error < cohort.near_enough:
            break
        sample = replace(
            sample, mix=sample.mix @ _recolouring(gaussian, _CALIBRATION_STEP * missed)
        )
    return best


def intensities(sample: Draw, sequence: SyntheticSequence) -> np.ndarray:
    """Return the intensities of one sequence, int8 [F, A], 0 to 5."""
    values = _gaussian(sample, sequence) - _lowering(sample, sequence)[:, None]
    levels: np.ndarray = (values[:, :, None] > sample.cuts).sum(axis=2, dtype=np.int8)
    return levels


def _cuts(values: np.ndarray, exceedance: np.ndarray) -> np.ndarray:
    """Return the cut points [A, L] that the given shares [A, L] of the values [N, A] exceed."""
    cuts = [np.quantile(*pair) for pair in zip(values.T, 1 - exceedance, strict=True)]
    # An infinite cut point keeps a published share of 0 at 0, whatever the largest value is.
    return np.where(exceedance > 0.5 / len(values), np.stack(cuts), np.inf)


def _recolouring(values: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Return the symmetric matrix that changes the correlation of values [N, A] by `change`.

    It is the optimal transport map between two Gaussians, which changes the values least; unlike
    a Cholesky factor it treats all action units alike.
    """
    target = copula.nearest_correlation(np.corrcoef(values.T) + change)
    root = sqrtm(np.cov(values.T)).real
    back = np.linalg.inv(root)
    transport: np.ndarray = back @ sqrtm(root @ target @ root).real @ back
    return transport


def _fixed(cohort: Population, rng: np.random.Generator) -> np.ndarray:
    subject = np.empty((len(cohort.subjects), len(cohort.aus)))
    for sex in sorted(set(cohort.sexes), key=str):
        rows = np.array([other == sex for other in cohort.sexes])
        subject[rows] = _scores(rng, int(rows.sum()), cohort.correlation)
    fixed: np.ndarray = cohort.shift + (subject * cohort.subject_sd)[:, None]
    return fixed


def _slow(cohort: Population, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    size = len(cohort.aus)
    correlation = np.eye(size + 1)
    correlation[:size, :size] = cohort.correlation
    if len(cohort.knots) == 1:
        count = len(cohort.subjects)
        scores = np.stack([_scores(rng, count, correlation) for _ in cohort.tasks], axis=1)
        standard = scores[:, :, None]
    else:
        standard = _drift(rng, cohort, correlation)
    return standard[..., :size] * cohort.slow_sd, standard[..., size]


def _scores(rng: np.random.Generator, count: int, correlation: np.ndarray) -> np.ndarray:
    """Return correlated normal scores, [count, A]; every column holds the same quantiles.

    Independent samples for 41 or 27 subjects would miss the published spread between them.
    """
    scores = _whitened(rng.standard_normal((count, len(correlation))))
    ranks = np.argsort(np.argsort(scores @ np.linalg.cholesky(correlation).T, axis=0), axis=0)
    return ndtri((ranks + 0.5) / count)


def _drift(rng: np.random.Generator, cohort: Population, correlation: np.ndarray) -> np.ndarray:
    """Return a process, [S, K, G, A], that is smooth along the knots and correlated across AUs."""
    shape = (len(cohort.subjects), len(cohort.tasks), len(cohort.knots), len(correlation))
    smooth = gaussian_filter1d(rng.standard_normal(shape), _SLOW_WIDTH / KNOT_SPACING, axis=2)
    white = _whitened(smooth.reshape(-1, len(correlation)))
    return (white @ np.linalg.cholesky(correlation).T).reshape(shape)


def _whitened(samples: np.ndarray) -> np.ndarray:
    """Return the samples [N, A] transformed to mean 0 and identity covariance."""
    samples = samples - samples.mean(axis=0)
    return samples @ np.linalg.inv(sqrtm(samples.T @ samples / len(samples)).real)


def _gaussian(sample: Draw, sequence: SyntheticSequence) -> np.ndarray:
    """Return the latents of one sequence without rest, [F, A]."""
    cohort = sample.cohort
    index = cohort.subjects.index(sequence.subject), cohort.tasks.index(sequence.task)
    slow = _at(cohort, sample.slow[index] @ sample.mix, sequence.frames)
    latent: np.ndarray = sample.fixed[index] + slow + _movement(sample, sequence)
    return latent


def _lowering(sample: Draw, sequence: SyntheticSequence) -> np.ndarray:
    """Return the amount by which rest lowers all latents, [F]."""
    cohort = sample.cohort
    knots = sample.rest[cohort.subjects.index(sequence.subject), cohort.tasks.index(sequence.task)]
    share, lowering = cohort.rest
    if not share:
        return np.zeros(len(sequence.frames))
    process = _at(cohort, knots[:, None], sequence.frames)[:, 0]
    return lowering * ndtr((ndtri(share) - process) / _REST_SOFTNESS)


def _at(cohort: Population, knots: np.ndarray, frames: np.ndarray) -> np.ndarray:
    if len(knots) == 1:
        return np.broadcast_to(knots, (len(frames), knots.shape[1]))
    return np.stack([np.interp(frames, cohort.knots, column) for column in knots.T], axis=1)


def _movement(sample: Draw, sequence: SyntheticSequence) -> np.ndarray:
    """Return the movement, [F, A]: correlated white noise, smoothed over frames.

    The noise is sampled from frame 0 on, so that the value of a frame does not depend on which
    other frames are requested.
    """
    cohort = sample.cohort
    first, last = int(sequence.frames[0]), int(sequence.frames[-1])
    margin = int(_TRUNCATE * cohort.width.max()) + 1
    rng = generator(sample.seed, f"movement {sample.attempt}", sequence.subject, sequence.task)
    noise = rng.standard_normal((last + 1 + 2 * margin, len(cohort.aus)))[first:]
    factor = np.linalg.cholesky(cohort.correlation).T * cohort.movement_sd
    noise = noise @ factor @ sample.mix
    smooth = [
        gaussian_filter1d(noise[:, au], width, truncate=_TRUNCATE) * _restoring_factor(width)
        for au, width in enumerate(cohort.width)
    ]
    movement: np.ndarray = np.stack(smooth, axis=1)[sequence.frames - first + margin]
    return movement


@cache
def _restoring_factor(width: float) -> float:
    """Return the factor that restores variance 1 to smoothed unit white noise."""
    lags = np.arange(-int(_TRUNCATE * width + 0.5), int(_TRUNCATE * width + 0.5) + 1)
    kernel = np.exp(-0.5 * (lags / width) ** 2)
    return float(kernel.sum() / np.sqrt((kernel**2).sum()))
