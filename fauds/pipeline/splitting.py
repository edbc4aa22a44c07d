"""The step that puts every subject into a fold, by the protocol or by chance."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from fauds import folds as folding
from fauds import store
from fauds.errors import UsageError
from fauds.pipeline.joining import members
from fauds.step import Step, unchanged

if TYPE_CHECKING:
    from fauds.pipeline.project import Workspace


def split(space: "Workspace", frames: Step, k: int | None, method: str | None, seed: int) -> Step:
    """Write the tables of folds; see `fauds.pipeline.project.Workspace.folds`."""
    aus = space.benchmark.aus
    labels = store.read_table(frames.path, ["subject", "sex", *aus])
    counts = folding.count_subjects(labels, aus)
    made, settings = _folds(space, counts, k, method, seed)
    path = space.path("folds")
    meta = {
        "dataset": space.dataset,
        "synthetic": frames.meta["synthetic"],
        "inputs": frames.fingerprint,
        "settings": {**settings, "benchmark_version": space.benchmark.version},
    }
    with store.lock(space.folder):
        if unchanged([path, space.path("fold_statistics")], meta):
            return Step(path, False, meta)
        table = made()
        folding.check(table, counts.subjects)
        statistics = folding.statistics(counts, table, aus)
        store.write_table(space.path("fold_statistics"), statistics, meta)
        store.write_table(path, table, meta)
    return Step(path, True, meta)


def _folds(
    space: "Workspace", counts: folding.SubjectCounts, k: int | None, method: str | None, seed: int
) -> tuple[Callable[[], pa.Table], dict[str, Any]]:
    """Return what makes the folds, and the settings that decide them."""
    listed = space.benchmark.folds
    if space.benchmark.joins:
        if k is not None or method is not None:
            raise UsageError(
                f"{space.dataset} has one fold: it tests all of {space.benchmark.test}.",
                hint="leave --folds and --method out",
            )
        trained = store.read_table(members(space)[0].path("frames"), ["subject"])["subject"]
        subjects = set(trained.unique().to_pylist())
        settings = {"k": 1, "method": "across", "seed": None}
        return lambda: folding.across(counts, subjects, space.dataset), settings
    method, k = folding.choose(space.dataset, listed, len(counts.subjects), k, method)
    if method == "published":
        settings = {"k": k, "method": method, "seed": None}
        return lambda: folding.published(counts, listed), settings
    settings = {"k": k, "method": method, "seed": seed}
    return lambda: folding.random(counts, k, seed), settings
