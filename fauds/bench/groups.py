"""How sure figures are, and whom a model serves: intervals, rows by sex and by subject."""

from collections.abc import Sequence

import numpy as np

from fauds.bench.counts import BySubject
from fauds.bench.results import MetricRow, Uncertainty
from fauds.bench.rows import MetricRows, plain
from fauds.metrics import intervals as interval_module
from fauds.metrics.intervals import intervals
from fauds.metrics.resampling import Additive, with_overall
from fauds.targets.base import Figure

_ESTIMANDS = ("mean_of_folds", "pooled")


def with_intervals(
    lines: Sequence[MetricRow], counted: BySubject, rows: MetricRows
) -> list[MetricRow]:
    """Return the rows, those of the target's statistics over all folds with their intervals.

    Args:
        rows: of the headline's selection, whose counts `counted` are.
    """
    ends: dict[tuple[str, str, str | None], tuple[float | None, float | None]] = {}
    for name, statistic in rows.target.statistics.items():
        for estimand in _ESTIMANDS:
            made = intervals(counted.counts, counted.folds, statistic, estimand=estimand)  # type: ignore[arg-type]
            for i, au in enumerate((*rows.target.names, None)):
                ends[name, estimand, au] = plain(made.low[i]), plain(made.high[i])
    return [
        line.model_copy(update=dict(zip(("low", "high"), ends[key], strict=True)))
        if line.selection == rows.selection and (key := (line.metric, line.scope, line.au)) in ends
        else line
        for line in lines
    ]


def sex_rows(counted: BySubject, frames: np.ndarray, rows: MetricRows) -> list[MetricRow]:
    """Return the target's statistics over all test frames of one sex; none of unknown sex.

    Args:
        frames: by subject, those with any name coded, int [G].
    """
    lines: list[MetricRow] = []
    sexes = np.array(counted.sexes)
    for sex in sorted(set(counted.sexes) - {""}):
        of = sexes == sex
        counts = _only(counted.counts, of)
        n = [*rows.target.coded_counts(counts).sum(axis=0).tolist(), int(frames[of].sum())]
        for name, statistic in rows.target.statistics.items():
            made = intervals(counts, counted.folds[of], statistic, estimand="pooled")
            figure = Figure(made.value[:-1], float(made.value[-1]))
            ends = made.low, made.high
            lines += rows.by_name(name, "sex", figure, n, group=sex, ends=ends)
    return lines


def subject_rows(counted: BySubject, frames: np.ndarray, rows: MetricRows) -> list[MetricRow]:
    """Return every subject's figures of the target's statistics, over all names."""
    return [
        rows.one(name, "subject", float(value), n, group=subject)
        for name, statistic in rows.target.statistics.items()
        for subject, value, n in zip(
            counted.subjects, with_overall(statistic, counted.counts)[:, -1], frames, strict=True
        )
    ]


def uncertainty() -> Uncertainty:
    """Return how the intervals are made, and in words what they are of."""
    defaults = interval_module.intervals.__kwdefaults__
    drawn = "jackknife" not in defaults["method"]
    return Uncertainty(
        method=defaults["method"],
        resamples=defaults["resamples"] if drawn else 0,
        level=defaults["level"],
        seed=defaults["seed"],
        note="What this protocol would give on new subjects of the same population: as many in "
        "every fold, and the trained models as they are. Subjects are the unit, since their frames "
        "are alike. What another training seed, another choice of folds or other coders would "
        "change is not in it.",
    )


def _only(counts: Additive, which: np.ndarray) -> Additive:
    return type(counts)(*(part[which] for part in counts.parts))
