"""Two models compared on the same frames: each one run, or several that differ by the seed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fauds.bench.comparable import refuse_other_frames, refuse_other_seeds
from fauds.bench.loading import Loaded
from fauds.metrics import resampling
from fauds.metrics.comparison import Comparison, compare
from fauds.metrics.resampling import Additive, Estimand, Statistic
from fauds.targets.base import Target

LEVEL = 0.95
RESAMPLES = 1000
PERMUTATIONS = 10_000
SEED = 0


@dataclass(frozen=True)
class Compared:
    """One metric of both models: AUs [A], and last the mean over AUs.

    Attributes:
        a, b: float64 [A + 1], 0 to 1, NaN where undefined; of several seeds, the metric of the
            counts averaged over them.
        of_seeds_a, of_seeds_b: the mean over AUs of every run.
        comparison: a less b, with its interval and p.
    """

    a: np.ndarray
    b: np.ndarray
    of_seeds_a: tuple[float, ...]
    of_seeds_b: tuple[float, ...]
    comparison: Comparison

    @property
    def told_apart(self) -> bool:
        """Whether the mean over AUs differs: by the test and by the interval, at one level."""
        found = self.comparison
        outside = found.low[-1] > 0 or found.high[-1] < 0
        return bool(outside and found.p[-1] < 1 - LEVEL)


@dataclass(frozen=True)
class Pair:
    """Two models compared.

    Attributes:
        a, b: the runs of each, one a seed.
        metrics: the target's statistics, the headline's first.
        estimand: "mean_of_folds", or "pooled" where a fold tests a single subject.
        undeclared: what predictions made elsewhere do not declare alike, in words.
    """

    a: tuple[Loaded, ...]
    b: tuple[Loaded, ...]
    metrics: dict[str, Compared]
    estimand: Estimand
    undeclared: tuple[str, ...]

    @property
    def target(self) -> Target:
        """What both models predict."""
        return self.a[0].results.protocol.predicts

    @property
    def headline(self) -> Compared:
        """The comparison that the verdict is about: of the target's first statistic."""
        return self.metrics[self.target.first]

    @property
    def aus(self) -> list[str]:
        """The names (AUs or classes), in the order of the figures."""
        return self.a[0].results.protocol.aus

    @property
    def subjects(self) -> int:
        """How many subjects were tested."""
        return len(self.a[0].found.subjects)


def compare_runs(a: Sequence[Loaded], b: Sequence[Loaded]) -> Pair:
    """Compare two models, each the runs of one setting, paired by subject.

    Counts are averaged over the seeds of a model by subject, then compared once.

    Raises:
        UsageError: runs of one side differ by more than the seed.
        DataError: the runs were not scored on the same frames by the same protocol.
    """
    refuse_other_seeds(a)
    refuse_other_seeds(b)
    first = a[0]
    undeclared = [words for other in (*a[1:], *b) for words in refuse_other_frames(first, other)]
    folds = first.found.folds
    # A fold of one subject shows no spread between subjects, and mostly not all AUs.
    estimand: Estimand = "pooled" if resampling.has_single(folds) else "mean_of_folds"
    mine, theirs = _averaged(a), _averaged(b)
    metrics = {
        name: Compared(
            _figures(mine, folds, statistic, estimand),
            _figures(theirs, folds, statistic, estimand),
            tuple(float(_figures(run.found.counts, folds, statistic, estimand)[-1]) for run in a),
            tuple(float(_figures(run.found.counts, folds, statistic, estimand)[-1]) for run in b),
            compare(
                mine,
                theirs,
                folds,
                statistic,
                estimand=estimand,
                resamples=RESAMPLES,
                permutations=PERMUTATIONS,
                level=LEVEL,
                seed=SEED,
            ),
        )
        for name, statistic in first.results.protocol.predicts.statistics.items()
    }
    return Pair(tuple(a), tuple(b), metrics, estimand, tuple(dict.fromkeys(undeclared)))


def _averaged(side: Sequence[Loaded]) -> Additive:
    of_runs = (run.found.counts.parts for run in side)
    means = (np.mean(part, axis=0) for part in zip(*of_runs, strict=True))
    return type(side[0].found.counts)(*means)


def _figures(
    counts: Additive, folds: np.ndarray, statistic: Statistic, estimand: Estimand
) -> np.ndarray:
    whole = np.ones((1, len(folds)))
    return resampling.estimates(whole, counts, folds, statistic, estimand)[0]
