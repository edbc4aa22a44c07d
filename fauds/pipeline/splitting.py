"""The step that assigns every subject to a fold, as the protocol lists or at random."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from fauds.errors import UsageError
from fauds.pipeline.workspace import Step, Workspace, unchanged
from fauds.protocols import folds as folding
from fauds.tables import store
from fauds.tables.schemas import SPLIT


def split(
    workspace: Workspace,
    frames: Step,
    k: int | None,
    method: str | None,
    seed: int,
    trained: Step | None = None,
) -> Step:
    """Assign every subject to a fold, unless the folds are up to date.

    Two tables are written: folds.parquet, which has the fold that tests each subject, and
    fold_statistics.parquet, which has the label counts of each fold. For the errors see
    `fauds.pipeline.project.Project.folds`.

    Args:
        workspace: the dataset's folder and protocol.
        frames: the finished step that read the frames.
        k: the number of folds; None for the number in the protocol, or 3 if the protocol lists no
            folds.
        method: "published" or "random"; None for published folds if the protocol lists k folds,
            otherwise random folds.
        seed: the seed of random folds.
        trained: for a joined protocol, which trains on one dataset and tests on another, the
            finished step that read the frames of the training dataset; otherwise None.
    """
    target = workspace.protocol.target
    columns = ["subject", "sex", *target.columns]
    splits = [SPLIT] if SPLIT in store.column_names(frames.path) else []
    labels = store.read_table(frames.path, columns + splits)
    counts = folding.count_subjects(labels, target)
    make_table, settings = _folds(workspace, counts, k, method, seed, trained)
    path = workspace.path("folds")
    meta = {
        "dataset": workspace.dataset,
        "synthetic": frames.meta["synthetic"],
        "inputs": frames.fingerprint,
        "settings": {**settings, "benchmark_version": workspace.protocol.version},
    }
    with store.lock(workspace.folder):
        if unchanged([path, workspace.path("fold_statistics")], meta):
            return Step(path, False, meta)
        table = make_table()
        folding.check_folds(table, counts.subjects)
        statistics = folding.fold_statistics(counts, table, target)
        store.write_table(workspace.path("fold_statistics"), statistics, meta)
        store.write_table(path, table, meta)
    return Step(path, True, meta)


def _folds(
    workspace: Workspace,
    counts: folding.LabelCounts,
    k: int | None,
    method: str | None,
    seed: int,
    trained: Step | None,
) -> tuple[Callable[[], pa.Table], dict[str, Any]]:
    """Return a function that makes the table of folds, and the settings that determine the table.

    For the arguments see `split`; `counts` are the label counts of all subjects.
    """
    listed = workspace.protocol.folds
    if workspace.protocol.is_joined:
        if k is not None or method is not None:
            raise UsageError(
                f"Folds cannot be chosen for {workspace.dataset}: it has a single fold, which "
                f"tests all subjects of {workspace.protocol.test}.",
                hint="leave out --folds and --method",
            )
        if trained is None:
            raise ValueError(f"trained must not be None: {workspace.dataset} joins two datasets")
        column = store.read_table(trained.path, ["subject"])["subject"]
        subjects = set(column.unique().to_pylist())
        settings = {"k": 1, "method": "across", "seed": None}
        return lambda: folding.cross_dataset_fold(counts, subjects, workspace.dataset), settings
    method, k = folding.choose_method(workspace.dataset, listed, len(counts.subjects), k, method)
    if listed is not None and method == "published":
        settings = {"k": k, "method": method, "seed": None}
        return lambda: folding.published_folds(counts, listed), settings
    settings = {"k": k, "method": method, "seed": seed}
    return lambda: folding.random_folds(counts, k, seed), settings
