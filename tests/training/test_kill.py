"""A training that is killed, wherever, ends bit for bit as one that was not."""

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from fauds.settings import RunSettings
from fauds.tables.paths import LOG, WEIGHTS
from fauds.training import checkpoint
from fauds.training import trainer as steps
from fauds.training.face_set import FaceSet
from tests.training.helpers import train

pytestmark = pytest.mark.skipif(
    torch.cuda.is_available(), reason="with a GPU, autograd's threads do not live on in a fork"
)

KILLS = 20
CLOCK = ("seconds", "frames_per_second")
Begin = Callable[..., object]
"""Trains in a folder, or goes on there."""


@dataclass(frozen=True)
class Result:
    """What a training left, and how long it took."""

    weights: bytes
    log: list[dict]
    seconds: float


@pytest.fixture(scope="module")
def begin(faces: FaceSet, settings: RunSettings) -> Iterator[Begin]:
    """What is killed: three epochs of three steps, every second of which is in the journal."""
    few = faces.where(np.arange(len(faces)) < 12)
    training = settings.training.model_copy(update={"batch_size": 4})
    small = settings.model_copy(update={"training": training})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "_JOURNAL_EVERY", 2)
        yield partial(train, few, small)


@pytest.fixture(scope="module")
def whole(begin: Begin, tmp_path_factory: pytest.TempPathFactory) -> Result:
    """The training that nothing disturbs, in a process like the others."""
    folder = tmp_path_factory.mktemp("whole")
    began = time.monotonic()
    assert wait(fork(lambda: begin(folder)))
    return Result(*left(folder), time.monotonic() - began)


def fork(action: Callable[[], object]) -> int:
    """Do something in a process of its own; return its number."""
    if pid := os.fork():
        return pid
    status = 1
    try:
        torch.set_num_threads(1)
        action()
        status = 0
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(status)


def wait(pid: int) -> bool:
    """Return whether a process ended by itself; the only other end is that it was killed."""
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return False
    assert os.WEXITSTATUS(status) == 0
    return True


def left(folder: Path) -> tuple[bytes, list[dict]]:
    """Return the weights and the log without the clock; there is nothing else."""
    assert sorted(path.name for path in folder.iterdir()) == [LOG, WEIGHTS]
    lines = [json.loads(line) for line in (folder / LOG).read_text().splitlines()]
    log = [{k: v for k, v in line.items() if k not in CLOCK} for line in lines]
    return (folder / WEIGHTS).read_bytes(), log


def check(folder: Path, whole: Result) -> None:
    weights, log = left(folder)
    assert weights == whole.weights
    assert log == whole.log


def test_the_log_has_every_epoch_and_every_second_step(whole: Result) -> None:
    said = [(line["epoch"], line.get("step")) for line in whole.log]
    assert said == [(1, 2), (1, None), (2, 4), (2, 6), (2, None), (3, 8), (3, None)]


@pytest.mark.slow
def test_kills_at_any_time_change_nothing(begin: Begin, whole: Result, tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    kills = training = 0
    folder = tmp_path / "killed0"
    while kills < KILLS:
        pid = fork(lambda folder=folder: begin(folder))
        time.sleep(rng.uniform(0, whole.seconds))
        os.kill(pid, signal.SIGKILL)
        if wait(pid):
            check(folder, whole)
            training += 1
            folder = tmp_path / f"killed{training}"
        else:
            kills += 1
    assert wait(fork(lambda: begin(folder)))
    check(folder, whole)


@pytest.mark.slow
def test_a_kill_at_any_moment_of_a_write_changes_nothing(
    begin: Begin, whole: Result, tmp_path: Path
) -> None:
    """Each process dies at the first moment at which none before it did, until one does not."""
    folder = tmp_path / "killed"
    seen: list[str] = []
    while moment := killed_at(lambda: begin(folder), folder, seen):
        seen.append(moment)
    check(folder, whole)
    files = [*(f"checkpoint-epoch{epoch}.safetensors" for epoch in (1, 2, 3)), WEIGHTS]
    for file in files:
        for moment in ("half of", "before sync of", "after replace of"):
            assert f"{moment} {file}" in seen
    for moment in (
        f"after sync of {LOG}",
        f"before replace of {LOG}",
        f"after unlink of {files[0]}",
    ):
        assert moment in seen


def killed_at(action: Callable[[], object], folder: Path, seen: list[str]) -> str:
    """Let a process die at the first moment not yet seen; return it, or nothing if it lived."""
    read, write = os.pipe()
    pid = fork(lambda: (deadly(folder, seen, write), action()))
    os.close(write)
    with os.fdopen(read) as pipe:
        moment = pipe.read()
    assert wait(pid) == (moment == "")
    return moment


def deadly(folder: Path, seen: list[str], pipe: int) -> None:
    """Change this process so that it kills itself at a moment of a write in the folder."""

    def moment(name: str) -> None:
        if name not in seen:
            os.write(pipe, name.encode())
            os.kill(os.getpid(), signal.SIGKILL)

    def surrounded(
        name: str, action: Callable[..., object], path: Callable[..., Path]
    ) -> Callable[..., object]:
        def with_moments(*given: object, **more: object) -> object:
            about = path(*given)
            if about.parent != folder:
                return action(*given, **more)
            moment(f"before {name} of {final(about)}")
            result = action(*given, **more)
            moment(f"after {name} of {final(about)}")
            return result

        return with_moments

    def opened(number: int) -> Path:
        inode = os.fstat(number).st_ino
        return next((path for path in folder.iterdir() if path.stat().st_ino == inode), Path())

    save = checkpoint.save_file

    def save_by_halves(tensors: dict, path: Path, **more: object) -> None:
        moment(f"before {final(path)}")
        save(tensors, path, **more)
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        moment(f"half of {final(path)}")
        path.write_bytes(content)

    checkpoint.save_file = save_by_halves
    os.fsync = surrounded("sync", os.fsync, opened)
    os.replace = surrounded("replace", os.replace, lambda source, target: Path(target))
    os.unlink = surrounded("unlink", os.unlink, lambda path: Path(path))


def final(path: Path) -> str:
    """Return the name that a file has when it is whole: ``.NAME.RANDOM.part`` becomes NAME."""
    return path.name[1:].rsplit(".", 2)[0] if path.suffix == ".part" else path.name


def stop(begin: Begin, folder: Path, steps: int) -> None:
    """Begin a training that is stopped after so many steps."""
    done = 0

    def count(more: int) -> None:
        nonlocal done
        done += more
        if done == steps:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        begin(folder, count)


@pytest.fixture
def stopped(begin: Begin, tmp_path: Path) -> Path:
    """The folder of a training that was stopped in its third epoch."""
    stop(begin, tmp_path / "stopped", 7)
    return tmp_path / "stopped"


DAMAGE = {
    "cut": lambda data: data[: len(data) // 2],
    "cut by a byte": lambda data: data[:-1],
    "empty": lambda data: b"",
    "its begin overwritten": lambda data: bytes(512) + data[512:],
    "its middle overwritten": lambda data: data[:-9000] + bytes(512) + data[-8488:],
    "another file": lambda data: b"{}\n" * 2000,
}


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(damage, id=name, marks=() if name == "cut" else pytest.mark.slow)
        for name, damage in DAMAGE.items()
    ],
)
def test_a_damaged_checkpoint_is_passed_over_and_named(
    begin: Begin, whole: Result, stopped: Path, damage: Callable[[bytes], bytes]
) -> None:
    first, second = sorted(stopped.glob("checkpoint-*"))
    second.write_bytes(damage(second.read_bytes()))
    lines: list[str] = []
    begin(stopped, say=lines.append)
    assert str(second) in lines[0] and "passed over" in lines[0]
    assert str(first) in lines[1] and "after epoch 1" in lines[1]
    check(stopped, whole)


def test_where_all_checkpoints_are_damaged_training_begins_again(
    begin: Begin, whole: Result, stopped: Path
) -> None:
    damaged = sorted(stopped.glob("checkpoint-*"), reverse=True)
    for path in damaged:
        path.write_bytes(path.read_bytes()[:-100])
    lines: list[str] = []
    begin(stopped, say=lines.append)
    for path, line in zip(damaged, lines, strict=False):
        assert str(path) in line and "passed over" in line
    check(stopped, whole)


def test_damaged_checkpoints_do_not_drive_out_those_of_earlier_epochs(
    begin: Begin, whole: Result, stopped: Path
) -> None:
    for epoch, path in enumerate(sorted(stopped.glob("checkpoint-*")), start=8):
        path.write_bytes(path.read_bytes()[:-100])
        path.rename(stopped / f"checkpoint-epoch{epoch}.safetensors")
    stop(begin, stopped, 4)
    lines: list[str] = []
    begin(stopped, say=lines.append)
    assert any("after epoch 1" in line for line in lines)
    check(stopped, whole)
