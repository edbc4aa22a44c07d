"""Writing settings.yaml, the file with the protocol, the model and the settings of a run."""

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
    """Write settings.yaml, the file that describes a run; call this before writing other files.

    Args:
        folder: the folder of the run.
        benchmark: the protocol that the run follows.
        model: the name of the kind of model.
        preset: the name of the preset, the file that the settings come from.
        settings: the values of all settings, including defaults. For external predictions, this
            is where the predictions come from.
        changes: the settings that the user changed from the preset, as ``key=value``.
        folds: the numbers of the folds to run; all folds if empty.
        faces: the path of the user's folder of face crops; None for the crops that fauds made.
        more: further keys and values, which are written first.

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
