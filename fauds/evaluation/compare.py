"""Compares two models on the same frames, with tests that are paired by subject.

Each model is given as one finished run, or as several runs that differ only by the training seed.
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
    """Raise an error unless the runs of one model differ only by the training seed.

    Args:
        side: the runs of one of the two models that are compared.

    Raises:
        UsageError: a run or a seed is given twice, or the runs differ in other settings too.
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
    """Return the settings that differ between the results of two runs.

    Predictions of other programs have no settings that could be compared: if `a` or `b` is of such
    predictions, only the names of the models are compared.

    Returns:
        A dict from the dotted name of a setting, such as "training.seed", to its values in `a` and
        in `b`; a value is None if that run does not have the setting.
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
    """Raise an error unless two runs were scored on the same frames by the same protocol.

    Predictions of other programs do not declare how the epoch was chosen, how faces were aligned,
    or the frame set. Differences in these are allowed if a run is of such predictions.

    Returns:
        The allowed differences, one phrase each; empty if both runs are of fauds' models.

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
    """Return how the protocols of two runs differ.

    Returns:
        A dict from each key of the protocol that differs, such as "threshold", to a phrase that
        names the key and gives both values.
    """
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
    """Return a phrase with the values that a key of the protocol has in two runs, `a` and `b`.

    AUs and test subjects are summarised: only what differs is given, and subjects are counted.
    """
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
    """One metric, such as F1, for two models that are compared.

    Attributes:
        a, b: the metric of each model, float64 [A + 1], 0 to 1, NaN where undefined: a value for
            each of the A names (AUs or classes), and last the value over all names. For a model
            with several seeds, it is computed from the counts averaged over the model's runs.
        of_seeds_a, of_seeds_b: the value over all names of each run of the model, one per seed.
        comparison: the differences a - b, with confidence intervals and p-values.
    """

    a: np.ndarray
    b: np.ndarray
    of_seeds_a: tuple[float, ...]
    of_seeds_b: tuple[float, ...]
    comparison: Comparison

    @property
    def told_apart(self) -> bool:
        """Whether the models differ in the value over all names.

        They do if the confidence interval of the difference excludes 0 and p is below 0.05.
        """
        comparison = self.comparison
        excludes_zero = comparison.low[-1] > 0 or comparison.high[-1] < 0
        return bool(excludes_zero and comparison.p[-1] < 1 - LEVEL)


@dataclass(frozen=True)
class ModelComparison:
    """The comparison of two models on the same frames.

    Attributes:
        a, b: the runs of each model, one run for each seed.
        metrics: by metric, its comparison. The metrics are the target's statistics (such as F1);
            the verdict rests on the first one.
        estimand: "mean_of_folds" if metrics are means over folds; "pooled" if they are computed
            from all test frames at once, because a fold tests a single subject.
        undeclared: differences between the protocols that are allowed because predictions of other
            programs do not declare these parts (see `_UNDECLARED`), one phrase each.
    """

    a: tuple[CountedRun, ...]
    b: tuple[CountedRun, ...]
    metrics: dict[str, MetricComparison]
    estimand: Estimand
    undeclared: tuple[str, ...]

    @property
    def target(self) -> Target:
        """The target: the AUs or classes that both models predict."""
        return self.a[0].results.protocol.predicts

    @property
    def headline(self) -> MetricComparison:
        """The comparison by the target's first statistic (for AUs, F1), on which the verdict rests.

        The verdict is whether the two models differ.
        """
        return self.metrics[self.target.main_metric]

    @property
    def aus(self) -> list[str]:
        """The names of the AUs or classes that are compared, in the order of the values."""
        return self.a[0].results.protocol.aus

    @property
    def subjects(self) -> int:
        """The number of subjects that were tested."""
        return len(self.a[0].counted.subjects)


def compare_runs(a: Sequence[CountedRun], b: Sequence[CountedRun]) -> ModelComparison:
    """Compare two models by tests that are paired by subject.

    For each model, the counts of correct and wrong decisions on each subject are averaged over the
    model's seeds; the averages of the two models are then compared.

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
    """Return each subject's counts of correct and wrong decisions, averaged over a model's runs."""
    of_runs = (run.counted.counts.parts for run in side)
    means = (np.mean(part, axis=0) for part in zip(*of_runs, strict=True))
    return type(side[0].counted.counts)(*means)


def _figures(
    counts: Additive, folds: np.ndarray, statistic: Statistic, estimand: Estimand
) -> np.ndarray:
    """Return a statistic, such as F1, float64 [A + 1]: for each of A names, last over all names."""
    all_once = np.ones((1, len(folds)))
    figures: np.ndarray = resampling.estimates(all_once, counts, folds, statistic, estimand)[0]
    return figures
