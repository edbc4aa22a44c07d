"""AU cues: the AU term, class maps against gradients, and measures against a plain computation."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fauds.errors import UsageError
from fauds.facs import AUS, expression_aus
from fauds.nn import MODELS
from fauds.nn.au_cues import AUCues
from fauds.nn.base import Batch, Spec, means
from fauds.nn.layers.au_map import au_map, au_maps, codebook_table
from fauds.nn.layers.class_maps import class_maps
from fauds.nn.layers.map_agreement import REGION_SIZE, agreement, au_regions
from fauds.nn.vlfau import VLFAU, VLFAUSettings

from .helpers import SWIN, face_landmarks

SIDE = 64
CLASSES = ("neutral", "happiness", "surprise", "sadness")
FACES = 6


def spec(names: tuple[str, ...] = CLASSES) -> Spec:
    return Spec(names, "multiclass", {}, SIDE, (0.5,) * 3, (0.5,) * 3)


def built(backbone: str = "resnet10t", **changes) -> AUCues:
    torch.manual_seed(0)
    settings = AUCues.Settings(backbone={"name": backbone}, image_size=SIDE, **changes)
    return AUCues.build(settings, spec()).eval()


@pytest.fixture
def batch() -> Batch:
    """Return six faces: neutral, three expressions, one without a label, one without landmarks."""
    landmarks = face_landmarks(SIDE, FACES)
    landmarks[5] = torch.nan
    generator = torch.Generator().manual_seed(1)
    return Batch(
        images=torch.randn(FACES, 3, SIDE, SIDE, generator=generator),
        labels=torch.tensor([0, 1, 2, 3, -1, 1]),
        rows=torch.arange(FACES),
        views=torch.zeros(FACES, 2, 3),
        landmarks=landmarks,
    )


def plain_cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    a, b = (x.detach().double().numpy().ravel() for x in (a, b))
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


@pytest.mark.parametrize("layer", [1, 3, 5, None])
def test_the_au_term_is_the_mean_distance_of_the_layer_from_the_map_of_the_class(batch, layer):
    model = built(layer=layer, cue_weight=2.5)
    output, stages = model(batch), model.feature_layers(batch.images)
    attention = stages[(layer or 5) - 1].mean(1)
    assert torch.equal(output.attention, attention)
    distances = []
    for row, name in ((1, "happiness"), (2, "surprise"), (3, "sadness")):
        active = torch.tensor([[float(au in expression_aus()[name]) for au in AUS]])
        cue = au_map(batch.landmarks[row : row + 1], active, attention.shape[-1], SIDE)
        distances.append(1 - plain_cosine(attention[row], cue[0]))
    losses = means(model.loss(output, batch, torch.ones(4)), model.counts(batch))
    assert float(losses["cue"].detach()) == pytest.approx(2.5 * np.mean(distances), abs=1e-5)


def test_faces_without_label_action_units_or_landmarks_have_no_au_term(batch):
    model = built()
    assert model.counts(batch)["cue"] == 3
    alone = replace(batch, labels=torch.tensor([0, 0, 0, 0, -1, 1]))
    output = model(alone)
    losses = model.loss(output, alone, torch.ones(4))
    assert model.counts(alone)["cue"] == losses["cue"] == 0
    losses["cue"].backward()
    for parameter in model.parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all()


def test_with_a_weight_of_0_the_network_learns_as_without_landmarks(batch):
    model = built(cue_weight=0)
    grads = []
    for changed in (batch, replace(batch, landmarks=None)):
        model.zero_grad()
        means(model.loss(model(changed), changed, torch.ones(4)), model.counts(changed))[
            "total"
        ].backward()
        grads.append([p.grad.clone() for p in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))


def test_training_the_term_moves_the_attention_to_the_map(batch):
    model = built(cue_weight=9).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3)
    values = []
    for _ in range(12):
        losses = means(model.loss(model(batch), batch, torch.ones(4)), model.counts(batch))
        optimiser.zero_grad()
        losses["total"].backward()
        optimiser.step()
        values.append(float(losses["cue"].detach()))
    assert values[-1] < 0.5 * values[0]


@pytest.mark.parametrize("way", ["cam", "gradcam", "gradcam++", "layercam"])
def test_class_maps_are_those_of_the_gradients(way):
    """Each way is computed again by its paper's formula, with autograd's gradients."""
    generator = torch.Generator().manual_seed(3)
    features = torch.rand(2, 8, 5, 4, generator=generator, dtype=torch.float64)
    weight = torch.randn(3, 8, generator=generator, dtype=torch.float64)
    maps = class_maps(features, weight, way)
    assert maps.shape == (2, 3, 5, 4) and maps.min() >= 0
    for image in range(2):
        for label in range(3):
            a = features[image].clone().requires_grad_(True)
            score = a.mean((1, 2)) @ weight[label]
            (g,) = torch.autograd.grad(score, a)
            if way == "cam":
                plain = (weight[label, :, None, None] * a).sum(0)
            elif way == "gradcam":
                plain = (g.mean((1, 2))[:, None, None] * a).sum(0)
            elif way == "layercam":
                plain = (g.clamp(min=0) * a).sum(0)
            else:
                # Equation 19, with Y = exp(score): the derivatives are powers of g, times exp.
                alpha = g**2 / (2 * g**2 + (a * g**3).sum((1, 2), keepdim=True))
                plain = ((alpha * g.clamp(min=0)).sum((1, 2))[:, None, None] * a).sum(0)
            plain = plain.detach().clamp(min=0)
            if plain.max() > 0:
                assert plain_cosine(maps[image, label], plain) == pytest.approx(1, abs=1e-12)
            else:
                assert maps[image, label].max() == 0


def test_an_unknown_way_of_explaining_is_refused_where_it_is_set():
    with pytest.raises(ValueError, match="layercam"):
        AUCues.Settings(backbone={"name": "resnet10t"}, explanation="lime")


def test_measures_are_those_of_a_plain_computation():
    landmarks = face_landmarks(SIDE, 2, seed=4).double()
    active = codebook_table(["anger", "fear"])[:, None]
    maps = torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    cues = au_map(landmarks, active[:, 0], 4, SIDE)[:, None]
    regions = au_regions(landmarks, active, SIDE, AUS)
    measures = agreement(maps, cues, regions)
    by_au = au_maps(landmarks, REGION_SIZE, SIDE)
    for face in range(2):
        region = (by_au[face][active[face, 0].bool()] >= 0.5).any(0)
        assert torch.equal(region, regions[face, 0])
        assert 0.02 < region.double().mean() < 0.4
        large = torch.nn.functional.interpolate(
            maps[face][None], size=(REGION_SIZE, REGION_SIZE), mode="bilinear"
        )[0, 0]
        assert float(measures["inside"][face]) == pytest.approx(
            float(large[region].sum() / large.sum())
        )
        y, x = divmod(int(large.argmax()), REGION_SIZE)
        assert bool(measures["pointing"][face]) == bool(region[y, x])
        assert float(measures["cos"][face]) == pytest.approx(plain_cosine(maps[face], cues[face]))


def test_tested_faces_have_measures_in_the_column_of_their_class(batch):
    model = built()
    model.head.weight.data.abs_()  # so that no map is zero
    measures = model.test_step(batch).by_frame
    names = {
        f"{kind}_{measure}" for kind in ("att", "cam") for measure in ("cos", "inside", "pointing")
    }
    assert set(measures) == names
    for name, values in measures.items():
        known = [(row, column) for row, column in (~values.isnan()).nonzero().tolist()]
        assert known == [(1, 1), (2, 2), (3, 3)], name
    output = model(batch)
    cue = au_map(batch.landmarks[2:3], codebook_table(["surprise"]), 2, SIDE)
    own = torch.einsum("khw,k->hw", output.features[2], model.head.weight[2]).relu()
    assert float(measures["cam_cos"][2, 2]) == pytest.approx(plain_cosine(own, cue[0]), abs=1e-5)
    attention = plain_cosine(output.attention[2], cue[0])
    assert float(measures["att_cos"][2, 2]) == pytest.approx(attention, abs=1e-5)
    assert torch.equal(model.test_step(batch).scores, model.predict(batch.images))


@pytest.mark.parametrize("backbone", ["swin_tiny_patch4_window7_224", "convnext_atto"])
def test_transformers_and_other_convolutions_can_be_aligned(backbone, batch):
    args = {"swin_tiny_patch4_window7_224": SWIN["backbone_args"]}.get(backbone, {})
    torch.manual_seed(0)
    settings = AUCues.Settings(
        backbone={"name": backbone, "args": args}, image_size=SIDE, norm=True, layer=4
    )
    model = AUCues.build(settings, spec())
    losses = means(model.loss(model(batch), batch, torch.ones(4)), model.counts(batch))
    losses["total"].backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_a_layer_that_the_backbone_lacks_is_refused():
    with pytest.raises(UsageError, match="backbone has 5 layers, but layer 6 should be aligned"):
        built(layer=6)


def test_classes_outside_the_codebook_are_refused():
    settings = AUCues.Settings(backbone={"name": "resnet10t"}, image_size=SIDE)
    with pytest.raises(UsageError, match="no expression named 'boredom'"):
        AUCues.build(settings, spec(("happiness", "boredom")))


def test_the_control_is_the_model_without_the_term():
    assert MODELS["au-cues"].control == ("model.cue_weight=0",)
    assert all(not MODELS[name].control for name in MODELS if name != "au-cues")


def vlfau(cues: float, names=("AU01", "AU06", "AU12")) -> VLFAU:
    torch.manual_seed(0)
    settings = VLFAUSettings(
        backbone={"name": SWIN["backbone"], "args": SWIN["backbone_args"]},
        image_size=SIDE,
        dim=8,
        msc_width=4,
        reduction=2,
        local_language=False,
        global_language=False,
        cues=cues,
    )
    names_spec = Spec(names, "multilabel", {"local": 9, "global": 9}, SIDE, (0.5,) * 3, (0.5,) * 3)
    return VLFAU.build(settings, names_spec).eval()


def au_batch(batch: Batch) -> Batch:
    labels = torch.tensor([[1, 0, 1], [0, 0, 1], [-1, 1, 0], [1, 1, 1], [-1, -1, -1], [1, 0, 1]])
    return replace(batch, labels=labels)


def test_attention_of_vlfau_is_compared_with_the_map_of_each_coded_au(batch):
    model, batch = vlfau(0), au_batch(batch)
    measured = model.test_step(batch).by_frame
    maps = model.attend(batch.images)
    cues = au_maps(batch.landmarks, maps.shape[-1], SIDE, ["AU01", "AU06", "AU12"])
    for name in ("att_cos", "att_inside", "att_pointing"):
        known = ~measured[name].isnan()
        assert known.tolist() == [
            [row != 5 and label >= 0 for label in labels]
            for row, labels in enumerate(batch.labels.tolist())
        ]
    expected = plain_cosine(maps[1, 2], cues[1, 2])
    assert float(measured["att_cos"][1, 2]) == pytest.approx(expected, abs=1e-5)
    without = model.test_step(replace(batch, landmarks=None))
    assert not without.by_frame
    own = vlfau(0, ("AU01", "AU06", "AU99"))
    assert not own.test_step(batch).by_frame


def test_the_term_of_vlfau_aligns_the_maps_of_coded_aus(batch):
    model, batch = vlfau(0.5), au_batch(batch)
    assert model.needs == VLFAU.needs_of(model_settings(0.5)) == {"captions", "landmarks"}
    assert VLFAU.needs == vlfau(0).needs == VLFAU.needs_of(model_settings(0)) == {"captions"}
    counts = model.counts(batch)
    assert tuple(counts) == model.terms == ("fau", "lgen", "ggen", "gau", "cue")
    assert counts["cue"] == 3 + 3 + 2 + 3
    output = model(batch)
    losses = means(model.loss(output, batch, torch.ones(3)), counts)
    cues = au_maps(batch.landmarks, output.maps.shape[-1], SIDE, ["AU01", "AU06", "AU12"])
    plain = [
        1 - plain_cosine(output.maps[row, au], cues[row, au])
        for row in range(5)
        for au in range(3)
        if batch.labels[row, au] >= 0
    ]
    assert float(losses["cue"].detach()) == pytest.approx(0.5 * np.mean(plain), abs=1e-5)


def model_settings(cues: float) -> VLFAUSettings:
    return VLFAUSettings(backbone={"name": "resnet10t"}, cues=cues)


def test_the_term_of_vlfau_is_refused_where_it_cannot_be_computed():
    with pytest.raises(UsageError, match="Where AU99 is visible is not known"):
        vlfau(1.0, ("AU01", "AU99"))
    with pytest.raises(ValueError, match="cues needs multi_level"):
        VLFAUSettings(
            backbone={"name": "resnet10t"}, multi_level=False, local_language=False, cues=1
        )
