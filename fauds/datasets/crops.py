"""Face crops made elsewhere, matched to the frames of a table by the integer of their name."""

from pathlib import Path

import pyarrow as pa

from fauds import store
from fauds.datasets import images, locate
from fauds.datasets.base import Reader
from fauds.datasets.numbering import Numbering


@locate.os_errors()
def match_crops(
    folder: Path, frames: pa.Table, reader: Reader, declared_base: int | None
) -> pa.Array:
    """Give every frame its crop.

    Args:
        folder: holds ``F001/T1/2440.jpg`` or, for a dataset without tasks, ``SN001/0.png``.
        frames: a frames table, sorted as fauds writes it.
        reader: the dataset's reader; it knows how images are numbered.
        declared_base: the number of label frame 1's crop, None to find it out.

    Returns:
        Paths relative to the folder, string [N], null where there is no crop.

    Raises:
        DataError: no such folder, two crops of one number, or a numbering that cannot be told.
    """
    numbers = frames["frame"].to_numpy()
    sequences = [
        (tuple(filter(None, name)), numbers[rows]) for name, rows in store.sequences(frames)
    ]
    found = images.find(folder, [key for key, _ in sequences])
    return Numbering(found, reader.image_base, declared_base).assign(sequences)
