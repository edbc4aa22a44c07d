"""Matching images to labelled frames by number.

The base is the number of label frame 1's image, 0 or 1. It is derived from the images or declared
by the user, and never guessed, because a wrong base shifts every label by one frame.
"""

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
    """The signature of `fauds.datasets.base.Reader.image_base`.

    The keys of one call are either all subjects or all pairs of subject and task.
    """

    def __call__(
        self, folders: Mapping[Key, Listing], last: Mapping[Key, int], declared: int | None, /
    ) -> tuple[int | None, str]: ...


class Numbering:
    """Assigns images to labelled frames, a few sequences at a time.

    Args:
        folders: the image folders that `fauds.datasets.image_folders.find` returned.
        rule: the reader's `image_base`.
        declared: the base as the user declares it, 0 or 1; None if it is not declared.

    Attributes:
        base: the number of label frame 1's image; None until a sequence has images.
        how: a phrase that says how the base is known; empty until then.
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
        """Return the path of each frame's image, string [frames]; null if it has no image.

        The folders are read by this call, so that only files that exist now are assigned.

        Args:
            sequences: the key of each sequence and its label frame numbers, int32 [N], in rising
                order.

        Raises:
            DataError: the base cannot be determined, or differs from that of earlier sequences.
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
    """Return the number of label frame 1's image, and a phrase that says how it is known.

    The base is 0 if the first image is number 0 and no image has the number of the last labelled
    frame. It is 1 if the first image is number 1 and an image has the number of the last labelled
    frame. All other cases are errors.

    Args:
        folders: the images of each sequence.
        last: the last labelled frame of each sequence; labels begin with frame 1.
        declared: the base as the user declares it, 0 or 1; None if it is not declared.

    Returns:
        0 or 1, or None if there are no images; and the phrase.

    Raises:
        DataError: the images of a sequence fit neither base, fit another base than those of other
            sequences, or contradict the declared base.
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
        hint="find the image of label frame 1 and declare its number with --image-base 0 or "
        "--image-base 1; a wrong number shifts every label by one frame",
    )


def _match(
    folders: Mapping[FolderKey, Listing],
    sequences: Sequence[tuple[FolderKey, np.ndarray]],
    base: int,
) -> pa.Array:
    paths: list[str] = []
    indices = [np.empty(0, np.int64)]
    for key, frames in sequences:
        folder = folders.get(key)
        if folder is None:
            indices.append(np.full(len(frames), -1, np.int64))
            continue
        wanted = frames.astype(np.int64) - 1 + base
        at = np.searchsorted(folder.numbers, wanted).clip(max=len(folder.numbers) - 1)
        exists = folder.numbers[at] == wanted
        indices.append(np.where(exists, at + len(paths), -1))
        paths += [f"{folder.folder}/{name}" for name in folder.names]
    rows = np.concatenate(indices)
    return from_strings(paths).take(from_numpy(rows, pa.int64(), rows < 0))


@locate.os_errors()
def match_crops(
    folder: Path, frames: pa.Table, reader: Reader, declared_base: int | None
) -> pa.Array:
    """Return the path of each frame's crop in a folder of crops that already exist.

    Args:
        folder: a folder with crops such as ``F001/T1/2440.jpg`` or, for a dataset without tasks,
            ``SN001/0.png``.
        frames: a frames table, sorted by sequence as fauds writes it.
        reader: the reader of the dataset, which determines how images are numbered.
        declared_base: the number of label frame 1's crop, 0 or 1; None derives it from the crops.

    Returns:
        Paths relative to the folder, string [N]; null if a frame has no crop.

    Raises:
        DataError: the folder does not exist, two crops have the same number, or the numbering
            cannot be determined.
    """
    numbers = frames["frame"].to_numpy()
    sequences = [
        (tuple(filter(None, name)), numbers[rows]) for name, rows in store.sequences(frames)
    ]
    folders = images.find(folder, [key for key, _ in sequences])
    return Numbering(folders, reader.image_base, declared_base).assign(sequences)
