"""A training that is killed at any moment and resumed gives exactly the same result."""

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
from fauds.training import checkpoint, trainer
from fauds.training.face_set import FaceSet
from tests.training.helpers import train

pytestmark = pytest.mark.skipif(
    torch.cuda.is_available(), reason="with a GPU, autograd's threads do not live on in a fork"
)

KILLS = 20
CLOCK = ("seconds", "frames_per_second")
Begin = Callable[..., object]
"""A function that trains in a folder, or resumes the training there."""


@dataclass(frozen=True)
class Result:
    """The files of a finished training, and how long it took."""

    weights: bytes
    log: list[dict]
    seconds: float


@pytest.fixture(scope="module")
def begin(faces: FaceSet, settings: RunSettings) -> Iterator[Begin]:
    """The training that is killed: three epochs of three steps; every second step is logged."""
    few = faces.select(np.arange(len(faces)) < 12)
    training = settings.training.model_copy(update={"batch_size": 4})
    small = settings.model_copy(update={"training": training})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "_LOG_EVERY", 2)
        yield partial(train, few, small)


@pytest.fixture(scope="module")
def whole(begin: Begin, tmp_path_factory: pytest.TempPathFactory) -> Result:
    """The result of a training that is not killed, run in a process of its own."""
    folder = tmp_path_factory.mktemp("whole")
    began = time.monotonic()
    assert wait(fork(lambda: begin(folder)))
    return Result(*finished_files(folder), time.monotonic() - began)


def fork(action: Callable[[], object]) -> int:
    """Run an action in a process of its own; return the process id."""
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
    """Wait for a process; return True if it succeeded, False if it was killed."""
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return False
    assert os.WEXITSTATUS(status) == 0
    return True


def finished_files(folder: Path) -> tuple[bytes, list[dict]]:
    """Return the weights and the log without times, after checking that no other file exists."""
    assert sorted(path.name for path in folder.iterdir()) == [LOG, WEIGHTS]
    lines = [json.loads(line) for line in (folder / LOG).read_text().splitlines()]
    log = [{k: v for k, v in line.items() if k not in CLOCK} for line in lines]
    return (folder / WEIGHTS).read_bytes(), log


def check(folder: Path, whole: Result) -> None:
    weights, log = finished_files(folder)
    assert weights == whole.weights
    assert log == whole.log


def test_the_log_has_every_epoch_and_every_second_step(whole: Result) -> None:
    lines = [(line["epoch"], line.get("step")) for line in whole.log]
    assert lines == [(1, 2), (1, None), (2, 4), (2, 6), (2, None), (3, 8), (3, None)]


@pytest.mark.slow
def test_kills_at_random_times_do_not_change_the_result(
    begin: Begin, whole: Result, tmp_path: Path
) -> None:
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
def test_a_kill_at_any_moment_of_a_write_does_not_change_the_result(
    begin: Begin, whole: Result, tmp_path: Path
) -> None:
    """Each process is killed at the first moment at which no earlier one was, until one ends."""
    folder = tmp_path / "killed"
    moments: list[str] = []
    while moment := killed_at(lambda: begin(folder), folder, moments):
        moments.append(moment)
    check(folder, whole)
    files = [*(f"checkpoint-epoch{epoch}.safetensors" for epoch in (1, 2, 3)), WEIGHTS]
    for file in files:
        for moment in ("half of", "before sync of", "after replace of"):
            assert f"{moment} {file}" in moments
    for moment in (
        f"after sync of {LOG}",
        f"before replace of {LOG}",
        f"after unlink of {files[0]}",
    ):
        assert moment in moments


def killed_at(action: Callable[[], object], folder: Path, moments: list[str]) -> str:
    """Kill a process at the first moment that is not in `moments`; return it, "" if it finished."""
    read, write = os.pipe()
    pid = fork(lambda: (kill_at_new_moment(folder, moments, write), action()))
    os.close(write)
    with os.fdopen(read) as pipe:
        moment = pipe.read()
    assert wait(pid) == (moment == "")
    return moment


def kill_at_new_moment(folder: Path, moments: list[str], pipe: int) -> None:
    """Patch this process so that it kills itself at a new moment of a write in the folder."""

    def moment(name: str) -> None:
        if name not in moments:
            os.write(pipe, name.encode())
            os.kill(os.getpid(), signal.SIGKILL)

    def with_kills(
        name: str, action: Callable[..., object], path: Callable[..., Path]
    ) -> Callable[..., object]:
        def with_moments(*args: object, **kwargs: object) -> object:
            target_path = path(*args)
            if target_path.parent != folder:
                return action(*args, **kwargs)
            moment(f"before {name} of {final(target_path)}")
            result = action(*args, **kwargs)
            moment(f"after {name} of {final(target_path)}")
            return result

        return with_moments

    def opened(number: int) -> Path:
        inode = os.fstat(number).st_ino
        return next((path for path in folder.iterdir() if path.stat().st_ino == inode), Path())

    save = checkpoint.save_file

    def save_by_halves(tensors: dict, path: Path, **kwargs: object) -> None:
        moment(f"before {final(path)}")
        save(tensors, path, **kwargs)
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        moment(f"half of {final(path)}")
        path.write_bytes(content)

    checkpoint.save_file = save_by_halves
    os.fsync = with_kills("sync", os.fsync, opened)
    os.replace = with_kills("replace", os.replace, lambda source, target: Path(target))
    os.unlink = with_kills("unlink", os.unlink, lambda path: Path(path))


def final(path: Path) -> str:
    """Return the name of the finished file: ``.NAME.RANDOM.part`` becomes NAME."""
    return path.name[1:].rsplit(".", 2)[0] if path.suffix == ".part" else path.name


def stop(begin: Begin, folder: Path, steps: int) -> None:
    """Begin a training and stop it after a number of steps."""
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
def test_a_damaged_checkpoint_is_skipped_with_a_message(
    begin: Begin, whole: Result, stopped: Path, damage: Callable[[bytes], bytes]
) -> None:
    first, second = sorted(stopped.glob("checkpoint-*"))
    second.write_bytes(damage(second.read_bytes()))
    lines: list[str] = []
    begin(stopped, say=lines.append)
    assert str(second) in lines[0] and "skipping" in lines[0]
    assert str(first) in lines[1] and "after epoch 1" in lines[1]
    check(stopped, whole)


@pytest.mark.slow
def test_training_begins_again_if_all_checkpoints_are_damaged(
    begin: Begin, whole: Result, stopped: Path
) -> None:
    damaged = sorted(stopped.glob("checkpoint-*"), reverse=True)
    for path in damaged:
        path.write_bytes(path.read_bytes()[:-100])
    lines: list[str] = []
    begin(stopped, say=lines.append)
    for path, line in zip(damaged, lines, strict=False):
        assert str(path) in line and "skipping" in line
    check(stopped, whole)


def test_damaged_checkpoints_of_later_epochs_do_not_replace_earlier_ones(
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
