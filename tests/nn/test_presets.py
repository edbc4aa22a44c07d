"""The settings of a run that follow from the backbone: normalisation, and the path of weights."""

import pytest
import timm

from fauds.errors import UsageError
from fauds.nn import presets
from fauds.nn.presets import run_settings

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def normalisation(model, preset, *changes):
    settings = run_settings(model, preset, changes).model
    return settings.mean, settings.std


@pytest.mark.parametrize(
    ("backbone", "expected"),
    [
        ("vit_base_patch16_clip_224.openai", CLIP),
        ("eva02_tiny_patch14_224", CLIP),
        ("vit_base_patch14_dinov2.lvd142m", IMAGENET),
        ("vit_base_patch16_224.mae", IMAGENET),
        ("vit_base_patch16_224.augreg_in21k", HALF),
        ("resnet50.a1_in1k", IMAGENET),
    ],
)
@pytest.mark.parametrize(("model", "preset"), [("vlfau", "full"), ("linear", "paper")])
def test_images_are_normalised_as_for_the_weights_of_the_backbone(
    model, preset, backbone, expected
):
    assert normalisation(model, preset, f"model.backbone.name={backbone}") == expected


@pytest.mark.parametrize("model", ["vlfau", "linear"])
def test_the_shipped_presets_normalise_by_imagenet_as_before(model):
    for preset in presets.names(model):
        assert normalisation(model, preset) == IMAGENET, preset


def test_a_stated_mean_or_standard_deviation_counts():
    clip = "model.backbone.name=vit_base_patch16_clip_224.openai"
    stated = "model.mean=[0.1, 0.2, 0.3]"
    assert normalisation("vlfau", "full", clip, stated) == ((0.1, 0.2, 0.3), CLIP[1])
    assert normalisation("linear", "tiny", clip, stated) == ((0.1, 0.2, 0.3), CLIP[1])
    assert normalisation("vlfau", "full", stated) == ((0.1, 0.2, 0.3), IMAGENET[1])


def test_a_preset_of_ones_own_keeps_the_mean_that_it_states(tmp_path, monkeypatch):
    (tmp_path / "mine.yaml").write_text(
        "model: {backbone: {name: vit_base_patch16_clip_224.openai}, mean: [0.1, 0.2, 0.3]}"
    )
    monkeypatch.setattr(presets, "folder", lambda model: tmp_path)
    assert normalisation("linear", "mine") == ((0.1, 0.2, 0.3), CLIP[1])
    args = "model.backbone.args={depth: 4}"
    assert normalisation("linear", "mine", args) == ((0.1, 0.2, 0.3), CLIP[1])


def test_saved_settings_do_not_depend_on_the_version_of_timm(monkeypatch):
    settings = run_settings("linear", "tiny", ("model.backbone.name=eva02_tiny_patch14_224",))
    saved = settings.model_dump(mode="json")
    assert (saved["model"]["mean"], saved["model"]["std"]) == tuple(map(list, CLIP))
    monkeypatch.setattr(timm, "get_pretrained_cfg", lambda name: pytest.fail("timm was asked"))
    assert presets.settings_type("linear").model_validate(saved) == settings
    # Weights files of the first versions state neither.
    older = {key: v for key, v in saved["model"].items() if key not in ("mean", "std")}
    restored = presets.settings_type("linear").model_validate({"model": older})
    assert (restored.model.mean, restored.model.std) == IMAGENET


def test_a_backbone_that_timm_does_not_know_is_an_error_before_any_work():
    for name in ("swine_tiny", "resnet18.in99k", "hf-hub:timm/resnet18"):
        with pytest.raises(UsageError, match="timm") as raised:
            run_settings("linear", "paper", (f"model.backbone.name={name}",))
        assert raised.value.where == "model.backbone.name"


def test_a_weights_file_in_the_current_folder_comes_before_one_beside_the_preset(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)

    def path_of(change):
        changed = run_settings("vlfau", "tiny", (f"model.backbone.weights={change}",))
        return changed.model.backbone.weights

    assert path_of("mine.pth") == "mine.pth"
    (tmp_path / "mine.pth").touch()
    assert path_of("mine.pth") == str(tmp_path / "mine.pth")
    assert path_of(tmp_path / "mine.pth") == str(tmp_path / "mine.pth")
    assert path_of("null") is None
    (tmp_path / "tiny-backbone.safetensors").touch()
    # Nothing of the current folder replaces the file that the preset itself names.
    assert run_settings("vlfau", "tiny").model.backbone.weights == "tiny-backbone.safetensors"
