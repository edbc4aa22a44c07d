"""Action units: their names, their spellings, and the facts that FACS states of them.

Names inside fauds are OpenFace's and py-feat's: AU01, AU12. Every other spelling (1, "au1",
"AU_12", "AU12_r") is turned into them here, once, where it enters.
"""

import re
from functools import cache
from typing import Any

from fauds.errors import UsageError

AUS: tuple[str, ...] = tuple(
    f"AU{number:02d}"
    for number in (*range(1, 3), *range(4, 8), *range(9, 19), 20, *range(22, 29), 43, 45, 46)
)
"""The main action units that fauds knows, in FACS order."""

INTENSITIES = "ABCDE"
"""FACS intensity letters; intensity 1 is A (trace), 5 is E (maximum), 0 is absent."""

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


def intensity_column(au: str) -> str:
    """Return the frames table's intensity column of an action unit: ``AU04_intensity``."""
    return f"{au}_intensity"


@cache
def facts() -> dict[str, dict[str, Any]]:
    """Return what templates/facs.yaml states per action unit (name, muscles, region, changes)."""
    import yaml

    from fauds import resources

    with resources.path("templates", "facs.yaml").open(encoding="utf-8") as file:
        return yaml.safe_load(file)["aus"]
