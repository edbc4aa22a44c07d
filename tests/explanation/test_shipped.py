"""The weights that come with fauds: they know drawn faces, and say what they see in a picture."""

import numpy as np
import pytest
from skimage import data

import fauds
from fauds.explanation.weights import open_weights
from fauds.synthetic.face import DRAWN_AUS, draw_face, draw_identity, draw_views


@pytest.fixture
def drawn() -> list[tuple[np.ndarray, dict[str, float]]]:
    """Twelve drawn faces of people that no training has seen, and their intensities."""
    rng = np.random.default_rng(99)
    faces = []
    for sex in "FMFMFM":
        who = draw_identity(rng, sex)
        for view in draw_views(rng, 2):
            levels = np.where(rng.random(len(DRAWN_AUS)) < 0.3, 4.0, 0.0).astype(np.float32)
            image, _ = draw_face(who, levels, view, 192)
            faces.append((image, dict(zip(DRAWN_AUS, levels.tolist(), strict=True))))
    return faces


def test_drawn_faces_of_strangers_are_mostly_understood(drawn):
    right = []
    for image, levels in drawn:
        said = fauds.explain(image, device="cpu")
        right += [(said.aus[au] >= 0.5) == (levels[au] >= 2) for au in said.aus]
        assert said.face.startswith(("A woman", "A man")) and set(said.local) == set(said.aus)
    # Calling nothing active would be right in about 70 of 100 cases.
    assert np.mean(right) > 0.85


def test_the_astronaut_is_found_and_explained():
    said = fauds.explain(data.astronaut(), device="cpu")
    left, top, right, bottom = said.box
    assert left < 200 < 250 < right and top < 100 < bottom < 200
    assert said.estimated and 0 <= min(said.aus.values()) <= max(said.aus.values()) <= 1
    assert said.aus["AU12"] > 0.5 and "lip corners" in said.face


def test_the_header_says_what_they_are():
    weights = open_weights(None)
    assert weights.synthetic and "drawn" in weights.trained_on
    assert weights.alignment == {"name": "eyes-similarity", "version": 1}
    assert weights.path.stat().st_size < 10e6
