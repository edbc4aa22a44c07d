"""The runs that a page reports: access to their metrics, and the settings in which they differ."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from fauds.errors import UsageError
from fauds.evaluation import results as results_file
from fauds.evaluation.results import MetricRow, Results
from fauds.settings import flattened
from fauds.targets.base import Target

SWITCHES = {
    "multi_level": "MARL",
    "local_language": "LLGA",
    "global_language": "GLGA",
}
"""The model settings that the paper's Table 4 varies, and the paper's names for them."""


@dataclass(frozen=True)
class ReportedRun:
    """A finished run that a page reports.

    Attributes:
        folder: the folder of the run.
        results: the results of the run.
        letter: the name of the run on a page about several runs: "A", "B" and so on.
        differs: the run's values of the settings that are not the same for all runs of the page, as
            ``key=value``.
    """

    folder: Path
    results: Results
    letter: str = "A"
    differs: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The names of the model and of its preset (named settings), such as ``vlfau (tiny)``."""
        return f"{self.results.model} ({self.results.preset})"

    @property
    def target(self) -> Target:
        """What the run predicts: AUs or classes, and the metrics that score them."""
        return self.results.protocol.predicts

    @property
    def main_metric(self) -> str:
        """The name of the run's main metric, such as "f1"."""
        return self.target.main_metric

    def row(
        self,
        metric: str,
        scope: str = "mean_of_folds",
        au: str | None = None,
        *,
        fold: int | None = None,
        group: str | None = None,
        selection: str | None = None,
    ) -> MetricRow | None:
        """Return one value of a metric, with its interval; None if the run lacks the value.

        Args:
            metric: the name of the metric.
            scope: what the value is computed from: "fold" (the test frames of one fold),
                "mean_of_folds" (the values of all folds), "pooled" (all test frames at once), "sex"
                or "subject" (the test frames of one sex or subject).
            au: the AU or class; None for the value over all AUs or classes.
            fold: the number of the fold, for the scope "fold".
            group: the sex ("F" or "M") or the subject's id, for the scopes "sex" and "subject".
            selection: how the epoch was chosen, such as "last"; "none" for metrics that do not
                depend on training; None for the protocol's own choice.
        """
        return self.results.row(metric, scope, au, fold, group=group, selection=selection)

    def value(
        self, metric: str, scope: str = "mean_of_folds", au: str | None = None
    ) -> float | None:
        """Return one value of a metric; None if the value is undefined or the run lacks it.

        Args:
            metric: the name of the metric.
            scope: what the value is computed from, such as "mean_of_folds" or "pooled" (all test
                frames at once).
            au: the AU or class; None for the value over all AUs or classes.
        """
        row = self.row(metric, scope, au)
        return None if row is None else row.value

    def groups(self, scope: str) -> list[str]:
        """Return the sexes or the subjects for which the run has metrics, sorted.

        Args:
            scope: "sex" or "subject".
        """
        groups = {row.group for row in self.results.metrics if row.scope == scope and row.group}
        return sorted(groups)

    def settings(self, *keys: str) -> Any:
        """Return the value of a nested setting; None if the run has no such setting.

        Args:
            keys: the names that lead to the setting, such as "model" and "dim".
        """
        value: Any = self.results.settings
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    @property
    def switches(self) -> tuple[bool, ...] | None:
        """Whether each setting in `SWITCHES` is on; None if the model lacks one of the settings."""
        values = [self.settings("model", name) for name in SWITCHES]
        return None if None in values else tuple(map(bool, values))


def read_runs(folders: Sequence[Path]) -> list[ReportedRun]:
    """Read finished runs of one benchmark, and find the settings in which they differ.

    Raises:
        UsageError: no run is named, a run is named twice, or the runs are of several benchmarks.
        DataError: a run has no results.
    """
    if not folders:
        raise UsageError(
            "A report needs at least one run, but no run is named.",
            hint="name a run's folder, such as WORKDIR/DATASET/runs/RUN",
        )
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise UsageError("A run is named twice.", hint="name each run once")
    results = [results_file.read(folder) for folder in folders]
    benchmarks = sorted({one.benchmark for one in results})
    if len(benchmarks) > 1:
        raise UsageError(
            f"The runs are of several benchmarks: {', '.join(benchmarks)}.",
            hint="one page shows one benchmark: write a report for each",
        )
    flat = [
        {key: json.dumps(value) for key, value in flattened(one.settings).items()}
        for one in results
    ]
    keys = sorted(set().union(*flat))
    varied = [key for key in keys if len({one.get(key) for one in flat}) > 1]
    return [
        ReportedRun(
            folder, one, _letter(place), tuple(f"{key}={values.get(key)}" for key in varied)
        )
        for place, (folder, one, values) in enumerate(zip(folders, results, flat, strict=True))
    ]


def comparable(runs: Sequence[ReportedRun]) -> bool:
    """Return whether all runs were scored on the same frames by the same protocol."""
    return len({(r.results.frames_fingerprint, r.results.protocol_hash) for r in runs}) == 1


def _letter(place: int) -> str:
    return ascii_uppercase[place] if place < len(ascii_uppercase) else f"Run {place + 1}"
