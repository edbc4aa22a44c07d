"""The published results of a benchmark, and whether a run may be shown beside them.

A published row declares apart how its epoch and its threshold were chosen, as far as the paper or
the authors' public code says: on the test part itself ("test"), not at all ("fixed at 0.5"), or
"undeclared". Classes that exclude each other have no threshold ("none"): the class with the highest
score is decided.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from fauds import resources
from fauds.evaluation.results import EXTERNAL, Results
from fauds.protocols import benchmark as protocols

PUBLISHED_KEYS = ["method", "venue", "source", "epoch_selection", "threshold_selection"]


@dataclass(frozen=True)
class ChosenRow:
    """How the epoch and the threshold of a run's row beside published rows were chosen.

    Attributes:
        selection: the name of the selection in results.json; None for the headline.
        words: the selection in words; None for the headline.
        epoch: how the epoch was chosen: "test", or as `Protocol.selection` says: "last",
            "validation" or, for external predictions, "elsewhere".
        threshold: how the threshold was chosen: "fixed at 0.5", "test", or "none" for classes.
    """

    selection: str | None
    words: str | None
    epoch: str
    threshold: str


def rows_beside_published(results: Results, metric: str) -> list[ChosenRow]:
    """Return the rows that a run has beside published ones: its headline, and others like theirs.

    The others choose the epoch, or the epoch and the threshold, that is best on the test part, as
    some published methods do; a run has them if it was tested after every epoch.

    Args:
        results: the results of the run.
        metric: the name of the metric, such as "f1".
    """
    has_threshold = results.protocol.predicts.has_threshold
    fixed = f"fixed at {results.protocol.threshold:g}" if has_threshold else "none"
    rows = [
        ChosenRow(None, None, results.protocol.selection, fixed),
        ChosenRow("best_test_epoch", "epoch best on the test part", "test", fixed),
        ChosenRow(
            "best_test_epoch_and_threshold",
            "epoch and threshold best on the test part",
            "test",
            "test",
        ),
    ]
    if not has_threshold:
        rows.pop()
    return [
        row
        for row in rows
        if row.selection is None
        or results.row(metric, "mean_of_folds", selection=row.selection) is not None
    ]


def published_rows(results: Results, metric: str | None = None) -> pd.DataFrame | None:
    """Return the published results that may be shown beside a run.

    Published results may be shown only if the run has real faces, and the version and the folds
    that the benchmark has.

    Args:
        results: the results of the run.
        metric: the metric's title in the table of published figures, such as "F1" or "accuracy";
            None for that of the target's main metric.

    Returns:
        A table with one row per published method, in ascending order of the value over all: the
        columns `PUBLISHED_KEYS`, the benchmark's AUs or classes (NaN where none is published) and
        "Avg", the value over all of them, in %, and "off". "off" is true if the published average
        differs by more than 0.1 from the mean of the published values of the AUs, and false if
        values of some AUs are missing (NaN). None if no published results may be shown.
    """
    if (
        results.synthetic
        or not (resources.root("benchmarks") / f"{results.benchmark}.yaml").exists()
    ):
        return None
    benchmark = protocols.benchmark(results.benchmark)
    if benchmark.published is None or not _is_own(results, benchmark):
        return None
    target = benchmark.target
    rows = _rows(benchmark.published, metric or target.titles[target.main_metric])
    if not len(rows):
        return None
    names = list(target.names)
    table = rows.pivot(index=PUBLISHED_KEYS, columns="au", values="value_percent")
    table = table.reindex(columns=[*names, "Avg"]).sort_values("Avg")
    means = table[names].mean(axis=1, skipna=False)
    table["off"] = (means - table["Avg"]).abs() > 0.1 + 1e-9
    return table.reset_index()


def _rows(file: str, metric: str) -> pd.DataFrame:
    rows = pd.read_csv(resources.path("benchmarks", file))
    return rows[rows["metric"] == metric]


def chosen_how(benchmark: protocols.Benchmark, what: str) -> dict[str, list[str]]:
    """Return how the published methods of a benchmark chose their epoch or their threshold.

    Args:
        benchmark: a benchmark with published figures.
        what: "epoch" or "threshold".

    Returns:
        Maps "test" (the best on the test part), "fixed at 0.5", "none" or "undeclared" to the
        names of the methods with a published value of the main metric that chose so, in the order
        of the file.
    """
    if benchmark.published is None:
        return {}
    rows = _rows(benchmark.published, benchmark.target.titles[benchmark.target.main_metric])
    return {
        str(how): list(dict.fromkeys(methods))
        for how, methods in rows.groupby(f"{what}_selection")["method"]
    }


def without_like_for_like(
    benchmark: protocols.Benchmark, training: Mapping[str, object]
) -> str | None:
    """Return a note that a run cannot show a figure that is chosen as some published ones are.

    Published methods that keep the epoch, or the epoch and the threshold, that is best on the test
    part can be compared like for like only with a run that was tested after every epoch.

    Args:
        benchmark: the benchmark of the run.
        training: the values of the run's settings of training.

    Returns:
        The note, two sentences. None if the run is tested after every epoch, or no published
        method of the benchmark chooses on the test part.
    """
    methods = chosen_how(benchmark, "epoch").get("test", [])
    if training.get("watch_test") or training.get("validation_subjects") or not methods:
        return None
    thresholds = chosen_how(benchmark, "threshold").get("test", [])
    too = f"; some also the threshold that is ({', '.join(thresholds)})" if thresholds else ""
    return (
        f"Some published methods report the epoch that is best on the test part "
        f"({', '.join(methods)}){too}. Without training.watch_test=true a run is not tested after "
        "every epoch, and cannot show later the row that is chosen in the same way."
    )


def like_for_like_note(results: Results) -> str:
    """Return `without_like_for_like` of a finished run; "" if it has such rows or needs no note."""
    if results.protocol.selection == EXTERNAL or published_rows(results) is None:
        return ""
    training = results.settings.get("training", {})
    return without_like_for_like(protocols.benchmark(results.benchmark), training) or ""


def _is_own(results: Results, benchmark: protocols.Benchmark) -> bool:
    parts: dict[int, tuple[str, ...]] = benchmark.folds.parts if benchmark.folds else {}
    if benchmark.folds is not None and benchmark.folds.rule == "release":
        parts = {1: ("test",)}
    return (
        results.benchmark_version == benchmark.version
        and results.protocol.folds == getattr(benchmark.folds, "name", None)
        and results.protocol.test_subjects == {fold: sorted(part) for fold, part in parts.items()}
    )


def lacking(results: Results) -> str:
    """Return how many frames of the complete release the run lacks, in words; "" if it lacks none.

    The benchmark states the number of frames of the complete release.
    """
    expected = protocols.benchmark(results.benchmark).expected
    if expected is None:
        return ""
    tested = (expected.frames_per_split or {}).get("test", expected.frames)
    short = tested - results.frames_scored
    return f"{short:,} frames fewer than published" if short > 0 else ""
