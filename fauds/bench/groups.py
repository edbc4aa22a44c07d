"""How sure figures are, and whom a model serves: intervals, rows by sex and by subject."""

from collections.abc import Sequence

import numpy as np

from fauds.bench.counts import BySubject
from fauds.bench.results import MetricRow, Uncertainty
from fauds.bench.rows import STATISTICS, au_rows, plain, row
from fauds.metrics import intervals as interval_module
from fauds.metrics.intervals import Interval, intervals
from fauds.metrics.occurrence import Counts, defined_mean

_ESTIMANDS = ("mean_of_folds", "pooled")


def with_intervals(
    rows: Sequence[MetricRow], found: BySubject, aus: Sequence[str], selection: str
) -> list[MetricRow]:
    """Return the rows, those of F1 and accuracy over all folds with their intervals.

    Args:
        selection: the headline's, whose counts `found` are.
    """
    ends: dict[tuple[str, str, str | None], tuple[float | None, float | None]] = {}
    for name, statistic in STATISTICS.items():
        for estimand in _ESTIMANDS:
            made = intervals(found.counts, found.folds, statistic, estimand=estimand)
            for i, au in enumerate((*aus, None)):
                ends[name, estimand, au] = plain(made.low[i]), plain(made.high[i])
    return [
        line.model_copy(update=dict(zip(("low", "high"), ends[key], strict=True)))
        if line.selection == selection and (key := (line.metric, line.scope, line.au)) in ends
        else line
        for line in rows
    ]


def sex_rows(
    found: BySubject, frames: np.ndarray, aus: Sequence[str], selection: str
) -> list[MetricRow]:
    """Return F1 and accuracy over all test frames of one sex, with intervals; none of unknown sex.

    Args:
        frames: by subject, those with any AU coded, int [G].
    """
    rows: list[MetricRow] = []
    sexes = np.array(found.sexes)
    for sex in sorted(set(found.sexes) - {""}):
        of = sexes == sex
        counts = _only(found.counts, of)
        n = [*counts.coded.sum(axis=0).tolist(), int(frames[of].sum())]
        for name, statistic in STATISTICS.items():
            made = intervals(counts, found.folds[of], statistic, estimand="pooled")
            rows += _with_ends(name, made, aus, n, selection, sex)
    return rows


def _with_ends(
    name: str, made: Interval, aus: Sequence[str], n: Sequence[int], selection: str, sex: str
) -> list[MetricRow]:
    ends = made.low, made.high
    return au_rows(name, "sex", made.value[:-1], aus, n, selection, group=sex, ends=ends)


def subject_rows(found: BySubject, frames: np.ndarray, selection: str) -> list[MetricRow]:
    """Return every subject's F1 and accuracy, means over AUs."""
    return [
        row(name, "subject", float(value), n, selection, group=subject)
        for name, statistic in STATISTICS.items()
        for subject, value, n in zip(
            found.subjects, defined_mean(statistic(found.counts)), frames, strict=True
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


def _only(counts: Counts, which: np.ndarray) -> Counts:
    return Counts(*(part[which] for part in counts.parts))
