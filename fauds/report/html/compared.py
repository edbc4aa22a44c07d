"""Tables that compare runs with each other and with published methods."""

import math
from collections.abc import Sequence

from fauds.report.formatting import percent, sentence_case
from fauds.report.html.runs import SWITCHES, ReportedRun, comparable
from fauds.report.published import lacking, published_rows, rows_beside_published
from fauds.report.tables import Cell, Row, Table, best_of_columns, best_of_rows, figure

_WORDS = {
    "local_word_top5": "Words of one AU, top 5",
    "global_word_top5": "Words of the face, top 5",
}


def overview(runs: Sequence[ReportedRun]) -> Table | None:
    """Return a table of the main results of several runs and of the settings that differ.

    Return None for a single run.
    """
    if len(runs) < 2:
        return None
    overall = {m: sentence_case(name) for m, name in runs[0].target.overall.items()}
    titles = {**overall, **_WORDS}
    shown = {m: title for m, title in titles.items() if any(run.row(m) for run in runs)}
    table = Table(
        caption="The runs of this page, means of folds, in %",
        head=("Run", *shown.values(), "What differs"),
        rows=tuple(
            Row(
                f"{run.letter}: {run.title}",
                (
                    *(figure(run.row(metric)) for metric in shown),
                    Cell(", ".join(run.differs) or "no setting"),
                ),
            )
            for run in runs
        ),
        note=""
        if comparable(runs)
        else "The runs were not scored on the same frames by the same "
        "protocol: none is marked as the best.",
    )
    return _marked(table, len(shown)) if comparable(runs) else table


def _marked(table: Table, figures: int) -> Table:
    """Return the table with the best value of each column marked.

    Args:
        table: the table.
        figures: the number of columns that hold values, counted after the row names. Later columns
            hold text and are not marked.
    """
    texts = [row.cells[figures:] for row in table.rows]
    cut = [Row(row.name, row.cells[:figures], row.total) for row in table.rows]
    marked = best_of_columns(Table(table.caption, table.head, tuple(cut), table.note))
    rows = [
        Row(row.name, (*row.cells, *rest), row.total)
        for row, rest in zip(marked.rows, texts, strict=True)
    ]
    return Table(table.caption, table.head, tuple(rows), table.note)


def by_au(runs: Sequence[ReportedRun]) -> Table | None:
    """Return a table of the main metric: a row per AU, a column per run; None for a single run.

    The best run of each row is marked if all were scored on the same frames by the same protocol.
    """
    if len(runs) < 2:
        return None
    target, first = runs[0].target, runs[0].main_metric
    aus, total = target.names, sentence_case(target.total)
    title = sentence_case(target.titles[first])
    table = Table(
        caption=f"{title} by {target.noun} and run, means of folds, in %",
        head=(sentence_case(target.noun), *(run.letter for run in runs)),
        rows=tuple(
            Row(au or total, tuple(figure(run.row(first, au=au)) for run in runs), not au)
            for au in (*aus, None)
        ),
    )
    return best_of_rows(table) if comparable(runs) else table


def ablation(runs: Sequence[ReportedRun]) -> Table | None:
    """Return a table of what each part of the VL-FAU model adds, after Table 4 of its paper.

    Settings switch three parts on and off: branches for each AU (MARL), and, as further aims of
    training, descriptions of single AUs (LLGA) and of the face (GLGA). Return None if all runs have
    the same parts. The paper: Ge et al., ACM Multimedia 2024.
    """
    ablated = [run for run in runs if run.switches is not None]
    if len({run.switches for run in ablated}) < 2:
        return None
    ablated.sort(key=lambda run: _place(run.switches or ()))
    aus = ablated[0].results.protocol.aus
    words = [name for name in ("local_word_top5", "global_word_top5") if _any(ablated, name)]
    names = {"local_word_top5": "LLGA words", "global_word_top5": "GLGA words"}
    table = Table(
        caption="What each part of the model adds: F1 and words among the first five, in %",
        head=("Run", *SWITCHES.values(), *aus, "Mean F1", *(names[word] for word in words)),
        rows=tuple(
            Row(
                run.letter,
                (
                    *(Cell("yes" if on else "no") for on in run.switches or ()),
                    *(figure(run.row("f1", au=au)) for au in (*aus, None)),
                    *(figure(run.row(word)) for word in words),
                ),
            )
            for run in ablated
        ),
        note=_others(ablated),
    )
    return best_of_columns(table, len(SWITCHES)) if comparable(ablated) else table


def _place(switches: tuple[bool, ...]) -> tuple[int, bool]:
    """Return the sort key of a run in the ablation table: runs with the fewest parts come first.

    Args:
        switches: whether each of the model's parts MARL, LLGA and GLGA is on. Among runs with
            equally many parts, those without GLGA come first.
    """
    return sum(switches), bool(switches) and switches[-1]


def _any(runs: Sequence[ReportedRun], metric: str) -> bool:
    return any(run.value(metric) is not None for run in runs)


def _others(runs: Sequence[ReportedRun]) -> str:
    """Return a note for the ablation table: what its columns mean, and what else differs."""
    switches = {f"model.{name}" for name in SWITCHES}
    keys = {change.partition("=")[0] for run in runs for change in run.differs} - switches
    meaning = (
        "MARL: branches for each action unit. LLGA and GLGA: descriptions of one action unit and "
        "of the face as further aims of training."
    )
    return meaning + (f" The runs also differ in {', '.join(sorted(keys))}." if keys else "")


def published(runs: Sequence[ReportedRun], metric: str | None = None) -> Table | None:
    """Return a table of published results by AU or class, with the runs' own results below.

    Return None if there are no such results, or the runs may not be compared with them or with each
    other.

    Args:
        runs: the runs of the page.
        metric: the metric's name, such as "f1" or "accuracy"; None for the target's main metric.
    """
    target = runs[0].target
    metric = metric or target.main_metric
    title = target.titles[metric]
    rows = published_rows(runs[0].results, title)
    if rows is None or not comparable(runs):
        return None
    aus = runs[0].results.protocol.aus
    theirs = [
        Row(
            f"{row['method']} ({row['venue']})",
            (
                *(_printed(row[au]) for au in (*aus, "Avg")),
                Cell(str(row["epoch_selection"])),
                Cell(str(row["threshold_selection"])),
                Cell(f"{row['source']}{'; its average does not fit' if row['off'] else ''}"),
            ),
        )
        for _, row in rows.iterrows()
    ]
    ours = [row for run in runs for row in _beside_published(run, metric, alone=len(runs) == 1)]
    table = Table(
        caption=f"Published {title} by {target.noun}, in %",
        head=("Method", *aus, sentence_case(target.total), "Epoch chosen", "Threshold", "Source"),
        rows=(*theirs, *ours),
    )
    return _marked(table, len(aus) + 1)


def _beside_published(run: ReportedRun, metric: str, *, alone: bool) -> list[Row]:
    """Return the rows of a run: its headline, and those chosen as published methods choose."""
    name = f"{run.title}, this run" if alone else f"{run.title}, run {run.letter}"
    aus, source = (*run.results.protocol.aus, None), Cell(lacking(run.results) or "this page")
    return [
        Row(
            name if row.words is None else f"{name}, {row.words}",
            (
                *(figure(run.row(metric, au=au, selection=row.selection)) for au in aus),
                Cell(row.epoch),
                Cell(row.threshold),
                source,
            ),
            total=True,
        )
        for row in rows_beside_published(run.results, metric)
    ]


def _printed(value: float) -> Cell:
    """Return a table cell with a published value in %; "-" if the value is NaN (not published)."""
    return Cell("-" if math.isnan(value) else f"{value:.1f}")


def balance_words(runs: Sequence[ReportedRun]) -> list[str]:
    """Return a sentence for each run: the range and the variance of its main metric over AUs."""
    sentences = []
    for run in runs:
        values = [run.value(run.main_metric, au=au) for au in run.results.protocol.aus]
        defined = [value for value in values if value is not None]
        if defined:
            name = f"Run {run.letter}" if len(runs) > 1 else "This run"
            sentences.append(
                f"{name}: {run.target.titles[run.main_metric]} from {percent(min(defined))} to "
                f"{percent(max(defined))} %, variance {variance(defined):.1f} (in squared %)."
            )
    return sentences


def variance(values: Sequence[float]) -> float:
    """Return the population variance, in squared %, of values given as shares from 0 to 1."""
    percents = [100 * value for value in values]
    mean = sum(percents) / len(percents)
    return sum((value - mean) ** 2 for value in percents) / len(percents)
