"""The names and spellings of action units (AUs), and facts about AUs from FACS.

fauds spells AUs as OpenFace and py-feat do, for example AU01 and AU12. `au_name` converts other
spellings (1, "au1", "AU_12", "AU12_r") when labels or commands are read. `parse_codes` reads the
notation of FACS coders, such as ``1C+2C+L12B``, and `format_codes` writes it.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from fauds.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

AUS: tuple[str, ...] = tuple(
    f"AU{number:02d}"
    for number in (*range(1, 3), *range(4, 8), *range(9, 19), 20, *range(22, 29), 43, 45, 46)
)
"""The main action units that fauds knows, in FACS order."""

INTENSITIES = "ABCDE"
"""The FACS intensity letters, from A (trace, intensity 1) to E (maximum, intensity 5)."""

STATES = ("inactive", "active", *INTENSITIES)
"""What a description can say of an action unit: inactive, active, or an intensity from A to E."""

MOST_BESIDE = 4
"""The largest number of neighbours that a description of one action unit mentions."""

WITHOUT_AUS = ("neutral", "contempt")
"""The names of expressions that `expression_aus` has no action units for."""

MIRRORED_POINTS: tuple[int, ...] = (
    *range(16, -1, -1),
    *range(26, 16, -1),
    *range(27, 31),
    *range(35, 30, -1),
    *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),
    *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55),
    *(64, 63, 62, 61, 60, 67, 66, 65),
)
"""The index of each of iBUG's 68 points on the other side of the face; the midline's are their own.

Point i of a mirrored face is point MIRRORED_POINTS[i] of the face.
"""

SIDES = ("L", "R", "B", "U")
"""The sides of the face that FACS notation and the columns of sides, such as AU12_side, can state.

L and R are the left and the right of the person who is coded, B is both sides, and U is one side
that the coder did not name.
"""

UNCOUNTED = frozenset(
    (8, 19, 21, *range(29, 43), 44, 50, *range(51, 70), *range(70, 75), *range(80, 86), 91, 92)
)
"""The numbers of FACS codes that `parse_codes` accepts but fauds does not count or describe.

They are rare AUs and gross behaviour (8 to 50), positions of the head and the eyes (51 to 69), and
visibility and movements of the body (70 to 92).
"""

_TOKEN = re.compile(
    r"(?:AU[ _-]?)?(?P<side>[LRBU])?(?P<moving>M)?(?:AU[ _-]?)?0*(?P<number>\d{1,2})"
    r"(?P<degree>[A-E])?(?P<uncertain>\?)?",
    re.IGNORECASE,
)
_SEPARATORS = re.compile(r"\s*[+,;]\s*|\s+")
_NEUTRAL = ("0", "au0", "neutral")

_SPELLING = re.compile(r"^\s*(?:AU[\s_-]?)?0*(\d{1,2})(?:_[rc])?\s*$", re.IGNORECASE)


def au_name(spelling: int | str) -> str:
    """Return the name of an action unit as fauds spells it, such as ``AU04``.

    Args:
        spelling: any common spelling of the action unit, such as 4, "au4" or "AU04_r".

    Raises:
        UsageError: the spelling is not recognised, or fauds does not know the action unit.
    """
    match = _SPELLING.match(str(spelling))
    name = f"AU{int(match.group(1)):02d}" if match else None
    if name not in AUS:
        raise UsageError(
            f"{spelling!r} is not an action unit that fauds knows.",
            hint=f"choose from: {', '.join(AUS)}",
        )
    return name


def au_number(name: str) -> int:
    """Return the FACS number of an action unit: 4 for ``AU04``."""
    return int(au_name(name)[2:])


@dataclass(frozen=True)
class FacsCode:
    """What a FACS coder wrote about one action unit that occurs.

    Attributes:
        degree: the intensity, a letter of `INTENSITIES`; None if no intensity was coded.
        side: the side of the face, one of `SIDES`; None if no side was coded.
        uncertain: whether the coder marked the action unit with a question mark. It then counts as
            not coded.
    """

    degree: str | None = None
    side: str | None = None
    uncertain: bool = False

    @property
    def code(self) -> int | str | None:
        """The code as `fauds.describe` takes it: 1, an intensity "A" to "E", or None."""
        return None if self.uncertain else self.degree or 1


def parse_codes(text: str) -> dict[str, FacsCode]:
    """Return the action units (AUs) in a text in the notation of FACS, such as ``1C+2C+L12B``.

    Codes are separated by plus signs, commas, semicolons or blanks. A code is a number, which may
    have "AU" before it, the side (L or R for the person's left or right, B for both sides, U for
    one side that is not named), an intensity from A to E after it, and then a question mark if the
    coder was not certain. Case does not matter. ``0``, ``AU0`` and ``neutral`` say that no AU
    occurs. If an AU is coded for the left and the right separately, as in ``L12B+R12D``, it is on
    both sides with the higher intensity.

    Args:
        text: the codes of one face.

    Returns:
        The code of each AU that occurs, in FACS order, by names such as AU12. Codes in `UNCOUNTED`,
        such as positions of the head and the eyes, are kept under names of the same form, such as
        AU51, or M59 for a movement of the head.

    Raises:
        UsageError: a part of the text is not a FACS code, or an AU is coded twice. The message
            names the place in the text.
    """
    stripped = text.strip()
    if stripped.casefold() in _NEUTRAL:
        return {}
    codes: dict[str, FacsCode] = {}
    place = len(text) - len(text.lstrip())
    end = place + len(stripped)
    while True:
        separator = _SEPARATORS.search(text, place, end)
        stop = separator.start() if separator else end
        # "AU 12" is one code, although a blank separates codes.
        if separator and text[place:stop].casefold() == "au":
            separator = _SEPARATORS.search(text, separator.end(), end)
            stop = separator.start() if separator else end
        name, code = _parse_code(text, place, stop)
        codes[name] = code if name not in codes else _both_sides(codes[name], code, text, place)
        if separator is None:
            return dict(sorted(codes.items(), key=lambda item: _facs_order(item[0])))
        place = separator.end()


def _facs_order(name: str) -> tuple[int, str]:
    return int(re.sub(r"\D", "", name)), name


def _parse_code(text: str, start: int, stop: int) -> tuple[str, FacsCode]:
    token = text[start:stop]
    match = _TOKEN.fullmatch(token)
    if match is None:
        raise _code_error(
            f"{token!r} is not a FACS code." if token else "A FACS code is missing.",
            text,
            start,
            "write an AU's number, with L, R, B or U before it for the side and A to E after it "
            "for the intensity, such as 12, 12C or L12B; write 0 if no AU occurs",
        )
    number = int(match["number"])
    moving = match["moving"] is not None
    name = f"M{number:02d}" if moving else f"AU{number:02d}"
    if name not in AUS and number not in UNCOUNTED:
        raise _code_error(
            f"FACS has no code {number}.",
            text,
            start,
            "compare with the coder's sheet; codes that no face shows are left out, not written "
            "as 0"
            if number == 0
            else "compare with the coder's sheet",
        )
    degree, side = ((match[key] or "").upper() or None for key in ("degree", "side"))
    return name, FacsCode(degree, side, match["uncertain"] is not None)


def _both_sides(first: FacsCode, second: FacsCode, text: str, place: int) -> FacsCode:
    """Return the code of an AU that is coded for the left and the right of a face separately."""
    if {first.side, second.side} != {"L", "R"}:
        raise _code_error(
            "An AU is coded twice.",
            text,
            place,
            "keep one of the two codes; only L and R of the same AU can stand together",
        )
    degree = max(first.degree or "", second.degree or "") or None
    return FacsCode(degree, "B", first.uncertain or second.uncertain)


def _code_error(what: str, text: str, place: int, hint: str) -> UsageError:
    return UsageError(what, where=f"{text!r}, character {place + 1}", hint=hint)


def format_codes(codes: "Mapping[str, FacsCode | int | str | None]") -> str:
    """Return codes of action units (AUs) in the notation of FACS, such as ``1C+2C+L12B``.

    `parse_codes` reads the text back.

    Args:
        codes: by AU, in any common spelling, what `parse_codes` returns, or a code as
            `fauds.describe` takes it: 1 (active), an intensity "A" to "E", 0 (inactive) or None
            (not coded). AUs that are inactive or not coded are left out.

    Returns:
        The codes in FACS order, joined by plus signs; "0" if no AU occurs.

    Raises:
        UsageError: an AU, a side or a code does not exist.
    """
    written = {}
    for name, value in codes.items():
        code = value if isinstance(value, FacsCode) else _code_of(name, value)
        if code is None:
            continue
        if code.side not in (None, *SIDES) or code.degree not in (None, *INTENSITIES):
            raise UsageError(
                f"{code} is not a code of {name}.",
                hint=f"the sides are {', '.join(SIDES)}, the intensities {', '.join(INTENSITIES)}",
            )
        known = re.fullmatch(r"(AU|M)(\d\d)", str(name))
        if known is None or int(known[2]) not in UNCOUNTED:
            known = re.fullmatch(r"(AU|M)(\d\d)", au_name(name))
        assert known is not None
        moving = "M" if known[1] == "M" else ""
        mark = "?" if code.uncertain else ""
        written[known[0]] = f"{code.side or ''}{moving}{int(known[2])}{code.degree or ''}{mark}"
    return "+".join(written[name] for name in sorted(written, key=_facs_order)) or "0"


def _code_of(name: object, value: object) -> FacsCode | None:
    """Return the FACS code for 1 or an intensity; None for 0 or a missing value."""
    # NaN is unequal to itself, and pandas' NA has no truth value.
    if value is None or type(value).__name__ == "NAType" or value != value or value == 0:
        return None
    if value == 1:
        return FacsCode()
    if isinstance(value, str) and value in INTENSITIES:
        return FacsCode(value)
    raise UsageError(
        f"{value!r} is not a code of {name}.",
        hint="use 1, 0, an intensity from A to E, or None",
    )


def side_column(au: str) -> str:
    """Return the name of the column with the side of an action unit in tables: ``AU12_side``."""
    return f"{au}_side"


def occurs(state: str, occurrence_at: int | None) -> bool:
    """Return whether an action unit (AU) counts as occurring, given its state in a description.

    Args:
        state: the state, one of `STATES`: "inactive", "active", or an intensity from "A" to "E".
        occurrence_at: the lowest intensity, 1 to 5, that counts as occurrence, for example 2 in
            DISFA's benchmark; None if the dataset codes occurrence separately from intensity. In
            this case, any intensity from "A" to "E" counts as occurrence.
    """
    if state in INTENSITIES:
        return INTENSITIES.index(state) + 1 >= (occurrence_at or 1)
    return state == "active"


def intensity_column(au: str) -> str:
    """Return the name of an action unit's intensity column in tables: ``AU04_intensity``."""
    return f"{au}_intensity"


@cache
def facts() -> dict[str, dict[str, Any]]:
    """Return the facts about each action unit in templates/facs.yaml, in FACS order.

    The keys of the result are names such as AU04. The facts about an action unit (AU) have the keys
    name, muscles, region, changes (how the AU changes each part of the face), grows (what becomes
    stronger with intensity), confused_with (how each similar AU differs from this AU), moves and
    may_move (see `moves`), beside (its neighbours, see `beside`), landmarks
    (the anchors, that is, the places where the AU is visible; each anchor is a list of indices of
    landmarks, and lies at their mean) and ellipses (see `ellipses`). The header of
    templates/facs.yaml describes the keys and names the sources.
    """
    facts_by_au: dict[str, dict[str, Any]] = _facs_yaml()["aus"]
    return facts_by_au


@cache
def _facs_yaml() -> dict[str, Any]:
    import yaml

    from fauds import resources

    with resources.path("templates", "facs.yaml").open(encoding="utf-8") as file:
        # The C loader is ten times as fast; builds of PyYAML without libyaml lack it.
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        content: dict[str, Any] = yaml.load(file, Loader=loader)
    return content


@cache
def moves(au: str, *, surely: bool = False) -> frozenset[tuple[str, str]]:
    """Return how an action unit moves parts of the face: pairs of a part and a direction.

    Args:
        au: the action unit's name.
        surely: whether to leave out what the action unit moves at some intensities or in some
            people only.

    Returns:
        Pairs such as ``("lip corner", "up")``; see the header of templates/facs.yaml.
    """
    fact = facts()[au]
    tables = (fact["moves"],) if surely else (fact["moves"], fact["may_move"])
    return frozenset(
        (part, direction)
        for table in tables
        for part, directions in table.items()
        for direction in ([directions] if isinstance(directions, str) else directions)
    )


@cache
def opposites() -> frozenset[frozenset[str]]:
    """Return the pairs of directions that one part cannot have moved in at the same time."""
    return frozenset(map(frozenset, _facs_yaml()["opposites"]))


@cache
def opposed(au: str, other: str) -> tuple[str, ...]:
    """Return the parts of the face that two action units can move in opposite directions, sorted.

    A text that says of such a part where it has ended up cannot be true beside one that says the
    opposite; that one action unit pulls it up and the other down can be true.
    """
    return tuple(
        sorted(
            {
                part
                for part, direction in moves(au)
                for other_part, other_direction in moves(other)
                if part == other_part and frozenset((direction, other_direction)) in opposites()
            }
        )
    )


def beside(au: str, coded: Collection[str]) -> tuple[str, ...]:
    """Return the neighbours of an action unit that a composed text can mention.

    Args:
        au: the action unit's name.
        coded: the names of the action units that are coded.

    Returns:
        At most `MOST_BESIDE` action units in FACS order: the first of the list in
        templates/facs.yaml that are coded.
    """
    listed = [name for name in facts()[au]["beside"] if name in coded]
    return tuple(sorted(listed[:MOST_BESIDE]))


@cache
def expression_aus() -> dict[str, tuple[str, ...]]:
    """Return the codebook: the action units that each basic expression is associated with.

    It is that of Figure 2 of "Guided Interpretable Facial Expression Recognition via Spatial Action
    Unit Cues" (FG 2024, arXiv 2402.00281).

    Returns:
        The names of the action units, such as AU06, in FACS order, by the name of the expression,
        such as "happiness". Expressions that the codebook has no row for, such as "neutral" and
        "contempt", are missing.
    """
    codebook: dict[str, list[str]] = _facs_yaml()["expressions"]
    return {name: tuple(aus) for name, aus in codebook.items()}


@dataclass(frozen=True)
class Ellipse:
    """An ellipse on a face, placed by landmarks, in which an action unit is visible.

    Its axes lie across and down the face: across is the direction from iBUG's landmark 36 to 45,
    the outer eye corners, and down is perpendicular to it. Lengths across the face are in units of
    the distance between these two landmarks; lengths down the face are in units of the distance,
    measured down the face, from landmark 27 (the root of the nose) to 33 (its base).

    Attributes:
        x: the landmarks whose extent across the face the ellipse has, before `axes` is added.
        y: the landmarks whose extent down the face it has, before `axes` is added.
        shift: the displacement of its centre across and down the face.
        axes: what is added to its semi-axes across and down the face, each of which is half the
            extent of the landmarks (0 for a single landmark).
    """

    x: tuple[int, ...]
    y: tuple[int, ...]
    shift: tuple[float, float]
    axes: tuple[float, float]

    def mirrored(self) -> "Ellipse":
        """Return the ellipse on the other side of the face."""
        x, y = (tuple(sorted(MIRRORED_POINTS[point] for point in of)) for of in (self.x, self.y))
        return Ellipse(x, y, (-self.shift[0], self.shift[1]), self.axes)


@cache
def ellipses(au: str) -> tuple[Ellipse, ...]:
    """Return the ellipses in which an action unit is visible, on both sides of the face.

    Together they are symmetric: templates/facs.yaml lists those on the left side of the image and
    on the midline of the face, and the others are mirrored from these.

    Args:
        au: the action unit, in any common spelling.

    Raises:
        UsageError: fauds does not know the action unit.
    """
    listed = [
        Ellipse(tuple(sorted(x)), tuple(sorted(y)), (right, below), (across, down))
        for x, y, (right, below), (across, down) in (
            (entry["x"], entry["y"], entry.get("shift", (0, 0)), entry["axes"])
            for entry in facts()[au_name(au)]["ellipses"]
        )
    ]
    # A dictionary keeps the order, and an ellipse on the midline, its own mirror image, once.
    return tuple(dict.fromkeys(one for left in listed for one in (left, left.mirrored())))


def anchors(au: int | str, points: "np.ndarray") -> "np.ndarray":
    """Return the anchors of an action unit: the points on a face at which it is visible.

    Args:
        au: the action unit, in any common spelling.
        points: the 68 landmarks of the face in iBUG's order, as an array [68, 2] of x and y, for
            example in pixels.

    Returns:
        An array [n, 2] of the x and y of n anchors, in the unit of `points`. An anchor is the mean
        of the landmarks that templates/facs.yaml lists for it.

    Raises:
        UsageError: fauds does not know the action unit.
    """
    import numpy as np

    return np.stack([points[anchor].mean(axis=0) for anchor in facts()[au_name(au)]["landmarks"]])
