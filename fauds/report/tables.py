"""Tables of metric values, independent of the output format: terminal, Markdown or HTML."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import rich.table

from fauds.evaluation.results import MetricRow, Results
from fauds.report.formatting import new_table, percent, percent_range

_WORDY = 12


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
        text: a value in %, such as "85.3"; "-" if the value is undefined; or any other text.
        interval: the 95 % interval of the value, such as "83.0 to 87.2"; "" if it has none.
        best: whether the value is to be marked as the best of its row or column.
    """

    text: str
    interval: str = ""
    best: bool = False

    @property
    def wordy(self) -> bool:
        """Whether the cell holds long text, such as a sentence, instead of a value."""
        return len(self.text) > _WORDY


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        name: the row's heading, in the first column.
        cells: the cells of the other columns.
        total: whether the row is the mean of the rows above it, and is set apart from them.
    """

    name: str
    cells: tuple[Cell, ...]
    total: bool = False


@dataclass(frozen=True)
class Table:
    """A table of metric values.

    Attributes:
        caption: the text above the table.
        head: the headings of all columns; the first is that of the row names.
        rows: the rows.
        note: the text below the table; "" for none.
    """

    caption: str
    head: tuple[str, ...]
    rows: tuple[Row, ...]
    note: str = ""

    def without(self, column: str) -> "Table":
        """Return a copy of the table without one column.

        Args:
            column: the heading of the column to leave out.
        """
        place = self.head.index(column)
        return replace(
            self,
            head=(*self.head[:place], *self.head[place + 1 :]),
            rows=tuple(
                replace(row, cells=(*row.cells[: place - 1], *row.cells[place:]))
                for row in self.rows
            ),
        )

    def with_intervals(self, column: str, head: str) -> "Table":
        """Return a copy of the table in which the intervals of a column have their own column.

        Args:
            column: the heading of the column whose values have intervals.
            head: the heading of the new column, which follows it.
        """
        place = self.head.index(column)
        return replace(
            self,
            head=(*self.head[: place + 1], head, *self.head[place + 1 :]),
            rows=tuple(
                replace(
                    row,
                    cells=(
                        *row.cells[:place],
                        Cell(row.cells[place - 1].interval or "-"),
                        *row.cells[place:],
                    ),
                )
                for row in self.rows
            ),
        )

    def markdown(self) -> str:
        """Return the table as Markdown text; the names of rows that hold means are in bold."""
        names = [f"**{row.name}**" if row.total else row.name for row in self.rows]
        cells = [[cell.text for cell in row.cells] for row in self.rows]
        lines = [list(self.head), ["---"] + ["---:"] * (len(self.head) - 1)]
        lines += [[name, *texts] for name, texts in zip(names, cells, strict=True)]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)

    def rich(self) -> rich.table.Table:
        """Return the table for a terminal; a line separates rows that hold means from others."""
        table = new_table(*self.head)
        for row in self.rows:
            if row.total:
                table.add_section()
            table.add_row(row.name, *(cell.text for cell in row.cells))
        return table


MEAN, POOLED = "mean of folds", "pooled"
"""The headings of the columns that follow those of the folds in `fold_table`."""


def fold_table(results: Results, metric: str, beside: Mapping[str, str] | None = None) -> Table:
    """Return a table of one metric: a row per AU (or class), a column per fold.

    Further columns have the mean of the folds and the value over the pooled frames of all folds.

    Args:
        results: the results of a run.
        metric: the name of the metric.
        beside: further metrics, whose means of the folds are appended as columns: a dict from the
            name of each metric to the heading of its column.
    """
    target = results.protocol.predicts
    beside = beside or {}
    rows = []
    for name in (*target.names, None):
        figures = [results.row(metric, "fold", name, fold) for fold in results.folds]
        figures += [results.row(metric, scope, name) for scope in ("mean_of_folds", "pooled")]
        cells = [*map(figure, figures)]
        cells += [baseline_cell(results, other, name) for other in beside]
        rows.append(Row(name or target.total, tuple(cells), name is None))
    folds = (f"fold {fold}" for fold in results.folds)
    return Table(
        caption=f"{target.titles[metric]} by fold, in %",
        head=(target.short, *folds, MEAN, POOLED, *beside.values()),
        rows=tuple(rows),
    )


def baseline_cell(results: Results, metric: str, name: str | None) -> Cell:
    """Return a cell with the mean over folds of a metric, in %.

    A baseline that is undefined for an AU or class in every fold is given in words, such as
    ``never active``; other undefined values are "-".

    Args:
        results: the results of a run.
        metric: the name of the metric, which may be a baseline of the target.
        name: the AU or class; None for the value over all of them.
    """
    row = results.row(metric, "mean_of_folds", name)
    words = results.protocol.predicts.undefined_baselines.get(metric)
    if words is not None and name is not None and row is not None and row.value is None:
        of_folds = [results.value(metric, "fold", name, fold) for fold in results.folds]
        if all(value is None for value in of_folds):
            return Cell(words)
    return figure(row)


def confusion_table(results: Results) -> Table | None:
    """Return the confusion matrix of a run's classes, over the test frames of all folds.

    None if the target is not classes that exclude each other, or the results hold no counts.
    """
    target, counts = results.protocol.predicts, results.subject_counts
    if target.form != "multiclass" or counts is None:
        return None
    matrix = target.outcomes(counts.grouped(target).counts).sum(axis=0).tolist()
    rows = [
        Row(name, (*(Cell(f"{count:,}") for count in line), Cell(f"{sum(line):,}")))
        for name, line in zip(target.names, matrix, strict=True)
    ]
    totals = [sum(column) for column in zip(*matrix, strict=True)]
    cells = (*(Cell(f"{count:,}") for count in totals), Cell(f"{sum(totals):,}"))
    return Table(
        caption=f"Confusion matrix: frames by their {target.noun} (rows) and the one decided "
        "(columns)",
        head=(f"true {target.noun}", *target.names, "all"),
        rows=(*rows, Row("all", cells, total=True)),
    )


def figure(row: MetricRow | None) -> Cell:
    """Return a cell with the value and confidence interval, in %, of a row of results.json.

    It is "-" if the row is None.
    """
    return Cell("-") if row is None else Cell(percent(row.value), interval(row))


def interval(row: MetricRow | None) -> str:
    """Return the confidence interval of a row of results.json in %, such as ``83.0 to 87.2``.

    It is an empty string if the row is None or has no interval.
    """
    return "" if row is None else percent_range(row.low, row.high)


def best_of(cells: Sequence[Cell]) -> tuple[Cell, ...]:
    """Return the cells, with the highest value marked as the best; ties are all marked.

    Nothing is marked if fewer than two cells hold a defined value.
    """
    figures = [float(cell.text) for cell in cells if cell.text != "-"]
    if len(figures) < 2:
        return tuple(cells)
    highest = max(figures)
    return tuple(
        replace(cell, best=cell.text != "-" and float(cell.text) == highest) for cell in cells
    )


def best_of_rows(table: Table) -> Table:
    """Return a copy of the table in which the highest value of each row is marked as the best."""
    return replace(table, rows=tuple(replace(row, cells=best_of(row.cells)) for row in table.rows))


def best_of_columns(table: Table, begin: int = 0) -> Table:
    """Return a copy of the table in which the highest value of each column is marked as the best.

    Args:
        table: the table.
        begin: the number of columns, counted after the row names, that are left unmarked.
    """
    columns = list(zip(*(row.cells for row in table.rows), strict=True))
    marked = [*columns[:begin], *(best_of(column) for column in columns[begin:])]
    rows = zip(table.rows, zip(*marked, strict=True), strict=True)
    return replace(table, rows=tuple(replace(row, cells=cells) for row, cells in rows))
