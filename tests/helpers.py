"""What many tests need: the command line in this process, and a model small enough to train."""

import sys
from dataclasses import dataclass

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
"""Changes of preset tiny that train in seconds and learn nothing."""

NO_TEXTS = ("model.local_language=false", "model.global_language=false")
"""Changes by which VL-FAU writes no texts, which is most of the time of a small run."""


@dataclass(frozen=True)
class Outcome:
    """What a command did: exit code, and what it printed."""

    code: int
    out: str
    err: str


class Cli:
    """Runs ``fauds`` in this process."""

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
        """Run a command that must succeed, where a fixture of a module has no capture."""
        self._monkeypatch.setattr(sys, "argv", ["fauds", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code

    def ok(self, *words: object) -> str:
        """Run a command that must succeed; return what it printed to stdout."""
        outcome = self(*words)
        assert outcome.code == 0, outcome.err
        return outcome.out


def small(*changes: str, texts: bool = True) -> list[str]:
    """Return the options that make a bench of VL-FAU small, and smaller still without texts."""
    words = ["--preset", "tiny"]
    for change in (*SMALL, *(() if texts else NO_TEXTS), *changes):
        words += ["--set", change]
    return words
