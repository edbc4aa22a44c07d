"""A model gives the same outputs as in fauds bench, and unsuitable weights are refused."""

import dataclasses
import sys

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file

from fauds.captions import describe, parse
from fauds.captions.tokens import Tokeniser
from fauds.errors import DataError, UsageError
from fauds.explanation import media as sources
from fauds.explanation.engine import Explainer, visible_part
from fauds.explanation.weights import open_weights
from fauds.training import checkpoint
from fauds.training.batches import centre_crop, scale_shorter_side
from fauds.training.device import normalise
from tests.explanation.models import AUS, WORDS, write_weights
from tests.helpers import small


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Return the raw files and the folder of a small run of one fold."""
    from fauds.cli.main import main

    folder = tmp_path_factory.mktemp("bench")
    raw, work = folder / "raw", folder / "work"
    common = ("--dataset", "bp4d", "--workdir", work)
    commands = [
        ("synth", raw, "--like", "bp4d", "--subjects", 4, "--frames", 12, "--seed", 4),
        ("build-captions", *common, "--root", raw),
        ("split", *common, "--method", "random", "--folds", 2),
        (
            *("bench", "vlfau", *common, "--faces", raw, "--fold", 2),
            *small("training.epochs=1", "inference.beam_width=2", "inference.described=5"),
        ),
    ]
    with pytest.MonkeyPatch.context() as monkeypatch:
        for words in commands:
            monkeypatch.setattr(sys, "argv", ["fauds", *map(str, words)])
            with pytest.raises(SystemExit) as ended:
                main()
            assert not ended.value.code
    (run,) = (work / "bp4d" / "runs").iterdir()
    return raw, run


@pytest.mark.slow
def test_explanations_of_test_faces_equal_the_predictions_of_fauds_bench(finished):
    raw, run = finished
    predicted = pq.read_table(run / "fold2" / "predictions.parquet").to_pandas()
    frames = pq.read_table(run.parents[1] / "frames.parquet").to_pandas().set_index("frame_id")
    files = [raw / frames.loc[frame, "image"] for frame in predicted["frame_id"]]
    weights = with_words(open_weights(run), "free")
    crops = [frame.image for frame in sources.frames(files)]
    # The batch size differs from that of the run.
    outputs = Explainer(weights, device="cpu", batch_size=5).explain(crops)
    assert len(outputs) == len(predicted) > 20
    probabilities = np.array([[output.aus[au] for au in weights.aus] for output in outputs])
    assert np.abs(probabilities - predicted[list(weights.aus)].to_numpy()).max() < 1e-5
    described = predicted["face_text"].notna()
    assert described.sum() == 5
    for at in np.flatnonzero(described):
        row = predicted.loc[at]
        assert outputs[at].face == row["face_text"]
        assert outputs[at].local == {au: row[f"{au}_text"] for au in weights.aus}
    assert weights.synthetic
    assert weights.alignment["name"] == "elsewhere"
    assert "24 frames of 2 subjects, without part 2" in weights.trained_on


def with_words(weights, words):
    """Return weights with another value of the setting inference.words."""
    inference = weights.settings.inference.model_copy(update={"words": words})
    settings = weights.settings.model_copy(update={"inference": inference})
    return dataclasses.replace(weights, settings=settings)


@pytest.mark.slow
def test_consistent_descriptions_assert_exactly_the_predicted_states(finished):
    raw, run = finished
    weights = with_words(open_weights(run), "consistent")
    # A threshold at which some action units of each face are active.
    weights = dataclasses.replace(weights, threshold=0.02)
    frames = pq.read_table(run.parents[1] / "frames.parquet").to_pandas()
    files = [raw / image for image in frames["image"][:10]]
    crops = [frame.image for frame in sources.frames(files)]
    explainer = Explainer(weights, device="cpu", batch_size=4)
    outputs = explainer.explain(crops)
    assert explainer.consistent
    assert any(output.active for output in outputs)
    for output in outputs:
        for au in weights.aus:
            assert parse(output.local[au]).asserts(au) == (au in output.active)
            assert parse(output.face).asserts(au, others=False) == (au in output.active)
    output = outputs[0]
    model, words = weights.model(), weights.words["local"]
    features = model._encode(normalise(whole(crops[0], weights), weights.settings.model)).branches
    for place, au in enumerate(weights.aus):
        likelihoods = [
            likelihood(model.local_decoder, features[:, place], describe(au, state), words)
            for state in ("inactive", "active")
        ]
        assert output.support[au] == pytest.approx(likelihoods[1] - likelihoods[0], abs=1e-3)


def whole(crop, weights):
    """Return a face image as the model gets it."""
    size = weights.settings.model.image_size
    image = centre_crop(scale_shorter_side(crop, size), size)
    return torch.from_numpy(image.transpose(2, 0, 1)[None])


def likelihood(decoder, features, text, words):
    """Return the log-likelihood of a text in nats, word by word."""
    ids = [words.index()[token] for token in Tokeniser("en")(text)] + [2]
    state, fed, total = decoder.start(features), 1, 0.0
    for word in ids:
        logits, state = decoder.step(state, torch.tensor([[fed]]))
        total += float(logits.detach().log_softmax(dim=-1)[0, 0, word])
        fed = word
    return total


def test_weights_that_do_not_say_what_they_were_trained_on_describe_freely(plain, crops):
    weights = with_words(open_weights(plain), "consistent")
    assert "do not say" in weights.why_free
    explainer = Explainer(weights, device="cpu")
    assert not explainer.consistent
    assert explainer.explain(crops)[0].support == {}


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return write_weights(tmp_path_factory.mktemp("weights") / "weights.safetensors")


@pytest.fixture(scope="module")
def crops():
    rng = np.random.default_rng(2)
    return [rng.integers(0, 255, (height, 70, 3), dtype=np.uint8) for height in (64, 90, 300)]


def test_crops_of_any_size_have_the_same_explanation_in_a_batch_and_alone(plain, crops):
    explainer = Explainer(open_weights(plain), device="cpu")
    together = explainer.explain(crops)
    for crop, one in zip(crops, together, strict=True):
        (alone,) = explainer.explain([crop])
        assert list(one.aus) == list(AUS)
        assert one.aus == pytest.approx(alone.aus, abs=1e-5)
        assert one.active == tuple(au for au in AUS if one.aus[au] >= 0.5)
        assert one.local == alone.local
        assert one.attention.shape[0] == len(AUS)
        assert set(one.face.split()) <= set(WORDS)
    assert explainer.explain([]) == []


def test_probabilities_and_attention_maps_are_the_same_without_descriptions(plain, crops):
    whole, short = (
        Explainer(open_weights(plain), device="cpu", describe=describe).explain(crops)
        for describe in (True, False)
    )
    for one, other in zip(whole, short, strict=True):
        assert one.aus == pytest.approx(other.aus, abs=1e-6)
        assert np.allclose(one.attention, other.attention, atol=1e-6)
        assert (other.local, other.face) == ({}, "")


def test_only_changes_in_the_visible_part_of_a_crop_change_the_output(plain):
    rng = np.random.default_rng(3)
    crop = rng.integers(0, 255, (96, 128, 3), dtype=np.uint8)
    left, top, right, bottom = visible_part(96, 128, 56)
    outside = crop.copy()
    rows, columns = np.mgrid[:96, :128]
    # With a margin of two pixels, since scaling mixes neighbouring pixels.
    far = (columns < left - 2) | (columns > right + 2) | (rows < top - 2) | (rows > bottom + 2)
    assert far.mean() > 0.2
    outside[far] = 0
    explainer = Explainer(open_weights(plain), device="cpu", describe=False)
    one, other = explainer.explain([crop, outside])
    assert one.aus == pytest.approx(other.aus, abs=1e-6)
    assert (right - left, bottom - top) == pytest.approx((84, 84), abs=1)
    assert (left + right) / 2 == pytest.approx(63.5, abs=1)
    (changed,) = explainer.explain([np.where(far[..., None], crop, 0).astype(np.uint8)])
    assert changed.aus != pytest.approx(one.aus, abs=1e-6)


def test_weights_in_half_precision_are_converted_to_float32(tmp_path, plain, crops):
    half = open_weights(write_weights(tmp_path / "half.safetensors", half=True))
    floats = [tensor.dtype for tensor in half.tensors.values() if tensor.is_floating_point()]
    assert set(floats) == {torch.float32}
    one = Explainer(open_weights(plain), device="cpu", describe=False).explain(crops)[0]
    other = Explainer(half, device="cpu", describe=False).explain(crops)[0]
    assert other.aus == pytest.approx(one.aus, abs=0.01)


def test_a_model_without_decoders_and_branches_gives_only_probabilities(tmp_path, crops):
    baseline = (
        "model.multi_level=false",
        "model.local_language=false",
        "model.global_language=false",
    )
    path = write_weights(tmp_path / "weights.safetensors", changes=baseline)
    for one in Explainer(open_weights(path), device="cpu").explain(crops):
        assert (one.local, one.face, one.attention) == ({}, "", None)
        assert list(one.aus) == list(AUS)


@pytest.mark.parametrize("missing", ["words", "longest", "threshold", "alignment", "settings"])
def test_weights_with_missing_header_entries_are_an_error_that_names_them(tmp_path, missing):
    path = write_weights(tmp_path / "old.safetensors", **{missing: None})
    with pytest.raises(DataError, match=f"'{missing}'"):
        open_weights(path)


def test_a_vocabulary_of_another_size_is_refused(tmp_path):
    short = {"tokens": ["<pad>", "<bos>", "<eos>", "<unk>", "the"], "spaces": [False] * 5}
    path = write_weights(tmp_path / "w.safetensors", words={"local": short, "global": short})
    with pytest.raises(DataError, match="local vocabulary has 5 words, but the weights are for 10"):
        open_weights(path)


@pytest.mark.parametrize(
    "header",
    [
        {"words": []},
        {"words": {"local": 3, "global": 3}},
        {"longest": {"local": "many", "global": 3}},
        {"alignment": "eyes"},
        {"settings": {"model": 3}},
        {"aus": 12},
    ],
)
def test_an_invalid_header_is_refused(tmp_path, header):
    with pytest.raises(DataError, match="header is not valid"):
        open_weights(write_weights(tmp_path / "w.safetensors", **header))


def test_tensors_of_another_model_are_refused(tmp_path):
    path = write_weights(tmp_path / "w.safetensors", aus=["AU01", "AU02"])
    with pytest.raises(DataError, match="do not fit the model"):
        Explainer(open_weights(path), device="cpu")


def test_the_first_fold_of_a_run_is_used_with_a_note(tmp_path, plain):
    runs = tmp_path / "runs"
    for fold in ("fold10", "fold2", "fold1"):
        (runs / "first" / fold).mkdir(parents=True)
        (runs / "first" / fold / plain.name).write_bytes(plain.read_bytes())
    chosen = open_weights("first", runs)
    assert chosen.path == runs / "first" / "fold1" / plain.name
    assert "first has weights of fold1, fold2, fold10: fold1 is used" in chosen.notes[0]
    for named in ("first/fold2", runs / "first" / "fold2", runs / "first" / "fold2" / plain.name):
        exact = open_weights(named, runs)
        assert (exact.path.parent.name, exact.notes) == ("fold2", ())
    with pytest.raises(
        UsageError, match=r"(?s)no weights file or run 'second'.*choose from: first"
    ):
        open_weights("second", runs)
    (runs / "empty").mkdir()
    with pytest.raises(DataError, match="contains no trained weights"):
        open_weights("empty", runs)


def test_a_truncated_file_or_another_format_is_refused(tmp_path, plain):
    whole = plain.read_bytes()
    for size in (0, 7, 100, len(whole) // 2):
        (tmp_path / "cut.safetensors").write_bytes(whole[:size])
        with pytest.raises(DataError, match="incomplete or not a safetensors file"):
            open_weights(tmp_path / "cut.safetensors")
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(DataError, match="incomplete or not a safetensors file"):
        open_weights(tmp_path / "a.png")


def test_safetensors_files_without_a_model_of_fauds_are_refused(tmp_path, plain):
    path = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(3)}, path, metadata={"format": "pt"})
    with pytest.raises(DataError, match="fauds did not write it"):
        open_weights(path)
    checkpoint.save(path, {"a": torch.zeros(3)}, {"pretraining": "on synthetic faces"})
    with pytest.raises(DataError, match="does not contain a complete model") as caught:
        open_weights(path)
    assert "older" not in str(caught.value) and "to do:" in str(caught.value)


def test_a_missing_fold_is_an_error_that_lists_the_existing_folds(tmp_path, plain):
    runs = tmp_path / "runs"
    for fold in ("fold10", "fold2"):
        (runs / "first" / fold).mkdir(parents=True)
        (runs / "first" / fold / plain.name).write_bytes(plain.read_bytes())
    for named, where in ((runs / "first" / "fold9", None), ("first/fold9", runs)):
        with pytest.raises(UsageError, match=r"(?s)first has no weights of 'fold9'.*fold2, fold10"):
            open_weights(named, where)


def test_a_device_that_does_not_exist_is_refused(plain):
    with pytest.raises(UsageError, match="device 'tpu' is unknown"):
        Explainer(open_weights(plain), device="tpu")
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="no CUDA device"):
            Explainer(open_weights(plain), device="cuda")
