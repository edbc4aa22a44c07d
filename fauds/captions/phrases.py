"""Finds the distinct descriptions (phrases) of a table's frames, and which one each frame has.

Frames are processed as arrays, without a loop over frames.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fauds.captions.templates import SUBJECT_WORDS, Templates
from fauds.captions.vocabulary import subsets
from fauds.errors import DataError
from fauds.facs import INTENSITIES, STATES, intensity_column
from fauds.tables.columns import category, from_numpy, from_strings, to_numpy

NOTHING = "none"
_LARGEST_TABLE = 1 << 20


@dataclass(frozen=True)
class Phrase:
    """One distinct description of an action unit or of a whole face.

    Attributes:
        scope: "local" (describes one action unit) or "global" (describes a whole face).
        au: the name of the action unit; None for a global description.
        state: for a local description, "inactive", "active" or a degree ("A" to "E"); for a global
            one, the sex and the active action units, as `combination_state` returns them.
        beside: for a local description in the composed style, the active neighbours that it
            mentions, such as ``AU06+AU15``, or "" if none; None for other descriptions.
        variant: the number of the paraphrase, from 0.
        text: the text of the description.
        frames: the number of frames that have this description.
    """

    scope: str
    au: str | None
    state: str
    beside: str | None
    variant: int
    text: str
    frames: int


def combination_state(
    sex: str, aus: Sequence[str], degrees: Mapping[str, str] = MappingProxyType({})
) -> str:
    """Return a text that identifies what a face's description says: sex, active AUs and degrees.

    It is, for example, ``F:AU01+AU02`` for a woman with active AU01 and AU02, or ``unknown:none``
    for a subject of unknown sex without active AUs. A degree follows its AU, as in
    ``F:AU01+AU12C``. AUs that have a degree but do not count as active are last, as in
    ``F:AU01:AU12A``.

    Args:
        sex: the sex, one of `SUBJECT_WORDS`.
        aus: the names of the active AUs.
        degrees: the degrees that the description gives, by AU.
    """
    active = "+".join(au + degrees.get(au, "") for au in aus) or NOTHING
    faint = "+".join(au + degree for au, degree in degrees.items() if au not in aus)
    return f"{sex}:{active}" + (f":{faint}" if faint else "")


def active_aus(state: str) -> tuple[str, ...]:
    """Return the names of the active AUs in a text that `combination_state` made."""
    names = state.split(":")[1]
    return () if names == NOTHING else tuple(name[:4] for name in names.split("+"))


@dataclass(frozen=True)
class AuStates:
    """The states of one action unit in some frames.

    Attributes:
        states: the index of the state in `fauds.facs.STATES` (0 if not coded), int8 [frames].
        occurs: whether the action unit occurs, bool [frames]; False if not coded.
        null: whether the action unit is not coded, bool [frames].
    """

    states: np.ndarray
    occurs: np.ndarray
    null: np.ndarray


def au_states(
    frames: pa.Table, au: str, *, degrees: bool = False, from_intensity: bool = False
) -> AuStates:
    """Return the states of an action unit in some frames.

    Args:
        frames: some rows of the frames table.
        au: the action unit's canonical name.
        degrees: whether states include degrees (intensities A to E).
        from_intensity: whether the benchmark derives occurrence from intensity by a threshold
            (DISFA). If False, occurrence is coded separately from intensity (BP4D), and an AU that
            does not occur has no degree.

    Raises:
        DataError: a column is missing or holds an invalid value.
    """
    occurs, null = occurrence(frames, au)
    name = intensity_column(au)
    states = occurs
    if degrees and name in frames.column_names:
        rule = "intensities must be 0 to 5 or null"
        intensity, _ = _values(frames, name, len(INTENSITIES), rule)
        has_degree = (intensity > 0) if from_intensity else (intensity > 0) & (occurs == 1)
        states = np.where(has_degree & ~null, intensity + 1, occurs).astype(np.int8)
    return AuStates(states, occurs == 1, null)


class LocalPhrases:
    """The descriptions of one action unit, one per state and paraphrase, with frame counts.

    In the composed style, there is one for every combination of active neighbours as well.

    Args:
        au: the action unit's canonical name.
        templates: the language's templates.
        states: the states to describe: all of `fauds.facs.STATES`, or only the first two (inactive
            and active) for descriptions without degrees (intensities A to E).
        variants: the number of paraphrases of each state.
        neighbours: the action units whose states the descriptions mention; None in the plain style.
        at_most: the highest degree that also counts as inactive; see `Templates.local`.

    Raises:
        DataError: two texts of the action unit are equal.
    """

    def __init__(
        self,
        au: str,
        templates: Templates,
        states: Sequence[str],
        variants: int,
        neighbours: Sequence[str] | None = None,
        at_most: str | None = None,
    ) -> None:
        self._au, self._variants, self._neighbours = au, variants, neighbours
        self._names = [
            (state, None if neighbours is None else active, variant)
            for state in states
            for active in subsets(neighbours or ())
            for variant in range(variants)
        ]
        self._texts = [
            templates.local(au, state, variant, at_most=at_most)
            if active is None
            else templates.composed(au, state, active, variant, at_most=at_most)
            for state, active, variant in self._names
        ]
        self._counts = np.zeros(len(self._texts), np.int64)
        self._refuse_equal_texts()

    def _refuse_equal_texts(self) -> None:
        first_names: dict[str, tuple[str, tuple[str, ...] | None, int]] = {}
        for name, text in zip(self._names, self._texts, strict=True):
            first = first_names.setdefault(text, name)
            if first is not name:
                raise DataError(
                    f"{self._au} has the same text in state {first[0]} (paraphrase {first[2] + 1}) "
                    f"and in state {name[0]} (paraphrase {name[2] + 1}): {text!r}.",
                    where=f"templates, {self._au}",
                    hint="write different texts; fauds captions lint lists equal texts",
                )

    def column(self, states: Mapping[str, AuStates], variant: np.ndarray) -> pa.DictionaryArray:
        """Return the action unit's description in each frame, and update the frame counts.

        Args:
            states: the states of all action units in some frames, by name.
            variant: the number of the paraphrase of each frame, int64 [frames].

        Returns:
            The descriptions, one per frame; null where the action unit is not coded.
        """
        own = states[self._au]
        codes = own.states.astype(np.int64)
        if self._neighbours is not None:
            active = np.zeros_like(codes)
            for bit, name in enumerate(self._neighbours):
                active |= states[name].occurs.astype(np.int64) << bit
            codes = (codes << len(self._neighbours)) + active
        codes = codes * self._variants + variant
        self._counts += np.bincount(codes[~own.null], minlength=len(self._texts))
        return _encode(codes, own.null, self._texts)

    def phrases(self) -> list[Phrase]:
        """Return the action unit's descriptions, sorted by state and paraphrase, with frame counts.

        Descriptions that no frame has are included, with a count of 0.
        """
        rows = zip(self._names, self._texts, self._counts.tolist(), strict=True)
        return [
            Phrase(
                "local",
                self._au,
                state,
                None if active is None else "+".join(active),
                variant,
                text,
                count,
            )
            for (state, active, variant), text, count in rows
        ]


_Face = tuple[int, tuple[int, ...], tuple[bool, ...]]
"""What a face's description depends on besides the paraphrase.

It is the index of the sex in `SUBJECT_WORDS`; for each action unit, the index of its state in
`fauds.facs.STATES`; and for each action unit, whether it occurs.
"""


class FacePhrases:
    """The descriptions of whole faces that some frames have, and how many frames have each.

    Args:
        aus: the canonical names of the action units.
        templates: the language's templates.
        variants: the number of paraphrases of each description.
        at_most: the highest degree that also counts as inactive; see `Templates.local`.
    """

    def __init__(
        self,
        aus: Sequence[str],
        templates: Templates,
        variants: int,
        at_most: str | None = None,
    ) -> None:
        self._aus, self._templates, self._variants = aus, templates, variants
        self._at_most = at_most
        self._texts: dict[tuple[_Face, int], str] = {}
        self._counts: dict[str, dict[tuple[_Face, int], int]] = {}

    def column(
        self, sexes: np.ndarray, states: Mapping[str, AuStates], variant: np.ndarray
    ) -> pa.DictionaryArray:
        """Return the description of the face in each frame, and update the frame counts.

        Args:
            sexes: the sex of each frame's subject, from `sexes_of`, int64 [frames].
            states: the states of all action units in the frames, by name.
            variant: the number of the paraphrase of each frame, int64 [frames].

        Returns:
            The descriptions, one per frame; null where any action unit is not coded.
        """
        null = np.zeros(len(sexes), bool)
        for au in self._aus:
            null |= states[au].null
        coded = np.flatnonzero(~null)
        rows, inverse, counts = self._distinct(sexes[coded], states, variant[coded], coded)
        numbers_of_texts: dict[str, int] = {}
        text_numbers = np.empty(len(rows), np.int32)
        for number, (key, count) in enumerate(
            zip(self._keys(rows, sexes, states, variant), counts.tolist(), strict=True)
        ):
            text = self._text(*key)
            text_numbers[number] = numbers_of_texts.setdefault(text, len(numbers_of_texts))
            self._counts[text][key] = self._counts[text].get(key, 0) + count
        indices = np.zeros(len(sexes), np.int32)
        indices[coded] = text_numbers[inverse]
        return _encode(indices, null, list(numbers_of_texts))

    def _distinct(
        self,
        sexes: np.ndarray,
        states: Mapping[str, AuStates],
        variant: np.ndarray,
        coded: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Find the distinct faces among some frames.

        Args:
            sexes: see `column`; of the coded frames, int64 [coded].
            states: see `column`; of all frames.
            variant: see `column`; of the coded frames, int64 [coded].
            coded: the rows of the coded frames, int64 [coded].

        Returns:
            One row of each distinct face, int64 [distinct]; for each coded frame, the index of its
            face, int64 [coded]; and the number of coded frames with each face, int64 [distinct].
        """
        keys, size = sexes * self._variants + variant, len(SUBJECT_WORDS) * self._variants
        for au in self._aus:
            column = states[au].states[coded].astype(np.int64)
            # A degree may lie below the threshold of occurrence; otherwise the state is enough.
            if ((column > 0) != states[au].occurs[coded]).any():
                column = column * 2 + states[au].occurs[coded]
            kinds = int(column.max(initial=0)) + 1
            if size * kinds >= 2**62:
                keys = np.unique(keys, return_inverse=True)[1].astype(np.int64)
                size = int(keys.max(initial=0)) + 1
            keys, size = keys * kinds + column, size * kinds
        first, inverse, counts = _unique(keys, size)
        return coded[first], inverse, counts

    def _keys(
        self,
        rows: np.ndarray,
        sexes: np.ndarray,
        states: Mapping[str, AuStates],
        variant: np.ndarray,
    ) -> list[tuple[_Face, int]]:
        by_au = [states[au] for au in self._aus]
        columns = [
            np.stack([one.states[rows] for one in by_au], axis=1).tolist(),
            np.stack([one.occurs[rows] for one in by_au], axis=1).tolist(),
        ]
        return [
            ((sex, tuple(state), tuple(occurs)), number)
            for sex, state, occurs, number in zip(
                sexes[rows].tolist(), *columns, variant[rows].tolist(), strict=True
            )
        ]

    def phrases(self) -> list[Phrase]:
        """Return the descriptions of the faces so far, with their frame counts.

        Every paraphrase of each description is included, with a count of 0 if no frame has it. The
        descriptions are sorted by sex, then paraphrase, then states; the first action unit changes
        fastest.
        """
        faces = {face for keys in self._counts.values() for face, _ in keys}
        for face in faces:
            for variant in range(self._variants):
                self._text(face, variant)
        first_keys: dict[str, tuple[_Face, int]] = {}
        for key in sorted(self._texts, key=_order):
            first_keys.setdefault(self._texts[key], key)
        return [self._phrase(text, *key) for text, key in first_keys.items()]

    def _phrase(self, text: str, face: _Face, variant: int) -> Phrase:
        sex, active, degrees = self._meaning(face)
        state = combination_state(sex, active, degrees)
        return Phrase("global", None, state, None, variant, text, sum(self._counts[text].values()))

    def _text(self, face: _Face, variant: int) -> str:
        key = face, variant
        if key not in self._texts:
            sex, active, degrees = self._meaning(face)
            text = self._templates.face(
                [au for au in self._aus if au in active or au in degrees],
                sex,
                variant,
                degrees=degrees,
                at_most=self._at_most,
            )
            # Two sexes or paraphrases may share a text, but not two combinations.
            for (other, _), _ in self._counts.setdefault(text, {}).items():
                if other[1:] != face[1:]:
                    first, second = (
                        combination_state(*self._meaning(one)).split(":", 1)[1]
                        for one in (other, face)
                    )
                    raise DataError(
                        f"Faces with different action units ({first} and {second}) have the same "
                        f"text: {text!r}.",
                        where=self._templates.files["global.yaml"].path,
                        hint="write different texts; fauds captions lint lists equal texts",
                    )
            self._texts[key] = text
        return self._texts[key]

    def _meaning(self, face: _Face) -> tuple[str, list[str], dict[str, str]]:
        """Return the sex, the active action units, and the degrees of a face."""
        sex, states, occurs = face
        active = [au for au, on in zip(self._aus, occurs, strict=True) if on]
        names = zip(self._aus, states, strict=True)
        degrees = {au: STATES[state] for au, state in names if STATES[state] in INTENSITIES}
        return SUBJECT_WORDS[sex], active, degrees


def _unique(keys: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the first place, the inverse and the counts of the distinct keys, as `np.unique` does.

    Args:
        keys: the keys, int64 [n], from 0 to `size` - 1.
        size: the number of possible keys; a table of so many entries is used if it is small.
    """
    if size > _LARGEST_TABLE:
        return np.unique(keys, return_index=True, return_inverse=True, return_counts=True)[1:]
    counts = np.bincount(keys, minlength=size)
    distinct = np.flatnonzero(counts)
    numbers, first = np.zeros(size, np.int64), np.zeros(size, np.int64)
    numbers[distinct] = np.arange(len(distinct))
    first[keys[::-1]] = np.arange(len(keys))[::-1]
    return first[distinct], numbers[keys], counts[distinct]


def _order(key: tuple[_Face, int]) -> tuple[int, int, tuple[int, ...], tuple[bool, ...]]:
    (sex, states, occurs), variant = key
    return sex, variant, states[::-1], occurs[::-1]


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


def sexes_of(frames: pa.Table) -> np.ndarray:
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
