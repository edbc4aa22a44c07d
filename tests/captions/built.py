"""Writes the tables of a dataset in a workdir, without raw files."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from fauds.captions import Builder, Style
from fauds.captions.caption_tables import BuiltCaptions, open_captions
from fauds.tables import store


def write_built(
    folder: Path,
    frames: pa.Table,
    aus: list[str],
    style: Style | None = None,
    *,
    synthetic: bool = True,
    rows_at_once: int | None = None,
) -> BuiltCaptions:
    """Write the frames table and the three caption tables, and open them.

    Args:
        folder: the folder to write to.
        frames: a table from `make_frames`; if it has no image column, one of nulls is added.
        aus: the captioned action units.
        style: the wording of the captions.
        synthetic: whether the tables record that they are synthetic.
        rows_at_once: the number of rows that are captioned together; each part has its own
            dictionaries.
    """
    if "image" not in frames.column_names:
        frames = frames.append_column("image", pa.nulls(len(frames), pa.string()))
    settings = {"root": "/raw"}
    meta: dict[str, Any] = {"dataset": "made", "inputs": "of the labels", "settings": settings}
    meta |= {"synthetic": synthetic, "image_root": "/raw/images"}
    store.write_table(folder / "frames.parquet", frames, meta)
    builder = Builder(aus, style)
    fingerprint = store.fingerprint(meta["inputs"], settings)
    caption_meta = {"dataset": "made", "synthetic": synthetic, "inputs": fingerprint}
    caption_meta["settings"] = builder.settings
    step = rows_at_once or max(len(frames), 1)
    with store.table_writer(folder / "captions.parquet", builder.schema) as writer:
        for begin in range(0, len(frames), step):
            writer.write(builder.captions(frames.slice(begin, step)))
        writer.meta = caption_meta
    for name, table in zip(("phrases", "vocabulary"), builder.tables(), strict=True):
        store.write_table(folder / f"{name}.parquet", table, caption_meta)
    return open_captions(folder, "made")
