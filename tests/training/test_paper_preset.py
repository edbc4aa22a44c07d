"""The presets named paper train as they did before recipe settings of other code were added."""

import json

import numpy as np
import pytest
import torch

from fauds.nn.presets import run_settings
from fauds.runs.predict import infer
from fauds.tables.paths import LOG
from fauds.training import loop
from tests.training.helpers import AUS, build

SMALL = {
    "vlfau": (
        "model.backbone.name=swin_tiny_patch4_window7_224",
        "model.backbone.args.embed_dim=16",
        "model.backbone.args.depths=[1, 1, 2, 1]",
        "model.backbone.args.num_heads=[1, 1, 2, 2]",
        *(f"model.{key}=16" for key in ("dim", "hidden", "embed_dim", "attention_dim")),
        "model.msc_width=8",
        "model.reduction=4",
    ),
    "linear": ("model.backbone.name=resnet10t",),
}
"""Changes of the sizes alone: every other setting is the preset's."""

QUICK = (
    "model.backbone.pretrained=false",
    "model.image_size=56",
    "training.epochs=2",
    "training.batch_size=8",
    "training.device=cpu",
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "losses", "probabilities"),
    [
        (
            "vlfau",
            {"fau": 0.695718, "lgen": 3.02173, "ggen": 3.00355, "gau": 0.706009, "total": 7.42700},
            [[0.51970, 0.49993, 0.54894], [0.52574, 0.48998, 0.55094], [0.52405, 0.48589, 0.54247]],
        ),
        (
            "linear",
            {"entropy": 0.697496, "total": 0.697496},
            [[0.54862, 0.50424, 0.49798], [0.54861, 0.50216, 0.48156], [0.55969, 0.51052, 0.49446]],
        ),
    ],
)
def test_the_preset_paper_gives_the_figures_that_it_gave_before(
    faces, tmp_path, model, losses, probabilities
):
    """The figures were computed before training had any of these settings."""
    settings = run_settings(model, "paper", (*SMALL[model], *QUICK))
    torch.manual_seed(5)
    network = build(settings, faces, tmp_path, model)
    trained = loop.train(network, faces, np.ones(AUS), settings, tmp_path, {"aus": AUS})
    last = json.loads((tmp_path / LOG).read_text().splitlines()[-1])
    assert {term: last[term] for term in losses} == pytest.approx(losses, abs=2e-4)
    scores = infer(trained, faces, settings).scores[:3]
    assert scores == pytest.approx(np.array(probabilities), abs=2e-4)
