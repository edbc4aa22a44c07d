"""Finding extracted frames: folders named by subject (and task), images named by a number.

Releases and exports pad the number differently (643.jpg, 0643.jpg, 00643.jpg), so that images
are matched by the integer of their name and never by its text.
"""

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from fauds import store
from fauds.columns import from_numpy, from_strings
from fauds.datasets.base import MARKER
from fauds.errors import DataError

SUFFIXES = (".jpg", ".jpeg", ".png")

_NOT_IMAGES = ("frames.parquet", MARKER)

Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ImageFolder:
    """The images of one sequence.

    Attributes:
        folder: relative to the root, with slashes.
        numbers: the integers of the names, rising, int64 [n].
        names: file names in the same order.
        stamps: "name size modified-time-in-nanoseconds" of each image, in the same order.
    """

    folder: str
    numbers: np.ndarray
    names: list[str]
    stamps: list[str]


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
        folder = _list_images(path, _text(os.path.relpath(path, root).replace(os.sep, "/"), path))
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


def _list_images(path: Path, relative: str) -> ImageFolder | None:
    found: dict[int, tuple[str, str]] = {}
    with os.scandir(path) as entries:
        for entry in entries:
            stem, suffix = os.path.splitext(entry.name)
            if suffix.lower() not in SUFFIXES or not _is_number(stem):
                continue
            if int(stem) in found:
                raise _two_images(path, found[int(stem)][0], entry.name)
            status = entry.stat()
            stamp = f"{entry.name} {status.st_size} {status.st_mtime_ns}"
            found[int(stem)] = (entry.name, stamp)
    if not found:
        return None
    numbers = sorted(found)
    names, stamps = zip(*(found[number] for number in numbers), strict=True)
    return ImageFolder(relative, np.array(numbers, np.int64), list(names), list(stamps))


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
    ordered = sorted(folders.values(), key=lambda folder: folder.folder)
    return store.fingerprint(
        *("\n".join([folder.folder, *folder.stamps]).encode() for folder in ordered)
    )


def find_base(
    folders: Mapping[Key, ImageFolder], last: Mapping[Key, int], declared: int | None
) -> tuple[int | None, str]:
    """Return the number of the image of label frame 1, and how it is known.

    Image 0 without an image of the last frame's number is base 0; image 1 as the first, with one
    of the last frame's number, is base 1. Nothing else is guessed.

    Args:
        folders: as `find` returns them.
        last: by key, the last labelled frame; labels begin with frame 1.
        declared: what the user says: 0, 1, or None.

    Returns:
        0 or 1, or None where there are no images; and a phrase.

    Raises:
        DataError: the images of a sequence fit neither, fit another base than other sequences',
            or contradict the declared one.
    """
    if not folders:
        return None, ""
    derived = {key: _derived_base(folder, last[key]) for key, folder in folders.items()}
    if declared is not None:
        for key, base in derived.items():
            if base not in (None, declared):
                raise _base_error(folders[key], last[key], f"which is base {base}, not {declared}")
        return declared, "declared"
    for key, base in derived.items():
        if base is None:
            raise _base_error(folders[key], last[key], "which fits neither base 0 nor base 1")
    if len(set(derived.values())) > 1:
        key = next(key for key, base in derived.items() if base != next(iter(derived.values())))
        raise _base_error(
            folders[key], last[key], f"which is base {derived[key]}, unlike other subjects' images"
        )
    return next(iter(derived.values())), "derived from the first and last image"


def _derived_base(folder: ImageFolder, last: int) -> int | None:
    lowest, has_last = int(folder.numbers[0]), last in folder.numbers
    if lowest == 0 and not has_last:
        return 0
    return 1 if lowest == 1 and has_last else None


def _base_error(folder: ImageFolder, last: int, verdict: str) -> DataError:
    return DataError(
        f"Images are numbered {folder.numbers[0]} to {folder.numbers[-1]} and the last labelled "
        f"frame is {last}, {verdict}.",
        where=folder.folder,
        hint="find which image shows label frame 1 and declare it: --image-base 0 or "
        "--image-base 1; a wrong one shifts every label by a frame",
    )


def match(
    folders: Mapping[Key, ImageFolder],
    sequences: Sequence[tuple[Key, np.ndarray]],
    bases: Mapping[Key, int],
) -> pa.Array:
    """Give every labelled frame its image.

    Args:
        folders: as `find` returns them.
        sequences: key and label frame numbers, int32 [N], of every sequence in the table's order.
        bases: by key, the number of the image of label frame 1; 1 where there is no entry.

    Returns:
        Paths relative to the root, string [all frames], null where there is no image.
    """
    paths: list[str] = []
    picked = [np.empty(0, np.int64)]
    for key, frames in sequences:
        folder = folders.get(key)
        if folder is None:
            picked.append(np.full(len(frames), -1, np.int64))
            continue
        wanted = frames.astype(np.int64) - 1 + bases.get(key, 1)
        at = np.searchsorted(folder.numbers, wanted).clip(max=len(folder.numbers) - 1)
        there = folder.numbers[at] == wanted
        picked.append(np.where(there, at + len(paths), -1))
        paths += [f"{folder.folder}/{name}" for name in folder.names]
    rows = np.concatenate(picked)
    return from_strings(paths).take(from_numpy(rows, pa.int64(), rows < 0))


BaseRule = Callable[
    [Mapping[Key, ImageFolder], Mapping[Key, int], int | None], tuple[int | None, str]
]
"""A dataset's `image_base`: folders, last labelled frames and what is declared, to base and why."""


def assign(
    folders: Mapping[Key, ImageFolder],
    sequences: Sequence[tuple[Key, np.ndarray]],
    rule: BaseRule,
    declared: int | None,
) -> tuple[pa.Array, int | None, str]:
    """Find out how images are numbered, and `match` them: paths, the base, and how it is known."""
    last = {key: int(frames[-1]) for key, frames in sequences}
    base, how = rule(folders, last, declared)
    return match(folders, sequences, dict.fromkeys(folders, base or 0)), base, how


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
        stems = [name.split(".")[0] for name in folder.names]
        padded |= {len(stem) for stem in stems if stem.startswith("0") and stem != "0"}
        unpadded |= {len(stem) for stem in stems if not stem.startswith("0") or stem == "0"}
    suffixes = {Path(folder.names[0]).suffix for folder in folders.values()}
    padding = [f"{width} digits" for width in sorted(padded)]
    # 1000.jpg is what both 4 digits and no padding would give.
    if not padded or min(unpadded, default=99) < min(padded):
        padding.append("unpadded")
    total = sum(len(folder.names) for folder in folders.values())
    return (
        f"images: {total:,} in {len(folders)} folders {', '.join(sorted(layouts))}, "
        f"{', '.join(sorted(suffixes))}, numbers {' and '.join(padding)}"
    )
