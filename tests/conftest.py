"""Made-up distributions, written once a test run; tests that change one take a copy."""

import os
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from shutil import copytree, rmtree

import pytest
from hypothesis import settings

from fauds.synthetic import release as distribution
from tests.helpers import Cli, small

# A shell lets what it starts in the background ignore Ctrl-C, and so would all processes that tests
# start. Some tests send it.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_MOST_PROCESSES = 4
"""Each takes up to 2 GB, and builds the releases and runs that its tests share."""

# A busy machine is not a fault of the code under test.
settings.register_profile("fauds", deadline=None)
settings.load_profile("fauds")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return how many processes share the tests: none where files are named, to begin at once."""
    named = all(".py" in argument for argument in config.args)
    return 0 if named else min(_MOST_PROCESSES, os.cpu_count() or 1)


@pytest.fixture(scope="session")
def six_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """BP4D's layout: six subjects with 40 coded frames each, and their images."""
    root = tmp_path_factory.mktemp("made-up") / "bp4d"
    distribution.write(root, "bp4d", subjects=6, frames=40, seed=4, size=64)
    return root


@pytest.fixture(scope="session")
def six_run(six_root: Path, quick_maps: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workdir of `six_root`: two random folds, and a finished run of VL-FAU with texts."""
    work = tmp_path_factory.mktemp("six") / "work"
    with pytest.MonkeyPatch.context() as patch:
        cli = Cli(patch, None)
        where = ("--dataset", "bp4d", "--workdir", work)
        cli.quietly("build-captions", *where, "--root", six_root)
        cli.quietly("split", *where, "--method", "random", "--folds", 2)
        # As they are, so that no frame is lost for want of landmarks.
        cli.quietly("prepare", *where, "--alignment", "none", "--workers", 1)
        cli.quietly("bench", "vlfau", *where, *small("training.epochs=1"))
    return work


@pytest.fixture(scope="session")
def quick_maps() -> Iterator[None]:
    """Let t-SNE end after the fewest steps that it takes: a quarter of a small run is its map."""
    from sklearn import manifold

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifold, "TSNE", partial(manifold.TSNE, max_iter=250))
        yield


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
def work(tmp_path: Path) -> Path:
    """The workdir of `cli` where none is named: not there yet, and its path is awkward."""
    return tmp_path / "wörk dir" / "fauds-work"


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, tmp_path: Path) -> Cli:
    """Return the command line, run in this process, with a workdir of its own."""
    monkeypatch.setenv("FAUDS_WORKDIR", str(tmp_path / "wörk dir" / "fauds-work"))
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    return Cli(monkeypatch, capsys)


@pytest.fixture
def copy(tmp_path: Path) -> Iterator[Callable[[Path], Path]]:
    """Return a function that copies a folder to where the test may change it."""
    yield lambda root: Path(copytree(root, tmp_path / root.name))
    # pytest keeps the folders of three runs, and is slow to remove thousands of files.
    rmtree(tmp_path)
