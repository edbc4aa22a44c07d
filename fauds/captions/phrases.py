"""From frames to distinct phrases: codes, never a loop over frames."""

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
    """One distinct description.

    Attributes:
        scope: "local" or "global".
        au: the action unit, None for global.
        state: "inactive", "active" or a degree; for global `combination_state`.
        variant: which paraphrase, from 0.
        text: the description.
        frames: number of frames that have it.
    """

    scope: str
    au: str | None
    state: str
    variant: int
    text: str
    frames: int


def combination_state(sex: str, aus: Sequence[str]) -> str:
    """Return a global phrase's state, sex and active AUs: ``F:AU01+AU02``, ``unknown:none``."""
    return f"{sex}:{'+'.join(aus) or NOTHING}"


class LocalPhrases:
    """One action unit's phrases, one a state and paraphrase, and the frames that have them.

    Args:
        au: canonical name.
        templates: the language's.
        states: of `fauds.facs.STATES`, the first two, or all with degrees.
        variants: paraphrases a state.
        from_intensity: whether occurrence was made from intensity by a threshold (DISFA); where
            it was coded apart from it (BP4D), an AU that does not occur has no degree.

    Raises:
        DataError: two of its texts are alike.
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
        for at, text in enumerate(self._texts):
            if text in self._texts[:at]:
                first, again = self._names[self._texts.index(text)], self._names[at]
                raise DataError(
                    f"{au} says the same in state {first[0]} (paraphrase {first[1] + 1}) and "
                    f"{again[0]} (paraphrase {again[1] + 1}): {text!r}.",
                    where=f"templates, {au}",
                    hint="every description tells its state; see fauds captions lint",
                )

    def column(self, frames: pa.Table, variant: np.ndarray) -> pa.DictionaryArray:
        """Return the frames' descriptions, null where not coded, and count them."""
        states, null = self._states(frames)
        codes = states.astype(np.int64) * self._variants + variant
        self._counts += np.bincount(codes[~null], minlength=len(self._texts))
        return _encode(codes, null, self._texts)

    def phrases(self) -> list[Phrase]:
        """Return all phrases, those that no frame has among them, by state and paraphrase."""
        rows = zip(self._names, self._texts, self._counts.tolist(), strict=True)
        return [Phrase("local", self._au, *name, text, count) for name, text, count in rows]

    def _states(self, frames: pa.Table) -> tuple[np.ndarray, np.ndarray]:
        """Return every frame's position in `fauds.facs.STATES` (0 where null), and where null."""
        occurs, null = occurrence(frames, self._au)
        name = intensity_column(self._au)
        if not self._degrees or name not in frames.column_names:
            return occurs, null
        intensity, _ = _values(frames, name, len(INTENSITIES), "an intensity is 0 to 5 or null")
        said = (intensity > 0) if self._from_intensity else (intensity > 0) & (occurs == 1)
        return np.where(said, intensity + 1, occurs), null


class FacePhrases:
    """Phrases of whole faces as frames have them, and those frames' number.

    Args:
        aus: canonical names, at most 40.
        templates: the language's.
        variants: how many paraphrases there are.
    """

    def __init__(self, aus: Sequence[str], templates: Templates, variants: int) -> None:
        self._aus, self._templates, self._variants = aus, templates, variants
        self._texts: dict[int, str] = {}
        self._counts: dict[str, dict[int, int]] = {}

    def column(self, frames: pa.Table, variant: np.ndarray) -> pa.DictionaryArray:
        """Return the frames' descriptions, null where any action unit is, and count them."""
        keys = (_sexes(frames) * self._variants + variant) << len(self._aus)
        null = np.zeros(len(frames), bool)
        for bit, au in enumerate(self._aus):
            values, missing = occurrence(frames, au)
            keys |= values.astype(np.int64) << bit
            null |= missing
        used, inverse, counts = np.unique(keys[~null], return_inverse=True, return_counts=True)
        places: dict[str, int] = {}
        at = np.empty(len(used), np.int32)
        for i, (key, count) in enumerate(zip(used.tolist(), counts.tolist(), strict=True)):
            text = self._text(key)
            at[i] = places.setdefault(text, len(places))
            self._counts[text][key] = self._counts[text].get(key, 0) + count
        indices = np.zeros(len(frames), np.int32)
        indices[~null] = at[inverse]
        return _encode(indices, null, list(places))

    def phrases(self) -> list[Phrase]:
        """Return the phrases that frames have, by sex, paraphrase and combination (binary)."""
        found = sorted((min(keys), text) for text, keys in self._counts.items())
        return [
            Phrase(
                "global",
                None,
                combination_state(self._sex(key), self._active(key)),
                self._variant(key),
                text,
                sum(self._counts[text].values()),
            )
            for key, text in found
        ]

    def _text(self, key: int) -> str:
        if key not in self._texts:
            active = self._active(key)
            text = self._templates.face(active, self._sex(key), self._variant(key))
            # Sexes and paraphrases may be said alike; combinations may not.
            for other in self._counts.setdefault(text, {}):
                if self._active(other) != active:
                    raise DataError(
                        f"{'+'.join(self._active(other)) or NOTHING} and "
                        f"{'+'.join(active) or NOTHING} are said alike: {text!r}.",
                        where=self._templates.files["global.yaml"].path,
                        hint="every combination needs a text of its own; see fauds captions lint",
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
    """Return an action unit's occurrence [frames] as 0 and 1 (0 where null), and where null.

    Raises:
        DataError: the frames do not have it, or hold other values.
    """
    return _values(frames, au, 1, "an occurrence is 0, 1 or null")


def _values(frames: pa.Table, name: str, most: int, rule: str) -> tuple[np.ndarray, np.ndarray]:
    """Return a column's values from 0 to `most` (0 where null), int8 [frames], and where null."""
    column = column_of(frames, name).cast(pa.int8())
    null = to_numpy(column.is_null().cast(pa.int8())).astype(bool)
    values = to_numpy(column.fill_null(_scalar(0, pa.int8())))
    wrong = (values < 0) | (values > most)
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(
            f"{name} is {values[row]}: {rule}.",
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
    known = pc.index_in(column, value_set=from_strings(SUBJECT_WORDS))
    strange = pc.and_(pc.is_valid(column), pc.is_null(known))
    if pc.any(strange).as_py():
        row = pc.index(strange, True).as_py()
        raise DataError(
            f"A sex is {column[row].as_py()!r}: it is F, M or null.",
            where=f"frames table, row {row}",
            hint="mend the table of sexes and build the frames again",
        )
    unknown = _scalar(SUBJECT_WORDS.index("unknown"), pa.int32())
    return to_numpy(known.fill_null(unknown)).astype(np.int64)


def _scalar(value: int, kind: pa.DataType) -> pa.Scalar:
    """Return an Arrow scalar; unlike `pyarrow.scalar` this does not load pandas."""
    return from_numpy(np.array([value]), kind)[0]


def _encode(indices: np.ndarray, null: np.ndarray, texts: Sequence[str]) -> pa.DictionaryArray:
    return category(np.where(null, -1, indices), texts)
