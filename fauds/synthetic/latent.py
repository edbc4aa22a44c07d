"""Sampling of synthetic intensities from smooth random curves over frame numbers.

Every action unit of a sequence has a curve, its latent, with one value per frame. The intensity is
the number of the action unit's five cut points that the latent exceeds.

Every seed defines one population with all subjects and frames of the imitated dataset. It is
calibrated over all coded frames: cut points are quantiles of the latents, and the latents of
different action units are mixed slightly until the action units correlate as published. A smaller
synthetic dataset takes some frames of that population, with the same labels.
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
    """Return how far sampled labels deviate from three published statistics; up to 1 is accepted.

    The statistics are the number of active action units per frame, the standard deviation of
    occurrence rates over subjects, and the median lengths of runs of active frames. They do not
    follow from occurrence rates and pairwise correlations, and with 41 or 27 subjects they vary
    between samples. Each of the three deviations is divided by its largest accepted value; the
    result is the largest of these quotients.

    Args:
        cohort: the population, with the published statistics.
        sequences: all sequences of the population.
        occurs: whether each of the A action units occurs in each of the N frames of these
            sequences, bool [N, A].
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
    """Return the index of each sequence's first frame among all frames in order, [sequences]."""
    return np.cumsum([0, *(len(sequence.frames) for sequence in sequences[:-1])])


def _subject_rates(
    cohort: Population, sequences: list[SyntheticSequence], occurs: np.ndarray
) -> np.ndarray:
    """Return the share of each subject's frames in which each action unit occurs, [S, A].

    Args:
        cohort: the population of S subjects.
        sequences: all sequences of the population.
        occurs: whether each of the A action units occurs in each frame, bool [N, A].
    """
    active = np.add.reduceat(occurs, _starts(sequences), axis=0, dtype=np.int64)
    rows = [cohort.subjects.index(sequence.subject) for sequence in sequences]
    totals = np.zeros((len(cohort.subjects), occurs.shape[1]))
    np.add.at(totals, rows, active)
    rates: np.ndarray = totals / cohort.frames[:, None]
    return rates


def _median_runs(sequences: list[SyntheticSequence], occurs: np.ndarray) -> np.ndarray:
    """Return each action unit's median length, in frames, of runs in which it is active, [A].

    A run is a stretch of consecutive rows of one sequence.
    """
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
    """The random choices of one seed for a population of S subjects, and their calibration.

    They determine the latent of each of A action units in every frame of K tasks, from which the
    intensity follows. A latent is the sum of a fixed term, a slow curve and a fast curve (the
    movement), minus a lowering while the face is at rest. The slow curve is interpolated between
    G frame numbers, the knots.

    Attributes:
        cohort: the parameters of the population.
        seed: the seed; all random choices follow from it and from `attempt`.
        attempt: the number of the attempt with this seed, counted from 0.
        fixed: the fixed term, [S, K, A]: the shift of the task and the sex plus the subject's own
            offset.
        slow: the slow curve at the knots, [S, K, G, A].
        rest: a standard normal curve at the knots, [S, K, G]; low values mean rest.
        mix: the matrix, [A, A], that corrects the correlation between action units; the slow
            curve and the noise that the movement is made of are multiplied by it.
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
    """Return the calibrated random sample of a seed, with all subjects and frames of a dataset.

    Up to six samples are tried. The first sample whose deviation from the published statistics is
    accepted (`misfit` below 1) is returned; if none is accepted, the sample with the smallest
    deviation is returned.

    Args:
        like: the dataset to imitate, ``bp4d`` or ``disfa``.
        seed: the random seed, 0 or more.

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
    """Calibrate a sample, so that occurrence rates and correlations are the published ones.

    Few subjects show a rare action unit, at few moments. Its correlations with other action units
    therefore depend on which of these moments coincide by chance, even if the latents have the
    right covariance. To correct this, each round changes the correlation of the latents by the
    error of the labels' tetrachoric correlation. The round with the smallest error is kept.

    Args:
        sample: the sample, whose cut points are not set yet.
        sequences: all sequences of the population.

    Returns:
        The sample with its fields `mix` and `cuts` set, and whether each of the A action units
        occurs in each of the N frames of all sequences, bool [N, A].
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
    """Return the intensities of A action units in the F frames of a sequence, int8 [F, A], 0 to 5.

    Args:
        sample: the calibrated sample that `draw` returned.
        sequence: the sequence.
    """
    values = _gaussian(sample, sequence) - _lowering(sample, sequence)[:, None]
    levels: np.ndarray = (values[:, :, None] > sample.cuts).sum(axis=2, dtype=np.int8)
    return levels


def _cuts(values: np.ndarray, exceedance: np.ndarray) -> np.ndarray:
    """Return the cut points between levels, [A, L], as quantiles of the values.

    Args:
        values: N values of each of A action units, [N, A].
        exceedance: the share of the values that must exceed each of the L cut points, [A, L].
    """
    cuts = [np.quantile(*pair) for pair in zip(values.T, 1 - exceedance, strict=True)]
    # An infinite cut point keeps a published share of 0 at 0, whatever the largest value is.
    return np.where(exceedance > 0.5 / len(values), np.stack(cuts), np.inf)


def _recolouring(values: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Return a symmetric matrix [A, A] that changes the correlation of values by `change`.

    The values must be multiplied by the matrix from the right. The matrix is the optimal transport
    map between two Gaussians: of all matrices with this effect, it changes the values least.
    Unlike a Cholesky factor, it treats all action units alike.

    Args:
        values: N values of each of A action units, [N, A].
        change: the change of their correlation matrix, [A, A].
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
    """Return correlated, nearly normal numbers, [count, A], a row for each subject.

    Every column holds the same `count` quantiles of the standard normal, in another order.
    Independent samples for 41 or 27 subjects would miss the published spread between subjects.

    Args:
        rng: the random generator.
        count: the number of rows.
        correlation: the correlation between the columns, [A, A].
    """
    scores = _whitened(rng.standard_normal((count, len(correlation))))
    ranks = np.argsort(np.argsort(scores @ np.linalg.cholesky(correlation).T, axis=0), axis=0)
    return ndtri((ranks + 0.5) / count)


def _drift(rng: np.random.Generator, cohort: Population, correlation: np.ndarray) -> np.ndarray:
    """Return random curves, smooth in time and correlated with each other, [S, K, G, A].

    S is the number of subjects, K the number of tasks, G the number of knots (the frame numbers at
    which the curves are sampled), and A the number of curves of a subject and task.

    Args:
        rng: the random generator.
        cohort: the population, with its subjects, tasks and knots.
        correlation: the correlation between the A curves of a subject and task, [A, A].
    """
    shape = (len(cohort.subjects), len(cohort.tasks), len(cohort.knots), len(correlation))
    smooth = gaussian_filter1d(rng.standard_normal(shape), _SLOW_WIDTH / KNOT_SPACING, axis=2)
    white = _whitened(smooth.reshape(-1, len(correlation)))
    return (white @ np.linalg.cholesky(correlation).T).reshape(shape)


def _whitened(samples: np.ndarray) -> np.ndarray:
    """Return the samples [N, A] transformed to mean 0 and identity covariance."""
    samples = samples - samples.mean(axis=0)
    return samples @ np.linalg.inv(sqrtm(samples.T @ samples / len(samples)).real)


def _gaussian(sample: Draw, sequence: SyntheticSequence) -> np.ndarray:
    """Return the latents of a sequence, [F, A], before they are lowered in periods of rest.

    The latent of an action unit is a random curve; the intensity is the number of cut points
    that it exceeds.
    """
    cohort = sample.cohort
    index = cohort.subjects.index(sequence.subject), cohort.tasks.index(sequence.task)
    slow = _at(cohort, sample.slow[index] @ sample.mix, sequence.frames)
    latent: np.ndarray = sample.fixed[index] + slow + _movement(sample, sequence)
    return latent


def _lowering(sample: Draw, sequence: SyntheticSequence) -> np.ndarray:
    """Return the amount, [F], by which the latents of all action units are lowered in each frame.

    The amount is large in periods of rest, in which nothing moves, and near 0 outside of them.
    """
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
    """Return the fast part of a sequence's latents, [F, A].

    The fast part is white noise, correlated between the A action units and smoothed over frames.
    The noise is sampled from frame 0 on, so that the value of a frame does not depend on which
    other frames the sequence has.
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
    """Return the factor by which smoothed white noise must be multiplied to have variance 1.

    Args:
        width: the standard deviation, in frames, of the Gaussian that smoothed the noise.
    """
    lags = np.arange(-int(_TRUNCATE * width + 0.5), int(_TRUNCATE * width + 0.5) + 1)
    kernel = np.exp(-0.5 * (lags / width) ** 2)
    return float(kernel.sum() / np.sqrt((kernel**2).sum()))
