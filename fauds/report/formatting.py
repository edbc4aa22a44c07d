"""Functions that format values, and the console and the tables that commands print with."""

import math

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table


def percent(value: float | None) -> str:
    """Return a share from 0 to 1 as text in %, such as ``85.3`` (no percent sign); "-" for None."""
    return "-" if value is None else f"{100 * value:.1f}"


def percent_range(low: float | None, high: float | None) -> str:
    """Return an interval as text in %, such as ``83.0 to 87.2``; "" if either end is None."""
    return "" if low is None or high is None else f"{percent(low)} to {percent(high)}"


def points(value: float | None) -> str:
    """Return a difference, -1 to 1, as text in percentage points, such as ``+2.1``; "-" for None.

    NaN counts as None.
    """
    if value is None or math.isnan(value):
        return "-"
    # Adding 0.0 turns -0.0 into 0.0: values that round to zero are all printed as +0.0.
    return f"{round(100 * value, 1) + 0.0:+.1f}"


def points_range(low: float | None, high: float | None) -> str:
    """Return the interval of a difference in percentage points, such as ``-0.5 to +2.1``.

    It is an empty string if either end is None or NaN.
    """
    ends = (points(low), points(high))
    return "" if "-" in ends else " to ".join(ends)


def sentence_case(words: str) -> str:
    """Return a text with its first letter in upper case and all other letters unchanged."""
    return words[:1].upper() + words[1:]


def new_console() -> Console:
    """Return a rich console that prints to stdout, and prints brackets in texts as they are."""
    # Without markup=False, rich would interpret brackets in paths and texts as markup. A pipe has
    # no width of its own.
    console = Console(highlight=False, markup=False)
    return console if console.is_terminal else Console(highlight=False, markup=False, width=400)


def new_table(*columns: str) -> Table:
    """Return an empty rich table with these headings; columns after the first are right-aligned."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column(columns[0], no_wrap=True)
    for column in columns[1:]:
        table.add_column(column, justify="right")
    return table
