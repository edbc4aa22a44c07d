"""Weights files: headers are compared with the expected one, and unsuitable files are refused."""

import copy
import io
import json
import pickle

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from fauds.errors import DataError
from fauds.nn.presets import run_settings
from fauds.settings import ADDED_SETTINGS
from fauds.training import checkpoint
from tests.helpers import SMALL


def header(**changes):
    settings = run_settings("vlfau", "tiny", SMALL).model_dump(mode="json")
    model = settings["model"]
    meta = {
        "model": "vlfau",
        "preset": "tiny",
        "benchmark": "bp4d",
        "benchmark_version": 2,
        "aus": ["AU01", "AU06", "AU12"],
        "fold": 1,
        "settings": settings,
        "normalisation": {key: model[key] for key in ("mean", "std", "image_size")},
        "vocabulary": "1f" * 32,
    }
    return copy.deepcopy({**meta, **changes})


def refusal(tmp_path, meta, expected):
    """Return the message about a file with one header where another one is expected."""
    path = tmp_path / "weights.safetensors"
    checkpoint.save(path, {"a": torch.zeros(2)}, meta)
    with pytest.raises(DataError) as caught:
        checkpoint.check(checkpoint.load(path)[1], expected, path)
    assert str(path) in str(caught.value) and caught.value.hint
    return caught.value.what


def test_a_header_that_was_saved_and_loaded_equals_the_expected_one(tmp_path):
    expected = header()
    # Settings hold tuples, which JSON turns into lists.
    expected["normalisation"]["mean"] = tuple(expected["normalisation"]["mean"])
    path = tmp_path / "weights.safetensors"
    checkpoint.save(path, {"a": torch.zeros(2)}, expected)
    checkpoint.check(checkpoint.load(path)[1], expected, path)


def test_the_initial_weights_of_the_backbone_are_not_compared(tmp_path):
    other = header()
    other["settings"]["model"]["backbone"] |= {"pretrained": True, "weights": "other.safetensors"}
    checkpoint.check(other, header(), tmp_path)


def test_other_training_settings_are_named(tmp_path):
    other = header()
    other["settings"]["training"]["epochs"] = 77
    assert "settings.training.epochs: the file has 77" in refusal(tmp_path, other, header())


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("benchmark_version", 1, "benchmark_version: the file has 1, expected 2"),
        ("benchmark", "disfa", "benchmark: the file has 'disfa', expected 'bp4d'"),
        ("fold", 3, "fold: the file has 3, expected 1"),
        ("preset", "full", "preset: the file has 'full', expected 'tiny'"),
        ("model", "other", "model: the file has 'other', expected 'vlfau'"),
        ("vocabulary", "ab" * 32, "vocabulary: the file has 'abab"),
        ("aus", ["AU01", "AU12"], "aus: the file lacks AU06"),
        ("aus", ["AU01", "AU06", "AU12", "AU45"], "the file has AU45 in addition"),
        ("aus", ["AU12", "AU01", "AU06"], "aus: the file has them in another order, AU12, AU01"),
        ("aus", 3, "aus: the file has 3, expected ['AU01'"),
        ("settings", None, "settings.model: not in the file"),
        ("normalisation", {}, "normalisation.image_size: not in the file"),
    ],
)
def test_the_message_names_each_difference(tmp_path, key, value, message):
    assert message in refusal(tmp_path, header(**{key: value}), header())


def test_settings_are_named_by_their_dotted_key(tmp_path):
    other = header()
    other["settings"]["model"]["dim"] = 32
    other["settings"]["model"]["backbone"]["args"]["embed_dim"] = 24
    other["settings"]["model"]["older"] = True
    other["normalisation"]["image_size"] = other["settings"]["model"]["image_size"] = 112
    del other["settings"]["model"]["reduction"]
    message = refusal(tmp_path, other, header())
    for part in (
        "settings.model.dim: the file has 32, expected 16",
        "settings.model.backbone.args.embed_dim: the file has 24, expected 16",
        "settings.model.older: the file has True, expected none",
        "settings.model.reduction: not in the file",
        "normalisation.image_size: the file has 112, expected 56",
    ):
        assert part in message
    # It is named once, as part of the normalisation.
    assert "settings.model.image_size" not in message


def test_a_file_of_a_version_without_a_setting_passes_if_the_setting_is_off(tmp_path):
    older = header()
    for section, added in ADDED_SETTINGS.items():
        for name in added:
            del older["settings"][section][name]
    checkpoint.check(older, header(), tmp_path)
    jittered = header()
    jittered["settings"]["training"]["colour_jitter"] = 0.4
    message = refusal(tmp_path, older, jittered)
    assert "settings.training.colour_jitter: the file has 0.0, expected 0.4" in message


def test_keys_that_an_older_file_lacks_are_named_with_the_differences(tmp_path):
    older = header(benchmark_version=1)
    del older["normalisation"], older["preset"]
    message = refusal(tmp_path, older, header())
    for part in ("normalisation: not in the file", "preset: not in the file", "the file has 1"):
        assert part in message


class _Runs:
    """An object whose pickle runs code when it is loaded."""

    def __reduce__(self):
        return exec, ("raise SystemExit('the pickle ran')",)


@pytest.mark.parametrize("kind", ["zip", "old zip", "plain"])
def test_a_pickle_is_refused_without_loading_it(tmp_path, kind):
    stream = io.BytesIO()
    if kind == "plain":
        pickle.dump(_Runs(), stream)
    else:
        torch.save(_Runs(), stream, _use_new_zipfile_serialization=kind == "zip")
    path = tmp_path / "weights.safetensors"
    path.write_bytes(stream.getvalue())
    with pytest.raises(DataError, match=r"pickle, which can run code.*safetensors only"):
        checkpoint.load(path)


def test_a_safetensors_file_whose_length_looks_like_a_pickle_is_read(tmp_path):
    path = tmp_path / "weights.safetensors"
    for padding in range(0, 0x400, 8):
        save_file({"a": torch.ones(2)}, path, metadata={"fauds": json.dumps({"x": " " * padding})})
        if path.read_bytes()[:2] == b"\x80\x02":
            break
    else:
        pytest.fail("no length began with the bytes of a pickle")
    assert checkpoint.load(path)[0]["a"].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        ("{'model': 'vlfau'}", "header is not JSON"),
        ("", "header is not JSON"),
        ('["vlfau"]', "has no keys and values"),
        ("null", "has no keys and values"),
        ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
        ("9" * 5000, "header is not JSON"),
    ],
)
def test_an_invalid_header_is_refused(tmp_path, meta, message):
    path = tmp_path / "weights.safetensors"
    save_file({"a": torch.ones(2)}, path, metadata={"fauds": meta})
    with pytest.raises(DataError, match=message) as caught:
        checkpoint.load(path)
    assert len(str(caught.value)) < 500


def test_a_folder_or_a_file_without_permission_is_refused(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        checkpoint.load(tmp_path)
    with pytest.raises(DataError, match="no such weights file"):
        checkpoint.load(tmp_path / "none.safetensors")

    def refused(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", refused)
    with pytest.raises(DataError, match="cannot be read: Permission denied"):
        checkpoint.load(tmp_path / "weights.safetensors")


def test_a_header_longer_than_the_file_is_refused(tmp_path):
    path = tmp_path / "weights.safetensors"
    for length in (2**63, 2**40, 10**6):
        path.write_bytes(length.to_bytes(8, "little") + b'{"a": 1}')
        with pytest.raises(DataError, match="incomplete or not a safetensors file"):
            checkpoint.load(path)


def test_the_error_about_a_full_disk_says_so(tmp_path, monkeypatch):
    def full(*_, **__):
        raise SafetensorError("Error while serializing: I/O error: No space (os error 28)")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(DataError, match="No space left on device") as caught:
        checkpoint.save(tmp_path / "a.safetensors", {"a": torch.zeros(1)}, {})
    assert caught.value.hint.startswith("free space")
    assert not list(tmp_path.iterdir())
