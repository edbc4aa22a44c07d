"""Finding extracted frames: folders named by subject (and task), images named by a number.

Releases and exports pad the number differently (643.jpg, 0643.jpg, 00643.jpg), so that images
are matched by the integer of their name and never by its text.
"""

import hashlib
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fauds import store
from fauds.datasets.base import MARKER
from fauds.errors import DataError

SUFFIXES = (".jpg", ".jpeg", ".png")

_NOT_IMAGES = ("frames.parquet", MARKER)

Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ImageFolder:
    """What is kept of the images of one sequence while all sequences are looked for.

    Attributes:
        path: where it is.
        folder: relative to the root, with slashes.
        count: how many images there are.
        suffix: of the image with the lowest number.
        padded: how many digits names have that begin with 0; the name 0 is none of them.
        unpadded: how many digits the other names have.
        digest: hex, of all images by name, size and time.
    """

    path: Path
    folder: str
    count: int
    suffix: str
    padded: frozenset[int]
    unpadded: frozenset[int]
    digest: str


@dataclass(frozen=True, slots=True)
class Listing:
    """The images of one sequence.

    Attributes:
        folder: relative to the root, with slashes.
        numbers: the integers of the names, rising, int64 [n].
        names: file names in the same order.
    """

    folder: str
    numbers: np.ndarray
    names: list[str]


def find(root: Path, keys: Collection[Key], within: Path | None = None) -> dict[Key, ImageFolder]:
    """Find the image folders of sequences, at any depth.

    Args:
        root: what `ImageFolder.folder` is relative to.
        keys: ("F001", "T1") for folders F001/T1, ("SN001",) for folders SN001.
        within: where to look, relative to the root; None for all of the root.

    Returns:
        The folders that hold at least one image named by a number.

    Raises:
        DataError: two images of one number in a folder, or two folders for one sequence.
    """
    found: dict[Key, ImageFolder] = {}
    top = root if within is None else root / within
    if not top.is_dir():
        raise DataError("The folder of images does not exist.", where=top)
    for key, path in _candidates(top, set(keys)):
        folder = _look_into(path, _text(os.path.relpath(path, root).replace(os.sep, "/"), path))
        if folder is None:
            continue
        if key in found:
            raise DataError(
                f"{'/'.join(key)} has images in two folders: {found[key].folder} and "
                f"{folder.folder}.",
                where=path,
                hint="name the one to take (--images FOLDER), or keep only one there",
            )
        found[key] = folder
    return found


def _text(name: str, path: Path) -> str:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise DataError(
            "The folder's name is not UTF-8, which tables need.", where=ascii(path)
        ) from None
    return name


def _candidates(top: Path, keys: set[Key]) -> Iterator[tuple[Key, Path]]:
    """Yield the folders whose last names are a key, in a fixed order, without looking into them."""
    length = len(next(iter(keys), ("",)))
    seen: set[tuple[int, int]] = set()
    waiting = [top]
    while waiting:
        folder = waiting.pop()
        key = tuple(part.upper() for part in folder.parts[-length:])
        if key in keys and folder != top:
            yield key, folder
            continue
        # Links may lead in circles.
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        # A workspace or a made-up distribution may lie inside the release; what it holds has the
        # layout of the release's images.
        if folder != top and any((folder / name).exists() for name in _NOT_IMAGES):
            continue
        waiting += sorted(_subfolders(folder), reverse=True)


def _subfolders(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.is_dir()]
    return [folder / name for name in names if not name.startswith((".", "__MACOSX"))]


def _look_into(path: Path, relative: str) -> ImageFolder | None:
    images = _images(path)
    if not images:
        return None
    digest = hashlib.sha256()
    for image in images.values():
        status = image.stat()
        digest.update(f"{image.name} {status.st_size} {status.st_mtime_ns}\n".encode())
    stems, suffixes = zip(*(os.path.splitext(image.name) for image in images.values()), strict=True)
    return ImageFolder(
        path,
        relative,
        len(images),
        suffixes[0],
        frozenset(len(stem) for stem in stems if _is_padded(stem)),
        frozenset(len(stem) for stem in stems if not _is_padded(stem)),
        digest.hexdigest(),
    )


def _is_padded(stem: str) -> bool:
    return stem.startswith("0") and stem != "0"


def listing(folder: ImageFolder) -> Listing | None:
    """List the images of a folder that `find` found; None where there are none any more.

    Raises:
        DataError: two images of one number.
    """
    try:
        images = _images(folder.path)
    except FileNotFoundError:
        return None
    names = [image.name for image in images.values()]
    return Listing(folder.folder, np.array([*images], np.int64), names) if images else None


def _images(path: Path) -> dict[int, os.DirEntry[str]]:
    """Return the images in a folder by number, rising."""
    found: dict[int, os.DirEntry[str]] = {}
    with os.scandir(path) as entries:
        for entry in entries:
            stem, suffix = os.path.splitext(entry.name)
            if suffix.lower() not in SUFFIXES or not _is_number(stem):
                continue
            number = int(stem)
            if number in found:
                raise _two_images(path, found[number].name, entry.name)
            found[number] = entry
    return dict(sorted(found.items()))


def _is_number(stem: str) -> bool:
    return stem.isascii() and stem.isdecimal() and len(stem) < 10


def _two_images(path: Path, *names: str) -> DataError:
    first, second = sorted(names)
    return DataError(
        f"{first} and {second} are both image {int(Path(first).stem)} of this folder.",
        where=path / first,
        hint="keep the one that belongs to the release",
    )


def fingerprint(folders: Mapping[Key, ImageFolder]) -> str:
    """Return a hex digest of all images by name, size and time."""
    return store.fingerprint(*sorted((folder.folder, folder.digest) for folder in folders.values()))


def notes(folders: Mapping[Key, ImageFolder], base: int | None, how: str, none: int) -> list[str]:
    """Say in words what images there are.

    Args:
        folders: as `find` returns them.
        base: the number of the image of label frame 1.
        how: how that is known.
        none: how many labelled frames have no image.
    """
    if not folders:
        return ["images: none found"]
    return [
        _describe(folders),
        f"the image of label frame 1 is number {base} ({how})",
        f"coded frames without an image: {none:,}",
    ]


def _describe(folders: Mapping[Key, ImageFolder]) -> str:
    layouts, padded, unpadded = set(), set(), set()
    for key, folder in folders.items():
        above = folder.folder.split("/")[: -len(key)]
        layouts.add("/".join([*above, "SUBJECT", *["TASK"][: len(key) - 1]]))
        padded |= folder.padded
        unpadded |= folder.unpadded
    suffixes = {folder.suffix for folder in folders.values()}
    padding = [f"{width} digits" for width in sorted(padded)]
    # 1000.jpg is what both 4 digits and no padding would give.
    if not padded or min(unpadded, default=99) < min(padded):
        padding.append("unpadded")
    total = sum(folder.count for folder in folders.values())
    return (
        f"images: {total:,} in {len(folders)} folders {', '.join(sorted(layouts))}, "
        f"{', '.join(sorted(suffixes))}, numbers {' and '.join(padding)}"
    )
