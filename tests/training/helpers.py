"""A training on made-up faces that takes a second."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fauds.nn.vlfau import VLFAU
from fauds.settings import RunSettings
from fauds.training import loop
from fauds.training.data import CaptionTokens, FaceSet

FRAMES, AUS = 40, 3


def train(
    faces: FaceSet,
    tokens: CaptionTokens,
    settings: RunSettings,
    folder: Path,
    advance: Callable[[int], None] = lambda steps: None,
    **more: Any,
) -> VLFAU:
    """Train a model from weights that are the same each time, or go on in the folder."""
    folder.mkdir(exist_ok=True)
    torch.manual_seed(5)
    model = loop.build_model(settings.model, AUS, tokens, folder)
    return loop.train(
        model, faces, tokens, np.ones(AUS), settings, folder, {"aus": AUS}, advance=advance, **more
    )
