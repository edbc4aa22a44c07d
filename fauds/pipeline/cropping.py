"""The step that crops and aligns the faces of a dataset's frames: faces.parquet."""

import os
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow.compute as pc

from fauds.datasets import DATASETS
from fauds.datasets import image_folders as images
from fauds.datasets.base import Reader, ReadOptions
from fauds.datasets.media_files import Footage, SequenceId
from fauds.errors import DataError
from fauds.faces.alignment import alignment
from fauds.faces.plan import CropRequest
from fauds.faces.prepare import Prepared, prepare
from fauds.pipeline.workspace import Step, Workspace
from fauds.protocols.benchmark import AlignmentSettings
from fauds.tables import store
from fauds.tables.columns import to_numpy
from fauds.tables.paths import FRAMES

if TYPE_CHECKING:
    from fauds.runs.fold import Progress


def crop_faces(
    folder: Path,
    reader: Reader,
    wanted: AlignmentSettings,
    given: Mapping[str, Any],
    progress: Callable[[int, int], None] | None = None,
) -> Prepared:
    """Crop the faces of all frames of a dataset's folder; see `fauds.faces.prepare.prepare`.

    Args:
        folder: the dataset's, with frames.parquet.
        reader: the dataset's.
        wanted: the benchmark's alignment.
        given: fields of `CropRequest` that differ from the benchmark's.
        progress: called with the frames that are done and all that there are.
    """
    request = _settled(wanted, given)
    frames = folder / FRAMES
    footage, digests = gather(reader, frames, request.camera)
    image_root = Path(store.read_meta(frames)["image_root"])
    return prepare(folder, frames, footage, image_root, digests, request, progress)


def _settled(wanted: AlignmentSettings, given: Mapping[str, Any]) -> CropRequest:
    name = given.get("alignment", wanted.name)
    # The benchmark names a version of its own alignment only.
    version = wanted.version if name == wanted.name else alignment(name).version
    fields = {"without_landmarks": wanted.without_landmarks, "workers": os.cpu_count() or 1}
    return CropRequest(**{**fields, **given, "alignment": name, "version": version})


def gather(
    reader: Reader, frames: Path, camera: Literal["left", "right"]
) -> tuple[Footage, dict[SequenceId, str]]:
    """Find what the frames can be cropped from.

    Args:
        reader: the dataset's.
        frames: frames.parquet.
        camera: see `Reader.footage`.

    Returns:
        The footage, and by sequence the digest of its folder of images, where it has one.

    Raises:
        DataError: the distribution is not where the frames were read, or see `Reader.footage`.
    """
    meta = store.read_meta(frames)
    settings = dict(meta["settings"])
    root = Path(settings.pop("root"))
    if not root.exists():
        raise DataError(
            "The distribution that these frames were read from is not here any more.",
            where=root,
            hint="say where it is now: --root FOLDER",
        )
    options = ReadOptions(**ReadOptions.fields_of(settings))
    last, pictured = _sequences(frames)
    footage = reader.footage(
        root, last, camera=camera, image_base=options.image_base, images=options.images
    )
    if not pictured:
        return footage, {}
    keys: dict[Any, SequenceId] = {tuple(filter(None, name)): name for name in pictured}
    found = images.find(Path(meta["image_root"]), keys, options.images)
    return footage, {keys[key]: folder.digest for key, folder in found.items()}


def _sequences(frames: Path) -> tuple[dict[SequenceId, int], list[SequenceId]]:
    """Return the last frame of every sequence, and the sequences that have images."""
    last: dict[SequenceId, int] = {}
    pictured = []
    for part in store.read_batches(frames, ["subject", "task", "frame", "image"]):
        numbers = to_numpy(part["frame"])
        there = pc.is_valid(part["image"])
        for name, rows in store.sequences(part):
            last[name] = int(numbers[rows][-1])
            if pc.any(there[rows]).as_py():
                pictured.append(name)
    return last, pictured


def crop(workspace: Workspace, options: Mapping[str, Any], progress: "Progress | None") -> Step:
    """Crop the faces of frames.parquet as it lies there; crops that are there already are kept.

    Args:
        workspace: of a protocol that joins no others.
        options: fields of `fauds.faces.plan.CropRequest`; the others are the protocol's.
        progress: shows how far it is.

    Raises:
        UsageError: settings that contradict each other, an unknown alignment or detector.
        DataError: pictures or landmarks are missing or damaged.
    """
    protocol = workspace.protocol
    reader = DATASETS[str(protocol.dataset)]
    bar = progress.counter("cropping faces") if progress else nullcontext()
    with bar as done:
        prepared = crop_faces(workspace.folder, reader, protocol.alignment, options, done)
    return Step(prepared.path, prepared.done, prepared.meta)
