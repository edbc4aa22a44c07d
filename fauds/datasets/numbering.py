"""Which image belongs to which labelled frame: the numbering's base, found out or declared."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa

from fauds.datasets import image_folders as images
from fauds.datasets import locate
from fauds.datasets.base import Reader
from fauds.datasets.image_folders import FolderKey, ImageFolder, Key, Listing
from fauds.errors import DataError
from fauds.tables import store
from fauds.tables.columns import from_numpy, from_strings


class BaseRule(Protocol):
    """A dataset's `image_base`: images, last labelled frames and what is declared, to base and why.

    Keys are of one kind in a call: of a subject, or of a subject and a task.
    """

    def __call__(
        self, folders: Mapping[Key, Listing], last: Mapping[Key, int], declared: int | None, /
    ) -> tuple[int | None, str]: ...


class Numbering:
    """Gives the labelled frames their images, a few sequences at a time.

    Args:
        folders: as `fauds.datasets.image_folders.find` returns them.
        rule: the dataset's `image_base`.
        declared: what the user says the base is: 0, 1, or None.

    Attributes:
        base: the number of the image of label frame 1; None before any image was seen.
        how: how that is known.
    """

    def __init__(
        self, folders: Mapping[FolderKey, ImageFolder], rule: BaseRule, declared: int | None
    ) -> None:
        self.base: int | None = None
        self.how = ""
        self._folders = folders
        self._rule = rule
        self._declared = declared

    def assign(self, sequences: Sequence[tuple[FolderKey, np.ndarray]]) -> pa.Array:
        """Return the paths of the frames' images as they lie there now, string [all frames].

        Args:
            sequences: keys and label frame numbers, int32 [N], rising.

        Raises:
            DataError: the base cannot be told, or is another than that of earlier sequences.
        """
        listings = {
            key: listing
            for key, _ in sequences
            if key in self._folders and (listing := images.listing(self._folders[key]))
        }
        last = {key: int(frames[-1]) for key, frames in sequences}
        base, how = self._rule(listings, last, self._declared)
        if base is not None:
            if self.base not in (None, base):
                key = next(iter(listings))
                raise _unlike(listings[key], last[key], base)
            self.base, self.how = base, how
        return _match(listings, sequences, self.base or 0)


def find_base(
    folders: Mapping[Key, Listing], last: Mapping[Key, int], declared: int | None
) -> tuple[int | None, str]:
    """Return the number of the image of label frame 1, and how it is known.

    Image 0 without an image of the last frame's number is base 0; image 1 as the first, with one
    of the last frame's number, is base 1. Nothing else is guessed.

    Args:
        folders: the images of sequences.
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
    known: dict[Key, int] = {}
    for key, base in derived.items():
        if base is None:
            raise _base_error(folders[key], last[key], "which fits neither base 0 nor base 1")
        known[key] = base
    first = next(iter(known.values()))
    for key, base in known.items():
        if base != first:
            raise _unlike(folders[key], last[key], base)
    return first, "derived from the first and last image"


def _derived_base(folder: Listing, last: int) -> int | None:
    lowest, has_last = int(folder.numbers[0]), last in folder.numbers
    if lowest == 0 and not has_last:
        return 0
    return 1 if lowest == 1 and has_last else None


def _unlike(folder: Listing, last: int, base: int) -> DataError:
    return _base_error(folder, last, f"which is base {base}, unlike other subjects' images")


def _base_error(folder: Listing, last: int, verdict: str) -> DataError:
    return DataError(
        f"Images are numbered {folder.numbers[0]} to {folder.numbers[-1]} and the last labelled "
        f"frame is {last}, {verdict}.",
        where=folder.folder,
        hint="find which image shows label frame 1 and declare it: --image-base 0 or "
        "--image-base 1; a wrong one shifts every label by a frame",
    )


def _match(
    folders: Mapping[FolderKey, Listing],
    sequences: Sequence[tuple[FolderKey, np.ndarray]],
    base: int,
) -> pa.Array:
    paths: list[str] = []
    picked = [np.empty(0, np.int64)]
    for key, frames in sequences:
        folder = folders.get(key)
        if folder is None:
            picked.append(np.full(len(frames), -1, np.int64))
            continue
        wanted = frames.astype(np.int64) - 1 + base
        at = np.searchsorted(folder.numbers, wanted).clip(max=len(folder.numbers) - 1)
        there = folder.numbers[at] == wanted
        picked.append(np.where(there, at + len(paths), -1))
        paths += [f"{folder.folder}/{name}" for name in folder.names]
    rows = np.concatenate(picked)
    return from_strings(paths).take(from_numpy(rows, pa.int64(), rows < 0))


@locate.os_errors()
def match_crops(
    folder: Path, frames: pa.Table, reader: Reader, declared_base: int | None
) -> pa.Array:
    """Give every frame its crop.

    Args:
        folder: holds ``F001/T1/2440.jpg`` or, for a dataset without tasks, ``SN001/0.png``.
        frames: a frames table, sorted as fauds writes it.
        reader: the dataset's reader; it knows how images are numbered.
        declared_base: the number of label frame 1's crop, None to find it out.

    Returns:
        Paths relative to the folder, string [N], null where there is no crop.

    Raises:
        DataError: no such folder, two crops of one number, or a numbering that cannot be told.
    """
    numbers = frames["frame"].to_numpy()
    sequences = [
        (tuple(filter(None, name)), numbers[rows]) for name, rows in store.sequences(frames)
    ]
    found = images.find(folder, [key for key, _ in sequences])
    return Numbering(found, reader.image_base, declared_base).assign(sequences)
