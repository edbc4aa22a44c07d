"""How far a full-size draw is from what is published beyond rates and correlations."""

import numpy as np

from fauds.synthetic.layout import Take
from fauds.synthetic.population import Population

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
        np.abs(counts - people.counts).max() / _COUNTS,
        np.abs(spread).max() / np.log(_SPREAD),
        np.abs(runs).max() / np.log(_RUNS),
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
    return totals / people.frames[:, None]


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
