"""The step that crops and aligns faces; it writes image files of faces, and faces.parquet."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow.compute as pc

from fauds import launcher
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
from fauds.tables.frames import last_numbers
from fauds.tables.paths import FRAMES

if TYPE_CHECKING:
    from fauds.runs.fold import Progress


def crop_faces(
    folder: Path,
    reader: Reader,
    default: AlignmentSettings,
    options: Mapping[str, Any],
    progress: Callable[[int, int], None] | None = None,
) -> Prepared:
    """Crop the faces of all frames of a dataset; see `fauds.faces.prepare.prepare`.

    Args:
        folder: the dataset's folder, which contains frames.parquet.
        reader: the dataset's reader.
        default: the benchmark's alignment, which is used unless `options` names another one.
        options: fields of `fauds.faces.plan.CropRequest` that replace the benchmark's settings.
        progress: called with the number of finished frames and the number of all frames.
    """
    request = _crop_request(default, options)
    frames = folder / FRAMES
    media, digests = find_media(reader, frames, request.camera)
    image_root = Path(store.read_meta(frames)["image_root"])
    return prepare(folder, frames, media, image_root, digests, request, progress)


def _crop_request(default: AlignmentSettings, options: Mapping[str, Any]) -> CropRequest:
    """Return the benchmark's settings for cropping, with the fields in `options` replaced."""
    name = options.get("alignment", default.name)
    # The benchmark only names the version of its own alignment.
    version = default.version if name == default.name else alignment(name).version
    fields: dict[str, Any] = {
        "without_landmarks": default.without_landmarks,
        "orientation": default.orientation,
        "workers": launcher.cores(),
    }
    return CropRequest(**{**fields, **options, "alignment": name, "version": version})


def find_media(
    reader: Reader, frames: Path, camera: Literal["left", "right"]
) -> tuple[Footage, dict[SequenceId, str]]:
    """Find the image, video and landmark files that the frames can be cropped from.

    Args:
        reader: the dataset's reader.
        frames: the path of frames.parquet.
        camera: the camera whose videos are used, for datasets that were recorded by two cameras;
            see `Reader.footage`.

    Returns:
        media: the media files of every sequence (one subject in one task).
        digests: by sequence, a hash of the sequence's folder of images, to detect changes;
            sequences without such a folder are left out.

    Raises:
        DataError: the raw files are no longer where the frames were read from, or media files are
            missing; see `Reader.footage`.
    """
    meta = store.read_meta(frames)
    settings = dict(meta["settings"])
    root = Path(settings.pop("root"))
    if not root.exists():
        raise DataError(
            "The folder of raw files that the frames were read from no longer exists.",
            where=root,
            hint="give the new folder of the raw files: --root FOLDER",
        )
    options = ReadOptions(**ReadOptions.from_json_values(settings))
    last, with_images = _sequences(frames)
    media = reader.footage(
        root, last, camera=camera, image_base=options.image_base, images=options.images
    )
    # The digest of single images is part of their source: the reader knows where they are.
    with_images = [name for name in with_images if last[name] and not media.covers_images]
    if not with_images:
        return media, {}
    keys: dict[Any, SequenceId] = {tuple(filter(None, name)): name for name in with_images}
    folders = images.find(Path(meta["image_root"]), keys, options.images)
    return media, {keys[key]: folder.digest for key, folder in folders.items()}


def _sequences(frames: Path) -> tuple[dict[SequenceId, int], list[SequenceId]]:
    """List the sequences (one subject in one task) in frames.parquet.

    Returns:
        By sequence, the number of the last frame, 0 if frames have no numbers; and a list of the
        sequences that have image files.
    """
    last: dict[SequenceId, int] = {}
    with_images = []
    for part in store.read_batches(frames, ["subject", "task", "frame", "image"]):
        numbers = pc.fill_null(part["frame"], 0) if part["frame"].null_count else part["frame"]
        has_image = pc.is_valid(part["image"])
        sequences = list(store.sequences(part))
        last |= last_numbers(to_numpy(numbers), sequences)
        for name, rows in sequences:
            if pc.any(has_image[rows]).as_py():
                with_images.append(name)
    return last, with_images


def crop(workspace: Workspace, options: Mapping[str, Any], progress: "Progress | None") -> Step:
    """Crop the faces of the frames in frames.parquet; existing crops are kept.

    Args:
        workspace: the folder and the protocol of a dataset that does not join two other datasets.
        options: fields of `fauds.faces.plan.CropRequest` that replace the protocol's settings.
        progress: shows a progress bar; None for none.

    Raises:
        UsageError: settings contradict each other, or the alignment or the detector is unknown.
        DataError: images or landmarks are missing or damaged.
    """
    protocol = workspace.protocol
    reader = DATASETS[str(protocol.dataset)]
    bar = progress.counter("cropping faces") if progress else nullcontext()
    with bar as advance:
        prepared = crop_faces(workspace.folder, reader, protocol.alignment, options, advance)
    return Step(prepared.path, prepared.done, prepared.meta)
