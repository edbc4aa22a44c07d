"""Finding extracted frames: folders named by subject (and task), images named by a number.

Releases and exports pad the number differently (643.jpg, 0643.jpg, 00643.jpg), so that images
are matched by the integer of their name and never by its text.
"""

import hashlib
import os
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from fauds.datasets import tree
from fauds.errors import DataError
from fauds.tables import store

SUFFIXES = (".jpg", ".jpeg", ".png")

# Frames of DISFA's videos are often exported into folders that are named as the video.
_VIDEO_FOLDER = re.compile(r"(?:Left|Right)Video(SN\d{3})_comp(?:\.avi)?", re.I | re.ASCII)
_VIDEO_IMAGE = re.compile(r"(?:frame-|(?:Left|Right)VideoSN\d{3}_comp_)(\d+)", re.I | re.ASCII)
_DISFA_SUBJECT = re.compile(r"SN\d{3}", re.ASCII)

FolderKey = tuple[str, ...]
Key = TypeVar("Key", bound=FolderKey)


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


def find(
    root: Path, keys: Collection[FolderKey], within: Path | None = None
) -> dict[FolderKey, ImageFolder]:
    """Find the image folders of sequences, at any depth.

    Args:
        root: what `ImageFolder.folder` is relative to.
        keys: ("F001", "T1") for folders F001/T1, ("SN001",) for folders SN001 and
            LeftVideoSN001_comp.
        within: where to look, relative to the root; None for all of the root.

    Returns:
        The folders that hold at least one image named by a number.

    Raises:
        DataError: two images of one number in a folder, or two folders for one sequence.
    """
    found: dict[FolderKey, ImageFolder] = {}
    for key, path in places(root, keys, within):
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


def places(
    root: Path, keys: Collection[FolderKey], within: Path | None = None
) -> Iterator[tuple[FolderKey, Path]]:
    """Yield the folders that are named as keys, in a fixed order, without looking into them.

    Args and errors as of `find`; the folders need not hold images.
    """
    top = root if within is None else root / within
    if not top.is_dir():
        raise DataError("The folder of images does not exist.", where=top)
    named = set(keys)
    length = len(next(iter(named), ("",)))

    def key_of(folder: Path) -> FolderKey:
        return tuple(sequence_name(part) for part in folder.parts[-length:])

    for folder, files in tree.walk(top, lambda folder: key_of(folder) in named):
        if files is None:
            yield key_of(folder), folder


def sequence_name(folder: str) -> str:
    """Return what a folder stands for in a key: its name, or the subject whose video it is of."""
    match = _VIDEO_FOLDER.fullmatch(folder)
    return (match[1] if match else folder).upper()


def _look_into(path: Path, relative: str) -> ImageFolder | None:
    images = _images(path)
    if not images:
        return None
    digest = hashlib.sha256()
    for image in images.values():
        status = image.stat()
        digest.update(f"{image.name} {status.st_size} {status.st_mtime_ns}\n".encode())
    names = [image.name for image in images.values()]
    of_videos = _is_disfa(path)
    numbers = [digits(os.path.splitext(name)[0], of_videos) for name in names]
    return ImageFolder(
        path,
        relative,
        len(images),
        os.path.splitext(names[0])[1],
        frozenset(len(number) for number in numbers if _is_padded(number)),
        frozenset(len(number) for number in numbers if not _is_padded(number)),
        digest.hexdigest(),
    )


def _is_padded(number: str) -> bool:
    return number.startswith("0") and number != "0"


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
    of_videos = _is_disfa(path)
    with os.scandir(path) as entries:
        for entry in entries:
            stem, suffix = os.path.splitext(entry.name)
            if suffix.lower() not in SUFFIXES or not (text := digits(stem, of_videos)):
                continue
            number = int(text)
            if number in found:
                raise _two_images(path, number, found[number].name, entry.name)
            found[number] = entry
    return dict(sorted(found.items()))


def digits(stem: str, of_videos: bool) -> str:
    """Return the number of an image as its name has it; empty where it is named by none.

    Args:
        stem: the name without its suffix.
        of_videos: whether names of exported DISFA videos count too: ``frame-12`` and
            ``LeftVideoSN001_comp_00012``.
    """
    if of_videos and (match := _VIDEO_IMAGE.fullmatch(stem)):
        stem = match[1]
    return stem if stem.isascii() and stem.isdecimal() and len(stem) < 10 else ""


def first_name(folder: Path) -> str | None:
    """Return the name of the image with the lowest number in a folder; None without images."""
    return next((image.name for image in _images(folder).values()), None)


def _is_disfa(path: Path) -> bool:
    return _DISFA_SUBJECT.fullmatch(sequence_name(path.name)) is not None


def _two_images(path: Path, number: int, *names: str) -> DataError:
    first, second = sorted(names)
    return DataError(
        f"{first} and {second} are both image {number} of this folder.",
        where=path / first,
        hint="keep the one that belongs to the release",
    )


def fingerprint(folders: Mapping[FolderKey, ImageFolder]) -> str:
    """Return a hex digest of all images by name, size and time."""
    return store.fingerprint(*sorted((folder.folder, folder.digest) for folder in folders.values()))


def notes(
    folders: Mapping[FolderKey, ImageFolder], base: int | None, how: str, none: int
) -> list[str]:
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


def _describe(folders: Mapping[FolderKey, ImageFolder]) -> str:
    layouts: set[str] = set()
    padded: set[int] = set()
    unpadded: set[int] = set()
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
