"""Plain vision transformers, which have one feature map, as backbones of VL-FAU and linear."""

import pytest
import torch
import torch.nn.functional as F

from fauds.errors import UsageError
from fauds.nn.base import Spec, means
from fauds.nn.layers.backbone import FourStages
from fauds.nn.layers.pyramid import FeaturePyramid
from fauds.nn.linear import Linear, LinearSettings
from fauds.settings import BackboneSettings
from tests.nn.helpers import AUS, batch, batch_of, small_model

ARGS = {"embed_dim": 16, "depth": 4, "num_heads": 2}
KINDS = {
    "vit_tiny_patch16_224": 64,
    "vit_base_patch16_224.mae": 64,
    "vit_base_patch32_clip_224.openai": 64,
    "vit_small_patch14_dinov2": 56,
    "vit_small_patch14_reg4_dinov2": 56,
    "eva02_tiny_patch14_224": 56,
}
"""Plain transformers of several kinds, with the side of their input in these tests, in pixels."""


def pyramid_parameters(model):
    return [] if model.stem.pyramid is None else list(model.stem.pyramid.parameters())


@pytest.mark.parametrize(
    ("patch", "sides"),
    [(8, [56, 28, 14, 7]), (14, [64, 32, 16, 8]), (16, [56, 28, 14, 7]), (32, [56, 28, 14, 7])],
)
def test_an_image_of_224_pixels_has_four_maps_for_every_size_of_patch(patch, sides):
    pyramid = FeaturePyramid(32, patch)
    maps = pyramid(torch.randn(2, 32, 224 // patch, 224 // patch))
    assert [tuple(m.shape) for m in maps] == [
        (2, channels, side, side) for channels, side in zip(pyramid.channels, sides, strict=True)
    ]
    if patch in (14, 16):
        assert pyramid.channels == [8, 16, 32, 32]


def test_the_last_row_and_column_of_an_odd_number_of_patches_are_not_lost():
    features = torch.zeros(1, 4, 5, 5)
    features[..., -1, -1] = 1
    smallest = FeaturePyramid(4, 16)(features)[-1]
    assert smallest.shape == (1, 4, 3, 3)
    assert smallest[..., -1, -1].eq(1).all() and smallest.sum() == 4


def test_the_maps_are_those_of_deconvolutions_and_max_pooling():
    torch.manual_seed(0)
    pyramid, features = FeaturePyramid(8, 16), torch.randn(2, 8, 4, 4)
    first, norm, _, second = pyramid.scales[0]
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2)
        norm.bias.normal_()

    def doubled(maps, layer):
        """Each output pixel of a deconvolution of stride 2 comes from one input pixel."""
        result = torch.zeros(2, layer.out_channels, 2 * maps.shape[2], 2 * maps.shape[3])
        for row in range(2):
            for column in range(2):
                values = torch.einsum("bihw,io->bohw", maps, layer.weight[:, :, row, column])
                result[:, :, row::2, column::2] = values + layer.bias[:, None, None]
        return result

    enlarged = doubled(features, first)
    centred = enlarged - enlarged.mean(dim=1, keepdim=True)
    scaled = centred / (centred.pow(2).mean(dim=1, keepdim=True) + norm.eps).sqrt()
    normed = scaled * norm.weight[:, None, None] + norm.bias[:, None, None]
    halves = features.unflatten(2, (2, 2)).unflatten(4, (2, 2)).amax(dim=(3, 5))
    expected = [
        doubled(F.gelu(normed), second),
        doubled(features, pyramid.scales[1][0]),
        features,
        halves,
    ]
    for actual, plain in zip(pyramid(features), expected, strict=True):
        torch.testing.assert_close(actual, plain)


@pytest.mark.parametrize("name", KINDS)
def test_the_pyramid_reads_the_patches_of_the_last_block_and_no_other_tokens(name):
    side = KINDS[name]
    stages = FourStages(name, ARGS, image_size=side).eval()
    network, tokens = stages.body.model, []
    assert len(network.blocks) == 4
    network.blocks[-1].register_forward_hook(lambda *call: tokens.append(call[-1]))
    maps = stages(torch.randn(2, 3, side, side))
    patch = network.patch_embed.patch_size[0]
    grid = side // patch
    patches = tokens[0][:, -grid * grid :]
    expected = stages.pyramid(patches.transpose(1, 2).unflatten(2, (grid, grid)))
    assert network.num_prefix_tokens == tokens[0].shape[1] - grid * grid > 0
    for actual, plain in zip(maps, expected, strict=True):
        assert torch.equal(actual, plain)


def test_patches_of_14_pixels_divide_an_image_of_224():
    stages = FourStages("vit_small_patch14_dinov2", ARGS)
    shapes = [tuple(stage.shape[1:]) for stage in stages(torch.zeros(1, 3, 224, 224))]
    assert shapes == [(4, 64, 64), (8, 32, 32), (16, 16, 16), (16, 8, 8)]


@pytest.mark.parametrize("multi_level", [True, False])
@pytest.mark.parametrize("name", KINDS)
def test_a_plain_transformer_trains_in_vlfau(name, multi_level):
    side = KINDS[name]
    model = small_model(
        backbone=name,
        backbone_args=ARGS,
        image_size=side,
        multi_level=multi_level,
        local_language=multi_level,
    ).train()
    images, local, whole, labels = batch(image=side)
    examples = batch_of(images, local, whole, labels)
    groups = model.param_groups()
    # Adam's steps do not depend on the scale of gradients, which DINOv2's layer scales make small.
    optimiser = torch.optim.AdamW([{"params": group} for group in groups.values()])
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    sums = model.loss(model(examples), examples, torch.ones(AUS))
    means(sums, model.counts(examples))["total"].backward()
    # With several processes, a parameter without a gradient would block the training.
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []
    optimiser.step()
    assert all((p != before[name]).any() for name, p in model.named_parameters())
    # The pyramid is new in every training, and so has the learning rate of the other new layers.
    assert {*map(id, pyramid_parameters(model))} <= {*map(id, groups["rest"])}
    assert bool(pyramid_parameters(model)) == multi_level
    assert {*map(id, groups["backbone"])} == {*map(id, model.stem.body.parameters())}
    maps = model.eval()._encode(images).maps
    if multi_level:
        side_of_map = -(-side // 32)
        assert maps.shape == (2, AUS, side_of_map, side_of_map)


@pytest.mark.parametrize("name", KINDS)
def test_a_plain_transformer_trains_in_linear_with_its_own_pooling(name):
    side = KINDS[name]
    torch.manual_seed(0)
    backbone = BackboneSettings(name=name, args=ARGS)
    settings = LinearSettings(backbone=backbone, image_size=side)
    names = tuple(f"AU{number:02d}" for number in range(AUS))
    model = Linear.build(settings, Spec(names, "multilabel", {}, side, settings.mean, settings.std))
    images, _, _, labels = batch(image=side)
    examples = batch_of(images, labels=labels)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = []
    for _ in range(2):
        loss = model.loss(model.eval()(examples), examples, torch.ones(AUS))["entropy"]
        optimiser.zero_grad()
        loss.backward()
        assert [n for n, p in model.named_parameters() if p.grad is None] == []
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[1] < losses[0]


def test_the_last_stage_alone_is_the_last_of_four():
    for name, args, side in (
        ("vit_tiny_patch16_224", ARGS, 64),
        ("resnet18", {"layers": (1, 1, 1, 1), "channels": (8, 16, 24, 32)}, 64),
    ):
        torch.manual_seed(0)
        four = FourStages(name, args, image_size=side).eval()
        last = FourStages(name, args, image_size=side, last_only=True).eval()
        last.body.load_state_dict(four.body.state_dict())
        images = torch.randn(2, 3, side, side)
        (only,) = last(images)
        assert torch.equal(only, four(images)[-1])
        assert last.channels == four.channels[-1:]


def test_a_transformer_of_three_blocks_is_refused():
    with pytest.raises(UsageError, match="four blocks or more"):
        FourStages("vit_tiny_patch16_224", {**ARGS, "depth": 3})
