"""The first step: raw files, or synthetic ones, to the frames that a protocol offers."""

import hashlib
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from fauds.datasets import DATASETS
from fauds.datasets.base import Reading, ReadOptions, is_written
from fauds.errors import UsageError
from fauds.faces.manifest import read_manifest
from fauds.pipeline.workspace import Step, Workspace, meta_of
from fauds.tables import schemas, store
from fauds.tables.columns import from_numpy
from fauds.tables.frames import with_keys

if TYPE_CHECKING:
    from fauds.runs.fold import Progress


def read_frames(
    workspace: Workspace,
    root: Path | None,
    options: Mapping[str, Any],
    say: Callable[[str], None],
    progress: "Progress | None",
) -> Step:
    """Read raw files into frames.parquet; for arguments and errors see `Project.frames`.

    Args:
        workspace: of a protocol that joins no others.
        say: called with a line for people where something else is read than was asked for.
    """
    path = workspace.path("frames")
    protocol = workspace.protocol.reading()
    old = meta_of(path)
    asked, root = root, _root(workspace, old, root)
    last = (old and old["settings"]) or {}
    chosen = ReadOptions.as_last(last, root if asked else None, {**options, **protocol})
    listed = _digest(workspace.protocol.frames.file)
    settings = {"root": str(root.resolve()), **chosen.plain()}
    draw = _must_draw(workspace, root)
    same = old is not None and not draw
    same = same and old["settings"] == settings and old.get("listed") == listed
    if same and asked is None and not root.exists():
        say(f"{root} is not here any more: using {path} as it was read from there")
        return Step(path, False, old)
    reader = DATASETS[str(workspace.protocol.dataset)]
    if same and old["inputs"] == _inputs(reader.fingerprint(root, chosen), listed):
        return Step(path, False, old)
    with store.lock(workspace.folder):
        if draw:
            _draw(workspace, root, say, progress)
        meta = _read(workspace, root, chosen, listed)
    return Step(path, True, meta)


def _root(workspace: Workspace, old: dict[str, Any] | None, root: Path | None) -> Path:
    if root is not None:
        return root
    own = workspace.folder / "raw"
    if workspace.protocol.synthesis and (
        old is None or Path(old["settings"]["root"]) == own.resolve()
    ):
        return own
    if old is None:
        raise UsageError(
            f"Nothing of {workspace.dataset} has been read into this workdir yet.",
            where=workspace.folder,
            hint=f"name the raw distribution: {workspace.option} --root FOLDER",
        )
    return Path(old["settings"]["root"])


def _digest(listed: Path | None) -> str | None:
    return None if listed is None else hashlib.sha256(listed.read_bytes()).hexdigest()


def _inputs(read: str, listed: str | None) -> str:
    return read if listed is None else store.fingerprint(read, listed)


def _must_draw(workspace: Workspace, root: Path) -> bool:
    synthesis = workspace.protocol.synthesis
    if synthesis is None or root != workspace.folder / "raw":
        return False
    return not is_written(root, synthesis.model_dump())


def _draw(
    workspace: Workspace,
    root: Path,
    say: Callable[[str], None],
    progress: "Progress | None",
) -> None:
    from fauds.synthetic import release as distribution

    synthesis = workspace.protocol.synthesis
    say(f"drawing a made-up distribution in {synthesis.like}'s layout: {root}")
    bar = progress.counter("drawing faces") if progress else nullcontext()
    with bar as drawn:
        distribution.write(
            root, synthesis.like, frames=synthesis.frames, seed=synthesis.seed, progress=drawn
        )


def _read(
    workspace: Workspace, root: Path, options: ReadOptions, listed: str | None
) -> dict[str, Any]:
    """Write frames.parquet, every frame with its key, and return its metadata."""
    expected = workspace.protocol.expected
    reader = DATASETS[str(workspace.protocol.dataset)]
    schema = schemas.frames_schema(options.aus)
    with store.table_writer(workspace.path("frames"), schema) as writer:
        parts: list[pa.Table] = []

        def take(part: pa.Table) -> None:
            part = with_keys(part)
            if listed is None:
                writer.write(part, store.sequence_starts(part))
            else:
                parts.append(part)

        reading = reader.read(root, expected and expected.model_dump(), options, sink=take)
        chosen: dict[str, Any] = {}
        if listed is not None:
            rows, chosen = _listed(workspace, pa.concat_tables(parts).unify_dictionaries())
            writer.write(rows, store.sequence_starts(rows))
        writer.meta = _meta(workspace, root, options, reading) | chosen
        if listed is not None:
            # The last labelled frames, which tell the numbering, need not be on the list.
            writer.meta["settings"]["image_base"] = reading.image_base
            writer.meta |= {"listed": listed, "inputs": _inputs(reading.fingerprint, listed)}
            writer.meta["notes"] = [*reading.notes, *chosen["notes"]]
    return writer.meta


def _meta(
    workspace: Workspace, root: Path, options: ReadOptions, reading: Reading
) -> dict[str, Any]:
    return {
        "dataset": workspace.dataset,
        "reader": workspace.protocol.dataset,
        "synthetic": reading.synthetic,
        "image_root": str(reading.root.resolve()),
        "inputs": reading.fingerprint,
        "settings": {"root": str(root.resolve()), **options.plain()},
        "differences": list(reading.differences),
        "notes": list(reading.notes),
    }


def _listed(workspace: Workspace, frames: pa.Table) -> tuple[pa.Table, dict[str, Any]]:
    """Return the frames of the protocol's list, numbered anew, and what to note of it."""
    keep, found = read_manifest(workspace.protocol.frames.file, frames)
    rows = frames.filter(pa.array(keep))
    place = rows.schema.get_field_index("frame_id")
    ids = from_numpy(np.arange(len(rows)), pa.int64())
    rows = rows.set_column(place, "frame_id", ids).combine_chunks()
    described = f"every frame that {found.name} lists (sha256 {found.sha256[:12]})"
    return rows, {"frame_set": described, "notes": list(found.notes)}
