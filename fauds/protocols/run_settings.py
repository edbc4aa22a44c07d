"""Writing the file settings.yaml of a run, which has its protocol, its model and its settings."""

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
    """Write settings.yaml, the file that says what a run is, before the run's other files.

    Args:
        folder: the folder of the run.
        benchmark: the protocol that the run follows.
        model: the name of the kind of model.
        preset: the name of the preset, the file that the settings come from.
        settings: the values of all settings, including defaults. For predictions that another
            program made, it says where they come from.
        changes: the settings that the user changed from the preset, as ``key=value``.
        folds: the numbers of the folds to run; all folds if empty.
        faces: the path of the user's folder of face crops; None for the crops that fauds made.
        more: further keys and values, which are written before the others.

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
