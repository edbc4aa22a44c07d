"""Tables of action units, written as programs write them, and their events."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from fauds.annotation.clips import ClipPart, ReadingOptions, read_clips
from fauds.annotation.event_tables import ClipEvents, EventsOfClips
from fauds.annotation.events import EventSettings


def openface(
    path: Path,
    intensities: Mapping[str, Sequence[float]],
    *,
    fps: float = 10,
    without_face: Sequence[int] = (),
    decisions: Mapping[str, Sequence[int]] | None = None,
) -> Path:
    """Write a table of OpenFace for a video, with blanks after the commas.

    Args:
        path: the file.
        intensities: by AU, the intensity of each frame.
        fps: the frames per second.
        without_face: the frame numbers, from 1, in which no face is seen.
        decisions: by AU, the decision of each frame; None for intensity 1 or more.
    """
    decisions = decisions or {
        au: [int(value >= 1) for value in values] for au, values in intensities.items()
    }
    names = ["frame", "face_id", "timestamp", "confidence", "success"]
    names += [*(f"{au}_r" for au in intensities), *(f"{au}_c" for au in decisions)]
    lines = [", ".join(names)]
    for row in range(len(next(iter(intensities.values())))):
        success = int(row + 1 not in without_face)
        cells = [row + 1, 0, f"{row / fps:.3f}", 0.98 if success else 0.1, success]
        cells += [f"{values[row]:.2f}" for values in intensities.values()]
        cells += [f"{values[row]:.2f}" for values in decisions.values()]
        lines.append(", ".join(map(str, cells)))
    path.write_text("\n".join(lines) + "\n")
    return path


def events_of(
    path: Path, options: ReadingOptions | None = None, **settings: object
) -> list[ClipEvents]:
    """Return the events of the clips of a table."""
    return list(EventsOfClips(read_clips([path], options), EventSettings(**settings)))


def parts_of(path: Path, **options: object) -> tuple[list[ClipPart], list[str]]:
    """Return the parts of the clips of a table, and the lines that are said about it."""
    notes: list[str] = []
    parts = list(read_clips([path], ReadingOptions(**options), notes.append).parts())
    return parts, notes


def ramp(*pieces: tuple[float, int]) -> list[float]:
    """Return values that stay constant for some frames: (value, frames), ..."""
    return np.concatenate([np.full(count, value) for value, count in pieces]).tolist()
