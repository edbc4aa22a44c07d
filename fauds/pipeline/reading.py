"""The step that reads a dataset's raw files into frames.parquet, the table of all coded frames.

The raw files of a synthetic dataset are generated first.
"""

import hashlib
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from fauds.datasets import DATASETS
from fauds.datasets.base import Reading, ReadOptions, is_complete_synthetic
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
    """Read a dataset's raw files into frames.parquet, unless the table is up to date.

    For the errors see `fauds.pipeline.project.Project.frames`.

    Args:
        workspace: the folder and the protocol of a dataset that does not join two other datasets.
        root: the folder of the raw files; None for the folder that was last read or, for a protocol
            of synthetic data, the folder in which synthetic files are generated.
        options: fields of `fauds.datasets.base.ReadOptions`. Missing fields have the values with
            which the same root was last read.
        say: a function that is called with a line of text for the user if files are generated, or
            if the existing table is used because the folder of the raw files no longer exists.
        progress: shows a progress bar while synthetic faces are generated; None for none.
    """
    path = workspace.path("frames")
    protocol = workspace.protocol.reader_options()
    old = meta_of(path)
    requested, root = root, _root(workspace, old, root)
    last = (old and old["settings"]) or {}
    chosen = ReadOptions.like_last_read(last, root if requested else None, {**options, **protocol})
    list_digest = _digest(workspace.protocol.frames.file)
    settings = {"root": str(root.resolve()), **chosen.json_values()}
    synthesis = _missing_release(workspace, root)
    current = old if synthesis is None else None
    if current is not None and (
        current["settings"] != settings or current.get("listed") != list_digest
    ):
        current = None
    if current is not None and requested is None and not root.exists():
        say(f"{root} does not exist any more: {path}, which was read from this folder, is used")
        return Step(path, False, current)
    reader = DATASETS[str(workspace.protocol.dataset)]
    if current is not None and current["inputs"] == _inputs(
        reader.fingerprint(root, chosen), list_digest
    ):
        return Step(path, False, current)
    with store.lock(workspace.folder):
        if synthesis is not None:
            _generate(synthesis, root, say, progress)
        meta = _read(workspace, root, chosen, list_digest)
    return Step(path, True, meta)


def _root(workspace: Workspace, old: dict[str, Any] | None, root: Path | None) -> Path:
    """Return the folder whose raw files are read.

    Args:
        workspace: the dataset's folder and protocol.
        old: the metadata of the existing frames.parquet; None if there is no such table.
        root: the folder given by the user; None for the folder that was last read or, for a
            protocol of synthetic data, the folder in which synthetic files are generated.

    Raises:
        UsageError: no folder is given, and none has been read before.
    """
    if workspace.protocol.table is not None:
        if root is not None:
            raise UsageError(
                f"{workspace.dataset} is a table, which its protocol names.",
                where="--root",
                hint="leave out --root; the protocol says where the table and the images are",
            )
        return workspace.protocol.table.images or workspace.protocol.table.file.parent
    if root is not None:
        return root
    generated = workspace.folder / "raw"
    if workspace.protocol.synthesis and (
        old is None or Path(old["settings"]["root"]) == generated.resolve()
    ):
        return generated
    if old is None:
        raise UsageError(
            f"The raw files of {workspace.dataset} have not been read into this workdir yet.",
            where=workspace.folder,
            hint=f"give the folder of the raw files: {workspace.option} --root FOLDER",
        )
    return Path(old["settings"]["root"])


def _digest(frame_list: Path | None) -> str | None:
    return None if frame_list is None else hashlib.sha256(frame_list.read_bytes()).hexdigest()


def _inputs(fingerprint: str, list_digest: str | None) -> str:
    return fingerprint if list_digest is None else store.fingerprint(fingerprint, list_digest)


def _missing_release(workspace: Workspace, root: Path) -> Synthesis | None:
    """Return the settings of the synthetic files, if these must be generated before reading.

    Args:
        workspace: the dataset's folder and protocol.
        root: the folder that will be read.

    Returns:
        The settings; None if the folder is for real files, or already contains all synthetic files.
    """
    synthesis = workspace.protocol.synthesis
    if synthesis is None or root != workspace.folder / "raw":
        return None
    expected = synthesis.model_dump(exclude_none=True)
    return None if is_complete_synthetic(root, expected) else synthesis


def _generate(
    synthesis: Synthesis,
    root: Path,
    say: Callable[[str], None],
    progress: "Progress | None",
) -> None:
    """Generate synthetic images and label files, in the layout of a real dataset.

    Args:
        synthesis: the settings of the synthetic files.
        root: the folder that the files are written to.
        say: a function that is called with a line of text for the user.
        progress: shows a progress bar; None for none.
    """
    from fauds.synthetic import release

    say(f"generating a synthetic release in the layout of {synthesis.like}: {root}")
    bar = progress.counter("generating faces") if progress else nullcontext()
    with bar as advance:
        release.write(
            root,
            synthesis.like,
            subjects=synthesis.subjects,
            frames=synthesis.frames,
            seed=synthesis.seed,
            size=synthesis.size,
            progress=advance,
        )


def _read(
    workspace: Workspace, root: Path, options: ReadOptions, list_digest: str | None
) -> dict[str, Any]:
    """Read raw files, write frames.parquet, and return the metadata of the table.

    Args:
        workspace: the dataset's folder and protocol.
        root: the folder of the raw files.
        options: the options for reading.
        list_digest: the SHA-256 of the protocol's list of frames; None if the protocol has no list.
    """
    frame_list, expected = workspace.protocol.frames.file, workspace.protocol.expected
    published = None if expected is None else expected.model_dump()
    reader = DATASETS[str(workspace.protocol.dataset)]
    schema = schemas.frames_schema(workspace.protocol.target.columns)
    with store.table_writer(workspace.path("frames"), schema) as writer:
        parts: list[pa.Table] = []

        def collect(part: pa.Table) -> None:
            part = with_keys(part)
            if frame_list is None:
                writer.write(part, store.sequence_starts(part))
            else:
                parts.append(part)

        reading = reader.read(root, published, options, sink=collect)
        list_meta: dict[str, Any] = {}
        if frame_list is not None:
            rows, list_meta = _listed_frames(
                frame_list, pa.concat_tables(parts).unify_dictionaries()
            )
            writer.write(rows, store.sequence_starts(rows))
        writer.meta = _meta(workspace, root, options, reading) | list_meta
        if frame_list is not None:
            # The numbering of images is detected from the last labelled frames, which the list may
            # not contain.
            writer.meta["settings"]["image_base"] = reading.image_base
            writer.meta |= {
                "listed": list_digest,
                "inputs": _inputs(reading.fingerprint, list_digest),
            }
            writer.meta["notes"] = [*reading.notes, *list_meta["notes"]]
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
        "settings": {"root": str(root.resolve()), **options.json_values()},
        "differences": list(reading.differences),
        "notes": list(reading.notes),
    }


def _listed_frames(path: Path, frames: pa.Table) -> tuple[pa.Table, dict[str, Any]]:
    """Select the frames that are on a protocol's list of frames.

    Args:
        path: the file with the list.
        frames: a table of all frames of the dataset.

    Returns:
        A table of the listed frames, with new frame ids from 0, and metadata about the list.
    """
    keep, manifest = read_manifest(path, frames)
    rows = frames.filter(pa.array(keep))
    column = rows.schema.get_field_index("frame_id")
    ids = from_numpy(np.arange(len(rows)), pa.int64())
    rows = rows.set_column(column, "frame_id", ids).combine_chunks()
    frame_set = f"every frame that {manifest.name} lists (sha256 {manifest.sha256[:12]})"
    return rows, {"frame_set": frame_set, "notes": list(manifest.notes)}
