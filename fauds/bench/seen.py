"""What a model sees in test faces: the features of its branches, and where they look.

For figures of a report: features of eight subjects, balanced by sex, and the attention maps of
described faces.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from fauds import store
from fauds.bench.inputs import Inputs
from fauds.nn.vlfau import VLFAU
from fauds.settings import RunSettings
from fauds.training.batches import batches
from fauds.training.device import loader_workers, make_accelerator, normalise

FEATURES = "features.parquet"
ATTENTION = "attention.parquet"
SUBJECTS = 8
_FRAMES = 20


def write_features(
    folder: Path,
    model: VLFAU,
    inputs: Inputs,
    rows: np.ndarray,
    settings: RunSettings,
) -> None:
    """Write the branch features of some of a fold's test frames (the paper's Figure 4).

    Args:
        folder: the fold's.
        rows: of its test frames.
    """
    chosen = _spread(inputs, rows)
    arrays = []
    accelerator = make_accelerator(settings)
    model = model.to(accelerator.device).eval()
    workers = loader_workers(settings, accelerator)
    faces = inputs.faces.where(chosen)
    for batch in batches(faces, inputs.tokens, settings, epoch=None, workers=workers):
        with accelerator.autocast():
            found = model.au_features(
                normalise(batch.images.to(accelerator.device), settings.model)
            )
        arrays.append(found.float().cpu().numpy())
    keys = inputs.frames.select(["frame_id", "subject", "sex"]).take(pa.array(chosen))
    _write(folder / FEATURES, keys, np.concatenate(arrays), inputs.aus, {})


def write_attention(
    folder: Path, frame_ids: np.ndarray, maps: np.ndarray, aus: Sequence[str]
) -> None:
    """Write DAIR's spatial maps of described faces, float [N, A, h, w] (the paper's Figure 5)."""
    height, width = maps.shape[2:]
    keys = pa.table({"frame_id": frame_ids})
    flat = maps.reshape(*maps.shape[:2], -1)
    _write(folder / ATTENTION, keys, flat, aus, {"height": height, "width": width})


def _spread(inputs: Inputs, rows: np.ndarray) -> np.ndarray:
    """Return rows of up to eight subjects, as many women as men where known, spread in time."""
    subjects = inputs.faces.subjects[rows]
    sex = inputs.frames["sex"].cast(pa.string()).take(pa.array(rows)).to_pylist()
    of = dict(zip(subjects.tolist(), sex, strict=True))
    by_sex = [[who for who in sorted(of) if of[who] == kind] for kind in ("F", "M", None)]
    turns = [who for turn in range(len(of)) for group in by_sex for who in group[turn : turn + 1]]
    kept = []
    for who in sorted(turns[:SUBJECTS]):
        mine = rows[subjects == who]
        kept.append(mine[np.unique(np.linspace(0, len(mine) - 1, _FRAMES).astype(int))])
    return np.concatenate(kept)


def _write(
    path: Path, keys: pa.Table, arrays: np.ndarray, aus: Sequence[str], settings: dict[str, int]
) -> None:
    """Write a table with a list of numbers for each AU: arrays float [N, A, n]."""
    size = arrays.shape[2]
    for place, au in enumerate(aus):
        flat = pa.array(np.ascontiguousarray(arrays[:, place], np.float32).reshape(-1))
        keys = keys.append_column(au, pa.FixedSizeListArray.from_arrays(flat, size))
    store.write_table(path, keys, {"inputs": path.stem, "settings": settings})
