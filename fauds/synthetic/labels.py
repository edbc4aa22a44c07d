"""Synthetic action unit labels with the published statistics of BP4D or DISFA.

`lay_out` returns the subjects, tasks and frames, `draw_intensities` samples an intensity from 0 to
5 for every action unit of every frame, and `occurrence` turns intensities into binary labels. The
statistics and their sources are in benchmarks/label_statistics.json.
"""

from collections.abc import Sequence

import numpy as np

from fauds.errors import UsageError
from fauds.synthetic import latent
from fauds.synthetic.layout import SyntheticSequence, lay_out
from fauds.synthetic.population import check_seed, population

__all__ = ["OCCURRENCE_LEVEL", "SyntheticSequence", "draw_intensities", "lay_out", "occurrence"]

OCCURRENCE_LEVEL = 2
"""The lowest intensity at which an action unit counts as occurring, in both synthetic datasets."""


def draw_intensities(
    like: str, sequences: Sequence[SyntheticSequence], seed: int = 0
) -> tuple[tuple[str, ...], np.ndarray]:
    """Sample an intensity for every action unit of every frame.

    The intensities of a frame depend only on the seed and on the frame's subject, task and number,
    so they are the same in a release with fewer subjects, tasks or frames. Over all frames of the
    imitated dataset, which ``lay_out(like, seed=seed)`` returns, occurrence rates and correlations
    are the published ones. The same arguments give the same result on every machine on which
    NumPy's random generators give the same numbers.

    For BP4D, the frequencies of the intensities are not published. Therefore, an action unit that
    occurs gets intensities 2 to 5 in the proportions of DISFA, averaged over action units, and an
    action unit that does not occur gets intensities 0 and 1 (trace) in the proportions of DISFA.

    Args:
        like: the dataset to imitate, ``bp4d`` or ``disfa``.
        sequences: the sequences that `lay_out` returned, with increasing frame numbers.
        seed: the random seed, 0 or more.

    Returns:
        The names of the A action units that the dataset codes, and their intensities, 0 to 5,
        int8 [N, A], in the N frames of all sequences, in the order of `sequences`.

    Raises:
        UsageError: the dataset is unknown, the seed is negative, or the dataset has no such
            subject or task.
    """
    check_seed(seed)
    cohort = population(like)
    for sequence in sequences:
        if sequence.subject not in cohort.subjects or sequence.task not in cohort.tasks:
            raise UsageError(
                f"The dataset {like} has no subject {sequence.subject!r} with the task "
                f"{sequence.task!r}.",
                hint="use sequences that lay_out returned",
            )
    sample = latent.draw(like, seed)
    blocks = [np.empty((0, len(cohort.aus)), np.int8)]
    blocks += [latent.intensities(sample, sequence) for sequence in sequences]
    return cohort.aus, np.concatenate(blocks)


def occurrence(like: str, intensities: np.ndarray) -> np.ndarray:
    """Return whether each action unit occurs in each frame, which means an intensity of 2 or more.

    This is the published rule of DISFA. BP4D's coders code occurrence separately from intensity;
    the synthetic BP4D uses the rule of DISFA, so its occurrence and intensity labels agree.

    Args:
        like: the dataset, ``bp4d`` or ``disfa``.
        intensities: the intensities, 0 to 5, of A action units in N frames, [N, A].

    Returns:
        The occurrence, bool [N, A].

    Raises:
        UsageError: the dataset is unknown.
    """
    population(like)
    return np.asarray(intensities) >= OCCURRENCE_LEVEL
