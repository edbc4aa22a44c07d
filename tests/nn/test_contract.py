"""Every registered model follows the contract of fauds.nn.base."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from fauds.errors import UsageError
from fauds.nn import MODELS, presets
from fauds.nn.base import (
    CAPABILITIES,
    Attends,
    Batch,
    Describes,
    Embeds,
    Guided,
    Model,
    Spec,
    means,
)
from fauds.settings import BackboneSettings
from tests.nn.helpers import captions, face_landmarks

NAMES, WORDS, SIDE = ("AU01", "AU06", "AU12"), 11, 64
CLASSES = ("happiness", "anger", "neutral")
FORMS = {"au-cues": "multiclass"}
"""The kind of target of a family that does not predict action units."""
SMALL = {
    "vlfau": {
        "model.backbone": "{name: resnet10t}",
        **{f"model.{key}": 8 for key in ("dim", "hidden", "embed_dim", "attention_dim")},
        "model.msc_width": 4,
        "model.reduction": 2,
        "model.dropout": 0.0,
    },
    "linear": {"model.backbone": "{name: resnet10t}"},
    "au-cues": {"model.backbone": "{name: resnet10t}"},
}
"""Changes that make a family's preset tiny smaller; other families are tested as they are."""


def settings_of(name: str):
    changes = {"model.image_size": SIDE, **SMALL.get(name, {})}
    return presets.run_settings(name, "tiny", tuple(f"{k}={v}" for k, v in changes.items()))


def built(name: str, form: str | None = None) -> Model:
    torch.manual_seed(0)
    form = form or FORMS.get(name, "multilabel")
    settings = settings_of(name).model
    vocabulary = {"local": WORDS, "global": WORDS} if "captions" in MODELS[name].needs else {}
    names = CLASSES if form == "multiclass" else NAMES
    spec = Spec(names, form, vocabulary, SIDE, settings.mean, settings.std)
    return MODELS[name].build(settings, spec).eval()


def batch_for(model: Model, size: int = 4, form: str | None = None) -> Batch:
    random = torch.Generator().manual_seed(1)
    family = next(name for name in MODELS if MODELS[name] is type(model))
    form = form or FORMS.get(family, "multilabel")
    shape = (size, len(NAMES)) if form == "multilabel" else (size,)
    labels = torch.randint(0, 2 if form == "multilabel" else len(NAMES), shape, generator=random)
    labels[0] = -1
    optional = {}
    if "captions" in model.needs:
        optional["local"] = captions(size, len(NAMES), words=5, vocab=WORDS)
        optional["global_"] = captions(size, words=7, seed=2, vocab=WORDS)
    if "landmarks" in model.needs | model.uses:
        optional["landmarks"] = face_landmarks(SIDE, size)
    images = torch.randn(size, 3, SIDE, SIDE, generator=random)
    return Batch(images, labels, torch.arange(size), torch.zeros(size, 2, 3), **optional)


def part_of(batch: Batch, rows: slice) -> Batch:
    cut = {name: value[rows] for name, value in vars(batch).items() if value is not None}
    return Batch(**cut)


@pytest.mark.parametrize("name", [*MODELS])
def test_scores_are_probabilities_and_do_not_depend_on_the_other_images(name):
    model = built(name)
    batch = batch_for(model)
    scores = model.predict(batch.images)
    assert scores.shape == (4, len(NAMES))
    assert scores.dtype == torch.float32
    assert 0 <= scores.min() <= scores.max() <= 1
    torch.testing.assert_close(model.predict(batch.images[1:2]), scores[1:2])
    with torch.inference_mode():
        tested = model.test_step(batch)
    torch.testing.assert_close(tested.scores, scores)
    for measure, (total, count) in tested.measures.items():
        assert 0 <= total <= count, measure
    assert bool(tested.measures) == model.can(Describes)
    assert bool(tested.by_frame) == isinstance(model, Guided)
    for metric, values in tested.by_frame.items():
        assert values.shape == scores.shape, metric
        assert -1 <= values[~values.isnan()].min() <= values[~values.isnan()].max() <= 1, metric
        assert values[0].isnan().all(), "the first frame is not coded"


@pytest.mark.parametrize("name", [*MODELS])
def test_losses_of_parts_add_up_and_every_parameter_learns(name):
    model, weights = built(name), torch.tensor([0.5, 1.5, 1.0])
    batch = batch_for(model)
    counts = model.counts(batch)
    assert tuple(counts) == model.terms
    whole = means(model.loss(model(batch), batch, weights), counts)
    assert set(whole) == {*model.terms, "total"}
    halves = [part_of(batch, slice(0, 2)), part_of(batch, slice(2, 4))]
    parts = [means(model.loss(model(half), half, weights), counts)["total"] for half in halves]
    torch.testing.assert_close(sum(parts), whole["total"])
    for term in model.terms:
        assert sum(model.counts(half)[term] for half in halves) == counts[term]
    whole["total"].backward()
    groups = model.param_groups()
    listed = [parameter for group in groups.values() for parameter in group]
    assert {*map(id, listed)} == {*map(id, model.parameters())}
    assert len(listed) == len({*map(id, listed)})
    assert listed
    for parameter in listed:
        assert parameter.grad is not None and parameter.grad.isfinite().all()
    assert {id(p) for p in groups["backbone"]} == {id(p) for p in model.backbone.parameters()}


@pytest.mark.parametrize("name", [*MODELS])
def test_labels_that_are_not_coded_have_no_loss(name):
    model = built(name)
    batch = batch_for(model)
    empty = {"labels": torch.full_like(batch.labels, -1)}
    if batch.local is not None:
        empty |= {"local": torch.zeros_like(batch.local)}
        empty |= {"global_": torch.zeros_like(batch.global_)}
    uncoded = Batch(**{**vars(batch), **empty})
    losses = means(model.loss(model(uncoded), uncoded, torch.ones(3)), model.counts(uncoded))
    assert {term: float(value) for term, value in losses.items()} == dict.fromkeys(losses, 0.0)


@pytest.mark.parametrize("name", [*MODELS])
def test_a_model_has_a_capability_or_gives_the_reason_why_not(name):
    model = built(name)
    images = batch_for(model).images
    search = {"max_words_local": 4, "max_words_global": 4} if model.can(Describes) else {}
    explained = model.explain(images, **search)
    torch.testing.assert_close(explained.scores, model.predict(images))
    for capability in CAPABILITIES:
        reason = model.reason_without(capability)
        assert model.can(capability) == (reason is None)
        assert reason is None or len(reason) > 10
    assert (explained.features is not None) == model.can(Embeds)
    assert (explained.attention is not None) == model.can(Attends)
    assert any(tokens is not None for tokens in explained.tokens) == model.can(Describes)
    if isinstance(model, Embeds):
        assert torch.equal(model.embed(images), explained.features)
        assert explained.features.shape[:2] == (4, len(NAMES))
    if isinstance(model, Attends):
        assert torch.equal(model.attend(images), explained.attention)
        assert explained.attention.shape[:2] == (4, len(NAMES))


@pytest.mark.parametrize("name", [*MODELS])
def test_a_model_is_restored_from_its_settings_and_tensors(name):
    model, settings = built(name), settings_of(name)
    restored_settings = presets.settings_type(name).model_validate(
        json.loads(json.dumps(settings.model_dump(mode="json")))
    )
    assert restored_settings == settings
    restored = built(name)
    for parameter in restored.parameters():
        torch.nn.init.zeros_(parameter)
    restored.load_state_dict(model.state_dict())
    images = batch_for(model).images
    assert torch.equal(restored.predict(images), model.predict(images))
    settings_without = MODELS[name].without_text_settings(settings.model)
    vocabulary = {"local": WORDS, "global": WORDS}
    form = FORMS.get(name, "multilabel")
    names = CLASSES if form == "multiclass" else NAMES
    spec = Spec(names, form, vocabulary, SIDE, settings_without.mean, settings_without.std)
    small = MODELS[name].build(settings_without, spec).eval()
    assert not small.can(Describes)
    known = model.state_dict()
    small.load_state_dict({key: known[key] for key in small.state_dict()})
    assert torch.equal(small.predict(images), model.predict(images))


@pytest.mark.parametrize("name", [*MODELS])
def test_classes_that_exclude_each_other_are_predicted_or_refused(name):
    try:
        model = built(name, "multiclass")
    except UsageError as error:
        assert error.hint
        return
    batch = batch_for(model, form="multiclass")
    torch.testing.assert_close(model.predict(batch.images).sum(dim=1), torch.ones(4))
    weights = torch.tensor([0.5, 1.5, 1.0])
    losses = means(model.loss(model(batch), batch, weights), model.counts(batch))
    log_p = model.scores(batch.images).log()
    known = [(row, label) for row, label in enumerate(batch.labels.tolist()) if label >= 0]
    plain = sum(-weights[label] * log_p[row, label] for row, label in known) / len(known)
    torch.testing.assert_close(losses["entropy"], plain)


@pytest.mark.parametrize("name", [*MODELS])
def test_action_units_are_predicted_or_refused(name):
    try:
        model = built(name, "multilabel")
    except UsageError as error:
        assert error.hint
        return
    assert model.predict(batch_for(model, form="multilabel").images).shape == (4, len(NAMES))


@pytest.mark.parametrize("name", [*MODELS])
def test_every_family_ships_valid_presets_and_a_model_card(name):
    folder = presets.folder(name)
    assert {"tiny", MODELS[name].preset} <= set(presets.names(name))
    for preset in presets.names(name):
        settings = presets.run_settings(name, preset)
        assert settings.description
        assert type(settings.model) is MODELS[name].Settings
    card = (folder / "README.md").read_text(encoding="utf-8")
    for preset in presets.names(name):
        assert f"`{preset}`" in card


def test_a_folder_of_presets_alone_is_not_a_model(monkeypatch, tmp_path):
    """A name without a registered family is refused, even if there are presets of that name."""
    other = tmp_path / "me-graphau"
    other.mkdir()
    (other / "full.yaml").write_text((presets.folder("vlfau") / "tiny.yaml").read_text())
    monkeypatch.setattr("fauds.resources.root", lambda folder: tmp_path)
    with pytest.raises(UsageError, match=r"no model named 'me-graphau'.*\n.*linear, vlfau"):
        presets.run_settings("me-graphau", "full")


def test_a_setting_of_descriptions_is_refused_for_a_model_without_descriptions():
    with pytest.raises(UsageError, match="linear writes no descriptions"):
        presets.run_settings("linear", "tiny", ("inference.beam_width=5",))
    presets.run_settings("linear", "tiny", ("inference.batch_size=5",))


@pytest.mark.parametrize("backbone", ["vit_tiny_patch16_224", "resnet18", "convnext_atto"])
def test_linear_accepts_any_backbone_and_uses_its_own_pooling(backbone):
    settings = MODELS["linear"].Settings(backbone=BackboneSettings(name=backbone), image_size=SIDE)
    spec = Spec(NAMES, "multilabel", {}, SIDE, settings.mean, settings.std)
    model = MODELS["linear"].build(settings, spec).eval()
    images = torch.randn(2, 3, SIDE, SIDE)
    assert torch.equal(
        model.logits(images), model.head(model.backbone(images)).unflatten(1, (3, 2))
    )


@pytest.mark.parametrize("name", [*MODELS])
def test_a_family_says_which_tensors_of_a_backbone_file_it_has_loaded(name):
    model, other = built(name), built(name)
    tensors = {key: tensor + 1 for key, tensor in model.backbone.state_dict().items()}
    assert other.load_backbone(tensors) == (tuple(tensors), (), ())
    for key, tensor in other.backbone.state_dict().items():
        assert torch.equal(tensor, tensors[key]), key
    tensors.pop(next(iter(tensors)))
    with pytest.raises(RuntimeError, match=r"file lacks 1 of|Missing key"):
        other.load_backbone(tensors)


def test_settings_saved_by_older_versions_can_be_read(tmp_path):
    """The keys of the settings stay the same, so that older runs can be resumed."""
    saved = {
        "description": "",
        "model": {
            "backbone": {"name": "resnet18", "args": {}, "pretrained": False, "weights": None},
            "image_size": 56,
            "dim": 16,
            "hidden": None,
            "embed_dim": None,
            "attention_dim": None,
            "msc_width": 8,
            "msc_pool": "before",
            "reduction": 4,
            "multi_level": True,
            "local_language": True,
            "global_language": True,
            "spatial_sigmoid": True,
            "stage_norm": True,
            "feed_words": True,
            "begin": "mean",
            "dropout": 0.3,
            "head_dropout": 0.0,
            "mean": [0.485, 0.456, 0.406],
            "std": [0.229, 0.224, 0.225],
        },
    }
    read = presets.settings_type("vlfau").model_validate(saved)
    assert read.model_dump(mode="json")["model"] == saved["model"]


def test_the_state_dict_keys_match_the_shipped_weights():
    from safetensors import safe_open

    path: Path = presets.folder("vlfau") / "tiny-faces.safetensors"
    with safe_open(path, framework="np") as file:
        shipped = {key: file.get_slice(key).get_shape() for key in file.keys()}  # noqa: SIM118
        header = json.loads(file.metadata()["fauds"])
    settings = presets.settings_type("vlfau").model_validate(header["settings"]).model
    sizes = {scope: len(header["words"][scope]["tokens"]) for scope in ("local", "global")}
    spec = Spec(tuple(header["aus"]), "multilabel", sizes, 112, settings.mean, settings.std)
    with torch.device("meta"):
        model = MODELS["vlfau"].build(settings, spec)
    assert {key: list(tensor.shape) for key, tensor in model.state_dict().items()} == shipped
    assert np.prod(shipped["heads.weight"]) == 12 * settings.dim * 2
