"""Which face image belongs to which frame, how it was aligned, and which frames have none."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fauds.datasets import DATASETS
from fauds.datasets.numbering import match_crops
from fauds.errors import DataError
from fauds.protocols.benchmark import AlignmentSettings
from fauds.tables import store
from fauds.tables.paths import FACES


@dataclass(frozen=True)
class FaceImages:
    """The face images of frames.

    Attributes:
        frames: those that have one; their column ``image`` is relative to `root`.
        without: by subject, how many have none.
        alignment: name and version; "elsewhere" where others made the crops.
        described: the alignment in words, for results.
        frame_set: which frames were offered, in words.
        made_with: what decides the crops of `fauds prepare`; None of other images.
        crops: the fingerprint of those crops: of their pictures and landmarks too; None likewise.
        lost: frames without a crop by subject and status; None likewise.
    """

    frames: pa.Table
    root: Path
    without: Mapping[str, int]
    alignment: Mapping[str, Any]
    described: str
    frame_set: str
    made_with: Mapping[str, Any] | None = None
    crops: str | None = None
    lost: Mapping[str, Mapping[str, int]] | None = None


def find_face_images(
    tables: Path,
    frames: pa.Table,
    meta: Mapping[str, Any],
    crops: Path | None,
    alignment: AlignmentSettings,
) -> FaceImages:
    """Find the face image of every frame.

    Args:
        tables: the dataset's folder.
        frames: its frames table.
        meta: the frames table's metadata.
        crops: folder of crops made elsewhere, ``F001/T1/2440.jpg`` or ``SN001/0.png``; None for
            those of ``fauds prepare``, or else the images of the distribution themselves.
        alignment: the benchmark's.

    Raises:
        DataError: there is no image at all, or the prepared crops are of other frames.
    """
    if crops is not None:
        images = match_crops(
            crops, frames, DATASETS[meta["reader"]], meta["settings"]["image_base"]
        )
        elsewhere = {"name": "elsewhere", "version": 1}
        frame_set = f"{_offered(meta)} with a crop"
        return _faces(frames, images, crops, elsewhere, "crops made elsewhere (--faces)", frame_set)
    if (tables / FACES).exists():
        return _prepared(tables, frames, meta)
    if alignment.name != "none":
        raise DataError(
            f"No face has been cropped yet; the protocol's alignment is {alignment.name}.",
            where=tables,
            hint=f"fauds prepare --dataset {meta['dataset']}, or crops made elsewhere: --faces DIR",
        )
    taken = {"name": "none", "version": alignment.version}
    described = f"none {alignment.version}: the frames as they are"
    root, frame_set = Path(meta["image_root"]), f"{_offered(meta)} with an image"
    return _faces(frames, frames["image"], root, taken, described, frame_set)


def check_unchanged(found: FaceImages) -> None:
    """Raise where crops were made anew since they were found: some were read, some are others.

    Raises:
        DataError: the crops are not those that were found.
    """
    if found.crops is None:
        return
    path = found.root / FACES
    if not path.exists() or store.read_meta(path)["crops"] != found.crops:
        raise DataError(
            "The crops were made anew while this run was reading them.",
            where=path,
            hint="start a new run; fauds prepare and fauds bench cannot share a dataset's folder "
            "at the same time",
        )


def _offered(meta: Mapping[str, Any]) -> str:
    """Return which frames the table holds, in words."""
    offered: str = meta.get("frame_set", "every coded frame")
    return offered


def _prepared(tables: Path, frames: pa.Table, meta: Mapping[str, Any]) -> FaceImages:
    made = store.read_meta(tables / FACES)
    if made["inputs"] != store.fingerprint(meta["inputs"], meta["settings"]):
        raise DataError(
            "The crops are of other frames than those that are there.",
            where=tables / FACES,
            hint=f"fauds prepare --dataset {meta['dataset']}",
        )
    paths = store.read_table(tables / FACES, ["frame_id", "path"])
    place = pc.index_in(frames["frame_id"], paths["frame_id"])
    settings = made["settings"]
    alignment = {key: settings[key] for key in ("name", "version")}
    images = paths["path"].take(place)
    found = _faces(frames, images, tables, alignment, made["described"], made["frame_set"])
    return replace(found, made_with=settings, crops=made["crops"], lost=made["lost"])


def _faces(
    frames: pa.Table,
    images: pa.ChunkedArray,
    root: Path,
    alignment: Mapping[str, Any],
    described: str,
    frame_set: str,
) -> FaceImages:
    frames = frames.set_column(frames.schema.get_field_index("image"), "image", images)
    seen = frames.filter(pc.is_valid(frames["image"]))
    if not len(seen):
        raise DataError(
            "No coded frame has a face image.",
            where=root,
            hint="fauds check says what is there; crops made elsewhere: --faces DIR "
            "(F001/T1/2440.jpg, SN001/0.png)",
        )
    return FaceImages(seen, root, _missing(frames), alignment, described, frame_set)


def _missing(frames: pa.Table) -> dict[str, int]:
    without = frames.filter(pc.is_null(frames["image"]))["subject"].cast(pa.string())
    names, counts = np.unique(
        without.to_numpy(zero_copy_only=False).astype(str), return_counts=True
    )
    return dict(zip(names.tolist(), counts.tolist(), strict=True))
