"""The weights that ship with fauds, on synthetic faces and on a photograph."""

import numpy as np
import pytest
from skimage import data

import fauds
from fauds.explanation.weights import open_weights
from fauds.synthetic.face import FACE_AUS, draw_face, draw_identity, draw_views


@pytest.fixture
def synthetic_faces() -> list[tuple[np.ndarray, dict[str, float]]]:
    """Return twelve synthetic faces that were not trained on, and their intensities."""
    rng = np.random.default_rng(99)
    faces = []
    for sex in "FMFMFM":
        identity = draw_identity(rng, sex)
        for view in draw_views(rng, 2):
            levels = np.where(rng.random(len(FACE_AUS)) < 0.3, 4.0, 0.0).astype(np.float32)
            image, _ = draw_face(identity, levels, view, 192)
            faces.append((image, dict(zip(FACE_AUS, levels.tolist(), strict=True))))
    return faces


@pytest.mark.slow
def test_action_units_of_new_synthetic_faces_are_mostly_correct(synthetic_faces):
    correct = []
    for image, levels in synthetic_faces:
        explanation = fauds.explain(image, device="cpu")
        correct += [(explanation.aus[au] >= 0.5) == (levels[au] >= 2) for au in explanation.aus]
        assert explanation.face.startswith(("A woman", "A man")) and set(explanation.local) == set(
            explanation.aus
        )
    # Predicting no active action unit would be correct in about 70 % of the cases.
    assert np.mean(correct) > 0.85


def test_a_photograph_is_explained():
    explanation = fauds.explain(data.astronaut(), device="cpu", detector="cascade")
    left, top, right, bottom = explanation.box
    assert left < 200 < 250 < right and top < 100 < bottom < 200
    assert (
        explanation.estimated
        and 0 <= min(explanation.aus.values()) <= max(explanation.aus.values()) <= 1
    )
    assert explanation.aus["AU12"] > 0.5 and "lip corners" in explanation.face


def test_the_header_describes_the_weights():
    weights = open_weights(None)
    assert weights.synthetic and "drawn" in weights.trained_on
    assert weights.alignment == {"name": "eyes-similarity", "version": 1}
    assert weights.path.stat().st_size < 10e6
