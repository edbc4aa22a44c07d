"""``--parallel folds``, ``--resume --fold`` and ``fauds merge``: folds that are run apart."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from shutil import copytree, rmtree

import pyarrow.parquet as pq
import pytest
import yaml

from fauds.tables import store
from tests.helpers import Cli, small, torchrun

pytestmark = pytest.mark.slow

OWN_TIME = ("seconds", "frames_per_second")
QUICK = small(texts=False)

BROKEN = """
import sys
from fauds.cli.main import main
from fauds.errors import DataError
from fauds.runs.fold import FoldRun

run = FoldRun.run

def broken(self, tensorboard):
    if self.fold == 3:
        raise DataError("The image is broken.", where="F001/1.jpg")
    run(self, tensorboard)

FoldRun.run = broken
main()
"""
"""A program that runs fauds, whose third fold fails at once."""


@pytest.fixture(scope="module")
def tables(six_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workdir with everything but runs: six subjects, three folds."""
    workdir = tmp_path_factory.mktemp("parallel") / "tables"
    with pytest.MonkeyPatch.context() as patch:
        cli = Cli(patch, None)
        where = ("--dataset", "bp4d", "--workdir", workdir)
        cli.quietly("build-captions", *where, "--root", six_root)
        cli.quietly("split", *where, "--method", "random")
        cli.quietly("prepare", *where, "--alignment", "none", "--workers", 1)
    return workdir


@pytest.fixture
def machine(tables: Path, tmp_path: Path) -> Callable[[str], Path]:
    """A function that returns a workdir of its own with the same tables."""
    return lambda name: Path(copytree(tables, tmp_path / name))


def bench(
    workdir: Path, *words: str, processes: int = 1, program: Sequence[str] = ("-m", "fauds")
) -> subprocess.CompletedProcess[str]:
    """Run ``fauds bench`` in processes of one thread each."""
    return subprocess.run(
        [*start(processes, program), *command(workdir, *words)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )


def start(processes: int, program: Sequence[str] = ("-m", "fauds")) -> list[str]:
    return [*(torchrun(processes) if processes > 1 else [sys.executable]), *program]


def command(workdir: Path, *words: str) -> list[str]:
    model = () if "--resume" in words else ("vlfau", *QUICK)
    return ["bench", *model, "--dataset", "bp4d", "--workdir", str(workdir), *words]


def only_run(workdir: Path) -> Path:
    (run,) = (workdir / "bp4d" / "runs").iterdir()
    return run


def results(run: Path) -> dict:
    """The results of a run, without its time."""
    values = json.loads((run / "results.json").read_text())
    assert values.pop("seconds") > 0
    return values


def fold_files(run: Path, fold: int) -> tuple[dict, bytes, list[dict]]:
    """The predictions, the weights, and the log without times of a fold."""
    folder = run / f"fold{fold}"
    lines = [json.loads(line) for line in (folder / "log.jsonl").open()]
    return (
        pq.read_table(folder / "predictions.parquet").to_pydict(),
        (folder / "weights.safetensors").read_bytes(),
        [{k: v for k, v in line.items() if k not in OWN_TIME} for line in lines],
    )


def assert_same(run: Path, whole: Path) -> None:
    """Assert that two runs have the same figures, fold by fold, to the last bit."""
    for fold in (1, 2, 3):
        assert fold_files(run, fold) == fold_files(whole, fold)
    assert results(run) == results(whole)


@pytest.fixture(scope="module")
def whole(tables: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished run of one process, which trains three folds one after the other."""
    workdir = Path(copytree(tables, tmp_path_factory.mktemp("whole") / "workdir"))
    done = bench(workdir)
    assert done.returncode == 0, done.stderr
    return only_run(workdir)


@pytest.mark.parametrize("processes", [2, pytest.param(3, marks=pytest.mark.exhaustive)])
def test_folds_trained_at_the_same_time_have_the_figures_of_one_process(
    whole: Path, machine: Callable[[str], Path], processes: int
) -> None:
    workdir = machine("parallel")
    done = bench(workdir, "--parallel", "folds", processes=processes)
    assert done.returncode == 0, done.stderr
    assert_same(only_run(workdir), whole)
    # Tables and results are shown once; every fold says how far it is.
    assert done.stdout.count("F1 %") == 1
    for fold in (1, 2, 3):
        assert done.stderr.count(f"fold {fold}, epoch 2 of 2: loss ") == 1
        assert f"fold {fold}, part {fold}: testing" in done.stderr


@pytest.mark.exhaustive
def test_two_processes_of_a_group_train_as_two_processes_without_groups(
    machine: Callable[[str], Path],
) -> None:
    together, apart = machine("together"), machine("apart")
    words = ("--set", "training.epochs=1", "--fold", "1")
    done = bench(together, *words, processes=2)
    assert done.returncode == 0, done.stderr
    done = bench(apart, *words, "--fold", "2", "--parallel", "folds", processes=4)
    assert done.returncode == 0, done.stderr
    assert results(only_run(apart))["computed_on"] == ["CPU, float32, 2 processes"]
    expected, _, log = fold_files(only_run(together), 1)
    predictions, _, own_log = fold_files(only_run(apart), 1)
    assert predictions["frame_id"] == expected["frame_id"]
    assert predictions["AU12"] == pytest.approx(expected["AU12"], abs=1e-6)
    assert [line["total"] for line in own_log] == pytest.approx([line["total"] for line in log])


@pytest.mark.exhaustive
def test_a_killed_group_ends_all_and_the_printed_command_goes_on_to_the_same_figures(
    whole: Path, machine: Callable[[str], Path]
) -> None:
    workdir = machine("killed")
    launched = subprocess.Popen(
        [*start(3), *command(workdir, "--parallel", "folds")],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    runs = workdir / "bp4d" / "runs"
    until = time.monotonic() + 200
    while not list(runs.glob("*/fold*/checkpoint-epoch1.safetensors")):
        assert time.monotonic() < until and launched.poll() is None
        time.sleep(0.01)
    os.kill(child(launched.pid, rank=1), signal.SIGKILL)
    _, errors = launched.communicate(timeout=60)
    assert launched.returncode != 0
    assert not (only_run(workdir) / "results.json").exists()
    (again,) = (line.split("Go on with: ")[1] for line in errors.splitlines() if "Go on" in line)
    launcher, number, count, *words = shlex.split(again)
    assert (launcher, number, count) == ("torchrun", "--nproc-per-node", "3")
    done = subprocess.run(
        [*torchrun(3), *words],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "resuming after epoch 1" in done.stderr
    assert_same(only_run(workdir), whole)


def child(launcher: int, rank: int) -> int:
    """Return the id of a process that torchrun started, by its rank."""
    for number in Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split():
        if f"RANK={rank}\0" in Path(f"/proc/{number}/environ").read_text().replace("LOCAL_", "_"):
            return int(number)
    raise LookupError(f"there is no process of rank {rank}")


def test_an_error_in_one_group_ends_all_with_one_message_and_finished_folds_are_kept(
    machine: Callable[[str], Path], tmp_path: Path
) -> None:
    program = tmp_path / "broken.py"
    program.write_text(BROKEN)
    workdir = machine("broken")
    done = bench(workdir, "--parallel", "folds", processes=2, program=[str(program)])
    assert done.returncode != 0
    assert done.stderr.count("Error: The image is broken.") == 1
    assert done.stderr.count("Go on with: torchrun --nproc-per-node 2 -m fauds bench") == 1
    kept = {path.parent.name for path in only_run(workdir).glob("fold*/predictions.parquet")}
    assert kept and kept <= {"fold1", "fold2"}
    assert not (only_run(workdir) / "results.json").exists()


def test_a_run_is_resumed_for_one_fold_and_scored_when_no_fold_is_missing(
    whole: Path, cli: Cli, tmp_path: Path
) -> None:
    workdir = Path(copytree(whole.parents[2], tmp_path / "workdir"))
    run = only_run(workdir)
    (run / "results.json").unlink()
    for fold in (1, 3):
        (run / f"fold{fold}" / "predictions.parquet").unlink()
    resume = ("bench", "--dataset", "bp4d", "--workdir", workdir, "--resume", run.name)
    outcome = cli(*resume, "--fold", 7)
    assert outcome.code == 2 and f"Fold 7 is not one of the run {run.name}" in outcome.err
    outcome = cli(*resume, "--fold", 3)
    assert outcome.code == 0, outcome.err
    assert "Not finished: fold 1. Go on with: fauds bench" in outcome.err
    assert not (run / "fold1" / "predictions.parquet").exists()
    assert not (run / "results.json").exists() and not outcome.out
    assert "F1 %" in cli.ok(*resume, "--fold", 1)
    assert results(run)["summary"]["f1"] == pytest.approx(results(whole)["summary"]["f1"])


@pytest.fixture(scope="module")
def parts(tables: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run of folds 1 and 3, and one of fold 2 that another machine made."""
    runs = []
    for name, folds in (("here", ("1", "3")), ("elsewhere", ("2",))):
        workdir = Path(copytree(tables, tmp_path_factory.mktemp(name) / "workdir"))
        done = bench(workdir, *(word for fold in folds for word in ("--fold", fold)))
        assert done.returncode == 0, done.stderr
        runs.append(only_run(workdir))
    return runs[0], runs[1]


def test_merged_runs_are_the_run_of_all_folds(
    whole: Path, parts: tuple[Path, Path], cli: Cli, tmp_path: Path
) -> None:
    here, elsewhere = parts
    workdir = Path(copytree(here.parents[2], tmp_path / "workdir"))
    merge = ("merge", "--dataset", "bp4d", "--workdir", workdir)
    out = cli.ok(*merge, here.name, elsewhere)
    assert "F1 %" in out
    (run,) = (path for path in (workdir / "bp4d" / "runs").iterdir() if path.name != here.name)
    assert_same(run, whole)
    files = {path.relative_to(run) for path in run.rglob("*")}
    assert files == {path.relative_to(whole) for path in whole.rglob("*")} | {Path(".lock")}
    rmtree(run)
    # Without fold 3, the results are those of two folds.
    rmtree(workdir / "bp4d" / "runs" / here.name / "fold3")
    outcome = cli(*merge, elsewhere, here.name)
    assert outcome.code == 0, outcome.err
    assert "No run has finished fold 3: the results are of fold 1, 2 only." in outcome.err


def in_settings(run: Path, change: Callable[[dict], object]) -> None:
    values = yaml.safe_load((run / "settings.yaml").read_text())
    change(values)
    (run / "settings.yaml").write_text(yaml.safe_dump(values))


def in_measured(run: Path, change: Callable[[dict], object]) -> None:
    values = json.loads((run / "fold2" / "measured.json").read_text())
    change(values)
    (run / "fold2" / "measured.json").write_text(json.dumps(values))


def other_folds(run: Path, _: object) -> None:
    path = run / "folds.parquet"
    table = store.read_table(path)
    reverse = table.set_column(
        table.schema.get_field_index("subject"),
        "subject",
        table["subject"].take([5, 4, 3, 2, 1, 0]),
    )
    store.write_table(path, reverse, store.read_meta(path))


@pytest.mark.parametrize(
    ("edit", "change", "code", "message"),
    [
        (
            in_settings,
            lambda values: values["settings"]["training"].update(epochs=3),
            1,
            "settings of the runs differ: training.epochs is 3, but 2 in",
        ),
        (
            in_settings,
            lambda values: values["made_from"].update(faces="other"),
            1,
            "The faces of this run are not those in the workdir",
        ),
        (
            in_settings,
            lambda values: values.update(benchmark="disfa"),
            2,
            "is a run of disfa, not of bp4d",
        ),
        (
            in_measured,
            lambda values: values["versions"].update(torch="1.0"),
            1,
            "Fold 2 was trained with other versions than those installed here: torch 1.0 instead",
        ),
        (
            in_measured,
            lambda values: values.pop("versions"),
            1,
            "torch of an unknown version instead of",
        ),
        (other_folds, None, 1, "The folds of the runs differ"),
        (lambda run, _: rmtree(run / "fold2"), None, 2, "has no finished fold"),
    ],
)
def test_runs_that_differ_in_more_than_their_folds_are_not_merged(
    parts: tuple[Path, Path], cli: Cli, tmp_path: Path, edit, change, code, message
) -> None:
    here, elsewhere = parts
    other = Path(copytree(elsewhere, tmp_path / "other"))
    edit(other, change)
    merge = ("merge", "--dataset", "bp4d", "--workdir", here.parents[2])
    outcome = cli(*merge, here.name, other)
    assert (outcome.code, outcome.out) == (code, "")
    assert message in outcome.err
    assert only_run(here.parents[2]) == here


def test_a_fold_is_not_merged_twice(parts: tuple[Path, Path], cli: Cli) -> None:
    here, elsewhere = parts
    merge = ("merge", "--dataset", "bp4d", "--workdir", here.parents[2])
    outcome = cli(*merge, here.name, elsewhere, here)
    assert outcome.code == 2 and "Fold 1 is finished in two runs" in outcome.err
    outcome = cli(*merge, here.name)
    assert outcome.code == 2 and "only one run" in outcome.err
