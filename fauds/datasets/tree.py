"""Walking through the folders of a dataset in search of images, zip files, videos and landmarks."""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from fauds.tables.paths import FRAMES, SYNTHETIC_MARKER

_NOT_A_RELEASE = {FRAMES, SYNTHETIC_MARKER}


def walk(top: Path, is_leaf: Callable[[Path], bool]) -> Iterator[tuple[Path, list[str] | None]]:
    """Yield a folder and all folders in it at any depth, always in the same order.

    Hidden folders are left out, and so are folders that fauds wrote: synthetic releases, and the
    folders in which it stores the tables of a dataset.

    Args:
        top: the folder to begin with, which is always opened.
        is_leaf: a function that returns True for folders that must not be opened.

    Yields:
        The path of each folder, and the names of the files in it. For a folder that was not
        opened, None takes the place of the names.
    """
    visited: set[tuple[int, int]] = set()
    waiting = [top]
    while waiting:
        folder = waiting.pop()
        if folder != top and is_leaf(folder):
            yield folder, None
            continue
        # Symbolic links may form a cycle.
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in visited:
            continue
        visited.add((status.st_dev, status.st_ino))
        folders, files = _entries(folder)
        # A workspace or a synthetic release may be inside the release; its images have the same
        # layout as those of the release.
        if folder != top and not _NOT_A_RELEASE.isdisjoint(files):
            continue
        yield folder, files
        waiting += sorted(folders, reverse=True)


def files_ending(
    folders: Iterable[tuple[Path, list[str]]], suffixes: tuple[str, ...]
) -> list[Path]:
    """Return the paths of the files whose names end in one of the suffixes.

    The files are sorted by name within a folder; the folders keep their order.

    Args:
        folders: the path of each folder, and the names of the files in it.
        suffixes: the suffixes in lower case; case in the names of files does not matter.
    """
    return [
        folder / name
        for folder, names in folders
        for name in sorted(names)
        if name.lower().endswith(suffixes)
    ]


def _entries(folder: Path) -> tuple[list[Path], list[str]]:
    folders, files = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith((".", "__MACOSX")):
                continue
            if entry.is_dir():
                folders.append(folder / entry.name)
            else:
                files.append(entry.name)
    return folders, files
