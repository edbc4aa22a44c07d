"""The header of a fold's weights: what they are, and all that using them needs."""

from typing import Any

import numpy as np

from fauds import __version__, store
from fauds.bench.inputs import Inputs
from fauds.bench.plan import Plan
from fauds.captions.vocabulary import Words


def header(plan: Plan, inputs: Inputs, fold: int, learns: np.ndarray) -> dict[str, Any]:
    """Return the header of a fold's weights.

    Args:
        learns: the frames that are trained on, bool [N].
    """
    return {
        "model": plan.model,
        "preset": plan.preset,
        "benchmark": plan.benchmark.name,
        "benchmark_version": plan.benchmark.version,
        "aus": list(plan.benchmark.aus),
        "fold": fold,
        "settings": plan.settings.model_dump(mode="json"),
        "normalisation": plan.settings.model.model_dump(
            mode="json", include={"mean", "std", "image_size"}
        ),
        "vocabulary": store.fingerprint(inputs.vocabulary["token"].to_pylist()),
        "fauds": __version__,
        **_meaning(plan, inputs, fold, learns),
    }


def _meaning(plan: Plan, inputs: Inputs, fold: int, learns: np.ndarray) -> dict[str, Any]:
    """Return what else the weights' header needs, so that they can be used without the tables."""
    words = {scope: Words.from_table(inputs.vocabulary, scope) for scope in ("local", "global")}
    seen = inputs.faces.subjects[learns]
    return {
        "words": {
            scope: {"tokens": list(of.tokens), "spaces": list(of.spaces)}
            for scope, of in words.items()
        },
        "longest": {
            "local": inputs.tokens.local.shape[1],
            "global": inputs.tokens.global_.shape[1],
        },
        "threshold": plan.benchmark.metric.threshold,
        "alignment": {key: inputs.found.alignment[key] for key in ("name", "version")},
        "trained_on": f"{plan.benchmark.name}{', made up' if inputs.synthetic else ''}: "
        f"{len(seen):,} frames of {len(np.unique(seen))} subjects, without part {fold}.",
        "synthetic": inputs.synthetic,
    }
