"""Lists of frames that a published experiment used, matched to the frames table.

Two forms are read: CSV with the header ``subject,task,frame`` (label frame numbers; the task is
empty where a dataset has none), and image paths, a line each, such as ``F001/T1/0111.jpg`` or
``SN001/0.png``. Of a path the last names count; folders before them, and anything after a blank
(labels, in some lists), are ignored.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fauds.datasets.base import natural
from fauds.datasets.subjects import shortened
from fauds.errors import DataError
from fauds.tables.columns import from_numpy, from_strings, to_numpy

_CSV_HEADER = re.compile(r'\s*"?subject"?\s*,\s*"?task"?\s*,\s*"?frame"?\s*', re.IGNORECASE)
_CSV_LINE = (
    r'^\s*"?(?P<subject>[^\s,"/]+)"?\s*,\s*"?(?P<task>[^\s,"/]*)"?\s*,'
    r'\s*"?(?P<number>[0-9]{1,9})"?\s*$'
)
_NAME = r"[^\s,/\\]+"
_PATH_LINE = (
    r"(?i)^\s*(?:.*?[/\\])??(?P<subject>{name})[/\\]{task}(?P<number>[0-9]{{1,9}})"
    r"\.(?:jpe?g|png)(?:\s.*)?$"
)
_FORMS = "subject,task,frame under that header, or image paths such as {example}"
_EXAMPLE = "F001/T1/0111.jpg"


@dataclass(frozen=True)
class Manifest:
    """A list of frames, as it was read.

    Attributes:
        name: of its file.
        sha256: hex, of the sorted lines ``subject,task,frame`` that it names, whatever its form.
        listed: how many frames it names.
        matched: how many of these are in the frames table.
        notes: for people, a line each.
    """

    name: str
    sha256: str
    listed: int
    matched: int
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _ListedFrames:
    """Listed frames: subjects and tasks in capitals, numbers int64 [N], lines from 1 [N]."""

    subjects: pa.Array
    tasks: pa.Array
    numbers: np.ndarray
    lines: np.ndarray


def read_manifest(path: Path, frames: pa.Table) -> tuple[np.ndarray, Manifest]:
    """Read a list of frames.

    The number in a path is an image's. In a dataset with tasks (BP4D) that is the label frame.
    In one without (DISFA) images are counted from 0 or from 1: a 0 anywhere in the file says 0;
    otherwise the number of some subject's last label frame says 1.

    Args:
        path: the list.
        frames: with the columns subject, task and frame.

    Returns:
        Which rows of `frames` are listed, bool [rows], and what was read. Listed frames that are
        not in the table are counted in the notes.

    Raises:
        DataError: with the line: neither form, or a frame that comes twice; a list of images
            whose counting cannot be told; a file that cannot be read, is empty, or names no
            frame of the table.
    """
    subjects, tasks = (_capitals(frames[name]) for name in ("subject", "task"))
    numbers = to_numpy(frames["frame"]).astype(np.int64)
    has_tasks = bool(pc.any(pc.not_equal(tasks, "")).as_py())
    text, lines = _lines(path)
    if _CSV_HEADER.fullmatch(text[0]):
        if len(text) == 1:
            raise DataError(
                "The list of frames holds its header and nothing else.",
                where=path,
                hint="write a line subject,task,frame for every frame to crop",
            )
        listed = _parsed(path, text[1:], lines[1:], _CSV_LINE, has_tasks)
    else:
        task = rf"(?P<task>{_NAME})[/\\]" if has_tasks else "(?P<task>)"
        listed = _parsed(path, text, lines, _PATH_LINE.format(name=_NAME, task=task), has_tasks)
        if not has_tasks:
            listed = _counted_from_1(path, listed, subjects, numbers)
    names = _names(listed.subjects, listed.tasks, listed.numbers)
    _check_once(path, names, listed.lines)
    there = _names(subjects, tasks, numbers)
    keep = _is_in(there, names)
    if not keep.any():
        raise DataError(
            f"No frame that {path.name} names is coded here.",
            where=path,
            hint=f"its first is {names[0].as_py()}, the dataset's first is {there[0].as_py()}",
        )
    return keep, _manifest(path.name, listed, names, ~_is_in(names, there))


def _lines(path: Path) -> tuple[list[str], np.ndarray]:
    """Return the lines that are not blank, and their numbers from 1."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(
            f"The list of frames cannot be read: {error.strerror}.",
            where=path,
            hint="--frames takes a text file that is there and may be read (ls -l)",
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"The list of frames is not text: it holds the byte {error.object[error.start]:#04x}.",
            where=path,
            hint=f"save it as plain text (UTF-8): {_FORMS.format(example=_EXAMPLE)}",
        ) from None
    every = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    filled = [number for number, line in enumerate(every) if line.strip()]
    if not filled:
        raise DataError(
            "The list of frames is empty.",
            where=path,
            hint=f"write into it {_FORMS.format(example=_EXAMPLE)}",
        )
    return [every[number] for number in filled], np.array(filled) + 1


def _parsed(
    path: Path, text: Sequence[str], lines: np.ndarray, pattern: str, has_tasks: bool
) -> _ListedFrames:
    found = pc.extract_regex(from_strings(text), pattern)
    if found.null_count:
        row = pc.index(pc.is_null(found), True).as_py()
        example = _EXAMPLE if has_tasks else "SN001/0.png"
        raise DataError(
            f"This line names no frame: {text[row].strip()[:60]!r}.",
            where=f"{path}:{lines[row]}",
            hint=f"a list of frames holds {_FORMS.format(example=example)}",
        )
    subjects, tasks, numbers = found.flatten()
    numbers = to_numpy(pa.chunked_array([numbers.cast(pa.int64())]))
    return _ListedFrames(pc.utf8_upper(subjects), pc.utf8_upper(tasks), numbers, lines)


def _counted_from_1(
    path: Path, listed: _ListedFrames, subjects: pa.Array, numbers: np.ndarray
) -> _ListedFrames:
    """Return the list with images' numbers turned into label frames."""
    if (listed.numbers == 0).any():
        return _ListedFrames(listed.subjects, listed.tasks, listed.numbers + 1, listed.lines)
    frames = from_numpy(numbers, pa.int64())
    last = pa.table({"subject": subjects, "frame": frames}).group_by("subject")
    last = last.aggregate([("frame", "max")]).combine_chunks()
    last_images = _joined(last["subject"].chunk(0), last["frame_max"].chunk(0))
    if _is_in(_joined(listed.subjects, from_numpy(listed.numbers, pa.int64())), last_images).any():
        return listed
    raise DataError(
        "The list counts images from 0 or from 1, and nothing in it tells which: it holds neither "
        "an image 0 nor any subject's last labelled frame.",
        where=path,
        hint="write it as CSV with the header subject,task,frame and label frame numbers",
    )


def _check_once(path: Path, names: pa.Array, lines: np.ndarray) -> None:
    codes = to_numpy(pa.chunked_array([names.dictionary_encode().indices]))
    firsts = np.unique(codes, return_index=True)[1]
    if len(firsts) == len(codes):
        return
    again = np.ones(len(codes), bool)
    again[firsts] = False
    second = int(again.argmax())
    first = int(np.argmax(codes == codes[second]))
    raise DataError(
        f"The frame {names[second].as_py()} comes twice: in lines {lines[first]} and "
        f"{lines[second]}.",
        where=f"{path}:{lines[second]}",
        hint="keep it once",
    )


def _manifest(name: str, listed: _ListedFrames, names: pa.Array, absent: np.ndarray) -> Manifest:
    matched = len(names) - int(absent.sum())
    all_of_them = f"{len(names):,} frame{'s' * (len(names) != 1)}"
    are = "is" if matched == 1 else "are"
    notes = [f"{name} lists {all_of_them}, of which {matched:,} {are} coded here"]
    if absent.any():
        rows = from_numpy(np.flatnonzero(absent), pa.int64())
        lost = listed.subjects.take(rows).value_counts().to_pylist()
        lost.sort(key=lambda count: natural(count["values"]))
        counts = [f"{count['values']} {count['counts']:,}" for count in lost]
        notes.append(f"listed frames that are not coded here: {shortened(counts)}")
    lines = names.take(pc.array_sort_indices(names)).to_pylist()
    digest = hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()
    return Manifest(name, digest, len(names), matched, tuple(notes))


def _capitals(column: pa.ChunkedArray) -> pa.Array:
    return pc.utf8_upper(column.cast(pa.string()).combine_chunks().fill_null(""))


def _names(subjects: pa.Array, tasks: pa.Array, numbers: np.ndarray) -> pa.Array:
    return _joined(subjects, tasks, from_numpy(numbers, pa.int64()))


def _joined(*parts: pa.Array) -> pa.Array:
    """Return the parts of every row with commas between them, string [N]."""
    return pc.binary_join_element_wise(*(part.cast(pa.string()) for part in parts), ",")


def _is_in(names: pa.Array, known: pa.Array) -> np.ndarray:
    return _bools(pc.is_in(names, value_set=known))


def _bools(column: pa.Array) -> np.ndarray:
    return to_numpy(pa.chunked_array([column.cast(pa.uint8())])).astype(bool)
