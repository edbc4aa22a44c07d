"""Predictions after each epoch, for validation subjects and for the test part."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from fauds.synthetic import release
from fauds.tables import store
from fauds.tables.paths import ATTENTION, FEATURES
from fauds.training import checkpoint
from tests.helpers import small

pytestmark = pytest.mark.usefixtures("quick_tsne")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """The folder of a synthetic release: six subjects with 32 frames each."""
    root = tmp_path_factory.mktemp("watch") / "raw"
    release.write(root, "bp4d", subjects=6, frames=32, seed=3, size=64)
    return root


@pytest.fixture
def tables(root, cli, tmp_path):
    """A working folder with captions and random folds of two subjects."""
    common = ("--dataset", "bp4d", "--workdir", tmp_path)
    cli.ok("build-captions", *common, "--root", root)
    cli.ok("split", *common, "--method", "random")
    return tmp_path


def bench(cli, work, root, *changes, texts=False):
    """Run fold 1 and return its folder."""
    before = set((work / "bp4d" / "runs").glob("*"))
    words = ("bench", "vlfau", "--dataset", "bp4d", "--workdir", work, "--fold", 1)
    cli.ok(*words, "--faces", root / "2D+3D", *small(*changes, texts=texts))
    (run,) = set((work / "bp4d" / "runs").glob("*")) - before
    return run / "fold1"


@pytest.mark.slow
def test_validation_subjects_are_not_trained_on_and_every_epoch_is_predicted(cli, tables, root):
    fold = bench(cli, tables, root, "training.validation_subjects=1")
    measured = json.loads((fold / "measured.json").read_text())
    (held_out,) = measured["validation_subjects"]
    frames = pq.read_table(tables / "bp4d" / "frames.parquet")
    subject_of = dict(
        zip(frames["frame_id"].to_pylist(), frames["subject"].to_pylist(), strict=True)
    )
    predictions = store.read_table(fold / "predictions.parquet")
    tested = set(predictions["subject"].to_pylist())
    assert held_out not in tested
    for epoch in (1, 2):
        validated = pq.read_table(fold / "validation" / f"epoch{epoch}.parquet")
        assert {subject_of[i] for i in validated["frame_id"].to_pylist()} == {held_out}
        assert len(validated) == 32
        epochs = pq.read_table(fold / "epochs" / f"epoch{epoch}.parquet")
        assert epochs["frame_id"].to_pylist() == predictions["frame_id"].to_pylist()
    # The predictions after the last epoch are those of the run.
    last = np.array(epochs["AU12"].to_pylist())
    assert last == pytest.approx(np.array(predictions["AU12"].to_pylist()), abs=1e-6)
    _, meta = checkpoint.load(fold / "weights.safetensors")
    assert "96 frames of 3 subjects" in meta["trained_on"]


@pytest.mark.slow
def test_evaluating_the_test_part_after_each_epoch_does_not_change_the_weights(cli, tables, root):
    ema = "training.ema=0.9"
    evaluated = bench(cli, tables, root, "training.watch_test=true", ema)
    alone = bench(cli, tables, root, ema)
    tensors, other_tensors = (
        checkpoint.load(fold / "weights.safetensors")[0] for fold in (evaluated, alone)
    )
    assert len(tensors) > 10
    torch.testing.assert_close(tensors, other_tensors, rtol=0, atol=0)
    assert sorted(path.name for path in (evaluated / "epochs").iterdir()) == [
        "epoch1.parquet",
        "epoch2.parquet",
    ]
    assert not (evaluated / "validation").exists()
    assert not (alone / "epochs").exists()


@pytest.mark.slow
def test_features_and_attention_maps_are_of_frames_that_the_fold_tests(cli, tables, root):
    fold = bench(cli, tables, root, texts=True)
    predictions = store.read_table(fold / "predictions.parquet")
    tested = set(predictions["frame_id"].to_pylist())
    features, attention = (pq.read_table(fold / name) for name in (FEATURES, ATTENTION))
    assert set(features["frame_id"].to_pylist()) <= tested
    assert len(features) == 40
    assert len(features["AU12"][0].as_py()) == 16
    assert len(set(map(tuple, features["AU12"].to_pylist()))) > 10
    written = predictions.filter(predictions["AU12_text"].is_valid())
    assert attention["frame_id"].to_pylist() == written["frame_id"].to_pylist()
    settings = store.read_meta(fold / ATTENTION)["settings"]
    maps = np.array(attention["AU12"].to_pylist())
    assert maps.shape == (3, settings["height"] * settings["width"])
    assert ((maps >= 0) & (maps <= 1)).all()


def test_validation_subjects_must_leave_subjects_to_train_on(cli, tables, root):
    words = ("bench", "vlfau", "--dataset", "bp4d", "--workdir", tables, "--fold", 1)
    outcome = cli(*words, *small("training.validation_subjects=4"))
    assert outcome.code == 2
    assert (
        "With 4 validation subjects, none of the 4 training subjects of fold 1 are left"
        in outcome.err
    )
