"""Untrusted weights files: no header runs code, opens a file or exhausts memory."""

import copy
import pickle
import resource
import socket

import pytest
import torch

from fauds.errors import DataError
from fauds.explanation import weights_checks as checks
from fauds.explanation.engine import Explainer
from fauds.explanation.weights import open_weights
from fauds.nn.presets import run_settings
from fauds.training import checkpoint
from tests.explanation.models import AUS, write_weights
from tests.helpers import SMALL

SETTINGS = run_settings("vlfau", "tiny", SMALL).model_dump(mode="json")


def manipulated(tmp_path, model=None, backbone=None, args=None, **meta):
    """Write weights of a small model with a manipulated header."""
    settings = copy.deepcopy(SETTINGS)
    settings["model"] |= model or {}
    settings["model"]["backbone"] |= backbone or {}
    settings["model"]["backbone"]["args"] |= args or {}
    return write_weights(tmp_path / "w.safetensors", settings=settings, **meta)


@pytest.fixture
def no_network(monkeypatch):
    def connect(*_):
        pytest.fail("a header opened a connection")

    monkeypatch.setattr(socket.socket, "connect", connect)


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize(
    "name",
    [
        "hf-hub:timm/resnet18.a1_in1k",
        "hf_hub:timm/resnet18.a1_in1k",
        "HF-HUB:timm/resnet18",
        "local-dir:/tmp/model",
        "resnet18.local-dir:/tmp/model",
        "timm/resnet18",
        "../resnet18",
        "os.system",
        "",
    ],
)
def test_a_backbone_that_is_not_a_timm_model_name_is_refused(tmp_path, name):
    path = manipulated(tmp_path, backbone={"name": name})
    with pytest.raises(DataError, match="do not fit the model that the file's header describes"):
        open_weights(path).model()


class _RunsCode:
    def __reduce__(self):
        return exec, ("raise SystemExit('the pickle ran')",)


@pytest.mark.usefixtures("no_network")
def test_files_named_in_a_header_are_not_opened(tmp_path):
    bomb = tmp_path / "bomb.pth"
    bomb.write_bytes(pickle.dumps(_RunsCode()))
    backbone = {"pretrained": True, "weights": str(bomb)}
    overlay = {"pretrained_cfg_overlay": {"file": str(bomb), "custom_load": True}}
    model = open_weights(manipulated(tmp_path, backbone=backbone, args=overlay)).model()
    assert model.predict(torch.zeros(1, 3, 56, 56)).shape == (1, len(AUS))
    for name in ("checkpoint_path", "cache_dir"):
        with pytest.raises(DataError, match=f"settings.model.backbone.args.*{name}"):
            open_weights(manipulated(tmp_path, args={name: str(bomb)}))


@pytest.mark.parametrize(
    "args",
    [
        {"act_layer": "os.system"},
        {"norm_layer": "builtins.exec"},
        {"feature_cls": "subprocess.Popen"},
        {"pretrained": True},
        {"features_only": False},
        {"model_name": "resnet18"},
        {"embed_dim": "16"},
        {"no such argument": "x" * 100_000},
    ],
)
def test_invalid_backbone_arguments_are_refused(tmp_path, args):
    path = manipulated(tmp_path, args=args)
    with pytest.raises(
        DataError, match="do not fit the model that the file's header describes"
    ) as caught:
        open_weights(path).model()
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"model": {"dim": 10**6}}, "the file has .*16.*, the model .*1000000"),
        ({"model": {"dim": 10**15}}, "header describes"),
        ({"model": {"dim": -1}}, "settings.model.dim"),
        ({"model": {"dim": 0}}, "settings.model.dim"),
        ({"model": {"msc_width": 10**9}}, "header describes"),
        ({"model": {"image_size": 10**6}}, "image_size: Input should be less"),
        ({"model": {"image_size": -56}}, "image_size: Input should be greater"),
        ({"args": {"embed_dim": 90_000}}, "header describes"),
        ({"args": {"window_size": 90_000, "strict_img_size": False}}, "header describes"),
        ({"args": {"depths": [90_000, 1, 1, 1]}}, "many more parameters than the file"),
        ({"args": {"depths": [10**12, 1, 1, 1]}}, "args has the number 1,000,000,000,000"),
        ({"args": {"drop_path_rate": 1e300}}, "too large for a backbone"),
        (
            {"longest": {"local": 10**12, "global": 9}},
            "longest.local must be from 1 to 10,000, not 1,000,000,000,000",
        ),
        ({"longest": {"local": 7, "global": 0}}, "longest.global must be from 1 to 10,000, not 0"),
    ],
)
def test_a_huge_model_is_refused_before_memory_is_allocated(tmp_path, header, message):
    path = manipulated(tmp_path, **header)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DataError, match=message) as caught:
        open_weights(path).model()
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert (after - before) * 1024 < 200e6
    assert len(str(caught.value)) < 1000


def test_buffers_larger_than_the_limit_are_refused(tmp_path, monkeypatch):
    path = manipulated(tmp_path)
    assert open_weights(path).model()
    monkeypatch.setattr(checks, "LARGEST_BUFFERS", 1000)
    with pytest.raises(DataError, match="need too much memory"):
        open_weights(path).model()


@pytest.mark.parametrize("key", ["beam_width", "max_words"])
def test_a_huge_beam_search_is_refused(tmp_path, key):
    settings = copy.deepcopy(SETTINGS)
    settings["inference"][key] = 10**7
    with pytest.raises(DataError, match=f"{key}: Input should be less"):
        open_weights(write_weights(tmp_path / "w.safetensors", settings=settings))


@pytest.mark.parametrize(
    "header",
    [
        {"aus": ["AU01", "AU01", "AU12"]},
        {"aus": ["AU01", "AU06", "\x1b[2Jsmile"]},
        {"aus": ["AU01", "AU06", ["AU12"]]},
        {"aus": "AU01"},
        {"aus": []},
        {"threshold": float("nan")},
        {"threshold": 1.5},
    ],
)
def test_invalid_action_units_and_thresholds_are_refused(tmp_path, header):
    with pytest.raises(DataError, match="header is not valid"):
        open_weights(write_weights(tmp_path / "w.safetensors", **header))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("half", [False, True])
def test_weights_that_are_not_finite_are_an_error_that_names_the_tensor(tmp_path, value, half):
    path = write_weights(tmp_path / "w.safetensors", half=half)
    tensors, meta = checkpoint.load(path)
    tensors["heads.bias"][0, 1] = value
    checkpoint.save(path, tensors, meta)
    with pytest.raises(DataError, match=r"heads\.bias contains values that are not finite"):
        open_weights(path)


def test_checking_weights_does_not_affect_later_models(tmp_path):
    weights = open_weights(manipulated(tmp_path))
    with pytest.raises(DataError):
        open_weights(manipulated(tmp_path, args={"depths": [500, 1, 1, 1]})).model()
    big = torch.nn.Sequential(*(torch.nn.Linear(1, 1) for _ in range(2000)))
    assert sum(parameter.device.type == "cpu" for parameter in big.parameters()) == 4000
    assert Explainer(weights, device="cpu", describe=False)


def test_the_benchmark_of_weights_is_kept(tmp_path):
    path = write_weights(tmp_path / "w.safetensors", benchmark="bp4d", benchmark_version=2)
    assert open_weights(path).origin == {"benchmark": "bp4d", "benchmark_version": 2}
