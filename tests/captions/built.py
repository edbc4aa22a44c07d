"""The tables of a workdir's dataset, written without a distribution."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from fauds.captions import Builder, Style
from fauds.captions.caption_tables import Built, opened
from fauds.tables import store


def write_built(
    folder: Path,
    frames: pa.Table,
    aus: list[str],
    style: Style | None = None,
    *,
    synthetic: bool = True,
    rows_at_once: int | None = None,
) -> Built:
    """Write the four tables for these frames, and open them.

    Args:
        folder: where to.
        frames: what `make_frames` gives; an image column of nulls is added where there is none.
        aus: the captioned action units.
        style: how.
        synthetic: whether the tables say that they are made up.
        rows_at_once: rows that are captioned together; each part has its own dictionaries.
    """
    if "image" not in frames.column_names:
        frames = frames.append_column("image", pa.nulls(len(frames), pa.string()))
    settings = {"root": "/raw"}
    meta: dict[str, Any] = {"dataset": "made", "inputs": "of the labels", "settings": settings}
    meta |= {"synthetic": synthetic, "image_root": "/raw/images"}
    store.write_table(folder / "frames.parquet", frames, meta)
    builder = Builder(aus, style)
    made_of = store.fingerprint(meta["inputs"], settings)
    said = {"dataset": "made", "synthetic": synthetic, "inputs": made_of}
    said["settings"] = builder.settings
    step = rows_at_once or max(len(frames), 1)
    with store.table_writer(folder / "captions.parquet", builder.schema) as writer:
        for begin in range(0, len(frames), step):
            writer.write(builder.captions(frames.slice(begin, step)))
        writer.meta = said
    for name, table in zip(("phrases", "vocabulary"), builder.tables(), strict=True):
        store.write_table(folder / f"{name}.parquet", table, said)
    return opened(folder, "made")
