"""The finished runs of a page: their figures by name, and what tells them apart."""

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
"""The model's settings that the paper's Table 4 varies, and its names of them."""


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        letter: its name on a page of several runs: "A", "B" and so on.
        differs: the settings that differ between the page's runs, as ``key=value``.
    """

    folder: Path
    results: Results
    letter: str = "A"
    differs: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The model and its preset."""
        return f"{self.results.model} ({self.results.preset})"

    @property
    def target(self) -> Target:
        """What the run predicts."""
        return self.results.protocol.predicts

    @property
    def first(self) -> str:
        """The headline's metric."""
        return self.target.first

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
        """Return one figure, None where it is not there.

        Args:
            au: None for the mean over AUs.
            selection: None for the headline's, or "none" of figures that no training made.
        """
        return self.results.row(metric, scope, au, fold, group=group, selection=selection)

    def value(
        self, metric: str, scope: str = "mean_of_folds", au: str | None = None
    ) -> float | None:
        """Return the value of one headline figure, 0 to 1; None where it is undefined."""
        row = self.row(metric, scope, au)
        return None if row is None else row.value

    def groups(self, scope: str) -> list[str]:
        """Return the groups, sexes or subjects, that have figures of their own."""
        found = {row.group for row in self.results.metrics if row.scope == scope and row.group}
        return sorted(found)

    def settings(self, *keys: str) -> Any:
        """Return one resolved setting, None where the run has none such."""
        value: Any = self.results.settings
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    @property
    def switches(self) -> tuple[bool, ...] | None:
        """The settings of `SWITCHES`; None where the model is another."""
        found = [self.settings("model", name) for name in SWITCHES]
        return None if None in found else tuple(map(bool, found))


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """Read finished runs of one benchmark.

    Raises:
        UsageError: none is named, one is named twice, or they are of several benchmarks.
        DataError: a run has no results.
    """
    if not folders:
        raise UsageError("No run is named.", hint="name a folder of WORKDIR/DATASET/runs/")
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise UsageError("A run is named twice.", hint="name each run once")
    results = [results_file.read(folder) for folder in folders]
    benchmarks = sorted({one.benchmark for one in results})
    if len(benchmarks) > 1:
        raise UsageError(
            f"The runs are of several benchmarks: {', '.join(benchmarks)}.",
            hint="one page shows one benchmark: write a report of each",
        )
    flat = [
        {key: json.dumps(value) for key, value in flattened(one.settings).items()}
        for one in results
    ]
    keys = sorted(set().union(*flat))
    varied = [key for key in keys if len({one.get(key) for one in flat}) > 1]
    return [
        Run(folder, one, _letter(place), tuple(f"{key}={mine.get(key)}" for key in varied))
        for place, (folder, one, mine) in enumerate(zip(folders, results, flat, strict=True))
    ]


def comparable(runs: Sequence[Run]) -> bool:
    """Return whether all runs were scored on the same frames by the same protocol."""
    return len({(r.results.frames_fingerprint, r.results.protocol_hash) for r in runs}) == 1


def _letter(place: int) -> str:
    return ascii_uppercase[place] if place < len(ascii_uppercase) else f"Run {place + 1}"
