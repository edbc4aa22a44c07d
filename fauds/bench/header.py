"""The header of a fold's weights: what they are, and all that using them needs."""

from typing import Any

import numpy as np

from fauds import __version__, store
from fauds.bench.inputs import Inputs
from fauds.bench.plan import Plan


def header(plan: Plan, inputs: Inputs, fold: int, learns: np.ndarray) -> dict[str, Any]:
    """Return the header of a fold's weights.

    Args:
        learns: the frames that are trained on, bool [N].
    """
    target = plan.benchmark.target
    declared = target.declared().get("target")
    captions = inputs.captions
    vocabulary = None if captions is None else captions.vocabulary["token"].to_pylist()
    return {
        "model": plan.model,
        "preset": plan.preset,
        "benchmark": plan.benchmark.name,
        "benchmark_version": plan.benchmark.version,
        "aus": list(target.names),
        **({} if declared is None else {"target": declared}),
        "fold": fold,
        "settings": plan.settings.model_dump(mode="json"),
        "normalisation": plan.settings.model.model_dump(
            mode="json", include={"mean", "std", "image_size"}
        ),
        "vocabulary": None if vocabulary is None else store.fingerprint(vocabulary),
        "fauds": __version__,
        **_texts(inputs),
        **_meaning(plan, inputs, fold, learns),
    }


def _texts(inputs: Inputs) -> dict[str, Any]:
    """Return the vocabularies of captions, and the tokens of the longest of each scope."""
    if inputs.captions is None or inputs.faces.captions is None:
        return {}
    tokens = inputs.faces.captions.tokens
    return {
        "words": {
            scope: {"tokens": list(words.tokens), "spaces": list(words.spaces)}
            for scope, words in inputs.captions.words().items()
        },
        "longest": {"local": tokens.local.shape[1], "global": tokens.global_.shape[1]},
    }


def _meaning(plan: Plan, inputs: Inputs, fold: int, learns: np.ndarray) -> dict[str, Any]:
    """Return what else the weights' header needs, so that they can be used without the tables."""
    seen = inputs.faces.subjects[learns]
    return {
        "threshold": plan.benchmark.metric.threshold,
        "alignment": {key: inputs.found.alignment[key] for key in ("name", "version")},
        "trained_on": f"{plan.benchmark.name}{', made up' if inputs.synthetic else ''}: "
        f"{len(seen):,} frames of {len(np.unique(seen))} subjects, without part {fold}.",
        "synthetic": inputs.synthetic,
    }
