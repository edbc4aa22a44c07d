"""The share of the image's possible gain on decision words, against a computation by hand."""

import math

import numpy as np
import pytest

from fauds.runs.predict import image_gains, no_image_words
from fauds.training.face_set import CaptionTokens, FaceSet, FrameCaptions

# Two captions of one AU, which part at their second word: "4 5 7 <eos>" and "4 6 <eos>".
LOCAL = np.array([[1, 4, 5, 7, 2], [1, 4, 6, 2, 0], [0, 0, 0, 0, 0]])
DECIDES = np.array([[0, 0, 1, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 0, 0]], bool)


def faces(captions: list[int]) -> FaceSet:
    tokens = CaptionTokens(LOCAL, LOCAL, 8, 8, DECIDES, DECIDES)
    codes = np.array(captions, np.int32)
    count = len(codes)
    return FaceSet(
        np.arange(count),
        np.array(["x.png"] * count),
        np.zeros((count, 1), np.int8),
        np.array(["F001"] * count),
        FrameCaptions(tokens, codes[:, None], codes),
    )


def test_the_guesser_without_an_image_takes_the_word_that_is_most_frequent_in_training():
    measures = no_image_words(faces([0, 0, 1]), faces([0, 1, 1, 1, 2]))
    # Four test captions have one decision word each; "5" is right for the first alone.
    assert measures["local_decision_top1_no_image"] == (0.25, 4)
    assert measures["global_decision_top1_no_image"] == (0.25, 4)
    gains = image_gains({**measures, "local_decision_top1": (0.55, 4)})
    assert gains == {"local_image_gain": (pytest.approx(0.4), 4)}


def test_without_anything_to_gain_the_share_is_undefined():
    gains = image_gains(
        {"global_decision_top1": (1.0, 3), "global_decision_top1_no_image": (1.0, 3)}
    )
    assert math.isnan(gains["global_image_gain"][0])
    assert gains["global_image_gain"][1] == 0
