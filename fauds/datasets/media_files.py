"""Where the pictures and the landmarks of sequences lie in a raw distribution."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

SequenceId = tuple[str, str]
"""Subject and task; the task of a dataset without tasks is empty."""


def spoken(sequence: SequenceId) -> str:
    """Return a sequence as people name it: F001/T1, or SN001 where there are no tasks."""
    return "/".join(filter(None, sequence))


def printable(path: str) -> str:
    """Return a path as tables and terminals take it: bytes that are not UTF-8 are escaped."""
    return os.fsencode(path).decode(errors="backslashreplace")


@dataclass(frozen=True)
class Archive:
    """A zip file with images of one sequence.

    Attributes:
        path: of the zip file.
        members: label frame number to the name of its image in the archive.
    """

    path: Path
    members: Mapping[int, str]


@dataclass(frozen=True)
class LandmarkFiles:
    """The landmarks that a distribution holds for one sequence.

    Attributes:
        form: ``bp4d-mat`` (one HDF5 file, entry frame - 1), ``disfa-mat`` (a folder, a file a
            frame) or ``jaa-text`` (one text file, a line a frame).
        points: 49, 66 or 68.
        path: the file, or the folder.
        places: label frame number to the file's name (disfa-mat) or to the line's number, from 0
            (jaa-text); empty for bp4d-mat.
    """

    form: Literal["bp4d-mat", "disfa-mat", "jaa-text"]
    points: int
    path: Path
    places: Mapping[int, str | int]


@dataclass(frozen=True)
class Source:
    """What one sequence can be cropped from, beside the images that the frames table names.

    Attributes:
        video: its frame n, counted from 1, is label frame n.
        digest: hex, of all these files by name, size and time, and of the frames that their
            numbers mean.
    """

    archive: Archive | None
    video: Path | None
    landmarks: LandmarkFiles | None
    digest: str


@dataclass(frozen=True)
class Footage:
    """The sources of all sequences that were asked for, and what was found, a line each."""

    sources: Mapping[SequenceId, Source]
    notes: tuple[str, ...]
