"""The model of a population that synthetic labels are sampled from, independent of any seed.

Every action unit has a latent: a number per frame, which gives the intensity by the cut points
that it exceeds. The latent is a sum whose variance over the population is 1::

    task shift + sex shift + subject offset + slow part + movement

Task and sex shifts come from the published occurrence rates. The subject offset is constant for a
subject; the slow part and the movement change slowly and fast in time. These three terms have the
same correlation between action units, chosen so that any two action units occur together as often
as published (a Gaussian copula). If a dataset has periods of rest, in which nothing moves, the
latents of all action units are lowered together for that share of the time.
"""

import json
import zlib
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from scipy.special import ndtri

from fauds import resources
from fauds.errors import UsageError
from fauds.synthetic import copula

OCCURS_FROM = 2
"""The lowest intensity at which an action unit counts as occurring, in both synthetic datasets."""

# Share of BP4D's coded frames in each task, T1..T8: the non-negative least-squares solution of
# sum over tasks of share * occurrence_rate_by_task = occurrence_rate (residual below 0.0001).
_TASK_SHARES = {
    "bp4d": (0.1368, 0.1418, 0.0874, 0.1374, 0.1418, 0.1331, 0.1384, 0.0833),
    "disfa": (1.0,),
}

# The share of time at rest, and the amount by which rest lowers every latent, in standard
# deviations of the Gaussian parts. Without rest, a Gaussian copula gives DISFA 2.2 percentage
# points too few frames without any action unit and 3.3 too many with one; it matches BP4D's counts
# within 2.
_REST = {"bp4d": (0.0, 0.0), "disfa": (0.35, 2.0)}

# The mean absolute error of the tetrachoric correlations at which calibration stops. The rare
# action units of DISFA occur in few moments, so calibrating them further would distort the run
# lengths.
_NEAR_ENOUGH = {"bp4d": 0.02, "disfa": 0.06}

# The number of knots of the slow part in a sequence: BP4D's sequences of 20 seconds have one
# constant offset each, while DISFA's of four minutes drift.
KNOT_SPACING = 50
_KNOTS = {"bp4d": 1, "disfa": 98}

# For each action unit: the shares of the subject offset and of the slow part in the variance that
# task and sex do not explain, and the smoothing width of the movement in frames. They were tuned by
# fixed-point iteration on samples of full size (five new seeds per round, from seed 100 on): the
# share of the subject by the ratio of the published to the sampled spread between subjects, the
# share of the slow part by the 90th percentile and the number of runs, and the width by the median
# run. For DISFA, the shares of correlated action units were made slightly more similar, since parts
# of very different sizes cannot correlate as published.
_TUNED: dict[str, dict[str, tuple[float, float, float]]] = {
    "bp4d": {
        "AU01": (0.19, 0.67, 11.3),
        "AU02": (0.29, 0.54, 13.3),
        "AU04": (0.25, 0.66, 10.0),
        "AU06": (0.08, 0.36, 27.4),
        "AU07": (0.19, 0.55, 20.6),
        "AU10": (0.25, 0.42, 21.7),
        "AU12": (0.23, 0.36, 30.9),
        "AU14": (0.08, 0.68, 18.7),
        "AU15": (0.24, 0.60, 7.0),
        "AU17": (0.04, 0.78, 6.4),
        "AU23": (0.09, 0.59, 7.4),
        "AU24": (0.05, 0.86, 8.8),
    },
    "disfa": {
        "AU01": (0.23, 0.70, 7.8),
        "AU02": (0.61, 0.35, 8.4),
        "AU04": (0.62, 0.34, 8.1),
        "AU05": (0.19, 0.67, 5.6),
        "AU06": (0.17, 0.45, 31.8),
        "AU09": (0.14, 0.78, 14.0),
        "AU12": (0.02, 0.32, 28.8),
        "AU15": (0.23, 0.69, 11.0),
        "AU17": (0.28, 0.61, 7.5),
        "AU20": (0.09, 0.82, 10.2),
        "AU25": (0.37, 0.32, 20.4),
        "AU26": (0.47, 0.48, 5.6),
    },
}


@dataclass(frozen=True)
class Population:
    """The parameters of a population of S subjects with K tasks and A action units.

    An action unit's intensity in a frame follows from its latent, a normal variable that is the
    sum of a shift by task and sex, a subject offset, a slow part and a fast part, the movement.
    The slow part is interpolated between G frame numbers, the knots.

    Attributes:
        like: the dataset that is imitated, ``bp4d`` or ``disfa``.
        aus: the names of the action units, [A].
        subjects: the ids of the subjects in natural order, [S].
        sexes: the sexes of the subjects, [S]: "F", "M", or None if the dataset does not publish
            them.
        tasks: the names of the tasks, [K]; the empty string if the dataset has none.
        frames: the number of coded frames of each subject, [S].
        task_shares: the shares of the tasks in the coded frames, [K], which sum to 1.
        shift: the part of the latent that depends on sex and task only, [S, K, A].
        subject_sd: the standard deviation of the subject offset, [A].
        slow_sd: the standard deviation of the slow part, [A].
        movement_sd: the standard deviation of the movement, [A].
        width: the standard deviation, in frames, of the Gaussian that smooths the movement, [A].
        knots: the frame numbers between which the slow part is interpolated, [G].
        published: the published tetrachoric correlation of occurrence, [A, A].
        counts: the published shares of frames with 0, 1, ..., A active action units, [A + 1].
        spread: the published standard deviation of the occurrence rate over subjects, [A].
        runs: the published median length of active runs in frames, [A].
        correlation: the correlation between action units, [A, A], which is the same for the
            subject offset, the slow part, and the movement before it is smoothed.
        rest: the share of time at rest, and the amount by which rest lowers every latent.
        near_enough: the mean absolute error of the sampled labels' tetrachoric correlation below
            which calibration stops.
        exceedance: the published shares of frames with an intensity of at least 1, 2, ..., 5,
            [A, 5].
    """

    like: str
    aus: tuple[str, ...]
    subjects: tuple[str, ...]
    sexes: tuple[str | None, ...]
    tasks: tuple[str, ...]
    frames: np.ndarray
    task_shares: np.ndarray
    shift: np.ndarray
    subject_sd: np.ndarray
    slow_sd: np.ndarray
    movement_sd: np.ndarray
    width: np.ndarray
    knots: np.ndarray
    published: np.ndarray
    counts: np.ndarray
    spread: np.ndarray
    runs: np.ndarray
    correlation: np.ndarray
    rest: tuple[float, float]
    near_enough: float
    exceedance: np.ndarray


def statistics(like: str) -> dict[str, Any]:
    """Return the published label statistics of ``bp4d`` or ``disfa``.

    The statistics are read from the dataset's entry in benchmarks/label_statistics.json.

    Raises:
        UsageError: the dataset has no entry.
    """
    if like not in _TUNED:
        raise UsageError(
            f"Synthetic labels cannot imitate the dataset {like!r}.",
            hint=f"choose from: {', '.join(sorted(_TUNED))}",
        )
    with resources.path("benchmarks", "label_statistics.json").open(encoding="utf-8") as file:
        entry: dict[str, Any] = json.load(file)[like]
        return entry


def check_seed(seed: int) -> None:
    """Raise UsageError if a seed is negative, because NumPy does not accept it."""
    if seed < 0:
        raise UsageError(
            f"The seed must be 0 or more, not {seed}.", hint="choose a whole number of 0 or more"
        )


def generator(seed: int, *names: str) -> np.random.Generator:
    """Return a random generator whose state depends only on a seed and names, on every machine.

    The names say what will be sampled with the generator, such as "identity" and a subject's id.
    """
    return np.random.default_rng([seed, *(zlib.crc32(name.encode()) for name in names)])


@cache
def population(like: str) -> Population:
    """Return the parameters of the population that imitates ``bp4d`` or ``disfa``.

    Raises:
        UsageError: the dataset is unknown.
    """
    published = statistics(like)
    subjects = tuple(sorted(published["frames_per_subject"]))
    frames = np.array([published["frames_per_subject"][subject] for subject in subjects])
    by_task = published.get("occurrence_rate_by_task", {"": published["occurrence_rate"]})
    task_shares = np.array(_TASK_SHARES[like]) / sum(_TASK_SHARES[like])
    task = _shift(np.array(list(by_task.values())), task_shares)
    sexes, sex = _sexes(published, subjects, frames / frames.sum())
    explained = _covariance(task, task_shares) + _covariance(sex, frames / frames.sum())
    tuned = np.array([_TUNED[like][au] for au in published["aus"]])
    subject, slow, width = tuned.T
    parts = np.sqrt(np.stack([subject, slow, 1 - subject - slow]) * (1 - np.diag(explained)))
    correlation = copula.outside_rest(
        np.array(published["occurrence_rate"]),
        np.array(published["latent_correlation"]),
        _REST[like],
    )
    return Population(
        like=like,
        aus=tuple(published["aus"]),
        subjects=subjects,
        sexes=sexes,
        tasks=tuple(by_task),
        frames=frames,
        task_shares=task_shares,
        shift=sex[:, None] + task[None],
        subject_sd=parts[0],
        slow_sd=parts[1],
        movement_sd=parts[2],
        width=width,
        knots=1 + KNOT_SPACING * np.arange(_KNOTS[like]),
        published=np.array(published["latent_correlation"]),
        counts=np.array(published["active_aus_per_frame"]),
        spread=np.array(published["subject_rate_sd"]),
        runs=np.array([run["median"] for run in published["active_run_length_frames"].values()]),
        correlation=_shared_correlation(correlation - explained, parts, width),
        rest=_REST[like],
        near_enough=_NEAR_ENOUGH[like],
        exceedance=_exceedance(like),
    )


def _sexes(
    published: dict[str, Any], subjects: tuple[str, ...], weight: np.ndarray
) -> tuple[tuple[str | None, ...], np.ndarray]:
    """Return the sexes of S subjects, and the amounts that sex adds to the latents, [S, A].

    An action unit's latent is the normal variable that its intensity follows from. If the
    dataset does not publish the sexes, all sexes are None and all amounts are 0.

    Args:
        published: the published label statistics of the dataset.
        subjects: the ids of the subjects.
        weight: the share of each subject in all coded frames, [S].
    """
    by_sex = published.get("occurrence_rate_by_sex")
    if by_sex is None:
        return (None,) * len(subjects), np.zeros((len(subjects), len(published["aus"])))
    sexes = tuple(subject[0] for subject in subjects)
    return sexes, _shift(np.array([by_sex[sex] for sex in sexes]), weight)


def _shift(rates: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return the mean latent of each action unit in each group of frames, [groups, A].

    With these means, a latent that is normal in each group, has variance 1 over all groups and
    is compared with one threshold gives the occurrence rates of the groups.

    Args:
        rates: the occurrence rates, [groups, A].
        shares: the share of each group in all frames, [groups].
    """
    scores = ndtri(rates)
    scores = scores - shares @ scores
    means: np.ndarray = scores / np.sqrt(1 + shares @ scores**2)
    return means


def _covariance(shift: np.ndarray, shares: np.ndarray) -> np.ndarray:
    covariance: np.ndarray = (shift * shares[:, None]).T @ shift
    return covariance


def _shared_correlation(target: np.ndarray, parts: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Return the correlation between action units, [A, A], that three random terms must have.

    The terms are the subject offset, the slow part and the movement. If each of them has this
    correlation, their sum has the target covariance. The movement is smoothed noise: if two action
    units are smoothed by different widths, their movements correlate less than the noise does.

    Args:
        target: the covariance of the sum, [A, A].
        parts: the standard deviations of the three terms, [3, A], in the order above.
        width: the standard deviations, in frames, of the Gaussians that smooth the movement, [A].
    """
    kept = np.sqrt(2 * np.outer(width, width) / np.add.outer(width**2, width**2))
    scale = np.outer(parts[0], parts[0]) + np.outer(parts[1], parts[1])
    wanted = target / (scale + kept * np.outer(parts[2], parts[2]))
    np.fill_diagonal(wanted, 1.0)
    return copula.nearest_correlation(wanted)


def _exceedance(like: str) -> np.ndarray:
    """Return the shares of frames whose intensity is at least 1, 2, ..., 5, [A, 5].

    BP4D publishes rates of occurrence but not of intensities. Its frames with an action unit are
    divided into intensities 2 to 5, and its frames without the action unit into 0 and 1, in the
    proportions of DISFA, averaged over action units.
    """
    shares = np.array(list(statistics("disfa")["intensity_distribution"].values()))
    if like != "disfa":
        mean = shares.mean(axis=0)
        rate = np.array(statistics(like)["occurrence_rate"])[:, None]
        absent, present = mean[:2] / mean[:2].sum(), mean[2:] / mean[2:].sum()
        shares = np.hstack([absent * (1 - rate), present * rate])
    tails = np.cumsum(shares[:, ::-1], axis=1)[:, ::-1]
    exceedance: np.ndarray = tails[:, 1:] / tails[:, :1]
    return exceedance
