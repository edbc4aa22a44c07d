"""Finding the images of a dataset in folders named after subjects and tasks, such as F001/T1.

The name of an image is its number, with or without leading zeros (643.jpg, 0643.jpg, 00643.jpg).
Images are therefore matched to frames by the value of the number, not by its digits.
"""

import hashlib
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from fauds.datasets import tree
from fauds.errors import DataError
from fauds.tables import store

SUFFIXES = (".jpg", ".jpeg", ".png")

# Frames of DISFA's videos are often exported to folders that have the name of the video.
_VIDEO_FOLDER = re.compile(r"(?:Left|Right)Video(SN\d{3})_comp(?:\.avi)?", re.I | re.ASCII)
_VIDEO_IMAGE = re.compile(r"(?:frame-|(?:Left|Right)VideoSN\d{3}_comp_)(\d+)", re.I | re.ASCII)
_DISFA_SUBJECT = re.compile(r"SN\d{3}", re.ASCII)

FolderKey = tuple[str, ...]
Key = TypeVar("Key", bound=FolderKey)


@dataclass(frozen=True, slots=True)
class ImageFolder:
    """A summary of a folder with the images of one sequence (subject and task).

    To save memory, the summary has no names of images; `listing` reads the names.

    Attributes:
        path: the path of the folder.
        folder: the path of the folder relative to the folder of the dataset, with slashes.
        count: the number of images in the folder.
        suffix: the suffix of the image with the lowest number, such as ".jpg".
        padded: the lengths, in digits, of those image names that begin with 0, for example {4, 5};
            the name 0 itself counts as unpadded.
        unpadded: the lengths, in digits, of all other image names, for example {1, 2, 3}.
        digest: a hex digest of the name, size and modification time of every image.
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
    """The names and numbers of the images of one sequence (subject and task).

    Attributes:
        folder: the path of the folder of the images, relative to the folder of the dataset, with
            slashes.
        numbers: the integers in the names of the n images, int64 [n], in rising order.
        names: the file names of the images, in the order of `numbers`.
    """

    folder: str
    numbers: np.ndarray
    names: list[str]


def find(
    root: Path, keys: Collection[FolderKey], within: Path | None = None
) -> dict[FolderKey, ImageFolder]:
    """Find the image folder of each sequence (subject and task), at any depth below a folder.

    Args:
        root: the folder to search, usually that of the dataset; paths in the result are relative
            to it.
        keys: the sequences, each as the names of its folders: ("F001", "T1") for a folder F001/T1,
            or ("SN001",) for a folder SN001 or LeftVideoSN001_comp.
        within: the folder in the root to search, relative to the root; None searches all of the
            root.

    Returns:
        The image folder of each sequence that has images, by the sequence's key. Images without a
        number in their name are ignored.

    Raises:
        DataError: the folder to search does not exist, two images in a folder have the same
            number, or two folders belong to the same sequence.
    """
    folders: dict[FolderKey, ImageFolder] = {}
    for key, path in candidate_folders(root, keys, within):
        folder = _summary(path, _check_utf8(os.path.relpath(path, root).replace(os.sep, "/"), path))
        if folder is None:
            continue
        if key in folders:
            raise DataError(
                f"{'/'.join(key)} has images in two folders: {folders[key].folder} and "
                f"{folder.folder}.",
                where=path,
                hint="name the one to use (--images FOLDER), or keep only one of them",
            )
        folders[key] = folder
    return folders


def _check_utf8(name: str, path: Path) -> str:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise DataError(
            "The name of this folder is not valid UTF-8.",
            where=ascii(path),
            hint="rename the folder; tables store its path as UTF-8",
        ) from None
    return name


def candidate_folders(
    root: Path, keys: Collection[FolderKey], within: Path | None = None
) -> Iterator[tuple[FolderKey, Path]]:
    """Yield the key and path of each folder that is named after a sequence, such as F001/T1.

    The order is always the same. The folders are not opened, and may hold no images. See `find`
    for the arguments.

    Raises:
        DataError: the folder to search does not exist.
    """
    top = root if within is None else chosen_folder(root, within)
    wanted = set(keys)
    length = len(next(iter(wanted), ("",)))

    def key_of(folder: Path) -> FolderKey:
        return tuple(sequence_name(part) for part in folder.parts[-length:])

    for folder, files in tree.walk(top, lambda folder: key_of(folder) in wanted):
        if files is None:
            yield key_of(folder), folder


def chosen_folder(root: Path, images: Path) -> Path:
    """Return the path of the folder of images that the user names (--images).

    Args:
        root: the folder that `images` is relative to.
        images: the folder of the images.

    Raises:
        DataError: there is no such folder.
    """
    folder = root / images
    if not folder.is_dir():
        raise DataError(
            "The folder of images does not exist.",
            where=folder,
            hint="check --images; it is relative to --root",
        )
    return folder


def sequence_name(folder: str) -> str:
    """Return a folder's name in upper case, for comparison with subjects and tasks.

    For a folder that is named after a video of DISFA, such as LeftVideoSN001_comp, the result is
    the subject, SN001.
    """
    match = _VIDEO_FOLDER.fullmatch(folder)
    return (match[1] if match else folder).upper()


def _summary(path: Path, relative: str) -> ImageFolder | None:
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
    """Return the names and numbers of the images in a folder.

    The result is None if the images were removed after `find` returned the folder.

    Args:
        folder: a folder that `find` returned.

    Raises:
        DataError: two images have the same number.
    """
    try:
        images = _images(folder.path)
    except FileNotFoundError:
        return None
    names = [image.name for image in images.values()]
    return Listing(folder.folder, np.array([*images], np.int64), names) if images else None


def _images(path: Path) -> dict[int, os.DirEntry[str]]:
    """Return the images in a folder by the number in their name, in rising order."""
    by_number: dict[int, os.DirEntry[str]] = {}
    of_videos = _is_disfa(path)
    with os.scandir(path) as entries:
        for entry in entries:
            stem, suffix = os.path.splitext(entry.name)
            if suffix.lower() not in SUFFIXES or not (text := digits(stem, of_videos)):
                continue
            number = int(text)
            if number in by_number:
                raise _two_images(path, number, by_number[number].name, entry.name)
            by_number[number] = entry
    return dict(sorted(by_number.items()))


def digits(stem: str, of_videos: bool) -> str:
    """Return the digits of the number in an image's name, with any leading zeros, such as "0012".

    The result is an empty string if the name is not a number.

    Args:
        stem: the name of the image without its suffix.
        of_videos: whether to accept the names of frames exported from DISFA's videos, such as
            ``frame-12`` and ``LeftVideoSN001_comp_00012``.
    """
    if of_videos and (match := _VIDEO_IMAGE.fullmatch(stem)):
        stem = match[1]
    return stem if stem.isascii() and stem.isdecimal() and len(stem) < 10 else ""


def first_image_name(folder: Path) -> str | None:
    """Return the name of the image with the lowest number in a folder; None if it has no images."""
    return next((image.name for image in _images(folder).values()), None)


def _is_disfa(path: Path) -> bool:
    return _DISFA_SUBJECT.fullmatch(sequence_name(path.name)) is not None


def by_key(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Return the path of each image by the path without its suffix: by 3/a for 3/a.jpg.

    Args:
        folder: the folder of the images, for the error message.
        names: the paths of the images relative to the folder, with slashes.

    Raises:
        DataError: two paths differ in their suffix only.
    """
    paths: dict[str, str] = {}
    for name in sorted(names):
        key = os.path.splitext(name)[0]
        if key in paths:
            raise _two_images(folder, key, paths[key], name)
        paths[key] = name
    return paths


def _two_images(path: Path, image: int | str, *names: str) -> DataError:
    first, second = sorted(names)
    return DataError(
        f"{first} and {second} are both image {image} of this folder.",
        where=path / first,
        hint="keep only the one of them that belongs to the labels",
    )


def fingerprint(folders: Mapping[FolderKey, ImageFolder]) -> str:
    """Return a hex digest of the names, sizes and modification times of the images in folders."""
    return store.fingerprint(*sorted((folder.folder, folder.digest) for folder in folders.values()))


def notes(
    folders: Mapping[FolderKey, ImageFolder], base: int | None, how: str, without_image: int
) -> list[str]:
    """Return messages that describe the images of a release, one line each.

    Args:
        folders: the image folders that `find` returned.
        base: the number, 0 or 1, in the name of the image that shows labelled frame 1; None if
            there are no images.
        how: a phrase that says how `base` is known, such as "declared" (stated by the user).
        without_image: the number of labelled frames that have no image.
    """
    if not folders:
        return ["images: none found"]
    return [
        _describe(folders),
        f"number of the image that shows labelled frame 1: {base} ({how})",
        f"coded frames without an image: {without_image:,}",
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
    padding = [f"padded to {width} digits" for width in sorted(padded)]
    # A name such as 1000.jpg fits both padding to 4 digits and no padding.
    if not padded or min(unpadded, default=99) < min(padded):
        padding.append("unpadded")
    total = sum(folder.count for folder in folders.values())
    return (
        f"images: {total:,} in {len(folders)} folders {', '.join(sorted(layouts))}, "
        f"{', '.join(sorted(suffixes))}, numbers {' and '.join(padding)}"
    )
