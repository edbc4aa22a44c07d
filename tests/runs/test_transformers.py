"""A plain vision transformer goes through all steps: training, results, weights, explaining."""

import json

import pytest
import timm
import torch
import yaml

from fauds.explanation.weights import open_weights
from fauds.synthetic import release
from fauds.tables.paths import LOG, RESULTS, SETTINGS
from tests.helpers import SMALL

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick_tsne")]

ARGS = {"embed_dim": 32, "depth": 4, "num_heads": 2}
EPOCHS = 6


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """The folder of a synthetic release: six subjects with 32 frames each."""
    root = tmp_path_factory.mktemp("transformers") / "raw"
    release.write(root, "bp4d", subjects=6, frames=32, seed=3, size=64)
    return root


@pytest.fixture
def official(tmp_path):
    """A file like those of MAE's authors: a wrapped network of 112 pixels, and a decoder."""
    torch.manual_seed(0)
    network = timm.create_model("vit_tiny_patch16_224", num_classes=0, img_size=112, **ARGS)
    tensors = {**network.state_dict(), "decoder_embed.weight": torch.zeros(8, 32)}
    torch.save({"model": tensors, "epoch": 800}, tmp_path / "mae.pth")
    return tmp_path / "mae.pth"


@pytest.mark.parametrize("model", ["vlfau", "linear"])
def test_a_plain_transformer_with_official_weights_trains_and_can_be_used(
    cli, root, tmp_path, official, model
):
    where = ("--dataset", "bp4d", "--workdir", tmp_path)
    cli.ok("build-captions", *where, "--root", root)
    cli.ok("split", *where, "--method", "random")
    changes = (
        "model.backbone.name=vit_tiny_patch16_224",
        f"model.backbone.args={json.dumps(ARGS)}",
        f"model.backbone.weights={official}",
        "model.image_size=64",
        f"training.epochs={EPOCHS}",
        "training.learning_rate=0.003",
    )
    own = SMALL if model == "vlfau" else [c for c in SMALL if c.startswith("training.")]
    options = [word for change in (*own, *changes) for word in ("--set", change)]
    bench = ("bench", model, *where, "--preset", "tiny", "--fold", 1, "--faces", root / "2D+3D")
    outcome = cli(*bench, *options)
    assert outcome.code == 0, outcome.err

    (line,) = (line for line in outcome.err.splitlines() if "backbone weights from" in line)
    assert "fold 1, backbone weights from mae.pth:" in line
    assert "decoder_embed.* 1" in line and "none missing" in line
    (run,) = (tmp_path / "bp4d" / "runs").glob("*")
    log = [json.loads(text) for text in (run / "fold1" / LOG).read_text().splitlines()]
    losses = [entry for entry in log if "seconds" in entry]
    assert len(losses) == EPOCHS
    label_term = "fau" if model == "vlfau" else "entropy"
    assert losses[-1]["total"] < losses[0]["total"]
    assert losses[-1][label_term] < losses[0][label_term]
    assert json.loads((run / RESULTS).read_text())["pretraining"] == "weights from mae.pth"
    settings = yaml.safe_load((run / SETTINGS).read_text())["settings"]
    assert settings["model"]["mean"] == settings["model"]["std"] == [0.5, 0.5, 0.5]

    # The trained weights hold the whole model: nothing else is read.
    official.unlink()
    weights = open_weights(run)
    assert weights.settings.model.mean == (0.5, 0.5, 0.5)
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert weights.model().predict(images).shape == (2, 12)
