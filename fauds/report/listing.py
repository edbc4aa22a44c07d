"""Lists the runs of a workdir with their settings, progress and main results."""

import csv
import io
import re
import shlex
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import yaml
from rich.table import Table

from fauds.errors import FaudsError
from fauds.evaluation import results as results_file
from fauds.evaluation.results import EXTERNAL, Results
from fauds.protocols import folds as folding
from fauds.report.formatting import new_console, new_table, percent, percent_range
from fauds.tables import store
from fauds.tables.paths import FOLDS, RESULTS, SETTINGS

FINISHED, UNFINISHED, BROKEN = "finished", "unfinished", "broken"


@dataclass(frozen=True)
class ListedRun:
    """A row of the list of runs.

    Attributes:
        name: the name of the run's folder.
        dataset: the dataset whose folder holds the run.
        folder: the path of the run's folder.
        begun: when the run began, in local time, such as ``2026-11-21 16:20:26``.
        state: finished, unfinished or broken.
        synthetic: whether the data are synthetic; None as long as the run has no results.
        model: the model's name; None if the settings cannot be read.
        preset: the name of the model's preset; None if the settings cannot be read.
        seed: the training seed; None for external predictions.
        folds_done: the number of folds with predictions.
        folds: the number of folds to run; None if not known.
        f1: the mean of the main metric over AUs and folds, 0 to 1; None without results.
        low: the lower end of the 95 % interval of `f1`; None without an interval.
        high: the upper end of the 95 % interval of `f1`; None without an interval.
        changes: the settings that differ from the preset, as ``key=value``.
        go_on: for an unfinished run, the command that finishes it (or scores its external
            predictions again); else None.
        problem: for a broken run, why it cannot be read; else None.
        metric: the title of the main metric, such as "F1"; "" without results.
    """

    name: str
    dataset: str
    folder: str
    begun: str
    state: str
    synthetic: bool | None = None
    model: str | None = None
    preset: str | None = None
    seed: int | None = None
    folds_done: int = 0
    folds: int | None = None
    f1: float | None = None
    low: float | None = None
    high: float | None = None
    changes: tuple[str, ...] = ()
    go_on: str | None = None
    problem: str | None = None
    metric: str = ""


def list_runs(workdir: Path, dataset: str | None = None) -> list[ListedRun]:
    """Return the runs of a workdir, sorted by dataset, then by when they began (oldest first).

    A run whose files cannot be read is listed as broken, with the reason.

    Args:
        workdir: the folder that holds one folder per dataset.
        dataset: the dataset whose runs to list; all datasets if None.
    """
    folders = [workdir / dataset] if dataset else workdir.glob("*")
    places = [path for folder in folders for path in folder.glob(f"runs/*/{SETTINGS}")]
    runs = [_listed(path.parent, workdir) for path in places]
    return sorted(runs, key=lambda run: (run.dataset, run.begun, run.name))


def _listed(folder: Path, workdir: Path) -> ListedRun:
    fields: dict[str, Any] = {
        "name": folder.name,
        "dataset": folder.parent.parent.name,
        "folder": str(folder),
        "begun": _begun(folder),
    }
    try:
        saved = yaml.safe_load((folder / SETTINGS).read_text(encoding="utf-8"))
        fields |= _of_settings(saved) | _of_folds(folder, saved)
        if not (folder / RESULTS).exists():
            return ListedRun(**fields, state=UNFINISHED, go_on=_go_on(folder, saved, workdir))
        fields |= _of_results(results_file.read(folder))
        return ListedRun(**fields, state=FINISHED)
    except FaudsError as error:
        problem = error.what
    except (yaml.YAMLError, OSError, LookupError, ValueError, TypeError, AttributeError) as error:
        problem = f"{SETTINGS} cannot be read: {str(error).splitlines()[0]}"
    return ListedRun(**fields, state=BROKEN, problem=problem)


def _go_on(folder: Path, saved: dict[str, Any], workdir: Path) -> str:
    """Return the shell command that resumes a run, or that scores external predictions again.

    Args:
        folder: the folder of the run.
        saved: the contents of the run's settings file.
        workdir: the folder that holds one folder per dataset.
    """
    options = ["--dataset", folder.parent.parent.name, "--workdir", str(workdir)]
    if saved.get("preset") != EXTERNAL:
        return shlex.join(["fauds", "bench", *options, "--resume", folder.name])
    settings = saved["settings"]
    name = ["--name", saved["model"], "--missing", settings["missing"]]
    return shlex.join(["fauds", "score", settings["predictions"], *options, *name])


def _begun(folder: Path) -> str:
    """Return when a run began, as text.

    The time is that in the run's name, or else the time at which its settings were written.
    """
    named = re.search(r"-(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)(\d\d)(-\d+)?$", folder.name)
    if named:
        return "{}-{}-{} {}:{}:{}".format(*named.groups())
    written = (folder / SETTINGS).stat().st_mtime
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(written))


def _of_settings(saved: dict[str, Any]) -> dict[str, Any]:
    training = (saved.get("settings") or {}).get("training") or {}
    return {
        "model": saved.get("model"),
        "preset": saved.get("preset"),
        "changes": tuple(saved.get("changes") or ()),
        "seed": training.get("seed"),
    }


def _of_folds(folder: Path, saved: dict[str, Any]) -> dict[str, Any]:
    wanted = saved.get("folds")
    if not wanted:
        wanted = folding.fold_numbers(store.read_table(folder / FOLDS, ["fold"]))
    done = list(folder.glob("fold*/predictions.parquet"))
    return {"folds_done": len(done), "folds": len(wanted)}


def _of_results(results: Results) -> dict[str, Any]:
    fields = {"synthetic": results.synthetic, "model": results.model, "preset": results.preset}
    target = results.protocol.predicts
    row = results.row(target.main_metric, "mean_of_folds")
    if row is None:
        return fields
    metric = target.titles[target.main_metric]
    return {**fields, "f1": row.value, "low": row.low, "high": row.high, "metric": metric}


def show_runs(runs: Sequence[ListedRun]) -> None:
    """Print, for each dataset, a table of its runs and their settings; then how to finish runs."""
    console = new_console()
    for dataset, group in groupby(runs, key=lambda run: run.dataset):
        listed = list(group)
        synthetic = " (synthetic faces)" if any(run.synthetic for run in listed) else ""
        console.print(f"{dataset}{synthetic}", soft_wrap=True)
        console.print(_table(listed))
        for run in listed:
            settings = " ".join(filter(None, (run.model, run.preset, *run.changes)))
            console.print(f"{run.name}: {settings or run.state}", soft_wrap=True)
        console.print()
    for line in _notes(runs):
        console.print(line, soft_wrap=True)


def _table(runs: Sequence[ListedRun]) -> Table:
    metric = next((run.metric for run in runs if run.metric), "F1")
    table = new_table("run", "folds", f"{metric} %", "95 % interval", "seed", "begun")
    for run in runs:
        interval = percent_range(run.low, run.high) or "-"
        table.add_row(
            run.name,
            "-" if run.folds is None else f"{run.folds_done}/{run.folds}",
            percent(run.f1),
            interval if run.state == FINISHED else run.state,
            "-" if run.seed is None else str(run.seed),
            run.begun.partition(" ")[0],
        )
    return table


def _notes(runs: Sequence[ListedRun]) -> Iterator[str]:
    for run in runs:
        if run.go_on:
            yield f"unfinished: {run.name}; go on with: {run.go_on}"
        if run.problem:
            yield f"broken: {run.folder}: {run.problem}"


def as_data(runs: Sequence[ListedRun]) -> list[dict[str, Any]]:
    """Return the runs as a list of dictionaries, one per run, for a JSON file."""
    return [asdict(run) for run in runs]


def as_csv(runs: Sequence[ListedRun]) -> str:
    """Return the runs as CSV text with a header line; a run's changed settings share one field."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(ListedRun.__dataclass_fields__), lineterminator="\n")
    writer.writeheader()
    writer.writerows({**asdict(run), "changes": shlex.join(run.changes)} for run in runs)
    return text.getvalue()
