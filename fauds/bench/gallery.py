"""The described test faces that a run keeps for its report."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fauds import store
from fauds.bench.inputs import Inputs
from fauds.bench.plan import Plan
from fauds.bench.predictions import is_described, text_columns
from fauds.bench.results import GALLERY
from fauds.bench.seen import ATTENTION

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
    paths = (plan.folder / f"fold{fold}" / ATTENTION for fold in folds)
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
