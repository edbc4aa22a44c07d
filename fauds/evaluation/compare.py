"""Compares two models on the same frames.

Each model is one run, or several runs that differ only by the seed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fauds.errors import DataError, UsageError
from fauds.evaluation.finished import CountedRun
from fauds.evaluation.results import EXTERNAL, Results
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
"""Parts of a protocol that external predictions do not declare.

Differences in them are listed, not refused: that the same frames were scored is checked anyway.
"""


def refuse_other_seeds(side: Sequence[CountedRun]) -> None:
    """Raise unless the runs of one model differ only by the seed.

    Args:
        side: the runs of one of the two models that are compared.

    Raises:
        UsageError: a run or a seed is given twice, or the runs differ by more than the seed.
    """
    first = side[0]
    for other in side[1:]:
        changed = changed_settings(first.results, other.results)
        changed.pop("training.seed", None)
        if changed:
            raise UsageError(
                f"{first.name} and {other.name} differ by more than the seed: "
                f"{', '.join(changed)}.",
                hint="join with commas only runs that differ by training.seed; external "
                "predictions of one model need the same name (fauds score --name)",
            )
    seeds = [seed for run in side for seed in run.results.seeds]
    names = [run.name for run in side]
    if len(set(seeds)) < len(seeds) or len(set(names)) < len(names):
        raise UsageError(
            f"Two runs of one model are the same or have the same seed: {', '.join(names)}.",
            hint="name each run once, and only runs with different seeds",
        )


def changed_settings(a: Results, b: Results) -> dict[str, tuple[Any, Any]]:
    """Return the settings that differ between two results.

    External predictions have no settings that could be compared: if either side is external, only
    the names of the models are compared.

    Returns:
        By dotted name of the setting, the values in `a` and in `b`; None where a side lacks it.
    """
    of_a: dict[str, Any] = {"model": a.model}
    of_b: dict[str, Any] = {"model": b.model}
    if EXTERNAL not in (a.preset, b.preset):
        of_a |= {"preset": a.preset, **flattened(a.settings)}
        of_b |= {"preset": b.preset, **flattened(b.settings)}
    names = [*of_a, *(name for name in of_b if name not in of_a)]
    pairs = {name: (of_a.get(name), of_b.get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def refuse_other_frames(a: CountedRun, b: CountedRun) -> list[str]:
    """Raise unless two runs were scored on the same frames by the same protocol.

    Returns:
        The differences in what external predictions do not declare (see `_UNDECLARED`), one phrase
        each; empty if both runs are of fauds' models.

    Raises:
        DataError: the runs differ; the message lists the differences.
    """
    differences = _differences(a.results, b.results)
    external = EXTERNAL in (a.results.preset, b.results.preset)
    allowed = {name for name in differences if external and name in _UNDECLARED}
    refused = [words for name, words in differences.items() if name not in allowed]
    if a.results.frames_fingerprint != b.results.frames_fingerprint:
        refused.append(_other_frames(a.results, b.results))
    elif a.counted.subjects != b.counted.subjects:
        refused.append("the subjects counted")
    if refused:
        raise DataError(
            f"{a.name} and {b.name} cannot be compared: they differ in {'; in '.join(refused)}.",
            hint="run one of them again with the protocol of the other",
        )
    return [differences[name] for name in differences if name in allowed]


def _differences(a: Results, b: Results) -> dict[str, str]:
    """Return the parts of the protocol that differ: key to a phrase with both values."""
    of_a, of_b = (
        {
            "benchmark": results.benchmark,
            "benchmark_version": results.benchmark_version,
            **results.protocol.model_dump(),
        }
        for results in (a, b)
    )
    phrases = {}
    for name in of_a:
        if of_a[name] != of_b[name]:
            words = _WORDS.get(name, f"the {name.replace('_', ' ')}")
            phrases[name] = f"{words} ({_both_values(name, of_a[name], of_b[name])})"
    return phrases


def _both_values(name: str, a: Any, b: Any) -> str:
    """Return a phrase with two values of a protocol's key; long lists are summarised."""
    if name == "aus":
        if set(a) == set(b):
            return "in another order"
        only = [[au for au in x if au not in y] for x, y in ((a, b), (b, a))]
        first, second = (", ".join(names) or "none more" for names in only)
        return f"only the first has {first}, only the second {second}"
    if name == "test_subjects":
        folds = [fold for fold in sorted({*a, *b}) if a.get(fold) != b.get(fold)]
        return ", ".join(
            f"fold {fold}: {len(a.get(fold, []))} and {len(b.get(fold, []))} subjects"
            for fold in folds
        )
    return f"{a} against {b}"


def _other_frames(a: Results, b: Results) -> str:
    if a.frames_scored != b.frames_scored:
        return f"the frames scored ({a.frames_scored:,} against {b.frames_scored:,})"
    return f"the frames scored or their labels ({a.frames_scored:,} each, not the same)"


LEVEL = 0.95
RESAMPLES = 1000
PERMUTATIONS = 10_000
SEED = 0


@dataclass(frozen=True)
class MetricComparison:
    """One metric of both models: a figure for each of A names, and last their mean.

    Attributes:
        a, b: the figures of the two models, float64 [A + 1], 0 to 1, NaN where undefined. For a
            model with several seeds, the metric of the counts averaged over its runs.
        of_seeds_a, of_seeds_b: for each run of the model, the mean over names.
        comparison: the difference a - b, with its confidence interval and p-value.
    """

    a: np.ndarray
    b: np.ndarray
    of_seeds_a: tuple[float, ...]
    of_seeds_b: tuple[float, ...]
    comparison: Comparison

    @property
    def told_apart(self) -> bool:
        """Whether the mean over names differs, by the test and by the confidence interval."""
        comparison = self.comparison
        excludes_zero = comparison.low[-1] > 0 or comparison.high[-1] < 0
        return bool(excludes_zero and comparison.p[-1] < 1 - LEVEL)


@dataclass(frozen=True)
class ModelComparison:
    """The comparison of two models.

    Attributes:
        a, b: the runs of the two models, one run for each seed.
        metrics: the comparison for each of the target's statistics; the first is the headline.
        estimand: "mean_of_folds", or "pooled" if a fold tests a single subject.
        undeclared: the differences in what external predictions do not declare, one phrase each.
    """

    a: tuple[CountedRun, ...]
    b: tuple[CountedRun, ...]
    metrics: dict[str, MetricComparison]
    estimand: Estimand
    undeclared: tuple[str, ...]

    @property
    def target(self) -> Target:
        """What both models predict."""
        return self.a[0].results.protocol.predicts

    @property
    def headline(self) -> MetricComparison:
        """The comparison by the target's first statistic, on which the verdict rests."""
        return self.metrics[self.target.first]

    @property
    def aus(self) -> list[str]:
        """The names of the scores (AUs or classes), in the order of the figures."""
        return self.a[0].results.protocol.aus

    @property
    def subjects(self) -> int:
        """The number of subjects that were tested."""
        return len(self.a[0].counted.subjects)


def compare_runs(a: Sequence[CountedRun], b: Sequence[CountedRun]) -> ModelComparison:
    """Compare two models by tests that are paired by subject.

    The counts of every subject are averaged over the seeds of a model, then compared once.

    Args:
        a: the runs of the first model, which differ only by the seed.
        b: the runs of the second model, which differ only by the seed.

    Raises:
        UsageError: the runs of one model differ by more than the seed.
        DataError: the runs were not scored on the same frames by the same protocol.
    """
    refuse_other_seeds(a)
    refuse_other_seeds(b)
    first = a[0]
    undeclared = [words for other in (*a[1:], *b) for words in refuse_other_frames(first, other)]
    folds = first.counted.folds
    # A fold with one subject has no variance between subjects, and seldom frames of all AUs.
    estimand: Estimand = "pooled" if resampling.has_single_subject(folds) else "mean_of_folds"
    counts_a, counts_b = _averaged(a), _averaged(b)
    metrics = {
        name: MetricComparison(
            _figures(counts_a, folds, statistic, estimand),
            _figures(counts_b, folds, statistic, estimand),
            tuple(float(_figures(run.counted.counts, folds, statistic, estimand)[-1]) for run in a),
            tuple(float(_figures(run.counted.counts, folds, statistic, estimand)[-1]) for run in b),
            compare(
                counts_a,
                counts_b,
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
    return ModelComparison(tuple(a), tuple(b), metrics, estimand, tuple(dict.fromkeys(undeclared)))


def _averaged(side: Sequence[CountedRun]) -> Additive:
    """Return the counts of every subject, averaged over the runs of one model."""
    of_runs = (run.counted.counts.parts for run in side)
    means = (np.mean(part, axis=0) for part in zip(*of_runs, strict=True))
    return type(side[0].counted.counts)(*means)


def _figures(
    counts: Additive, folds: np.ndarray, statistic: Statistic, estimand: Estimand
) -> np.ndarray:
    """Return the statistic by name and over all names, float64 [A + 1]."""
    all_once = np.ones((1, len(folds)))
    figures: np.ndarray = resampling.estimates(all_once, counts, folds, statistic, estimand)[0]
    return figures
