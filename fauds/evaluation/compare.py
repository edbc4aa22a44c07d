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
from fauds.metrics.comparison import DETECTABLE, Comparison, compare, swaps_used
from fauds.metrics.frame_means import MEAN
from fauds.metrics.intervals import LEVEL
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
"""Keys of a protocol that the predictions of other programs do not declare.

Two runs that differ only in these keys are compared, and the differences are listed. Whether both
runs were scored on the same frames is checked in any case.
"""


def refuse_other_seeds(side: Sequence[CountedRun]) -> None:
    """Raise an error unless the runs of one model differ only by the training seed.

    Args:
        side: the runs of one of the two models that are compared.

    Raises:
        UsageError: a run or a seed occurs twice, or the runs differ in a setting besides the seed.
    """
    first = side[0]
    for other in side[1:]:
        changed = changed_settings(first.results, other.results)
        changed.pop("training.seed", None)
        if changed:
            raise UsageError(
                f"{first.name} and {other.name} cannot be joined: they differ by more than the "
                f"seed: {', '.join(changed)}.",
                hint="join with commas only runs that differ in nothing but training.seed; if they "
                "are external predictions of one model, score them under the same name (fauds "
                "score --name)",
            )
    seeds = [seed for run in side for seed in run.results.seeds]
    names = [run.name for run in side]
    if len(set(seeds)) < len(seeds) or len(set(names)) < len(names):
        raise UsageError(
            f"Two of the runs joined as one model are the same or have the same seed: "
            f"{', '.join(names)}.",
            hint="name each run once, and join only runs with different seeds",
        )


def changed_settings(a: Results, b: Results) -> dict[str, tuple[Any, Any]]:
    """Return the settings that differ between the results of two runs.

    The face detector counts as a setting, "faces.detector". Predictions of other programs have no
    settings: if `a` or `b` are the results of such predictions, only the names of the models are
    compared.

    Returns:
        A dict from the dotted name of a setting, such as "training.seed", to its value in `a` and
        its value in `b`; the value is None for a run that does not have the setting.
    """
    of_a: dict[str, Any] = {"model": a.model}
    of_b: dict[str, Any] = {"model": b.model}
    if EXTERNAL not in (a.preset, b.preset):
        of_a |= {"preset": a.preset, **flattened(a.settings), "faces.detector": _detector(a)}
        of_b |= {"preset": b.preset, **flattened(b.settings), "faces.detector": _detector(b)}
    names = [*of_a, *(name for name in of_b if name not in of_a)]
    pairs = {name: (of_a.get(name), of_b.get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _detector(results: Results) -> str | None:
    """Return the name and version of the face detector of a run; None if it used none.

    A run on two datasets, one to train on and one to test on, may have two detectors.
    """
    faces = results.provenance.get("faces") or {}
    made = (faces, faces.get("train", {}), faces.get("test", {}))
    detectors = {settings["detector"] for settings in made if settings.get("detector")}
    return ", ".join(sorted(detectors)) or None


def refuse_other_frames(a: CountedRun, b: CountedRun) -> list[str]:
    """Raise an error unless two runs were scored on the same frames by the same protocol.

    Predictions of other programs do not declare how the epoch was chosen, how faces were aligned,
    or which frames should be scored. If one of the runs has such predictions, differences in these
    three keys of the protocol are allowed.

    Returns:
        The allowed differences, one phrase each; empty if both runs are of models of fauds.

    Raises:
        DataError: the scored frames differ, or other keys of the protocol; the message lists the
            differences.
    """
    differences = _differences(a.results, b.results)
    external = EXTERNAL in (a.results.preset, b.results.preset)
    allowed = {name for name in differences if external and name in _UNDECLARED}
    refused = [words for name, words in differences.items() if name not in allowed]
    if a.results.frames_fingerprint != b.results.frames_fingerprint:
        refused.append(_other_frames(a.results, b.results))
    elif a.counted.subjects != b.counted.subjects:
        refused.append("the subjects whose frames were counted")
    if refused:
        raise DataError(
            f"{a.name} and {b.name} cannot be compared: they differ in {'; in '.join(refused)}.",
            hint="repeat one of the two runs with the protocol of the other run",
        )
    return [differences[name] for name in differences if name in allowed]


def _differences(a: Results, b: Results) -> dict[str, str]:
    """Return the differences between the protocols of two runs.

    Returns:
        A dict from each key with different values, such as "threshold", to a phrase that names the
        key and both values.
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
    """Return a phrase with the values `a` and `b` that a key of the protocol has in two runs.

    For AUs, the phrase lists only those that one of the runs lacks. For test subjects, it has only
    their numbers, and only for the folds whose subjects differ. For the same alignment with other
    landmarks, such as those of another detector, it has only the landmarks.
    """
    if name == "alignment":
        (alignment, _, x), (other, _, y) = (value.partition(" Landmarks: ") for value in (a, b))
        if alignment == other and x and y:
            return f"its landmarks: {x.rstrip('.')}, against {y.rstrip('.')}"
    if name == "aus":
        if set(a) == set(b):
            return "in another order"
        only = [[au for au in x if au not in y] for x, y in ((a, b), (b, a))]
        first, second = (", ".join(names) or "none" for names in only)
        return f"only in the first run: {first}; only in the second run: {second}"
    if name == "test_subjects":
        folds = [fold for fold in sorted({*a, *b}) if a.get(fold) != b.get(fold)]
        return ", ".join(
            f"fold {fold}: {len(a.get(fold, []))} and {len(b.get(fold, []))} subjects"
            for fold in folds
        )
    return f"{a} against {b}"


def _other_frames(a: Results, b: Results) -> str:
    if a.frames_scored != b.frames_scored:
        return f"the scored frames ({a.frames_scored:,} against {b.frames_scored:,})"
    return f"the scored frames or their labels ({a.frames_scored:,} frames each, not the same)"


PERMUTATIONS = 10_000
SEED = 0


@dataclass(frozen=True)
class MetricComparison:
    """The values of one metric, such as F1, for two models that are compared.

    Attributes:
        a, b: the metric of the first and of the second model, float64 [A + 1], 0 to 1, NaN where
            undefined: one value for each of the A AUs or classes, and last the value over all of
            them (usually their mean). For a model with several runs, the mean over the runs.
        of_seeds_a, of_seeds_b: the metric over all AUs or classes for each run of the first and of
            the second model. Each run has its own training seed.
        comparison: the differences a - b, with confidence intervals and p-values.
    """

    a: np.ndarray
    b: np.ndarray
    of_seeds_a: tuple[float, ...]
    of_seeds_b: tuple[float, ...]
    comparison: Comparison

    @property
    def has_interval(self) -> bool:
        """Whether the difference over all AUs has an interval; without one there is no verdict."""
        return not np.isnan(self.comparison.low[-1])

    @property
    def told_apart(self) -> bool:
        """Whether the models differ: the interval of the difference over all AUs excludes 0."""
        comparison = self.comparison
        return bool(comparison.low[-1] > 0 or comparison.high[-1] < 0)

    @property
    def agrees_with_p(self) -> bool:
        """Whether the permutation test (p below 0.05) agrees with the interval's verdict.

        It counts as agreeing if the difference has no interval.
        """
        comparison = self.comparison
        significant = comparison.p[-1] < 1 - LEVEL
        return bool(not self.has_interval or significant == self.told_apart)

    @property
    def detectable(self) -> float:
        """The smallest true difference that is usually detected, 0 to 1; NaN without an interval.

        See `fauds.metrics.comparison.DETECTABLE`.
        """
        comparison = self.comparison
        return float(DETECTABLE * (comparison.high[-1] - comparison.difference[-1]))

    def equivalent(self, margin: float) -> bool | None:
        """Return whether the interval of the difference lies within -margin to margin.

        Args:
            margin: the largest difference, 0 to 1, that counts as none.

        Returns:
            The answer; None if the difference has no interval.
        """
        comparison = self.comparison
        if not self.has_interval:
            return None
        return bool(comparison.low[-1] > -margin and comparison.high[-1] < margin)


@dataclass(frozen=True)
class ModelComparison:
    """The comparison of two models on the same frames.

    Attributes:
        a, b: the runs of the first and of the second model, one run for each training seed.
        metrics: by name, the comparison of each metric in `Target.statistics`, such as F1. The
            first metric decides whether the models count as different.
        estimand: "mean_of_folds" if the metrics are means over folds; "pooled" if they are computed
            from the test frames of all folds at once, because a fold tests only one subject.
        undeclared: the allowed differences between the protocols of the runs, one phrase each.
            They concern keys that predictions of other programs do not declare; see `_UNDECLARED`.
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
        """The comparison by the main metric (for AUs, F1), which decides whether models differ."""
        return self.metrics[self.target.main_metric]

    @property
    def aus(self) -> list[str]:
        """The names of the AUs or classes that are compared, in the order of the values."""
        return self.a[0].results.protocol.aus

    @property
    def subjects(self) -> int:
        """The number of subjects on whose frames the models are compared.

        If the subjects are unknown, this is the number of images.
        """
        return len(self.a[0].counted.subjects)

    @property
    def swaps(self) -> int:
        """The number of swaps of the permutation test: all that exist, or `PERMUTATIONS` of them.

        See `fauds.metrics.comparison.swaps_used`.
        """
        return swaps_used(self.subjects, PERMUTATIONS)

    @property
    def covers_training(self) -> bool:
        """Whether both models have several runs, so that intervals cover training again."""
        return min(len(self.a), len(self.b)) > 1

    @property
    def same_method(self) -> bool:
        """Whether the two models are trainings of one method, which differ by the seed alone.

        External predictions have no settings, so that they are never known to be of one method.
        """
        a, b = self.a[0].results, self.b[0].results
        if EXTERNAL in (a.preset, b.preset):
            return False
        return not changed_settings(a, b).keys() - {"training.seed"}


def compare_runs(a: Sequence[CountedRun], b: Sequence[CountedRun]) -> ModelComparison:
    """Compare two models by tests that are paired by subject.

    The metrics of a model are means over its runs.

    Args:
        a: the runs of the first model, which differ only by the training seed.
        b: the runs of the second model, which differ only by the training seed.

    Raises:
        UsageError: the runs of one model differ by more than the seed, or one of them occurs twice.
        DataError: the runs were not scored on the same frames by the same protocol.
    """
    refuse_other_seeds(a)
    refuse_other_seeds(b)
    first = a[0]
    undeclared = [words for other in (*a[1:], *b) for words in refuse_other_frames(first, other)]
    folds = first.counted.folds
    # A fold with one subject shows no variance between subjects, unless all folds are such.
    by_fold = resampling.resampling_strata(folds, "mean_of_folds")
    estimand: Estimand = "pooled" if resampling.has_single_subject(by_fold) else "mean_of_folds"
    metrics = {}
    for name, (statistic, counts_a, counts_b) in _compared(a, b).items():
        of_a, of_b = (
            np.stack([_figures(run, folds, statistic, estimand) for run in side])
            for side in (counts_a, counts_b)
        )
        metrics[name] = MetricComparison(
            of_a.mean(axis=0),
            of_b.mean(axis=0),
            tuple(of_a[:, -1].tolist()),
            tuple(of_b[:, -1].tolist()),
            compare(
                counts_a,
                counts_b,
                folds,
                statistic,
                estimand=estimand,
                permutations=PERMUTATIONS,
                level=LEVEL,
                seed=SEED,
            ),
        )
    return ModelComparison(tuple(a), tuple(b), metrics, estimand, tuple(dict.fromkeys(undeclared)))


def _compared(
    a: Sequence[CountedRun], b: Sequence[CountedRun]
) -> dict[str, tuple[Statistic, list[Additive], list[Additive]]]:
    """Return the metrics that are compared: those of the target, and means over frames of all runs.

    Returns:
        By metric, its function and the counts or sums that it is computed from, of each run of the
        first and of the second model.
    """
    of_a, of_b = ([run.counted.counts for run in side] for side in (a, b))
    statistics = a[0].results.protocol.predicts.statistics
    compared: dict[str, tuple[Statistic, list[Additive], list[Additive]]] = {
        name: (statistic, of_a, of_b) for name, statistic in statistics.items()
    }
    for name in a[0].sums:
        if all(name in run.sums for run in (*a, *b)):
            sums = ([run.sums[name] for run in side] for side in (a, b))
            compared[name] = (MEAN, *sums)  # type: ignore[assignment]
    return compared


def _figures(
    counts: Additive, folds: np.ndarray, statistic: Statistic, estimand: Estimand
) -> np.ndarray:
    """Return a metric, such as F1, of each AU or class, and last over all of them, [A + 1]."""
    all_once = np.ones((1, len(folds)))
    figures: np.ndarray = resampling.estimates(all_once, counts, folds, statistic, estimand)[0]
    return figures
