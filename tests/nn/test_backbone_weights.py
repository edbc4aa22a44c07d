"""Weights of a backbone load under the names of fauds, of timm and of the network's authors."""

import re

import pytest
import timm
import torch
from timm.layers import resample_abs_pos_embed
from torch import Tensor, nn

from fauds.nn.layers.backbone import FourStages, Pooled
from fauds.nn.layers.backbone_weights import summary

VIT = {"embed_dim": 16, "depth": 4, "num_heads": 2}
NETWORKS = {
    "swin_tiny_patch4_window7_224": {
        "embed_dim": 8,
        "depths": [2, 1, 1, 1],
        "num_heads": [1, 1, 2, 2],
        "window_size": 4,
    },
    "convnext_atto": {"depths": [1, 1, 1, 1], "dims": [8, 16, 24, 32]},
    "resnet18": {"layers": [1, 1, 1, 1], "channels": [8, 16, 24, 32]},
    "vit_base_patch16_224.mae": VIT,
    "vit_small_patch14_dinov2": VIT,
    "vit_small_patch14_reg4_dinov2": VIT,
    "vit_base_patch16_clip_224.openai": VIT,
    "eva02_tiny_patch14_224": VIT,
    "deit3_small_patch16_224": VIT,
}
SIDE = 112
"""The side of images in pixels, for patches of 14 and of 16 pixels."""


def pretrained(name: str, side: int = SIDE) -> nn.Module:
    """Return a whole timm network with a classifier; all of its weights are random."""
    size = {} if name.startswith(("convnext", "resnet")) else {"img_size": side}
    torch.manual_seed(1)
    network = timm.create_model(name, num_classes=5, **NETWORKS[name], **size).eval()
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(torch.rand_like(tensor) * 0.2 + 0.05)
    return network


def features_of(network: nn.Module, images: Tensor) -> list[Tensor]:
    """Return the last stage and the pooled features of a timm network, computed by timm alone."""
    with torch.no_grad():
        tokens = network.forward_features(images)
        maps = network.forward_intermediates(images, norm=False, intermediates_only=True)
        return [maps[-1], network.forward_head(tokens, pre_logits=True)]


def loaded_features(name: str, tensors: dict[str, Tensor], images: Tensor, side: int = SIDE):
    """Return the same features of backbones into which tensors were loaded, and what was loaded."""
    torch.manual_seed(2)
    four = FourStages(name, NETWORKS[name], image_size=side).eval()
    pooled = Pooled(name, NETWORKS[name], pretrained=False, image_size=side).eval()
    reports = four.load(tensors), pooled.load(tensors)
    with torch.no_grad():
        last = four.body(images)[-1]
        last = last.permute(0, 3, 1, 2) if four.channels_last else last
        return [last, pooled(images)], reports


def in_swins_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """A stage of the official Swin ends with its downsampling; in timm the next begins with it."""
    official = {}
    for name, tensor in tensors.items():
        earlier = re.sub(
            r"layers\.(\d)\.downsample", lambda m: f"layers.{int(m[1]) - 1}.downsample", name
        )
        official[earlier.replace("head.fc.", "head.")] = tensor
    return official | {
        "layers.0.blocks.1.attn_mask": torch.zeros(49, 16, 16),
        "layers.0.blocks.0.attn.relative_position_index": torch.zeros(16, 16, dtype=torch.long),
    }


def in_convnexts_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    official = {}
    for old_name, tensor in tensors.items():
        name = re.sub(r"^stem\.", "downsample_layers.0.", old_name)
        name = re.sub(r"^stages\.(\d)\.downsample\.", r"downsample_layers.\1.", name)
        name = re.sub(r"^stages\.(\d)\.blocks\.", r"stages.\1.", name)
        name = name.replace("conv_dw", "dwconv").replace("mlp.fc", "pwconv")
        name = name.replace("head.norm.", "norm.").replace("head.fc.", "head.")
        official[name] = tensor.flatten(1) if "pwconv" in name and tensor.ndim == 4 else tensor
    return official


def in_dinov2s_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    official = {name: t for name, t in tensors.items() if not name.startswith("head.")}
    official["mask_token"] = torch.zeros(1, 16)
    if "reg_token" in official:
        official["register_tokens"] = official.pop("reg_token")
        position = torch.full((1, 1, 16), 0.125)
        official["pos_embed"] = torch.cat([position, official["pos_embed"]], dim=1)
        official["cls_token"] = official["cls_token"] - position
    return official


def in_clips_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    official = {"logit_scale": torch.zeros(()), "ln_final.weight": torch.zeros(8)}
    for old_name, tensor in tensors.items():
        name = old_name.replace("patch_embed.proj", "conv1").replace("norm_pre", "ln_pre")
        name = re.sub(r"^norm\.", "ln_post.", name).replace(".norm", ".ln_")
        name = name.replace("blocks.", "transformer.resblocks.").replace("qkv.", "in_proj_")
        name = name.replace("attn.proj", "attn.out_proj")
        name = name.replace("mlp.fc1", "mlp.c_fc").replace("mlp.fc2", "mlp.c_proj")
        if name == "pos_embed":
            name, tensor = "positional_embedding", tensor[0]
        if name == "cls_token":
            name, tensor = "class_embedding", tensor[0, 0]
        if name == "head.weight":
            name, tensor = "proj", tensor.T
        if name != "head.bias":
            official[f"visual.{name}"] = tensor
    return official


OFFICIAL = {
    "swin_tiny_patch4_window7_224": in_swins_names,
    "convnext_atto": in_convnexts_names,
    "vit_base_patch16_224.mae": lambda tensors: {
        **{name: t for name, t in tensors.items() if not name.startswith("head.")},
        "mask_token": torch.zeros(1, 1, 8),
        "decoder_blocks.0.norm1.weight": torch.zeros(8),
        "decoder_pred.bias": torch.zeros(8),
    },
    "vit_small_patch14_dinov2": in_dinov2s_names,
    "vit_small_patch14_reg4_dinov2": in_dinov2s_names,
    "vit_base_patch16_clip_224.openai": in_clips_names,
    "deit3_small_patch16_224": lambda tensors: {
        re.sub(r"ls(\d)\.gamma", r"gamma_\1", name): t for name, t in tensors.items()
    },
}
"""For some networks, how to give tensors of timm the names of the official release."""

LEFT_OVER = {
    "swin_tiny_patch4_window7_224": "norm.* 2, head.* 2, layers.* 2",  # masks and indices
    "convnext_atto": "norm.* 2, head.* 2",
    "vit_base_patch16_224.mae": "norm.* 2, mask_token, decoder_blocks.* 1, decoder_pred.* 1",
    "vit_small_patch14_dinov2": "norm.* 2, mask_token",
    "vit_small_patch14_reg4_dinov2": "norm.* 2, mask_token",
    "vit_base_patch16_clip_224.openai": "logit_scale, ln_final.* 1, visual.* 3",
    "deit3_small_patch16_224": "norm.* 2, head.* 2",
}
"""What `FourStages` does not use of an official file, which holds more than a backbone."""

IMAGES = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_file_of_timm_with_a_classifier_gives_timms_features(name):
    network = pretrained(name)
    actual, reports = loaded_features(name, network.state_dict(), IMAGES)
    for tensor, expected in zip(actual, features_of(network, IMAGES), strict=True):
        assert torch.equal(tensor, expected)
    for report in reports:
        assert report.missing == ()
        assert {*report.used, *report.left_over} == {*network.state_dict()}
    assert all(key.startswith(("head.", "fc.")) for key in reports[1].left_over)


@pytest.mark.parametrize("name", OFFICIAL)
def test_an_official_file_gives_the_features_of_timms_file(name):
    network = pretrained(name)
    tensors = OFFICIAL[name](network.state_dict())
    assert tensors.keys() != network.state_dict().keys()
    actual, reports = loaded_features(name, tensors, IMAGES)
    for tensor, expected in zip(actual, features_of(network, IMAGES), strict=True):
        torch.testing.assert_close(tensor, expected)
    for report in reports:
        assert report.missing == ()
        assert sorted((*report.used, *report.left_over)) == sorted(tensors)
    assert summary(reports[0].left_over) == LEFT_OVER[name]


@pytest.mark.parametrize(
    ("prefix", "others"),
    [
        ("module.", ()),
        ("_orig_mod.module.", ()),
        ("module._orig_mod.", ()),
        ("backbone.", ("head.mlp.0.weight", "head.last_layer.weight_v")),
        ("module.base_encoder.", ("module.predictor.0.weight",)),
        ("encoder.", ("decoder.0.weight", "decoder.0.bias")),
        ("model.", ("criterion.weight",)),
    ],
)
@pytest.mark.parametrize("name", ["vit_base_patch16_224.mae", "swin_tiny_patch4_window7_224"])
def test_the_prefixes_of_training_programs_are_removed(name, prefix, others):
    network = pretrained(name)
    official = OFFICIAL[name](network.state_dict())
    tensors = {f"{prefix}{key}": tensor for key, tensor in official.items()}
    tensors |= dict.fromkeys(others, torch.zeros(3))
    (last, pooled), reports = loaded_features(name, tensors, IMAGES)
    expected = features_of(network, IMAGES)
    assert torch.equal(last, expected[0]) and torch.equal(pooled, expected[1])
    for report in reports:
        assert {*others} <= {*report.left_over}
        assert f"{prefix}patch_embed.proj.weight" in report.used


def test_of_a_teacher_and_a_student_in_one_file_the_teacher_is_used():
    name = "vit_small_patch14_dinov2"
    network = pretrained(name)
    tensors = {f"teacher.backbone.{key}": t for key, t in network.state_dict().items()}
    tensors |= {f"student.backbone.{key}": t + 1 for key, t in network.state_dict().items()}
    (last, _), (report, _) = loaded_features(name, tensors, IMAGES)
    assert torch.equal(last, features_of(network, IMAGES)[0])
    assert all(key.startswith("teacher.") for key in report.used)


@pytest.mark.parametrize(
    "name", ["vit_base_patch16_224.mae", "vit_small_patch14_dinov2", "eva02_tiny_patch14_224"]
)
def test_the_position_embedding_of_another_image_size_is_resized_as_by_timm(name):
    larger, own = pretrained(name, side=224), pretrained(name)
    prefix_tokens = larger.num_prefix_tokens
    own.load_state_dict(
        larger.state_dict()
        | {
            "pos_embed": resample_abs_pos_embed(
                larger.pos_embed, list(own.patch_embed.grid_size), num_prefix_tokens=prefix_tokens
            )
        }
    )
    actual, reports = loaded_features(name, larger.state_dict(), IMAGES)
    for tensor, expected in zip(actual, features_of(own, IMAGES), strict=True):
        torch.testing.assert_close(tensor, expected)
    assert all("pos_embed" in report.used for report in reports)


def test_weights_in_half_precision_are_loaded_in_single_precision():
    name = "vit_base_patch16_224.mae"
    network = pretrained(name).half().float()
    halves = {key: tensor.half() for key, tensor in network.state_dict().items()}
    (last, _), _ = loaded_features(name, halves, IMAGES)
    assert torch.equal(last, features_of(network, IMAGES)[0])


@pytest.mark.parametrize("name", NETWORKS)
def test_a_backbone_that_fauds_saved_loads_into_itself_and_with_pooling(name):
    torch.manual_seed(0)
    saved = FourStages(name, NETWORKS[name], image_size=SIDE)
    other = FourStages(name, NETWORKS[name], image_size=SIDE)
    tensors = saved.body.state_dict()
    report = other.load(tensors)
    assert report == (tuple(tensors), (), ())
    for key, tensor in other.body.state_dict().items():
        assert torch.equal(tensor, tensors[key]), key
    pooled = Pooled(name, NETWORKS[name], pretrained=False, image_size=SIDE)
    report = pooled.load(tensors)
    assert (report.used, report.left_over) == (tuple(tensors), ())
    assert all(key.split(".")[0] in ("norm", "head", "fc_norm") for key in report.missing)
    again = FourStages(name, NETWORKS[name], image_size=SIDE)
    again.load(pooled.body.state_dict())
    for key, tensor in again.body.state_dict().items():
        assert torch.equal(tensor, tensors[key]), key


def test_weights_of_another_network_are_refused_and_nothing_is_loaded():
    name = "vit_base_patch16_224.mae"
    network = pretrained(name)
    tensors = network.state_dict()
    deeper = tensors | {f"blocks.4.{key}": t for key, t in network.blocks[0].state_dict().items()}
    shallower = {key: t for key, t in tensors.items() if not key.startswith("blocks.3.")}
    wider = {key: torch.cat([t, t], dim=-1) for key, t in tensors.items()}
    scaled = tensors | {f"blocks.{n}.ls1.gamma": torch.ones(16) for n in range(4)}
    cases = {
        r"file has 12 tensors that this network lacks: blocks\.\* 12": deeper,
        r"file lacks 12 of the network's 52 tensors: blocks\.\* 12": shallower,
        r"cls_token is \[1, 1, 32\] in the file, and \[1, 1, 16\] in this": wider,
        r"file has 4 tensors that this network lacks: blocks\.\* 4": scaled,
        r"none of its 2 tensors \(embeddings\.\* 1, x\)": {
            "embeddings.cls_token": torch.zeros(1, 1, 16),
            "x": torch.zeros(3),
        },
        "none of its 0 tensors": {},
    }
    for message, wrong in cases.items():
        four = FourStages(name, VIT, image_size=SIDE)
        before = {key: tensor.clone() for key, tensor in four.body.state_dict().items()}
        with pytest.raises(RuntimeError, match=message):
            four.load(wrong)
        for key, tensor in four.body.state_dict().items():
            assert torch.equal(tensor, before[key])


def test_official_weights_of_a_deeper_swin_are_refused():
    name = "swin_tiny_patch4_window7_224"
    tensors = in_swins_names(pretrained(name).state_dict())
    block = {
        key.replace("layers.0.blocks.0", "layers.2.blocks.1"): tensor
        for key, tensor in tensors.items()
        if key.startswith("layers.0.blocks.0")
    }
    with pytest.raises(RuntimeError, match=r"timm cannot convert its tensors.*no attribute"):
        FourStages(name, NETWORKS[name], image_size=SIDE).load(tensors | block)


def test_loading_weights_changes_no_random_numbers():
    name = "vit_small_patch14_dinov2"
    four, tensors = FourStages(name, VIT, image_size=SIDE), pretrained(name).state_dict()
    state = torch.random.get_rng_state()
    four.load(tensors)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(p.requires_grad and p.is_leaf for p in four.parameters())


def test_a_summary_counts_the_tensors_of_every_part():
    assert summary(["pos_embed", "blocks.0.a", "blocks.1.a", "norm.weight"]) == (
        "pos_embed, blocks.* 2, norm.* 1"
    )
    assert summary(["module.backbone.blocks.0.a", "module.backbone.pos_embed"]) == (
        "module.backbone.blocks.* 1, module.backbone.pos_embed"
    )
    assert summary(f"part{n}.x" for n in range(12)).endswith("part9.* 1, 2 more parts")
