"""From frames to distinct phrases: codes, never a loop over frames."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fauds.captions.templates import STATES, SUBJECTS, Templates
from fauds.columns import category, from_numpy, from_strings, to_numpy
from fauds.errors import DataError

NOTHING = "none"


@dataclass(frozen=True)
class Phrase:
    """One distinct description.

    Attributes:
        scope: "local" or "global".
        au: the action unit, None for global.
        state: "inactive" or "active"; for global `combination_state`.
        text: the description.
        frames: number of frames that have it.
    """

    scope: str
    au: str | None
    state: str
    text: str
    frames: int


def combination_state(sex: str, aus: Sequence[str]) -> str:
    """Return a global phrase's state, sex and active AUs: ``F:AU01+AU02``, ``unknown:none``."""
    return f"{sex}:{'+'.join(aus) or NOTHING}"


def local_phrases(
    frames: pa.Table, au: str, templates: Templates
) -> tuple[list[Phrase], pa.DictionaryArray]:
    """Return an action unit's phrases, one a state, and every frame's, null where not coded."""
    values, null = occurrence(frames, au)
    counts = np.bincount(values[~null], minlength=len(STATES))
    texts = [templates.local(au, state) for state in STATES]
    phrases = [
        Phrase("local", au, state, text, int(count))
        for state, text, count in zip(STATES, texts, counts, strict=True)
    ]
    return phrases, _encode(values, null, texts)


def global_phrases(
    frames: pa.Table, aus: Sequence[str], templates: Templates
) -> tuple[list[Phrase], pa.DictionaryArray]:
    """Return the distinct face phrases of the frames, and every frame's.

    A frame's is null where any of `aus` is. The order is by sex, then by combination read as
    a binary number.
    """
    codes = _sexes(frames) << len(aus)
    null = np.zeros(len(frames), bool)
    for bit, au in enumerate(aus):
        values, missing = occurrence(frames, au)
        codes |= values.astype(np.int64) << bit
        null |= missing
    used, inverse, counts = np.unique(codes[~null], return_inverse=True, return_counts=True)
    phrases = []
    for code, count in zip(used.tolist(), counts.tolist(), strict=True):
        sex = SUBJECTS[code >> len(aus)]
        active = [au for bit, au in enumerate(aus) if code >> bit & 1]
        text = templates.face(active, sex)
        phrases.append(Phrase("global", None, combination_state(sex, active), text, count))
    indices = np.zeros(len(frames), np.int32)
    indices[~null] = inverse
    return phrases, _encode(indices, null, [phrase.text for phrase in phrases])


def occurrence(frames: pa.Table, au: str) -> tuple[np.ndarray, np.ndarray]:
    """Return an action unit's occurrence [frames] as 0 and 1 (0 where null), and where null.

    Raises:
        DataError: the frames do not have it, or hold other values.
    """
    column = column_of(frames, au).cast(pa.int8())
    null = to_numpy(column.is_null().cast(pa.int8())).astype(bool)
    values = to_numpy(column.fill_null(_scalar(0, pa.int8())))
    wrong = (values != 0) & (values != 1)
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(
            f"{au} is {values[row]}: an occurrence is 0, 1 or null.",
            where=f"frames table, row {row}",
            hint="build the frames again from the raw labels",
        )
    return values, null


def column_of(frames: pa.Table, name: str) -> pa.ChunkedArray:
    """Return a column of the frames.

    Raises:
        DataError: they do not have it.
    """
    if name not in frames.column_names:
        raise DataError(
            f"The frames have no {name}.",
            where="frames table",
            hint="read labels that code it, or ask for captions of fewer action units"
            if name.startswith("AU")
            else "a frames table has frame_id, sex and a column for every action unit",
        )
    return frames[name]


def _sexes(frames: pa.Table) -> np.ndarray:
    """Return every frame's position in SUBJECTS."""
    column = column_of(frames, "sex").cast(pa.string())
    known = pc.index_in(column, value_set=from_strings(SUBJECTS))
    strange = pc.and_(pc.is_valid(column), pc.is_null(known))
    if pc.any(strange).as_py():
        row = pc.index(strange, True).as_py()
        raise DataError(
            f"A sex is {column[row].as_py()!r}: it is F, M or null.",
            where=f"frames table, row {row}",
            hint="mend the table of sexes and build the frames again",
        )
    unknown = _scalar(SUBJECTS.index("unknown"), pa.int32())
    return to_numpy(known.fill_null(unknown)).astype(np.int64)


def _scalar(value: int, kind: pa.DataType) -> pa.Scalar:
    """Return an Arrow scalar; unlike `pyarrow.scalar` this does not load pandas."""
    return from_numpy(np.array([value]), kind)[0]


def _encode(indices: np.ndarray, null: np.ndarray, texts: Sequence[str]) -> pa.DictionaryArray:
    return category(np.where(null, -1, indices), texts)
