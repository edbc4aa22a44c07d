"""Tables of figures: what they say, apart from the terminal, Markdown or HTML that shows them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import rich.table

from fauds.evaluation.results import MetricRow, Results
from fauds.report.formatting import new_table, percent, percent_range

_WORDY = 12


@dataclass(frozen=True)
class Cell:
    """One figure in words.

    Attributes:
        text: "85.3", or "-" where it is undefined.
        interval: "83.0 to 87.2", or "" where there is none.
        best: whether it is marked as the best of its row or column.
    """

    text: str
    interval: str = ""
    best: bool = False

    @property
    def wordy(self) -> bool:
        """Whether this is text to read rather than a figure."""
        return len(self.text) > _WORDY


@dataclass(frozen=True)
class Row:
    """A named row; `total` sets it apart as the mean of those above."""

    name: str
    cells: tuple[Cell, ...]
    total: bool = False


@dataclass(frozen=True)
class Table:
    """A table with the words over it, the names of its columns, and a note under it."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[Row, ...]
    note: str = ""

    def without(self, column: str) -> "Table":
        """Return the table without one of its columns of figures."""
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
        """Return the table with the intervals of a column in one of their own after it."""
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
        """Return the table in Markdown; totals are in bold."""
        names = [f"**{row.name}**" if row.total else row.name for row in self.rows]
        cells = [[cell.text for cell in row.cells] for row in self.rows]
        lines = [list(self.head), ["---"] + ["---:"] * (len(self.head) - 1)]
        lines += [[name, *texts] for name, texts in zip(names, cells, strict=True)]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)

    def rich(self) -> rich.table.Table:
        """Return the table for a terminal; a line sets totals apart."""
        table = new_table(*self.head)
        for row in self.rows:
            if row.total:
                table.add_section()
            table.add_row(row.name, *(cell.text for cell in row.cells))
        return table


MEAN, POOLED = "mean of folds", "pooled"
"""Columns of `fold_table` beside its folds."""


def fold_table(results: Results, metric: str, beside: Mapping[str, str] | None = None) -> Table:
    """Return one metric by name (AU or class) and fold, with mean of folds and pooled.

    Args:
        beside: further metrics, whose means of folds follow, to their titles.
    """
    target = results.protocol.predicts
    beside = beside or {}
    rows = []
    for name in (*target.names, None):
        found = [results.row(metric, "fold", name, fold) for fold in results.folds]
        found += [results.row(metric, scope, name) for scope in ("mean_of_folds", "pooled")]
        found += [results.row(other, "mean_of_folds", name) for other in beside]
        rows.append(Row(name or target.total, tuple(map(figure, found)), name is None))
    folds = (f"fold {fold}" for fold in results.folds)
    return Table(
        caption=f"{target.titles[metric]} by fold, in %",
        head=(target.short, *folds, MEAN, POOLED, *beside.values()),
        rows=tuple(rows),
    )


def figure(row: MetricRow | None) -> Cell:
    """Return a figure in %, with its interval where it has one."""
    return Cell("-") if row is None else Cell(percent(row.value), interval(row))


def interval(row: MetricRow | None) -> str:
    """Return the interval of a figure in %, ``83.0 to 87.2``; "" where there is none."""
    return "" if row is None else percent_range(row.low, row.high)


def best_of(cells: Sequence[Cell]) -> tuple[Cell, ...]:
    """Mark the highest figures; none where fewer than two are defined."""
    figures = [float(cell.text) for cell in cells if cell.text != "-"]
    if len(figures) < 2:
        return tuple(cells)
    highest = max(figures)
    return tuple(
        replace(cell, best=cell.text != "-" and float(cell.text) == highest) for cell in cells
    )


def best_of_rows(table: Table) -> Table:
    """Mark the highest figures of every row."""
    return replace(table, rows=tuple(replace(row, cells=best_of(row.cells)) for row in table.rows))


def best_of_columns(table: Table, begin: int = 0) -> Table:
    """Mark the highest figures of every column from `begin` on."""
    columns = list(zip(*(row.cells for row in table.rows), strict=True))
    marked = [*columns[:begin], *(best_of(column) for column in columns[begin:])]
    rows = zip(table.rows, zip(*marked, strict=True), strict=True)
    return replace(table, rows=tuple(replace(row, cells=cells) for row, cells in rows))
