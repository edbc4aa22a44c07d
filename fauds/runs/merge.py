"""Joins the folds of several runs of one model with the same settings into one run."""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from fauds.errors import DataError, UsageError
from fauds.protocols import folds as folding
from fauds.protocols.benchmark import Benchmark
from fauds.runs.fold import header
from fauds.runs.inputs import Inputs, load, planned_folds, read_folds
from fauds.runs.plan import Plan, changed_tables, new_folder, read_plan
from fauds.runs.run import Run
from fauds.settings import flattened
from fauds.tables import store
from fauds.tables.atomic import write_errors
from fauds.tables.paths import FOLDS, MEASURED, PREDICTIONS, RUNS, SETTINGS, fold_folder
from fauds.training import checkpoint
from fauds.version import versions

_WHAT_CAN_BE_MERGED = "merge only runs of the same command that differ by --fold"
_PATHS = {"model.backbone.weights"}
"""Settings that are paths, which may differ between machines though the files are the same."""


@contextmanager
def merge_runs(tables: Path, benchmark: Benchmark, sources: Sequence[Path]) -> Iterator[Run]:
    """Return a context manager that copies the finished folds of runs into a new run, and gives it.

    The runs may come from other machines if these had the same tables and versions of packages.
    Until the context manager ends, the folder of the new run is locked; after an error it is
    removed. The runs themselves are not changed.

    Args:
        tables: the folder of the dataset's tables: frames, captions, phrases, vocabulary.
        benchmark: the protocol.
        sources: the folders of the runs.

    Raises:
        UsageError: there are fewer than two runs, a run has no finished fold, or two runs have
            finished the same fold.
        DataError: the runs differ in settings, folds, versions of packages or tables, or their
            tables are not those of the dataset's folder; or a file cannot be read or written.
    """
    if len(sources) < 2:
        raise UsageError(
            "There is only one run, which cannot be merged.", where="RUN", hint=_WHAT_CAN_BE_MERGED
        )
    for source in sources:
        if not source.is_dir():
            raise UsageError(
                "A run is merged from its folder, but this is a file.",
                where=source,
                hint="name the folder of the run",
            )
    plans = [read_plan(source, benchmark) for source in sources]
    first = plans[0]
    for plan in plans[1:]:
        _check_same_run(first, plan)
    folds = read_folds(tables, first)
    owners = _owners(plans, folds)
    inputs = load(tables, first)
    for plan in plans:
        _check_tables(plan, inputs)
    for fold, plan in owners.items():
        _check_fold(plan, inputs, fold)
    is_whole = list(owners) == folding.fold_numbers(folds)
    merged = replace(
        first,
        folder=new_folder(tables / RUNS, first.model, first.preset),
        folds=() if is_whole else tuple(owners),
    )
    merged.claim()
    try:
        with store.lock(merged.folder):
            _copy(first.folder / FOLDS, merged.folder / FOLDS)
            for fold, plan in owners.items():
                _copy(fold_folder(plan.folder, fold), fold_folder(merged.folder, fold))
            # Written last: without this file, no command takes the folder for a run.
            merged.save(inputs.made_from)
            yield Run(merged, inputs, list(owners))
    except BaseException:
        shutil.rmtree(merged.folder)
        raise


def _check_same_run(first: Plan, other: Plan) -> None:
    """Check that two runs have the same model, preset, settings and folds."""
    values, others = (
        {
            "model": p.model,
            "preset": p.preset,
            **flattened(p.settings.model_dump(mode="json")),
        }
        for p in (first, other)
    )
    missing = "nothing"
    differences = [
        f"{key} is {others.get(key, missing)}, but {values.get(key, missing)} in "
        f"{first.folder.name}"
        for key in sorted((values.keys() | others.keys()) - _PATHS)
        if values.get(key, missing) != others.get(key, missing)
    ]
    if differences:
        raise DataError(
            f"The settings of the runs differ: {'; '.join(differences)}.",
            where=other.folder / SETTINGS,
            hint=_WHAT_CAN_BE_MERGED,
        )
    parts, other_parts = (read_folds(p.folder, p) for p in (first, other))
    if not parts.equals(other_parts):
        raise DataError(
            f"The folds of the runs differ: {first.folder.name} and {other.folder.name} assign "
            "subjects to folds differently.",
            where=other.folder / FOLDS,
            hint=f"{_WHAT_CAN_BE_MERGED}, and make the folds with the same fauds split",
        )


def _owners(plans: Sequence[Plan], folds: pa.Table) -> dict[int, Plan]:
    """Return, for each finished fold in ascending order, the plan of the run that finished it.

    Args:
        plans: the plans of the runs.
        folds: the table of folds, which is the same in all runs.
    """
    owners: dict[int, Plan] = {}
    for plan in plans:
        finished = [
            fold
            for fold in planned_folds(plan, folds)
            if (fold_folder(plan.folder, fold) / PREDICTIONS).exists()
        ]
        if not finished:
            raise UsageError(
                f"{plan.folder.name} has no finished fold.",
                where=plan.folder,
                hint="finish it with fauds bench --resume, or leave it out",
            )
        for fold in finished:
            if fold in owners:
                raise UsageError(
                    f"Fold {fold} is finished in two runs: {owners[fold].folder.name} and "
                    f"{plan.folder.name}.",
                    where=plan.folder,
                    hint="leave one of them out",
                )
            owners[fold] = plan
    return dict(sorted(owners.items()))


def _check_tables(plan: Plan, inputs: Inputs) -> None:
    """Check that a run was trained on the tables in the dataset's folder."""
    if changed := changed_tables(plan.folder, inputs.made_from):
        raise DataError(
            f"The {' and the '.join(changed)} of this run are not those in the workdir.",
            where=plan.folder / SETTINGS,
            hint="merge in the workdir that the run was made in, or in a copy of it: prepare the "
            "dataset once, and copy its folder to every machine",
        )


def _check_fold(plan: Plan, inputs: Inputs, fold: int) -> None:
    """Check that a fold was trained for this protocol, with the versions that are installed."""
    folder = fold_folder(plan.folder, fold)
    expected = header(plan, inputs, fold, ~inputs.test_frames(fold))
    trained = store.read_meta(folder / PREDICTIONS)["settings"]
    checkpoint.check(trained, expected, folder / PREDICTIONS)
    measured = json.loads((folder / MEASURED).read_text(encoding="utf-8"))
    installed, used = versions(), measured.get("versions", {})
    differences = [
        f"{name} {used.get(name, 'of an unknown version')} instead of {installed.get(name, 'none')}"
        for name in sorted(installed.keys() | used.keys())
        if used.get(name) != installed.get(name)
    ]
    if differences:
        raise DataError(
            f"Fold {fold} was trained with other versions than those installed here: "
            f"{', '.join(differences)}.",
            where=folder / MEASURED,
            hint="install the same versions on all machines, and run the fold again",
        )


def _copy(source: Path, target: Path) -> None:
    with write_errors(target):
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copyfile(source, target)
