"""`Project` runs the steps in order; a step takes the finished steps it depends on as arguments."""

import ast
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import fauds
from fauds import resources
from fauds.errors import DataError, UsageError
from fauds.pipeline import Project, Workspace, joining, project, splitting
from fauds.pipeline.workspace import Step
from fauds.protocols import benchmark as protocols
from fauds.protocols.benchmark import Benchmark
from fauds.tables import schemas, store

JOINED = resources.path("benchmarks", "examples") / "bp4d-to-disfa.yaml"
HOME = Path(fauds.__file__).parent


def quiet(line: str) -> None:
    """Ignore a line for the user."""


@pytest.fixture
def members(tmp_path: Path, bp4d_root: Path, disfa_root: Path) -> dict[str, Step]:
    """Return the finished frames of the two datasets that the example joins."""
    roots = {"bp4d": bp4d_root, "disfa": disfa_root}
    return {name: Project(tmp_path, name).frames(root) for name, root in roots.items()}


def test_joining_gets_the_finished_steps_of_both_members(
    tmp_path: Path, members: dict[str, Step], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[Any, ...]] = []

    def recorded(*arguments: Any) -> Step:
        calls.append(arguments)
        return joining.join_frames(*arguments)

    monkeypatch.setattr(project, "join_frames", recorded)
    joined = Project.by_file(tmp_path, JOINED, quiet)
    frames = joined.frames()
    ((workspace, both, steps),) = calls
    assert workspace == joined.workspace
    assert [member.dataset for member in both] == ["bp4d", "disfa"]
    assert [(step.path, step.meta) for step in steps] == [
        (members[name].path, store.read_meta(members[name].path)) for name in ("bp4d", "disfa")
    ]
    folds = store.read_table(joined.folds(frames).path).to_pydict()
    trained = {name for name, k in zip(folds["subject"], folds["fold"], strict=True) if k == 0}
    assert trained == {"F001", "F004", "M002"}


def test_steps_can_be_run_without_a_project(tmp_path: Path, members: dict[str, Step]) -> None:
    joined = Project.by_file(tmp_path, JOINED, quiet)
    by_project = store.read_table(joined.frames().path)
    alone = Workspace(tmp_path, "alone", joined.workspace.protocol)
    both = tuple(Workspace(tmp_path, name, protocols.benchmark(name)) for name in members)
    frames = joining.join_frames(alone, both, [*members.values()])
    assert frames.done and store.read_table(frames.path).equals(by_project)
    folds = splitting.split(alone, frames, None, None, 0, members["bp4d"])
    assert folds.path == tmp_path / "alone" / "folds.parquet"
    assert folds.meta["settings"]["method"] == "across"


def test_a_member_without_crops_is_refused_before_the_other_member_is_cropped(
    tmp_path: Path, members: dict[str, Step], monkeypatch: pytest.MonkeyPatch
) -> None:
    cropped: list[str] = []

    def no_crops(self: Project, frames: Step, *options: object, **more: object) -> None:
        cropped.append(self.workspace.dataset)

    joined = Project.by_file(tmp_path, JOINED, quiet)
    monkeypatch.setattr(Project, "faces_as_prepared", no_crops)
    with pytest.raises(DataError, match="bp4d has no crops"):
        joined.faces()
    assert cropped == ["bp4d"]


def test_crops_of_an_older_version_have_no_landmarks_when_they_are_joined(
    tmp_path: Path, members: dict[str, Step]
) -> None:
    joined = Project.by_file(tmp_path, JOINED, quiet)
    frames = joined.frames()
    both, faces = [], []
    settings = {"name": "eyes-similarity", "version": 1, "size": 256}
    for name, points in (("bp4d", [1.0] * 136), ("disfa", None)):
        both.append(Workspace(tmp_path, name, protocols.benchmark(name)))
        row = {"frame_id": 0, "path": "faces/1.jpg", "status": "aligned", "points": points}
        table = pa.Table.from_pylist([row], schemas.faces_schema())
        table = table if points else table.drop_columns("points")
        meta = {"settings": settings, "crops": name, "described": "", "frame_set": ""}
        meta |= {"frames": {"aligned": 1}, "lost": {}, "notes": []}
        store.write_table(both[-1].path("faces"), table, meta)
        faces.append(Step(both[-1].path("faces"), True, meta))
    rows = store.read_table(
        joining.join_faces(joined.workspace, tuple(both), frames, faces).path
    ).to_pylist()
    assert [row["points"] for row in rows] == [[1.0] * 136, None]
    assert [row["path"] for row in rows] == ["../bp4d/faces/1.jpg", "../disfa/faces/1.jpg"]


def test_a_workspace_knows_the_option_that_selects_it(tmp_path: Path) -> None:
    assert Project(tmp_path, "bp4d").workspace.option == "--dataset bp4d"
    own = Project.by_file(tmp_path, JOINED, quiet).workspace
    assert own.option == "--benchmark FILE" and isinstance(own.protocol, Benchmark)
    assert own.path("folds") == tmp_path / "bp4d-to-disfa" / "folds.parquet"
    with pytest.raises(UsageError, match="did you mean 'bp4d'"):
        Project(tmp_path, "bp4")


def test_steps_do_not_import_the_project() -> None:
    """Only commands and the public functions import the package."""
    paths = [*HOME.rglob("*.py")]
    assert len(paths) > 100
    for path in paths:
        name = path.relative_to(HOME).as_posix()
        imported = [
            f"{node.module}.{alias.name}"
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        ]
        steps = [line for line in imported if line.startswith("fauds.pipeline")]
        if name.startswith("pipeline/") and path.stem not in ("__init__", "project"):
            allowed = {"Workspace", "Step", "meta_of", "unchanged"}
            assert set(steps) <= {f"fauds.pipeline.workspace.{one}" for one in allowed}, name
        elif name != "__init__.py" and not name.startswith(("pipeline/", "cli")):
            assert not steps, name
