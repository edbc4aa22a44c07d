"""Finding images in zip files, as BP4D's and others' users keep a subject's frames."""

import os
import struct
import zipfile
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

import numpy as np

from fauds.datasets import image_folders as images
from fauds.datasets.image_folders import SUFFIXES, Listing
from fauds.datasets.media_files import Archive, SequenceId, spoken
from fauds.datasets.numbering import BaseRule
from fauds.errors import DataError

SequenceOf = Callable[[Iterable[str]], SequenceId | None]
"""Folder names, the outermost first, to the sequence that they say, if any."""


def find(
    paths: Iterable[Path],
    last: Mapping[SequenceId, int],
    sequence_of: SequenceOf,
    rule: BaseRule,
    declared: int | None,
) -> dict[SequenceId, Archive]:
    """Find the images of sequences in zip files. Nothing is extracted.

    Args:
        paths: of the zip files; one may hold several sequences.
        last: by sequence, the last labelled frame; other sequences are left out.
        sequence_of: is asked with the zip's name without its suffix and the folders in the zip.
        rule: the dataset's `image_base`: the number of the image of label frame 1.
        declared: what the user says it is: 0, 1, or None.

    Returns:
        The archive of every sequence that has images, named by a number, in one.

    Raises:
        DataError: a zip that cannot be read, a sequence in two of them, two images of one
            number, or a numbering that cannot be told.
    """
    found: dict[SequenceId, tuple[Path, dict[int, str]]] = {}
    for path in paths:
        for sequence, members in _images(path, last.keys(), sequence_of).items():
            if sequence in found:
                raise DataError(
                    f"{spoken(sequence)} has images in two archives: "
                    f"{found[sequence][0]} and {path}.",
                    where=path,
                    hint="keep the one that belongs to the release",
                )
            found[sequence] = path, members
    listings = {
        sequence: Listing(str(path), np.array([*members], np.int64), [*members.values()])
        for sequence, (path, members) in found.items()
    }
    base, _ = rule(listings, last, declared)
    if base is None:
        return {}
    return {
        sequence: Archive(path, {number + 1 - base: name for number, name in members.items()})
        for sequence, (path, members) in found.items()
    }


def _images(
    path: Path, wanted: Collection[SequenceId], sequence_of: SequenceOf
) -> dict[SequenceId, dict[int, str]]:
    """Return the images in a zip by sequence and number, numbers rising."""
    sequences: dict[str, SequenceId | None] = {}
    found: dict[SequenceId, dict[int, str]] = {}
    for name in _members(path):
        # Some archives from Windows have backslashes between folders.
        folder, _, file = name.replace("\\", "/").rpartition("/")
        stem, suffix = os.path.splitext(file)
        if suffix.lower() not in SUFFIXES:
            continue
        if folder not in sequences:
            sequences[folder] = sequence_of([path.stem, *folder.split("/")])
        sequence = sequences[folder]
        if sequence is None or sequence not in wanted:
            continue
        # A sequence without a task is one of DISFA's.
        if not (digits := images.digits(stem, of_videos=not sequence[1])):
            continue
        by_number = found.setdefault(sequence, {})
        if (number := int(digits)) in by_number:
            raise DataError(
                f"{by_number[number]} and {name} are both image {number} of {spoken(sequence)}.",
                where=path,
                hint="keep the one that belongs to the release",
            )
        by_number[number] = name
    return {sequence: dict(sorted(by_number.items())) for sequence, by_number in found.items()}


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
