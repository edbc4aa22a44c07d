"""Recognises files that Git LFS left in the place of data that was not downloaded."""

from pathlib import Path

from fauds.errors import DataError

_START = b"version https://git-lfs.github.com/spec/"


def is_pointer(data: bytes) -> bool:
    """Return whether the first bytes of a file are those of a Git LFS pointer."""
    return data.startswith(_START)


def pointer_error(where: Path | str) -> DataError:
    """Return the error about a Git LFS pointer in the place of a file."""
    return DataError(
        "The file is a Git LFS pointer: it names the data, which were not downloaded.",
        where=where,
        hint="run git lfs pull in the folder of the repository, or copy the file itself",
    )
