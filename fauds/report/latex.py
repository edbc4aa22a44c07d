"""Writes a LaTeX table (booktabs) of F1 by action unit: published methods first, then runs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fauds.errors import UsageError
from fauds.evaluation.finished import FinishedRun
from fauds.evaluation.results import EXTERNAL, Results
from fauds.report.published import published_rows

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}
_DAGGER = r"$^\dagger$"
_EPOCH, _THRESHOLD = "e", "t"


@dataclass(frozen=True)
class _LatexRow:
    """A row of the LaTeX table: a published method or a run.

    Attributes:
        method: the name of the method or run, with LaTeX's special characters escaped.
        values: F1 in % of each AU, then the average over AUs; None where F1 is undefined.
        intervals: the 95 % interval of each value; empty for a published method.
        misfit: whether the published average differs from the mean of the published values of the
            AUs.
        epoch_on_test: whether the epoch of a published method was chosen on the test part.
        threshold_on_test: whether the threshold of a published method was.
    """

    method: str
    values: tuple[float | None, ...]
    intervals: tuple[tuple[float, float] | None, ...] = ()
    misfit: bool = False
    epoch_on_test: bool = False
    threshold_on_test: bool = False

    @property
    def head(self) -> str:
        """The name, with a mark for each choice that was made on the test part."""
        marks = _EPOCH * self.epoch_on_test + _THRESHOLD * self.threshold_on_test
        return f"{self.method}$^{{{marks}}}$" if marks else self.method


def latex_table(runs: Sequence[FinishedRun]) -> str:
    """Return a LaTeX table of F1 in %, with published methods first and the runs below.

    In each column the best printed value is bold and the second best underlined, with equal values
    marked alike. The line below each run has its 95 % intervals. Published methods are shown only
    if the runs follow the benchmark's own protocol on real data. A dagger marks a published average
    that differs from the mean of the method's values of single AUs, and a superscript e or t a
    method whose epoch or threshold was chosen on the test part.

    Raises:
        UsageError: the runs follow different protocols.
    """
    first = runs[0].results
    for run in runs[1:]:
        _refuse_other_protocol(runs[0], run)
    aus = [*first.protocol.aus]
    published = _published(first)
    ours = [_of_run(run.results, name) for run, name in zip(runs, _names(runs), strict=True)]
    marks = _marks([*published, *ours])
    lines = [_line(row, marks) for row in published]
    if published:
        lines.append(r"\midrule")
    for row in ours:
        lines.append(_line(row, marks))
        if any(row.intervals):
            lines.append(_interval_line(row))
    target = first.protocol.predicts
    over = "AU Index" if target.short == "AU" else target.plural.capitalize()
    heads = " & ".join(_head(au) for au in aus)
    return "\n".join(
        [
            r"% \usepackage{booktabs}",
            r"\begin{table*}",
            r"\centering\small\setlength{\tabcolsep}{3pt}",
            rf"\caption{{{_caption([run.results for run in runs], [*published, *ours])}}}",
            rf"\begin{{tabular}}{{l{'c' * len(aus)}c}}",
            r"\toprule",
            rf"Method & \multicolumn{{{len(aus)}}}{{c}}{{{over}}} & Avg. \\",
            rf"\cmidrule(lr){{2-{len(aus) + 1}}}",
            rf" & {heads} & \\",
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table*}",
            "",
        ]
    )


def _refuse_other_protocol(a: FinishedRun, b: FinishedRun) -> None:
    identity_a, identity_b = (
        (run.results.benchmark, run.results.benchmark_version, run.results.synthetic)
        for run in (a, b)
    )
    protocol_a, protocol_b = a.results.protocol, b.results.protocol
    names = ("folds", "test_subjects", "aus", "occurrence", "threshold")
    if identity_a != identity_b or any(
        getattr(protocol_a, name) != getattr(protocol_b, name) for name in names
    ):
        raise UsageError(
            f"{a.name} and {b.name} follow different protocols, and cannot be in one table.",
            hint="write one table for each protocol",
        )


def _published(results: Results) -> list[_LatexRow]:
    table = published_rows(results)
    if table is None:
        return []
    # Rows such as METHOD[baseline] are a paper's ablations, not methods of their own.
    table = table[~table["method"].str.contains("[", regex=False)]
    columns = [*results.protocol.aus, "Avg"]
    return [
        _LatexRow(
            _escaped(f"{row['method']} ({row['venue']})"),
            tuple(None if math.isnan(row[column]) else row[column] for column in columns),
            misfit=row["off"],
            epoch_on_test=row["epoch_selection"] == "test",
            threshold_on_test=row["threshold_selection"] == "test",
        )
        for _, row in table.iterrows()
    ]


def _names(runs: Sequence[FinishedRun]) -> list[str]:
    """Return a name for each run: its model and preset, such as ``vlfau tiny``.

    Runs that would have the same name also get the name of their folder. A run of external
    predictions (made by another program) has no preset and is named by its model alone.
    """
    names = [
        run.results.model
        if run.results.preset == EXTERNAL
        else f"{run.results.model} {run.results.preset}"
        for run in runs
    ]
    return [
        f"{name} ({run.name})" if names.count(name) > 1 else name
        for name, run in zip(names, runs, strict=True)
    ]


def _of_run(results: Results, name: str) -> _LatexRow:
    first = results.protocol.predicts.main_metric
    rows = [results.row(first, "mean_of_folds", au) for au in (*results.protocol.aus, None)]
    values = tuple(100 * row.value if row and row.value is not None else None for row in rows)
    intervals = tuple(
        (100 * row.low, 100 * row.high)
        if row and row.low is not None and row.high is not None
        else None
        for row in rows
    )
    return _LatexRow(_escaped(name), values, intervals)


def _marks(rows: Sequence[_LatexRow]) -> list[dict[float, str]]:
    """Return how to mark the best and the second-best printed value of each column.

    Returns:
        For each column, a dictionary from a value (in %, as printed) to the LaTeX command that
        marks it. The dictionaries are empty if there is only one row.
    """
    marks = []
    for column in zip(*(row.values for row in rows), strict=True):
        ranked = sorted({round(value, 1) for value in column if value is not None}, reverse=True)
        marks.append(dict(zip(ranked, (r"\textbf", r"\underline"), strict=False)))
    return marks if len(rows) > 1 else [{} for _ in marks]


def _line(row: _LatexRow, marks: Sequence[dict[float, str]]) -> str:
    cells = []
    for value, marked in zip(row.values, marks, strict=True):
        printed = "--" if value is None else f"{value:.1f}"
        command = None if value is None else marked.get(round(value, 1))
        cells.append(f"{command}{{{printed}}}" if command else printed)
    if row.misfit:
        cells[-1] += _DAGGER
    return " & ".join([row.head, *cells]) + r" \\"


def _interval_line(row: _LatexRow) -> str:
    cells = [
        "" if ends is None else rf"{{\tiny {ends[0]:.1f}--{ends[1]:.1f}}}" for ends in row.intervals
    ]
    return " & ".join(["", *cells]) + r" \\"


def _caption(runs: Sequence[Results], rows: Sequence[_LatexRow]) -> str:
    first = runs[0]
    target = first.protocol.predicts
    title = f"{target.titles[target.main_metric]} in % by {target.noun}"
    parts = [f"{title} on {first.benchmark} (version {first.benchmark_version}), "]
    threshold = f", threshold {first.protocol.threshold}" if target.has_threshold else ""
    parts.append(f"{first.protocol.folds}, mean of folds{threshold}.")
    if first.synthetic:
        parts.append(" Synthetic faces: not comparable with any published figure.")
    for field in ("alignment", "frame_set", "selection"):
        values = list(dict.fromkeys(str(getattr(run.protocol, field)) for run in runs))
        values = ["not known" if value == EXTERNAL else value for value in values]
        title = {"alignment": "Alignment", "frame_set": "Frames", "selection": "Epoch"}[field]
        parts.append(f" {title}: {'; '.join(values)}.")
    if len({run.frames_fingerprint for run in runs}) > 1:
        scored = "; ".join(f"{run.frames_scored:,}" for run in runs)
        parts.append(f" The runs were not scored on the same frames ({scored}).")
    if len(rows) > 1:
        parts.append(" Best bold, second underlined.")
    if any(any(row.intervals) for row in rows):
        parts.append(f" Small: 95 % intervals over {first.units}.")
    caption = _escaped("".join(parts))
    if any(row.misfit for row in rows):
        caption += rf" {_DAGGER}The published average does not fit its AUs."
    for mark, what, marked in (
        (_EPOCH, "epoch", any(row.epoch_on_test for row in rows)),
        (_THRESHOLD, "threshold", any(row.threshold_on_test for row in rows)),
    ):
        if marked:
            caption += f" $^{{{mark}}}$Published with the {what} that is best on the test part."
    return caption


def _head(name: str) -> str:
    """Return a column's heading: the number of an action unit, or the escaped name of a class."""
    number = name.removeprefix("AU")
    return str(int(number)) if number != name and number.isdigit() else _escaped(name)


def _escaped(text: str) -> str:
    return "".join(_SPECIAL.get(character, character) for character in text)
