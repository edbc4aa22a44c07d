"""Functions that build and train a small model in a second."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fauds.nn import MODELS
from fauds.nn.base import Model
from fauds.settings import RunSettings
from fauds.training import loop
from fauds.training.face_set import FaceSet

FRAMES, AUS = 40, 3


def build(
    settings: RunSettings,
    faces: FaceSet,
    folder: Path,
    model: str = "vlfau",
    say: Callable[[str], None] = lambda line: None,
) -> Model:
    """Return a model with these settings, for the AUs and vocabularies of the faces."""
    tokens = faces.captions.tokens
    sizes = {"local": tokens.local_vocabulary, "global": tokens.global_vocabulary}
    names = [f"AU{number:02d}" for number in range(faces.labels.shape[1])]
    return loop.build_model(MODELS[model], settings.model, names, "multilabel", sizes, folder, say)


def train(
    faces: FaceSet,
    settings: RunSettings,
    folder: Path,
    advance: Callable[[int], None] = lambda steps: None,
    **more: Any,
) -> Model:
    """Train a model with the same initial weights each time, or resume the training."""
    folder.mkdir(exist_ok=True)
    torch.manual_seed(5)
    model = build(settings, faces, folder)
    return loop.train(
        model, faces, np.ones(AUS), settings, folder, {"aus": AUS}, advance=advance, **more
    )
