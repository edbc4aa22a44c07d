"""Classes for the zip files, videos and landmark files of each sequence (subject and task).

The classes hold the paths and names of these files; `fauds.faces` reads the files.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

SequenceId = tuple[str, str]
"""A sequence, by its subject and task; the task is an empty string for datasets without tasks.

Both are empty strings for images whose subject is not known.
"""

Place = str | int | tuple[str, int]
"""Where the landmarks of a frame are in the files of its sequence; see `LandmarkFiles`."""


def display_name(sequence: SequenceId) -> str:
    """Return the name of a sequence for messages: F001/T1, or SN001 for datasets without tasks."""
    return "/".join(filter(None, sequence))


def printable(path: str) -> str:
    """Return a path as valid UTF-8 text, for tables and terminals.

    A byte of the path that is not valid UTF-8 becomes a backslash, an x and two hex digits.
    """
    return os.fsencode(path).decode(errors="backslashreplace")


@dataclass(frozen=True)
class Archive:
    """A zip file with images of one sequence (subject and task).

    Attributes:
        path: the path of the zip file.
        members: the name, in the zip file, of each frame's image, by the frame's number in the
            labels.
    """

    path: Path
    members: Mapping[int, str]


@dataclass(frozen=True)
class LandmarkFiles:
    """The files with the facial landmarks of one sequence (subject and task) in a dataset.

    Attributes:
        form: the format of the files: ``bp4d-mat`` (one HDF5 file; frame n is entry n - 1),
            ``disfa-mat`` (a folder with one file per frame) or ``jaa-text`` (one text file with
            one line per frame); for single images, ``csv`` (a table with a line per image, whose
            columns x0, y0, x1, ... are the points), ``affectnet-csv`` (lists with a column
            facial_landmarks), ``affectnet-npy`` (a NumPy file per image) or ``rafdb-text`` (text
            files per image: five points, and a box).
        points: the number of landmarks per frame: 5, 49, 66 or 68.
        path: the path of the file; or of the folder that `places` are relative to.
        places: where the landmarks of each frame are, by the frame's number in the labels, or by
            its key if it has no number: the name of a file (``disfa-mat``, ``affectnet-npy``), the
            index of a line, from 0 (``jaa-text``, ``csv``), the name of a file and the index of a
            line in it (``affectnet-csv``), or the image's name without its suffix
            (``rafdb-text``); empty for ``bp4d-mat``.
    """

    form: Literal[
        "bp4d-mat",
        "disfa-mat",
        "jaa-text",
        "csv",
        "affectnet-csv",
        "affectnet-npy",
        "rafdb-text",
    ]
    points: int
    path: Path
    places: Mapping[int, Place] | Mapping[str, Place]


@dataclass(frozen=True)
class Source:
    """The files from which the faces of one sequence (subject and task) can be cropped.

    Images in folders are not part of these files, since the frames table has their paths.

    Attributes:
        archive: the zip file with images of the sequence; None if there is no zip file.
        video: the path of the video, whose frame n (counted from 1) is frame n of the labels; None
            if there is no video.
        landmarks: the landmark files; None if there are no landmarks.
        digest: a hex digest of the names, sizes and modification times of these files, and of how
            the numbers in the files correspond to the frames of the labels.
    """

    archive: Archive | None
    video: Path | None
    landmarks: LandmarkFiles | None
    digest: str


@dataclass(frozen=True)
class Footage:
    """The files from which the faces of a dataset can be cropped, and messages about these files.

    Attributes:
        sources: the files of each requested sequence (subject and task).
        notes: messages about the files, such as how many sequences have a video, one line each.
        covers_images: whether the digests of the sources also cover the extracted images, which
            need not be in folders that are named after sequences.
    """

    sources: Mapping[SequenceId, Source]
    notes: tuple[str, ...]
    covers_images: bool = False
