"""Action units: their names, their spellings, and the facts that FACS states of them.

Names inside fauds are OpenFace's and py-feat's: AU01, AU12. Every other spelling (1, "au1",
"AU_12", "AU12_r") is turned into them here, once, where it enters.
"""

import re
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
"""FACS intensity letters; intensity 1 is A (trace), 5 is E (maximum), 0 is absent."""

STATES = ("inactive", "active", *INTENSITIES)
"""What can be said of an action unit: the first two by occurrence, then one an intensity."""

_SPELLING = re.compile(r"^\s*(?:AU[\s_-]?)?0*(\d{1,2})(?:_[rc])?\s*$", re.IGNORECASE)


def au_name(spelling: int | str) -> str:
    """Return the canonical name, ``AU04``, of any common spelling of an action unit.

    Raises:
        UsageError: the spelling is none, or fauds does not know that action unit.
    """
    match = _SPELLING.match(str(spelling))
    name = f"AU{int(match.group(1)):02d}" if match else None
    if name not in AUS:
        raise UsageError(
            f"{spelling!r} is not an action unit that fauds knows.",
            hint=f"known: {', '.join(AUS)}",
        )
    return name


def au_number(name: str) -> int:
    """Return the FACS number of a canonical name: 4 for ``AU04``."""
    return int(au_name(name)[2:])


def occurs(state: str, occurrence_at: int | None) -> bool:
    """Return whether an action unit in one of `STATES` counts as occurring.

    Args:
        state: as a description says it.
        occurrence_at: the lowest intensity that counts (DISFA's benchmark: 2); None where
            occurrence is coded apart from it: there every degree is one of an occurring unit.
    """
    if state in INTENSITIES:
        return INTENSITIES.index(state) + 1 >= (occurrence_at or 1)
    return state == "active"


def intensity_column(au: str) -> str:
    """Return the frames table's intensity column of an action unit: ``AU04_intensity``."""
    return f"{au}_intensity"


@cache
def facts() -> dict[str, dict[str, Any]]:
    """Return what templates/facs.yaml states per action unit, in FACS order.

    Keys: name, muscles, region, changes (part of the face -> appearance), grows (with
    intensity), confused_with (other action unit -> how it differs) and landmarks (anchors on
    the 68 points, see `anchors`). The file's header says what each holds, and its sources.
    """
    import yaml

    from fauds import resources

    with resources.path("templates", "facs.yaml").open(encoding="utf-8") as file:
        known: dict[str, dict[str, Any]] = yaml.safe_load(file)["aus"]
    return known


def anchors(au: int | str, points: "np.ndarray") -> "np.ndarray":
    """Return where an action unit is seen on a face.

    Args:
        au: the action unit, in any common spelling.
        points: the face's 68 landmarks in iBUG's order, [68, 2].

    Returns:
        One row per anchor of templates/facs.yaml, [n, 2], in the units of points.
    """
    import numpy as np

    return np.stack([points[anchor].mean(axis=0) for anchor in facts()[au_name(au)]["landmarks"]])
