"""Features and attention maps of test faces, from models that have them, for a report's figures.

Features are of eight subjects, balanced by sex; attention maps of the explained faces.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from fauds import store
from fauds.bench.inputs import Inputs
from fauds.nn.base import Embeds, Model
from fauds.settings import RunSettings
from fauds.training.batches import batches
from fauds.training.device import loader_workers, make_accelerator, normalise

FEATURES = "features.parquet"
ATTENTION = "attention.parquet"
FEATURE_SUBJECTS = 8
_FRAMES = 20


def write_features(
    folder: Path,
    model: Model,
    inputs: Inputs,
    rows: np.ndarray,
    settings: RunSettings[Any],
) -> None:
    """Write the features of some of a fold's test frames, by name; nothing if the model has none.

    Args:
        folder: the fold's.
        rows: of its test frames.
    """
    if not (isinstance(model, Embeds) and model.can(Embeds)):
        return
    chosen = _spread(inputs, rows)
    arrays = []
    accelerator = make_accelerator(settings)
    model.to(accelerator.device).eval()
    workers = loader_workers(settings, accelerator)
    faces = inputs.faces.where(chosen)
    for batch in batches(faces, settings, epoch=None, workers=workers):
        with torch.inference_mode(), accelerator.autocast():
            features = model.embed(normalise(batch.images.to(accelerator.device), settings.model))
        arrays.append(features.float().cpu().numpy())
    keys = inputs.frames.select(["frame_id", "subject", "sex"]).take(pa.array(chosen))
    _write(folder / FEATURES, keys, np.concatenate(arrays), inputs.target.names, {})


def write_attention(
    folder: Path, frame_ids: np.ndarray, maps: np.ndarray, names: Sequence[str]
) -> None:
    """Write attention maps of explained faces, float [N, A, h, w]."""
    height, width = maps.shape[2:]
    keys = pa.table({"frame_id": frame_ids})
    flat = maps.reshape(*maps.shape[:2], -1)
    _write(folder / ATTENTION, keys, flat, names, {"height": height, "width": width})


def _spread(inputs: Inputs, rows: np.ndarray) -> np.ndarray:
    """Return rows of up to eight subjects, as many women as men where known, spread in time."""
    subjects = inputs.faces.subjects[rows]
    sex = inputs.frames["sex"].cast(pa.string()).take(pa.array(rows)).to_pylist()
    of = dict(zip(subjects.tolist(), sex, strict=True))
    by_sex = [[who for who in sorted(of) if of[who] == kind] for kind in ("F", "M", None)]
    turns = [who for turn in range(len(of)) for group in by_sex for who in group[turn : turn + 1]]
    kept = []
    for who in sorted(turns[:FEATURE_SUBJECTS]):
        mine = rows[subjects == who]
        kept.append(mine[np.unique(np.linspace(0, len(mine) - 1, _FRAMES).astype(int))])
    return np.concatenate(kept)


def _write(
    path: Path, keys: pa.Table, arrays: np.ndarray, names: Sequence[str], settings: dict[str, int]
) -> None:
    """Write a table with a list of numbers for each name: arrays float [N, A, n]."""
    size = arrays.shape[2]
    for place, name in enumerate(names):
        flat = pa.array(np.ascontiguousarray(arrays[:, place], np.float32).reshape(-1))
        keys = keys.append_column(name, pa.FixedSizeListArray.from_arrays(flat, size))
    store.write_table(path, keys, {"inputs": path.stem, "settings": settings})
