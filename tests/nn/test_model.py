"""The network as a whole: settings, backbones, nulls, inference, errors."""

import itertools

import pytest
import torch

from fauds.errors import DataError, UsageError
from fauds.nn import VLFAU, loss_counts, vlfau_loss
from fauds.nn.backbone import FourStages

from .helpers import AUS, SWIN, batch, captions, small_model

SWITCHES = list(itertools.product([True, False], repeat=3))


@pytest.mark.parametrize(("levels", "local", "whole"), SWITCHES)
def test_every_setting_trains_every_parameter(levels, local, whole):
    model = small_model(multi_level=levels, local_language=local, global_language=whole).train()
    images, local_tokens, global_tokens, labels = batch()
    output = model(images, local_tokens, global_tokens)
    assert (output.local_logits is None) is not local
    assert (output.global_logits is None) is not whole
    losses = vlfau_loss(output, labels, torch.ones(AUS))
    losses["total"].backward()
    dead = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert dead == []
    assert losses["total"].isfinite()
    assert (losses["lgen"] > 0) == local
    assert (losses["ggen"] > 0) == (losses["gau"] > 0) == whole
    restored = small_model(multi_level=levels, local_language=local, global_language=whole)
    restored.load_state_dict(model.state_dict())
    torch.testing.assert_close(restored.predict(images), model.eval().predict(images))


@pytest.mark.parametrize(
    ("backbone", "args", "size"),
    [
        ("resnet18", {}, 64),
        ("convnext_atto", {}, 64),
        ("swin_tiny_patch4_window7_224", {"depths": (1, 1, 1, 1)}, 112),
    ],
)
def test_four_stage_backbones_by_name(backbone, args, size):
    model = small_model(backbone=backbone, backbone_args=args, image_size=size).train()
    images, local, whole, labels = batch(image=size)
    losses = vlfau_loss(model(images, local, whole), labels, torch.ones(AUS))
    losses["total"].backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []
    assert model.eval().attention(images).shape[:2] == (2, AUS)


def test_backbones_that_will_not_do():
    with pytest.raises(UsageError, match="four feature stages"):
        FourStages("vit_tiny_patch16_224")
    with pytest.raises(UsageError, match="no backbone called"):
        FourStages("swine_tiny")
    with pytest.raises(UsageError, match="cannot build"):
        FourStages("resnet18", {"colour": "red"})


def test_weights_that_cannot_be_had(monkeypatch):
    def offline(*args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr("timm.create_model", offline)
    with pytest.raises(DataError, match="no route to host") as raised:
        FourStages("resnet18", pretrained=True)
    assert "pretrained=false" in raised.value.hint


def test_a_null_au_takes_part_in_nothing():
    model = small_model()
    images, local, whole, labels = batch()
    labels[0, 1] = 1
    local[0, 1] = local[0, 0]
    known = vlfau_loss(model(images, local, whole), labels, torch.ones(AUS))
    labels[0, 1] = -1
    masked = vlfau_loss(model(images, local, whole), labels, torch.ones(AUS))
    local[0, 1] = 0
    absent = vlfau_loss(model(images, local, whole), labels, torch.ones(AUS))
    for name, value in masked.items():
        torch.testing.assert_close(value, absent[name])
    assert known["fau"] != masked["fau"]
    assert known["lgen"] != masked["lgen"]
    assert known["ggen"] == masked["ggen"]


def test_a_null_au_sends_no_gradient_into_its_branch():
    model = small_model(global_language=False).train()
    images, local, _, labels = batch()
    labels[:, 2] = -1
    local[:, 2] = 0
    vlfau_loss(model(images, local), labels, torch.ones(AUS))["total"].backward()
    for parameter in (*model.dair.parameters(), *model.heads.parameters()):
        assert not parameter.grad[2].any()
        assert parameter.grad[0].any()


def test_nothing_to_learn_from_is_zero_and_not_nan():
    model = small_model().train()
    images, local, whole, labels = batch()
    output = model(images, torch.zeros_like(local), torch.zeros_like(whole))
    losses = vlfau_loss(output, torch.full_like(labels, -1), torch.ones(AUS))
    assert {name: value.item() for name, value in losses.items()} == dict.fromkeys(losses, 0.0)
    losses["total"].backward()
    assert all(p.grad is not None and not p.grad.any() for p in model.parameters())


def test_padding_changes_nothing():
    model = small_model()
    images, local, whole, _ = batch()
    longer = torch.cat([local, torch.zeros_like(local)], dim=2)
    short, long = model(images, local, whole), model(images, longer, whole)
    assert torch.equal(short.local_logits.logits, long.local_logits.logits)
    local[1, 2] = captions(1, words=5, seed=9)
    other = model(images, local, whole)
    before, after = short.local_logits.padded(), other.local_logits.padded()
    shared = min(before.shape[1], after.shape[1])
    torch.testing.assert_close(before[:5, :shared], after[:5, :shared])
    torch.testing.assert_close(short.au_logits, other.au_logits)


def test_counts_of_parts_add_up_to_the_whole_batch():
    model = small_model()
    images, local, whole, labels = batch(size=4)
    whole[3] = 0
    weights = torch.tensor([0.5, 1.5, 1.0])
    together = vlfau_loss(model(images, local, whole), labels, weights)
    halves = [(model(images[s], local[s], whole[s]), labels[s]) for s in (slice(0, 2), slice(2, 4))]
    counts = sum(loss_counts(*half) for half in halves) / 2
    parts = [vlfau_loss(*half, weights, counts)["total"] for half in halves]
    torch.testing.assert_close(sum(parts) / 2, together["total"])


def test_predict_skips_the_decoders_and_agrees_with_the_logits():
    model = small_model()
    images, local, whole, _ = batch()
    wanted = model(images, local, whole).au_logits.softmax(-1)[..., 1]
    model.local_decoder = model.global_decoder = None
    torch.testing.assert_close(model.predict(images), wanted)


def test_explain_gives_everything_in_one_pass():
    model = small_model()
    images = batch()[0]
    seen = model.explain(images, max_words_local=4, max_words_global=5)
    told = model.describe(images, max_words_local=4, max_words_global=5)
    assert torch.equal(seen.probabilities, model.predict(images))
    assert torch.equal(seen.features, model.au_features(images))
    assert torch.equal(seen.attention, model.attention(images))
    assert torch.equal(seen.local_tokens, told.local_tokens)
    assert told.local_tokens.shape[:2] == (2, AUS)
    assert told.global_tokens.shape[0] == 2
    assert seen.attention.shape == (2, AUS, 2, 2)
    assert 0 <= seen.attention.min() <= seen.attention.max() <= 1


def test_top_k_hits():
    model = small_model()
    images, local, whole, _ = batch()
    words = model(images, local, whole).local_logits
    assert words.hits(k=11).all()
    greedy = words.logits.argmax(1) == words.targets
    assert torch.equal(words.hits(k=1), greedy)


def test_bfloat16_autocast_stays_near():
    model = small_model().train()
    images, local, whole, labels = batch()
    exact = vlfau_loss(model(images, local, whole), labels, torch.ones(AUS))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = vlfau_loss(model(images, local, whole), labels, torch.ones(AUS))
        seen = model.eval().explain(images, max_words_local=4, max_words_global=4)
    rough["total"].backward()
    assert torch.isclose(exact["total"], rough["total"], rtol=0.02)
    assert seen.probabilities.dtype == torch.float32
    assert seen.local_tokens.shape == (2, AUS, 4)


def test_the_default_swin_is_a_feature_pyramid_of_four():
    stem = FourStages(SWIN["backbone"], SWIN["backbone_args"], image_size=64)
    shapes = [tuple(stage.shape[1:]) for stage in stem(torch.randn(1, 3, 64, 64))]
    assert shapes == [(8, 16, 16), (16, 8, 8), (32, 4, 4), (64, 2, 2)]
    assert isinstance(small_model(), VLFAU)
