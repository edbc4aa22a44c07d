"""Gathers the descriptions of one action unit, or the labels and captions of one frame."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fauds.captions.caption_tables import BuiltCaptions, row_at
from fauds.captions.templates import load, subject
from fauds.datasets.base import natural
from fauds.errors import DataError, UsageError
from fauds.facs import STATES, au_name, facts, intensity_column
from fauds.tables.columns import from_numpy, to_numpy

_FORMS = "write an action unit as AU12, and a frame as F001/T1/2440 (BP4D) or SN001/17 (DISFA)"
_NEAREST = 6
_BEYOND = 2**31
"""A number above all frame numbers, which are int32."""


@dataclass(frozen=True)
class AuSheet:
    """The FACS facts and the descriptions of an action unit.

    Attributes:
        au: the action unit's canonical name.
        facts: what FACS says about the action unit, such as its name; see `fauds.facs.facts`.
        language: the code of the descriptions' language, such as "en".
        texts: all paraphrases of the action unit's description, by state ("inactive", "active",
            "A" to "E").
        face: the description of a face on which only this action unit is active.
    """

    au: str
    facts: dict[str, Any]
    language: str
    texts: dict[str, tuple[str, ...]]
    face: str


@dataclass(frozen=True)
class AuOnFrame:
    """The labels and the description of one action unit on one frame.

    Attributes:
        au: the action unit's canonical name.
        occurs: whether the action unit occurs; None if not coded.
        intensity: the action unit's intensity, 0 to 5; None if not coded.
        text: the description of the action unit; None if its occurrence is not coded.
    """

    au: str
    occurs: bool | None
    intensity: int | None
    text: str | None


@dataclass(frozen=True)
class FrameSheet:
    """The labels and captions of one frame.

    Attributes:
        dataset: the dataset's name.
        key: the frame's subject, task and number, such as F001/T1/2440, or SN001/17 without tasks.
        sex: the subject's sex, "F" or "M"; None if not known.
        aus: the labels and descriptions of the frame's action units, in FACS order.
        face: the description of the whole face; None if any action unit is not coded.
        image: the path of the frame's image according to the frames table; None if it has no image.
        synthetic: whether the frame is synthetic.
    """

    dataset: str
    key: str
    sex: str | None
    aus: tuple[AuOnFrame, ...]
    face: str | None
    image: Path | None
    synthetic: bool


def au_sheet(
    au: int | str, language: str = "en", templates: Path | None = None, sex: str | None = None
) -> AuSheet:
    """Return the facts and descriptions of an action unit.

    Args:
        au: the action unit, in any common spelling.
        language: the language's code, such as "en".
        templates: a folder whose files override the shipped templates.
        sex: the subject's sex in the description of the face, "F" or "M"; None if not known.

    Raises:
        UsageError: the action unit, the sex or the language is unknown.
        DataError: the templates are broken.
    """
    try:
        name = au_name(au)
    except UsageError as error:
        raise UsageError(error.what, hint=f"{_FORMS}; {error.hint}") from None
    loaded = load(language, templates)
    texts = {
        state: tuple(loaded.local(name, state, at) for at in range(len(loaded.states(name)[state])))
        for state in STATES
        if state in loaded.states(name)
    }
    face = loaded.face([name], subject(sex))
    return AuSheet(name, facts()[name], language, texts, face)


def find_frame(built: BuiltCaptions, key: str) -> FrameSheet:
    """Return the labels and captions of a frame.

    Args:
        built: the caption tables.
        key: the frame's subject, task and number, such as F001/T1/2440, or SN001/17 in a dataset
            without tasks.

    Raises:
        UsageError: the key is malformed, or the frame does not exist; the hint then lists existing
            subjects, tasks or frames.
    """
    parts = key.strip().split("/")
    if len(parts) not in (2, 3) or not parts[-1].isdecimal() or not all(parts):
        raise UsageError(f"{key!r} is not a frame key.", hint=_FORMS)
    number, names = _number(parts[-1]), (parts[0], "".join(parts[1:-1]))
    # Names of published datasets are in capitals, and users may write them in small letters.
    for subject_name, task in dict.fromkeys((names, (names[0].upper(), names[1].upper()))):
        search = _FrameSearch(subject_name, task)
        row = 0
        for part in built.read(["subject", "task", "frame"], []):
            row_in_part = search.find(part, number)
            if row_in_part is not None:
                return _sheet(built, row + row_in_part)
            row += len(part)
    search.raise_not_found(key, number)


def _number(digits: str) -> int:
    """Convert digits to a frame number; return `_BEYOND` if it is above all frame numbers."""
    # Python refuses to convert numbers of thousands of digits.
    return min(int(digits.lstrip("0")[:11] or "0"), _BEYOND)


def first_frame(built: BuiltCaptions) -> FrameSheet:
    """Return the labels and captions of the first frame that is a good example.

    A good example has a description of the whole face and at least one active action unit. If no
    frame has both, the first frame with a description of the whole face is returned, or else the
    first frame of all.

    Raises:
        DataError: the frames table has no rows.
    """
    row, described = 0, None
    for part in built.read(built.aus, ["face"]):
        has_text = to_numpy(pc.is_valid(part["face_text"]).cast(pa.int8())) == 1
        zero = from_numpy(np.zeros(1), pa.int8())[0]
        highest = pc.coalesce(pc.max_element_wise(*(part[au] for au in built.aus)), zero)
        both = np.flatnonzero(has_text & (to_numpy(highest) == 1))
        if len(both):
            return _sheet(built, row + int(both[0]))
        if described is None and has_text.any():
            described = row + int(has_text.argmax())
        row += len(part)
    if not row:
        raise DataError(
            "The frames table has no rows.",
            where=built.path("frames"),
            hint="build the frames again from the raw labels",
        )
    return _sheet(built, described or 0)


class _FrameSearch:
    """Searches a frames table, piece by piece, for frames of one subject and task.

    The search also collects the existing subjects, tasks and frame numbers, for the hint of an
    error.

    Args:
        subject_name: the name of the subject.
        task: the name of the task; empty in a dataset without tasks.
    """

    def __init__(self, subject_name: str, task: str) -> None:
        self._subject, self._task = subject_name, task
        self._subjects: set[str] = set()
        self._tasks: set[str] = set()
        self._frames: list[np.ndarray] = []

    def find(self, part: pa.Table, number: int) -> int | None:
        """Return the row of the frame with this number in a piece of the frames table.

        Args:
            part: some rows of the table, with the columns subject, task and frame.
            number: the frame number.

        Returns:
            The index of the row within `part`; None if the frame is not in these rows.
        """
        of_subject, subjects = _rows_with(part["subject"], self._subject)
        self._subjects |= subjects
        if not of_subject.any():
            return None
        of_task, tasks = _rows_with(part["task"].filter(_mask(of_subject)), self._task)
        self._tasks |= tasks
        rows = np.flatnonzero(of_subject)[of_task]
        numbers = to_numpy(part["frame"])[rows].astype(np.int64)
        self._frames.append(numbers)
        matches = rows[numbers == number]
        return int(matches[0]) if len(matches) else None

    def raise_not_found(self, key: str, number: int) -> NoReturn:
        """Raise an error for a frame that does not exist, with a hint about existing frames.

        Args:
            key: the frame's subject, task and number as the user wrote them.
            number: the frame number.
        """
        message = f"There is no frame {key}."
        if not self._tasks:
            raise UsageError(message, hint=f"choose from the subjects: {_listed(self._subjects)}")
        frames = np.sort(np.concatenate(self._frames))
        if not len(frames) and self._tasks == {""}:
            raise UsageError(
                message,
                hint=f"{self._subject} has no tasks: use {self._subject}/{_last(key)}",
            )
        if not len(frames):
            raise UsageError(
                message,
                hint=f"choose from the tasks of {self._subject}: {_listed(self._tasks)}",
            )
        nearest = np.sort(frames[np.argsort(np.abs(frames - number), kind="stable")[:_NEAREST]])
        raise UsageError(
            message,
            hint=f"{len(frames):,} frames from {frames[0]} to {frames[-1]} are coded; choose from "
            f"the nearest: {', '.join(map(str, nearest))}",
        )


def _rows_with(column: pa.ChunkedArray, name: str) -> tuple[np.ndarray, set[str]]:
    """Return in which rows a dictionary column holds a name, and all names that it holds.

    Returns:
        A mask, bool [rows], True where the value is `name`; and the set of all values.
    """
    whole = column.combine_chunks()
    names = whole.dictionary.to_pylist()
    codes = to_numpy(pa.chunked_array([whole.indices]))
    code = names.index(name) if name in names else -1
    return codes == code, {names[at] for at in np.unique(codes)}


def _mask(values: np.ndarray) -> pa.Array:
    return from_numpy(values, pa.int8()).cast(pa.bool_())


def _last(key: str) -> str:
    return key.strip().rpartition("/")[2]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names, key=natural))


def _sheet(built: BuiltCaptions, row: int) -> FrameSheet:
    frame = row_at(built.path("frames"), row)
    texts = row_at(built.path("captions"), row)
    key = "/".join(str(frame[name]) for name in ("subject", "task", "frame") if frame[name] != "")
    return FrameSheet(
        dataset=built.dataset,
        key=key,
        sex=frame["sex"],
        aus=tuple(_au_on_frame(au, frame, texts) for au in built.aus),
        face=texts["face"],
        image=None if frame["image"] is None else built.image_root / frame["image"],
        synthetic=built.synthetic,
    )


def _au_on_frame(au: str, frame: dict[str, Any], texts: dict[str, Any]) -> AuOnFrame:
    occurs = None if frame[au] is None else bool(frame[au])
    return AuOnFrame(au, occurs, frame.get(intensity_column(au)), texts[au])
