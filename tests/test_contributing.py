"""The instructions in CONTRIBUTING.md work, and its statements about fauds are true."""

import configparser
import contextlib
import io
import json
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from fauds import captions
from fauds.datasets import DATASETS
from fauds.facs import AUS
from fauds.nn import MODELS
from tests.helpers import Cli
from tests.nn import test_contract as contract

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
_FILE = re.compile(r"^`([^`\n]+)`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Recipe:
    """A section of the guide, whose files are written to a folder and whose commands run there.

    Args:
        heading: the heading of the section.
        folder: the folder to write the files to.
        cli: runs ``fauds``.
    """

    def __init__(self, heading: str, folder: Path, cli: Cli) -> None:
        self.text = GUIDE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
        self.folder, self.cli = folder, cli
        self.files = dict(_FILE.findall(self.text))
        assert self.files

    def blocks(self, kind: str) -> list[str]:
        """Return the code blocks of a kind, such as "sh", that are not files."""
        files = set(self.files.values())
        return [
            text for name, text in _BLOCK.findall(self.text) if name == kind and text not in files
        ]

    def follow(self) -> list[str]:
        """Write the files, run the commands, and return the output of each command."""
        for name, content in self.files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
        self._lint()
        (commands,) = self.blocks("sh")
        return [self._run(*shlex.split(line)) for line in commands.strip().splitlines()]

    def _run(self, program: str, *words: str) -> str:
        if program == "fauds":
            return self.cli.ok(*words)
        if program == "python":
            runpy.run_path(words[0], run_name="__main__")
            return ""
        assert (program, *words[:-1]) == ("pip", "install")
        # The dependencies are installed already, and a separate folder is easy to remove.
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
        command += ["--no-build-isolation", "--target", "site", words[-1]]
        subprocess.run(command, check=True, capture_output=True, timeout=300)
        return ""

    def _lint(self) -> None:
        """Check the code of the section with the ruff settings of fauds."""
        settings = [
            "--config",
            ROOT / "ruff.toml",
            "--config",
            "lint.isort.known-first-party=['fauds']",
        ]
        for command in (["check"], ["format", "--check"]):
            words = [sys.executable, "-m", "ruff", *command, *settings, "."]
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def recipe(tmp_path, cli, monkeypatch) -> Iterator[type]:
    """Return a function that returns the section with a heading, in its own folder and workdir."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FAUDS_WORKDIR", str(tmp_path / "work"))
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    before = set(sys.modules)
    _forget_entry_points()
    yield lambda heading: Recipe(heading, tmp_path, cli)
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in ("myfaces", "mynet"):
            del sys.modules[name]
    _forget_entry_points()


def _forget_entry_points() -> None:
    """Make the registries search for entry points again."""
    for registry in (DATASETS, MODELS):
        registry.__dict__.pop("_targets", None)


@pytest.mark.slow
def test_the_instructions_for_a_dataset_give_frames_and_captions(recipe):
    dataset = recipe("Add a dataset")
    *_, shown = dataset.follow()
    work = dataset.folder / "work" / "myfaces"
    frames = pd.read_parquet(work / "frames.parquet").set_index("key")
    raw = pd.read_csv(dataset.folder / "raw" / "labels.csv")
    assert frames.index.tolist() == [f"{row.person}/{row.number}" for row in raw.itertuples()]
    for name in ("AU06", "AU12", "image"):
        pd.testing.assert_series_equal(
            frames[name].reset_index(drop=True), raw[name], check_dtype=False
        )
    faces = pd.read_parquet(work / "captions.parquet").face
    coded = raw[["AU06", "AU12"]].dropna()
    assert faces.dropna().tolist() == [
        captions.describe_face(row.index[row == 1]) for _, row in coded.iterrows()
    ]
    assert faces.isna().tolist() == raw.AU06.isna().tolist()
    assert faces[4] in shown
    assert sorted(pd.read_parquet(work / "folds.parquet").subject) == ["P01", "P02", "P03"]
    labels = dataset.folder / "raw" / "labels.csv"
    labels.write_text(labels.read_text().replace("AU12", "AU13"))
    wrong = dataset.cli("build-captions", "--dataset", "myfaces")
    assert wrong.code == 1
    assert "no column AU12" in wrong.err


@pytest.mark.slow
def test_the_instructions_for_a_model_family_give_one_that_trains_and_fulfils_the_contract(recipe):
    model = recipe("Add a model family")
    *_, output = model.follow()
    (run,) = (model.folder / "work" / "synthetic" / "runs").iterdir()
    results = json.loads((run / "results.json").read_text())
    assert (results["model"], results["preset"]) == ("mynet", "tiny")
    assert results["frames_scored"] == 4 * 12
    assert "mean" in output
    tests = [test for name, test in vars(contract).items() if name.startswith("test_")]
    for test in tests:
        marks = [mark.args for mark in getattr(test, "pytestmark", ())]
        if ("name", MODELS) in marks:
            test("mynet")


@pytest.mark.slow
def test_the_instructions_for_a_language_give_templates_without_problems(recipe):
    language = recipe("Add a language")
    _, linted, shown = language.follow()
    assert linted.startswith("de: no problems in 31 files")
    assert "Mundwinkel" in shown
    (example,) = language.blocks("python")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(example, "CONTRIBUTING.md", "exec"), {})
    expected = re.findall(r"^print\(.*\)  # (.*)$", example, re.MULTILINE)
    assert printed.getvalue().splitlines() == expected
    assert len(expected) == 2
    templates = language.folder / "mine"
    face = captions.describe_face(AUS, "M", "de", templates=templates)
    assert captions.parse(face, "de", templates=templates).active == AUS


@pytest.mark.parametrize(
    ("heading", "package", "name"),
    [("Add a dataset", "datasets", "myfaces"), ("Add a model family", "nn", "mynet")],
)
def test_the_guide_names_the_registry_line_for_code_in_fauds_itself(heading, package, name):
    text = GUIDE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    (line,) = re.findall(rf'^"{name}": "(.*)",$', text, re.MULTILINE)
    module, _, attribute = line.partition(":")
    assert f"`{module.replace('.', '/')}.py`" in text
    assert f"`fauds/{package}/__init__.py`" in text
    (entry,) = re.findall(rf'^{name} = "{name}:(\w+)"$', text, re.MULTILINE)
    assert attribute == entry


def test_the_table_of_packages_has_the_order_that_lint_imports_checks():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    layers = config["importlinter:contract:layers"]["layers"].split("\n")
    expected = [sorted(layer.split(" : ")) for layer in reversed(layers) if layer]
    rows = GUIDE.partition("| package | what it is for |\n|---|---|\n")[2].partition("\n\n")[0]
    assert [sorted(re.findall(r"`(\w+)`", row.split("|")[1])) for row in rows.splitlines()] == [
        *expected
    ]


def test_links_in_the_guide_have_a_target():
    headings = re.findall(r"^## (.*)$", GUIDE, re.MULTILINE)
    anchors = {"#" + heading.lower().replace(" ", "-") for heading in headings}
    for link in re.findall(r"\]\(([^)]+)\)", GUIDE):
        path, hash_, _ = link.partition("#")
        assert (ROOT / path).exists() if path else hash_ and link in anchors, link
