"""Tables of a page: what they say, apart from how they look."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fauds.evaluation.results import MetricRow
from fauds.report.formatting import percent, percent_range

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
