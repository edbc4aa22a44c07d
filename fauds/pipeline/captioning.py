"""The step that writes captions, which describe the action units of every frame in words.

It writes the tables phrases.parquet, vocabulary.parquet and captions.parquet.
"""

from pathlib import Path
from typing import Any

from fauds.captions import Builder, Style, build_settings
from fauds.captions.caption_tables import TABLES
from fauds.errors import UsageError
from fauds.pipeline.workspace import Step, Workspace, unchanged
from fauds.tables import store


def caption_settings(workspace: Workspace, style: Style) -> dict[str, Any]:
    """Return the settings of captions in a style, as they are stored in the captions' metadata.

    Args:
        workspace: the dataset's folder and protocol.
        style: the language, whether degrees (intensities A to E) are described, and the number of
            paraphrases.

    Raises:
        UsageError: the language does not exist or has too few paraphrases.
        DataError: a template is invalid.
    """
    return build_settings(described(workspace), style, workspace.protocol.occurrence_at)


def described(workspace: Workspace) -> tuple[str, ...]:
    """Return the names of the AUs that the captions of a dataset describe.

    Raises:
        UsageError: the protocol's target has no AUs that captions could describe.
    """
    names = workspace.protocol.target.described_aus
    if not names:
        raise UsageError(
            f"{workspace.dataset} has no captions: captions describe action units, but the target "
            f"of this protocol is {workspace.protocol.target.kind}.",
            hint="choose a protocol whose target is AU occurrence",
        )
    return names


def caption_tables(workspace: Workspace) -> list[Path]:
    """Return the paths of the tables that `build_captions` writes."""
    return [workspace.path(name) for name in TABLES]


def build_captions(workspace: Workspace, frames: Step, style: Style) -> Step:
    """Write the captions of all frames, which describe the protocol's AUs in words.

    The tables captions.parquet, phrases.parquet and vocabulary.parquet are written, unless they are
    up to date.

    Args:
        workspace: the dataset's folder and protocol.
        frames: the finished step that read the frames.
        style: the language, whether degrees (intensities A to E) are described, and the number of
            paraphrases.

    Raises:
        UsageError: the language does not exist or has too few paraphrases, or the protocol's
            target has no AUs.
        DataError: the style has degrees but the dataset has no intensities, or a template is
            invalid.
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
        builder = Builder(described(workspace), style, protocol.occurrence_at)
        columns = builder.columns(store.column_names(frames.path))
        with store.table_writer(path, builder.schema) as writer:
            for part in store.read_batches(frames.path, columns):
                writer.write(builder.captions(part), store.sequence_starts(part))
            phrases, vocabulary = builder.tables()
            store.write_table(workspace.path("phrases"), phrases, meta)
            store.write_table(workspace.path("vocabulary"), vocabulary, meta)
            writer.meta = meta
    return Step(path, True, meta)
