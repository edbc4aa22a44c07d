"""Scores and labels of folds to the rows of results.json."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fauds.evaluation.results import BySubject, MetricRow, SubjectCounts, Uncertainty, by_subject
from fauds.evaluation.texts import TextFigures
from fauds.facs import occurs
from fauds.metrics import intensity, occurrence
from fauds.metrics.intervals import LEVEL, METHOD, intervals
from fauds.metrics.occurrence import defined_mean
from fauds.metrics.resampling import Additive, with_overall
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


_UNDEFINED = {
    "local_text_f1": "no described frame with the AU active",
    "global_text_f1": "no described frame with the AU active",
    "intensity_icc": "no spread in the coded or the predicted intensities",
    "intensity_pcc": "no spread in the coded or the predicted intensities",
    "intensity_mae": "no coded intensity in the test part",
}
"""Why figures of descriptions and intensities can be undefined; the target knows its own."""


@dataclass(frozen=True)
class Intensities:
    """Coded and predicted intensities of some AUs.

    Attributes:
        aus: which.
        labels: int8 [N, len(aus)], 0 to 5, -1 not coded; predicted: float [N, len(aus)].
    """

    aus: Sequence[str]
    labels: np.ndarray
    predicted: np.ndarray


@dataclass(frozen=True)
class FoldScores:
    """What one fold's test part gave.

    Attributes:
        labels: of the target, [N, ...], -1 where not coded; scores: float32 [N, A].
        rates: share of the training part's coded frames of which each name is true, float [A].
        measures: metric name to (value, count), of the model's own measures.
        agreement: see `text_agreement`; None where nothing was written.
        texts: figures of the generated descriptions; None where there are none.
        intensities: None where none are predicted.
        graded: whether scores say more than decisions, which are 0 and 1 alone.
    """

    labels: np.ndarray
    scores: np.ndarray
    rates: np.ndarray
    measures: Mapping[str, tuple[float, int]] = field(default_factory=dict)
    agreement: tuple[float, int] | None = None
    texts: TextFigures | None = None
    intensities: Intensities | None = None
    graded: bool = True


def metric_rows(
    folds: Mapping[int, FoldScores], threshold: float, rows: MetricRows
) -> list[MetricRow]:
    """Return all figures: per fold and name, over names, means of folds, and pooled.

    A mean leaves undefined figures out; `undefined` names them.
    """
    lines: list[MetricRow] = []
    for fold, scores in folds.items():
        lines += _fold_rows(fold, scores, threshold, rows)
    lines += _means_of_folds(lines, rows)
    return lines + _pooled(folds, threshold, rows)


def _fold_rows(
    fold: int, scores: FoldScores, threshold: float, rows: MetricRows
) -> list[MetricRow]:
    lines: list[MetricRow] = []
    n = rows.target.coded(scores.labels)
    metrics = rows.target.metrics(
        scores.labels, scores.scores, threshold, graded=scores.graded, rates=scores.rates
    )
    for name, figure in metrics.items():
        lines += rows.by_name(name, "fold", figure, n, fold=fold)
    lines += _variance(metrics, "fold", n[-1], rows, fold)
    lines += _intensity_rows(scores.intensities, "fold", rows, fold)
    if scores.texts is not None:
        for name, (values, frames) in scores.texts.by_au.items():
            sizes = [*frames.tolist(), int(frames.max(initial=0))]
            lines += rows.by_name(name, "fold", Figure(values), sizes, fold=fold)
    overall = dict(scores.measures)
    if scores.agreement is not None:
        overall["local_text_agreement"] = scores.agreement
    overall |= scores.texts.overall if scores.texts else {}
    for name, (value, number) in overall.items():
        lines.append(rows.one(name, "fold", value, number, fold=fold))
    return lines


def _variance(
    metrics: Mapping[str, Figure], scope: str, n: int, rows: MetricRows, fold: int | None = None
) -> list[MetricRow]:
    """Return how unevenly F1 serves the names, where there is an F1 by name."""
    figure = metrics.get("f1")
    if figure is None or figure.by_name is None:
        return []
    variance = float(occurrence.variance_over_aus(figure.by_name))
    return [rows.one("f1_variance", scope, variance, n, fold=fold)]


def _intensity_rows(
    found: Intensities | None, scope: str, rows: MetricRows, fold: int | None = None
) -> list[MetricRow]:
    if found is None:
        return []
    known = found.labels >= 0
    n = [*known.sum(axis=0).tolist(), int(known.any(axis=1).sum())]
    metrics = {
        "intensity_icc": intensity.icc_3_1(found.labels, found.predicted),
        "intensity_pcc": intensity.pcc(found.labels, found.predicted),
        "intensity_mae": intensity.mae(found.labels, found.predicted),
    }
    return [
        line
        for name, values in metrics.items()
        for line in rows.by_name(name, scope, Figure(values), n, names=found.aus, fold=fold)
    ]


def _means_of_folds(lines: Sequence[MetricRow], rows: MetricRows) -> list[MetricRow]:
    """Return the mean over folds of every figure, in the order of the folds' rows."""
    of: dict[tuple[str, str | None], list[MetricRow]] = {}
    for line in lines:
        of.setdefault((line.metric, line.au), []).append(line)
    means = [
        rows.one(name, "mean_of_folds", _mean(some), sum(line.n for line in some), au=au)
        for (name, au), some in of.items()
        if name != "f1_variance"
    ]
    if ("f1_variance", None) not in of:
        return means
    # Of the names' means, as published tables have them: a mean of variances counts noise too.
    by_name = [np.nan if m.value is None else m.value for m in means if m.metric == "f1" and m.au]
    frames = sum(line.n for line in of["f1_variance", None])
    figures = {"f1": Figure(np.array(by_name))}
    return means + _variance(figures, "mean_of_folds", frames, rows)


def _mean(lines: Sequence[MetricRow]) -> float:
    values = [np.nan if line.value is None else line.value for line in lines]
    return float(defined_mean(np.array(values)))


def _pooled(folds: Mapping[int, FoldScores], threshold: float, rows: MetricRows) -> list[MetricRow]:
    labels = np.concatenate([scores.labels for scores in folds.values()])
    scores = np.concatenate([fold.scores for fold in folds.values()])
    graded = all(fold.graded for fold in folds.values())
    n = rows.target.coded(labels)
    metrics = rows.target.metrics(labels, scores, threshold, graded=graded)
    lines: list[MetricRow] = []
    for name, figure in metrics.items():
        lines += rows.by_name(name, "pooled", figure, n)
    lines += _variance(metrics, "pooled", n[-1], rows)
    return lines + _intensity_rows(_joined(folds), "pooled", rows)


def _joined(folds: Mapping[int, FoldScores]) -> Intensities | None:
    found = [scores.intensities for scores in folds.values() if scores.intensities is not None]
    if not found:
        return None
    return Intensities(
        found[0].aus,
        np.concatenate([part.labels for part in found]),
        np.concatenate([part.predicted for part in found]),
    )


def text_agreement(
    predictions: pa.Table,
    phrases: pa.Table,
    aus: Sequence[str],
    threshold: float,
    occurrence_at: int | None = None,
) -> tuple[float, int] | None:
    """Compare written local descriptions with the states that the heads predict beside them.

    Args:
        predictions: a fold's, with the written descriptions.
        phrases: all that could be written.
        aus: the benchmark's.
        threshold: probability from which an AU is predicted.
        occurrence_at: the benchmark's, which tells what a degree says of occurrence.

    Returns:
        The share that is, word for word, a description of the predicted state (in any degree
        and paraphrase), and how many were written; None where there are none.
    """
    texts_of: dict[tuple[str, bool], list[str]] = {}
    for au, state, text in zip(
        *(phrases[c].to_pylist() for c in ("au", "state", "text")), strict=True
    ):
        texts_of.setdefault((au, occurs(state, occurrence_at)), []).append(text)
    right = written = 0
    for au in aus:
        if f"{au}_text" not in predictions.schema.names:
            return None
        there = pc.is_valid(predictions[f"{au}_text"])
        texts = predictions[f"{au}_text"].filter(there)
        active = pc.greater_equal(predictions[au].filter(there), threshold)
        for state, wanted in ((True, active), (False, pc.invert(active))):
            said = pc.is_in(texts, pa.array(texts_of.get((au, state), []), pa.string()))
            right += pc.sum(pc.and_(said, wanted)).as_py() or 0
        written += len(texts)
    return (right / written, written) if written else None


def summary(
    lines: Sequence[MetricRow], target: Target, measures: Sequence[str] = ()
) -> dict[str, float | None]:
    """Return the headline figures: over names, then means over folds.

    Args:
        measures: names of the model's own, which stand beside the target's.
    """
    means = {
        line.metric: line.value for line in lines if line.scope == "mean_of_folds" and not line.au
    }
    return {name: means.get(name) for name in (*target.headline, *measures)}


def undefined(lines: Sequence[MetricRow], target: Target) -> list[str]:
    """Name the figures of folds that are undefined: ``f1, recall of AU24 in fold 2: why``."""
    reasons = {**target.undefined, **_UNDEFINED}
    found: dict[tuple[int | None, str, str], list[str]] = {}
    for line in lines:
        if line.value is None and line.scope == "fold" and line.au and line.metric in reasons:
            why = reasons[line.metric]
            found.setdefault((line.fold, line.au, why), []).append(line.metric)
    return [
        f"{', '.join(names)} of {au} in fold {fold}: {why}"
        for (fold, au, why), names in found.items()
    ]


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
    return Uncertainty(
        method=METHOD,
        # Nothing is drawn: every subject is left out once.
        resamples=0,
        level=LEVEL,
        seed=0,
        note="What this protocol would give on new subjects of the same population: as many in "
        "every fold, and the trained models as they are. Subjects are the unit, since their frames "
        "are alike. What another training seed, another choice of folds or other coders would "
        "change is not in it.",
    )


def _only(counts: Additive, which: np.ndarray) -> Additive:
    return type(counts)(*(part[which] for part in counts.parts))


@dataclass(frozen=True)
class RunFigures:
    """What results.json says of a run's predictions; see `fauds.evaluation.results.Results`."""

    metrics: list[MetricRow]
    summary: dict[str, float | None]
    undefined: list[str]
    uncertainty: Uncertainty
    subject_counts: SubjectCounts


def run_figures(
    folds: Mapping[int, FoldScores],
    subjects: Mapping[int, np.ndarray],
    sexes: Mapping[str, str | None],
    target: Target,
    threshold: float,
    selection: str,
) -> RunFigures:
    """Return all figures of a run.

    Args:
        folds: what each fold's test part gave.
        subjects: by fold, whose each frame of its test part is, str [N].
        sexes: F or M of the subjects of whom it is known.
        selection: how the epoch was chosen.
    """
    rows = MetricRows(target, selection)
    whose = np.concatenate([subjects[fold] for fold in folds])
    labels = np.concatenate([scores.labels for scores in folds.values()])
    scores = np.concatenate([fold.scores for fold in folds.values()])
    of = np.concatenate([np.full(len(scores.labels), fold) for fold, scores in folds.items()])
    decisions = target.decide(scores, threshold)
    counted = by_subject(target, labels, decisions, of, whose, sexes)
    coded = whose[(target.indicators(labels) >= 0).any(axis=1)]
    number = dict(
        zip(*(part.tolist() for part in np.unique(coded, return_counts=True)), strict=True)
    )
    frames = np.array([number.get(subject, 0) for subject in counted.subjects])
    lines = metric_rows(folds, threshold, rows)
    lines = [
        *with_intervals(lines, counted, rows),
        *sex_rows(counted, frames, rows),
        *subject_rows(counted, frames, rows),
    ]
    return RunFigures(
        metrics=lines,
        summary=summary(lines, target, _measures(folds)),
        undefined=undefined(lines, target),
        uncertainty=uncertainty(),
        subject_counts=SubjectCounts.of(counted, target),
    )


def _measures(folds: Mapping[int, FoldScores]) -> list[str]:
    """Return the names of the model's own measures, without those of their baselines."""
    names = dict.fromkeys(name for scores in folds.values() for name in scores.measures)
    return [name for name in names if not name.endswith("_no_image")]
