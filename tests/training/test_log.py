"""The log of a training survives crashes, and has every line once."""

import json
import math
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from fauds.errors import DataError, UsageError
from fauds.tables.paths import LOG, TENSORBOARD
from fauds.training.log import TrainingLog


def write_epochs(log: TrainingLog, epochs: range) -> None:
    """Log epochs of two steps each."""
    for epoch in epochs:
        for step in (2 * epoch - 1, 2 * epoch):
            log.step(step, {"epoch": epoch, "total": 10.0 / step, "fau": 4.0 / step})
        log.epoch(epoch, {"total": 7.5 / epoch})


def read_log(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / LOG).read_text().splitlines()]


def expected(epochs: range) -> list[dict]:
    lines = []
    for epoch in epochs:
        for step in (2 * epoch - 1, 2 * epoch):
            total, fau = float(f"{10 / step:.6g}"), float(f"{4 / step:.6g}")
            lines.append({"step": step, "epoch": epoch, "total": total, "fau": fau})
        lines.append({"epoch": epoch, "total": float(f"{7.5 / epoch:.6g}")})
    return lines


def points(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Return the curves that TensorBoard shows: lists of (step, value) by name."""
    events = EventAccumulator(str(folder / TENSORBOARD))
    events.Reload()
    return {
        name: [(point.step, pytest.approx(point.value)) for point in events.Scalars(name)]
        for name in events.Tags()["scalars"]
    }


def test_each_line_is_written_to_the_file_at_once(tmp_path: Path) -> None:
    with TrainingLog(tmp_path) as log:
        log.step(20, {"epoch": 1, "total": 3.5})
        assert read_log(tmp_path) == [{"step": 20, "epoch": 1, "total": 3.5}]
        log.epoch(1, {"total": 3.25})
        assert read_log(tmp_path)[1:] == [{"epoch": 1, "total": 3.25}]
    assert list(tmp_path.iterdir()) == [tmp_path / LOG]


@pytest.mark.parametrize(
    ("figure", "written"),
    [
        (1.23456789e-5, 1.23457e-5),
        (123456789.0, 123457000.0),
        (123456789, 123456789),
        (np.float32(0.1), 0.1),
        (0.0, 0.0),
        (math.nan, None),
        (-math.inf, None),
    ],
)
def test_figures_are_json_with_six_significant_digits(
    tmp_path: Path, figure: float, written: float | None
) -> None:
    with TrainingLog(tmp_path) as log:
        log.epoch(1, {"figure": figure})

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    line = json.loads((tmp_path / LOG).read_text(), parse_constant=refuse)
    assert line == {"epoch": 1, "figure": written}


@pytest.mark.parametrize("done", [0, 1, 2, 3])
def test_epochs_that_are_trained_again_are_logged_once(tmp_path: Path, done: int) -> None:
    with TrainingLog(tmp_path) as log:
        write_epochs(log, range(1, 4))
    with TrainingLog(tmp_path, epochs_done=done) as log:
        assert read_log(tmp_path) == expected(range(1, done + 1))
        write_epochs(log, range(done + 1, 5))
    assert read_log(tmp_path) == expected(range(1, 5))
    assert log.notes == ()


def test_a_log_that_was_cut_at_any_byte_is_completed(tmp_path: Path) -> None:
    with TrainingLog(tmp_path) as log:
        write_epochs(log, range(1, 4))
    whole = (tmp_path / LOG).read_bytes()
    # The line of epoch 2 is synced to disk before the checkpoint of epoch 2 is written.
    second = whole.index(b'{"epoch": 2')
    for end in range(whole.index(b"\n", second) + 1, len(whole)):
        (tmp_path / LOG).write_bytes(whole[:end])
        with TrainingLog(tmp_path, epochs_done=2) as log:
            write_epochs(log, range(3, 4))
        assert (tmp_path / LOG).read_bytes() == whole, end
        assert log.notes == ()


@pytest.mark.parametrize(
    "damage",
    [
        b'{"epoch": 1, "total":',
        b"\x00\x00\xff",
        b'{"total": 3}',
        b'{"epoch": "1"}',
        b'{"epoch": 1, "step": null}',
        b"7",
        b"",
        b"[" * 100_000,
    ],
)
def test_a_damaged_line_is_removed_with_a_message(tmp_path: Path, damage: bytes) -> None:
    with TrainingLog(tmp_path) as log:
        write_epochs(log, range(1, 3))
    lines = (tmp_path / LOG).read_bytes().splitlines(keepends=True)
    (tmp_path / LOG).write_bytes(b"".join([*lines[:2], damage + b"\n", *lines[2:]]))
    with TrainingLog(tmp_path, epochs_done=2) as log:
        (note,) = log.notes
        assert str(tmp_path / LOG) in note and note.endswith("line 3")
    assert read_log(tmp_path) == expected(range(1, 3))


def test_a_crash_while_lines_are_removed_loses_no_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with TrainingLog(tmp_path) as log:
        write_epochs(log, range(1, 4))
    whole = (tmp_path / LOG).read_bytes()

    def crash(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", crash)
    with pytest.raises(KeyboardInterrupt):
        TrainingLog(tmp_path, epochs_done=1)
    assert (tmp_path / LOG).read_bytes() == whole


def test_a_full_disk_is_an_error_after_which_the_log_can_be_continued(tmp_path: Path) -> None:
    log = TrainingLog(tmp_path)
    write_epochs(log, range(1, 2))
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / LOG).stat().st_size + 10, limit[1]))
    try:
        with pytest.raises(DataError, match="could not be written"), log:
            write_epochs(log, range(2, 3))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    with TrainingLog(tmp_path, epochs_done=1) as log:
        write_epochs(log, range(2, 4))
    assert read_log(tmp_path) == expected(range(1, 4))


def test_tensorboard_shows_the_steps(tmp_path: Path) -> None:
    with TrainingLog(tmp_path, terms=("fau", "lgen", "ggen", "gau"), tensorboard=True) as log:
        log.step(20, {"epoch": 1, "total": 3.0, "fau": 2.0, "learning_rate": 1e-5})
        log.step(40, {"epoch": 1, "total": 2.5, "fau": 1.5, "learning_rate": 2e-5})
        # The points of an epoch are on disk before its checkpoint is written.
        log.epoch(1, {"total": 2.75})
        assert points(tmp_path) == {
            "loss/total": [(20, 3.0), (40, 2.5)],
            "loss/fau": [(20, 2.0), (40, 1.5)],
            "learning_rate": [(20, 1e-5), (40, 2e-5)],
        }


def test_tensorboard_shows_redone_steps_once(
    tmp_path: Path, next_second: Callable[[], None]
) -> None:
    with TrainingLog(tmp_path, terms=("fau", "lgen", "ggen", "gau"), tensorboard=True) as log:
        for step in (20, 40, 60, 80):
            log.step(step, {"epoch": 1 + step // 50, "total": step})
    next_second()
    with TrainingLog(
        tmp_path, terms=("fau", "lgen", "ggen", "gau"), epochs_done=1, tensorboard=True
    ) as log:
        for step in (60, 80, 100):
            log.step(step, {"epoch": 2, "total": -step})
    assert points(tmp_path) == {
        "loss/total": [(20, 20), (40, 40), (60, -60), (80, -80), (100, -100)]
    }


@pytest.fixture
def next_second() -> Callable[[], None]:
    """Wait until the clock shows another second, since TensorBoard orders its files by seconds."""

    def wait() -> None:
        now = int(time.time())
        while int(time.time()) == now:
            time.sleep(0.02)

    return wait


def test_a_missing_tensorboard_is_an_error_before_any_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with TrainingLog(tmp_path) as log:
        write_epochs(log, range(1, 4))
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    for name in [name for name in sys.modules if name.startswith("torch.utils.tensorboard")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(UsageError, match=r"(?s)package tensorboard.*fauds\[log\]"):
        TrainingLog(tmp_path, terms=("fau", "lgen", "ggen", "gau"), tensorboard=True)
    assert read_log(tmp_path) == expected(range(1, 4))
