"""Finding the label folder of a release from wherever in or above it the user points."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fauds.datasets.base import natural
from fauds.datasets.subjects import shortened
from fauds.errors import DataError
from fauds.tables.paths import SYNTHETIC_MARKER


@contextmanager
def os_errors() -> Iterator[None]:
    """Turn what the file system refuses into DataError."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"This cannot be read: {error.strerror or error}.",
            where=error.filename,
            hint="check that it is there and that you may read it (ls -l)",
        ) from error


def label_folder(root: Path, name: str, layout: str) -> Path:
    """Return the folder `name` of a release.

    Args:
        root: the release, the folder itself or one in it, or the folder above the release
            where no other release lies beside it.
        name: the label folder's name; upper and lower case are taken for the same.
        layout: what a release looks like, for the error.

    Raises:
        DataError: the root does not exist, holds no such folder, or holds two; or its path is
            not UTF-8.
    """
    _check_text(root)
    if not root.is_dir():
        raise DataError(
            "The folder does not exist." if not root.exists() else "This is not a folder.",
            where=root,
            hint=f"point --root at the release: the folder that holds {layout}",
        )
    for folder in (root.absolute(), root.absolute().parent):
        if folder.name.lower() == name.lower():
            return folder
    found = _named(root, name) or [
        folder for child in subfolders(root) for folder in _named(child, name)
    ]
    if len(found) > 1:
        raise DataError(
            f"There is more than one release here: {shortened([f.parent.name for f in found])}.",
            where=root,
            hint="point --root at one of them",
        )
    if not found:
        there = sorted((entry.name for entry in root.iterdir()), key=natural)
        raise DataError(
            f"There are no labels here: looked for {layout}; there is {shortened(there)}.",
            where=root,
            hint=f"point --root at the folder that holds {name}/",
        )
    return found[0]


def _check_text(root: Path) -> None:
    """Refuse a path that no table could name."""
    path = str(root.resolve())
    try:
        path.encode()
    except UnicodeEncodeError:
        raise DataError(
            "The path of this folder is not UTF-8, which tables need.",
            where=ascii(path),
            hint="rename the folder whose name has other bytes",
        ) from None


def image_root(root: Path, labels: Path) -> Path:
    """Return where images are looked for.

    That is the root, since images may lie beside the labels' part of a release; but the release
    where the root lies in it, or where fauds made it up.
    """
    inside = labels in (root.absolute(), root.absolute().parent)
    return labels.parent if inside or (labels.parent / SYNTHETIC_MARKER).exists() else root


def subfolders(folder: Path) -> list[Path]:
    """Return the visible folders in a folder, in natural order."""
    return sorted(
        (path for path in entries(folder) if path.is_dir()), key=lambda path: natural(path.name)
    )


def entries(folder: Path) -> list[Path]:
    """Return what is in a folder, without what file managers leave behind (._x, Thumbs.db)."""
    names = os.listdir(folder)
    return [folder / n for n in names if not n.startswith(".") and n.lower() != "thumbs.db"]


def files(folder: Path, suffix: str) -> list[Path]:
    """Return the files of a folder with that suffix, in natural order."""
    found = [path for path in entries(folder) if path.suffix.lower() == suffix]
    return sorted((p for p in found if not p.is_dir()), key=lambda path: natural(path.name))


def _named(folder: Path, name: str) -> list[Path]:
    return [path for path in subfolders(folder) if path.name.lower() == name.lower()]


def listed(ignored: Iterable[Path], root: Path) -> list[str]:
    """Return the notes that name files which were not read."""
    names = [os.path.relpath(path, root) for path in ignored]
    return [f"not read, since the name is no sequence's: {shortened(names)}"] if names else []
