"""Rows of results.json: figures by name (AU or class), over all names, and what each rests on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fauds.bench.results import MetricRow
from fauds.metrics.occurrence import defined_mean
from fauds.targets.base import Figure, Target

Bounds = tuple[np.ndarray, np.ndarray]
"""Low and high ends of intervals, [A + 1] each: by name, and last over all names."""


@dataclass(frozen=True)
class MetricRows:
    """Makes rows of a target's figures under one selection of the epoch."""

    target: Target
    selection: str

    def one(
        self,
        metric: str,
        scope: str,
        value: float,
        n: int,
        *,
        au: str | None = None,
        fold: int | None = None,
        group: str | None = None,
        ends: tuple[float, float] = (np.nan, np.nan),
    ) -> MetricRow:
        """Return one row; NaN becomes null, and figures that no training made say so."""
        untrained = metric in self.target.untrained or metric.endswith("_no_image")
        return MetricRow(
            metric=metric,
            scope=scope,  # type: ignore[arg-type]
            au=au,
            fold=fold,
            group=group,
            selection="none" if untrained else self.selection,
            value=plain(value),
            low=plain(ends[0]),
            high=plain(ends[1]),
            n=int(n),
        )

    def by_name(
        self,
        metric: str,
        scope: str,
        figure: Figure,
        n: Sequence[int],
        *,
        names: Sequence[str] | None = None,
        fold: int | None = None,
        group: str | None = None,
        ends: Bounds | None = None,
    ) -> list[MetricRow]:
        """Return a row for every name, and last the figure over all names.

        Args:
            n: frames of every name, and last of all.
            names: where they are not the target's.
        """
        names = self.target.names if names is None else names
        values = [] if figure.by_name is None else figure.by_name.tolist()
        overall = figure.overall
        if overall is None:
            overall = float(defined_mean(np.array(values)))
        rows = [*zip(range(len(values)), names, values, strict=False), (-1, None, overall)]
        return [
            self.one(
                metric,
                scope,
                value,
                n[place],
                au=name,
                fold=fold,
                group=group,
                ends=(np.nan, np.nan) if ends is None else (ends[0][place], ends[1][place]),
            )
            for place, name, value in rows
        ]


def plain(value: float) -> float | None:
    """Return a figure as results.json holds it: null where it is undefined."""
    return None if np.isnan(value) else float(value)
