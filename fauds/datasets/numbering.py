"""Matching images to labelled frames by the number in the image's name.

The number of the image that shows labelled frame 1 is called the base. The base is 0 in some
datasets and 1 in others. It is derived from the images or stated by the user, and never guessed,
because a wrong base shifts every label by one frame.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa

from fauds.datasets import image_folders as images
from fauds.datasets import locate, tree
from fauds.datasets.base import Reader
from fauds.datasets.image_folders import FolderKey, ImageFolder, Key, Listing
from fauds.errors import DataError
from fauds.tables import store
from fauds.tables.columns import from_numpy, from_strings
from fauds.tables.frames import frame_names


class BaseRule(Protocol):
    """The type of a function with the arguments of `fauds.datasets.base.Reader.image_base`.

    The keys of the mappings `folders` and `last` stand for sequences. In one call, the keys are
    either all of the form (subject,) or all of the form (subject, task).
    """

    def __call__(
        self, folders: Mapping[Key, Listing], last: Mapping[Key, int], declared: int | None, /
    ) -> tuple[int | None, str]: ...


class Numbering:
    """Finds the image of each labelled frame, a few sequences (subject and task) at a time.

    Args:
        folders: the image folders that `fauds.datasets.image_folders.find` returned.
        rule: the reader's `image_base`, a function that derives the base.
        declared: the base, 0 or 1, if the user states it; None to derive it.

    Attributes:
        base: the number, 0 or 1, in the name of the image that shows labelled frame 1; None until
            `assign` has found images.
        how: a phrase that says how the base is known, such as "declared" (stated by the user);
            empty until `assign` has found images.
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
        """Return the path of each frame's image, as an Arrow array of strings [frames].

        The path is null for a frame without an image. Each call reads the image folders again, so
        that the result has only images that exist at the time of the call.

        Args:
            sequences: the key of each sequence, for example (F001, T1), and the numbers of its
                N labelled frames, int32 [N], in rising order.

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
    """Return the base, the number in the name of the image that shows labelled frame 1.

    The base is 0 if the first image is number 0 and no image has the number of the last labelled
    frame. It is 1 if the first image is number 1 and an image has the number of the last labelled
    frame. In all other cases the user must state the base.

    Args:
        folders: the images of each sequence (subject and task) that has images.
        last: the number of the last labelled frame of each sequence; labels begin with frame 1.
        declared: the base, 0 or 1, if the user states it; None to derive it.

    Returns:
        The base, 0 or 1, or None if there are no images; and a phrase that says how the base is
        known, such as "declared" (stated by the user), or empty if there are no images.

    Raises:
        DataError: the images of a sequence fit neither base 0 nor base 1, fit another base than the
            images of other sequences, or contradict the base that the user states.
    """
    if not folders:
        return None, ""
    derived = {key: _derived_base(folder, last[key]) for key, folder in folders.items()}
    if declared is not None:
        for key, base in derived.items():
            if base not in (None, declared):
                raise _base_error(
                    folders[key], last[key], f"which fits image base {base}, not {declared}"
                )
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
    return _base_error(folder, last, f"which fits base {base}, unlike other subjects' images")


def _base_error(folder: Listing, last: int, verdict: str) -> DataError:
    return DataError(
        f"The images are numbered {folder.numbers[0]} to {folder.numbers[-1]} and the last "
        f"labelled frame is {last}, {verdict}.",
        where=folder.folder,
        hint="the image base is the number of the image that shows labelled frame 1: look for this "
        "image, and use --image-base 0 or --image-base 1; a wrong base shifts every label by one "
        "frame",
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


def _match_keys(folder: Path, keys: Sequence[str]) -> pa.Array:
    """Return the path, relative to a folder, of the image named after each key; null for none."""
    names = [
        path.relative_to(folder).as_posix()
        for at, files in tree.walk(folder, lambda _: False)
        for path in tree.files_ending([(at, files or [])], images.SUFFIXES)
    ]
    paths = images.by_key(folder, names)
    return pa.array([paths.get(key) for key in keys], pa.string())


@locate.os_errors()
def match_crops(
    folder: Path, frames: pa.Table, reader: Reader, declared_base: int | None
) -> pa.Array:
    """Return the path of each labelled frame's face crop in a folder of the user's own crops.

    Args:
        folder: the folder of the crops, with paths such as ``F001/T1/2440.jpg``; for a dataset
            without tasks, ``SN001/0.png``; for images without numbers, their keys with a suffix,
            ``train_00001.jpg``.
        frames: a table with one row per labelled frame, sorted by subject, task and frame as fauds
            writes it, and the column key.
        reader: the reader of the dataset, which determines how images are numbered.
        declared_base: the number, 0 or 1, in the name of the crop of labelled frame 1; None
            derives it from the crops.

    Returns:
        An Arrow array of N strings, the paths relative to `folder`; null if a frame has no crop.

    Raises:
        DataError: the folder does not exist, two crops have the same number or key, or the
            numbering cannot be determined.
    """
    if not folder.is_dir():
        raise DataError("The folder of crops does not exist.", where=folder, hint="check --faces")
    numbers = frame_names(frames)
    if numbers.dtype.kind == "U":
        return _match_keys(folder, numbers.tolist())
    sequences = [
        (tuple(filter(None, name)), numbers[rows]) for name, rows in store.sequences(frames)
    ]
    folders = images.find(folder, [key for key, _ in sequences])
    return Numbering(folders, reader.image_base, declared_base).assign(sequences)
