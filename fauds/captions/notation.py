"""Writes and reads FACS strings, such as 1C+2C+12D, the codes of all action units on a face."""

import re
from collections.abc import Mapping

from fauds.errors import UsageError
from fauds.facs import AUS, INTENSITIES, au_name, au_number

NEUTRAL = "0"
"""The FACS string of a face on which none of the coded action units is seen."""

_CODE = re.compile(r"(?:AU)?\s*0*(\d{1,2})\s*([A-E]?)", re.IGNORECASE)


def facs_code(au: str, state: str) -> str:
    """Return the FACS code of an action unit, such as 12D, or 12 if the state has no degree."""
    return f"{au_number(au)}{state if state in INTENSITIES else ''}"


def facs_string(states: Mapping[str, str]) -> str:
    """Return the FACS string of a face, such as 1C+2C+12D.

    Args:
        states: the state of each coded action unit: "inactive", "active" or a degree "A" to "E".

    Returns:
        The codes of all action units that are not inactive, in FACS order and joined by "+";
        `NEUTRAL` if there are none.
    """
    codes = [facs_code(au, states[au]) for au in AUS if states.get(au, "inactive") != "inactive"]
    return "+".join(codes) or NEUTRAL


def read_facs_string(text: str) -> dict[int | str, int | str | None]:
    """Return the codes of the action units in a FACS string.

    Args:
        text: codes joined by "+", such as ``1C+2C+12D``; ``0`` for a neutral face. Blanks and "AU"
            before a number do not matter.

    Returns:
        The degree, "A" to "E", or 1 of each action unit that the text lists; the keys are names
        such as AU12.

    Raises:
        UsageError: a code is unknown, has a side (L12), or occurs twice.
    """
    codes: dict[int | str, int | str | None] = {}
    if text.strip() == NEUTRAL:
        return codes
    for part in text.split("+"):
        match = _CODE.fullmatch(part.strip())
        if not match:
            raise UsageError(
                f"{part.strip()!r} is not the code of an action unit.",
                where=text,
                hint="write numbers with or without a degree, joined by +, such as 6+12D; "
                "descriptions hold for one side or both, so leave out L and R",
            )
        au = au_name(match[1])
        if au in codes:
            raise UsageError(f"{text!r} has {au} twice.", hint="give one code per action unit")
        codes[au] = match[2].upper() or 1
    return codes
