"""Weights for the tests: an untrained model, with the header of a finished run."""

from pathlib import Path
from typing import Any

import torch

from fauds.captions.vocabulary import SPECIALS
from fauds.nn import MODELS, presets
from fauds.nn.presets import run_settings
from fauds.training import checkpoint
from fauds.training.loop import build_model
from tests.helpers import SMALL

AUS = ("AU01", "AU06", "AU12")
EYES = {"name": "eyes-similarity", "version": 1}
"""The alignment of weights that need cropped faces."""
WORDS = ("the", "brows", "rise", "<i>", "&", ".")


def write_weights(
    path: Path, *, half: bool = False, changes: tuple[str, ...] = (), **meta: Any
) -> Path:
    """Write random weights; `meta` replaces entries of the header, and None removes them."""
    settings = run_settings("vlfau", "tiny", (*SMALL, *changes))
    model_settings, size = settings.model, len(SPECIALS) + len(WORDS)
    torch.manual_seed(1)
    sizes = {"local": size, "global": size}
    model = build_model(
        MODELS["vlfau"], model_settings, AUS, "multilabel", sizes, presets.folder("vlfau")
    )
    tensors = {k: v.half() if half else v for k, v in model.state_dict().items()}
    words = {"tokens": [*SPECIALS, *WORDS], "spaces": [False] * len(SPECIALS) + [True] * len(WORDS)}
    header = {
        "settings": settings.model_dump(mode="json"),
        "aus": list(AUS),
        "words": {"local": words, "global": words},
        "longest": {"local": 7, "global": 9},
        "threshold": 0.5,
        "alignment": {"name": "none", "version": 1},
        "trained_on": "nothing.",
        "synthetic": False,
    }
    header = {key: value for key, value in (header | meta).items() if value is not None}
    path.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.save(path, tensors, header)
    return path
