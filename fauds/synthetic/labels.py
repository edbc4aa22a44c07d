"""Made-up action unit labels with the published statistics of BP4D or DISFA.

`lay_out` says which subjects, tasks and frames there are, `draw_intensities` gives each frame an
intensity of 0 to 5 per action unit, `occurrence` applies the label rule. What is imitated, and
where it was published, is in benchmarks/label_statistics.json.
"""

from collections.abc import Sequence

import numpy as np

from fauds.errors import UsageError
from fauds.synthetic import latent
from fauds.synthetic.layout import Take, lay_out
from fauds.synthetic.population import check_seed, population

__all__ = ["OCCURRENCE_LEVEL", "Take", "draw_intensities", "lay_out", "occurrence"]

OCCURRENCE_LEVEL = 2
"""The intensity from which an action unit counts as occurring, in both synthetic datasets."""


def draw_intensities(
    like: str, takes: Sequence[Take], seed: int = 0
) -> tuple[tuple[str, ...], np.ndarray]:
    """Draw an intensity for every action unit of every frame.

    A frame's intensities depend on the seed, its subject, task and number, and on nothing else:
    drawing fewer subjects, tasks or frames gives the same values for those drawn. Rates and
    correlations are the published ones over ``lay_out(like, seed=seed)``, the full size. The
    same arguments give the same result wherever NumPy's generators do.

    On BP4D, whose intensities are not published, an action unit that occurs takes levels 2 to 5
    in the shares of DISFA's mean over action units, and one that does not takes level 0, or 1
    (trace) as often as on DISFA.

    Args:
        like: ``bp4d`` or ``disfa``.
        takes: sequences as `lay_out` returns them, frame numbers increasing.
        seed: 0 or more.

    Returns:
        The A action units that the dataset codes, and intensities int8 [N, A] from 0 to 5, N
        being the frames of all takes in their order.

    Raises:
        UsageError: an unknown dataset, a negative seed, or a subject or task that it has not.
    """
    check_seed(seed)
    people = population(like)
    for take in takes:
        if take.subject not in people.subjects or take.task not in people.tasks:
            raise UsageError(
                f"The {like} population has no subject {take.subject!r}, task {take.task!r}.",
                hint="draw labels for sequences that lay_out returned",
            )
    drawn = latent.draw(like, seed)
    blocks = [np.empty((0, len(people.aus)), np.int8)]
    blocks += [latent.intensities(drawn, take) for take in takes]
    return people.aus, np.concatenate(blocks)


def occurrence(like: str, intensities: np.ndarray) -> np.ndarray:
    """Return bool [N, A]: whether each action unit occurs, which is intensity >= 2.

    That is DISFA's published rule. BP4D's own coders give occurrence apart from intensity; the
    synthetic BP4D uses the same rule, so that its two kinds of label agree.

    Raises:
        UsageError: an unknown dataset.
    """
    population(like)
    return np.asarray(intensities) >= OCCURRENCE_LEVEL
