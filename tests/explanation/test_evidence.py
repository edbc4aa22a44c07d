"""The description of a predicted expression, by where the model's evidence lies."""

import numpy as np
import pytest

from fauds.explanation.evidence import EvidenceWords
from fauds.facs import expression_aus
from tests.nn.helpers import face_landmarks

SIDE = 112


@pytest.fixture
def points():
    return face_landmarks(SIDE, 1, seed=3)[0].numpy().astype(np.float32)


def spot(x, y, cells=14):
    """Return a map that is high around one place, given in pixels of the image."""
    at = (np.arange(cells) + 0.5) * SIDE / cells
    squared = (at[None, :] - x) ** 2 + (at[:, None] - y) ** 2
    return np.exp(-squared / (2 * 10**2)).astype(np.float32)


def test_evidence_at_the_lips_supports_the_aus_of_the_lips_only(points):
    mouth = points[48:60].mean(0)
    words = EvidenceWords(SIDE)
    aus = expression_aus()["happiness"]
    assert words.supported(aus, spot(*mouth), points) == ("AU12", "AU25")
    text = words.describe("happiness", 0.876, spot(*mouth), points)
    assert text.startswith("Predicted expression: happiness (88 %). The codebook associates it")
    assert text.endswith("lies where AU12 and AU25 would be seen, not where AU06 would be.")
    # Far outside the face, the evidence supports no action unit.
    assert words.supported(aus, spot(0, 0), points) == ()
    assert "where none of them would be seen" in words.describe("fear", 0.5, spot(0, 0), points)


def test_without_landmarks_or_codebook_no_place_is_claimed(points):
    words = EvidenceWords(SIDE)
    assert words.describe("anger", 0.5, spot(50, 50), None).endswith("evidence is not known.")
    neutral = words.describe("neutral", 0.9, spot(50, 50), points)
    assert neutral.endswith("(90 %). The codebook has no action units for it.")
    chinese = EvidenceWords(SIDE, "zh").describe("happiness", 0.9, spot(*points[62]), points)
    assert chinese.startswith("预测的表情：高兴（90%）。") and "AU06" in chinese
