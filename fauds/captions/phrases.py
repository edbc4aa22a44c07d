"""Finds the distinct descriptions (phrases) of a table's frames, and which one each frame has.

Frames are processed as arrays, without a loop over frames.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fauds.captions.templates import SUBJECT_WORDS, Templates
from fauds.errors import DataError
from fauds.facs import INTENSITIES, intensity_column
from fauds.tables.columns import category, from_numpy, from_strings, to_numpy

NOTHING = "none"


@dataclass(frozen=True)
class Phrase:
    """One distinct description of an action unit or of a whole face.

    Attributes:
        scope: "local" (describes one action unit) or "global" (describes a whole face).
        au: the name of the action unit; None for a global description.
        state: for a local description, "inactive", "active" or a degree ("A" to "E"); for a global
            one, the sex and the active action units, as `combination_state` returns them.
        variant: the number of the paraphrase, from 0.
        text: the text of the description.
        frames: the number of frames that have this description.
    """

    scope: str
    au: str | None
    state: str
    variant: int
    text: str
    frames: int


def combination_state(sex: str, aus: Sequence[str]) -> str:
    """Return a text that identifies the sex and the active AUs of a face's description.

    It is, for example, ``F:AU01+AU02`` for a woman with active AU01 and AU02, or ``unknown:none``
    for a subject of unknown sex without active AUs.
    """
    return f"{sex}:{'+'.join(aus) or NOTHING}"


class LocalPhrases:
    """The descriptions of one action unit, one per state and paraphrase, with frame counts.

    Args:
        au: the action unit's canonical name.
        templates: the language's templates.
        states: the states to describe: all of `fauds.facs.STATES`, or only the first two (inactive
            and active) for descriptions without degrees (intensities A to E).
        variants: the number of paraphrases of each state.
        from_intensity: whether the benchmark derives occurrence from intensity by a threshold
            (DISFA). If False, occurrence is coded separately from intensity (BP4D), and an AU that
            does not occur is described without a degree.

    Raises:
        DataError: two texts of the action unit are equal.
    """

    def __init__(
        self,
        au: str,
        templates: Templates,
        states: Sequence[str],
        variants: int,
        from_intensity: bool = False,
    ) -> None:
        self._au, self._variants, self._from_intensity = au, variants, from_intensity
        self._names = [(state, variant) for state in states for variant in range(variants)]
        self._degrees = len(states) > 2
        self._texts = [templates.local(au, state, variant) for state, variant in self._names]
        self._counts = np.zeros(len(self._texts), np.int64)
        for number, text in enumerate(self._texts):
            if text in self._texts[:number]:
                first, second = self._names[self._texts.index(text)], self._names[number]
                raise DataError(
                    f"{au} has the same text in state {first[0]} (paraphrase {first[1] + 1}) and "
                    f"in state {second[0]} (paraphrase {second[1] + 1}): {text!r}.",
                    where=f"templates, {au}",
                    hint="write different texts; fauds captions lint lists equal texts",
                )

    def column(self, frames: pa.Table, variant: np.ndarray) -> pa.DictionaryArray:
        """Return the action unit's description in each frame, and update the frame counts.

        Args:
            frames: some rows of the frames table.
            variant: the number of the paraphrase of each frame, int64 [frames].

        Returns:
            The descriptions, one per frame; null where the action unit is not coded.
        """
        states, null = self._states(frames)
        codes = states.astype(np.int64) * self._variants + variant
        self._counts += np.bincount(codes[~null], minlength=len(self._texts))
        return _encode(codes, null, self._texts)

    def phrases(self) -> list[Phrase]:
        """Return the action unit's descriptions, sorted by state and paraphrase, with frame counts.

        Descriptions that no frame has are included, with a count of 0.
        """
        rows = zip(self._names, self._texts, self._counts.tolist(), strict=True)
        return [Phrase("local", self._au, *name, text, count) for name, text, count in rows]

    def _states(self, frames: pa.Table) -> tuple[np.ndarray, np.ndarray]:
        """Return the action unit's state in each frame, and in which frames it is not coded.

        Returns:
            The index of the state in `fauds.facs.STATES` (0 if not coded), an integer array
            [frames]; and a mask, bool [frames], True where not coded.
        """
        occurs, null = occurrence(frames, self._au)
        name = intensity_column(self._au)
        if not self._degrees or name not in frames.column_names:
            return occurs, null
        intensity, _ = _values(frames, name, len(INTENSITIES), "intensities must be 0 to 5 or null")
        has_degree = (intensity > 0) if self._from_intensity else (intensity > 0) & (occurs == 1)
        return np.where(has_degree, intensity + 1, occurs), null


class FacePhrases:
    """The descriptions of whole faces that some frames have, and how many frames have each.

    Args:
        aus: the canonical names of the action units, at most 40.
        templates: the language's templates.
        variants: the number of paraphrases of each description.
    """

    def __init__(self, aus: Sequence[str], templates: Templates, variants: int) -> None:
        self._aus, self._templates, self._variants = aus, templates, variants
        self._texts: dict[int, str] = {}
        self._counts: dict[str, dict[int, int]] = {}

    def column(self, frames: pa.Table, variant: np.ndarray) -> pa.DictionaryArray:
        """Return the description of the face in each frame, and update the frame counts.

        Args:
            frames: some rows of the frames table.
            variant: the number of the paraphrase of each frame, int64 [frames].

        Returns:
            The descriptions, one per frame; null where any action unit is not coded.
        """
        keys = (_sexes(frames) * self._variants + variant) << len(self._aus)
        null = np.zeros(len(frames), bool)
        for bit, au in enumerate(self._aus):
            values, missing = occurrence(frames, au)
            keys |= values.astype(np.int64) << bit
            null |= missing
        distinct, inverse, counts = np.unique(keys[~null], return_inverse=True, return_counts=True)
        numbers_of_texts: dict[str, int] = {}
        text_numbers = np.empty(len(distinct), np.int32)
        for number, (key, count) in enumerate(zip(distinct.tolist(), counts.tolist(), strict=True)):
            text = self._text(key)
            text_numbers[number] = numbers_of_texts.setdefault(text, len(numbers_of_texts))
            self._counts[text][key] = self._counts[text].get(key, 0) + count
        indices = np.zeros(len(frames), np.int32)
        indices[~null] = text_numbers[inverse]
        return _encode(indices, null, list(numbers_of_texts))

    def phrases(self) -> list[Phrase]:
        """Return the descriptions that at least one frame so far has, with their frame counts.

        The descriptions are sorted by sex, then paraphrase, then combination of active action
        units. A combination is read as a binary number, whose lowest bit is the first action unit.
        """
        first_keys = sorted((min(keys), text) for text, keys in self._counts.items())
        return [
            Phrase(
                "global",
                None,
                combination_state(self._sex(key), self._active(key)),
                self._variant(key),
                text,
                sum(self._counts[text].values()),
            )
            for key, text in first_keys
        ]

    def _text(self, key: int) -> str:
        if key not in self._texts:
            active = self._active(key)
            text = self._templates.face(active, self._sex(key), self._variant(key))
            # Two sexes or paraphrases may share a text, but not two combinations.
            for other in self._counts.setdefault(text, {}):
                if self._active(other) != active:
                    raise DataError(
                        "Faces with different active action units "
                        f"({'+'.join(self._active(other)) or NOTHING} and "
                        f"{'+'.join(active) or NOTHING}) have the same text: {text!r}.",
                        where=self._templates.files["global.yaml"].path,
                        hint="write different texts; fauds captions lint lists equal texts",
                    )
            self._texts[key] = text
        return self._texts[key]

    def _active(self, key: int) -> list[str]:
        return [au for bit, au in enumerate(self._aus) if key >> bit & 1]

    def _sex(self, key: int) -> str:
        return SUBJECT_WORDS[(key >> len(self._aus)) // self._variants]

    def _variant(self, key: int) -> int:
        return (key >> len(self._aus)) % self._variants


def occurrence(frames: pa.Table, au: str) -> tuple[np.ndarray, np.ndarray]:
    """Return whether an action unit occurs in each frame, and in which frames it is not coded.

    Returns:
        The occurrence, int8 [frames], 1 or 0 (0 where not coded); and a mask, bool [frames], True
        where not coded.

    Raises:
        DataError: the table lacks the action unit's column, or the column holds other values than
            0, 1 and null.
    """
    return _values(frames, au, 1, "occurrences must be 0, 1 or null")


def _values(frames: pa.Table, name: str, most: int, rule: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the values of an integer column, and which of them are null.

    Args:
        frames: some rows of the frames table.
        name: the name of the column.
        most: the highest valid value; the lowest is 0.
        rule: a clause for the error message that says which values are valid.

    Returns:
        The values, int8 [frames] (0 where null); and a mask, bool [frames], True where null.

    Raises:
        DataError: the table lacks the column, or a value is invalid.
    """
    column = column_of(frames, name).cast(pa.int8())
    null = to_numpy(column.is_null().cast(pa.int8())).astype(bool)
    values = to_numpy(column.fill_null(_scalar(0, pa.int8())))
    invalid = (values < 0) | (values > most)
    if invalid.any():
        row = int(invalid.argmax())
        raise DataError(
            f"{name} is {values[row]}, but {rule}.",
            where=f"frames table, row {row}",
            hint="build the frames again from the raw labels",
        )
    return values, null


def column_of(frames: pa.Table, name: str) -> pa.ChunkedArray:
    """Return the column of a frames table that has this name.

    Raises:
        DataError: the table lacks the column.
    """
    if name not in frames.column_names:
        raise DataError(
            f"The frames table has no column {name}.",
            where="frames table",
            hint="read labels that code this action unit, or build captions without it"
            if name.startswith("AU")
            else "add the column: captions need frame_id, sex and a column for every action unit",
        )
    return frames[name]


def _sexes(frames: pa.Table) -> np.ndarray:
    """Return the sex of each frame's subject as its index in `SUBJECT_WORDS`, int64 [frames].

    Raises:
        DataError: the table lacks the column sex, or a sex is not F, M or null.
    """
    column = column_of(frames, "sex").cast(pa.string())
    indices = pc.index_in(column, value_set=from_strings(SUBJECT_WORDS))
    invalid = pc.and_(pc.is_valid(column), pc.is_null(indices))
    if pc.any(invalid).as_py():
        row = pc.index(invalid, True).as_py()
        raise DataError(
            f"The sex is {column[row].as_py()!r}, but must be F, M or null.",
            where=f"frames table, row {row}",
            hint="correct the table of sexes, then build the frames again",
        )
    unknown = _scalar(SUBJECT_WORDS.index("unknown"), pa.int32())
    return to_numpy(indices.fill_null(unknown)).astype(np.int64)


def _scalar(value: int, kind: pa.DataType) -> pa.Scalar:
    """Return an integer as an Arrow scalar; `pyarrow.scalar` would import pandas."""
    return from_numpy(np.array([value]), kind)[0]


def _encode(indices: np.ndarray, null: np.ndarray, texts: Sequence[str]) -> pa.DictionaryArray:
    return category(np.where(null, -1, indices), texts)
