"""Made-up distributions, written once a test run; tests that change one take a copy."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import copytree, rmtree

import pytest
from hypothesis import settings

from fauds.synthetic import release as distribution
from tests.helpers import Cli

# Models in tests are so small that a second thread costs more time than it saves; set before
# torch is imported, for this process and those it starts.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell lets what it starts in the background ignore Ctrl-C, and so would all processes that tests
# start. Some tests send it.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine is not a fault of the code under test.
settings.register_profile("fauds", deadline=None)
settings.load_profile("fauds")


@pytest.fixture(scope="session")
def bp4d_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """BP4D's layout: F001, M002 and F004 with 48 coded frames each, and their images."""
    root = tmp_path_factory.mktemp("made-up") / "bp4d"
    distribution.write(root, "bp4d", subjects=3, frames=48, seed=3, size=64)
    return root


@pytest.fixture(scope="session")
def few_labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """BP4D's layout with few files: F001's occurrence, and intensities of AU06 and AU12."""
    root = tmp_path_factory.mktemp("made-up") / "bp4d"
    distribution.write(root, "bp4d", subjects=1, frames=48, seed=3, labels_only=True)
    for au in ("AU10", "AU14", "AU17"):
        rmtree(root / "AUCoding" / "AU_INT" / au)
    return root


@pytest.fixture(scope="session")
def disfa_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """DISFA's layout: SN001, SN003 and SN006 with 60 frames each, labels only."""
    root = tmp_path_factory.mktemp("made-up") / "disfa"
    distribution.write(root, "disfa", subjects=3, frames=60, seed=3, labels_only=True)
    return root


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Cli:
    """Return the command line, run in this process."""
    return Cli(monkeypatch, capsys)


@pytest.fixture
def copy(tmp_path: Path) -> Iterator[Callable[[Path], Path]]:
    """Return a function that copies a folder to where the test may change it."""
    yield lambda root: Path(copytree(root, tmp_path / root.name))
    # pytest keeps the folders of three runs, and is slow to remove thousands of files.
    rmtree(tmp_path)
