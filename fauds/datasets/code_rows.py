"""Reads the rows of a table of action units (AUs), a few at a time, in one form for all programs.

`open_codes` opens a table, and `CodeTable.rows` yields its rows. Values are checked against the
range of their scale. What was tolerated is counted in `CodeTable.counts`: intensities a little
outside their range, cells that are no numbers, and rows without a face.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fauds.datasets.codes import (
    FACS_TABLE,
    LONG_TABLE,
    SCALES,
    TABLE,
    AuColumn,
    CodeLayout,
    Quantity,
    Scale,
    recognise,
)
from fauds.errors import DataError, UsageError
from fauds.facs import AUS, INTENSITIES, SIDES, UNCOUNTED, FacsCode, parse_codes
from fauds.registry import unknown_name_error
from fauds.tables.delimited import CellBatch, ColumnFile, open_columns

INTENSITY_TOLERANCE = 0.5
"""How far an intensity may lie outside 0 to 5, as regression may put it, to be set to 0 or 5."""

_SEXES = {
    **dict.fromkeys(("f", "female", "woman", "w", "女"), "F"),
    **dict.fromkeys(("m", "male", "man", "男"), "M"),
}
_TEXT_ROLES = ("subject", "clip", "image", "key", "face", "sex", "codes", "au", "side")
_NUMBER_ROLES = ("frame", "success", "confidence", "fold", "benchmark_version")
_TOP: dict[Quantity, float] = {"decision": 1, "probability": 1, "intensity": 5}
_NOUNS: dict[Quantity, str] = {
    "decision": "a decision, 0 or 1",
    "probability": "a probability from 0 to 1",
    "intensity": "an intensity from 0 to 5",
}


@dataclass
class ReadingCounts:
    """Counts of what was tolerated while a table was read.

    Attributes:
        rows: the number of rows.
        clipped: the number of intensities a little outside 0 to 5, which were set to 0 or 5.
        no_number: the number of cells of AUs that are neither empty nor a number, which count as
            not coded.
        first_no_number: the first of these cells: its place, column and content; "" if none.
        without_face: the number of rows in which the program saw no face.
        unsure: the number of rows below the confidence that the user asks for.
        unknown_sex: the number of rows whose sex is not F or M in any usual spelling.
        uncounted: the number of rows of FACS notation with codes that fauds does not count.
        uncertain: the number of codes of FACS notation with a question mark.
    """

    rows: int = 0
    clipped: int = 0
    no_number: int = 0
    first_no_number: str = ""
    without_face: int = 0
    unsure: int = 0
    unknown_sex: int = 0
    uncounted: int = 0
    uncertain: int = 0

    def lines(self) -> list[str]:
        """Return what was tolerated as lines of text for the user; empty if nothing was."""
        counted = (
            ("rows without a face, which count as not coded", self.without_face),
            ("rows below the lowest confidence, which count as not coded", self.unsure),
            ("intensities a little outside 0 to 5, which were set to 0 or 5", self.clipped),
            (
                "cells that are no number, which count as not coded "
                f"(first {self.first_no_number})",
                self.no_number,
            ),
            ("codes with a question mark, which count as not coded", self.uncertain),
            ("rows with codes that are not counted, such as those of the head", self.uncounted),
            ("rows whose sex is neither F nor M and counts as not known", self.unknown_sex),
        )
        return [f"{words}: {count:,}" for words, count in counted if count]


@dataclass(frozen=True)
class CodeRows:
    """Some successive rows of a table of codes, N of them.

    Attributes:
        texts: by role (see `fauds.datasets.codes.Role`), texts, Arrow strings [N], null where
            empty: subject, clip, image, key, face, sex ("F" or "M").
        numbers: by role, numbers, float64 [N], NaN where empty: frame, time (seconds), confidence,
            fold, benchmark_version.
        has_face: whether the program saw a face, bool [N]; AUs are missing (NaN) where it did not.
        size: the size of the face, in a unit of its own, float64 [N]; None if it is not known.
        decisions: by AU, 1 (active), 0 (inactive) or NaN (not coded), float64 [N].
        probabilities: by AU, the probability of being active, 0 to 1, or NaN, float64 [N].
        intensities: by AU, the intensity, 0 to 5, or NaN, float64 [N].
        sides: by AU, the index of the side in `fauds.facs.SIDES`, -1 if none is coded, int8 [N].
        index: the index of each row in the file, from 0, int64 [N].
    """

    texts: Mapping[str, pa.Array]
    numbers: Mapping[str, np.ndarray]
    has_face: np.ndarray
    size: np.ndarray | None
    decisions: Mapping[str, np.ndarray]
    probabilities: Mapping[str, np.ndarray]
    intensities: Mapping[str, np.ndarray]
    sides: Mapping[str, np.ndarray]
    index: np.ndarray

    def __len__(self) -> int:
        return len(self.has_face)

    def values(self, quantity: Quantity) -> Mapping[str, np.ndarray]:
        """Return the values of a quantity by AU."""
        return {
            "decision": self.decisions,
            "probability": self.probabilities,
            "intensity": self.intensities,
        }[quantity]

    def take(self, indices: np.ndarray) -> "CodeRows":
        """Return some of the rows, in the order of `indices`, int [M]."""
        index = pa.array(indices)

        def chosen(values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {name: column[indices] for name, column in values.items()}

        return CodeRows(
            {role: column.take(index) for role, column in self.texts.items()},
            chosen(self.numbers),
            self.has_face[indices],
            None if self.size is None else self.size[indices],
            chosen(self.decisions),
            chosen(self.probabilities),
            chosen(self.intensities),
            chosen(self.sides),
            self.index[indices],
        )


def join_rows(parts: Sequence[CodeRows]) -> CodeRows:
    """Return the rows of one or more parts of the same table as one, in order."""
    if len(parts) == 1:
        return parts[0]

    def joined(each: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
        return {name: np.concatenate([one[name] for one in each]) for name in each[0]}

    sizes = [part.size for part in parts if part.size is not None]
    return CodeRows(
        {role: pa.concat_arrays([part.texts[role] for part in parts]) for role in parts[0].texts},
        joined([part.numbers for part in parts]),
        np.concatenate([part.has_face for part in parts]),
        np.concatenate(sizes) if len(sizes) == len(parts) else None,
        joined([part.decisions for part in parts]),
        joined([part.probabilities for part in parts]),
        joined([part.intensities for part in parts]),
        joined([part.sides for part in parts]),
        np.concatenate([part.index for part in parts]),
    )


@dataclass(frozen=True)
class CodeTable:
    """A table of AUs that another program or a coder wrote; `rows` reads it.

    Attributes:
        file: the opened file.
        layout: what its columns hold.
        scale: the scale of columns whose names do not state it; None if the user does not say.
        min_confidence: the lowest confidence at which a row counts; None for any.
        missing_code: a number that stands for "not coded", such as 9; None for no such number.
        aus: the AUs of the table, in FACS order. If AUs are not columns, all that occur in it.
        graded: the AUs of columns without a scale that hold degrees A to E.
        implied: whether an AU that a long table or FACS notation does not list is inactive, rather
            than not coded.
        counts: counts of what was tolerated in the rows read so far.
    """

    file: ColumnFile
    layout: CodeLayout
    scale: Scale | None = None
    min_confidence: float | None = None
    missing_code: float | None = None
    aus: tuple[str, ...] = ()
    graded: frozenset[str] = frozenset()
    implied: bool = True
    counts: ReadingCounts = field(default_factory=ReadingCounts)
    _without_number: dict[str, tuple[int, int]] = field(default_factory=dict, repr=False)

    @property
    def path(self) -> Path:
        """The path of the file."""
        return self.file.path

    def has(self, quantity: Quantity) -> tuple[str, ...]:
        """Return the AUs of which the table has decisions, probabilities or intensities."""
        if self.layout.is_facs:
            graded = quantity == "intensity" and bool(self.graded)
            return self.aus if quantity == "decision" or graded else ()
        if self.layout.is_long:
            return self.aus if quantity in self._quantities(self._long_quantity) else ()
        return tuple(
            au
            for au in self.aus
            if any(
                column.au == au and quantity in self._quantities(column.quantity, au)
                for column in self.layout.columns
            )
        )

    def _quantities(self, quantity: Quantity, au: str = "") -> tuple[Quantity, ...]:
        """Return the quantities that a column with a quantity gives."""
        if quantity == "evidence":
            return ("probability",)
        if quantity != "unnamed":
            return (quantity,)
        if self.scale is not None:
            return (_SCALED[self.scale][0],)
        return ("decision", "intensity") if au in self.graded or not au else ("decision",)

    @property
    def _long_quantity(self) -> Quantity:
        value = self.layout.places.get("value", "")
        return _LONG_QUANTITIES.get(value.casefold(), "unnamed")

    def recognised(self) -> str:
        """Return one line that says what the table is and what its columns hold."""
        line = self.layout.described()
        if self.layout.is_facs or self.layout.is_long:
            absent = "inactive" if self.implied else "not coded"
            line += f", {len(self.aus)} AUs; an AU that a frame does not list is {absent}"
        return line

    def rows(self) -> Iterator[CodeRows]:
        """Yield the rows of the table, a few at a time and in order.

        A row of the result is a face of a frame, also if the table has one row an AU.

        Raises:
            DataError: the file cannot be read, or a value lies outside its scale; the message names
                the line and the likely cause.
            UsageError: numbers are no decisions 0 and 1, and neither the names of their columns nor
                the user say what they are.
        """
        batches = self.file.batches(*self._read_columns())
        for batch in _whole_frames(batches, self.layout) if self.layout.is_long else batches:
            rows = self._rows(batch)
            self.counts.rows += len(rows)
            yield rows
        if not self.counts.rows:
            raise self.file.error(
                "The table has names of columns, but no rows.",
                hint="the program may have seen no frame, or may have been stopped: let it write "
                "the table again, or leave this file out",
            )
        for name, (first, numbers) in self._without_number.items():
            if not numbers:
                raise self.file.error(
                    f"Column {name} holds texts, but no number.",
                    first,
                    "write numbers into this column, or rename it if it is not about an AU",
                )

    def _read_columns(self) -> tuple[list[str], list[str]]:
        """Return the names of the columns to read as text and as numbers."""
        places, layout = self.layout.places, self.layout
        texts = [places[role] for role in (*_TEXT_ROLES, "time", "time_ms") if role in places]
        texts += [*layout.sides.values(), *(column.name for column in self._lettered)]
        numbers = [places[role] for role in (*_NUMBER_ROLES, "value") if role in places]
        texts += [places[role] for role in ("value",) if role in places]
        numbers += [*(column.name for column in layout.columns), *layout.sizes]
        return [*dict.fromkeys(texts)], [*dict.fromkeys(numbers)]

    @property
    def _lettered(self) -> list[AuColumn]:
        """The columns that may hold degrees A to E in place of numbers."""
        if self.layout.tool != TABLE:
            return []
        return [one for one in self.layout.columns if one.quantity in ("unnamed", "intensity")]

    def _rows(self, batch: CellBatch) -> CodeRows:
        places, layout = self.layout.places, self.layout
        if layout.is_facs:
            first_rows, codes = np.arange(len(batch)), self._facs_codes(batch)
        elif layout.is_long:
            first_rows, codes = self._long_codes(batch)
        else:
            first_rows, codes = np.arange(len(batch)), self._column_codes(batch)
        texts = {
            role: batch.texts[places[role]].take(pa.array(first_rows))
            for role in ("subject", "clip", "image", "key", "face", "sex")
            if role in places
        }
        if "sex" in texts:
            texts["sex"] = self._sexes(texts["sex"])
        numbers = {
            role: batch.numbers[places[role]][first_rows]
            for role in ("frame", "confidence", "fold", "benchmark_version")
            if role in places
        }
        for role, unit in (("time", 1.0), ("time_ms", 0.001)):
            if role in places:
                numbers["time"] = _seconds(batch.texts[places[role]])[first_rows] * unit
        has_face = self._has_face(batch, first_rows, codes)
        for values in (codes.decisions, codes.probabilities, codes.intensities):
            for au, column in values.items():
                values[au] = np.where(has_face, column, np.nan)
        return CodeRows(
            texts=texts,
            numbers=numbers,
            has_face=has_face,
            size=_size(batch, layout.sizes, first_rows),
            decisions=codes.decisions,
            probabilities=codes.probabilities,
            intensities=codes.intensities,
            sides=codes.sides,
            index=batch.first + first_rows,
        )

    def _has_face(self, batch: CellBatch, first_rows: np.ndarray, codes: "_Codes") -> np.ndarray:
        """Return which rows show a face with enough confidence, and count the others."""
        places = self.layout.places
        has_face: np.ndarray = np.ones(len(first_rows), bool)
        if "success" in places:
            has_face = batch.numbers[places["success"]][first_rows] > 0
        if self.layout.tool not in _CODED_BY_PEOPLE:
            # Programs write empty cells for a frame without a face.
            has_face &= ~codes.empty(len(first_rows))
        self.counts.without_face += int((~has_face).sum())
        if self.min_confidence is None:
            return has_face
        sure: np.ndarray = batch.numbers[places["confidence"]][first_rows] >= self.min_confidence
        self.counts.unsure += int((has_face & ~sure).sum())
        sure &= has_face
        return sure

    def _sexes(self, column: pa.Array) -> pa.Array:
        sexes = [_SEXES.get((name or "").casefold()) for name in column.to_pylist()]
        unknown = sum(
            sex is None and bool(name) for sex, name in zip(sexes, column.to_pylist(), strict=True)
        )
        self.counts.unknown_sex += unknown
        return pa.array(sexes, pa.string())

    def _column_codes(self, batch: CellBatch) -> "_Codes":
        codes = _Codes({}, {}, {}, {})
        by_side: dict[tuple[str, Quantity], dict[str, np.ndarray]] = {}
        for column in self.layout.columns:
            for quantity, values in self._values(batch, column).items():
                if column.side is None:
                    codes.of(quantity)[column.au] = values
                else:
                    by_side.setdefault((column.au, quantity), {})[column.side] = values
        for (au, quantity), sides in by_side.items():
            _join_sides(codes, au, quantity, sides)
        for au, name in self.layout.sides.items():
            codes.sides[au] = self._coded_sides(batch, name)
        return codes

    def _values(self, batch: CellBatch, column: AuColumn) -> dict[Quantity, np.ndarray]:
        """Return the values of a column by quantity, checked."""
        values = batch.numbers[column.name]
        if self.missing_code is not None:
            values = np.where(values == self.missing_code, np.nan, values)
        invalid = batch.invalid.get(column.name, np.empty(0, np.int64)) - batch.first
        degrees = np.full(len(values), np.nan)
        if len(invalid) and column in self._lettered:
            degrees = _degrees(batch.texts[column.name], invalid)
            invalid = invalid[np.isnan(degrees[invalid])]
        if len(invalid):
            self._count_no_number(column.name, invalid + batch.first)
        graded = ~np.isnan(degrees)
        if column.name in self._without_number:
            first, count = self._without_number[column.name]
            more = int((~np.isnan(values) | graded).sum())
            self._without_number[column.name] = (first, count + more)
        quantity = column.quantity
        if quantity == "evidence":
            # FACET's evidence is the decimal logarithm of the odds.
            return {"probability": 1 / (1 + 10.0**-values)}
        if quantity == "unnamed" and self.scale is None:
            decisions = np.where(graded, 1.0, values)
            self._check(column, "unnamed", decisions, batch.first)
            if column.au not in self.graded:
                return {"decision": decisions}
            return {"decision": decisions, "intensity": np.where(values == 0, 0.0, degrees)}
        unit = 1.0
        if self.scale is not None and quantity in ("unnamed", "intensity"):
            scaled, unit = _SCALED[self.scale]
            quantity = scaled if quantity == "unnamed" else quantity
            unit = unit if quantity == "intensity" else 1.0
        values = np.where(graded, degrees, values * unit)
        return {quantity: self._check(column, quantity, values, batch.first)}

    def _check(
        self, column: AuColumn, quantity: Quantity, values: np.ndarray, first: int
    ) -> np.ndarray:
        """Return values within the range of their quantity, or raise an error."""
        present = ~np.isnan(values)
        if quantity in ("decision", "unnamed"):
            wrong = present & (values != 0) & (values != 1)
        else:
            slack = INTENSITY_TOLERANCE if quantity == "intensity" else 1e-6
            wrong = present & ~((values >= -slack) & (values <= _TOP[quantity] + slack))
        if wrong.any():
            raise self._out_of_range(column, quantity, values, wrong, first)
        if quantity in ("decision", "unnamed"):
            return values
        clipped: np.ndarray = np.clip(values, 0, _TOP[quantity])
        if quantity == "intensity":
            self.counts.clipped += int((present & (clipped != values)).sum())
        return clipped

    def _out_of_range(
        self, column: AuColumn, quantity: Quantity, values: np.ndarray, wrong: np.ndarray, at: int
    ) -> Exception:
        row = int(wrong.argmax())
        place = self.file.error("", at + row).where
        more = int(wrong.sum()) - 1
        value = f"{values[row]:g}"
        if quantity == "unnamed":
            return UsageError(
                f"{column.name} is {value}, and neither the name of its column nor the program "
                "says on what scale.",
                where=place,
                hint="say what the numbers are: --scale probability, or --scale 0-5, 0-1 or 0-100 "
                "for intensities (in Python scale=...); or name the columns AU12_prob or "
                "AU12_intensity",
            )
        hints = {
            "decision": "write 0 or 1; OpenFace writes other numbers on a computer whose language "
            "has decimal commas: run it again with LC_ALL=C",
            "probability": "write probabilities from 0 to 1 into columns such as AU12_prob; if the "
            "numbers are intensities, name the columns AU12_intensity",
            "intensity": "say so if the scale is another: --scale 0-1 or --scale 0-100 (in Python "
            "scale=...); OpenFace writes such numbers on a computer whose language has decimal "
            "commas: run it again with LC_ALL=C",
        }
        others = f" {more:,} more values are wrong." if more else ""
        return DataError(
            f"{column.name} is {value}, not {_NOUNS[quantity]}.{others}",
            where=place,
            hint=hints[quantity],
        )

    def _count_no_number(self, name: str, rows: np.ndarray) -> None:
        if not self.counts.no_number:
            place = self.file.error("", int(rows[0])).where
            self.counts.first_no_number = f"in column {name}, {place}"
        self.counts.no_number += len(rows)
        # Batches before this one hold numbers, or else empty cells, which say nothing.
        self._without_number.setdefault(name, (int(rows[0]), self.counts.rows))

    def _coded_sides(self, batch: CellBatch, name: str) -> np.ndarray:
        texts = pc.utf8_upper(batch.texts[name])
        index = pc.fill_null(pc.index_in(texts, value_set=pa.array(SIDES)), -1)
        sides: np.ndarray = index.to_numpy(zero_copy_only=False).astype(np.int8)
        wrong = (sides < 0) & texts.is_valid().to_numpy(zero_copy_only=False)
        if wrong.any():
            row = int(wrong.argmax())
            raise self.file.error(
                f"{name} is {texts[row].as_py()!r}, which is no side of a face.",
                batch.first + row,
                "write L or R for the person's left or right, B for both sides, U for one side "
                "that is not named, or leave the cell empty",
            )
        return sides

    def _facs_codes(self, batch: CellBatch) -> "_Codes":
        column = batch.texts[self.layout.places["codes"]].dictionary_encode()
        parsed = [
            None if text.strip() == "?" else parse_codes(text)
            for text in column.dictionary.to_pylist()
        ]
        index = pc.fill_null(column.indices, -1).to_numpy(zero_copy_only=False)
        counts = np.bincount(index[index >= 0], minlength=len(parsed))
        for row, codes in zip(counts.tolist(), parsed, strict=True):
            self.counts.uncounted += row * any(name not in AUS for name in codes or ())
            self.counts.uncertain += row * sum(code.uncertain for code in (codes or {}).values())
        result = _Codes({}, {}, {}, {})
        for au in self.aus:
            each = [_facs_values(codes, au) for codes in parsed] or [(np.nan, np.nan, -1)]
            decisions, degrees, sides = (np.array(part, float) for part in zip(*each, strict=True))
            missing = index < 0
            result.decisions[au] = np.where(missing, np.nan, decisions[index])
            if self.graded:
                result.intensities[au] = np.where(missing, np.nan, degrees[index])
            result.sides[au] = np.where(missing, -1, sides[index]).astype(np.int8)
        return result

    def _long_codes(self, batch: CellBatch) -> tuple[np.ndarray, "_Codes"]:
        """Return the index of the first row of each frame in a batch, and the frames' codes."""
        places = self.layout.places
        starts = _frame_starts(batch, self.layout)
        frame_of_row = np.cumsum(starts) - 1
        size = int(starts.sum())
        names = [self._long_au(text) for text in batch.texts[places["au"]].to_pylist()]
        result = _Codes({}, {}, {}, {})
        listed = np.array([name or "" for name in names], np.str_)
        for au in self.aus:
            rows = np.flatnonzero(listed == au)
            frames = frame_of_row[rows]
            repeated = np.flatnonzero(np.diff(frames) == 0)
            if len(repeated):
                raise self.file.error(
                    f"{au} is listed twice for the same frame.",
                    batch.first + int(rows[repeated[0] + 1]),
                    "remove one of the two rows, or add the columns that tell their frames or "
                    "faces apart",
                )
            values = self._long_values(batch, au, rows)
            absent = 0.0 if self.implied else np.nan
            for quantity in self._quantities(self._long_quantity):
                wide = np.full(size, absent)
                wide[frames] = values[quantity]
                result.of(quantity)[au] = wide
            sides = np.full(size, -1, np.int8)
            if "side" in places:
                sides[frames] = self._coded_sides(batch, places["side"])[rows]
            result.sides[au] = sides
        return np.flatnonzero(starts), result

    def _long_values(
        self, batch: CellBatch, au: str, rows: np.ndarray
    ) -> Mapping[Quantity, np.ndarray]:
        places = self.layout.places
        if "value" not in places:
            return {"decision": np.ones(len(rows)), "intensity": np.full(len(rows), np.nan)}
        column = AuColumn(places["value"], au, self._long_quantity)
        taken = CellBatch(
            {column.name: batch.texts[column.name].take(pa.array(rows))},
            {column.name: batch.numbers[column.name][rows]},
            batch.first,
            {},
        )
        values = taken.numbers[column.name]
        degrees = _degrees(taken.texts[column.name], np.flatnonzero(np.isnan(values)))
        if self._long_quantity == "unnamed" and self.scale is None:
            decisions = np.where(np.isnan(degrees), values, 1.0)
            self._check(column, "unnamed", decisions, batch.first)
            return {"decision": decisions, "intensity": np.where(values == 0, 0.0, degrees)}
        (quantity,) = self._quantities(self._long_quantity)
        unit = _SCALED[self.scale][1] if self.scale and quantity == "intensity" else 1.0
        values = np.where(np.isnan(degrees), values * unit, degrees)
        return {quantity: self._check(column, quantity, values, batch.first)}

    def _long_au(self, text: str | None) -> str | None:
        """Return the AU that a row of a long table is about; None for one that is not counted."""
        number = _AU_TEXT.fullmatch((text or "").strip())
        name = f"AU{int(number[1]):02d}" if number else ""
        if name in AUS:
            return name
        if number and int(number[1]) in UNCOUNTED:
            self.counts.uncounted += 1
            return None
        raise DataError(
            f"The action unit {text!r} of a row is not known.",
            where=self.path,
            hint="write one AU a row, such as AU12 or 12",
        )


_CODED_BY_PEOPLE = (TABLE, LONG_TABLE, FACS_TABLE)
_SCALED: dict[Scale, tuple[Quantity, float]] = {
    "occurrence": ("decision", 1.0),
    "probability": ("probability", 1.0),
    "0-5": ("intensity", 1.0),
    "0-1": ("intensity", 5.0),
    "0-100": ("intensity", 0.05),
}
_LONG_QUANTITIES: dict[str, Quantity] = {
    "intensity": "intensity",
    "degree": "intensity",
    "probability": "probability",
    **dict.fromkeys(("occurrence", "presence", "active"), "decision"),
}
_AU_TEXT = re.compile(r"(?:AU[ _-]?)?0*(\d{1,2})", re.IGNORECASE)


@dataclass(frozen=True)
class _Codes:
    """The codes of N rows: the fields of `CodeRows` of the same names."""

    decisions: dict[str, np.ndarray]
    probabilities: dict[str, np.ndarray]
    intensities: dict[str, np.ndarray]
    sides: dict[str, np.ndarray]

    def of(self, quantity: Quantity) -> dict[str, np.ndarray]:
        return {
            "decision": self.decisions,
            "probability": self.probabilities,
            "intensity": self.intensities,
        }[quantity]

    def empty(self, size: int) -> np.ndarray:
        """Return which rows have no value of any AU, bool [N]."""
        columns = [*self.decisions.values(), *self.probabilities.values()]
        columns += self.intensities.values()
        return np.isnan(np.stack(columns)).all(axis=0) if columns else np.ones(size, bool)


def open_codes(
    path: Path,
    *,
    names: Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
    scale: Scale | None = None,
    min_confidence: float | None = None,
    missing_code: float | None = None,
    sizes: bool = False,
) -> CodeTable:
    """Open a table of AUs that another program or a coder wrote, and say what its columns hold.

    A table without columns of AUs is read once here, to learn which AUs it has.

    Args:
        path: a delimited text file or a Parquet file.
        names: names of classes or AUs, as for `fauds.datasets.codes.recognise`.
        columns: the names of columns with roles, as for `fauds.datasets.codes.recognise`.
        scale: what the numbers in columns mean whose names do not say so; and the scale of
            intensities, if it is not 0 to 5. None if the user does not say.
        min_confidence: the lowest confidence at which a row counts; None for any.
        missing_code: a number that stands for "not coded", such as 9; None for no such number.
        sizes: whether the sizes of faces are read, which takes time if they follow from landmarks.

    Raises:
        UsageError: a role, a column or the scale does not exist, or the table has no confidence.
        DataError: the table cannot be read, or holds no AUs.
    """
    if scale is not None and scale not in SCALES:
        raise unknown_name_error("scale", scale, list(SCALES))
    file = open_columns(path)
    layout = recognise(file, names=names, columns=columns)
    if not sizes:
        layout = replace(layout, sizes=())
    if min_confidence is not None and "confidence" not in layout.places:
        raise UsageError(
            "The table has no column of confidence.",
            where=path,
            hint="leave out --min-confidence",
        )
    aus = (*layout.aus, *_classes(layout))
    table = CodeTable(file, layout, scale, min_confidence, missing_code, aus)
    if layout.is_facs:
        return _scan_facs(table)
    if layout.is_long:
        return _scan_long(table)
    return replace(table, graded=frozenset(_graded(table))) if table._lettered else table


def _classes(layout: CodeLayout) -> list[str]:
    return [column.au for column in layout.columns if column.au not in AUS]


def _graded(table: CodeTable) -> Iterator[str]:
    """Yield the AUs whose columns without a scale hold a degree A to E in some row."""
    unnamed = {one.name: one.au for one in table._lettered if one.quantity == "unnamed"}
    for batch in table.file.batches([*unnamed], [*unnamed]):
        for name, rows in batch.invalid.items():
            if not np.isnan(_degrees(batch.texts[name], rows - batch.first)).all():
                yield unnamed[name]


def _scan_facs(table: CodeTable) -> CodeTable:
    """Return the table with the AUs that occur in its FACS notation, whose form is checked."""
    name = table.layout.places["codes"]
    known: dict[str, dict[str, FacsCode]] = {}
    for batch in table.file.batches([name], []):
        texts = batch.texts[name]
        for text in texts.unique().to_pylist():
            if text is None or text in known or text.strip() == "?":
                continue
            try:
                known[text] = parse_codes(text)
            except UsageError as error:
                row = batch.first + int(pc.index(texts, text).as_py())
                raise table.file.error(f"{error.what} ({error.where})", row, error.hint) from error
    codes = [code for parsed in known.values() for code in parsed.items()]
    present = {au for au, _ in codes}
    if _lists_aus(table, [*known]):
        places = {"au" if role == "codes" else role: of for role, of in table.layout.places.items()}
        return _scan_long(
            replace(table, layout=replace(table.layout, tool=LONG_TABLE, places=places))
        )
    graded = frozenset(au for au, code in codes if code.degree and au in AUS)
    return replace(table, aus=tuple(au for au in AUS if au in present), graded=graded)


def _lists_aus(table: CodeTable, texts: Sequence[str]) -> bool:
    """Return whether a table has one row for each active AU: its frames have several rows.

    Args:
        table: a table in FACS notation.
        texts: the distinct texts of the notation.
    """
    places = table.layout.places
    if "frame" not in places or not all(_AU_TEXT.fullmatch(text) for text in texts):
        return False
    numbers = [places["frame"]]
    names = [places[role] for role in ("subject", "clip", "image", "key", "face") if role in places]
    return any(
        len(batch) > int(_frame_starts(batch, table.layout).sum())
        for batch in table.file.batches([*names, *_clocks(places)], numbers)
    )


def _clocks(places: Mapping[str, str]) -> list[str]:
    return [places[role] for role in ("time", "time_ms") if role in places]


def _scan_long(table: CodeTable) -> CodeTable:
    """Return the table with the AUs that it lists, and whether an AU not listed is inactive."""
    places = table.layout.places
    value = places.get("value")
    present: set[str | None] = set()
    zeros = False
    for batch in table.file.batches([places["au"]], [value] if value else []):
        present |= {table._long_au(text) for text in batch.texts[places["au"]].unique().to_pylist()}
        zeros |= value is not None and bool((batch.numbers[value] == 0).any())
    table.counts.uncounted = 0
    # A table that lists AUs with the value 0 does not mean 0 by leaving an AU out.
    return replace(table, aus=tuple(au for au in AUS if au in present), implied=not zeros)


def _facs_values(codes: Mapping[str, FacsCode] | None, au: str) -> tuple[float, float, int]:
    """Return the decision, the intensity and the index of the side of an AU in FACS notation."""
    if codes is None:
        return np.nan, np.nan, -1
    code = codes.get(au)
    if code is None:
        return 0.0, 0.0, -1
    if code.uncertain:
        return np.nan, np.nan, -1
    degree = np.nan if code.degree is None else INTENSITIES.index(code.degree) + 1
    return 1.0, degree, -1 if code.side is None else SIDES.index(code.side)


def _degrees(texts: pa.Array, rows: np.ndarray) -> np.ndarray:
    """Return the intensities of degrees A to E in some rows of a column, NaN elsewhere."""
    degrees = np.full(len(texts), np.nan)
    if len(rows):
        cells = pc.utf8_upper(texts.take(pa.array(rows)))
        index = pc.index_in(cells, value_set=pa.array(list(INTENSITIES))).cast(pa.float64())
        degrees[rows] = pc.fill_null(index, np.nan).to_numpy(zero_copy_only=False) + 1
    return degrees


def _join_sides(
    codes: _Codes, au: str, quantity: Quantity, values: Mapping[str, np.ndarray]
) -> None:
    """Add the side of an AU, and its values if both sides have no column together.

    Args:
        codes: the codes to add to.
        au: the AU.
        quantity: what the values say.
        values: the values of the left ("L") and the right ("R") side.
    """
    level = 2.0 if quantity == "intensity" else 0.5
    left, right = (
        np.nan_to_num(values.get(side, np.zeros(1)), nan=0.0) >= level for side in ("L", "R")
    )
    side = np.where(left & right, SIDES.index("B"), np.where(left, SIDES.index("L"), -1))
    side = np.where(right & ~left, SIDES.index("R"), side).astype(np.int8)
    if au not in codes.sides or quantity == "decision":
        codes.sides[au] = side
    if au not in codes.of(quantity):
        codes.of(quantity)[au] = np.fmax.reduce([*values.values()])


def _seconds(column: pa.Array) -> np.ndarray:
    """Return times as seconds, float64 [N]: numbers, or hours, minutes and seconds with colons."""
    numbers = pc.replace_substring(column, ",", ".")
    clock = pc.fill_null(pc.match_substring(numbers, ":"), False)
    plain = pc.if_else(clock, pa.nulls(len(column), pa.string()), numbers)
    valid = pc.match_substring_regex(plain, r"^-?[0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?$")
    plain = pc.if_else(valid, plain, pa.nulls(len(column), pa.string()))
    seconds: np.ndarray = pc.fill_null(plain.cast(pa.float64()), np.nan).to_numpy(
        zero_copy_only=False
    )
    if not pc.any(clock).as_py():
        return seconds
    seconds = seconds.copy()
    for row in np.flatnonzero(clock.to_numpy(zero_copy_only=False)).tolist():
        try:
            parts = [float(part) for part in numbers[row].as_py().split(":")]
        except ValueError:
            continue
        seconds[row] = sum(part * 60**place for place, part in enumerate(reversed(parts)))
    return seconds


def _size(batch: CellBatch, names: Sequence[str], rows: np.ndarray) -> np.ndarray | None:
    """Return the size of the face in each of N rows, float64 [N]; None if it is not known."""
    if not names:
        return None
    columns = np.stack([batch.numbers[name][rows] for name in names])
    if len(names) == 2:
        width, height = columns
    elif len(names) == 4:
        left, top, right, bottom = columns
        width, height = right - left, bottom - top
    else:
        points = columns.reshape(2, -1, columns.shape[1])
        width, height = points.max(axis=1) - points.min(axis=1)
    size: np.ndarray = width * height
    return size


def _frame_starts(batch: CellBatch, layout: CodeLayout) -> np.ndarray:
    """Return which rows of a long table begin another frame or face than the row before, bool."""
    starts = np.zeros(len(batch), bool)
    starts[:1] = True
    for role in ("subject", "clip", "image", "key", "face", "time", "time_ms"):
        if role in layout.places:
            codes = pc.fill_null(batch.texts[layout.places[role]], "").dictionary_encode().indices
            starts[1:] |= np.diff(codes.to_numpy(zero_copy_only=False)) != 0
    if "frame" in layout.places:
        starts[1:] |= np.diff(batch.numbers[layout.places["frame"]]) != 0
    return starts


def _whole_frames(batches: Iterator[CellBatch], layout: CodeLayout) -> Iterator[CellBatch]:
    """Yield the rows of a long table so that all rows of a frame are in the same batch."""
    kept: CellBatch | None = None
    for batch in batches:
        joined = batch if kept is None else _concatenated(kept, batch)
        last = int(np.flatnonzero(_frame_starts(joined, layout))[-1]) if len(joined) else 0
        if last:
            yield _sliced(joined, 0, last)
        kept = _sliced(joined, last, len(joined))
    if kept is not None and len(kept):
        yield kept


def _sliced(batch: CellBatch, start: int, stop: int) -> CellBatch:
    return CellBatch(
        {name: column[start:stop] for name, column in batch.texts.items()},
        {name: column[start:stop] for name, column in batch.numbers.items()},
        batch.first + start,
        batch.invalid,
    )


def _concatenated(first: CellBatch, second: CellBatch) -> CellBatch:
    return CellBatch(
        {name: pa.concat_arrays([first.texts[name], second.texts[name]]) for name in first.texts},
        {
            name: np.concatenate([first.numbers[name], second.numbers[name]])
            for name in first.numbers
        },
        first.first,
        {**first.invalid, **second.invalid},
    )
