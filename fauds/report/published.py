"""The published results of a benchmark, and whether a run may be shown beside them."""

import pandas as pd

from fauds import resources
from fauds.evaluation.results import Results
from fauds.protocols import benchmark as protocols

PUBLISHED_KEYS = ["method", "venue", "source", "selection"]


def published_rows(results: Results, metric: str = "F1") -> pd.DataFrame | None:
    """Return the published results that may be shown beside a run.

    Published results may be shown only if the run has real faces, and the version and the folds
    that the benchmark has.

    Args:
        results: the results of the run.
        metric: "F1" or "accuracy".

    Returns:
        A table with one row per published method, in ascending order of the average: the columns
        `PUBLISHED_KEYS`, the benchmark's AUs and "Avg" in %, and "off". "off" is true if the
        published average differs by more than 0.1 from the mean of the published values of the AUs.
        None if no published results may be shown.
    """
    if (
        results.synthetic
        or not (resources.root("benchmarks") / f"{results.benchmark}.yaml").exists()
    ):
        return None
    benchmark = protocols.benchmark(results.benchmark)
    if benchmark.published is None or not _is_own(results, benchmark):
        return None
    rows = pd.read_csv(resources.path("benchmarks", benchmark.published))
    rows = rows[rows["metric"] == metric]
    aus = list(benchmark.aus)
    table = rows.pivot(index=PUBLISHED_KEYS, columns="au", values="value_percent")
    table = table[[*aus, "Avg"]].sort_values("Avg")
    table["off"] = (table[aus].mean(axis=1) - table["Avg"]).abs() > 0.1 + 1e-9
    return table.reset_index()


def _is_own(results: Results, benchmark: protocols.Benchmark) -> bool:
    parts = benchmark.folds.parts if benchmark.folds else {}
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
    short = expected.frames - results.frames_scored if expected else 0
    return f"{short:,} frames fewer than published" if short > 0 else ""
