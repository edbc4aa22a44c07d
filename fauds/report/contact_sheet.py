"""A contact sheet of face crops, to check by eye that every subject's faces are aligned.

The sheet shows the faces of subjects: that of a licensed dataset must not be passed on.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fauds.errors import DataError, UsageError
from fauds.explanation.drawing import FACE_COLOURS, RGB, Board, line_height, shorten, wrap
from fauds.faces.image_decoding import decode
from fauds.tables import store
from fauds.tables.atomic import atomic
from fauds.tables.frames import read_keyed, split_groups, subjects_known
from fauds.tables.paths import FACES, FRAMES

FLAGS = ("outside", "eyes_crossed", "jump")

_WIDTH, _TALLEST = 2000, 60_000
_MARGIN, _GAP, _NAME = 24, 8, 208
_BIG, _MIDDLE, _SMALL = 26, 18, 14
_PAPER: RGB = (255, 255, 255)
_INK: RGB = (26, 26, 26)
_GREY: RGB = (110, 110, 110)
_RED: RGB = (200, 24, 32)
_FLAGGED = 2
_QUALITY = 90
_SUFFIXES = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True)
class _Crop:
    """A face crop to show on a contact sheet.

    Attributes:
        path: the path of the crop relative to the dataset's folder.
        name: the task and the frame number, or the key, for the text below the crop.
        flags: the warnings about the crop, in words, such as "eyes crossed"; see `FLAGS`.
        eyes: the centres of both eyes in pixels of the crop, [2, 2], x then y; None if not known.
    """

    path: str
    name: str
    flags: tuple[str, ...]
    eyes: np.ndarray | None


@dataclass(frozen=True)
class _SheetRow:
    """The row of a contact sheet that shows one subject.

    Attributes:
        subject: the subject's id; the part of the release's own split if subjects are unknown.
        frames: the number of the subject's frames.
        lost: for each reason, the number of frames that have no crop for this reason.
        cropped: the number of frames that have a crop.
        crops: the crops to show.
    """

    subject: str
    frames: int
    lost: Counter[str]
    cropped: int
    crops: list[_Crop]


def draw_face_sheet(folder: Path, path: Path, *, per_subject: int = 8) -> None:
    """Write a contact sheet of a dataset's face crops, one row per subject.

    A row says how many frames have a crop, and shows crops spread over the subject's frames. They
    are followed by at most two crops with a warning (see `FLAGS`), if possible with two different
    warnings; the names of crops with a warning are red. Small crosses mark the eye centres that
    were used for alignment.

    Args:
        folder: the dataset's folder, with frames.parquet, faces.parquet and the crops.
        path: the file to write, ``.jpg`` or ``.png``; it is 2000 pixels wide.
        per_subject: the number of crops spread over a subject's frames, 1 to 24.

    Raises:
        UsageError: the file has another suffix, or `per_subject` is out of range.
        DataError: a table or a crop is missing or damaged, or the file cannot be written.
    """
    check_sheet_name(path)
    if not 1 <= per_subject <= 24:
        raise UsageError(
            f"The number of crops per subject must be from 1 to 24, not {per_subject}.",
            where="per_subject",
            hint="choose a number from 1 to 24",
        )
    rows = _rows(folder, per_subject)
    sheet = _draw(folder, rows, per_subject + _FLAGGED, _title(folder, rows))
    settings = [] if path.suffix.lower() == ".png" else [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    encoded = cv2.imencode(path.suffix, cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR), settings)[1]
    with atomic(path) as temporary:
        temporary.write_bytes(encoded.tobytes())


def check_sheet_name(path: Path) -> None:
    """Check that the file name of a contact sheet ends in .jpg, .jpeg or .png.

    Raises:
        UsageError: the name has another suffix.
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise UsageError(
            f"A contact sheet cannot be written as {path.name}: it must be a JPEG or PNG file.",
            where=path,
            hint="choose a name that ends in .jpg or .png",
        )


def _title(folder: Path, rows: Sequence[_SheetRow]) -> tuple[str, str]:
    meta = store.read_meta(folder / FACES)
    alignment = "{name}, version {version}".format(**meta["settings"])
    frames, cropped = (sum(getattr(row, name) for row in rows) for name in ("frames", "cropped"))
    lost = sum((row.lost for row in rows), Counter())
    synthetic = ", synthetic" if meta.get("synthetic") else ""
    known = subjects_known(store.read_table(folder / FRAMES, ["subject"]))
    people = f"{len(rows)} subjects" if known else "subjects not known"
    return (
        f"{meta['dataset']}{synthetic}: faces aligned by {alignment}",
        "  ·  ".join(
            [
                people,
                f"{frames:,} frames",
                f"{cropped:,} with a face",
                *(f"{status} {count:,}" for status, count in lost.most_common()),
            ]
        ),
    )


def _rows(folder: Path, per_subject: int) -> list[_SheetRow]:
    frames = read_keyed(folder / FRAMES, ["frame_id", "subject", "task", "frame"])
    columns = ["frame_id", "path", "status", "transform", "eyes", *FLAGS]
    faces = store.read_table(folder / FACES, columns)
    if not frames["frame_id"].equals(faces["frame_id"]):
        raise DataError(
            "faces.parquet and frames.parquet list different frames.",
            where=folder,
            hint="run fauds prepare again",
        )
    faces = faces.drop_columns("frame_id")
    for name in ("key", "task", "frame"):
        faces = faces.append_column(name, frames[name])
    faces = faces.append_column("subject", pa.array(split_groups(frames)))
    subjects = faces["subject"].unique().to_pylist()
    return [
        _row(subject, faces.filter(pc.equal(faces["subject"], subject)), per_subject)
        for subject in subjects
    ]


def _row(subject: str, faces: pa.Table, per_subject: int) -> _SheetRow:
    cropped = faces.filter(pc.is_valid(faces["path"]))
    without = faces.filter(pc.is_null(faces["path"]))
    counts = pc.value_counts(without["status"].cast(pa.string())).to_pylist()
    shown = cropped.take(_chosen(cropped, per_subject))
    return _SheetRow(
        subject=subject,
        frames=len(faces),
        lost=Counter({count["values"]: count["counts"] for count in counts}),
        cropped=len(cropped),
        crops=[_crop(row) for row in shown.to_pylist()],
    )


def _chosen(cropped: pa.Table, per_subject: int) -> pa.Array:
    """Return which crops of a subject to show: first evenly spread crops, then some with warnings.

    Args:
        cropped: the rows of faces.parquet for the subject's frames that have a crop.
        per_subject: the number of evenly spread crops.

    Returns:
        Row numbers in `cropped`, int64.
    """
    places = np.linspace(0, max(len(cropped) - 1, 0), min(per_subject, len(cropped)))
    spread = [round(place) for place in places.tolist()]
    flagged = [pc.indices_nonzero(cropped[flag].fill_null(False)).to_pylist() for flag in FLAGS]
    # Take one crop of each flag before a second one of any flag.
    queue = [rows[turn] for turn in range(_FLAGGED) for rows in flagged if len(rows) > turn]
    extra = [at for at in dict.fromkeys(queue) if at not in spread]
    return pa.array(spread + extra[:_FLAGGED], pa.int64())


def _crop(row: dict[str, Any]) -> _Crop:
    name = row["key"] if row["frame"] is None else f"{row['task']} {row['frame']}".strip()
    flags = tuple(flag.replace("_", " ") for flag in FLAGS if row[flag])
    eyes = None
    if row["eyes"] is not None and row["transform"] is not None:
        transform = np.reshape(row["transform"], (2, 3))
        eyes = np.reshape(row["eyes"], (2, 2)) @ transform[:, :2].T + transform[:, 2]
    return _Crop(row["path"], name, flags, eyes)


def _draw(
    folder: Path, rows: Sequence[_SheetRow], columns: int, title: tuple[str, str]
) -> np.ndarray:
    """Return the contact sheet as an image, uint8 [height, 2000, 3] RGB.

    Args:
        folder: the dataset's folder.
        rows: one row per subject.
        columns: the number of crops for which a row has space.
        title: the two lines above the rows.
    """
    below = line_height(_SMALL) + _GAP
    top = _MARGIN + line_height(_BIG) + line_height(_MIDDLE) + 2 * _GAP
    widest = (_WIDTH - 2 * _MARGIN - _NAME) // columns - _GAP
    # A JPEG has at most 65,535 rows of pixels: many hundreds of subjects need smaller crops.
    cell = max(16, min(widest, (_TALLEST - top) // max(len(rows), 1) - below))
    step = max(cell + below, 3 * line_height(_SMALL) + line_height(_MIDDLE) + _GAP)
    board = Board(_WIDTH, top + max(len(rows), 1) * step + _MARGIN, _PAPER)
    width = _WIDTH - 2 * _MARGIN
    board.write(shorten(title[0], width, _BIG, True), _MARGIN, _MARGIN, _BIG, _INK, bold=True)
    under = _MARGIN + line_height(_BIG)
    board.write(shorten(title[1], width, _MIDDLE), _MARGIN, under, _MIDDLE, _GREY)
    for at, row in enumerate(rows):
        y = top + at * step
        _draw_counts(board, row, y, (step - line_height(_MIDDLE)) // line_height(_SMALL))
        for place, crop in enumerate(row.crops):
            _draw_crop(board, folder, crop, _MARGIN + _NAME + place * (cell + _GAP), y, cell)
    return board.pixels()


def _draw_counts(board: Board, row: _SheetRow, y: int, most: int) -> None:
    width = _NAME - 2 * _GAP
    board.write(shorten(row.subject, width, _MIDDLE, True), _MARGIN, y, _MIDDLE, _INK, bold=True)
    lines = [(f"{row.cropped:,} of {row.frames:,} frames", _GREY)]
    for status, count in row.lost.most_common():
        colour = _GREY if status == "excluded" else _RED
        lines += [(line, colour) for line in wrap(f"{status}: {count:,}", width, _SMALL)]
    y += line_height(_MIDDLE)
    for at, (line, colour) in enumerate(lines[:most]):
        board.write(line, _MARGIN, y + at * line_height(_SMALL), _SMALL, colour)


def _draw_crop(board: Board, folder: Path, crop: _Crop, x: int, y: int, cell: int) -> None:
    path = folder / crop.path
    try:
        image = decode(path.read_bytes(), path)
    except OSError as error:
        raise DataError(
            f"A face crop cannot be read: {error.strerror}.",
            where=path,
            hint="run fauds prepare again",
        ) from error
    height, width = image.shape[:2]
    scale = cell / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    board.paste(cv2.resize(image, size, interpolation=method), x, y)
    for eye in () if crop.eyes is None else crop.eyes:
        at = (eye + 0.5) * scale - 0.5
        if (at >= 0).all() and (at < size).all():
            board.cross(x + round(at[0]), y + round(at[1]), max(3, cell // 40), FACE_COLOURS[0])
    text, colour = " · ".join([*crop.flags, crop.name]), _RED if crop.flags else _GREY
    board.write(shorten(text, cell, _SMALL), x, y + cell + 1, _SMALL, colour)
