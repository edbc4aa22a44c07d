"""Landmarks as text, the form of JAA-Net: a line of coordinates a frame, and a list of frames.

``BP4D_combine_1_2_land.txt`` has a line ``x1 y1 x2 y2 ...`` for every line ``F001/T1/2440.jpg``
of ``BP4D_combine_1_2_path.txt`` beside it. Only the lists are read here, and of the landmarks
how many lines and points there are.
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
from fauds.datasets.media_files import LandmarkFiles, SequenceId, printable, spoken
from fauds.datasets.subjects import shortened
from fauds.errors import DataError

TextBase = Callable[[Mapping[SequenceId, Listing]], int]
"""The images that a list names, by sequence, to the number of the image of label frame 1."""

_LANDMARKS = re.compile(r"_(?:\d+)?land\.txt$", re.IGNORECASE | re.ASCII)
_LINE = r"^\s*(?:(?P<folder>.*)/)?(?P<number>\d{1,9})\.(?i:jpg|jpeg|png)\s*$"
_CHUNK = 1 << 24
_AGAIN = "make both files again with the same frames in the same order, or move them away"


@dataclass(frozen=True)
class _Lines:
    """The frames of one sequence in a list: numbers in names, rising, and lines from 0."""

    numbers: np.ndarray
    lines: np.ndarray


def is_landmarks(path: Path) -> bool:
    """Whether the file is named as landmarks are in this form."""
    return _LANDMARKS.search(path.name) is not None


def path_file(landmarks: Path) -> Path:
    """Return the list of frames that belongs to a file of landmarks."""
    return landmarks.with_name(_LANDMARKS.sub("_path.txt", landmarks.name))


def find(
    paths: Iterable[Path], wanted: Iterable[SequenceId], sequence_of: SequenceOf, base_of: TextBase
) -> tuple[dict[SequenceId, LandmarkFiles], list[str]]:
    """Find the lines of the wanted sequences' frames.

    Args:
        paths: of files of landmarks.
        wanted: the sequences; lines of others are left out.
        sequence_of: folders of a listed image to its sequence.
        base_of: how the lists number images.

    Returns:
        Landmarks by sequence, from the file that has most of its frames, the first of several in
        natural order; and notes.

    Raises:
        DataError: with file and line, for a line that names no image, a frame that is listed
            twice, or files of different lengths.
    """
    found: dict[SequenceId, LandmarkFiles] = {}
    named: dict[SequenceId, set[int]] = {}
    notes = []
    for path in sorted(paths, key=lambda path: natural(str(path))):
        if not path_file(path).is_file():
            land, listed = printable(path.name), printable(path_file(path).name)
            notes.append(f"{land} is not read: there is no {listed} beside it")
            continue
        for sequence, landmarks in _index(path, set(wanted), sequence_of, base_of).items():
            named.setdefault(sequence, set()).update(map(int, landmarks.places))
            known = found.get(sequence)
            if known is None or len(landmarks.places) > len(known.places):
                found[sequence] = landmarks
    spread = [s for s, landmarks in found.items() if len(named[s]) > len(landmarks.places)]
    if spread:
        names = shortened([spoken(sequence) for sequence in spread])
        notes.append(f"several landmark files share the frames of {names}: the longest is taken")
    return found, notes


def _index(
    path: Path, wanted: set[SequenceId], sequence_of: SequenceOf, base_of: TextBase
) -> dict[SequenceId, LandmarkFiles]:
    listed = _read_list(path_file(path))
    points = _points(path)
    lines = _count_lines(path)
    if lines != len(listed):
        raise DataError(
            f"{path.name} has {lines:,} lines and {path_file(path).name} {len(listed):,}.",
            where=path,
            hint=_AGAIN,
        )
    by_sequence = _by_sequence(path_file(path), listed, wanted, sequence_of)
    if not by_sequence:
        return {}
    base = base_of(
        {
            sequence: Listing(str(path_file(path)), found.numbers, [])
            for sequence, found in by_sequence.items()
        }
    )
    return {
        sequence: LandmarkFiles(
            "jaa-text",
            points,
            path,
            dict(zip((found.numbers + 1 - base).tolist(), found.lines.tolist(), strict=True)),
        )
        for sequence, found in by_sequence.items()
    }


def _read_list(path: Path) -> pa.StructArray:
    """Return folder and number of every line of a list, both string."""
    try:
        text = path.read_bytes().decode("utf-8-sig").rstrip()
    except UnicodeDecodeError as error:
        raise DataError(
            f"The list of frames is not text: {error}.", where=path, hint=_AGAIN
        ) from error
    if not text:
        raise DataError(f"{path.name} is empty.", where=path, hint=_AGAIN)
    lines = text.split("\n")
    parts = pc.extract_regex(pa.array(lines, pa.string()), _LINE)
    if parts.null_count:
        at = pc.index(parts.is_null(), True).as_py()
        raise DataError(
            f"The line names no image by a number: {lines[at].strip()[:60]!r}.",
            where=f"{path}:{at + 1}",
            hint="a line looks like F001/T1/2440.jpg",
        )
    return parts


def _by_sequence(
    path: Path, listed: pa.StructArray, wanted: set[SequenceId], sequence_of: SequenceOf
) -> dict[SequenceId, _Lines]:
    folders = listed.field("folder").dictionary_encode()
    numbers = listed.field("number").cast(pa.int64()).to_numpy()
    sequences = [sequence_of(folder.split("/")) for folder in folders.dictionary.to_pylist()]
    order = sorted(wanted.intersection(filter(None, sequences)))
    codes = np.array([order.index(s) if s in wanted else -1 for s in sequences], np.int64)
    # Sorted by sequence, then by number; equal ones stay in the order of their lines.
    code = codes[folders.indices.to_numpy()]
    lines = np.lexsort((numbers, code))
    lines = lines[np.searchsorted(code[lines], 0) :]
    code, numbers = code[lines], numbers[lines]
    twice = np.flatnonzero((np.diff(code) == 0) & (np.diff(numbers) == 0))
    if len(twice):
        first, second = lines[twice[0]] + 1, lines[twice[0] + 1] + 1
        raise DataError(
            f"Lines {first} and {second} name the same image.",
            where=f"{path}:{second}",
            hint=_AGAIN,
        )
    bounds = pairwise(np.searchsorted(code, np.arange(len(order) + 1)).tolist())
    return {
        sequence: _Lines(numbers[start:stop], lines[start:stop])
        for sequence, (start, stop) in zip(order, bounds, strict=True)
    }


def _points(path: Path) -> int:
    """Return how many points a line has, as the first says."""
    with path.open("rb") as file:
        count = len(file.readline().split())
    if not count and not path.stat().st_size:
        raise DataError(f"{path.name} is empty.", where=path, hint=_AGAIN)
    if count not in (98, 132):
        raise DataError(
            f"The line has {count} numbers.",
            where=f"{path}:1",
            hint="98 are expected, for 49 points, or 132, for 66",
        )
    return count // 2


def _count_lines(path: Path) -> int:
    """Count lines without those that are empty at the end."""
    lines, rest = 0, b""
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            chunk = rest + chunk
            text = chunk.rstrip()
            rest = chunk[len(text) :]
            lines += text.count(b"\n")
    return lines + 1
