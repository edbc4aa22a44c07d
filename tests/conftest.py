"""Fixtures: synthetic releases, written once per test run, and the command line.

Tests that change a release use a copy.
"""

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from shutil import copytree, rmtree

import pytest
from hypothesis import settings

from fauds.synthetic import release
from tests.helpers import Cli, small

# Processes that a shell starts in the background ignore Ctrl-C, and so would the processes that
# tests start, but some tests send it.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_MOST_PROCESSES = 4
"""The largest number of processes; each uses up to 2 GB and builds all shared releases and runs."""

_FORKING = ("test_kill.py",)
"""The files whose tests train in forked processes.

They come first: after a backward pass on a GPU, which tests/runs/test_waits.py imitates, PyTorch's
autograd cannot be used in a forked process.
"""

# On a busy machine a test may exceed the deadline without any fault in the code.
settings.register_profile("fauds", deadline=None)
settings.load_profile("fauds")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return the number of test processes: 0, to start at once, if test files are named."""
    files_only = all(".py" in argument for argument in config.args)
    return 0 if files_only else min(_MOST_PROCESSES, os.cpu_count() or 1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files with slow tests first, so that no process is left with a long file at the end."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: (item.path.name not in _FORKING, -slow[item.path]))


@pytest.fixture(scope="session")
def six_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a synthetic release of BP4D: six subjects with 40 coded frames each, with images."""
    root = tmp_path_factory.mktemp("synthetic") / "bp4d"
    release.write(root, "bp4d", subjects=6, frames=40, seed=4, size=64)
    return root


@pytest.fixture(scope="session")
def six_run(six_root: Path, quick_tsne: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a workdir of `six_root` with two random folds and a finished run of VL-FAU."""
    work = tmp_path_factory.mktemp("six") / "work"
    with pytest.MonkeyPatch.context() as patch:
        cli = Cli(patch, None)
        where = ("--dataset", "bp4d", "--workdir", work)
        cli.quietly("build-captions", *where, "--root", six_root)
        cli.quietly("split", *where, "--method", "random", "--folds", 2)
        # Images are used without alignment, so that no frame is left out for missing landmarks.
        cli.quietly("prepare", *where, "--alignment", "none", "--workers", 1)
        cli.quietly("bench", "vlfau", *where, *small("training.epochs=1"))
    return work


@pytest.fixture(scope="session")
def quick_tsne() -> Iterator[None]:
    """Limit t-SNE, which takes a quarter of the time of a small run, to its fewest steps."""
    from sklearn import manifold

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifold, "TSNE", partial(manifold.TSNE, max_iter=250))
        yield


@pytest.fixture(scope="session")
def bp4d_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a synthetic release of BP4D: F001, M002, F004, 48 coded frames each, with images."""
    root = tmp_path_factory.mktemp("synthetic") / "bp4d"
    release.write(root, "bp4d", subjects=3, frames=48, seed=3, size=64)
    return root


@pytest.fixture(scope="session")
def small_labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a synthetic release of BP4D: F001's occurrence, and intensities of AU06 and AU12."""
    root = tmp_path_factory.mktemp("synthetic") / "bp4d"
    release.write(root, "bp4d", subjects=1, frames=48, seed=3, labels_only=True)
    for au in ("AU10", "AU14", "AU17"):
        rmtree(root / "AUCoding" / "AU_INT" / au)
    return root


@pytest.fixture(scope="session")
def disfa_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a synthetic release of DISFA: SN001, SN003, SN006, 60 frames each, without images."""
    root = tmp_path_factory.mktemp("synthetic") / "disfa"
    release.write(root, "disfa", subjects=3, frames=60, seed=3, labels_only=True)
    return root


@pytest.fixture(scope="session")
def portrait_roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return synthetic releases of RAF-DB and of both forms of AffectNet, by layout.

    Each has six people with six images, or four in the test part, of 64 pixels.
    """
    folder = tmp_path_factory.mktemp("portraits")
    roots = {like: folder / like for like in ("rafdb", "affectnet", "affectnet-csv")}
    for like, root in roots.items():
        release.write(root, like, subjects=6, frames=6, seed=3, size=64)
    return roots


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Return the default workdir of `cli`, which does not exist yet and has an unusual name."""
    return tmp_path / "wörk dir" / "fauds-work"


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, tmp_path: Path) -> Cli:
    """Return a function that runs `fauds` in this process, with its own workdir."""
    monkeypatch.setenv("FAUDS_WORKDIR", str(tmp_path / "wörk dir" / "fauds-work"))
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    return Cli(monkeypatch, capsys)


@pytest.fixture
def copy(tmp_path: Path) -> Iterator[Callable[[Path], Path]]:
    """Return a function that copies a folder, so that the test may change it."""
    yield lambda root: Path(copytree(root, tmp_path / root.name))
    # pytest would keep the copies of three runs, and is slow to remove thousands of files.
    rmtree(tmp_path)
