"""What a command does when a terminal or a cluster tells it to end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fauds.cli import main as command_line
from fauds.synthetic import release
from tests.helpers import Cli

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """DISFA as videos: two subjects of 900 frames, too many to crop in a moment."""
    folder = tmp_path_factory.mktemp("raw")
    release.write(folder, "disfa", subjects=2, frames=900, seed=3, size=64, pictures="videos")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("order", [pytest.param(os.kill, marks=pytest.mark.exhaustive), os.killpg])
def test_prepare_stops_on_sigterm_and_resumes_with_the_remaining_sequences(
    raw: Path, tmp_path: Path, order: Callable[[int, int], None]
) -> None:
    work = tmp_path / "work"
    command = [sys.executable, "-m", "fauds", "prepare", "--dataset", "disfa", "--root", raw]
    process = subprocess.Popen(
        [*command, "--workdir", work, "--workers", "2"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    until = time.monotonic() + 60
    while not any((work / "disfa/faces").rglob("*.parquet")) and time.monotonic() < until:
        time.sleep(0.01)
    order(process.pid, signal.SIGTERM)
    # Workers hold stderr open: it ends only when they have ended too.
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130, errors
    assert "Stopped. Files already written are kept." in errors
    assert "Traceback" not in errors and "Error" not in errors
    assert not (work / "disfa" / "faces.parquet").exists()
    kept = {path: path.stat().st_mtime_ns for path in (work / "disfa/faces").rglob("*.parquet")}
    assert kept
    subprocess.run([*command, "--workdir", work], cwd=ROOT, check=True, capture_output=True)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_failures_caused_by_ctrl_c_or_sigterm_are_not_reported_as_errors(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def stopped(**_: object) -> None:
        try:
            os.kill(os.getpid(), number)
            time.sleep(5)
        finally:
            # A second order, and a process of the same group that was ended by the first.
            os.kill(os.getpid(), number)
            raise RuntimeError("a worker was killed")

    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    monkeypatch.setattr(command_line.cli, "main", stopped)
    outcome = cli()
    assert outcome.code == 130 and outcome.err == "Stopped. Files already written are kept.\n"
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == before


def test_ctrl_c_is_ignored_where_the_shell_says_so(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_line.cli, "main", lambda **_: os.kill(os.getpid(), signal.SIGINT))
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert cli().code == 0
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
