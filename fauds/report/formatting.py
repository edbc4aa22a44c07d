"""The console and the tables that commands print to."""

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table


def percent(value: float | None) -> str:
    """Return a figure in %, without the sign; "-" where there is none."""
    return "-" if value is None else f"{100 * value:.1f}"


def percent_range(low: float | None, high: float | None) -> str:
    """Return an interval in %, ``83.0 to 87.2``; "" where there is none."""
    return "" if low is None or high is None else f"{percent(low)} to {percent(high)}"


def sentence_case(words: str) -> str:
    """Return words with a capital letter at their beginning, the others as they are."""
    return words[:1].upper() + words[1:]


def new_console() -> Console:
    """Return the console of stdout."""
    # Markup off: paths and texts may hold brackets. A pipe has no width of its own.
    console = Console(highlight=False, markup=False)
    return console if console.is_terminal else Console(highlight=False, markup=False, width=400)


def new_table(*columns: str) -> Table:
    """Return a table with these heads; the first column is text, the others are figures."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column(columns[0], no_wrap=True)
    for column in columns[1:]:
        table.add_column(column, justify="right")
    return table
