"""Lists of the frames that a published experiment used, matched to the frames table.

Two formats are read: CSV with the header ``subject,task,frame`` (the frame number is that of the
label files; the task is empty if the dataset has no tasks), and image paths, one per line, such as
``F001/T1/0111.jpg`` or ``SN001/0.png``. In a path, only subject, task and number are used. Folders
before the subject, and anything after a blank (some lists have labels after the path), are ignored.
A list of images that have no number has their keys, such as ``train_00001``, one per line, with or
without a suffix.
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
from fauds.datasets.subjects import abbreviated
from fauds.errors import DataError
from fauds.tables.columns import from_numpy, from_strings, to_numpy

_CSV_HEADER = re.compile(r'\s*"?subject"?\s*,\s*"?task"?\s*,\s*"?frame"?\s*', re.IGNORECASE)
_CSV_LINE = (
    r'^\s*"?(?P<subject>[^\s,"/]+)"?\s*,\s*"?(?P<task>[^\s,"/]*)"?\s*,'
    r'\s*"?(?P<number>[0-9]{1,9})"?\s*$'
)
_NAME = r"[^\s,/\\]+"
_IMAGE_SUFFIX = re.compile(r"\.(?:jpe?g|png)$", re.IGNORECASE)
_PATH_LINE = (
    r"(?i)^\s*(?:.*?[/\\])??(?P<subject>{name})[/\\]{task}(?P<number>[0-9]{{1,9}})"
    r"\.(?:jpe?g|png)(?:\s.*)?$"
)
_FORMATS = "a header subject,task,frame and a line per frame, or image paths such as {example}"
_EXAMPLE = "F001/T1/0111.jpg"


@dataclass(frozen=True)
class Manifest:
    """A summary of a user's list of frames, such as the frames that a published experiment used.

    Attributes:
        name: the name of the file.
        sha256: the SHA-256, in hexadecimal, of the sorted lines ``subject,task,frame``, or of the
            sorted keys; it does not depend on the format of the file.
        listed: the number of frames that the list names.
        matched: the number of these frames that are coded frames of the dataset.
        notes: messages for the user, one per line.
    """

    name: str
    sha256: str
    listed: int
    matched: int
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _ListedFrames:
    """The N frames that a file lists, one in each line.

    Attributes:
        subjects: the subject of each frame in capitals, string [N].
        tasks: the task of each frame in capitals, string [N]; empty if the dataset has no tasks.
        numbers: the number of each frame, or of its image, int64 [N].
        lines: the number of each frame's line in the file, counted from 1, int64 [N].
    """

    subjects: pa.Array
    tasks: pa.Array
    numbers: np.ndarray
    lines: np.ndarray


def read_manifest(path: Path, frames: pa.Table) -> tuple[np.ndarray, Manifest]:
    """Read a list of frames from a file and find these frames in a dataset's frames table.

    If the file lists paths of images, such as ``F001/T1/0111.jpg``, the number in a path is that
    of the image. In a dataset with tasks (BP4D) it equals the frame number in the label files. In
    a dataset without tasks (DISFA), images are numbered from 0 or from 1: from 0 if any number in
    the file is 0; otherwise from 1 if the number of some subject's last coded frame is listed.

    Args:
        path: the file.
        frames: the frames table, with the columns subject, task and frame; and key, if frames have
            no numbers.

    Returns:
        Which rows of `frames` are listed, bool [rows], and a summary of the list, whose notes say
        how many listed frames are not in the table.

    Raises:
        DataError: a line has neither of the two formats, or a frame is listed twice (the error
            names the line); the numbering of the images is ambiguous; the file cannot be read, is
            empty, or lists no frame of the table.
    """
    if frames["frame"].null_count:
        return _read_keys(path, frames["key"].combine_chunks())
    subjects, tasks = (_capitals(frames[name]) for name in ("subject", "task"))
    numbers = to_numpy(frames["frame"]).astype(np.int64)
    has_tasks = bool(pc.any(pc.not_equal(tasks, "")).as_py())
    text, lines = _lines(path)
    if _CSV_HEADER.fullmatch(text[0]):
        if len(text) == 1:
            raise DataError(
                "The list of frames holds only its header, but no frames.",
                where=path,
                hint="add a line subject,task,frame for every frame to crop",
            )
        listed = _parsed(path, text[1:], lines[1:], _CSV_LINE, has_tasks)
    else:
        task = rf"(?P<task>{_NAME})[/\\]" if has_tasks else "(?P<task>)"
        listed = _parsed(path, text, lines, _PATH_LINE.format(name=_NAME, task=task), has_tasks)
        if not has_tasks:
            listed = _counted_from_1(path, listed, subjects, numbers)
    names = _names(listed.subjects, listed.tasks, listed.numbers)
    _check_once(path, names, listed.lines)
    coded = _names(subjects, tasks, numbers)
    keep = _is_in(coded, names)
    if not keep.any():
        raise DataError(
            f"None of the frames that {path.name} lists is coded in this dataset.",
            where=path,
            hint="use a list for this dataset: the first listed frame is "
            f"{names[0].as_py()}, but the first coded frame of the dataset is {coded[0].as_py()}",
        )
    return keep, _manifest(path.name, listed, names, ~_is_in(names, coded))


def _read_keys(path: Path, keys: pa.Array) -> tuple[np.ndarray, Manifest]:
    """Read a list of images that have no number; see `read_manifest`.

    Args:
        path: the file.
        keys: the key of every row of the frames table.
    """
    text, lines = _lines(path)
    if text[0].strip() == "key":
        text, lines = text[1:], lines[1:]
    listed = from_strings([_IMAGE_SUFFIX.sub("", line.split()[0]) for line in text])
    _check_once(path, listed, lines)
    keep = _is_in(keys, listed)
    if not keep.any():
        raise DataError(
            f"None of the images that {path.name} lists is in this dataset.",
            where=path,
            hint=f"list keys as frames.parquet has them, such as {keys[0].as_py()}",
        )
    absent = ~_is_in(listed, keys)
    matched = len(listed) - int(absent.sum())
    digest = hashlib.sha256("".join(f"{key}\n" for key in sorted(listed.to_pylist())).encode())
    note = f"{path.name} lists {len(listed):,} images, of which {matched:,} are in this dataset"
    return keep, Manifest(path.name, digest.hexdigest(), len(listed), matched, (note,))


def _lines(path: Path) -> tuple[list[str], np.ndarray]:
    """Return the lines of a file that are not blank, and their line numbers, counted from 1."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(
            f"The list of frames cannot be read: {error.strerror}.",
            where=path,
            hint="check that the file exists and that you may read it (ls -l)",
        ) from error
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise DataError(
            f"The list of frames is not UTF-8 text: it holds the byte {byte:#04x}.",
            where=path,
            hint=f"save it as plain text in UTF-8: {_FORMATS.format(example=_EXAMPLE)}",
        ) from None
    all_lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    kept = [number for number, line in enumerate(all_lines) if line.strip()]
    if not kept:
        raise DataError(
            "The list of frames is empty.",
            where=path,
            hint=f"write the frames into it: {_FORMATS.format(example=_EXAMPLE)}",
        )
    return [all_lines[number] for number in kept], np.array(kept) + 1


def _parsed(
    path: Path, text: Sequence[str], lines: np.ndarray, pattern: str, has_tasks: bool
) -> _ListedFrames:
    fields = pc.extract_regex(from_strings(text), pattern)
    if fields.null_count:
        row = pc.index(pc.is_null(fields), True).as_py()
        example = _EXAMPLE if has_tasks else "SN001/0.png"
        raise DataError(
            f"This line does not name a frame: {text[row].strip()[:60]!r}.",
            where=f"{path}:{lines[row]}",
            hint=f"a list of frames holds {_FORMATS.format(example=example)}",
        )
    subjects, tasks, numbers = fields.flatten()
    numbers = to_numpy(pa.chunked_array([numbers.cast(pa.int64())]))
    return _ListedFrames(pc.utf8_upper(subjects), pc.utf8_upper(tasks), numbers, lines)


def _counted_from_1(
    path: Path, listed: _ListedFrames, subjects: pa.Array, numbers: np.ndarray
) -> _ListedFrames:
    """Return a list of frames with image numbers converted to the frame numbers of label files.

    Args:
        path: the file with the list, for error messages.
        listed: the frames of the list, with image numbers.
        subjects: the subject of every row of the frames table.
        numbers: the frame number of every row of the frames table.

    Raises:
        DataError: the list does not show whether images are numbered from 0 or from 1.
    """
    if (listed.numbers == 0).any():
        return _ListedFrames(listed.subjects, listed.tasks, listed.numbers + 1, listed.lines)
    frames = from_numpy(numbers, pa.int64())
    last = pa.table({"subject": subjects, "frame": frames}).group_by("subject")
    last = last.aggregate([("frame", "max")]).combine_chunks()
    last_images = _joined(last["subject"].chunk(0), last["frame_max"].chunk(0))
    if _is_in(_joined(listed.subjects, from_numpy(listed.numbers, pa.int64())), last_images).any():
        return listed
    raise DataError(
        "The list may count images from 0 or from 1: it names neither an image 0 nor the last "
        "labelled frame of any subject, so the first number is unknown.",
        where=path,
        hint="save the list as CSV with the header subject,task,frame and with the frame numbers "
        "of the label files, which are counted from 1",
    )


def _check_once(path: Path, names: pa.Array, lines: np.ndarray) -> None:
    codes = to_numpy(pa.chunked_array([names.dictionary_encode().indices]))
    firsts = np.unique(codes, return_index=True)[1]
    if len(firsts) == len(codes):
        return
    repeated = np.ones(len(codes), bool)
    repeated[firsts] = False
    second = int(repeated.argmax())
    first = int(np.argmax(codes == codes[second]))
    raise DataError(
        f"The frame {names[second].as_py()} is listed twice: in lines {lines[first]} and "
        f"{lines[second]}.",
        where=f"{path}:{lines[second]}",
        hint="remove one of the two lines",
    )


def _manifest(name: str, listed: _ListedFrames, names: pa.Array, absent: np.ndarray) -> Manifest:
    matched = len(names) - int(absent.sum())
    frames = f"{len(names):,} frame{'s' * (len(names) != 1)}"
    verb = "is" if matched == 1 else "are"
    notes = [f"{name} lists {frames}, of which {matched:,} {verb} coded in this dataset"]
    if absent.any():
        rows = from_numpy(np.flatnonzero(absent), pa.int64())
        absent_counts = listed.subjects.take(rows).value_counts().to_pylist()
        absent_counts.sort(key=lambda count: natural(count["values"]))
        counts = [f"{count['values']} {count['counts']:,}" for count in absent_counts]
        notes.append(f"listed frames that are not coded in this dataset: {abbreviated(counts)}")
    lines = names.take(pc.array_sort_indices(names)).to_pylist()
    digest = hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()
    return Manifest(name, digest, len(names), matched, tuple(notes))


def _capitals(column: pa.ChunkedArray) -> pa.Array:
    return pc.utf8_upper(column.cast(pa.string()).combine_chunks().fill_null(""))


def _names(subjects: pa.Array, tasks: pa.Array, numbers: np.ndarray) -> pa.Array:
    return _joined(subjects, tasks, from_numpy(numbers, pa.int64()))


def _joined(*parts: pa.Array) -> pa.Array:
    """Return the values of each row of some columns as one text, joined by commas, string [N]."""
    return pc.binary_join_element_wise(*(part.cast(pa.string()) for part in parts), ",")


def _is_in(names: pa.Array, known: pa.Array) -> np.ndarray:
    return _bools(pc.is_in(names, value_set=known))


def _bools(column: pa.Array) -> np.ndarray:
    return to_numpy(pa.chunked_array([column.cast(pa.uint8())])).astype(bool)
