"""Figures to the rows of results.json: by AU, their means, and how many frames each rests on."""

from collections.abc import Sequence

import numpy as np

from fauds.bench.results import MetricRow
from fauds.metrics.occurrence import accuracy, defined_mean, f1
from fauds.metrics.resampling import Statistic

STATISTICS: dict[str, Statistic] = {"f1": f1, "accuracy": accuracy}
"""What has intervals, groups, other selections and comparisons."""

_OF_NO_TRAINING = ("always_active_f1", "prevalence_f1")


def au_rows(
    name: str,
    scope: str,
    values: np.ndarray,
    aus: Sequence[str],
    n: Sequence[int],
    selection: str,
    *,
    fold: int | None = None,
    group: str | None = None,
    mean: float | None = None,
    ends: tuple[np.ndarray, np.ndarray] | None = None,
) -> list[MetricRow]:
    """Return a row for every AU, and last their mean.

    Args:
        values: [A], NaN where undefined; n: [A + 1].
        mean: where it is another than the mean of the defined values.
        ends: of the intervals, low and high, [A + 1] each.
    """
    figures = [*values.tolist(), float(defined_mean(values)) if mean is None else mean]
    low, high = ends or (np.full(len(figures), np.nan),) * 2
    return [
        row(name, scope, figures[i], n[i], selection, au=au, fold=fold, group=group).model_copy(
            update={"low": plain(low[i]), "high": plain(high[i])}
        )
        for i, au in enumerate((*aus, None))
    ]


def row(
    name: str,
    scope: str,
    value: float,
    n: int,
    selection: str,
    *,
    au: str | None = None,
    fold: int | None = None,
    group: str | None = None,
) -> MetricRow:
    """Return one row; NaN becomes null, and what no training made says so."""
    untrained = name in _OF_NO_TRAINING or name.endswith("_no_image")
    return MetricRow(
        metric=name,
        scope=scope,
        au=au,
        fold=fold,
        group=group,
        selection="none" if untrained else selection,
        value=plain(value),
        n=int(n),
    )


def coded(labels: np.ndarray) -> list[int]:
    """Return the coded frames of every AU, and last those with any AU coded."""
    known = labels >= 0
    return [*known.sum(axis=0).tolist(), int(known.any(axis=1).sum())]


def plain(value: float) -> float | None:
    """Return a figure as results.json holds it: null where it is undefined."""
    return None if np.isnan(value) else float(value)
