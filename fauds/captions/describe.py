"""Functions that return a text about one action unit, about a face, or about a face's AU codes."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from fauds.captions.templates import canonical, load, state_name, subject
from fauds.errors import UsageError
from fauds.facs import AUS, au_name


def describe(
    au: int | str,
    state: str = "active",
    language: str = "en",
    *,
    variant: int = 0,
    templates: Path | None = None,
) -> str:
    """Return the description of one action unit, for example ``describe("AU12", "active")``.

    Args:
        au: the action unit, in any common spelling.
        state: "inactive", "active", or a degree (FACS intensity), "A" (trace) to "E" (maximum).
        language: the language's code, such as "en".
        variant: the number of the paraphrase, from 0.
        templates: a folder whose files override the shipped templates.

    Raises:
        UsageError: the action unit, state or language is unknown.
        DataError: the templates are broken, or have no such paraphrase.
    """
    return load(language, templates).local(au_name(au), state_name(state), variant)


def describe_face(
    aus: Collection[int | str],
    sex: str | None = None,
    language: str = "en",
    *,
    variant: int = 0,
    templates: Path | None = None,
) -> str:
    """Return the description of a face on which exactly these action units are active.

    Args:
        aus: the action units, in any common spelling; if empty, the text says that the face shows
            no movement.
        sex: "F", "M", or None if not known.
        language: the language's code, such as "en".
        variant: the number of the paraphrase, from 0.
        templates: a folder whose files override the shipped templates.

    Raises:
        UsageError: an action unit, the sex or the language is unknown.
        DataError: the templates are broken, or have no such paraphrase.
    """
    return load(language, templates).face(canonical(aus), subject(sex), variant)


@dataclass(frozen=True)
class Description:
    """The description of one face, and the descriptions of its single action units.

    Attributes:
        face: the description of the whole face; ``str()`` of this object returns it too.
        local: the description of every coded action unit, by the action unit's name.
        active: the names of the active action units, in FACS order.
    """

    face: str
    local: Mapping[str, str]
    active: tuple[str, ...]

    def __str__(self) -> str:
        return self.face


def describe_codes(
    codes: Mapping[int | str, int | str | None],
    sex: str | None = None,
    language: str = "en",
    *,
    variant: int = 0,
    templates: Path | None = None,
) -> Description:
    """Return the descriptions of one face from its codes, such as ``{"AU06": 1, "AU12": "C"}``.

    Args:
        codes: the code of each action unit; the keys are action units in any common spelling. A
            code is 1 (active), 0 (inactive), a degree (FACS intensity) "A" (trace) to "E"
            (maximum), or None (also NaN or pandas' NA) if the action unit is not coded.
        sex: "F", "M", or None if not known.
        language: the language's code, such as "en".
        variant: the number of the paraphrase, from 0.
        templates: a folder whose files override the shipped templates.

    Raises:
        UsageError: an action unit, a code, the sex or the language is unknown, or an action unit
            occurs twice.
        DataError: the templates are broken, or have no such paraphrase.
    """
    states: dict[str, str] = {}
    for spelling, code in codes.items():
        au = au_name(spelling)
        if au in states:
            raise UsageError(
                f"The codes contain {au} more than once.",
                where=str(spelling),
                hint="give one code per action unit",
            )
        state = _state(au, code)
        if state is not None:
            states[au] = state
    renderer = load(language, templates)
    active = tuple(au for au in AUS if states.get(au, "inactive") != "inactive")
    return Description(
        face=renderer.face(canonical(active), subject(sex), variant),
        local={au: renderer.local(au, states[au], variant) for au in AUS if au in states},
        active=active,
    )


def _state(au: str, code: int | str | None) -> str | None:
    """Return the state that a code stands for; None if the action unit is not coded.

    Args:
        au: the action unit's name, for errors.
        code: 1 (active), 0 (inactive), a degree "A" to "E", or a missing value (None, NaN or
            pandas' NA).

    Returns:
        "active", "inactive", or a degree: one of `fauds.facs.STATES`.

    Raises:
        UsageError: the code has another value.
    """
    # pandas marks missing values by NaN, which is unequal to itself, or NA, which has no truth
    # value.
    if (
        code is None
        or type(code).__name__ == "NAType"
        or (isinstance(code, float) and code != code)
    ):
        return None
    if isinstance(code, str):
        return state_name(code)
    if code in (0, 1):
        return "active" if code else "inactive"
    raise UsageError(
        f"{code!r} is not a code of {au}.",
        hint="use 1 for active, 0 for inactive, a letter from A (trace) to E (maximum) for a "
        "degree, or None for not coded",
    )
