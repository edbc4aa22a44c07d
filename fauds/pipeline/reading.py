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
from fauds.protocols.benchmark import Synthesis
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
    synthesis = _unwritten(workspace, root)
    same = old if synthesis is None else None
    if same is not None and (same["settings"] != settings or same.get("listed") != listed):
        same = None
    if same is not None and asked is None and not root.exists():
        say(f"{root} is not here any more: using {path} as it was read from there")
        return Step(path, False, same)
    reader = DATASETS[str(workspace.protocol.dataset)]
    if same is not None and same["inputs"] == _inputs(reader.fingerprint(root, chosen), listed):
        return Step(path, False, same)
    with store.lock(workspace.folder):
        if synthesis is not None:
            _draw(synthesis, root, say, progress)
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


def _unwritten(workspace: Workspace, root: Path) -> Synthesis | None:
    """Return the synthetic release that is to be written to the root before it is read."""
    synthesis = workspace.protocol.synthesis
    if synthesis is None or root != workspace.folder / "raw":
        return None
    return None if is_written(root, synthesis.model_dump()) else synthesis


def _draw(
    synthesis: Synthesis,
    root: Path,
    say: Callable[[str], None],
    progress: "Progress | None",
) -> None:
    from fauds.synthetic import release as distribution

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
    frame_list, expected = workspace.protocol.frames.file, workspace.protocol.expected
    published = None if expected is None else expected.model_dump()
    reader = DATASETS[str(workspace.protocol.dataset)]
    schema = schemas.frames_schema(options.aus)
    with store.table_writer(workspace.path("frames"), schema) as writer:
        parts: list[pa.Table] = []

        def take(part: pa.Table) -> None:
            part = with_keys(part)
            if frame_list is None:
                writer.write(part, store.sequence_starts(part))
            else:
                parts.append(part)

        reading = reader.read(root, published, options, sink=take)
        chosen: dict[str, Any] = {}
        if frame_list is not None:
            rows, chosen = _listed(frame_list, pa.concat_tables(parts).unify_dictionaries())
            writer.write(rows, store.sequence_starts(rows))
        writer.meta = _meta(workspace, root, options, reading) | chosen
        if frame_list is not None:
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


def _listed(path: Path, frames: pa.Table) -> tuple[pa.Table, dict[str, Any]]:
    """Return the frames of the protocol's list, numbered anew, and what to note of it."""
    keep, found = read_manifest(path, frames)
    rows = frames.filter(pa.array(keep))
    place = rows.schema.get_field_index("frame_id")
    ids = from_numpy(np.arange(len(rows)), pa.int64())
    rows = rows.set_column(place, "frame_id", ids).combine_chunks()
    described = f"every frame that {found.name} lists (sha256 {found.sha256[:12]})"
    return rows, {"frame_set": described, "notes": list(found.notes)}
