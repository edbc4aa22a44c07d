"""``torchrun -m fauds bench``: several processes do what one does."""

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from shutil import copytree

import pyarrow.parquet as pq
import pytest
import torch

from tests.helpers import NO_TEXTS, SMALL, Cli, torchrun

pytestmark = pytest.mark.slow

SAME = (
    *SMALL,
    "model.backbone.args={embed_dim: 16, depths: [1, 1, 1, 1], num_heads: [1, 1, 2, 2], "
    "drop_path_rate: 0.0}",
    "model.dropout=0.0",
    "training.learning_rate=0.001",
    "training.batch_size=9",
)
"""Small, and without anything drawn in the layers. 96 frames make 11 steps, the last of 6."""


@pytest.fixture(scope="module")
def tables(bp4d_root, tmp_path_factory) -> Path:
    """A workdir with everything but runs: three subjects, three folds."""
    workdir = tmp_path_factory.mktemp("processes")
    with pytest.MonkeyPatch.context() as patch:
        cli = Cli(patch, None)
        where = ("--dataset", "bp4d", "--workdir", workdir)
        cli.quietly("build-captions", *where, "--root", bp4d_root)
        cli.quietly("split", *where, "--method", "random")
    return workdir


LATE = """
import os, sys, time
from functools import partial
from pathlib import Path
from sklearn import manifold
from fauds.cli.main import main
from fauds.pipeline import evaluating

end, leads, write = sys.argv.pop(1), os.environ["RANK"] == "0", evaluating.write_results

def late(*given):
    time.sleep(3)
    if end == "leader fails":
        raise OSError("the disk is full")
    write(*given)

evaluating.write_results = late if leads else None
manifold.TSNE = partial(manifold.TSNE, max_iter=250)
try:
    main()
finally:
    threads = [(task / "comm").read_text() for task in Path("/proc/self/task").iterdir()]
    # In one piece: two processes write here.
    sys.stderr.write(f"gloo's threads: {sum('gloo' in name for name in threads)}\\n")
    sys.stderr.flush()
    if not leads and end == "follower aborts":
        os.abort()
"""
"""A program that runs fauds, with a leader that is slow to write the results."""


def words_of(workdir: Path, root: Path, *changes: str) -> list[str]:
    words = ["bench", "vlfau", "--dataset", "bp4d", "--workdir", str(workdir)]
    words += ["--faces", str(root), "--fold", "1", "--preset", "tiny"]
    for change in (*SAME, *changes):
        words += ["--set", change]
    return words


def bench(
    processes: int,
    workdir: Path,
    root: Path,
    *changes: str,
    program: Sequence[str] = ("-m", "fauds"),
    **more: str,
) -> subprocess.CompletedProcess:
    return subprocess.run(
        [*torchrun(processes), *program, *words_of(workdir, root, *changes)],
        env={**os.environ, "OMP_NUM_THREADS": "1", **more},
        capture_output=True,
        text=True,
        timeout=300,
    )


def outcome(workdir: Path) -> tuple[list[dict], dict, dict]:
    """The log's lines, predictions as columns, and results of the only run."""
    (run,) = (workdir / "bp4d" / "runs").iterdir()
    lines = [json.loads(line) for line in (run / "fold1" / "log.jsonl").open()]
    predictions = pq.read_table(run / "fold1" / "predictions.parquet").to_pydict()
    return lines, predictions, json.loads((run / "results.json").read_text())


@pytest.fixture(scope="module")
def alone(tables, bp4d_root, quick_tsne, tmp_path_factory) -> tuple[list[dict], dict, dict]:
    """What one process comes to."""
    workdir = Path(copytree(tables, tmp_path_factory.mktemp("alone") / "workdir"))
    with pytest.MonkeyPatch.context() as patch:
        Cli(patch, None).quietly(*words_of(workdir, bp4d_root / "2D+3D"))
    return outcome(workdir)


@pytest.mark.parametrize(
    ("processes", "passes"), [(2, 3), pytest.param(2, 1, marks=pytest.mark.exhaustive)]
)
def test_processes_and_passes_reproduce_one(alone, tables, bp4d_root, tmp_path, processes, passes):
    workdir = Path(copytree(tables, tmp_path / "workdir"))
    shared = bench(processes, workdir, bp4d_root / "2D+3D", f"training.accumulate={passes}")
    assert shared.returncode == 0, shared.stderr
    assert shared.stdout.count("F1 %") == 1
    computing = "computing on CPU, float32, 2 processes: 5 faces per process in a step"
    assert shared.stderr.count(computing) == shared.stderr.count("estimated time: about") == 1
    lines, predictions, results = alone
    lines_shared, predictions_shared, results_shared = outcome(workdir)
    # Two epochs of 11 steps: the first line is that of step 20.
    assert lines[1]["step"] == 20
    for line, other in zip(lines, lines_shared, strict=True):
        assert other["total"] == pytest.approx(line["total"], abs=1e-4)
    for name in ("subject", "task", "frame", "frame_id", "fold"):
        assert predictions_shared[name] == predictions[name]
    assert predictions_shared["AU12"] == pytest.approx(predictions["AU12"], abs=1e-4)
    assert predictions_shared["face_text"].count(None) == predictions["face_text"].count(None)
    assert results_shared["frames_fingerprint"] == results["frames_fingerprint"]
    assert results_shared["frames_scored"] == results["frames_scored"]
    assert results_shared["computed_on"] == [
        "CPU, float32" + (f", {processes} processes" if processes > 1 else "")
    ]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_processes_of_gpus_exchange_only_what_is_on_them(tables, bp4d_root, tmp_path):
    workdir = Path(copytree(tables, tmp_path / "workdir"))
    # One is enough for NCCL to be asked.
    run = bench(1, workdir, bp4d_root / "2D+3D", "training.device=auto")
    assert run.returncode == 0, run.stderr
    assert "CPU" not in outcome(workdir)[2]["computed_on"][0]


def test_statistics_of_batch_norm_are_the_first_process_s(
    tables, bp4d_root, cli, quick_tsne, tmp_path
):
    """Two processes predict with the weights that are kept: one alone predicts the same."""
    workdir = Path(copytree(tables, tmp_path / "workdir"))
    changes = ("model.backbone.name=resnet18", "model.backbone.args={channels: [8, 8, 16, 16]}")
    changes += ("training.epochs=1", "training.batch_size=48", "inference.batch_size=16")
    changes += NO_TEXTS
    run = bench(2, workdir, bp4d_root / "2D+3D", *changes)
    assert run.returncode == 0, run.stderr
    _, together, _ = outcome(workdir)
    (fold,) = (workdir / "bp4d" / "runs").glob("*/fold1")
    (fold / "predictions.parquet").unlink()
    cli.ok("bench", "--dataset", "bp4d", "--workdir", workdir, "--resume", fold.parent.name)
    assert outcome(workdir)[1]["AU12"] == pytest.approx(together["AU12"], abs=1e-6)


def test_an_error_of_one_process_is_told_and_ends_all(tables, bp4d_root, tmp_path):
    images = Path(copytree(bp4d_root / "2D+3D", tmp_path / "images"))
    for image in sorted(images.rglob("*.jpg"))[::3]:
        image.write_bytes(b"not an image")
    workdir = Path(copytree(tables, tmp_path / "workdir"))
    broken = bench(2, workdir, images)
    assert broken.returncode != 0
    assert "Error: The file is not an image that can be decoded" in broken.stderr
    assert "Go on with: torchrun --nproc-per-node 2 -m fauds bench" in broken.stderr
    # torchrun shows a traceback of its own; there is none of ours.
    assert "fauds/training" not in broken.stderr


@pytest.mark.parametrize(
    "end",
    [
        "follower aborts",
        *(
            pytest.param(end, marks=pytest.mark.exhaustive)
            for end in ("all end well", "leader fails")
        ),
    ],
)
def test_no_process_ends_before_the_first_one_has_written_everything(
    tables, bp4d_root, tmp_path, end
):
    program = tmp_path / "late.py"
    program.write_text(LATE)
    workdir = Path(copytree(tables, tmp_path / "workdir"))
    # Without a GPU nobody need ask for the CPU.
    changes = ("training.device=auto", "training.epochs=1", *NO_TEXTS)
    images, late = bp4d_root / "2D+3D", (str(program), end)
    shared = bench(2, workdir, images, *changes, program=late, CUDA_VISIBLE_DEVICES="")
    (run,) = (workdir / "bp4d" / "runs").iterdir()
    if end == "leader fails":
        assert shared.returncode != 0
        assert "Error: OSError: the disk is full" in shared.stderr
        assert "process 1: Error" not in shared.stderr
        return
    assert (shared.returncode == 0) == (end == "all end well"), shared.stderr
    assert shared.stdout.count("F1 %") == 1
    assert outcome(workdir)[2]["computed_on"] == ["CPU, float32, 2 processes"]
    assert {"results.json", "report.md", "report.html"} <= {path.name for path in run.iterdir()}
    assert shared.stderr.count("gloo's threads:") == shared.stderr.count("gloo's threads: 0") > 0
