"""inference.flip: probabilities are means over the image and the mirrored image."""

import cv2
import numpy as np
import pytest
import torch

from fauds.explanation.engine import Explainer
from fauds.explanation.weights import open_weights
from fauds.nn import MODELS, presets
from fauds.nn.presets import run_settings
from fauds.runs.predict import infer, predict
from fauds.training.face_set import FaceSet
from fauds.training.loop import build_model
from tests.explanation.models import AUS, write_weights
from tests.helpers import SMALL

FRAMES = 7
CHANGES = {
    "vlfau": SMALL,
    "linear": [change for change in SMALL if change.startswith(("model.b", "model.i", "training"))],
}


@pytest.fixture
def faces(tmp_path):
    """Return seven images of noise, and the same images mirrored."""
    rng = np.random.default_rng(0)
    sets = []
    images = rng.integers(0, 255, (FRAMES, 64, 64, 3), dtype=np.uint8)
    for name, pixels in (("plain", images), ("mirrored", images[:, :, ::-1])):
        paths = [str(tmp_path / f"{name}{number}.png") for number in range(FRAMES)]
        for path, image in zip(paths, pixels, strict=True):
            cv2.imwrite(path, image)
        ids, labels = np.arange(FRAMES), np.zeros((FRAMES, len(AUS)), np.int8)
        sets.append(FaceSet(ids, np.array(paths), labels, np.full(FRAMES, "S1")))
    return sets


def flipped(settings):
    return settings.model_copy(
        update={"inference": settings.inference.model_copy(update={"flip": True})}
    )


@pytest.mark.parametrize("family", ["vlfau", "linear"])
def test_probabilities_are_the_mean_of_those_of_the_image_and_of_its_mirror_image(
    faces, tmp_path, family
):
    settings = run_settings(family, "tiny", (*CHANGES[family], "inference.batch_size=3"))
    torch.manual_seed(0)
    vocabulary = {"local": 9, "global": 9}
    model = build_model(
        MODELS[family], settings.model, AUS, "multilabel", vocabulary, presets.folder(family)
    )
    one, other = (infer(model, images, settings).scores for images in faces)
    assert np.abs(one - other).max() > 1e-3
    mean = (one.astype(np.float64) + other) / 2
    assert infer(model, faces[0], flipped(settings)).scores == pytest.approx(mean, abs=1e-6)
    assert predict(model, faces[0], flipped(settings)) == pytest.approx(mean, abs=1e-6)
    assert predict(model, faces[0], settings) == pytest.approx(one, abs=1e-6)


def test_texts_and_attention_maps_are_those_of_the_image_alone(tmp_path):
    rng = np.random.default_rng(1)
    crops = [rng.integers(0, 255, (64, 64, 3), dtype=np.uint8) for _ in range(3)]
    plain, both = (
        open_weights(write_weights(tmp_path / name, changes=(f"inference.flip={flip}",)))
        for name, flip in (("plain.safetensors", "false"), ("both.safetensors", "true"))
    )
    of_crops = Explainer(plain, device="cpu").explain(crops)
    of_mirrored = Explainer(plain, device="cpu").explain([crop[:, ::-1] for crop in crops])
    averaged = Explainer(both, device="cpu").explain(crops)
    for one, other, mean in zip(of_crops, of_mirrored, averaged, strict=True):
        for au in AUS:
            assert mean.aus[au] == pytest.approx((one.aus[au] + other.aus[au]) / 2, abs=1e-6)
            assert (au in mean.active) == (mean.aus[au] >= 0.5)
        assert (mean.local, mean.face) == (one.local, one.face)
        assert np.array_equal(mean.attention, one.attention)
