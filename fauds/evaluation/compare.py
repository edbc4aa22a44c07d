"""Two models compared on the same frames: each one run, or several that differ by the seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fauds.errors import DataError, UsageError
from fauds.evaluation.finished import Loaded
from fauds.evaluation.results import ELSEWHERE, Results
from fauds.metrics import resampling
from fauds.metrics.comparison import Comparison, compare
from fauds.metrics.resampling import Additive, Estimand, Statistic
from fauds.settings import flattened
from fauds.targets.base import Target

_WORDS = {
    "folds": "the fold list",
    "test_subjects": "the subjects that each fold tests",
    "aus": "the action units",
    "occurrence": "the rule of occurrence",
    "threshold": "the threshold",
    "selection": "the selection of the epoch",
    "alignment": "the alignment",
    "frame_set": "the frame set",
}
_UNDECLARED = {"selection", "alignment", "frame_set"}
"""What predictions made elsewhere do not declare; which frames they are of is checked anyway."""


def refuse_other_seeds(side: Sequence[Loaded]) -> None:
    """Raise unless the runs of one side are repetitions of each other with other seeds.

    Raises:
        UsageError: a run or a seed comes twice, or runs differ by more than the seed.
    """
    first = side[0]
    for other in side[1:]:
        changed = changed_settings(first.results, other.results)
        changed.pop("training.seed", None)
        if changed:
            raise UsageError(
                f"{first.name} and {other.name} differ by more than the seed: "
                f"{', '.join(changed)}.",
                hint="join with commas only runs that differ by training.seed; predictions made "
                "elsewhere are joined by what fauds score --name called them",
            )
    seeds = [seed for run in side for seed in run.results.seeds]
    names = [run.name for run in side]
    if len(set(seeds)) < len(seeds) or len(set(names)) < len(names):
        raise UsageError(
            f"Two runs of one side are the same or have the same seed: {', '.join(names)}.",
            hint="name each run once, and only runs of different seeds",
        )


def changed_settings(a: Results, b: Results) -> dict[str, tuple[Any, Any]]:
    """Return the settings that differ by dotted name, with both values; None where absent.

    Of predictions made elsewhere only the model's name is known.
    """
    ours: dict[str, Any] = {"model": a.model}
    theirs: dict[str, Any] = {"model": b.model}
    if ELSEWHERE not in (a.preset, b.preset):
        ours |= {"preset": a.preset, **flattened(a.settings)}
        theirs |= {"preset": b.preset, **flattened(b.settings)}
    names = [*ours, *(name for name in theirs if name not in ours)]
    pairs = {name: (ours.get(name), theirs.get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def refuse_other_frames(a: Loaded, b: Loaded) -> list[str]:
    """Raise unless two runs were scored on the same frames by the same protocol.

    Returns:
        What is not declared alike where predictions were made elsewhere, in words.

    Raises:
        DataError: they differ; in what is said.
    """
    differ = _differences(a.results, b.results)
    elsewhere = ELSEWHERE in (a.results.preset, b.results.preset)
    open_ = {name for name in differ if elsewhere and name in _UNDECLARED}
    refused = [words for name, words in differ.items() if name not in open_]
    if a.results.frames_fingerprint != b.results.frames_fingerprint:
        refused.append(_other_frames(a.results, b.results))
    elif a.found.subjects != b.found.subjects:
        refused.append("the subjects counted")
    if refused:
        raise DataError(
            f"{a.name} and {b.name} cannot be compared: they differ in {'; in '.join(refused)}.",
            hint="run one of them again with the protocol of the other",
        )
    return [differ[name] for name in differ if name in open_]


def _differences(a: Results, b: Results) -> dict[str, str]:
    ours, theirs = (
        {
            "benchmark": results.benchmark,
            "benchmark_version": results.benchmark_version,
            **results.protocol.model_dump(),
        }
        for results in (a, b)
    )
    differ = {}
    for name in ours:
        if ours[name] != theirs[name]:
            words = _WORDS.get(name, f"the {name.replace('_', ' ')}")
            differ[name] = f"{words} ({_told_apart(name, ours[name], theirs[name])})"
    return differ


def _told_apart(name: str, ours: Any, theirs: Any) -> str:
    """Return two values of a protocol for a person, the long ones by what only one has."""
    if name == "aus":
        if set(ours) == set(theirs):
            return "in another order"
        only = [[au for au in one if au not in other] for one, other in _both_ways(ours, theirs)]
        first, second = (", ".join(names) or "none more" for names in only)
        return f"only the first has {first}, only the second {second}"
    if name == "test_subjects":
        folds = [fold for fold in sorted({*ours, *theirs}) if ours.get(fold) != theirs.get(fold)]
        return ", ".join(
            f"fold {fold}: {len(ours.get(fold, []))} and {len(theirs.get(fold, []))} subjects"
            for fold in folds
        )
    return f"{ours} against {theirs}"


def _both_ways(one: Any, other: Any) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    return (one, other), (other, one)


def _other_frames(a: Results, b: Results) -> str:
    if a.frames_scored != b.frames_scored:
        return f"the frames scored ({a.frames_scored:,} against {b.frames_scored:,})"
    return f"the frames scored or their labels ({a.frames_scored:,} each, not the same)"


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
    figures: np.ndarray = resampling.estimates(whole, counts, folds, statistic, estimand)[0]
    return figures
