"""Writing settings.yaml of a run: its protocol, model and settings."""

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
    """Write settings.yaml, which identifies a run and is written before its other files.

    Args:
        folder: the folder of the run.
        benchmark: the protocol of the run.
        model: the name of the model family.
        preset: the name of the preset.
        settings: all settings with their resolved values; for external predictions, their origin.
        changes: the changes of the preset that the user made, as ``key=value``.
        folds: the numbers of the folds to run; all folds if empty.
        faces: the folder of crops; None for the crops in the workdir.
        more: further keys, written before the others.

    Raises:
        DataError: the file cannot be written.
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
