"""The media files of sequences in a release: archives of images, videos and landmarks.

The classes hold paths and names only; `fauds.faces` reads the files.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

SequenceId = tuple[str, str]
"""Subject and task; the task is an empty string for datasets without tasks."""


def display_name(sequence: SequenceId) -> str:
    """Return the name of a sequence in messages: F001/T1, or SN001 for datasets without tasks."""
    return "/".join(filter(None, sequence))


def printable(path: str) -> str:
    """Return a path as valid UTF-8 text, with other bytes escaped, for tables and terminals."""
    return os.fsencode(path).decode(errors="backslashreplace")


@dataclass(frozen=True)
class Archive:
    """A zip file with images of one sequence.

    Attributes:
        path: the path of the zip file.
        members: the name of each labelled frame's image in the archive, by frame number.
    """

    path: Path
    members: Mapping[int, str]


@dataclass(frozen=True)
class LandmarkFiles:
    """The landmark files of one sequence in a release.

    Attributes:
        form: the format: ``bp4d-mat`` (one HDF5 file; frame n is entry n - 1), ``disfa-mat`` (a
            folder with one file per frame) or ``jaa-text`` (one text file with one line per
            frame).
        points: the number of landmarks per frame: 49, 66 or 68.
        path: the path of the file, or of the folder for ``disfa-mat``.
        places: the landmarks of each labelled frame, by frame number: the name of its file
            (``disfa-mat``) or the number of its line, counted from 0 (``jaa-text``); empty for
            ``bp4d-mat``.
    """

    form: Literal["bp4d-mat", "disfa-mat", "jaa-text"]
    points: int
    path: Path
    places: Mapping[int, str | int]


@dataclass(frozen=True)
class Source:
    """The media files that faces of one sequence can be cropped from.

    Extracted images are not among them: the frames table names those.

    Attributes:
        archive: the zip file with images of the sequence; None if there is none.
        video: the video, whose frame n (counted from 1) is label frame n; None if there is none.
        landmarks: the landmark files; None if there are none.
        digest: a hex digest of all these files by name, size and modification time, and of how
            their numbers map to label frames.
    """

    archive: Archive | None
    video: Path | None
    landmarks: LandmarkFiles | None
    digest: str


@dataclass(frozen=True)
class Footage:
    """The media files of sequences.

    Attributes:
        sources: the media files of each requested sequence.
        notes: messages about the files, one line each.
    """

    sources: Mapping[SequenceId, Source]
    notes: tuple[str, ...]
