"""The walk through a distribution that everything but labels is looked for with."""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from fauds.tables.paths import FRAMES, SYNTHETIC_MARKER

_NOT_A_RELEASE = {FRAMES, SYNTHETIC_MARKER}


def walk(top: Path, is_leaf: Callable[[Path], bool]) -> Iterator[tuple[Path, list[str] | None]]:
    """Yield `top` and the folders in it at any depth, in a fixed order, with their files' names.

    Hidden folders are left out, and those that hold a workspace or a made-up distribution.

    Args:
        top: where to begin; it is never a leaf.
        is_leaf: whether not to look into a folder; a leaf is yielded with None.
    """
    seen: set[tuple[int, int]] = set()
    waiting = [top]
    while waiting:
        folder = waiting.pop()
        if folder != top and is_leaf(folder):
            yield folder, None
            continue
        # Links may lead in circles.
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        folders, files = _entries(folder)
        # A workspace or a made-up distribution may lie inside the release; what it holds has the
        # layout of the release's images.
        if folder != top and not _NOT_A_RELEASE.isdisjoint(files):
            continue
        yield folder, files
        waiting += sorted(folders, reverse=True)


def named(folders: Iterable[tuple[Path, list[str]]], suffixes: tuple[str, ...]) -> list[Path]:
    """Return the files whose names end so, in the folders' order; suffixes are lower case."""
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
