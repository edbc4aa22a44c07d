"""Describes every frame of a clip in words: which action units (AUs) are active, and the face."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fauds.annotation.clips import ClipPart, ClipReader
from fauds.annotation.events import By
from fauds.annotation.wording import Wording
from fauds.facs import (
    INTENSITIES,
    SIDES,
    FacsCode,
    format_codes,
    intensity_column,
    side_column,
)
from fauds.tables.columns import category, from_numpy, from_strings

_SEXES = (None, "F", "M")


@dataclass(frozen=True)
class FrameRule:
    """What makes an AU active in a frame.

    Attributes:
        by: what decides; None for the program's own decisions where a table has them, then
            probabilities, then intensities.
        threshold: the value from which an AU is active; None for probability 0.5, or intensity B
            (2).
    """

    by: By | None = None
    threshold: float | None = None

    def quantity(self, has: Mapping[By, Sequence[str]], au: str) -> By | None:
        """Return what decides whether an AU is active; None if the tables do not have it."""
        order: tuple[By, ...] = ("decision", "probability", "intensity")
        if self.by is not None:
            order = (self.by,)
        elif self.threshold is not None:
            order = ("probability", "intensity", "decision")
        return next((one for one in order if au in has.get(one, ())), None)

    def level(self, by: By) -> float:
        """Return the value of a quantity from which an AU is active."""
        if by == "decision":
            return 1.0
        return self.threshold if self.threshold is not None else {"intensity": 2.0}.get(by, 0.5)

    def described(self, has: Mapping[By, Sequence[str]], aus: Sequence[str]) -> str:
        """Return in words what makes the AUs active."""
        used = dict.fromkeys(self.quantity(has, au) for au in aus)
        words = {
            "decision": "the table says so",
            "probability": f"its probability is at least {self.level('probability'):g}",
            "intensity": f"its intensity is at least {self.level('intensity'):g}",
        }
        return "an AU is active if " + ", or if ".join(words[one] for one in used if one)


class FrameDescriber:
    """Makes the table of described frames, some frames at a time.

    Args:
        reader: the clips.
        wording: the texts.
        rule: what makes an AU active.
        codes: whether the table has a column with the codes of each frame in FACS notation.
    """

    def __init__(
        self, reader: ClipReader, wording: Wording, rule: FrameRule, codes: bool = False
    ) -> None:
        self._wording, self._codes, self._sex = wording, codes, reader.options.sex
        self.rule = rule
        self.has: dict[By, tuple[str, ...]] = {
            "decision": reader.has("decision"),
            "probability": reader.has("probability"),
            "intensity": reader.has("intensity"),
        }
        self._by = {au: by for au in reader.aus if (by := rule.quantity(self.has, au))}
        self.aus = tuple(self._by)
        self._sided = tuple(
            au for au in self.aus if any(au in sides for sides in _sided_aus(reader))
        )
        roles = {role for table in reader.tables for role in table.layout.places}
        timed = reader.options.fps is not None or bool({"time", "time_ms"} & roles)
        self.schema = self._schema(roles, timed)

    def _schema(self, roles: set[str], timed: bool) -> pa.Schema:
        text = pa.dictionary(pa.int32(), pa.string())
        fields: list[tuple[str, pa.DataType]] = [("source", text)]
        fields += [(role, text) for role in ("subject", "clip", "face") if role in roles]
        fields += [("image", pa.string())] if {"image", "key"} & roles else []
        fields += [("frame", pa.int64())]
        fields += [("time", pa.float64())] if timed else []
        fields += [("sex", text)] if "sex" in roles or self._sex else []
        fields += [("codes", text)] if self._codes else []
        fields += [("face_text", text)]
        for au in self.aus:
            fields.append((au, pa.int8()))
            if au in self.has["intensity"]:
                fields.append((intensity_column(au), pa.float32()))
            if au in self._sided:
                fields.append((side_column(au), text))
            fields.append((f"{au}_text", text))
        return pa.schema(fields)

    def table(self, part: ClipPart) -> pa.Table:
        """Return the rows of some frames of a clip."""
        size = len(part)
        sexes = _sex_codes(part.sexes)
        active = {au: self._active(part, au) for au in self.aus}
        degrees = {au: self._degrees(part, au) for au in self.aus}
        sides = {au: part.codes.sides.get(au, np.full(size, -1, np.int8)) for au in self._sided}
        for au, side in sides.items():
            side = side.copy()
            side[active[au] != 1] = -1
            sides[au] = side
        columns: dict[str, pa.Array] = {
            "source": _constant(part.clip.source, size),
            "subject": _constant(part.clip.subject or None, size),
            "clip": _constant(part.clip.clip or None, size),
            "face": _faces(part, size),
            "image": pa.nulls(size, pa.string()) if part.images is None else part.images,
            "frame": pa.nulls(size, pa.int64())
            if part.frames is None
            else from_numpy(part.frames, pa.int64()),
            "time": pa.nulls(size, pa.float64())
            if part.times is None
            else from_numpy(np.round(part.times, 6), pa.float64()),
            "sex": category(sexes - 1, ["F", "M"]),
            "codes": self._notation(active, degrees, sides) if self._codes else None,
            "face_text": self._face_texts(active, degrees, sides, sexes),
        }
        for au in self.aus:
            columns[au] = from_numpy(active[au], pa.int8(), active[au] < 0)
            if au in self.has["intensity"]:
                values = part.codes.intensities.get(au, np.full(size, np.nan))
                rounded = np.round(np.nan_to_num(values), 4)
                columns[intensity_column(au)] = from_numpy(rounded, pa.float32(), np.isnan(values))
            if au in self._sided:
                columns[side_column(au)] = category(sides[au].astype(np.int32), SIDES)
            columns[f"{au}_text"] = self._local_texts(au, active, degrees, sides, sexes)
        arrays = [columns[field.name].cast(field.type) for field in self.schema]
        return pa.Table.from_arrays(arrays, schema=self.schema)

    def _active(self, part: ClipPart, au: str) -> np.ndarray:
        """Return whether an AU is active in each frame, int8 [N]: 1, 0, or -1 if not coded."""
        by = self._by[au]
        values = part.codes.values(by).get(au)
        if values is None:
            return np.full(len(part), -1, np.int8)
        active = (values >= self.rule.level(by)).astype(np.int8)
        active[np.isnan(values)] = -1
        return active

    def _degrees(self, part: ClipPart, au: str) -> np.ndarray:
        """Return the degree of an AU in each frame, 0 to 5, int8 [N]; 0 if it is not known."""
        values = part.codes.intensities.get(au)
        if values is None:
            return np.zeros(len(part), np.int8)
        degrees: np.ndarray = np.nan_to_num(values).clip(0, len(INTENSITIES)).astype(np.int8)
        return degrees

    def _face_texts(
        self,
        active: Mapping[str, np.ndarray],
        degrees: Mapping[str, np.ndarray],
        sides: Mapping[str, np.ndarray],
        sexes: np.ndarray,
    ) -> pa.DictionaryArray:
        shown_degrees = self._told_degrees(active, degrees)
        matrix = np.stack(
            [*active.values(), *shown_degrees, *sides.values(), sexes.astype(np.int8)]
        )
        names, side_names = [*active], [*sides]

        def text(row: list[int]) -> str | None:
            states, levels = row[: len(names)], row[len(names) : 2 * len(names)]
            coded = row[2 * len(names) : -1]
            if all(state < 0 for state in states):
                return None
            shown = [au for au, state in zip(names, states, strict=True) if state == 1]
            of_sides = {
                au: SIDES[side] for au, side in zip(side_names, coded, strict=True) if side >= 0
            }
            letters = {
                au: INTENSITIES[level - 1] for au, level in zip(names, levels, strict=True) if level
            }
            return self._wording.face(shown, _SEXES[row[-1]], of_sides, letters)

        # A frame's text depends on what is active; AUs that are not coded do not change it.
        return _texts_of(matrix, text)

    def _told_degrees(
        self, active: Mapping[str, np.ndarray], degrees: Mapping[str, np.ndarray]
    ) -> list[np.ndarray]:
        """Return the degree that the face's text says of each AU, 0 for none, int8 [N] each."""
        if not self._wording.degrees:
            return [np.zeros_like(degree) for degree in degrees.values()]
        return [np.where(active[au] == 1, degree, 0) for au, degree in degrees.items()]

    def _local_texts(
        self,
        au: str,
        active: Mapping[str, np.ndarray],
        degrees: Mapping[str, np.ndarray],
        sides: Mapping[str, np.ndarray],
        sexes: np.ndarray,
    ) -> pa.DictionaryArray:
        degree = degrees[au] if self._wording.degrees else np.zeros_like(degrees[au])
        side = sides.get(au, np.full(len(sexes), -1, np.int8))
        sex = np.where(side >= 0, sexes, 0).astype(np.int8)
        matrix = np.stack([active[au], degree, side, sex])

        def text(row: list[int]) -> str | None:
            state, level, where, who = row
            if state != 1:
                return None
            named = SIDES[where] if where >= 0 else None
            return self._wording.local(au, level or None, named, _SEXES[who])

        return _texts_of(matrix, text)

    def _notation(
        self,
        active: Mapping[str, np.ndarray],
        degrees: Mapping[str, np.ndarray],
        sides: Mapping[str, np.ndarray],
    ) -> pa.DictionaryArray:
        names, side_names = [*active], [*sides]
        shown = [np.where(active[au] == 1, degrees[au], 0) for au in names]
        matrix = np.stack([*active.values(), *shown, *sides.values()])

        def text(row: list[int]) -> str | None:
            states, levels = row[: len(names)], row[len(names) : 2 * len(names)]
            if all(state < 0 for state in states):
                return None
            where = dict(zip(side_names, row[2 * len(names) :], strict=True))
            return format_codes(
                {
                    au: FacsCode(
                        INTENSITIES[level - 1] if level else None,
                        SIDES[where[au]] if where.get(au, -1) >= 0 else None,
                    )
                    for au, state, level in zip(names, states, levels, strict=True)
                    if state == 1
                }
            )

        return _texts_of(matrix, text)


def _sided_aus(reader: ClipReader) -> list[set[str]]:
    sided = []
    for table in reader.tables:
        layout = table.layout
        aus = {*layout.sides, *(one.au for one in layout.columns if one.side)}
        if layout.is_facs or "side" in layout.places:
            aus |= {*table.aus}
        sided.append(aus)
    return sided


def _texts_of(matrix: np.ndarray, text: Callable[[list[int]], str | None]) -> pa.DictionaryArray:
    """Return a text for each of N columns of a matrix, computed once for equal columns.

    Args:
        matrix: small whole numbers, int8 [K, N].
        text: a function that returns the text for the K numbers of a column, or None.
    """
    # Equal columns are equal as bytes, which sort faster than rows of numbers.
    rows = np.ascontiguousarray(matrix.T.astype(np.int8))
    packed = rows.view(np.dtype((np.void, rows.shape[1]))).ravel()
    _, first, inverse = np.unique(packed, return_index=True, return_inverse=True)
    texts = [text(row) for row in rows[first].tolist()]
    distinct = list(dict.fromkeys(one for one in texts if one is not None))
    index = {one: number for number, one in enumerate(distinct)}
    numbers = np.array([-1 if one is None else index[one] for one in texts], np.int32)
    return category(numbers[inverse], distinct)


def _constant(text: str | None, size: int) -> pa.DictionaryArray:
    if text is None:
        return category(np.full(size, -1, np.int32), [])
    return category(np.zeros(size, np.int32), [text])


def _faces(part: ClipPart, size: int) -> pa.Array:
    faces = part.codes.texts.get("face")
    if faces is None:
        return _constant(None, size)
    return faces.dictionary_encode()


def _sex_codes(sexes: pa.Array) -> np.ndarray:
    """Return the index of each sex in `_SEXES`, int32 [N]."""
    index = pc.fill_null(pc.index_in(sexes, value_set=from_strings(["F", "M"])), -1)
    codes: np.ndarray = index.to_numpy(zero_copy_only=False).astype(np.int32) + 1
    return codes
