"""The names and spellings of action units (AUs), and facts about AUs from FACS.

fauds spells AUs as OpenFace and py-feat do, for example AU01 and AU12. `au_name` converts other
spellings (1, "au1", "AU_12", "AU12_r") when labels or commands are read.
"""

import re
from collections.abc import Collection
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
