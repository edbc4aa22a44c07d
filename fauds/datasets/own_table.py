"""Reads a table of codes of the user's own, and the images of its frames, as a dataset.

The protocol names the table, and `fauds adopt` writes such a protocol. The names of subjects and
clips are kept as they are, in any script.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from fauds.datasets import labelled_images as images_of
from fauds.datasets import locate
from fauds.datasets.base import FramesSink, Reading, ReadOptions, natural
from fauds.datasets.code_rows import CodeRows, CodeTable, join_rows, open_codes
from fauds.datasets.image_folders import SUFFIXES, FolderKey, Listing
from fauds.datasets.media_files import Footage, SequenceId, Source, display_name
from fauds.datasets.subjects import abbreviated, read_sexes, select_subjects
from fauds.errors import DataError
from fauds.facs import SIDES, intensity_column, side_column
from fauds.tables import store
from fauds.tables.columns import category, from_numpy
from fauds.tables.schemas import frames_schema

_UNUSABLE = re.compile(r"[/\\\x00-\x1f\x7f]|^\.{1,2}$")


@dataclass(frozen=True)
class CodedFrames:
    """The labelled frames of a table, N of them, in the order of the frames table.

    Attributes:
        rows: the rows of the table.
        subjects: the subject of each frame.
        tasks: the clip of each frame; "" if the table has none.
        frames: the number of each frame, int32 [N]; None for images without numbers.
        keys: the key of each image, if frames have no numbers; else empty.
    """

    rows: CodeRows
    subjects: list[str]
    tasks: list[str]
    frames: np.ndarray | None
    keys: list[str]

    def __len__(self) -> int:
        return len(self.subjects)


def open_table(table: Mapping[str, Any]) -> CodeTable:
    """Open the table of a protocol; see `ReadOptions.table`.

    Raises:
        DataError: the table cannot be read, or holds no AUs.
        UsageError: a column or a role does not exist.
    """
    return open_codes(
        Path(table["file"]),
        columns=table.get("columns"),
        scale=table.get("scale"),
        missing_code=table.get("missing_code"),
    )


def coded_frames(table: CodeTable) -> CodedFrames:
    """Read the rows of a table, sorted by subject, clip and frame, with 2 before 10.

    Raises:
        DataError: the table has no column of subjects, a row has no subject or frame number, a
            frame is listed twice, or a name cannot be part of the name of a file.
    """
    rows = join_rows(list(table.rows()) or [_no_rows(table)])
    subjects = _names(table, rows, "subject")
    tasks = _names(table, rows, "clip") if "clip" in rows.texts else [""] * len(rows)
    numbers = _numbers(table, rows, subjects, tasks)
    keys = [] if numbers is not None else _keys(table, rows)
    places: dict[str, int] = {
        name: place for place, name in enumerate(sorted({*subjects, *tasks}, key=natural))
    }
    ranks = [np.array([places[name] for name in names]) for names in (tasks, subjects)]
    order = np.lexsort((np.arange(len(rows)) if numbers is None else numbers, *ranks))
    rows = rows.take(order)
    subjects, tasks = [subjects[row] for row in order], [tasks[row] for row in order]
    keys = [keys[row] for row in order] if keys else []
    numbers = None if numbers is None else numbers[order].astype(np.int32)
    _check_once(table, rows, subjects, tasks, numbers, keys)
    return CodedFrames(rows, subjects, tasks, numbers, keys)


def _no_rows(table: CodeTable) -> CodeRows:
    raise DataError("The table has no rows.", where=table.path, hint="write a row for each frame")


def _names(table: CodeTable, rows: CodeRows, role: str) -> list[str]:
    """Return the subject or clip of each row.

    Raises:
        DataError: there is no such column, a cell is empty, or a name cannot name a file.
    """
    if role not in rows.texts:
        raise DataError(
            f"The table has no column of {role}s, so that people cannot be told apart.",
            where=table.path,
            hint=f"name it 'subject', or say which column it is: --column {role}=NAME",
        )
    names: list[str] = []
    for row, name in enumerate(rows.texts[role].to_pylist()):
        if name is None:
            raise table.file.error(
                f"The row has no {role}.", int(rows.index[row]), f"write the {role} into every row"
            )
        if _UNUSABLE.search(name):
            raise table.file.error(
                f"The {role} {name!r} cannot be part of the name of a file.",
                int(rows.index[row]),
                "use names without slashes",
            )
        names.append(name)
    return names


def _numbers(
    table: CodeTable, rows: CodeRows, subjects: list[str], tasks: list[str]
) -> np.ndarray | None:
    """Return the frame number of each row, int64 [N]; None if the rows are single images."""
    if "frame" in rows.numbers:
        numbers = rows.numbers["frame"]
        wrong = ~((numbers >= 0) & (numbers < 2**31)) | (numbers != np.floor(numbers))
        if wrong.any():
            row = int(wrong.argmax())
            shown = "empty" if np.isnan(numbers[row]) else f"{numbers[row]:g}"
            raise table.file.error(
                f"The frame number is {shown}, but must be a whole number, 0 or more.",
                int(rows.index[row]),
                "correct the cell, or name another column: --column frame=NAME",
            )
        return numbers.astype(np.int64)
    if "image" in rows.texts or "key" in rows.texts:
        return None
    if "time" not in rows.numbers:
        raise DataError(
            "The table does not say which frame or image a row is about.",
            where=table.path,
            hint="add a column of frame numbers, times or images, or say which one it is: "
            "--column frame=NAME",
        )
    # Frames are counted from 1 by their times.
    names = [f"{subject}/{task}" for subject, task in zip(subjects, tasks, strict=True)]
    sequences = np.unique(names, return_inverse=True)[1]
    order = np.lexsort((rows.numbers["time"], sequences))
    starts = np.flatnonzero(np.diff(sequences[order], prepend=-1))
    first = np.repeat(starts, np.diff([*starts, len(order)]))
    numbers = np.empty(len(order), np.int64)
    numbers[order] = np.arange(len(order)) - first + 1
    return numbers


def _keys(table: CodeTable, rows: CodeRows) -> list[str]:
    """Return the key of each single image: its key in the table, or its path without a suffix."""
    texts = rows.texts.get("key", rows.texts.get("image"))
    keys = [] if texts is None else texts.to_pylist()
    for row, key in enumerate(keys):
        if not key:
            raise table.file.error(
                "The row names no image.", int(rows.index[row]), "write the image into every row"
            )
    return [_without_suffix(key.replace("\\", "/")) for key in keys]


def _without_suffix(name: str) -> str:
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in SUFFIXES else name


def _check_once(
    table: CodeTable,
    rows: CodeRows,
    subjects: list[str],
    tasks: list[str],
    numbers: np.ndarray | None,
    keys: list[str],
) -> None:
    ids: list[Any] = keys
    if numbers is not None:
        ids = list(zip(subjects, tasks, numbers.tolist(), strict=True))
    row_of: dict[Any, int] = {}
    for row, name in enumerate(ids):
        if name in row_of:
            shown = name if isinstance(name, str) else "/".join(str(p) for p in name if p != "")
            first = table.file.error("", int(rows.index[row_of[name]])).where
            raise table.file.error(
                f"The frame {shown} is listed twice; the other row is {first}.",
                int(rows.index[row]),
                "remove one of the two rows; if they are of different clips or faces, name the "
                "column that tells them apart: --column clip=NAME",
            )
        row_of[name] = row


@dataclass(frozen=True)
class ImageMatch:
    """The images of the frames of a table.

    Attributes:
        paths: the path of each frame's image relative to the folder; None for a frame without one.
        how: how images were matched, in words.
        unused: the number of images in the folder that belong to no frame.
        digest: a digest of all images in the folder.
    """

    paths: list[str | None]
    how: str
    unused: int
    digest: str

    @property
    def matched(self) -> int:
        """The number of frames with an image."""
        return sum(path is not None for path in self.paths)


PATTERNS = (
    "{subject}/{clip}/{frame}",
    "{subject}/{frame}",
    "{clip}/{frame}",
    "{subject}_{clip}_{frame}",
    "{subject}_{clip}/{frame}",
    "{subject}_{frame}",
    "{clip}_{frame}",
    "{frame}",
)
"""The patterns of image paths that `match_images` tries if the user states none."""


def match_images(frames: CodedFrames, folder: Path | None, pattern: str | None) -> ImageMatch:
    """Find the image of each frame.

    Args:
        frames: the frames.
        folder: the folder of the images; None for no images.
        pattern: how the path of an image is made of subject, clip and frame number; None to use
            the table's column of paths or keys, and otherwise the first of `PATTERNS` that fits.

    Raises:
        DataError: the folder does not exist, or two images belong to one frame.
    """
    if folder is None:
        return ImageMatch([None] * len(frames), "no folder of images is given", 0, "")
    if not folder.is_dir():
        raise DataError(
            "The folder of images does not exist.",
            where=folder,
            hint="correct images in the protocol, or --images",
        )
    files = images_of.list_files(folder)
    names = sorted(files.names)
    if pattern is None and (frames.keys or "image" in frames.rows.texts):
        paths = _by_path(frames, names)
        how = "by the table's column of images"
    else:
        candidates = [pattern] if pattern else [*PATTERNS]
        matched = {one: _by_pattern(frames, names, one, folder) for one in candidates}
        best = max(candidates, key=lambda one: sum(path is not None for path in matched[one]))
        paths, how = matched[best], f"by the pattern {best}"
    used = {path for path in paths if path is not None}
    return ImageMatch(paths, how, len(names) - len(used), files.digest)


def _by_path(frames: CodedFrames, names: list[str]) -> list[str | None]:
    """Return the image of each frame by the table's column of paths, or by keys.

    Folders at the beginning of a path that are not in the folder of images are ignored, since the
    table may have been written on another computer.
    """
    whole = {_normal(name): name for name in names}
    plain = {_without_suffix(name): original for name, original in whole.items()}
    texts = frames.rows.texts.get("image")
    listed = frames.keys if texts is None else [text or "" for text in texts.to_pylist()]
    paths: list[str | None] = []
    for text in listed:
        parts = _normal(text.replace("\\", "/")).split("/")
        tails = ("/".join(parts[start:]) for start in range(len(parts)))
        paths.append(
            next((path for tail in tails if (path := whole.get(tail) or plain.get(tail))), None)
        )
    return paths


def _by_pattern(
    frames: CodedFrames, names: list[str], pattern: str, folder: Path
) -> list[str | None]:
    """Return the image of each frame by a pattern; a frame's number may have leading zeros."""
    uses_clip, uses_subject = "{clip}" in pattern, "{subject}" in pattern
    if frames.frames is None:
        return [None] * len(frames)
    expression = re.escape(pattern)
    for group, form in (("subject", "[^/]+?"), ("clip", "[^/]+?"), ("frame", "[0-9]+")):
        first, again = f"(?P<{group}>{form})", f"(?P={group})"
        named = re.escape("{" + group + "}")
        expression = expression.replace(named, first, 1).replace(named, again)
    compiled = re.compile(expression)
    images: dict[tuple[str, str, int], str] = {}
    for name in names:
        match = compiled.fullmatch(_normal(_without_suffix(name)))
        if match is None:
            continue
        groups = match.groupdict()
        key = (groups.get("subject", ""), groups.get("clip", ""), int(groups["frame"]))
        if key in images:
            raise DataError(
                f"{images[key]} and {name} are both images of the same frame.",
                where=folder / name,
                hint="keep one of the two images",
            )
        images[key] = name
    keys = zip(frames.subjects, frames.tasks, frames.frames.tolist(), strict=True)
    paths = [
        images.get(
            (_normal(subject) if uses_subject else "", _normal(task) if uses_clip else "", frame)
        )
        for subject, task, frame in keys
    ]
    used = [path for path in paths if path is not None]
    # An image of several frames shows that the pattern leaves out what tells them apart.
    return paths if len(set(used)) == len(used) else [None] * len(paths)


def _normal(text: str) -> str:
    """Return a text with composed characters: macOS writes decomposed ones into file names."""
    return unicodedata.normalize("NFC", text)


class OwnTableReader:
    """Reads a table of codes, with the interface of `fauds.datasets.base.Reader`."""

    @locate.os_errors()
    def label_files(self, root: Path, options: ReadOptions | None = None) -> list[Path]:
        """Return the path of the table."""
        return [Path(_table(options)["file"])]

    @locate.os_errors()
    def fingerprint(self, root: Path, options: ReadOptions | None = None) -> str:
        """Return a digest of the content of the table and of the list of its images."""
        table = _table(options)
        images = table.get("images")
        digest = images_of.list_files(Path(images)).digest if images else ""
        return _fingerprint(Path(table["file"]), digest, options or ReadOptions())

    def image_base(
        self, folders: Mapping[FolderKey, Listing], last: Mapping[FolderKey, int], declared: Any
    ) -> tuple[int | None, str]:
        """Return that images have the numbers of the table's frames: image 1 shows frame 1."""
        return 1, "images have the numbers of the table's frames"

    @locate.os_errors()
    def footage(
        self,
        root: Path,
        last: Mapping[SequenceId, int],
        *,
        camera: Literal["left", "right"] = "left",
        image_base: int | None = None,
        images: Path | None = None,
    ) -> Footage:
        """Return that there is nothing beside the images; for arguments see `Reader`.

        The digest covers all images below the root of the images.
        """
        digest = images_of.list_files(root if images is None else images).digest
        sources = {sequence: Source(None, None, None, digest) for sequence in last}
        return Footage(sources, ("landmarks: none; a detector finds them",), covers_images=True)

    @locate.os_errors()
    def read(
        self,
        root: Path,
        expected: Mapping[str, Any] | None = None,
        options: ReadOptions | None = None,
        *,
        sink: FramesSink,
    ) -> Reading:
        """Read the table and match its images; for arguments see `fauds.datasets.base.Reader`.

        Raises:
            DataError: the table cannot be read, lacks an AU of the protocol, has no subjects or
                frames, lists a frame twice, or has a value out of range.
        """
        options = options or ReadOptions()
        source = _table(options)
        table = open_table(source)
        frames = coded_frames(table)
        images = Path(source["images"]) if source.get("images") else None
        match = match_images(frames, images, source.get("pattern"))
        sexes, digest = _sexes(frames, options)
        chosen = set(select_subjects(frames.subjects, options, table.path))
        keep = np.array([subject in chosen for subject in frames.subjects])
        sink(_frames_table(table, frames, match, sexes, options, np.flatnonzero(keep)))
        notes = [table.recognised(), *table.counts.lines(), *_notes(frames, match, images)]
        return Reading(
            root=images or table.path.parent,
            fingerprint=_fingerprint(table.path, match.digest, options, digest),
            synthetic=False,
            image_base=1,
            notes=tuple(notes),
        )


OWN_TABLE = OwnTableReader()


def _table(options: ReadOptions | None) -> Mapping[str, Any]:
    if options is None or options.table is None:
        raise DataError(
            "The dataset 'table' needs a protocol that names the table.",
            hint="write it with fauds adopt TABLE --name NAME, then use --benchmark NAME.yaml",
        )
    return options.table


def _fingerprint(path: Path, images: str, options: ReadOptions, sexes: bytes = b"") -> str:
    if options.sex_table is not None and not sexes:
        sexes = options.sex_table.read_bytes()
    return store.fingerprint("table", path.read_bytes(), images, sexes)


def _sexes(frames: CodedFrames, options: ReadOptions) -> tuple[list[str | None], bytes]:
    """Return the sex of the person in each frame, and the content of the table of sexes."""
    if options.sex_table is not None:
        by_subject, content = read_sexes(options.sex_table, sorted({*frames.subjects}))
        return [by_subject.get(subject) for subject in frames.subjects], content
    if "sex" in frames.rows.texts:
        return frames.rows.texts["sex"].to_pylist(), b""
    return [None] * len(frames), b""


def labels_of(
    table: CodeTable, rows: CodeRows, au: str, occurrence_at: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the occurrence and the intensity of an AU in each of N rows, float64 [N], NaN: null.

    Occurrence is what the table says, or intensity from `occurrence_at` on, or probability from 0.5
    on. An intensity with a fraction becomes the degree that it reaches.

    Raises:
        DataError: the table does not have what the protocol's rule of occurrence needs.
    """
    intensity = np.floor(rows.intensities.get(au, np.full(len(rows), np.nan)))
    if occurrence_at is not None:
        if au not in rows.intensities:
            raise DataError(
                f"The table has no intensities of {au}, from which its occurrence follows.",
                where=table.path,
                hint="set occurrence: coded in the protocol, or leave out this AU",
            )
        occurrence = np.where(np.isnan(intensity), np.nan, intensity >= occurrence_at)
        return occurrence, intensity
    if au in rows.decisions:
        return rows.decisions[au], intensity
    if au not in rows.probabilities:
        raise DataError(
            f"The table does not code whether {au} occurs.",
            where=table.path,
            hint="set occurrence: intensity >= 2 in the protocol, or leave out this AU"
            if au in rows.intensities
            else "leave out this AU in the protocol",
        )
    probability = rows.probabilities[au]
    return np.where(np.isnan(probability), np.nan, probability >= 0.5), intensity


def _frames_table(
    table: CodeTable,
    frames: CodedFrames,
    match: ImageMatch,
    sexes: list[str | None],
    options: ReadOptions,
    keep: np.ndarray,
) -> pa.Table:
    """Return the rows of the frames table: those of `keep`, int [M]."""
    rows = frames.rows.take(keep)
    size = len(keep)
    labels = {au: labels_of(table, rows, au, options.occurrence_at) for au in options.aus}
    graded = [au for au in options.aus if not np.isnan(labels[au][1]).all()]
    numbers = None if frames.frames is None else frames.frames[keep]
    numbered = numbers is not None
    columns: dict[str, pa.Array] = {
        "frame_id": from_numpy(np.arange(size), pa.int64()),
        "subject": _category([frames.subjects[row] for row in keep]),
        "task": _category([frames.tasks[row] if numbered else None for row in keep]),
        "frame": pa.nulls(size, pa.int32()) if numbers is None else from_numpy(numbers, pa.int32()),
        "sex": _category([sexes[row] for row in keep]),
        "image": pa.array([match.paths[row] for row in keep], pa.string()),
    }
    if not numbered:
        columns["key"] = pa.array([frames.keys[row] for row in keep], pa.string())
    for au, (occurrence, intensity) in labels.items():
        columns[au] = _nullable(occurrence)
        if au in graded:
            columns[intensity_column(au)] = _nullable(intensity)
    schema = frames_schema(options.aus, graded)
    if numbered:
        schema = schema.remove(schema.get_field_index("key"))
    result = pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)
    for au in options.aus:
        sides = rows.sides.get(au)
        if sides is not None and (sides >= 0).any():
            column = category(sides.astype(np.int32), SIDES)
            result = result.append_column(side_column(au), column)
    return result


def _nullable(values: np.ndarray) -> pa.Array:
    return from_numpy(np.nan_to_num(values), pa.int8(), np.isnan(values))


def _category(values: list[str | None] | list[str]) -> pa.DictionaryArray:
    distinct = list(dict.fromkeys(value for value in values if value is not None))
    codes = {value: code for code, value in enumerate(distinct)}
    return category(
        np.array([-1 if value is None else codes[value] for value in values], np.int32), distinct
    )


def _notes(frames: CodedFrames, match: ImageMatch, images: Path | None) -> list[str]:
    sequences = sorted({*zip(frames.subjects, frames.tasks, strict=True)})
    names = abbreviated([display_name(sequence) for sequence in sequences], 4)
    lines = [
        f"subjects: {len({*frames.subjects})} ({abbreviated(sorted({*frames.subjects}), 4)})",
        f"sequences: {len(sequences)} ({names}), {len(frames):,} frames",
    ]
    if images is None:
        return [*lines, "images: none, as the protocol names no folder"]
    unused = f"; images that belong to no frame: {match.unused:,}" if match.unused else ""
    lines.append(f"images: {match.matched:,} of {len(frames):,} frames, {match.how}{unused}")
    return lines
