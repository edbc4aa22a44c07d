"""The step that describes every frame: phrases, vocabulary and captions.parquet."""

from pathlib import Path
from typing import Any

from fauds import store
from fauds.captions import Builder, Style, build_settings
from fauds.captions.built import TABLES
from fauds.pipeline.workspace import Workspace
from fauds.step import Step, unchanged


def caption_settings(workspace: Workspace, style: Style) -> dict[str, Any]:
    """Return what captions of this style would be made with.

    Raises:
        UsageError: there is no such language, or it has too few paraphrases.
        DataError: a template is broken.
    """
    return build_settings(workspace.protocol.aus, style)


def caption_tables(workspace: Workspace) -> list[Path]:
    """Return the paths of the tables that the step writes."""
    return [workspace.path(name) for name in TABLES]


def build_captions(workspace: Workspace, frames: Step, style: Style) -> Step:
    """Write phrases, vocabulary and captions.parquet for the protocol's AUs.

    Raises:
        UsageError: as in `caption_settings`.
        DataError: degrees are asked for where no intensity is coded, or a template is broken.
    """
    path, protocol = workspace.path("captions"), workspace.protocol
    meta = {
        "dataset": workspace.dataset,
        "synthetic": frames.meta["synthetic"],
        "inputs": frames.fingerprint,
        "settings": caption_settings(workspace, style),
    }
    with store.lock(workspace.folder):
        if unchanged(caption_tables(workspace), meta):
            return Step(path, False, meta)
        builder = Builder(protocol.aus, style, protocol.occurrence_at is not None)
        columns = builder.columns(store.column_names(frames.path))
        with store.table_writer(path, builder.schema) as writer:
            for part in store.read_batches(frames.path, columns):
                writer.write(builder.captions(part), store.sequence_starts(part))
            phrases, vocabulary = builder.tables()
            store.write_table(workspace.path("phrases"), phrases, meta)
            store.write_table(workspace.path("vocabulary"), vocabulary, meta)
            writer.meta = meta
    return Step(path, True, meta)
