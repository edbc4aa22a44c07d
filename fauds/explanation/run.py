"""The loop that pictures go through: faces are cut out, explained in batches, and passed on."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from fauds.errors import DataError
from fauds.explanation.cutting import Cut, Cutter
from fauds.explanation.engine import Explainer
from fauds.explanation.explained import Explanation, ExplanationSink, MediaFrame, Painter
from fauds.faces.base import Position

NAMED = 10
"""How many of the pictures that were skipped are named."""
_HELD = 2**28
"""How many bytes of pictures may wait."""
_LET_GO = np.empty((0, 0, 3), np.uint8)


@dataclass
class Summary:
    """What became of the pictures.

    Attributes:
        pictures: how many there were.
        explained: how many of them have a face that was explained.
        faces: how many faces were explained.
        estimated: of how many faces the eyes were estimated from the box.
        unreadable: how many pictures could not be read.
        skipped: the first `NAMED` of those that were skipped, and why.
    """

    pictures: int = 0
    explained: int = 0
    faces: int = 0
    estimated: int = 0
    unreadable: int = 0
    skipped: list[str] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class _Waiting:
    frame: MediaFrame
    cuts: list[Cut]
    why: str

    @property
    def bytes(self) -> int:
        picture = self.frame.image
        own = picture.nbytes if isinstance(picture, np.ndarray) else 0
        return own + sum(cut.crop.nbytes for cut in self.cuts)


def run(
    frames: Iterable[MediaFrame],
    cutter: Cutter,
    explainer: Explainer,
    sinks: Sequence[ExplanationSink] = (),
    painters: Sequence[Painter] = (),
    advance: Callable[[int], None] = lambda pictures: None,
) -> Summary:
    """Explain all faces of pictures, and pass them on in the pictures' order.

    Pictures wait until their faces fill a batch; what waits is bounded, however many pictures
    there are. One that cannot be read or shows no face is skipped.

    Args:
        advance: called with the number of pictures done, for a progress bar.
    """
    summary = Summary()
    for waiting in _batches(frames, cutter, explainer.batch_size, keep=bool(painters)):
        for one, explanations in zip(waiting, _explained(waiting, explainer), strict=True):
            _pass_on(one, explanations, sinks, painters)
            _count(summary, one, explanations)
        advance(len(waiting))
    return summary


def explain_cuts(frame: MediaFrame, cuts: Sequence[Cut], explainer: Explainer) -> list[Explanation]:
    """Return what the model says of the faces of one picture."""
    return next(_explained([_Waiting(frame, list(cuts), "")], explainer))


def _batches(
    frames: Iterable[MediaFrame], cutter: Cutter, size: int, *, keep: bool
) -> Iterator[list[_Waiting]]:
    """Yield pictures whose faces make a batch; without `keep` their pixels are let go."""
    waiting: list[_Waiting] = []
    faces = held = 0
    for frame in frames:
        one = _look(frame, cutter)
        if not keep and isinstance(frame.image, np.ndarray):
            one = replace(one, frame=replace(frame, image=_LET_GO))
        waiting.append(one)
        faces += len(one.cuts)
        held += one.bytes
        if max(faces, len(waiting)) >= size or held >= _HELD:
            yield waiting
            waiting, faces, held = [], 0, 0
    if waiting:
        yield waiting


def _look(frame: MediaFrame, cutter: Cutter) -> _Waiting:
    if isinstance(frame.image, DataError):
        return _Waiting(frame, [], frame.image.what)
    try:
        # Detectors that read tables know files by their names.
        at = Position(Path(frame.source).name, frame.number)
        return _Waiting(frame, cutter.cut(frame.image, at), "")
    except DataError as error:
        return _Waiting(frame, [], error.what)


def _explained(waiting: Sequence[_Waiting], explainer: Explainer) -> Iterator[list[Explanation]]:
    """Yield the explanations of each picture, all faces having gone through the model together."""
    said = iter(explainer.explain([cut.crop for one in waiting for cut in one.cuts]))
    for one in waiting:
        yield [
            Explanation(
                source=one.frame.source,
                frame=one.frame.number,
                timestamp=one.frame.timestamp,
                index=index,
                **vars(cut),
                **vars(next(said)),
            )
            for index, cut in enumerate(one.cuts)
        ]


def _pass_on(
    one: _Waiting,
    explanations: Sequence[Explanation],
    sinks: Sequence[ExplanationSink],
    painters: Sequence[Painter],
) -> None:
    frame = one.frame
    for sink in sinks:
        if explanations:
            sink.write(explanations)
        else:
            sink.skip(frame.source, frame.number, frame.timestamp, one.why)
    if isinstance(frame.image, np.ndarray):
        for painter in painters:
            painter.draw(frame, explanations)


def _count(summary: Summary, one: _Waiting, explanations: Sequence[Explanation]) -> None:
    summary.pictures += 1
    summary.explained += bool(explanations)
    summary.faces += len(explanations)
    summary.unreadable += isinstance(one.frame.image, DataError)
    summary.estimated += sum(explanation.estimated for explanation in explanations)
    if not explanations and len(summary.skipped) < NAMED:
        summary.skipped.append(f"{one.frame.place}: {one.why}")
