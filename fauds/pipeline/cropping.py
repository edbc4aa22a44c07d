"""The step that crops and aligns the faces of a dataset's frames: faces.parquet."""

from collections.abc import Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from fauds.datasets import DATASETS
from fauds.pipeline.workspace import Workspace
from fauds.step import Step

if TYPE_CHECKING:
    from fauds.bench.onefold import Progress


def crop(workspace: Workspace, options: Mapping[str, Any], progress: "Progress | None") -> Step:
    """Crop the faces of frames.parquet as it lies there; crops that are there already are kept.

    Args:
        workspace: of a protocol that joins no others.
        options: fields of `fauds.faces.request.CropRequest`; the others are the protocol's.
        progress: shows how far it is.

    Raises:
        UsageError: settings that contradict each other, an unknown alignment or detector.
        DataError: pictures or landmarks are missing or damaged.
    """
    # Loads OpenCV, which reading labels does without.
    from fauds.faces.dataset import crop_faces

    protocol = workspace.protocol
    reader = DATASETS[str(protocol.dataset)]
    bar = progress.counter("cropping faces") if progress else nullcontext()
    with bar as done:
        prepared = crop_faces(workspace.folder, reader, protocol.alignment, options, done)
    return Step(prepared.path, prepared.done, prepared.meta)
