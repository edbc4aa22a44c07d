"""settings.yaml of a run: its protocol, model and settings, written before anything else of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from fauds.protocols.benchmark import Benchmark
from fauds.tables import store
from fauds.tables.paths import SETTINGS


def write_settings(
    folder: Path,
    *,
    benchmark: Benchmark,
    model: str,
    preset: str,
    settings: dict[str, Any],
    changes: Sequence[str] = (),
    folds: Sequence[int] = (),
    faces: str | None = None,
    **more: Any,
) -> None:
    """Write settings.yaml of a run: what it is, before anything else of it is written.

    Args:
        settings: resolved, whole; of external predictions, where they came from.
        more: further keys, written first.
    """
    saved = {
        **more,
        "benchmark": benchmark.name,
        "benchmark_version": benchmark.version,
        "model": model,
        "preset": preset,
        "changes": list(changes),
        "folds": list(folds),
        "faces": faces,
        "settings": settings,
    }
    store.write_text(folder / SETTINGS, yaml.safe_dump(saved, sort_keys=False))
