"""The ONNX file says what fauds says, carries what using it needs, and is written whole."""

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
from fauds.synthetic.face import DRAWN_AUS, draw_face, draw_identity, draw_views
from tests.explanation.models import write_weights

ROOT = Path(__file__).parents[2]
WEIGHTS = ROOT / "models" / Path(*SHIPPED)
ALONE = """
import socket
socket.socket.connect = socket.getaddrinfo = None
from fauds.cli.main import main
main()
"""
"""The command line on a machine that reaches no other."""


@dataclass(frozen=True)
class Written:
    """What one export of the shipped weights left behind."""

    path: Path
    out: str
    err: str


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "faces.onnx"
    command = [sys.executable, "-c", ALONE, "export", WEIGHTS, "--format", "onnx", "--out", path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return Written(path, done.stdout, done.stderr)


@pytest.fixture(autouse=True)
def here(monkeypatch, tmp_path):
    """Work where files may be left."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def translated(monkeypatch, written):
    """Spare a test the translation, which takes seconds; what is written is still checked."""
    model = onnx.load(written.path)
    monkeypatch.setattr(export, "_message", lambda *_: model.SerializeToString())
    return model


def drawn(count):
    """Faces of strangers as aligned crops, uint8 [128, 128, 3]."""
    rng = np.random.default_rng(5)
    levels = rng.uniform(0, 5, (count, len(DRAWN_AUS))).astype(np.float32)
    views = draw_views(rng, count)
    return [
        draw_face(draw_identity(rng), *face, 128)[0] for face in zip(levels, views, strict=True)
    ]


def run(path, pixels):
    """Probabilities of an ONNX file, as its metadata says to use it."""
    images = np.stack(pixels).transpose(0, 3, 1, 2).astype(np.float32)
    return onnxruntime.InferenceSession(path).run(None, {"images": images})[0]


@pytest.mark.slow
def test_the_file_says_what_fauds_explain_says_in_batches_of_any_size(written):
    crops = drawn(8)
    explainer = Explainer(open_weights(WEIGHTS), device="cpu", describe=False)
    meant = np.array([list(said.aus.values()) for said in explainer.explain(crops)])
    # An eighth of 128 pixels is left out, half of it on each side.
    pixels = [crop[8:120, 8:120] for crop in crops]
    for batch in (1, 2, 5, 8):
        assert np.abs(run(written.path, pixels[:batch]) - meant[:batch]).max() < 1e-4
    # Faces differ by more than files do.
    assert meant.std(axis=0).mean() > 0.1


@pytest.mark.slow
def test_the_file_says_how_it_is_used(written):
    model = onnx.load(written.path)
    said = {entry.key: entry.value for entry in model.metadata_props}
    weights = open_weights(WEIGHTS)
    assert tuple(json.loads(said["aus"])) == weights.aus
    assert json.loads(said["threshold"]) == weights.threshold
    assert json.loads(said["alignment"]) == {"name": "eyes-similarity", "version": 1}
    assert json.loads(said["normalisation"])["inside"] is True
    assert json.loads(said["image_size"]) == 112
    assert said["crop"].startswith("scale the face to 128 pixels") and "112 x 112" in said["crop"]
    assert (said["benchmark"], json.loads(said["benchmark_version"])) == ("bp4d", 2)
    assert (said["model"], said["preset"]) == ("vlfau", "tiny")
    assert said["trained_on"] == weights.trained_on and json.loads(said["synthetic"]) is True
    assert said["fauds"] and said["exported_by"].startswith("fauds ")


@pytest.mark.slow
def test_input_and_output_are_named_and_only_the_batch_is_free(written):
    graph = onnx.load(written.path).graph
    shapes = {
        value.name: [side.dim_param or side.dim_value for side in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    }
    assert shapes == {"images": ["batch", 3, 112, 112], "probabilities": ["batch", 12]}


@pytest.mark.slow
def test_it_is_one_file_that_speaks_of_no_folder_of_this_machine(written):
    assert list(written.path.parent.iterdir()) == [written.path]
    content = written.path.read_bytes()
    for folder in (ROOT, Path(torch.__file__).parent):
        assert str(folder).encode() not in content


@pytest.mark.slow
def test_what_was_written_is_told_and_nothing_else(written):
    lines = written.out.splitlines()
    assert lines[0] == f"{written.path}: {written.path.stat().st_size / 1e6:.1f} MB"
    assert lines[1].startswith("action units: AU01, AU02")
    assert float(lines[2].removeprefix("largest difference from PyTorch on 8 faces: ")) < 1e-4
    assert "eyes-similarity" in lines[3]
    assert written.err.splitlines() == [
        "These weights have only ever seen drawn faces: what the file says of a photograph means "
        "nothing yet."
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
        (
            "model.backbone.name=resnet18",
            "model.backbone.args={channels: [8, 8, 16, 16]}",
            "model.multi_level=false",
            "model.local_language=false",
        ),
    ],
)
def test_other_backbones_and_models_without_branches_are_exported(tmp_path, changes):
    weights = open_weights(write_weights(tmp_path / "w.safetensors", changes=changes))
    done = export.write_onnx(weights, tmp_path / "w.onnx")
    assert (done.faces, done.size) == (8, done.path.stat().st_size)
    crops = [face[::2, ::2] for face in drawn(3)]
    meant = Explainer(weights, device="cpu", describe=False).explain(crops)
    said = run(done.path, [crop[4:60, 4:60] for crop in crops])
    assert np.abs(said - [list(one.aus.values()) for one in meant]).max() < 1e-4


@pytest.mark.slow
def test_an_older_file_is_replaced(cli, translated, tmp_path):
    out = tmp_path / "old.onnx"
    out.write_text("old")
    cli.ok("export", WEIGHTS, "--out", out)
    assert onnx.load(out).graph.input[0].name == "images"


@pytest.mark.slow
def test_a_file_that_says_something_else_than_pytorch_is_not_kept(cli, translated, tmp_path):
    (bias,) = (i for i in translated.graph.initializer if i.name.endswith("heads.bias"))
    values = onnx.numpy_helper.to_array(bias) + np.float32([0.01, 0])
    bias.CopyFrom(onnx.numpy_helper.from_array(values, bias.name))
    out = tmp_path / "old.onnx"
    out.write_text("old")
    told = cli("export", WEIGHTS, "--out", out)
    assert told.code == 1 and "not kept: its probabilities differ from PyTorch's" in told.err
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


@pytest.mark.slow
def test_a_file_that_does_not_run_is_not_kept(cli, translated, tmp_path):
    del translated.graph.initializer[0]
    told = cli("export", WEIGHTS, "--out", tmp_path / "new.onnx")
    assert told.code == 1 and "not kept: it cannot be run" in told.err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.usefixtures("translated")
def test_a_full_disk_leaves_the_old_file(cli, monkeypatch, tmp_path):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    out = tmp_path / "old.onnx"
    out.write_text("old")
    monkeypatch.setattr(Path, "write_bytes", full)
    told = cli("export", WEIGHTS, "--out", out)
    assert told.code == 1 and "old.onnx could not be written: No space left" in told.err
    assert "free space" in told.err
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_weights_are_not_replaced_by_their_own_export(cli, tmp_path):
    weights = write_weights(tmp_path / "w.safetensors")
    before = weights.read_bytes()
    told = cli("export", weights, "--out", weights)
    assert told.code == 2 and "cannot take the place of the weights" in told.err
    assert weights.read_bytes() == before


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_answered_with_what_to_install(cli, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    told = cli("export", WEIGHTS)
    assert told.code == 2 and f"package {package}, which is not installed" in told.err
    assert "pip install 'fauds[export]'" in told.err and "Traceback" not in told.err


def test_a_backbone_that_cannot_be_translated_is_said(cli, monkeypatch, tmp_path):
    def fail(*_, **__):
        raise RuntimeError("no such operator\nand much more")

    monkeypatch.setattr("torch.onnx.export", fail)
    monkeypatch.setattr("torch.export.export", fail)
    told = cli("export", write_weights(tmp_path / "w.safetensors"))
    assert told.code == 1 and "cannot be exported to ONNX: no such operator\n" in told.err
    assert "swin_tiny" in told.err and "much more" not in told.err


def test_runs_are_found_by_name_and_name_the_file(cli, work, monkeypatch):
    runs = work / "synthetic" / "runs"
    for fold in ("fold1", "fold2"):
        write_weights(runs / "first" / fold / "weights.safetensors")
    asked = []

    def write(weights, path):
        asked.append((weights.path.parent.name, str(path)))
        return export.Exported(path, 1, 8, 0.0)

    monkeypatch.setattr(export, "write_onnx", write)
    assert "fold1 is used" in cli("export", "first").err
    assert "whole pictures" in cli.ok("export", "first/fold2")
    cli.ok("export", runs / "first" / "fold2" / "weights.safetensors", "--out", "mine.onnx")
    assert asked == [
        ("fold1", "first-fold1.onnx"),
        ("fold2", "first-fold2.onnx"),
        ("fold2", "mine.onnx"),
    ]
    told = cli("export", "second")
    assert told.code == 2 and "no weights file or run 'second'" in told.err
    assert "runs there are: first" in told.err
