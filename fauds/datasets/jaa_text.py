"""Finding facial landmarks in text files with the format of JAA-Net, a published model.

A file of landmarks has one line of coordinates per frame, and a second file lists the frames:
``BP4D_combine_1_2_land.txt`` has a line ``x1 y1 x2 y2 ...`` for each line ``F001/T1/2440.jpg`` of
``BP4D_combine_1_2_path.txt`` beside it. This module reads the lists, and counts the lines and
points of the landmark files; `fauds.faces` reads the coordinates.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fauds.datasets.archives import SequenceOf
from fauds.datasets.base import natural
from fauds.datasets.image_folders import Listing
from fauds.datasets.media_files import LandmarkFiles, SequenceId, display_name, printable
from fauds.datasets.subjects import abbreviated
from fauds.errors import DataError

ListBase = Callable[[Mapping[SequenceId, Listing]], int]
"""A function that returns the number, 0 or 1, of the image that shows labelled frame 1.

The argument is the images in a list of frames, by sequence (subject and task)."""

_LANDMARKS = re.compile(r"_(?:\d+)?land\.txt$", re.IGNORECASE | re.ASCII)
_LINE = r"^\s*(?:(?P<folder>.*)/)?(?P<number>\d{1,9})\.(?i:jpg|jpeg|png)\s*$"
_CHUNK = 1 << 24
_AGAIN = "make both files again with the same frames in the same order, or move them away"


@dataclass(frozen=True)
class _ListedImages:
    """The images of one sequence (subject and task) in a list of frames.

    Attributes:
        numbers: the numbers in the names of the n images, int64 [n], in rising order.
        lines: the index, from 0, of the line on which each image is listed, int64 [n].
    """

    numbers: np.ndarray
    lines: np.ndarray


def is_landmarks(path: Path) -> bool:
    """Return whether a file is named like a landmark file of JAA-Net: ``..._land.txt``."""
    return _LANDMARKS.search(path.name) is not None


def path_file(landmarks: Path) -> Path:
    """Return the path of the list of frames of a landmark file: x_path.txt for x_land.txt."""
    return landmarks.with_name(_LANDMARKS.sub("_path.txt", landmarks.name))


def find(
    paths: Iterable[Path], wanted: Iterable[SequenceId], sequence_of: SequenceOf, base_of: ListBase
) -> tuple[dict[SequenceId, LandmarkFiles], list[str]]:
    """Find the file and the line with the landmarks of each frame.

    Args:
        paths: the paths of the landmark files.
        wanted: the sequences (subject and task) whose landmarks are wanted; lines of other
            sequences are left out.
        sequence_of: a function that takes the names of the folders of an image, and returns the
            sequence of the image.
        base_of: a function that takes the images in a list, and returns the number, 0 or 1, of the
            image that shows labelled frame 1.

    Returns:
        For each sequence, the landmark file and the line of each frame; and a list of messages. If
        several files hold frames of a sequence, the file with the most frames of this sequence is
        used, or the first of these files by name if they have equally many.

    Raises:
        DataError: a line names no image, a frame is listed twice, or a landmark file and its list
            differ in length. The message names the file and the line.
    """
    longest: dict[SequenceId, LandmarkFiles] = {}
    all_frames: dict[SequenceId, set[int]] = {}
    notes = []
    for path in sorted(paths, key=lambda path: natural(str(path))):
        if not path_file(path).is_file():
            land, list_name = printable(path.name), printable(path_file(path).name)
            notes.append(f"{land} is not read: there is no {list_name} beside it")
            continue
        for sequence, landmarks in _index(path, set(wanted), sequence_of, base_of).items():
            all_frames.setdefault(sequence, set()).update(map(int, landmarks.places))
            previous = longest.get(sequence)
            if previous is None or len(landmarks.places) > len(previous.places):
                longest[sequence] = landmarks
    split = [s for s, landmarks in longest.items() if len(all_frames[s]) > len(landmarks.places)]
    if split:
        names = abbreviated([display_name(sequence) for sequence in split])
        notes.append(
            f"several landmark files hold frames of {names}: the file with the most is used"
        )
    return longest, notes


def _index(
    path: Path, wanted: set[SequenceId], sequence_of: SequenceOf, base_of: ListBase
) -> dict[SequenceId, LandmarkFiles]:
    listed = _read_list(path_file(path))
    points = _points(path)
    count = _count_lines(path)
    if count != len(listed):
        raise DataError(
            f"{path.name} has {count:,} lines, but {path_file(path).name} has {len(listed):,}.",
            where=path,
            hint=_AGAIN,
        )
    by_sequence = _by_sequence(path_file(path), listed, wanted, sequence_of)
    if not by_sequence:
        return {}
    base = base_of(
        {
            sequence: Listing(str(path_file(path)), listed_images.numbers, [])
            for sequence, listed_images in by_sequence.items()
        }
    )
    return {
        sequence: LandmarkFiles(
            "jaa-text",
            points,
            path,
            dict(
                zip(
                    (listed_images.numbers + 1 - base).tolist(),
                    listed_images.lines.tolist(),
                    strict=True,
                )
            ),
        )
        for sequence, listed_images in by_sequence.items()
    }


def _read_list(path: Path) -> pa.StructArray:
    """Return the folder and the image number on each line of a list of frames.

    The result is an Arrow array of structs with the strings folder and number: F001/T1 and 2440 for
    the line F001/T1/2440.jpg.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig").rstrip()
    except UnicodeDecodeError as error:
        raise DataError(
            f"The list of frames is not UTF-8 text: {error}.", where=path, hint=_AGAIN
        ) from error
    if not text:
        raise DataError(f"{path.name} is empty.", where=path, hint=_AGAIN)
    lines = text.split("\n")
    parts = pc.extract_regex(pa.array(lines, pa.string()), _LINE)
    if parts.null_count:
        at = pc.index(parts.is_null(), True).as_py()
        raise DataError(
            f"The line holds no image path such as F001/T1/2440.jpg: {lines[at].strip()[:60]!r}.",
            where=f"{path}:{at + 1}",
            hint="correct the line; the name of an image must be a number",
        )
    return parts


def _by_sequence(
    path: Path, listed: pa.StructArray, wanted: set[SequenceId], sequence_of: SequenceOf
) -> dict[SequenceId, _ListedImages]:
    folders = listed.field("folder").dictionary_encode()
    numbers = listed.field("number").cast(pa.int64()).to_numpy()
    sequences = [sequence_of(folder.split("/")) for folder in folders.dictionary.to_pylist()]
    order = sorted(wanted.intersection(filter(None, sequences)))
    codes = np.array([order.index(s) if s in wanted else -1 for s in sequences], np.int64)
    # Lines sorted by sequence, then by number; lexsort keeps the order of equal lines.
    code = codes[folders.indices.to_numpy()]
    lines = np.lexsort((numbers, code))
    lines = lines[np.searchsorted(code[lines], 0) :]
    code, numbers = code[lines], numbers[lines]
    duplicates = np.flatnonzero((np.diff(code) == 0) & (np.diff(numbers) == 0))
    if len(duplicates):
        first, second = lines[duplicates[0]] + 1, lines[duplicates[0] + 1] + 1
        raise DataError(
            f"Lines {first} and {second} name the same image.",
            where=f"{path}:{second}",
            hint=_AGAIN,
        )
    bounds = pairwise(np.searchsorted(code, np.arange(len(order) + 1)).tolist())
    return {
        sequence: _ListedImages(numbers[start:stop], lines[start:stop])
        for sequence, (start, stop) in zip(order, bounds, strict=True)
    }


def _points(path: Path) -> int:
    """Return the number of landmarks on the first line of a landmark file, 49 or 66."""
    with path.open("rb") as file:
        count = len(file.readline().split())
    if not count and not path.stat().st_size:
        raise DataError(f"{path.name} is empty.", where=path, hint=_AGAIN)
    if count not in (98, 132):
        raise DataError(
            f"The line has {count} numbers instead of 98 or 132.",
            where=f"{path}:1",
            hint="write the x and y of 49 points (98 numbers) or of 66 points (132 numbers) per "
            "line",
        )
    return count // 2


def _count_lines(path: Path) -> int:
    """Return the number of lines of a file; empty lines at the end of the file do not count."""
    lines, rest = 0, b""
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            chunk = rest + chunk
            text = chunk.rstrip()
            rest = chunk[len(text) :]
            lines += text.count(b"\n")
    return lines + 1
