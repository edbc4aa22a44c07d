"""Faces, captions and settings for a training that takes a second."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from fauds.nn.presets import run_settings
from fauds.settings import RunSettings
from fauds.training.face_set import CaptionTokens, FaceSet, FrameCaptions
from tests.helpers import SMALL
from tests.training.helpers import AUS, FRAMES


@pytest.fixture(scope="package")
def settings() -> RunSettings:
    return run_settings("vlfau", "tiny", (*SMALL, "training.epochs=3"))


@pytest.fixture(scope="package")
def faces(tmp_path_factory: pytest.TempPathFactory, tokens: CaptionTokens) -> FaceSet:
    """Forty images of noise, with random labels, some of them not coded, and captions."""
    folder: Path = tmp_path_factory.mktemp("faces")
    rng = np.random.default_rng(0)
    paths = []
    for i in range(FRAMES):
        paths.append(str(folder / f"{i}.png"))
        cv2.imwrite(paths[-1], rng.integers(0, 255, (64, 64, 3), dtype=np.uint8))
    return FaceSet(
        frame_ids=np.arange(FRAMES) * 7,
        images=np.array(paths),
        labels=rng.choice([-1, 0, 1], (FRAMES, AUS), p=[0.1, 0.5, 0.4]).astype(np.int8),
        subjects=np.array([f"S{i % 4}" for i in range(FRAMES)]),
        captions=FrameCaptions(
            tokens, local=rng.integers(0, 7, (FRAMES, AUS)), global_=rng.integers(0, 5, FRAMES)
        ),
    )


@pytest.fixture(scope="package")
def tokens() -> CaptionTokens:
    """Six local and four global captions, each with the row that stands for a missing caption."""
    rng = np.random.default_rng(1)

    def padded(captions: int, width: int) -> np.ndarray:
        table = np.zeros((captions + 1, width), np.int64)
        for row in table[:-1]:
            words = rng.integers(4, 20, rng.integers(2, width - 2))
            row[: len(words) + 2] = [1, *words, 2]
        return table

    return CaptionTokens(padded(6, 9), padded(4, 14), 20, 20)
