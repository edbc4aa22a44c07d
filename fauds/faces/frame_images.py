"""Search for the face image of every coded frame, and counts of the frames that have none."""

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
from fauds.faces.alignment import ALIGNMENTS
from fauds.protocols.benchmark import AlignmentSettings
from fauds.tables import store
from fauds.tables.frames import UNKNOWN_SUBJECT, with_keys
from fauds.tables.paths import FACES

_EXTERNAL = {"name": "elsewhere", "version": 1}


@dataclass(frozen=True)
class FaceImages:
    """The face images of the frames of a dataset.

    Attributes:
        frames: the frames that have an image; the paths in their column ``image`` are relative
            to `root`.
        root: the folder that the paths are relative to.
        without_image: the number of frames without an image, by subject.
        alignment: the name and version of the rule by which faces were cropped; the name is
            "elsewhere" for crops that fauds did not make.
        described: a description of this rule, which is written to results.
        frame_set: a description of the frames that were to have images, which is written to
            results.
        made_with: the settings with which `fauds prepare` made the crops; None for other images.
        crops: the fingerprint of the crops that `fauds prepare` made, which also depends on the
            images and landmarks that were used; None for other images.
        lost: the number of frames that `fauds prepare` could not crop, by subject and reason (a
            status such as "no face"); None for other images.
    """

    frames: pa.Table
    root: Path
    without_image: Mapping[str, int]
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
    """Find the image of the face in every coded frame of a dataset.

    Args:
        tables: the dataset's folder, in which fauds keeps tables and crops.
        frames: the dataset's frames table: a row for each coded frame.
        meta: the metadata of the frames table.
        crops: a folder of crops that fauds did not make, such as ``F001/T1/2440.jpg``,
            ``SN001/0.png``, or ``train_00001.jpg`` for images without a number. If None, the crops
            of ``fauds prepare`` are used; if there are none and the alignment is "none", the images
            of the release are used as they are stored.
        alignment: the rule by which the benchmark requires faces to be cropped.

    Raises:
        DataError: no frame has an image, or the crops were made for other frames than those in
            the frames table.
    """
    if crops is not None:
        images = match_crops(
            crops, frames, DATASETS[meta["reader"]], meta["settings"]["image_base"]
        )
        frame_set = f"{_frame_set(meta)} with a crop"
        return _faces(frames, images, crops, _EXTERNAL, "crops made elsewhere (--faces)", frame_set)
    if (tables / FACES).exists():
        return _prepared(tables, frames, meta)
    if alignment.name != "none" or alignment.orientation == "upright":
        raise DataError(
            f"No face has been cropped yet, but the protocol needs crops by the alignment "
            f"{alignment.name}.",
            where=tables,
            hint=f"run fauds prepare --dataset {meta['dataset']}, or use external crops with "
            "--faces FOLDER",
        )
    unaligned = {"name": "none", "version": alignment.version}
    described = f"none {alignment.version}: {ALIGNMENTS['none'].description}"
    root, frame_set = Path(meta["image_root"]), f"{_frame_set(meta)} with an image"
    return _faces(frames, frames["image"], root, unaligned, described, frame_set)


def face_landmarks(images: FaceImages, frames: pa.Table) -> np.ndarray | None:
    """Return the landmarks of faces in their images, as `fauds prepare` stored them.

    Args:
        images: the face images of the dataset.
        frames: N of the frames that have an image, with the column frame_id.

    Returns:
        iBUG's 68 points, float32 [N, 68, 2], x (right) and y (down) in pixels of the face images,
        where (0, 0) is the middle of the first pixel. Points that are not known are NaN. None if no
        landmark of any of the frames is known: fauds did not make the images, an older version of
        fauds made them, or neither the release nor the detector had landmarks.

    Raises:
        DataError: faces.parquet cannot be read.
    """
    path = images.root / FACES
    if images.crops is None or "points" not in store.column_names(path):
        return None
    table = store.read_table(path, ["frame_id", "points"])
    lists = table["points"].take(pc.index_in(frames["frame_id"], table["frame_id"]))
    known = lists.is_valid().to_numpy()
    if not known.any():
        return None
    points = np.full((len(lists), 68, 2), np.nan, np.float32)
    points[known] = pc.list_flatten(lists.drop_null()).to_numpy().reshape(-1, 68, 2)
    return points


def check_unchanged(images: FaceImages) -> None:
    """Check that face crops have not been replaced since `find_face_images` was called.

    Raises:
        DataError: the crops were replaced, so a run may have read both old and new ones.
    """
    if images.crops is None:
        return
    path = images.root / FACES
    if not path.exists() or store.read_meta(path)["crops"] != images.crops:
        raise DataError(
            "The crops were replaced while this run was reading them.",
            where=path,
            hint="start a new run; do not run fauds prepare and fauds bench on the same dataset "
            "folder at the same time",
        )


def _frame_set(meta: Mapping[str, Any]) -> str:
    """Return a description, as text, of the frames that a frames table holds.

    Args:
        meta: the metadata of the table.
    """
    frame_set: str = meta.get("frame_set", "every coded frame")
    return frame_set


def _prepared(tables: Path, frames: pa.Table, meta: Mapping[str, Any]) -> FaceImages:
    faces_meta = store.read_meta(tables / FACES)
    if faces_meta["inputs"] != store.fingerprint(meta["inputs"], meta["settings"]):
        raise DataError(
            "The face crops were made for other frames than those in the frames table.",
            where=tables / FACES,
            hint=f"run fauds prepare --dataset {meta['dataset']} again",
        )
    paths = store.read_table(tables / FACES, ["frame_id", "path"])
    rows = pc.index_in(frames["frame_id"], paths["frame_id"])
    settings = faces_meta["settings"]
    alignment = {key: settings[key] for key in ("name", "version")}
    images = paths["path"].take(rows)
    result = _faces(
        frames, images, tables, alignment, faces_meta["described"], faces_meta["frame_set"]
    )
    return replace(result, made_with=settings, crops=faces_meta["crops"], lost=faces_meta["lost"])


def _faces(
    frames: pa.Table,
    images: pa.ChunkedArray,
    root: Path,
    alignment: Mapping[str, Any],
    described: str,
    frame_set: str,
) -> FaceImages:
    frames = frames.set_column(frames.schema.get_field_index("image"), "image", images)
    with_image = frames.filter(pc.is_valid(frames["image"]))
    if not len(with_image):
        raise _no_image(frames, root, external=alignment == _EXTERNAL)
    return FaceImages(with_image, root, _without_image(frames), alignment, described, frame_set)


def _no_image(frames: pa.Table, root: Path, *, external: bool) -> DataError:
    """Return the error that no frame has an image.

    Args:
        frames: the frames table.
        root: the folder in which images were looked for.
        external: whether this is a folder of crops that fauds did not make.
    """
    named = f"{with_keys(frames.slice(0, 1))['key'][0]}.jpg"
    if external:
        return DataError(
            "No image in this folder has the name of a coded frame.",
            where=root,
            hint=f"name the images by the keys of the frames, such as {named}",
        )
    return DataError(
        "No coded frame has a face image.",
        where=root,
        hint="run fauds check to see what the release holds, or use external crops with "
        f"--faces FOLDER, named like {named}",
    )


def _without_image(frames: pa.Table) -> dict[str, int]:
    without = frames.filter(pc.is_null(frames["image"]))["subject"].cast(pa.string())
    without = pc.fill_null(without, UNKNOWN_SUBJECT)
    names, counts = np.unique(
        without.to_numpy(zero_copy_only=False).astype(str), return_counts=True
    )
    return dict(zip(names.tolist(), counts.tolist(), strict=True))
