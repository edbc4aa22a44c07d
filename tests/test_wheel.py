"""The wheel works outside the checkout, without files from it."""

import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
SHIPPED = ("fauds", "templates", "benchmarks", "models", "setup.cfg", "setup.py", "pyproject.toml")
SHIPPED += ("README.md", "LICENSE")

CHECK = """
import importlib, sys
from pathlib import Path
import fauds
from fauds import facs, resources
from fauds.protocols.benchmark import benchmark
from fauds.captions import describe
home = Path(fauds.__file__).parent
assert home.is_relative_to(sys.prefix), home
for folder in resources.FOLDERS:
    assert resources.root(folder) == home / folder, resources.root(folder)
assert len(facs.facts()) == len(facs.AUS)
assert benchmark("disfa").published
assert resources.path("benchmarks", "published", "disfa.csv").stat().st_size > 1000
assert resources.path("models", "vlfau", "README.md").exists()
for weights in ("tiny-backbone", "tiny-faces"):
    assert resources.path("models", "vlfau", f"{weights}.safetensors").stat().st_size < 10e6
assert "lip corners" in describe("AU12")
assert (home / "py.typed").exists()
assert resources.path("templates", "report", "report.md.j2").exists()
for name in sys.argv[1:]:
    importlib.import_module(name)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Return the Python of a virtual environment with the wheel and the installed dependencies."""
    folder = tmp_path_factory.mktemp("wheel")
    # In the checkout, setuptools would include outdated files from a build folder.
    source = folder / "source"
    source.mkdir()
    for name in SHIPPED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "-w", folder, source], check=True, capture_output=True)
    (wheel,) = folder.glob("fauds-*.whl")
    environment = folder / "env"
    venv.create(environment, with_pip=False)
    python = environment / "bin" / "python"
    site = next(environment.glob("lib/python*/site-packages"))
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--target", site, wheel]
    subprocess.run(install, check=True, capture_output=True)
    # A folder in a .pth file makes the dependencies importable, but no editable install of fauds.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return python


def test_modules_and_shipped_files_are_found_outside_the_checkout(installed, tmp_path):
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in (ROOT / "fauds").rglob("*.py")
        if path.stem not in ("__init__", "__main__")
    ]
    check = [installed, "-c", CHECK, *modules]
    done = subprocess.run(check, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_command_works_from_the_wheel(installed, tmp_path):
    command = [installed, "-m", "fauds"]
    synth = [*command, "synth", "raw", "--like", "bp4d", "--frames", "8", "--labels-only"]
    subprocess.run(synth, cwd=tmp_path, check=True, capture_output=True)
    split = [*command, "split", "--dataset", "bp4d", "--root", "raw"]
    done = subprocess.run(split, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert "published-3fold" in done.stdout
