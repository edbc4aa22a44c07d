"""The ONNX file gives the same probabilities as fauds, documents its use, and is complete."""

import errno
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from fauds.explanation import onnx_export as export
from fauds.explanation.engine import Explainer
from fauds.explanation.weights import SHIPPED, open_weights
from fauds.synthetic.face import FACE_AUS, draw_face, draw_identity, draw_views
from tests.explanation.models import write_weights

ROOT = Path(__file__).parents[2]
WEIGHTS = ROOT / "models" / Path(*SHIPPED)
ALONE = """
import socket
socket.socket.connect = socket.getaddrinfo = None
from fauds.cli.main import main
main()
"""
"""Runs the command line without network access."""


@dataclass(frozen=True)
class Written:
    """The file and the output of exporting the shipped weights."""

    path: Path
    out: str
    err: str


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "faces.onnx"
    command = [sys.executable, "-c", ALONE, "export", WEIGHTS, "--format", "onnx", "--out", path]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    return Written(path, process.stdout, process.stderr)


@pytest.fixture(autouse=True)
def _in_temporary_folder(monkeypatch, tmp_path):
    """Change to a temporary folder, where exports are written by default."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def converted(monkeypatch, written):
    """Replace the conversion, which takes seconds, by its earlier result; the check still runs."""
    model = onnx.load(written.path)
    monkeypatch.setattr(export, "_message", lambda *_: model.SerializeToString())
    return model


def synthetic_faces(count):
    """Return aligned crops of synthetic faces that were not trained on, uint8 [128, 128, 3]."""
    rng = np.random.default_rng(5)
    levels = rng.uniform(0, 5, (count, len(FACE_AUS))).astype(np.float32)
    views = draw_views(rng, count)
    return [
        draw_face(draw_identity(rng), *face, 128)[0] for face in zip(levels, views, strict=True)
    ]


def run(path, pixels):
    """Return the probabilities of an ONNX file, used as its metadata describes."""
    images = np.stack(pixels).transpose(0, 3, 1, 2).astype(np.float32)
    return onnxruntime.InferenceSession(path).run(None, {"images": images})[0]


@pytest.mark.slow
def test_the_file_gives_the_probabilities_of_fauds_explain_for_any_batch_size(written):
    crops = synthetic_faces(8)
    explainer = Explainer(open_weights(WEIGHTS), device="cpu", describe=False)
    expected = np.array([list(output.aus.values()) for output in explainer.explain(crops)])
    # A model sees all but an eighth of the 128 pixels, half of it on each side.
    pixels = [crop[8:120, 8:120] for crop in crops]
    for batch in (1, 2, 5, 8):
        assert np.abs(run(written.path, pixels[:batch]) - expected[:batch]).max() < 1e-4
    # The probabilities differ between faces, so that the comparison means something.
    assert expected.std(axis=0).mean() > 0.1


@pytest.mark.slow
def test_the_metadata_describes_how_the_file_is_used(written):
    model = onnx.load(written.path)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    weights = open_weights(WEIGHTS)
    assert tuple(json.loads(metadata["aus"])) == weights.aus
    assert json.loads(metadata["threshold"]) == weights.threshold
    assert json.loads(metadata["alignment"]) == {"name": "eyes-similarity", "version": 1}
    assert json.loads(metadata["normalisation"])["inside"] is True
    assert json.loads(metadata["image_size"]) == 112
    assert (
        metadata["crop"].startswith("scale the face to 128 pixels")
        and "112 x 112" in metadata["crop"]
    )
    assert (metadata["benchmark"], json.loads(metadata["benchmark_version"])) == ("bp4d", 2)
    assert (metadata["model"], metadata["preset"]) == ("vlfau", "tiny")
    assert (
        metadata["trained_on"] == weights.trained_on and json.loads(metadata["synthetic"]) is True
    )
    assert metadata["fauds"] and metadata["exported_by"].startswith("fauds ")


@pytest.mark.slow
def test_input_and_output_are_named_and_only_the_batch_is_free(written):
    graph = onnx.load(written.path).graph
    shapes = {
        value.name: [side.dim_param or side.dim_value for side in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    }
    assert shapes == {"images": ["batch", 3, 112, 112], "probabilities": ["batch", 12]}


@pytest.mark.slow
def test_the_export_is_one_file_without_paths_of_this_machine(written):
    assert list(written.path.parent.iterdir()) == [written.path]
    content = written.path.read_bytes()
    for folder in (ROOT, Path(torch.__file__).parent):
        assert str(folder).encode() not in content


@pytest.mark.slow
def test_the_command_prints_a_summary_and_nothing_else(written):
    lines = written.out.splitlines()
    assert lines[0] == f"{written.path}: {written.path.stat().st_size / 1e6:.1f} MB"
    assert lines[1].startswith("action units: AU01, AU02")
    assert float(lines[2].removeprefix("largest difference from PyTorch on 8 faces: ")) < 1e-4
    assert "eyes-similarity" in lines[3]
    assert written.err.splitlines() == [
        "These weights were trained on synthetic faces only: their output for a photograph is "
        "meaningless."
    ]


@pytest.mark.slow
def test_the_three_lines_of_use_work(written):
    lines = [line.strip() for line in written.out.splitlines()]
    names = {"faces": np.zeros((3, 3, 112, 112), np.float32)}
    exec("\n".join(lines[lines.index("use:") + 1 :]), names)
    assert names["probabilities"].shape == (3, 12)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        (
            "model.backbone.name=convnext_atto",
            "model.backbone.args={depths: [1, 1, 1, 1], dims: [8, 8, 16, 16]}",
            "model.msc_pool=after",
        ),
        pytest.param(
            (
                "model.backbone.name=resnet18",
                "model.backbone.args={channels: [8, 8, 16, 16]}",
                "model.multi_level=false",
                "model.local_language=false",
            ),
            marks=pytest.mark.exhaustive,
        ),
        ("inference.flip=true",),
        *(
            pytest.param(
                (
                    f"model.backbone.name={name}",
                    "model.backbone.args={embed_dim: 16, depth: 4, num_heads: 2}",
                ),
                marks=pytest.mark.exhaustive,
            )
            for name in ("vit_small_patch14_reg4_dinov2", "eva02_tiny_patch14_224")
        ),
    ],
)
def test_models_with_other_backbones_and_without_branches_are_exported(tmp_path, changes):
    weights = open_weights(write_weights(tmp_path / "w.safetensors", changes=changes))
    exported = export.write_onnx(weights, tmp_path / "w.onnx")
    assert (exported.faces, exported.size) == (8, exported.path.stat().st_size)
    crops = [face[::2, ::2] for face in synthetic_faces(3)]
    expected = Explainer(weights, device="cpu", describe=False).explain(crops)
    actual = run(exported.path, [crop[4:60, 4:60] for crop in crops])
    assert np.abs(actual - [list(one.aus.values()) for one in expected]).max() < 1e-4


@pytest.mark.slow
def test_an_older_file_is_replaced(cli, converted, tmp_path):
    out = tmp_path / "old.onnx"
    out.write_text("old")
    cli.ok("export", WEIGHTS, "--out", out)
    assert onnx.load(out).graph.input[0].name == "images"


@pytest.mark.slow
def test_a_file_whose_probabilities_differ_from_pytorch_is_not_kept(cli, converted, tmp_path):
    (bias,) = (i for i in converted.graph.initializer if i.name.endswith("heads.bias"))
    values = onnx.numpy_helper.to_array(bias) + np.float32([0.01, 0])
    bias.CopyFrom(onnx.numpy_helper.from_array(values, bias.name))
    out = tmp_path / "old.onnx"
    out.write_text("old")
    outcome = cli("export", WEIGHTS, "--out", out)
    assert outcome.code == 1 and "not kept: its probabilities differ from PyTorch's" in outcome.err
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


@pytest.mark.slow
def test_a_file_that_does_not_run_is_not_kept(cli, converted, tmp_path):
    del converted.graph.initializer[0]
    outcome = cli("export", WEIGHTS, "--out", tmp_path / "new.onnx")
    assert outcome.code == 1 and "not kept: it cannot be run" in outcome.err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.usefixtures("converted")
def test_the_old_file_is_kept_if_the_disk_is_full(cli, monkeypatch, tmp_path):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    out = tmp_path / "old.onnx"
    out.write_text("old")
    monkeypatch.setattr(Path, "write_bytes", full)
    outcome = cli("export", WEIGHTS, "--out", out)
    assert outcome.code == 1 and "old.onnx could not be written: No space left" in outcome.err
    assert "free space" in outcome.err
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_weights_are_not_replaced_by_their_own_export(cli, tmp_path):
    weights = write_weights(tmp_path / "w.safetensors")
    before = weights.read_bytes()
    outcome = cli("export", weights, "--out", weights)
    assert outcome.code == 2 and "would replace the weights" in outcome.err
    assert weights.read_bytes() == before


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_an_error_that_says_what_to_install(cli, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    outcome = cli("export", WEIGHTS)
    assert outcome.code == 2 and f"package {package}, which is not installed" in outcome.err
    assert "pip install 'fauds[export]'" in outcome.err and "Traceback" not in outcome.err


def test_a_backbone_that_cannot_be_exported_is_an_error_that_names_it(cli, monkeypatch, tmp_path):
    def fail(*_, **__):
        raise RuntimeError("no such operator\nand much more")

    monkeypatch.setattr("torch.onnx.export", fail)
    monkeypatch.setattr("torch.export.export", fail)
    outcome = cli("export", write_weights(tmp_path / "w.safetensors"))
    assert outcome.code == 1 and "cannot be exported to ONNX: no such operator\n" in outcome.err
    assert "swin_tiny" in outcome.err and "much more" not in outcome.err


def test_weights_of_a_run_are_exported_by_its_name_which_also_names_the_file(
    cli, work, monkeypatch
):
    runs = work / "synthetic" / "runs"
    for fold in ("fold1", "fold2"):
        write_weights(runs / "first" / fold / "weights.safetensors")
    exports = []

    def write(weights, path):
        exports.append((weights.path.parent.name, str(path)))
        return export.ExportedModel(path, 1, 8, 0.0)

    monkeypatch.setattr(export, "write_onnx", write)
    assert "fold1 is used" in cli("export", "first").err
    assert "whole images" in cli.ok("export", "first/fold2")
    cli.ok("export", runs / "first" / "fold2" / "weights.safetensors", "--out", "mine.onnx")
    assert exports == [
        ("fold1", "first-fold1.onnx"),
        ("fold2", "first-fold2.onnx"),
        ("fold2", "mine.onnx"),
    ]
    outcome = cli("export", "second")
    assert outcome.code == 2 and "no weights file or run 'second'" in outcome.err
    assert "choose from: first" in outcome.err
