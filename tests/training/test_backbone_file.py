"""Weights files of a backbone, from fauds, timm and other programs; none of them can run code."""

import argparse
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from fauds import resources
from fauds.errors import DataError
from fauds.nn.layers.backbone_weights import PREFIXES
from fauds.nn.presets import run_settings
from fauds.training import backbone_file, checkpoint
from tests.helpers import SMALL
from tests.training.helpers import build

TENSORS = {"a.weight": torch.arange(6.0).view(2, 3), "b": torch.ones(2)}


class RunsCode:
    """An object whose pickle makes a folder when it is loaded."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __reduce__(self):
        return os.makedirs, (str(self._folder), 0o777, True)


def same(tensors, expected=TENSORS) -> bool:
    return tensors.keys() == expected.keys() and all(
        torch.equal(tensors[name], expected[name]) for name in expected
    )


@pytest.mark.parametrize("new_format", [True, False])
@pytest.mark.parametrize("inside", [True, False])
def test_a_file_that_would_run_code_is_refused_and_runs_none(tmp_path, new_format, inside):
    mark, path = tmp_path / "ran", tmp_path / "weights.pth"
    content = {"model": {**TENSORS, "x": RunsCode(mark)} if inside else TENSORS}
    content["optimizer"] = RunsCode(mark)
    torch.save(content, path, _use_new_zipfile_serialization=new_format)
    with pytest.raises(DataError, match=r"not opened: it is a pickle.*makedirs") as raised:
        backbone_file.read(path)
    assert raised.value.where == str(path)
    assert "trust" in raised.value.hint
    assert not mark.exists()
    torch.load(path, weights_only=False)
    assert mark.exists(), "the file does run code if it is loaded without care"


def test_a_pickle_is_refused_under_every_name_and_setting_of_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    mark, path = tmp_path / "ran", tmp_path / "weights.safetensors"
    path.write_bytes(pickle.dumps(RunsCode(mark)))
    with pytest.raises(DataError, match="not opened"):
        backbone_file.read(path)
    torch.save(RunsCode(mark), path)
    with pytest.raises(DataError, match="not opened"):
        backbone_file.read(path)
    assert not mark.exists()


def test_a_pickled_network_is_refused(tmp_path):
    torch.save(nn.Linear(2, 3), tmp_path / "network.pth")
    with pytest.raises(DataError, match=r"\(torch\.nn\.modules\.linear\.Linear\)"):
        backbone_file.read(tmp_path / "network.pth")


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda t: t,
        lambda t: {"model": t, "optimizer": {"state": {0: torch.zeros(3)}}, "epoch": 3},
        lambda t: {"state_dict": t, "args": argparse.Namespace(lr=0.1, model="vit")},
        lambda t: {"model": {"state_dict": t}},
        lambda t: {"student": {"a.weight": torch.zeros(2, 3)}, "teacher": t},
        lambda t: {"model": {"a.weight": torch.zeros(2, 3)}, "model_ema": t},
        lambda t: {"model": t, "model_ema": None},
        lambda t: {"encoder": t, "predictor": {"x": torch.zeros(1)}},
        lambda t: {
            "epoch": torch.tensor(3),
            "model": {name: nn.Parameter(v) for name, v in t.items()},
        },
        lambda t: {**t, "version": 2, "name": "vit"},
    ],
)
@pytest.mark.parametrize("new_format", [True, False])
def test_the_tensors_of_the_network_are_taken_out_of_what_surrounds_them(
    tmp_path, wrapped, new_format
):
    torch.save(wrapped(TENSORS), tmp_path / "w.pth", _use_new_zipfile_serialization=new_format)
    assert same(backbone_file.read(tmp_path / "w.pth"))


def test_safetensors_are_read_whoever_wrote_them(tmp_path):
    save_file(TENSORS, tmp_path / "timm.safetensors", metadata={"format": "pt"})
    checkpoint.save(tmp_path / "fauds.safetensors", TENSORS, {"pretraining": "on faces"})
    for name in ("timm", "fauds"):
        assert same(backbone_file.read(tmp_path / f"{name}.safetensors"))
    # A run's own weights need the header that fauds writes.
    with pytest.raises(DataError, match="fauds did not write it"):
        checkpoint.load(tmp_path / "timm.safetensors")


def test_results_say_how_the_backbone_was_pretrained_or_name_its_file(tmp_path):
    save_file(TENSORS, tmp_path / "timm.safetensors")
    torch.save(TENSORS, tmp_path / "official.pth")
    checkpoint.save(tmp_path / "fauds.safetensors", TENSORS, {"pretraining": "on faces"})
    phrases = [
        backbone_file.pretraining(tmp_path / name)
        for name in ("timm.safetensors", "official.pth", "fauds.safetensors")
    ]
    assert phrases == ["weights from timm.safetensors", "weights from official.pth", "on faces"]


def test_the_documentation_lists_every_wrapper_and_prefix():
    text = (resources.root("models").parent / "docs" / "models.md").read_text(encoding="utf-8")
    for listed in (backbone_file.WRAPPERS, PREFIXES):
        assert ", ".join(f"`{name}`" for name in listed) in " ".join(text.split())


def test_a_file_that_is_damaged_or_holds_no_weights_is_named(tmp_path):
    torch.save({"model": TENSORS}, tmp_path / "whole.pth")
    whole = (tmp_path / "whole.pth").read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[:300])
    np.savez(tmp_path / "arrays.npz", a=np.zeros(3))
    torch.save([torch.zeros(3)], tmp_path / "list.pth")
    torch.save({"epoch": 3}, tmp_path / "numbers.pth")
    (tmp_path / "text.safetensors").write_text("not weights")
    for name, message in {
        "cut.pth": "damaged",
        "arrays.npz": "damaged or no weights file of PyTorch",
        "list.pth": "no tensors under names",
        "numbers.pth": "no tensors under names",
        "text.safetensors": "not a safetensors file",
        "missing.pth": "no such weights file",
    }.items():
        with pytest.raises(DataError, match=message) as raised:
            backbone_file.read(tmp_path / name)
        assert raised.value.where == str(tmp_path / name)
        assert raised.value.hint


@pytest.mark.parametrize("family", ["vlfau", "linear"])
def test_a_line_says_what_was_loaded_and_the_backbone_has_the_weights(
    faces, settings, tmp_path, family
):
    saved = build(settings, faces, tmp_path).backbone.state_dict()
    official = {f"module.{key}": tensor + 1 for key, tensor in saved.items()}
    official["module.head.weight"] = torch.zeros(3, 2)
    torch.save({"model": official}, tmp_path / "tiny.pth")
    changes = (*(change for change in SMALL if "backbone" in change), "model.image_size=56")
    weights = f"model.backbone.weights={tmp_path / 'tiny.pth'}"
    lines: list[str] = []
    changed = run_settings(family, "tiny", (*changes, weights))
    model = build(changed, faces, tmp_path, family, say=lines.append)
    loaded = model.backbone.state_dict()
    for key, tensor in saved.items():
        name = key if family == "vlfau" else key.replace("layers_", "layers.", 1)
        assert torch.equal(loaded[name], tensor + 1), key
    (line,) = lines
    assert line.startswith(
        f"backbone weights from tiny.pth: {len(saved)} tensors used (module.patch_embed.* 4, "
    )
    assert "1 left over in the file (module.head.* 1)" in line
    missing = "none missing in the file" if family == "vlfau" else "2 missing in the file"
    assert missing in line


def test_weights_of_another_backbone_are_refused_with_what_to_do(faces, settings, tmp_path):
    torch.save({"model": {"blocks.0.weight": torch.zeros(3)}}, tmp_path / "other.pth")
    model = build(settings, faces, tmp_path)
    with pytest.raises(DataError, match="do not fit this backbone: none of its 1 tensors") as error:
        backbone_file.load_backbone(model, tmp_path / "other.pth")
    assert "model.backbone.name" in error.value.hint
