"""Writes files that a run's report shows: features, attention maps and a gallery of faces."""

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
from fauds.runs.predict import Explanations
from fauds.settings import RunSettings
from fauds.tables import store
from fauds.tables.frames import subjects_known
from fauds.tables.paths import ATTENTION, FEATURES, GALLERY, fold_folder
from fauds.tables.predictions import is_described, text_columns
from fauds.training.batches import batches
from fauds.training.device import loader_workers, make_accelerator, normalise

SHARED = "shared"
"""The column of attention that all AUs or classes share."""

FEATURE_SUBJECTS = 8
_FRAMES = 20


def write_features(
    folder: Path,
    model: Model,
    inputs: Inputs,
    rows: np.ndarray,
    settings: RunSettings[Any],
) -> None:
    """Write features.parquet: the feature vector of each AU, for some test frames of a fold.

    Nothing is written if the model has no features.

    Args:
        folder: the folder of the fold.
        model: the trained model.
        inputs: the frames of the run.
        rows: the row numbers of the fold's test frames.
        settings: the settings of the run.
    """
    if not (isinstance(model, Embeds) and model.can(Embeds)):
        return
    chosen = _spread_rows(inputs, rows)
    arrays = []
    accelerator = make_accelerator(settings)
    model.to(accelerator.device).eval()
    workers = loader_workers(settings, accelerator)
    faces = inputs.faces.select(chosen)
    for batch in batches(faces, settings, epoch=None, workers=workers):
        with torch.inference_mode(), accelerator.autocast():
            features = model.embed(normalise(batch.images.to(accelerator.device), settings.model))
        arrays.append(features.float().cpu().numpy())
    keys = inputs.frames.select(["frame_id", "subject", "sex"]).take(pa.array(chosen))
    _write_arrays(folder / FEATURES, keys, np.concatenate(arrays), inputs.target.names, {})


def write_attention(
    folder: Path, frame_ids: np.ndarray, explained: Explanations, names: Sequence[str]
) -> None:
    """Write attention.parquet with the attention maps of explained faces.

    Where a model has them, the maps of where attention should lie are written beside, in the
    columns ``NAME_guide``, and the attention that all names share, in the column ``shared``.

    Args:
        folder: the folder of the fold.
        frame_ids: the ids of the N faces.
        explained: the maps of these faces, which include attention maps.
        names: the names of the A action units or classes, which become the columns.
    """
    keys = pa.table({"frame_id": frame_ids})
    settings: dict[str, int] = {}
    if explained.guides is not None:
        flat = explained.guides.reshape(*explained.guides.shape[:2], -1)
        keys = _with_arrays(keys, flat, [f"{name}_guide" for name in names])
    if explained.shared is not None:
        height, width = explained.shared.shape[1:]
        keys = _with_arrays(keys, explained.shared.reshape(len(keys), 1, -1), [SHARED])
        settings = {"shared_height": height, "shared_width": width}
    if explained.attention is None:
        return
    height, width = explained.attention.shape[2:]
    flat = explained.attention.reshape(*explained.attention.shape[:2], -1)
    settings |= {"height": height, "width": width}
    _write_arrays(folder / ATTENTION, keys, flat, names, settings)


def _spread_rows(inputs: Inputs, rows: np.ndarray) -> np.ndarray:
    """Return the row numbers of some frames: up to 20 of each of up to eight subjects.

    The frames are spread evenly over all frames of a subject. Women and men are chosen in turn if
    the sex of the subjects is known. If the subjects are unknown, as many frames in all are spread
    evenly over all frames.

    Args:
        inputs: the frames of the run.
        rows: the row numbers of the frames to choose from.
    """
    if not subjects_known(inputs.frames):
        count = min(len(rows), FEATURE_SUBJECTS * _FRAMES)
        spread: np.ndarray = rows[np.linspace(0, len(rows) - 1, count).astype(int)]
        return spread
    subjects = inputs.faces.subjects[rows]
    sex = inputs.frames["sex"].cast(pa.string()).take(pa.array(rows)).to_pylist()
    sex_of = dict(zip(subjects.tolist(), sex, strict=True))
    by_sex = [
        [subject for subject in sorted(sex_of) if sex_of[subject] == kind]
        for kind in ("F", "M", None)
    ]
    turns = [
        subject
        for turn in range(len(sex_of))
        for group in by_sex
        for subject in group[turn : turn + 1]
    ]
    chosen = []
    for subject in sorted(turns[:FEATURE_SUBJECTS]):
        subject_rows = rows[subjects == subject]
        chosen.append(
            subject_rows[np.unique(np.linspace(0, len(subject_rows) - 1, _FRAMES).astype(int))]
        )
    return np.concatenate(chosen)


def _write_arrays(
    path: Path, keys: pa.Table, arrays: np.ndarray, names: Sequence[str], settings: dict[str, int]
) -> None:
    """Write a Parquet table in which each AU or class has a column of lists of numbers.

    Args:
        path: the file to write.
        keys: the first columns of the table, such as frame_id, with N rows.
        arrays: float [N, A, n], the list of n numbers for each row and each AU or class.
        names: the names of the A action units or classes, which become the columns.
        settings: values to store in the metadata of the table, such as the height of maps.
    """
    table = _with_arrays(keys, arrays, names)
    store.write_table(path, table, {"inputs": path.stem, "settings": settings})


def _with_arrays(table: pa.Table, arrays: np.ndarray, names: Sequence[str]) -> pa.Table:
    """Return a table with columns of lists of numbers added; see `_write_arrays`."""
    for index, name in enumerate(names):
        flat = pa.array(np.ascontiguousarray(arrays[:, index], np.float32).reshape(-1))
        lists = pa.FixedSizeListArray.from_arrays(flat, arrays.shape[2])
        table = table.append_column(name, lists)
    return table


_GALLERY_FACES = 60


def write_gallery(plan: Plan, inputs: Inputs, predictions: pa.Table) -> None:
    """Write gallery.parquet: faces with labels, predictions, descriptions and attention maps.

    Args:
        plan: the plan of the run.
        inputs: the frames of the run.
        predictions: the table of the predictions of all folds.

    Raises:
        DataError: attention maps cannot be read.
    """
    gallery = _gallery_frames(plan, predictions)
    positions = pc.index_in(gallery["frame_id"], inputs.frames["frame_id"])
    truth = inputs.frames.take(positions)
    target = plan.benchmark.target
    labels = target.indicators(target.labels(truth)).T
    for name, column in zip(target.names, labels, strict=True):
        gallery = gallery.append_column(f"{name}_label", pa.array(column, mask=column < 0))
    if inputs.captions is not None:
        face = inputs.captions.captions.take(positions)["face"].cast(pa.string())
        gallery = gallery.append_column("true_face", face)
    images = [_copy_image(plan, inputs, row) for row in positions.to_pylist()]
    gallery = gallery.append_column("image", pa.array(images, pa.string()))
    gallery, size = _with_attention(plan, gallery)
    meta = {"inputs": inputs.coded_frames, "settings": {"faces": len(gallery), **size}}
    store.write_table(plan.folder / GALLERY, gallery, meta)


def _gallery_frames(plan: Plan, predicted: pa.Table) -> pa.Table:
    """Return the rows of the table of predictions that are shown in the gallery.

    The rows are spread evenly over the frames that have descriptions. If no frame has a
    description, the rows are spread over the frames that have attention maps; if no frame has a map
    either, over all frames. The order of the rows is kept.

    Args:
        plan: the plan of the run.
        predicted: the table of the predictions of all folds.
    """
    if text_columns(predicted):
        predicted = predicted.filter(is_described(predicted))
    elif maps := _attention_files(plan, predicted):
        explained = [store.read_table(path, ["frame_id"])["frame_id"] for path in maps]
        ids = pa.chunked_array([chunk for column in explained for chunk in column.chunks])
        predicted = predicted.filter(pc.is_in(predicted["frame_id"], ids.combine_chunks()))
    spread = np.linspace(0, len(predicted) - 1, min(_GALLERY_FACES, len(predicted))).astype(int)
    return predicted.take(pa.array(spread))


def _copy_image(plan: Plan, inputs: Inputs, row: int) -> str | None:
    """Copy a synthetic face into the run's folder, so that the report can show it.

    Faces of licensed datasets are not copied.

    Args:
        plan: the plan of the run.
        inputs: the frames of the run.
        row: the row number of the frame.

    Returns:
        The path of the copy relative to the run's folder; None if the face is not copied.
    """
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


def _with_attention(plan: Plan, gallery: pa.Table) -> tuple[pa.Table, dict[str, int]]:
    """Add columns with the maps of each AU or class to the gallery, if folds have maps.

    Args:
        plan: the plan of the run.
        gallery: the table of the faces in the gallery.

    Returns:
        The table with the new columns, and a dict with the "height" and "width" of the maps. If
        there are no maps, the unchanged table and an empty dict.
    """
    paths = _attention_files(plan, gallery)
    if not paths:
        return gallery, {}
    maps = pa.concat_tables(store.read_table(path).replace_schema_metadata(None) for path in paths)
    settings = store.read_meta(paths[0])["settings"]
    positions = pc.index_in(gallery["frame_id"], maps["frame_id"])
    for name in plan.benchmark.target.names:
        gallery = gallery.append_column(f"{name}_attention", maps[name].take(positions))
        if f"{name}_guide" in maps.schema.names:
            column = maps[f"{name}_guide"].take(positions)
            gallery = gallery.append_column(f"{name}_guide", column)
    if SHARED in maps.schema.names:
        gallery = gallery.append_column(f"{SHARED}_attention", maps[SHARED].take(positions))
    return gallery, settings
