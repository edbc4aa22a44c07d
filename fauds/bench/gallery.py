"""The described test faces that a run keeps for its report."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fauds import store
from fauds.bench.inputs import Inputs
from fauds.bench.plan import Plan
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
    shown = _chosen(predictions)
    place = pc.index_in(shown["frame_id"], inputs.frames["frame_id"])
    truth = inputs.frames.take(place)
    for au in plan.benchmark.aus:
        shown = shown.append_column(f"{au}_label", truth[au])
    face = inputs.captions.take(place)["face"].cast(pa.string())
    shown = shown.append_column("true_face", face)
    images = [_picture(plan, inputs, row) for row in place.to_pylist()]
    shown = shown.append_column("image", pa.array(images, pa.string()))
    shown, size = _with_attention(plan, shown)
    meta = {"inputs": inputs.offered, "settings": {"faces": len(shown), **size}}
    store.write_table(plan.folder / GALLERY, shown, meta)


def _chosen(predictions: pa.Table) -> pa.Table:
    """Return described frames spread evenly over all that are, in the order of the predictions."""
    texts = [name for name in predictions.schema.names if name.endswith("_text")]
    if not texts:
        return predictions.slice(0, 0)
    described = predictions.filter(is_described(predictions))
    spread = np.linspace(0, len(described) - 1, min(_SHOWN, len(described))).astype(int)
    return described.take(pa.array(spread))


def is_described(predictions: pa.Table) -> pa.ChunkedArray:
    """Return which frames have any description, bool [N]; there must be columns of them."""
    texts = [name for name in predictions.schema.names if name.endswith("_text")]
    written = pc.is_valid(predictions[texts[0]])
    for name in texts[1:]:
        written = pc.or_(written, pc.is_valid(predictions[name]))
    return written


def _picture(plan: Plan, inputs: Inputs, row: int) -> str | None:
    """Copy a drawn face into the run; faces of licensed datasets stay where they are."""
    if not inputs.synthetic:
        return None
    source = Path(str(inputs.faces.images[row]))
    name = f"faces/{inputs.faces.frame_ids[row]}{source.suffix}"
    (plan.folder / "faces").mkdir(exist_ok=True)
    shutil.copyfile(source, plan.folder / name)
    return name


def _with_attention(plan: Plan, shown: pa.Table) -> tuple[pa.Table, dict[str, int]]:
    """Add the maps of each AU's branch, where folds have them; return their size too."""
    paths = [
        path
        for fold in sorted(set(shown["fold"].to_pylist()))
        if (path := plan.folder / f"fold{fold}" / ATTENTION).exists()
    ]
    if not paths:
        return shown, {}
    maps = pa.concat_tables(store.read_table(path).replace_schema_metadata(None) for path in paths)
    settings = store.read_meta(paths[0])["settings"]
    place = pc.index_in(shown["frame_id"], maps["frame_id"])
    for au in plan.benchmark.aus:
        shown = shown.append_column(f"{au}_attention", maps[au].take(place))
    return shown, {name: settings[name] for name in ("height", "width")}
