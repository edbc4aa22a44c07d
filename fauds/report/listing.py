"""All runs of a workdir: what each was, how far it is, and what it found."""

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
from fauds.evaluation.results import ELSEWHERE, Results
from fauds.protocols import folds as folding
from fauds.report.formatting import new_console, new_table, percent, percent_range
from fauds.tables import store
from fauds.tables.paths import FOLDS, RESULTS, SETTINGS

FINISHED, UNFINISHED, BROKEN = "finished", "unfinished", "broken"


@dataclass(frozen=True)
class ListedRun:
    """A run as a list shows it.

    Attributes:
        begun: local time, ``2026-11-21 16:20:26``.
        state: finished, unfinished or broken.
        folds_done, folds: how many have predictions, and of how many.
        seed: None for predictions made elsewhere.
        changes: what differs from the preset, ``key=value``.
        f1, low, high: mean over AUs and folds with its interval, 0 to 1; None where there is none.
        go_on: the command that finishes an unfinished run, or scores predictions again.
        problem: what is wrong with a broken one.
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


def list_runs(workdir: Path, dataset: str | None = None) -> list[ListedRun]:
    """Return the runs of a workdir, of one dataset or of all, oldest first.

    A run whose files cannot be read is listed as broken, with the reason.
    """
    folders = [workdir / dataset] if dataset else workdir.glob("*")
    places = [path for folder in folders for path in folder.glob(f"runs/*/{SETTINGS}")]
    found = [_listed(path.parent, workdir) for path in places]
    return sorted(found, key=lambda run: (run.dataset, run.begun, run.name))


def _listed(folder: Path, workdir: Path) -> ListedRun:
    known: dict[str, Any] = {
        "name": folder.name,
        "dataset": folder.parent.parent.name,
        "folder": str(folder),
        "begun": _begun(folder),
    }
    try:
        saved = yaml.safe_load((folder / SETTINGS).read_text(encoding="utf-8"))
        known |= _of_settings(saved) | _of_folds(folder, saved)
        if not (folder / RESULTS).exists():
            return ListedRun(**known, state=UNFINISHED, go_on=_go_on(folder, saved, workdir))
        known |= _of_results(results_file.read(folder))
        return ListedRun(**known, state=FINISHED)
    except FaudsError as error:
        problem = error.what
    except (yaml.YAMLError, OSError, LookupError, ValueError, TypeError, AttributeError) as error:
        problem = f"{SETTINGS} cannot be read: {str(error).splitlines()[0]}"
    return ListedRun(**known, state=BROKEN, problem=problem)


def _go_on(folder: Path, saved: dict[str, Any], workdir: Path) -> str:
    """Return the command that finishes a run; predictions made elsewhere are scored again."""
    where = ["--dataset", folder.parent.parent.name, "--workdir", str(workdir)]
    if saved.get("preset") != ELSEWHERE:
        return shlex.join(["fauds", "bench", *where, "--resume", folder.name])
    made = saved["settings"]
    name = ["--name", saved["model"], "--missing", made["missing"]]
    return shlex.join(["fauds", "score", made["predictions"], *where, *name])


def _begun(folder: Path) -> str:
    """Return when a run was begun: as its name says, else when its settings were written."""
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
        wanted = folding.tested(store.read_table(folder / FOLDS, ["fold"]))
    done = list(folder.glob("fold*/predictions.parquet"))
    return {"folds_done": len(done), "folds": len(wanted)}


def _of_results(results: Results) -> dict[str, Any]:
    made = {"synthetic": results.synthetic, "model": results.model, "preset": results.preset}
    row = results.row(results.protocol.predicts.first, "mean_of_folds")
    return made if row is None else {**made, "f1": row.value, "low": row.low, "high": row.high}


def show_runs(runs: Sequence[ListedRun]) -> None:
    """Print a table a dataset, what each run was, and how to go on with the unfinished ones."""
    console = new_console()
    for dataset, group in groupby(runs, key=lambda run: run.dataset):
        mine = list(group)
        made_up = " (made-up faces)" if any(run.synthetic for run in mine) else ""
        console.print(f"{dataset}{made_up}", soft_wrap=True)
        console.print(_table(mine))
        for run in mine:
            what = " ".join(filter(None, (run.model, run.preset, *run.changes)))
            console.print(f"{run.name}: {what or run.state}", soft_wrap=True)
        console.print()
    for line in _notes(runs):
        console.print(line, soft_wrap=True)


def _table(runs: Sequence[ListedRun]) -> Table:
    table = new_table("run", "folds", "F1 %", "95 % interval", "seed", "begun")
    for run in runs:
        told = percent_range(run.low, run.high) or "-"
        table.add_row(
            run.name,
            "-" if run.folds is None else f"{run.folds_done}/{run.folds}",
            percent(run.f1),
            told if run.state == FINISHED else run.state,
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
    """Return the runs for a JSON file."""
    return [asdict(run) for run in runs]


def as_csv(runs: Sequence[ListedRun]) -> str:
    """Return the runs as CSV, a head and a line a run; changes are joined by blanks."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(ListedRun.__dataclass_fields__), lineterminator="\n")
    writer.writeheader()
    writer.writerows({**asdict(run), "changes": shlex.join(run.changes)} for run in runs)
    return text.getvalue()
