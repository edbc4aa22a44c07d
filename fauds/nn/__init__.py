"""The VL-FAU network: tensors in, logits out. No files and no settings objects in here.

Names are loaded on first use, so that ``import fauds.nn`` does not import torch.
"""

from importlib import import_module

_HOME = {
    "VLFAU": "vlfau",
    "VLFAUOutput": "vlfau",
    "Description": "vlfau",
    "Explanation": "vlfau",
    "vlfau_loss": "losses",
    "loss_counts": "losses",
    "WordLogits": "words",
    "PackedWords": "words",
    "pack_words": "words",
    "CaptionDecoder": "decoder",
    "DAIR": "dair",
    "FourStages": "backbone",
    "MultiScale": "backbone",
    "beam_search": "beam",
}

__all__ = sorted(_HOME)


def __getattr__(name: str):
    """Import the module that holds `name` (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
