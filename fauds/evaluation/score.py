"""Computes the rows of results.json from the labels and the predicted scores of each fold.

Shapes: N is the number of test frames; A is the number of AUs or classes that are predicted; G is
the number of subjects. Where subjects are unknown, the images take their place.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fauds.evaluation.results import BySubject, MetricRow, SubjectCounts, Uncertainty, by_subject
from fauds.evaluation.texts import TextFigures
from fauds.facs import occurs
from fauds.metrics import intensity, occurrence
from fauds.metrics.comparison import compare_groups, difference_interval
from fauds.metrics.frame_means import MEAN, Sums, sums_by
from fauds.metrics.intervals import LEVEL, METHOD, Interval, intervals
from fauds.metrics.occurrence import defined_mean
from fauds.metrics.resampling import (
    ESTIMANDS,
    Additive,
    Statistic,
    WithOverall,
    selected,
    with_overall,
)
from fauds.tables.frames import sampling_units, split_groups, subjects_known
from fauds.targets.base import MetricValues, Target

Bounds = tuple[np.ndarray, np.ndarray]
"""The lower and the upper ends of confidence intervals, two arrays [A + 1].

Each array has a value for every one of the A AUs or classes, and last one for the metric over all
of them.
"""


@dataclass(frozen=True)
class MetricRows:
    """Makes rows of results.json for metrics of the same target and choice of the epoch.

    Attributes:
        target: the target, which defines the AUs or classes and their metrics.
        selection: how the epoch was chosen, such as "last"; see
            `fauds.evaluation.results.MetricRow`.
    """

    target: Target
    selection: str

    def row(
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
        """Return one row of results.json, in which NaN is stored as None.

        For the arguments see `fauds.evaluation.results.MetricRow`; `ends` are the lower and the
        upper end of the confidence interval. The row's selection is "none" if the metric does not
        depend on training.
        """
        untrained = metric in self.target.baseline_metrics or metric.endswith("_no_image")
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
        figure: MetricValues,
        n: Sequence[int],
        *,
        names: Sequence[str] | None = None,
        fold: int | None = None,
        group: str | None = None,
        ends: Bounds | None = None,
    ) -> list[MetricRow]:
        """Return the rows of one metric: one for every AU or class, and last one over all of them.

        Args:
            metric: the name of the metric, such as "f1".
            scope: the frames that the values cover, such as "fold" or "pooled"; see
                `fauds.evaluation.results.MetricRow`.
            figure: the value for each AU or class and the value over all of them. If the value over
                all of them is None, the mean of the defined values is used.
            n: the number of coded frames for each AU or class, and last the number of frames in
                which at least one of them is coded.
            names: the names of the AUs or classes; None for those of the target.
            fold: the number of the fold, for scope "fold".
            group: the sex or the subject, for scopes "sex" and "subject".
            ends: the ends of the confidence intervals; None if the rows have no intervals.
        """
        names = self.target.names if names is None else names
        values = [] if figure.by_name is None else figure.by_name.tolist()
        overall = figure.overall
        if overall is None:
            overall = float(defined_mean(np.array(values)))
        rows = [*zip(range(len(values)), names, values, strict=False), (-1, None, overall)]
        return [
            self.row(
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
    """Return a value as results.json stores it: None if it is NaN."""
    return None if np.isnan(value) else float(value)


_UNDEFINED = {
    "local_text_f1": "no described frame with the AU active",
    "global_text_f1": "no described frame with the AU active",
    "intensity_icc": "no spread in the coded intensities",
    "intensity_pcc": "no spread in the coded or the predicted intensities",
    "intensity_mae": "no coded intensity in the test part",
}
"""The reason why each metric of descriptions or intensities can be undefined, by metric."""


@dataclass(frozen=True)
class Intensities:
    """The coded and the predicted AU intensities of N frames.

    Attributes:
        aus: the AUs whose intensities are predicted.
        labels: the coded intensities, int8 [N, len(aus)], 0 to 5, -1 where not coded.
        predicted: the predicted intensities, float [N, len(aus)], 0 to 5.
    """

    aus: Sequence[str]
    labels: np.ndarray
    predicted: np.ndarray


@dataclass(frozen=True)
class FoldScores:
    """The labels and predictions of the N frames that one fold tests.

    Attributes:
        labels: the labels, [N, A] for A AUs or [N] for classes, -1 where not coded.
        scores: the predicted scores for A AUs or classes, float32 [N, A].
        rates: for each AU or class, the share of the training frames in which it is true, 0 to 1,
            float [A].
        measures: further measures that the model itself computes: by metric, the value and the
            number of items that it is computed from.
        agreement: how often generated texts agree with the predicted AUs, as returned by
            `text_agreement`; None if the model generates no texts.
        texts: the metrics of the generated descriptions; None if there are no descriptions, or if
            they cannot be parsed.
        intensities: the AU intensities; None if the model predicts no intensities.
        graded: whether the scores are probabilities; False if all scores are decisions 0 or 1.
        by_frame: metrics that have a value for each frame and each AU or class, such as the cosine
            between two maps: float [N, A], NaN where a frame has none.
    """

    labels: np.ndarray
    scores: np.ndarray
    rates: np.ndarray
    measures: Mapping[str, tuple[float, int]] = field(default_factory=dict)
    agreement: tuple[float, int] | None = None
    texts: TextFigures | None = None
    intensities: Intensities | None = None
    graded: bool = True
    by_frame: Mapping[str, np.ndarray] = field(default_factory=dict)


def metric_rows(
    folds: Mapping[int, FoldScores], threshold: float, rows: MetricRows
) -> list[MetricRow]:
    """Return the rows of all metrics: of every fold, as means over folds, and pooled.

    Pooled metrics are computed from the decisions on the test frames of all folds at once; metrics
    of ranking, calibration and correlation are not pooled, since each fold has its own model. Every
    metric has a row for each AU or class, and one over all of them. Means leave undefined values
    out; the function `undefined` lists these values.

    Args:
        folds: by fold, the labels and predictions of the fold's test frames.
        threshold: the probability from which an AU or class counts as active.
        rows: makes the rows of results.json.
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
    lines += _frame_rows(scores.by_frame, "fold", rows, fold)
    lines += _intensity_rows(scores.intensities, "fold", rows, fold)
    if scores.texts is not None:
        for name, (values, frames) in scores.texts.by_au.items():
            sizes = [*frames.tolist(), int(frames.max(initial=0))]
            lines += rows.by_name(name, "fold", MetricValues(values), sizes, fold=fold)
    overall = dict(scores.measures)
    if scores.agreement is not None:
        overall["local_text_agreement"] = scores.agreement
    overall |= scores.texts.overall if scores.texts else {}
    for name, (value, number) in overall.items():
        lines.append(rows.row(name, "fold", value, number, fold=fold))
    return lines


def _variance(
    metrics: Mapping[str, MetricValues],
    scope: str,
    n: int,
    rows: MetricRows,
    fold: int | None = None,
) -> list[MetricRow]:
    """Return the row, in a list, of the variance of F1 between the AUs or classes.

    The list is empty if the target has no F1 for single AUs or classes. For the arguments see
    `metric_rows` and `MetricRows`.
    """
    figure = metrics.get("f1")
    if figure is None or figure.by_name is None:
        return []
    variance = float(occurrence.variance_over_aus(figure.by_name))
    return [rows.row("f1_variance", scope, variance, n, fold=fold)]


def _frame_rows(
    by_frame: Mapping[str, np.ndarray], scope: str, rows: MetricRows, fold: int | None = None
) -> list[MetricRow]:
    """Return the rows of metrics that are means of the values of frames; see `FoldScores`."""
    lines: list[MetricRow] = []
    for name, values in by_frame.items():
        sums = sums_by(values, np.zeros(len(values), np.int64), 1)
        means = with_overall(MEAN, sums)[0]
        n = [*sums.frames[0].tolist(), int((~np.isnan(values)).any(axis=1).sum())]
        figure = MetricValues(means[:-1], float(means[-1]))
        lines += rows.by_name(name, scope, figure, n, fold=fold)
    return lines


def _intensity_rows(
    intensities: Intensities | None, scope: str, rows: MetricRows, fold: int | None = None
) -> list[MetricRow]:
    if intensities is None:
        return []
    coded = intensities.labels >= 0
    n = [*coded.sum(axis=0).tolist(), int(coded.any(axis=1).sum())]
    metrics = {}
    # Every fold has a model of its own, and values of different models do not correlate alike.
    if scope != "pooled":
        metrics["intensity_icc"] = intensity.icc_3_1(intensities.labels, intensities.predicted)
        metrics["intensity_pcc"] = intensity.pcc(intensities.labels, intensities.predicted)
    metrics["intensity_mae"] = intensity.mae(intensities.labels, intensities.predicted)
    return [
        line
        for name, values in metrics.items()
        for line in rows.by_name(
            name, scope, MetricValues(values), n, names=intensities.aus, fold=fold
        )
    ]


def _means_of_folds(lines: Sequence[MetricRow], rows: MetricRows) -> list[MetricRow]:
    """Return the rows of the mean over folds of every metric, for each AU and over all AUs.

    Args:
        lines: the rows of all folds, whose order the returned rows keep.
        rows: makes the rows of results.json.
    """
    by_figure: dict[tuple[str, str | None], list[MetricRow]] = {}
    for line in lines:
        by_figure.setdefault((line.metric, line.au), []).append(line)
    partly = rows.target.undefined_baselines
    main = {
        (line.au, line.fold): line.value for line in lines if line.metric == rows.target.main_metric
    }
    means = []
    for (name, au), group in by_figure.items():
        if name == "f1_variance":
            continue
        values = np.array([np.nan if line.value is None else line.value for line in group])
        needed = [name in partly and main.get((au, line.fold)) is not None for line in group]
        mean = occurrence.complete_mean(values, np.array(needed))
        means.append(rows.row(name, "mean_of_folds", mean, sum(line.n for line in group), au=au))
    if ("f1_variance", None) not in by_figure:
        return means
    # As in published tables, this is the variance over AUs of their F1, averaged over folds first.
    # The mean of the folds' variances would include the noise within folds.
    by_name = [np.nan if m.value is None else m.value for m in means if m.metric == "f1" and m.au]
    frames = sum(line.n for line in by_figure["f1_variance", None])
    figures = {"f1": MetricValues(np.array(by_name))}
    return means + _variance(figures, "mean_of_folds", frames, rows)


def _pooled(folds: Mapping[int, FoldScores], threshold: float, rows: MetricRows) -> list[MetricRow]:
    labels = np.concatenate([scores.labels for scores in folds.values()])
    scores = np.concatenate([fold.scores for fold in folds.values()])
    n = rows.target.coded(labels)
    # Every fold has a model of its own, and scores of different models cannot be ranked together.
    metrics = rows.target.metrics(labels, scores, threshold, graded=False)
    lines: list[MetricRow] = []
    for name, figure in metrics.items():
        lines += rows.by_name(name, "pooled", figure, n)
    lines += _variance(metrics, "pooled", n[-1], rows)
    lines += _frame_rows(frame_values(folds), "pooled", rows)
    return lines + _intensity_rows(_joined(folds), "pooled", rows)


def frame_values(folds: Mapping[int, FoldScores]) -> dict[str, np.ndarray]:
    """Return the metrics that have a value for each frame, over all folds, float [sum of N, A].

    Metrics that a fold lacks are left out.
    """
    parts = [scores.by_frame for scores in folds.values()]
    shared = [name for name in parts[0] if all(name in part for part in parts)]
    return {name: np.concatenate([part[name] for part in parts]) for name in shared}


def _joined(folds: Mapping[int, FoldScores]) -> Intensities | None:
    parts = [scores.intensities for scores in folds.values() if scores.intensities is not None]
    if not parts:
        return None
    return Intensities(
        parts[0].aus,
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.predicted for part in parts]),
    )


def text_agreement(
    predictions: pa.Table,
    phrases: pa.Table,
    aus: Sequence[str],
    threshold: float,
    occurrence_at: int | None = None,
) -> tuple[float, int] | None:
    """Compare generated descriptions of single AUs with the model's own AU predictions.

    Args:
        predictions: the predictions of a fold, with columns of generated descriptions.
        phrases: the table of all distinct descriptions from which captions are built.
        aus: the AUs that the benchmark scores.
        threshold: the probability from which an AU counts as active.
        occurrence_at: the lowest intensity, 1 to 5, at which an AU counts as active. It decides
            whether the description of an intensity from A (trace) to E (maximum) is that of an
            active AU. None if the dataset codes occurrence directly.

    Returns:
        The share of generated descriptions that equal, word for word, a description in `phrases` of
        the predicted state (with any intensity and in any paraphrase), and the number of generated
        descriptions; None if there are no generated descriptions.
    """
    texts_of: dict[tuple[str, bool], list[str]] = {}
    for au, state, text in zip(
        *(phrases[c].to_pylist() for c in ("au", "state", "text")), strict=True
    ):
        texts_of.setdefault((au, occurs(state, occurrence_at)), []).append(text)
    matching = total = 0
    for au in aus:
        if f"{au}_text" not in predictions.schema.names:
            return None
        described = pc.is_valid(predictions[f"{au}_text"])
        texts = predictions[f"{au}_text"].filter(described)
        active = pc.greater_equal(predictions[au].filter(described), threshold)
        for state, frames in ((True, active), (False, pc.invert(active))):
            of_state = pc.is_in(texts, pa.array(texts_of.get((au, state), []), pa.string()))
            matching += pc.sum(pc.and_(of_state, frames)).as_py() or 0
        total += len(texts)
    return (matching / total, total) if total else None


def summary(
    lines: Sequence[MetricRow], target: Target, measures: Sequence[str] = ()
) -> dict[str, float | None]:
    """Return the main results of a run: means over folds of metrics over all AUs or classes.

    Args:
        lines: all rows of the run.
        target: the target, whose `headline` names the metrics to return.
        measures: the names of measures that the model itself computes, which are returned too.

    Returns:
        A dict from the name of a metric to its value; a value is None if it is undefined.
    """
    means = {
        line.metric: line.value for line in lines if line.scope == "mean_of_folds" and not line.au
    }
    return {name: means.get(name) for name in (*target.headline, *measures)}


def undefined(lines: Sequence[MetricRow], target: Target) -> list[str]:
    """Return a phrase for each AU or class that has undefined metrics in a fold.

    A phrase names the metrics and the reason: ``f1, recall of AU24 in fold 2: reason``.

    Args:
        lines: all rows of the run.
        target: the target, which states why its metrics can be undefined.
    """
    reasons = {**target.undefined, **_UNDEFINED}
    groups: dict[tuple[int | None, str, str], list[str]] = {}
    for line in lines:
        if line.value is None and line.scope == "fold" and line.au and line.metric in reasons:
            reason = reasons[line.metric]
            groups.setdefault((line.fold, line.au, reason), []).append(line.metric)
    return [
        f"{', '.join(names)} of {au} in fold {fold}: {reason}"
        for (fold, au, reason), names in groups.items()
    ]


def with_intervals(
    lines: Sequence[MetricRow], counted: BySubject, rows: MetricRows, sums: Mapping[str, Sums]
) -> list[MetricRow]:
    """Return all rows of a run, with confidence intervals added where they are defined.

    Intervals are added to the rows of the metrics in `Target.statistics`, such as F1, and of
    metrics that are means over frames, that have the scope "mean_of_folds" or "pooled" and the
    protocol's own choice of the epoch.

    Args:
        lines: all rows of the run.
        counted: each subject's counts of correct and wrong decisions.
        sums: by metric, each subject's sums of the values of frames, in the order of `counted`.
        rows: makes rows of results.json; its target and its choice of the epoch are those of the
            protocol.
    """
    ends: dict[tuple[str, str, str | None], tuple[float | None, float | None]] = {}
    measured: dict[str, tuple[Additive, Statistic, float]] = {
        name: (counted.counts, statistic, 0) for name, statistic in rows.target.statistics.items()
    }
    # The mean of values from 0 to 1 is not below 0, but that of cosines can be.
    measured |= {
        name: (of_subjects, MEAN, -1 if (of_subjects.total < 0).any() else 0)
        for name, of_subjects in sums.items()
    }
    for name, (counts, statistic, lowest) in measured.items():
        for estimand in ESTIMANDS:
            computed = intervals(counts, counted.folds, statistic, estimand=estimand, lowest=lowest)
            for i, au in enumerate((*rows.target.names, None)):
                ends[name, estimand, au] = plain(computed.low[i]), plain(computed.high[i])
    return [
        line.model_copy(update=dict(zip(("low", "high"), ends[key], strict=True)))
        if line.selection == rows.selection and (key := (line.metric, line.scope, line.au)) in ends
        else line
        for line in lines
    ]


def sex_rows(counted: BySubject, frames: np.ndarray, rows: MetricRows) -> list[MetricRow]:
    """Return the rows of metrics for each sex, and of the difference between the sexes.

    The metrics are those in `Target.statistics`, such as F1, and in `Target.group_statistics`. A
    metric is computed from all test frames of one sex at once, and has a confidence interval. The
    differences are women's value minus men's, by the metrics in `Target.group_statistics`, or by
    the main metric if there are none. Subjects of unknown sex are left out.

    Args:
        counted: the counts of correct and wrong decisions for each of G subjects.
        frames: for each subject, the number of frames in which at least one AU or class is coded,
            int [G].
        rows: makes the rows of results.json.
    """
    lines: list[MetricRow] = []
    target, sexes = rows.target, np.array(counted.sexes)
    for sex in sorted(set(counted.sexes) - {""}):
        of_sex = sexes == sex
        counts = selected(counted.counts, of_sex)
        n = [*target.coded_counts(counts).sum(axis=0).tolist(), int(frames[of_sex].sum())]
        for name, statistic in {**target.statistics, **target.group_statistics}.items():
            computed = intervals(counts, counted.folds[of_sex], statistic, estimand="pooled")
            figure, ends = _split(computed)
            lines += rows.by_name(name, "sex", figure, n, group=sex, ends=ends)
    if not {"F", "M"} <= set(counted.sexes):
        return lines
    known = sexes != ""
    counts = selected(counted.counts, known)
    n = [*target.coded_counts(counts).sum(axis=0).tolist(), int(frames[known].sum())]
    for name, statistic in (target.group_statistics or _main(target)).items():
        computed = compare_groups(counts, counted.folds[known], sexes[known] == "F", statistic)
        figure, ends = _split(computed)
        lines += rows.by_name(name, "sex_difference", figure, n, ends=ends)
    return lines


def _split(computed: Interval) -> tuple[MetricValues, Bounds]:
    """Return the values of a metric and the ends of their intervals, as `by_name` takes them."""
    figure = MetricValues(computed.value[:-1], float(computed.value[-1]))
    return figure, (computed.low, computed.high)


def _main(target: Target) -> dict[str, Statistic]:
    return {target.main_metric: target.statistics[target.main_metric]}


def subject_rows(
    counted: BySubject, frames: np.ndarray, rows: MetricRows
) -> tuple[list[MetricRow], dict[str, list[str]]]:
    """Return the rows of the metrics in `Target.statistics`, such as F1, for each subject.

    Only the values over AUs or classes are returned. A subject's value is the mean over the AUs for
    which the metric is defined for every subject, so that the values of subjects can be compared.
    If there is no such AU, or if the metric's overall value is not a mean over AUs or classes, it
    is the metric's overall value of the subject alone. For the arguments see `sex_rows`.

    Returns:
        The rows, and by metric the names of the AUs or classes that are averaged, as
        `fauds.evaluation.results.Results.subject_names` has them.
    """
    lines, averaged = [], {}
    for name, statistic in rows.target.statistics.items():
        by_name = with_overall(statistic, counted.counts)
        values = by_name[:, -1]
        if not isinstance(statistic, WithOverall):
            common = ~np.isnan(by_name[:, :-1]).any(axis=0)
            if common.any():
                values = by_name[:, :-1][:, common].mean(axis=1)
            averaged[name] = [au for au, has in zip(rows.target.names, common, strict=True) if has]
        lines += [
            rows.row(name, "subject", float(value), n, group=subject)
            for subject, value, n in zip(counted.subjects, values, frames, strict=True)
        ]
    return lines, averaged


def trivial_rows(counted: BySubject, frames: np.ndarray, rows: MetricRows) -> list[MetricRow]:
    """Return the rows of how much the model is above predictions that ignore the image.

    The rows, of the metric "above_trivial", hold the main metric of the model minus that of
    `Target.trivial_counts`, as means of folds with the confidence interval of this difference.
    There are none if the target has no such predictions. For the arguments see `sex_rows`.
    """
    target = rows.target
    trivial = target.trivial_counts(counted.counts)
    if trivial is None:
        return []
    statistic = target.statistics[target.main_metric]
    computed = difference_interval(
        [counted.counts], [trivial], counted.folds, statistic, estimand="mean_of_folds"
    )
    n = [*target.coded_counts(counted.counts).sum(axis=0).tolist(), int(frames.sum())]
    figure, ends = _split(computed)
    return rows.by_name("above_trivial", "mean_of_folds", figure, n, ends=ends)


def showing_subjects(
    labels: np.ndarray, folds: np.ndarray, owners: np.ndarray, target: Target
) -> dict[int, dict[str, list[str]]]:
    """Return, by fold and by AU or class, the subjects with a frame in which it is true.

    Args:
        labels: the labels of N frames, as `Target.labels` returns them.
        folds: the number of the fold that tests each frame, int [N].
        owners: the subject of each frame, str [N].
        target: the target that is predicted.
    """
    true = target.indicators(labels) == 1
    return {
        int(fold): {
            name: sorted(set(owners[(folds == fold) & true[:, place]].tolist()))
            for place, name in enumerate(target.names)
        }
        for fold in np.unique(folds)
    }


def without_interval(
    lines: Sequence[MetricRow],
    showing: Mapping[int, Mapping[str, Sequence[str]]],
    tested: Mapping[int, np.ndarray],
    rows: MetricRows,
    unit: Literal["subject", "image"],
) -> list[str]:
    """Return a phrase for each AU or class whose main metric has no interval, with the reason.

    One reason is that a single subject of a fold shows the AU: without this subject the fold would
    have no value, so that nothing is known about the spread between subjects.

    Args:
        lines: all rows of the run, with their intervals.
        showing: by fold and by AU or class, the subjects with a frame in which it is true.
        tested: by fold, the subject of each test frame, str [N].
        rows: makes rows of results.json; its target and its choice of the epoch are those of the
            protocol.
        unit: "image" if subjects are unknown, and images take their place.
    """
    target = rows.target
    sizes = {fold: len(np.unique(names)) for fold, names in tested.items()}
    alone = [fold for fold, size in sizes.items() if size == 1 < max(sizes.values())]
    phrases = []
    for line in lines:
        if (
            (line.metric, line.scope) != (target.main_metric, "mean_of_folds")
            or line.au is None
            or line.selection != rows.selection
            or line.value is None
            or line.low is not None
        ):
            continue
        reasons = [
            f"in fold {fold}, {by_name[line.au][0]} is the only one of {sizes[fold]} {unit}s "
            f"{'who' if unit == 'subject' else 'that'} shows it"
            for fold, by_name in showing.items()
            if len(by_name[line.au]) == 1 < sizes[fold]
        ] or [f"fold {fold} tests a single {unit}" for fold in alone]
        why = "; ".join(reasons or [f"the value is the same without any one {unit}"])
        phrases.append(f"{target.titles[target.main_metric]} of {line.au}: {why}")
    return phrases


def uncertainty(unit: Literal["subject", "image"]) -> Uncertainty:
    """Return a description of the confidence intervals: how they are computed, what they cover.

    Args:
        unit: what is resampled; images if their subjects are not known.
    """
    notes = {
        "subject": "What this protocol would give on new subjects of the same population, with as "
        "many subjects in every fold and with the same trained models. Subjects are the unit, "
        "since the frames of one subject are alike. The intervals do not cover what would change "
        "with other training subjects (the test subjects of one fold train the models of the other "
        "folds), with training again from another seed, with another choice of folds, or with "
        "other coders.",
        "image": "What this protocol would give on as many new images of the same population, with "
        "the same trained models. Images are the unit, since the release does not say who is on "
        "them: people may repeat, within the test part and between it and the training part, and "
        "the interval is then too narrow. The intervals do not cover what would change with other "
        "training images, with training again from another seed, or with other coders.",
    }
    return Uncertainty(
        method=METHOD,
        # The jackknife takes no random samples: it leaves out every subject or image once.
        resamples=0,
        level=LEVEL,
        seed=0,
        unit=unit,
        note=notes[unit],
    )


def sums_of_units(
    counted: BySubject, values: np.ndarray, folds: np.ndarray, units: np.ndarray
) -> Sums:
    """Return each subject's sums of the values of frames, in the order of counts by subject.

    Args:
        counted: the counts of G subjects, or of images where subjects are unknown.
        values: the values of N frames, float [N, A], NaN where a frame has none.
        folds: the number of the fold that tests each frame, int [N].
        units: the subject or image of each frame, str [N].
    """
    owners = zip(counted.folds.tolist(), counted.subjects, strict=True)
    place = {owner: i for i, owner in enumerate(owners)}
    groups = [place[owner] for owner in zip(folds.tolist(), units.tolist(), strict=True)]
    return sums_by(values, np.array(groups, np.int64), len(place))


@dataclass(frozen=True)
class FrameOwners:
    """Whom the N frames that one fold tests belong to.

    Attributes:
        units: what intervals resample, str [N]: the subject of each frame, or the frame's key where
            the subject is unknown; see `fauds.tables.frames.sampling_units`.
        groups: what folds assign as a whole, str [N]: the subject of each frame, or the release's
            part where the subject is unknown; see `fauds.tables.frames.split_groups`.
        known: whether the subjects of all frames are known.
    """

    units: np.ndarray
    groups: np.ndarray
    known: bool

    @classmethod
    def of(cls, frames: pa.Table) -> "FrameOwners":
        """Return the owners of the frames of a frames table."""
        return cls(sampling_units(frames), split_groups(frames), subjects_known(frames))


@dataclass(frozen=True)
class RunFigures:
    """All results of a run that are computed from its labels and predictions.

    The attributes have the same meaning as the fields of these names in
    `fauds.evaluation.results.Results`.
    """

    metrics: list[MetricRow]
    summary: dict[str, float | None]
    undefined: list[str]
    without_interval: list[str]
    showing_subjects: dict[int, dict[str, int]]
    subject_names: dict[str, list[str]]
    uncertainty: Uncertainty
    subject_counts: SubjectCounts


def run_figures(
    folds: Mapping[int, FoldScores],
    owners: Mapping[int, FrameOwners],
    sexes: Mapping[str, str | None],
    target: Target,
    threshold: float,
    selection: str,
) -> RunFigures:
    """Compute all metrics of a run, with their summary and confidence intervals.

    Args:
        folds: by fold, the labels and predictions of the fold's N test frames.
        owners: by fold, the subjects of these frames.
        sexes: by sampling unit (see `FrameOwners`), "F" or "M"; None if unknown.
        target: the target that is predicted.
        threshold: the probability from which an AU or class counts as active.
        selection: how the epoch was chosen, such as "last"; see
            `fauds.evaluation.results.MetricRow`.
    """
    rows = MetricRows(target, selection)
    units, groups = (
        np.concatenate([getattr(owners[fold], name) for fold in folds])
        for name in ("units", "groups")
    )
    unit: Literal["subject", "image"] = "subject"
    if not all(of_fold.known for of_fold in owners.values()):
        unit = "image"
    labels = np.concatenate([scores.labels for scores in folds.values()])
    scores = np.concatenate([fold.scores for fold in folds.values()])
    fold_of = np.concatenate([np.full(len(scores.labels), fold) for fold, scores in folds.items()])
    decisions = target.decide(scores, threshold)
    counted = by_subject(target, labels, decisions, fold_of, units, sexes)
    stored = counted
    if unit == "image":
        # Thousands of images have few different outcomes; those of each are in the predictions.
        stored = by_subject(target, labels, decisions, fold_of, groups, {})
    coded = units[(target.indicators(labels) >= 0).any(axis=1)]
    coded_frames = dict(
        zip(*(part.tolist() for part in np.unique(coded, return_counts=True)), strict=True)
    )
    frames = np.array([coded_frames.get(subject, 0) for subject in counted.subjects])
    lines = metric_rows(folds, threshold, rows)
    by_frame = frame_values(folds)
    sums = {name: sums_of_units(counted, v, fold_of, units) for name, v in by_frame.items()}
    of_subjects: list[MetricRow] = []
    subject_names: dict[str, list[str]] = {}
    if unit == "subject":
        of_subjects, subject_names = subject_rows(counted, frames, rows)
    lines = [
        *with_intervals(lines, counted, rows, sums),
        *trivial_rows(counted, frames, rows),
        *sex_rows(counted, frames, rows),
        *of_subjects,
    ]
    showing = showing_subjects(labels, fold_of, units, target)
    units_of = {fold: of_fold.units for fold, of_fold in owners.items()}
    return RunFigures(
        metrics=lines,
        summary=summary(lines, target, [*by_frame, *_measures(folds)]),
        undefined=undefined(lines, target),
        without_interval=without_interval(lines, showing, units_of, rows, unit),
        showing_subjects={
            fold: {name: len(ids) for name, ids in by_name.items()}
            for fold, by_name in showing.items()
        },
        subject_names=subject_names,
        uncertainty=uncertainty(unit),
        subject_counts=SubjectCounts.of(stored, target),
    )


def _measures(folds: Mapping[int, FoldScores]) -> list[str]:
    """Return the names of the measures that the model itself computes.

    Baselines, whose names end with "_no_image", are left out.
    """
    names = dict.fromkeys(name for scores in folds.values() for name in scores.measures)
    return [name for name in names if not name.endswith("_no_image")]
