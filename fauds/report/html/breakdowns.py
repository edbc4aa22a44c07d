"""Tables of one run's metrics by AU, fold, sex, subject and choice of the epoch."""

from dataclasses import replace

import numpy as np

from fauds.evaluation.results import MetricRow
from fauds.metrics.resampling import WithOverall
from fauds.report.formatting import percent, points, points_range, sentence_case
from fauds.report.html.runs import ReportedRun
from fauds.report.tables import Cell, Row, Table, baseline_cell, figure, fold_table

SELECTIONS = {
    "last": "the last epoch, threshold as declared (the headline)",
    "validation": "the epoch that is best on training subjects held out",
    "best_test_epoch": "the epoch that is best on the test part itself",
    "best_test_threshold": "the last epoch, with the threshold that is best on the test part",
    "best_test_epoch_and_threshold": "epoch and threshold that are best on the test part",
}
"""The selections of results.json (choices of the epoch and the threshold), in words."""

_BESIDE = {
    "always_active_f1": "F1, always active",
    "prevalence_f1": "F1, training prevalence",
    "skew_f1": "F1 at equal shares",
    "balanced_f1": "F1 of both states",
    "accuracy": "Accuracy",
    "precision": "Precision",
    "recall": "Recall",
    "auc": "Area under ROC",
    "average_precision": "Average precision",
    "calibration_error": "Calibration error",
    "brier_score": "Brier score",
}
_TEXTS = {
    "word_top5": "Next word among the first five",
    "word_top5_no_image": "The same without an image",
    "decision_top1": "Most probable word, on words that the words before do not determine",
    "decision_top1_no_image": "The same without an image",
    "image_gain": "Share of what an image could add to this that the model adds",
    "bleu4": "BLEU-4",
    "rouge_l": "ROUGE-L",
    "text_f1": "F1 of what the texts assert, against the labels",
    "text_agreement_with_head": "Same state as the AU heads predict",
    "text_agreement": "Word for word the description of that state",
    "unparsed": "Asserts nothing",
}


def au_table(run: ReportedRun) -> Table:
    """Return a table of the main metric and further metrics by AU; the last row has their means.

    The values are means of the folds in %. Metrics that the run lacks are left out.
    """
    title = run.target.titles[run.main_metric]
    # In the order of _BESIDE; the titles of the target replace the common ones.
    titles = {**dict.fromkeys(_BESIDE, ""), **run.target.baselines, **_BESIDE, **run.target.titles}
    columns = {run.main_metric: sentence_case(title)} | {
        metric: sentence_case(name)
        for metric, name in titles.items()
        if metric != run.main_metric and run.row(metric) is not None
    }
    shares = _active_shares(run)
    names = (_head(run), *(["Active frames"] if shares else []), *columns.values())
    rows = []
    for au in (*run.results.protocol.aus, None):
        cells = [baseline_cell(run.results, metric, au) for metric in columns]
        active = [Cell(percent(shares[au]))] if shares else []
        rows.append(Row(au or sentence_case(run.target.total), (*active, *cells), not au))
    return Table(
        caption=f"By {run.target.noun}, means of folds, in %", head=names, rows=tuple(rows)
    )


def _active_shares(run: ReportedRun) -> dict[str | None, float]:
    """Return the share of scored frames, 0 to 1, in which each AU is active.

    The key None has the mean over all AUs. The dictionary is empty if the results do not hold
    counts by subject, or if the run predicts classes.
    """
    target, by_subject = run.target, run.results.subject_counts
    if by_subject is None or target.form != "multilabel":
        return {}
    shares = target.shares(by_subject.grouped(target).counts).tolist()
    return {**dict(zip(target.names, shares, strict=True)), None: float(np.mean(shares))}


def _head(run: ReportedRun) -> str:
    return sentence_case(run.target.noun)


def by_fold(run: ReportedRun, metric: str, name: str) -> Table:
    """Return a table of one metric: a row per AU or class, a column per fold.

    Two more columns have the mean of the folds and the value over the pooled frames of all folds.

    Args:
        run: the run.
        metric: the name of the metric, such as "f1".
        name: the title of the metric for the caption.
    """
    table = fold_table(run.results, metric)
    rows = (replace(row, name=sentence_case(row.name)) if row.total else row for row in table.rows)
    return replace(
        table,
        caption=f"{name} by fold, in %",
        head=(_head(run), *map(sentence_case, table.head[1:])),
        rows=tuple(rows),
    )


def undefined_table(run: ReportedRun) -> Table | None:
    """Return a table of the run's undefined metrics, with the reasons; None if all are defined."""
    lines = [line.partition(": ") for line in run.results.undefined]
    if not lines:
        return None
    return Table(
        caption=f"Undefined and left out of means: {len(lines)}",
        head=("Figure", "Why"),
        rows=tuple(Row(name, (Cell(reason),)) for name, _, reason in lines),
    )


def interval_table(run: ReportedRun) -> Table | None:
    """Return a table of values that have no interval, with the reasons; None if there are none."""
    lines = [line.partition(": ") for line in run.results.without_interval]
    if not lines:
        return None
    return Table(
        caption=f"Without an interval over {run.results.units}: {len(lines)}",
        head=("Value", "Why"),
        rows=tuple(Row(name, (Cell(reason),)) for name, _, reason in lines),
    )


def showing_table(run: ReportedRun) -> Table | None:
    """Return a table of the number of scored subjects who show each AU, by fold.

    Return None for results of an older fauds, which do not hold these numbers, and if the subjects
    are unknown; the confusion matrix then has the numbers of images.
    """
    showing, scored = run.results.showing_subjects, run.results.scored_groups
    if not showing or run.results.unit == "image":
        return None
    rows = []
    for au in run.results.protocol.aus:
        cells = (
            f"{by_name.get(au, 0)} of {len(scored[fold])}" for fold, by_name in showing.items()
        )
        rows.append(Row(au, tuple(map(Cell, cells))))
    return Table(
        caption=f"Tested subjects who show each {run.target.noun}, by fold",
        head=(_head(run), *(f"Fold {fold}" for fold in showing)),
        rows=tuple(rows),
        note="An interval over subjects rests on those who show it, not on the number of frames.",
    )


def sex_table(run: ReportedRun) -> Table | None:
    """Return a table of women's and men's results by AU, and of their difference.

    The metric is one that does not depend on how often an AU occurs, if the target has such a
    metric; otherwise, it is the main metric. Return None if the run has no metrics by sex.
    """
    groups = run.groups("sex")
    if not groups:
        return None
    metric = next(iter(run.target.group_statistics), run.main_metric)
    if run.row(metric, "sex", group=groups[0]) is None:
        metric = run.main_metric  # results of an older fauds
    rows, alone = [], []
    for au in (*run.results.protocol.aus, None):
        figures = [run.row(metric, "sex", au, group=group) for group in groups]
        if au and len({row is None or row.value is None for row in figures}) > 1:
            alone.append(au)
        difference = run.row(metric, "sex_difference", au)
        gap = (
            Cell("-")
            if difference is None
            else Cell(points(difference.value), points_range(difference.low, difference.high))
        )
        rows.append(
            Row(au or sentence_case(run.target.total), (*map(figure, figures), gap), not au)
        )
    names = {"F": "Women", "M": "Men"}
    title = sentence_case(_BESIDE.get(metric) or run.target.titles[metric])
    over = run.results.units
    note = (
        f"Women - men: in percentage points, with its 95 % interval over {over}. Where the "
        "interval holds 0, no gap is shown, which does not mean that there is none; of many rows, "
        "one interval may lie beside 0 by chance."
    )
    if metric in run.target.group_statistics:
        note += (
            " F1 itself is higher in the group that shows an action unit more often, so that it "
            "cannot compare groups."
        )
        if alone:
            left_out = ", ".join(alone)
            note += f" The difference of the means leaves out {left_out}: one sex has no value."
    return Table(
        caption=f"{title} by sex, all frames of one sex pooled, in %",
        head=(_head(run), *(names.get(group, group) for group in groups), "Women - men"),
        rows=tuple(rows),
        note=note,
    )


def subject_table(run: ReportedRun) -> Table | None:
    """Return a table of each subject's metrics over AUs, the lowest main metric first.

    Return None if the run has no metrics by subject.
    """
    subjects = run.groups("subject")
    if not subjects:
        return None
    by_subject = [
        (subject, [run.row(metric, "subject", group=subject) for metric in run.target.statistics])
        for subject in subjects
    ]
    titles = [run.target.titles[metric] for metric in run.target.statistics]
    by_subject.sort(key=lambda entry: _undefined_last(entry[1][0]))
    return Table(
        caption=f"By subject, in %, the lowest {titles[0]} first",
        head=("Subject", *(sentence_case(title) for title in titles), "Frames"),
        rows=tuple(
            Row(subject, (*map(figure, rows), Cell(f"{rows[0].n:,}" if rows[0] else "-")))
            for subject, rows in by_subject
        ),
        note=_averaged_names(run),
    )


def _averaged_names(run: ReportedRun) -> str:
    """Return a sentence on which AUs the main metric of a subject is averaged over.

    The text is empty if the metric's overall value is no mean, such as the accuracy of classes.
    """
    target = run.target
    if isinstance(target.statistics[run.main_metric], WithOverall):
        return ""
    # An older fauds took the mean over the AUs that a subject shows, and stored no names.
    names = run.results.subject_names.get(run.main_metric, [])
    title = sentence_case(target.titles[run.main_metric])
    if set(names) == set(target.names):
        return f"Over all {target.plural}."
    if names:
        return (
            f"{title} is the mean over the {target.plural} for which it is defined for every "
            f"subject: {', '.join(names)}."
        )
    return (
        f"{title} is over the {target.plural} that the subject shows, which are not the same for "
        "all subjects: compare subjects with care."
    )


def _undefined_last(row: MetricRow | None) -> tuple[bool, float]:
    value = None if row is None else row.value
    return value is None, 0.0 if value is None else value


def selection_table(run: ReportedRun) -> Table | None:
    """Return a table of the main metric under different choices of the epoch and the threshold.

    The first row is the main result: the last epoch at the declared threshold. Return None if the
    run has no results for other choices.
    """
    headline = run.row(run.main_metric, selection="last")
    rows = []
    for selection, words in SELECTIONS.items():
        row = run.row(run.main_metric, selection=selection)
        if row is not None and headline is not None:
            gap = _difference(row.value, headline.value)
            if not run.target.has_threshold:
                words = words.replace(", threshold as declared", "")
            rows.append(Row(words, (figure(row), Cell(gap))))
    if len(rows) < 2:
        return None
    figure_of = sentence_case(run.target.overall[run.main_metric])
    chosen = "epoch and the threshold are" if run.target.has_threshold else "epoch is"
    return Table(
        caption=f"{figure_of} by how the {chosen} chosen, in %",
        head=("Chosen", sentence_case(run.target.titles[run.main_metric]), "Above the headline"),
        rows=tuple(rows),
        note="What is chosen on the test part is too good: it is shown so that figures chosen that "
        "way elsewhere can be judged.",
    )


def _difference(value: float | None, other: float | None) -> str:
    return "-" if value is None or other is None else f"{100 * (value - other):+.1f}"


def text_table(run: ReportedRun) -> Table | None:
    """Return a table of metrics of the generated descriptions; None if the run generated none."""
    rows = []
    for metric, name in _TEXTS.items():
        figures = [run.row(f"{scope}_{metric}") for scope in ("local", "global")]
        if any(row is not None for row in figures):
            rows.append(Row(name, _cells(figures)))
    if not rows:
        return None
    return Table(
        caption="Descriptions, in %",
        head=("Measure", "Of one action unit", "Of the face"),
        rows=tuple(rows),
    )


def _cells(rows: list[MetricRow | None]) -> tuple[Cell, ...]:
    return tuple(map(figure, rows))


def contradictions(run: ReportedRun) -> list[str]:
    """Return a sentence, in a list, on how often two descriptions of one face contradict.

    One describes the whole face, the other a single action unit. The list is empty if no face has
    both kinds of description.
    """
    row = run.row("text_contradictions")
    if row is None:
        return []
    return [
        f"In {percent(row.value)} % of {row.n:,} described faces the description of the face "
        "contradicts that of an action unit; what it does not mention counts as called inactive."
    ]
