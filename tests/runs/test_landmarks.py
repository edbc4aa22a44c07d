"""Landmarks reach models that need them: from faces.parquet into batches and samples."""

from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pytest
from torch import Tensor, nn

import fauds
from fauds.datasets import DATASETS
from fauds.errors import DataError
from fauds.faces import landmark_files
from fauds.faces import plan as planning
from fauds.nn import MODELS
from fauds.nn.base import Batch, Model, Spec
from fauds.pipeline import Project
from fauds.protocols import benchmark as protocols
from fauds.runs import checks, inputs
from fauds.runs.plan import Plan, RunRequest, make_plan
from fauds.settings import ModelSettings
from fauds.tables import store
from fauds.tables.frames import read_keyed
from fauds.training.batches import Sampling, map_landmarks, sample
from tests.helpers import Cli

IBUG_49 = [*range(17, 60), 61, 62, 63, 65, 66, 67]
"""The numbers of BP4D's 49 points among iBUG's 68."""


class Pointed(Model):
    """One linear layer on the mean colours, which keeps the batches that it is trained on."""

    Settings = ModelSettings
    needs = frozenset({"landmarks"})
    terms = ("square",)
    preset = "tiny"
    trained: ClassVar[list[Batch]] = []

    def __init__(self, names: int) -> None:
        super().__init__()
        self.linear = nn.Linear(3, names)

    @classmethod
    def build(cls, settings: Any, spec: Spec) -> Self:
        return cls(len(spec.names))

    def scores(self, images: Tensor) -> Tensor:
        return self.linear(images.mean((2, 3))).sigmoid()

    def forward(self, batch: Batch) -> Tensor:
        return self.scores(batch.images)

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        return {"square": (batch.labels >= 0).sum()}

    def loss(self, output: Tensor, batch: Batch, weights: Tensor) -> dict[str, Tensor]:
        self.trained.append(batch)
        return {"square": ((output - batch.labels) ** 2 * (batch.labels >= 0)).sum()}


@pytest.fixture
def pointed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[Pointed]:
    """Register the model Pointed under the name "pointed"."""
    preset = "model: {image_size: 32}\ntraining: {epochs: 1, batch_size: 16, device: cpu}\n"
    (tmp_path / "preset").mkdir()
    (tmp_path / "preset" / "tiny.yaml").write_text(f"description: for a test\n{preset}")
    monkeypatch.setattr(Pointed, "folder", tmp_path / "preset")
    monkeypatch.setitem(MODELS._targets, "pointed", f"{__name__}:Pointed")
    Pointed.trained.clear()
    return Pointed


def true_points(root: Path, frames: Path) -> np.ndarray:
    """Return the 68 points of every frame of a release of BP4D, from its own files, [N, 68, 2]."""
    table = read_keyed(frames, ["frame_id", "subject", "task", "frame"])
    numbers = np.array(table["frame"].to_pylist())
    last = {name: int(numbers[rows][-1]) for name, rows in store.sequences(table)}
    sources = DATASETS["bp4d"].footage(root, last).sources
    points = np.full((len(table), 68, 2), np.nan, np.float32)
    for name, rows in store.sequences(table):
        points[rows, IBUG_49] = landmark_files.read(sources[name].landmarks, numbers[rows])
    return points


def plan_of(folder: Path, protocol: str, faces: Path | None = None) -> Plan:
    request = RunRequest("pointed", faces=faces)
    return make_plan(request, protocols.benchmark(protocol), folder / "runs")


def test_a_model_that_needs_landmarks_gets_those_of_the_release_for_uncropped_images(
    tmp_path: Path, six_root: Path, pointed: type[Pointed]
) -> None:
    project = Project(tmp_path, "synthetic")
    frames = project.frames(six_root)
    folder = project.workspace.folder
    assert project.faces_as_prepared(frames) is None
    faces = project.faces_as_prepared(frames, landmarks=True)
    assert faces is not None and faces.done
    project.folds(frames, k=2, method="random")
    loaded = inputs.load(folder, plan_of(folder, "synthetic")).faces
    truth = true_points(six_root, frames.path)
    assert np.isnan(truth[:, 17]).any() and len(loaded) == len(truth)
    np.testing.assert_allclose(loaded.landmarks, truth, atol=0.01)
    # Some frames of a release have no landmarks.
    assert np.isnan(loaded.landmarks).all((1, 2)).any()
    samples = fauds.open(folder).torch(image_size=32, captions=False)
    for row in (0, 100):
        _, view = sample(str(loaded.images[row]), row, Sampling(32), None)
        expected = map_landmarks(truth[row : row + 1], view[None])[0]
        np.testing.assert_allclose(samples[row]["landmarks"].numpy(), expected, atol=0.01)


def test_a_table_of_an_older_version_is_made_again_for_a_model_that_needs_landmarks(
    tmp_path: Path, six_root: Path, pointed: type[Pointed], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project(tmp_path, "bp4d")
    frames = project.frames(six_root)
    with monkeypatch.context() as older:
        older.setattr(planning, "CROPS_VERSION", 1)
        old = project.faces({"workers": 1})
    table, meta = store.read_table(old.path), store.read_meta(old.path)
    store.write_table(old.path, table.drop_columns("points"), meta)
    project.folds(frames, k=2, method="random")
    folder = project.workspace.folder
    # Other models still use the old table.
    assert project.faces_as_prepared(frames).done is False
    with pytest.raises(DataError, match="pointed needs landmarks") as caught:
        inputs.load(folder, plan_of(folder, "bp4d"))
    assert "--detector dlib" in caught.value.hint
    with pytest.raises(DataError, match="pointed needs landmarks") as caught:
        inputs.load(folder, plan_of(folder, "bp4d", faces=six_root / "2D+3D"))
    assert "without --faces" in caught.value.hint
    again = project.faces_as_prepared(frames, landmarks=True)
    assert store.read_table(again.path).equals(table)


@pytest.mark.slow
def test_batches_of_the_bench_have_the_landmarks_of_their_images(
    tmp_path: Path,
    six_root: Path,
    pointed: type[Pointed],
    cli: Cli,
    quick_tsne: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The checks before a run would train on synthetic batches to estimate the time.
    monkeypatch.setattr(checks, "check_machine", lambda *arguments: 0)
    where = ("--dataset", "synthetic", "--workdir", tmp_path)
    cli.ok("split", *where, "--root", six_root, "--method", "random", "--folds", 2)
    outcome = cli("bench", "pointed", *where, "--fold", 1)
    assert outcome.code == 0, outcome.err
    assert "cropping faces (none)" in outcome.err
    folder = tmp_path / "synthetic"
    truth = true_points(six_root, folder / "frames.parquet")
    faces = inputs.load(folder, plan_of(folder, "synthetic"))
    training = truth[~faces.test_frames(1)]
    assert sum(len(batch.rows) for batch in pointed.trained) >= len(training)
    for batch in pointed.trained:
        expected = map_landmarks(training[batch.rows.numpy()], batch.views.numpy())
        np.testing.assert_allclose(batch.landmarks.numpy(), expected, atol=0.01)
        mirrored = batch.views[:, 0, 0] < 0
        assert mirrored.any() and not mirrored.all()
