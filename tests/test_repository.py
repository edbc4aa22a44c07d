"""The files at the root of the repository agree with the package and with each other."""

import ast
import configparser
import re
from pathlib import Path

import yaml

from fauds.version import VERSION

ROOT = Path(__file__).parents[1]
CHECKS = ("ruff", "mypy", "lint-imports")


def read(name: str) -> dict:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def test_pre_commit_runs_the_same_checks_as_continuous_integration():
    hooks = [hook for repo in read(".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]]
    assert {hook["language"] for hook in hooks} == {"system"}
    entries = {hook["entry"] for hook in hooks}
    assert entries == {"ruff check --fix", "ruff format", "mypy", "lint-imports"}
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    checks = [line.split() for line in lines if line.split()[:1] and line.split()[0] in CHECKS]
    assert checks
    for program, *words in checks:
        subcommand = words[:1] if program == "ruff" else []
        assert any(
            entry.split()[: 1 + len(subcommand)] == [program, *subcommand] for entry in entries
        )


def test_continuous_integration_runs_on_all_supported_versions_of_python():
    (job,) = read(".github/workflows/ci.yml")["jobs"].values()
    assert job["steps"][-1]["run"] == "bash .ci/run"
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    classifiers = config["metadata"]["classifiers"]
    versions = re.findall(r"Python :: (3\.\d+)$", classifiers, re.MULTILINE)
    assert job["strategy"]["matrix"]["python-version"] == versions
    assert config["options"]["python_requires"] == f">={versions[0]}"


def test_the_citation_and_the_changelog_name_the_current_version():
    citation = read("CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert str(citation["version"]) == VERSION
    assert citation["authors"] == [{"name": "The fauds authors"}]
    assert all(paper["title"] and paper["authors"] for paper in citation["references"])
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"^## \[(.*?)\]", changes, re.MULTILINE)[0] == VERSION
    kinds = set(re.findall(r"^### (.*)$", changes, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_no_class_and_no_public_constant_has_two_meanings():
    places: dict[str, list[str]] = {}
    for path in sorted((ROOT / "fauds").rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                names = [node.name]
            elif isinstance(node, ast.Assign):
                names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            else:
                continue
            for name in names:
                if not name.startswith("_"):
                    places.setdefault(name, []).append(path.relative_to(ROOT).as_posix())
    assert len(places) > 300
    assert {name: files for name, files in places.items() if len(files) > 1} == {}
