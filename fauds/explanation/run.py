"""The loop that crops, explains and writes the faces of images and video frames.

The model explains the faces in batches: it predicts action units and generates descriptions.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from fauds.errors import DataError
from fauds.explanation.engine import Explainer
from fauds.explanation.explained import Explanation, ExplanationWriter, MediaFrame, Painter
from fauds.explanation.face_cropping import Cropper, FaceCrop
from fauds.faces.base import Position

LISTED = 10
"""The maximum number of skipped frames that `Summary` lists."""
_MAX_PENDING_BYTES = 2**28
"""The maximum number of bytes of frames and crops that are held until a batch is full."""
_NO_PIXELS = np.empty((0, 0, 3), np.uint8)


@dataclass
class Summary:
    """Counts of the images and video frames that were explained or skipped.

    Attributes:
        images: the number of images and video frames.
        explained: the number of frames with at least one explained face.
        faces: the number of explained faces.
        estimated: the number of faces whose eyes were estimated from the box.
        unreadable: the number of frames that could not be read.
        skipped: lines that name the first `LISTED` skipped frames and the reasons.
    """

    images: int = 0
    explained: int = 0
    faces: int = 0
    estimated: int = 0
    unreadable: int = 0
    skipped: list[str] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class _PendingFrame:
    """A frame whose faces are cropped, but not yet explained by the model.

    Attributes:
        frame: the image or video frame.
        crops: the cropped faces, largest first; empty if there are none.
        reason: why there are no crops; "" if there are crops.
    """

    frame: MediaFrame
    crops: list[FaceCrop]
    reason: str

    @property
    def bytes(self) -> int:
        pixels = self.frame.image
        frame_bytes = pixels.nbytes if isinstance(pixels, np.ndarray) else 0
        return frame_bytes + sum(face.crop.nbytes for face in self.crops)


def run(
    frames: Iterable[MediaFrame],
    cropper: Cropper,
    explainer: Explainer,
    writers: Sequence[ExplanationWriter] = (),
    painters: Sequence[Painter] = (),
    advance: Callable[[int], None] = lambda count: None,
) -> Summary:
    """Explain all faces of a stream of frames, and write the explanations in the frames' order.

    Frames are held until their faces fill a batch for the model, in bounded memory. Frames that
    cannot be read or have no face are skipped.

    Args:
        frames: the images and video frames.
        cropper: the object that crops the faces.
        explainer: the trained model.
        writers: the files that explanations are written to.
        painters: the annotated images and videos that explanations are drawn on.
        advance: a function that is called with the number of frames that were finished since its
            last call, for a progress bar.

    Returns:
        The numbers of explained and of skipped frames, and of faces.
    """
    summary = Summary()
    for batch in _batches(frames, cropper, explainer.batch_size, keep=bool(painters)):
        for pending, explanations in zip(batch, _explained(batch, explainer), strict=True):
            _write(pending, explanations, writers, painters)
            _count(summary, pending, explanations)
        advance(len(batch))
    return summary


def explain_crops(
    frame: MediaFrame, crops: Sequence[FaceCrop], explainer: Explainer
) -> list[Explanation]:
    """Run the model on the cropped faces of one frame, and return an explanation for each face."""
    return next(_explained([_PendingFrame(frame, list(crops), "")], explainer))


def _batches(
    frames: Iterable[MediaFrame], cropper: Cropper, size: int, *, keep: bool
) -> Iterator[list[_PendingFrame]]:
    """Yield lists of frames whose faces fill a batch for the model.

    Args:
        frames: the images and video frames.
        cropper: the object that crops the faces.
        size: the number of faces in a batch.
        keep: whether the pixels of frames are kept, to draw on them; False saves memory.
    """
    batch: list[_PendingFrame] = []
    faces = held = 0
    for frame in frames:
        pending = _crop_faces(frame, cropper)
        if not keep and isinstance(frame.image, np.ndarray):
            pending = replace(pending, frame=replace(frame, image=_NO_PIXELS))
        batch.append(pending)
        faces += len(pending.crops)
        held += pending.bytes
        if max(faces, len(batch)) >= size or held >= _MAX_PENDING_BYTES:
            yield batch
            batch, faces, held = [], 0, 0
    if batch:
        yield batch


def _crop_faces(frame: MediaFrame, cropper: Cropper) -> _PendingFrame:
    """Crop the faces of a frame.

    If the frame cannot be read or has no face, no error is raised: the result has no crops, and the
    error's message as the reason.
    """
    if isinstance(frame.image, DataError):
        return _PendingFrame(frame, [], frame.image.what)
    try:
        # Detectors that read tables identify files by their names.
        at = Position(Path(frame.source).name, frame.number)
        return _PendingFrame(frame, cropper.crop(frame.image, at), "")
    except DataError as error:
        return _PendingFrame(frame, [], error.what)


def _explained(batch: Sequence[_PendingFrame], explainer: Explainer) -> Iterator[list[Explanation]]:
    """Yield for each frame a list with one explanation of each face.

    The model is called once, with the faces of all frames.
    """
    faces = [face for pending in batch for face in pending.crops]
    outputs = iter(
        explainer.explain([face.crop for face in faces], [face.points for face in faces])
    )
    for pending in batch:
        yield [
            Explanation(
                source=pending.frame.source,
                frame=pending.frame.number,
                timestamp=pending.frame.timestamp,
                timing=pending.frame.timing,
                weights=explainer.weights.description,
                exclusive=explainer.weights.target.form == "multiclass",
                **vars(face),
                **vars(next(outputs)),
            )
            for face in pending.crops
        ]


def _write(
    pending: _PendingFrame,
    explanations: Sequence[Explanation],
    writers: Sequence[ExplanationWriter],
    painters: Sequence[Painter],
) -> None:
    frame = pending.frame
    for writer in writers:
        if explanations:
            writer.write(explanations)
        else:
            writer.skip(frame, pending.reason)
    if isinstance(frame.image, np.ndarray):
        for painter in painters:
            painter.draw(frame, explanations)


def _count(summary: Summary, pending: _PendingFrame, explanations: Sequence[Explanation]) -> None:
    summary.images += 1
    summary.explained += bool(explanations)
    summary.faces += len(explanations)
    summary.unreadable += isinstance(pending.frame.image, DataError)
    summary.estimated += sum(explanation.estimated for explanation in explanations)
    if not explanations and len(summary.skipped) < LISTED:
        summary.skipped.append(f"{pending.frame.place}: {pending.reason}")
