"""Finding the label folder of a release (the files of a dataset) from a folder that the user names.

The user may name the folder of the release, a folder in it, or the folder above it.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fauds.datasets.base import natural
from fauds.datasets.subjects import abbreviated
from fauds.errors import DataError
from fauds.tables.paths import SYNTHETIC_MARKER


@contextmanager
def os_errors() -> Iterator[None]:
    """Raise DataError in place of each OSError (such as PermissionError) of code in the context."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"A file or folder cannot be read: {error.strerror or error}.",
            where=error.filename,
            hint="check that it exists and that you have permission to read it (ls -l)",
        ) from error


def label_folder(root: Path, name: str, layout: str) -> Path:
    """Return the path of the folder with the labels in a release (the files of a dataset).

    Args:
        root: the folder that the user names: the folder of the release, its label folder, a folder
            in the label folder, or the folder above the release if it holds only one release.
        name: the name of the label folder, such as AUCoding; case does not matter.
        layout: the path of a typical label file in the release, for error messages.

    Raises:
        DataError: the root does not exist, its path is not valid UTF-8, or it holds no label
            folder or more than one.
    """
    check_root(root, layout)
    for folder in (root.absolute(), root.absolute().parent):
        if folder.name.lower() == name.lower():
            return folder
    candidates = _named(root, name) or [
        folder for child in subfolders(root) for folder in _named(child, name)
    ]
    if len(candidates) > 1:
        releases = abbreviated([folder.parent.name for folder in candidates])
        raise DataError(
            f"The folder holds more than one release: {releases}.",
            where=root,
            hint="point --root at one of them",
        )
    if not candidates:
        present = sorted((entry.name for entry in root.iterdir()), key=natural)
        raise DataError(
            f"No labels found: expected {layout}; the folder holds {abbreviated(present)}.",
            where=root,
            hint=f"point --root at the folder that holds {name}/",
        )
    return candidates[0]


def check_root(root: Path, layout: str) -> None:
    """Check the folder that the user names as the release.

    Args:
        root: the folder.
        layout: the path of a typical label file in the release, for error messages.

    Raises:
        DataError: there is no such folder, or its path is not valid UTF-8, which tables cannot
            store.
    """
    path = str(root.resolve())
    try:
        path.encode()
    except UnicodeEncodeError:
        raise DataError(
            "The path of this folder is not valid UTF-8.",
            where=ascii(path),
            hint="rename the folder; tables store its path as UTF-8",
        ) from None
    if not root.is_dir():
        raise DataError(
            "This is a file, not a folder." if root.exists() else "The folder does not exist.",
            where=root,
            hint=f"point --root at the release: the folder that holds {layout}",
        )


def image_root(root: Path, labels: Path) -> Path:
    """Return the path of the folder to search for the images of a dataset.

    This is the folder above the label folder if the release is synthetic, or if `root` is the label
    folder or a folder in it. Otherwise it is `root`, even if `root` is the folder above the
    release, because images may be stored beside the release.

    Args:
        root: the folder that the user names as the release.
        labels: the label folder of the release, such as AUCoding.
    """
    inside = labels in (root.absolute(), root.absolute().parent)
    return labels.parent if inside or (labels.parent / SYNTHETIC_MARKER).exists() else root


def subfolders(folder: Path) -> list[Path]:
    """Return the paths of the folders in a folder, without hidden folders, with T2 before T10."""
    return sorted(
        (path for path in entries(folder) if path.is_dir()), key=lambda path: natural(path.name)
    )


def entries(folder: Path) -> list[Path]:
    """Return the paths of all files and folders in a folder, in any order.

    Hidden files and folders, and Thumbs.db, are left out.
    """
    names = os.listdir(folder)
    return [folder / n for n in names if not n.startswith(".") and n.lower() != "thumbs.db"]


def files(folder: Path, suffix: str) -> list[Path]:
    """Return the paths of the files with a suffix in a folder, sorted with T2 before T10.

    Args:
        folder: the path of the folder.
        suffix: the suffix in lower case, such as ".csv"; case in the names does not matter.
    """
    matches = [path for path in entries(folder) if path.suffix.lower() == suffix]
    return sorted((p for p in matches if not p.is_dir()), key=lambda path: natural(path.name))


def _named(folder: Path, name: str) -> list[Path]:
    return [path for path in subfolders(folder) if path.name.lower() == name.lower()]


def ignored_notes(ignored: Iterable[Path], root: Path) -> list[str]:
    """Return a list with one message that names the ignored files and folders.

    If nothing was ignored, the list is empty.

    Args:
        ignored: the files and folders that were not read because of their names.
        root: the folder that the paths in the message are relative to.
    """
    names = [os.path.relpath(path, root) for path in ignored]
    return (
        [f"not read, because not named like a subject or its label files: {abbreviated(names)}"]
        if names
        else []
    )
