"""Finding the images of sequences (subject and task) in zip files, without extracting them.

BP4D, for example, is often stored as one zip file per subject.
"""

import os
import struct
import zipfile
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

import numpy as np

from fauds.datasets import image_folders as images
from fauds.datasets.image_folders import SUFFIXES, Listing
from fauds.datasets.media_files import Archive, SequenceId, display_name
from fauds.datasets.numbering import BaseRule
from fauds.errors import DataError

SequenceOf = Callable[[Iterable[str]], SequenceId | None]
"""A function that takes the names of nested folders, the outermost first, and returns the sequence
(subject and task) that the folders belong to; None if they belong to no sequence."""


def find(
    paths: Iterable[Path],
    last: Mapping[SequenceId, int],
    sequence_of: SequenceOf,
    rule: BaseRule,
    declared: int | None,
) -> dict[SequenceId, Archive]:
    """Find the images of sequences in zip files, without extracting them.

    A sequence is one subject's video of one task. The name of each image is a number.

    Args:
        paths: the paths of the zip files; one file may hold several sequences.
        last: the number of the last labelled frame of each sequence to find; images of other
            sequences are left out.
        sequence_of: a function that returns the sequence of an image. Its argument is a list: the
            name of the zip file without its suffix, then the names of the folders in the zip file
            that lead to the image.
        rule: the reader's `image_base`, which derives the image base, that is, the number of the
            image that shows labelled frame 1.
        declared: the image base, 0 or 1, if the user states it; None to derive it.

    Returns:
        The archive (a zip file and the names of the images in it) of each sequence that has images
        in one of the zip files.

    Raises:
        DataError: a zip file cannot be read, two zip files hold the same sequence, two images
            have the same number, or the numbering cannot be determined.
    """
    matches: dict[SequenceId, tuple[Path, dict[int, str]]] = {}
    for path in paths:
        for sequence, members in _images(path, last.keys(), sequence_of).items():
            if sequence in matches:
                raise DataError(
                    f"{display_name(sequence)} has images in two archives: "
                    f"{matches[sequence][0]} and {path}.",
                    where=path,
                    hint="keep only the archive that belongs to the release",
                )
            matches[sequence] = path, members
    listings = {
        sequence: Listing(str(path), np.array([*members], np.int64), [*members.values()])
        for sequence, (path, members) in matches.items()
    }
    base, _ = rule(listings, last, declared)
    if base is None:
        return {}
    return {
        sequence: Archive(path, {number + 1 - base: name for number, name in members.items()})
        for sequence, (path, members) in matches.items()
    }


def _images(
    path: Path, wanted: Collection[SequenceId], sequence_of: SequenceOf
) -> dict[SequenceId, dict[int, str]]:
    """Return the names of the images in a zip file, by sequence and by the number in the name.

    The numbers of a sequence are in rising order.

    Args:
        path: the path of the zip file.
        wanted: the sequences (subject and task) whose images are returned.
        sequence_of: a function that returns the sequence of an image, see `find`.
    """
    sequences: dict[str, SequenceId | None] = {}
    images_by_sequence: dict[SequenceId, dict[int, str]] = {}
    for name in _members(path):
        # Zip files made on Windows may separate folders by backslashes.
        folder, _, file = name.replace("\\", "/").rpartition("/")
        stem, suffix = os.path.splitext(file)
        if suffix.lower() not in SUFFIXES:
            continue
        if folder not in sequences:
            sequences[folder] = sequence_of([path.stem, *folder.split("/")])
        sequence = sequences[folder]
        if sequence is None or sequence not in wanted:
            continue
        # Only DISFA has no tasks, and only its images may be named after a video.
        if not (digits := images.digits(stem, of_videos=not sequence[1])):
            continue
        by_number = images_by_sequence.setdefault(sequence, {})
        if (number := int(digits)) in by_number:
            raise DataError(
                f"{by_number[number]} and {name} are both image {number} of "
                f"{display_name(sequence)}.",
                where=path,
                hint="keep only the image that belongs to the release",
            )
        by_number[number] = name
    return {
        sequence: dict(sorted(by_number.items()))
        for sequence, by_number in images_by_sequence.items()
    }


def _members(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError, struct.error) as error:
        raise DataError(
            f"The archive cannot be read: {error}.",
            where=path,
            hint="copy or download it again; move it away if it does not belong to the release",
        ) from error
