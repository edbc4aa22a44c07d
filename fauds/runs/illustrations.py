"""The described test faces that a run keeps for its report."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from fauds.nn.base import Embeds, Model
from fauds.runs.inputs import Inputs
from fauds.runs.plan import Plan
from fauds.settings import RunSettings
from fauds.tables import store
from fauds.tables.paths import ATTENTION, FEATURES, GALLERY, fold_folder
from fauds.tables.predictions import is_described, text_columns
from fauds.training.batches import batches
from fauds.training.device import loader_workers, make_accelerator, normalise

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


_SHOWN = 60


def write_gallery(plan: Plan, inputs: Inputs, predictions: pa.Table) -> None:
    """Write gallery.parquet: what is true of these faces, what was said, where branches look.

    Args:
        predictions: of all folds.

    Raises:
        DataError: attention maps are unreadable.
    """
    shown = _chosen(plan, predictions)
    place = pc.index_in(shown["frame_id"], inputs.frames["frame_id"])
    truth = inputs.frames.take(place)
    target = plan.benchmark.target
    labels = target.indicators(target.labels(truth)).T
    for name, column in zip(target.names, labels, strict=True):
        shown = shown.append_column(f"{name}_label", pa.array(column, mask=column < 0))
    if inputs.captions is not None:
        face = inputs.captions.captions.take(place)["face"].cast(pa.string())
        shown = shown.append_column("true_face", face)
    images = [_picture(plan, inputs, row) for row in place.to_pylist()]
    shown = shown.append_column("image", pa.array(images, pa.string()))
    shown, size = _with_attention(plan, shown)
    meta = {"inputs": inputs.offered, "settings": {"faces": len(shown), **size}}
    store.write_table(plan.folder / GALLERY, shown, meta)


def _chosen(plan: Plan, predicted: pa.Table) -> pa.Table:
    """Return frames spread evenly over all that are described, in the order of the predictions.

    Where none is described, they are spread over those with attention maps, or else over all.
    """
    if text_columns(predicted):
        predicted = predicted.filter(is_described(predicted))
    elif maps := _attention_files(plan, predicted):
        known = [store.read_table(path, ["frame_id"])["frame_id"] for path in maps]
        ids = pa.chunked_array([chunk for column in known for chunk in column.chunks])
        predicted = predicted.filter(pc.is_in(predicted["frame_id"], ids.combine_chunks()))
    spread = np.linspace(0, len(predicted) - 1, min(_SHOWN, len(predicted))).astype(int)
    return predicted.take(pa.array(spread))


def _picture(plan: Plan, inputs: Inputs, row: int) -> str | None:
    """Copy a drawn face into the run; faces of licensed datasets stay where they are."""
    if not inputs.synthetic:
        return None
    source = Path(str(inputs.faces.images[row]))
    name = f"faces/{inputs.faces.frame_ids[row]}{source.suffix}"
    (plan.folder / "faces").mkdir(exist_ok=True)
    shutil.copyfile(source, plan.folder / name)
    return name


def _attention_files(plan: Plan, predicted: pa.Table) -> list[Path]:
    folds = sorted(set(predicted["fold"].to_pylist()))
    paths = (fold_folder(plan.folder, fold) / ATTENTION for fold in folds)
    return [path for path in paths if path.exists()]


def _with_attention(plan: Plan, shown: pa.Table) -> tuple[pa.Table, dict[str, int]]:
    """Add the maps of each AU's branch, where folds have them; return their size too."""
    paths = _attention_files(plan, shown)
    if not paths:
        return shown, {}
    maps = pa.concat_tables(store.read_table(path).replace_schema_metadata(None) for path in paths)
    settings = store.read_meta(paths[0])["settings"]
    place = pc.index_in(shown["frame_id"], maps["frame_id"])
    for name in plan.benchmark.target.names:
        shown = shown.append_column(f"{name}_attention", maps[name].take(place))
    return shown, {name: settings[name] for name in ("height", "width")}
