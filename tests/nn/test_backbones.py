"""Backbones that are chosen by name, and the backbones of the shipped presets."""

import math
import re
from types import SimpleNamespace

import huggingface_hub
import pytest
import timm
import torch

from fauds import resources
from fauds.errors import DataError, UsageError
from fauds.nn import presets
from fauds.nn.layers.backbone import FourStages, LastStage, MultiScale
from fauds.nn.layers.depths import layer_numbers
from fauds.nn.presets import run_settings
from fauds.nn.vlfau import VLFAU, vlfau_loss
from fauds.training import checkpoint
from fauds.training.loop import build_model

from .helpers import AUS, SWIN, batch, batch_of, small_model

FAMILIES = {
    SWIN["backbone"]: SWIN["backbone_args"],
    "convnext_atto": {"depths": (1, 1, 1, 1), "dims": (8, 16, 24, 32)},
    "resnet18": {"layers": (1, 1, 1, 1), "channels": (8, 16, 24, 32)},  # has five stages
    "efficientnet_b0": {},  # has five stages
    "pvt_v2_b0": {},
}

BP4D = (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24)
PARTS = {  # MARL, LLGA, GLGA
    "baseline": (False, False, False),
    "marl": (True, False, False),
    "marl-llga": (True, True, False),
    "marl-glga": (True, False, True),
    "full": (True, True, True),
    "full+cues": (True, True, True),
    "paper": (True, True, True),
    "tiny": (True, True, True),
    "tiny+cues": (True, True, True),
}
PRESETS = sorted(path.stem for path in resources.path("models", "vlfau").glob("*.yaml"))


@pytest.mark.parametrize("name", FAMILIES)
def test_every_parameter_of_a_named_backbone_trains_and_is_restored_from_its_file(name, tmp_path):
    model = small_model(backbone=name, backbone_args=FAMILIES[name]).train()
    images, local, whole, labels = batch()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    vlfau_loss(model(batch_of(images, local, whole)), labels, torch.ones(AUS))["total"].backward()
    # With several processes, a parameter without a gradient would block the training.
    assert [n for n, p in model.named_parameters() if p.grad is None] == []
    gradients = [p.grad for p in model.combine.parameters()]
    assert gradients and [g for g in gradients if not g.any()] == []
    optimizer.step()
    checkpoint.save(tmp_path / "weights.safetensors", dict(model.state_dict()), {"aus": AUS})

    untrained = small_model(backbone=name, backbone_args=FAMILIES[name])
    before = untrained.predict(images)
    tensors, meta = checkpoint.load(tmp_path / "weights.safetensors")
    untrained.load_state_dict(tensors)
    limits = {"max_words_local": 3, "max_words_global": 3}
    expected, restored = (m.eval().explain(images, **limits) for m in (model, untrained))
    assert meta == {"aus": AUS}
    assert not torch.equal(before, expected.scores)
    for tensor, expected_tensor in zip(
        (*restored[:3], *restored.tokens), (*expected[:3], *expected.tokens), strict=True
    ):
        assert torch.equal(tensor, expected_tensor)
    assert torch.equal(untrained.predict(images), expected.scores)
    assert expected.attention.shape[:2] == expected.tokens.local.shape[:2] == (2, AUS)


def test_the_default_swin_is_a_feature_pyramid_of_four():
    stem = FourStages(SWIN["backbone"], SWIN["backbone_args"], image_size=64)
    shapes = [tuple(stage.shape[1:]) for stage in stem(torch.randn(1, 3, 64, 64))]
    assert shapes == [(8, 16, 16), (16, 8, 8), (32, 4, 4), (64, 2, 2)]


def test_an_unsuitable_or_unknown_backbone_is_an_error():
    with pytest.raises(UsageError, match="four feature stages"):
        FourStages("levit_128s")
    with pytest.raises(UsageError, match="no pretrained weights 'in99k' of 'resnet18'"):
        FourStages("resnet18.in99k")
    with pytest.raises(UsageError, match="no backbone called"):
        FourStages("swine_tiny")
    with pytest.raises(UsageError, match="cannot build"):
        FourStages("resnet18", {"colour": "red"})


@pytest.mark.parametrize(
    "name",
    ["hf-hub:timm/resnet18.a1_in1k", "hf_hub:timm/resnet18", "local-dir:here", "timm/resnet18"],
)
@pytest.mark.parametrize("pretrained", [True, False])
def test_a_backbone_that_timm_would_download_is_refused_before_timm_is_called(
    monkeypatch, name, pretrained
):
    monkeypatch.setattr("timm.create_model", lambda *args, **kwargs: pytest.fail("timm was asked"))
    with pytest.raises(UsageError, match="timm") as raised:
        FourStages(name, pretrained=pretrained)
    assert name in str(raised.value)
    assert "list_models" in raised.value.hint


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    """Let the Hugging Face hub be out of reach, and its cache empty; count the requests."""
    asked = []

    def head(url, **options):
        asked.append(url)
        raise OSError("no route to host")

    monkeypatch.setattr(huggingface_hub, "get_session", lambda: SimpleNamespace(head=head))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda repository, file: None)
    return asked


def test_without_network_missing_pretrained_weights_are_an_error_after_one_request(
    monkeypatch, no_network, tmp_path
):
    monkeypatch.setattr("timm.create_model", lambda *args, **kwargs: pytest.fail("timm was asked"))
    with pytest.raises(DataError, match="no route to host") as raised:
        FourStages("resnet18", pretrained=True)
    assert f"not in {tmp_path}, and https://huggingface.co cannot be reached" in str(raised.value)
    assert "pretrained=false" in raised.value.hint and "weights=PATH" in raised.value.hint
    assert no_network == [huggingface_hub.constants.ENDPOINT]


def test_without_network_weights_in_the_cache_or_in_a_file_are_loaded(
    monkeypatch, no_network, tmp_path
):
    """No request is made: timm is asked at once for weights that are on this machine."""
    created = []

    def create(name, **kwargs):
        created.append(name)
        return real(name, **{**kwargs, "pretrained": False})

    real = timm.create_model
    monkeypatch.setattr("timm.create_model", create)
    file = {"pretrained_cfg_overlay": {"file": str(tmp_path / "weights.safetensors")}}
    FourStages("resnet18", file, pretrained=True)
    cached = {("timm/resnet18.a1_in1k", "model.safetensors"): str(tmp_path)}
    lookup = lambda repository, file: cached.get((repository, file))  # noqa: E731
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lookup)
    FourStages("resnet18", pretrained=True)
    assert created == ["resnet18", "resnet18"]
    assert no_network == []


def test_a_failure_to_load_pretrained_weights_is_an_error_with_a_hint(monkeypatch):
    def broken(*args, **kwargs):
        raise OSError("No space left on device")

    monkeypatch.setattr("timm.create_model", broken)
    with pytest.raises(DataError, match="No space left on device") as raised:
        FourStages("resnet18", {"pretrained_cfg_overlay": {"file": "weights"}}, pretrained=True)
    assert "pretrained=false" in raised.value.hint


def test_this_file_lists_every_shipped_preset():
    assert sorted(PARTS) == PRESETS


@pytest.mark.slow
@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_has_the_parts_of_its_row_in_table_4(preset):
    levels, local, whole = PARTS[preset]
    untrained = ("model.backbone.pretrained=false", "model.backbone.weights=null")
    settings = run_settings("vlfau", preset, untrained).model
    names, sizes = [f"AU{n:02d}" for n in BP4D], {"local": 20, "global": 30}
    with torch.device("meta"):
        model = build_model(
            VLFAU, settings, names, "multilabel", sizes, presets.folder("vlfau")
        ).eval()
        images = torch.zeros(2, 3, settings.image_size, settings.image_size)
    assert type(model.combine) is (MultiScale if levels else LastStage)
    assert (model.dair is not None) == levels
    assert (model.local_decoder is not None) == local
    assert (model.global_decoder is not None) == (model.global_head is not None) == whole
    encoded = model.eval()._encode(images)
    positions = math.ceil(settings.image_size / 32) ** 2
    assert encoded.whole.shape == (2, positions, settings.dim)
    assert encoded.branches.shape == (2, 12, positions, settings.dim)
    assert model.predict(images).shape == (2, 12)
    for decoder, vocabulary in ((model.local_decoder, 20), (model.global_decoder, 30)):
        if decoder is not None:
            assert decoder.readout.weight.shape == (vocabulary, settings.hidden)
            assert decoder.key.weight.shape == (settings.attention_dim, settings.dim)


def drop_paths(network):
    """Return the rates of all drop path layers of a network, in order."""
    return [m.drop_prob for m in network.modules() if type(m).__name__ == "DropPath"]


def test_the_paper_presets_drop_path_is_the_default_of_timm_written_out():
    backbone = run_settings("vlfau", "paper").model.backbone
    with torch.device("meta"):
        written = FourStages(backbone.name, dict(backbone.args)).body
        default = FourStages(backbone.name, {}).body
    assert len(drop_paths(written)) == 2 * (2 + 2 + 18 + 2 - 1)  # the first block has rate 0
    assert drop_paths(written) == drop_paths(default)
    assert drop_paths(written)[-1] == pytest.approx(0.1)


def test_the_drop_path_rate_rises_to_its_setting_over_the_blocks():
    change = "model.backbone.args.drop_path_rate=0.5"
    backbone = run_settings("vlfau", "paper", (change,)).model.backbone
    with torch.device("meta"):
        rates = drop_paths(FourStages(backbone.name, dict(backbone.args)).body)
    expected = [0.5 * block / 23 for block in range(1, 24) for _ in range(2)]
    assert rates == pytest.approx(expected)
    for family in ("vlfau", "linear"):
        assert run_settings(family, "tiny").model.backbone.args["drop_path_rate"] == 0.0


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("swin_tiny_patch4_window7_224", {"embed_dim": 8, "depths": (1, 2, 3, 1)}),
        ("convnext_atto", {"depths": (1, 1, 2, 1), "dims": (8, 16, 24, 32)}),
        ("resnet10t", {}),
        ("vit_tiny_patch16_224", {"depth": 3}),
        ("densenet121", {"growth_rate": 4, "block_config": (1, 1, 2, 1)}),
        ("vgg11_bn", {}),
    ],
)
def test_layers_are_numbered_alike_in_a_whole_network_and_in_one_that_returns_its_stages(
    name, args
):
    if "swin" in name:
        args = {**args, "num_heads": (1, 1, 2, 2)}
    stages = timm.create_model(name, features_only=True, **args)
    whole = timm.create_model(name, num_classes=0, **args)
    of_stages, of_whole = layer_numbers(stages), layer_numbers(whole)
    assert of_stages.keys() == dict(stages.named_parameters()).keys()
    assert of_whole.keys() == dict(whole.named_parameters()).keys()
    assert sorted(set(of_stages.values())) == list(range(max(of_stages.values()) + 1))
    blocks = 0
    for path, number in of_stages.items():
        plain = re.sub(
            r"^(layers|stages|blocks|stem|features)_", r"\1.", path.removeprefix("model.")
        )
        assert of_whole[plain] == number
        if re.match("patch_embed|stem|conv1|bn1|cls_token", plain):
            assert number == 0
        blocks = max(blocks, number)
    depths = {"swin_tiny_patch4_window7_224": 7, "convnext_atto": 5, "resnet10t": 4}
    assert blocks == depths.get(name, blocks)
    assert blocks >= 3


def test_a_swin_with_more_blocks_than_timm_s_has_numbered_layers():
    args = {"embed_dim": 8, "depths": (1, 4, 8, 1), "num_heads": (1, 1, 2, 2)}
    deep = timm.create_model("swin_tiny_patch4_window7_224", features_only=True, **args)
    numbers = layer_numbers(deep)
    assert numbers["layers_2.blocks.7.norm1.weight"] == 1 + 4 + 8
    assert numbers["layers_1.blocks.0.norm1.weight"] == 1 + 1


def test_layers_of_a_network_without_timm_s_rule_are_an_error():
    with torch.device("meta"):
        network = timm.create_model("caformer_s18", features_only=True)
    with pytest.raises(UsageError, match=r"layers of this backbone, a .*, are not known"):
        layer_numbers(network)
