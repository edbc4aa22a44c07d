"""All that is said of one action unit, or of one frame, gathered to be shown."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fauds.captions.caption_tables import Built, row_at
from fauds.captions.templates import load, subject
from fauds.datasets.base import natural
from fauds.errors import DataError, UsageError
from fauds.facs import STATES, au_name, facts, intensity_column
from fauds.tables.columns import from_numpy, to_numpy

_FORMS = "an action unit is AU12; a frame is F001/T1/2440 (BP4D) or SN001/17 (DISFA)"
_NEAREST = 6
_BEYOND = 2**31
"""More than any frame's number, which is an int32."""


@dataclass(frozen=True)
class AuSheet:
    """An action unit: what FACS states of it, and what is said of it.

    Attributes:
        au: canonical name.
        facts: see `fauds.facs.facts`.
        language: of the texts.
        texts: by state, every paraphrase.
        face: what is said of a face on which it alone is active.
    """

    au: str
    facts: dict[str, Any]
    language: str
    texts: dict[str, tuple[str, ...]]
    face: str


@dataclass(frozen=True)
class AuOnFrame:
    """An action unit on a frame: labels None where not coded, `intensity` 0 to 5."""

    au: str
    occurs: bool | None
    intensity: int | None
    text: str | None


@dataclass(frozen=True)
class FrameSheet:
    """A frame: its labels, and what is said of it.

    Attributes:
        dataset: the dataset's name.
        key: F001/T1/2440, SN001/17.
        sex: "F", "M", or None where it is not known.
        aus: in FACS order.
        face: the global description, None where an action unit is not coded.
        image: where its image is said to be, None where it has none.
        synthetic: whether it is made up.
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
    """Return what is said of an action unit.

    Args:
        au: any common spelling.
        language: a language's code.
        templates: a folder whose files override the shipped templates.
        sex: "F", "M", or None: of the face with this action unit.

    Raises:
        UsageError: no such action unit, sex or language.
        DataError: the templates are broken.
    """
    try:
        name = au_name(au)
    except UsageError as error:
        raise UsageError(error.what, hint=f"{_FORMS}; {error.hint}") from None
    made = load(language, templates)
    texts = {
        state: tuple(made.local(name, state, at) for at in range(len(made.states(name)[state])))
        for state in STATES
        if state in made.states(name)
    }
    face = made.face([name], subject(sex))
    return AuSheet(name, facts()[name], language, texts, face)


def find_frame(built: Built, key: str) -> FrameSheet:
    """Return what is said of a frame.

    Args:
        built: the tables.
        key: F001/T1/2440, or SN001/17 where subjects have no tasks.

    Raises:
        UsageError: the key is none, or there is no such frame; says what there is.
    """
    parts = key.strip().split("/")
    if len(parts) not in (2, 3) or not parts[-1].isdecimal() or not all(parts):
        raise UsageError(f"{key!r} is not a frame.", hint=_FORMS)
    who, task, number = parts[0].upper(), "".join(parts[1:-1]).upper(), _number(parts[-1])
    seen = _FrameSelection(who, task)
    row = 0
    for part in built.read(["subject", "task", "frame"], []):
        at = seen.find(part, number)
        if at is not None:
            return _sheet(built, row + at)
        row += len(part)
    seen.refuse(key, number)


def _number(digits: str) -> int:
    """Return a frame's number; for all that no frame can have, `_BEYOND`."""
    # Python itself refuses to read numbers of thousands of digits.
    return min(int(digits.lstrip("0")[:11] or "0"), _BEYOND)


def first_frame(built: Built) -> FrameSheet:
    """Return the first frame that has a global description and something active.

    Where no frame has both, it is the first with a global description, else the first.

    Raises:
        DataError: there are no frames.
    """
    row, described = 0, None
    for part in built.read(built.aus, ["face"]):
        said = to_numpy(pc.is_valid(part["face_text"]).cast(pa.int8())) == 1
        zero = from_numpy(np.zeros(1), pa.int8())[0]
        most = pc.coalesce(pc.max_element_wise(*(part[au] for au in built.aus)), zero)
        both = np.flatnonzero(said & (to_numpy(most) == 1))
        if len(both):
            return _sheet(built, row + int(both[0]))
        if described is None and said.any():
            described = row + int(said.argmax())
        row += len(part)
    if not row:
        raise DataError("There are no frames.", where=built.path("frames"))
    return _sheet(built, described or 0)


class _FrameSelection:
    """Looks for a frame, and remembers what there is for the case that it is not."""

    def __init__(self, who: str, task: str) -> None:
        self._who, self._task = who, task
        self._subjects: set[str] = set()
        self._tasks: set[str] = set()
        self._frames: list[np.ndarray] = []

    def find(self, part: pa.Table, number: int) -> int | None:
        """Return the frame's row in this part; None where it is not there."""
        whose, subjects = _codes(part["subject"], self._who)
        self._subjects |= subjects
        if not whose.any():
            return None
        which, tasks = _codes(part["task"].filter(_mask(whose)), self._task)
        self._tasks |= tasks
        rows = np.flatnonzero(whose)[which]
        numbers = to_numpy(part["frame"])[rows].astype(np.int64)
        self._frames.append(numbers)
        found = rows[numbers == number]
        return int(found[0]) if len(found) else None

    def refuse(self, key: str, number: int) -> NoReturn:
        """Raise the error for a frame that was not found."""
        what = f"There is no frame {key}."
        if not self._tasks:
            raise UsageError(what, hint=f"subjects: {_listed(self._subjects)}")
        frames = np.sort(np.concatenate(self._frames))
        if not len(frames) and self._tasks == {""}:
            raise UsageError(what, hint=f"{self._who} has no tasks: {self._who}/{_last(key)}")
        if not len(frames):
            raise UsageError(what, hint=f"{self._who} has the tasks {_listed(self._tasks)}")
        near = np.sort(frames[np.argsort(np.abs(frames - number), kind="stable")[:_NEAREST]])
        raise UsageError(
            what,
            hint=f"{len(frames):,} frames from {frames[0]} to {frames[-1]} are coded there; "
            f"the nearest: {', '.join(map(str, near))}",
        )


def _codes(column: pa.ChunkedArray, name: str) -> tuple[np.ndarray, set[str]]:
    """Return where a dictionary column has a name, bool [N], and the names it has."""
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


def _sheet(built: Built, row: int) -> FrameSheet:
    frame = row_at(built.path("frames"), row)
    said = row_at(built.path("captions"), row)
    key = "/".join(str(frame[name]) for name in ("subject", "task", "frame") if frame[name] != "")
    return FrameSheet(
        dataset=built.dataset,
        key=key,
        sex=frame["sex"],
        aus=tuple(_on_frame(au, frame, said) for au in built.aus),
        face=said["face"],
        image=None if frame["image"] is None else built.image_root / frame["image"],
        synthetic=built.synthetic,
    )


def _on_frame(au: str, frame: dict[str, Any], said: dict[str, Any]) -> AuOnFrame:
    occurs = None if frame[au] is None else bool(frame[au])
    return AuOnFrame(au, occurs, frame.get(intensity_column(au)), said[au])
