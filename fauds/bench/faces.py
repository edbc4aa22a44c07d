"""Which face image belongs to which frame, and which frames have none."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fauds.datasets import DATASETS
from fauds.datasets.crops import match_crops
from fauds.errors import DataError


def with_faces(
    frames: pa.Table, faces: Path | None, meta: Mapping[str, Any], image_base: int | None
) -> tuple[pa.Table, Path, dict[str, int]]:
    """Return the frames that have a face image, the images' folder, and who lacks how many.

    Args:
        frames: a frames table.
        faces: folder of crops made elsewhere, ``F001/T1/2440.jpg`` or ``SN001/0.png``; None for
            the images of the raw distribution itself.
        meta: the frames table's metadata.
        image_base: declared number of label frame 1's crop, None to find it out.

    Raises:
        DataError: there is no image at all.
    """
    root = Path(meta["image_root"]) if faces is None else faces
    if faces is not None:
        images = match_crops(faces, frames, DATASETS[meta["reader"]], image_base)
        frames = frames.set_column(frames.schema.get_field_index("image"), "image", images)
    seen = frames.filter(pc.is_valid(frames["image"]))
    if not len(seen):
        raise DataError(
            "No coded frame has a face image.",
            where=root,
            hint="give a folder of crops with --faces DIR (F001/T1/2440.jpg, SN001/0.png)",
        )
    return seen, root, _missing(frames)


def _missing(frames: pa.Table) -> dict[str, int]:
    without = frames.filter(pc.is_null(frames["image"]))["subject"].cast(pa.string())
    names, counts = np.unique(
        without.to_numpy(zero_copy_only=False).astype(str), return_counts=True
    )
    return dict(zip(names.tolist(), counts.tolist(), strict=True))
