"""One description at a time: of an action unit, of a face, or of a face's codes."""

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
        au: any common spelling.
        state: "inactive", "active", or a FACS degree, "A" (trace) to "E" (maximum).
        language: a language's code.
        variant: which paraphrase, from 0.
        templates: a folder whose files override the shipped templates.

    Raises:
        UsageError: no such action unit, state or language.
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
        aus: any common spellings; none gives the sentence for a face without movement.
        sex: "F", "M", or None where it is not known.
        language: a language's code.
        variant: which paraphrase, from 0.
        templates: a folder whose files override the shipped templates.

    Raises:
        UsageError: no such action unit, sex or language.
        DataError: the templates are broken, or have no such paraphrase.
    """
    return load(language, templates).face(canonical(aus), subject(sex), variant)


@dataclass(frozen=True)
class Description:
    """What the codes of one face say, in words.

    Attributes:
        face: the description of the whole face; ``str(description)`` gives it.
        local: action unit to its own description, of every one that is coded.
        active: the action units that are active, in FACS order.
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
    """Return the descriptions of one face from its codes: ``{"AU06": 1, "AU12": "C"}``.

    Args:
        codes: action units, in any common spelling, to 1 (active), 0 (inactive), a FACS degree
            "A" (trace) to "E" (maximum), or None (NaN, pandas' NA) where it is not coded.
        sex: "F", "M", or None where it is not known.
        language: a language's code.
        variant: which paraphrase, from 0.
        templates: a folder whose files override the shipped templates.

    Raises:
        UsageError: no such action unit, code, sex or language; or an action unit comes twice.
        DataError: the templates are broken, or have no such paraphrase.
    """
    states: dict[str, str] = {}
    for spelling, code in codes.items():
        au = au_name(spelling)
        if au in states:
            raise UsageError(f"{au} comes more than once.", where=str(spelling))
        state = _state(au, code)
        if state is not None:
            states[au] = state
    loaded = load(language, templates)
    active = tuple(au for au in AUS if states.get(au, "inactive") != "inactive")
    return Description(
        face=loaded.face(canonical(active), subject(sex), variant),
        local={au: loaded.local(au, states[au], variant) for au in AUS if au in states},
        active=active,
    )


def _state(au: str, code: int | str | None) -> str | None:
    """Return one of the states that texts are written for; None where it is not coded."""
    # pandas' marks of what is missing: NaN is unequal to itself, NA has no truth value.
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
        f"{code!r} is no code of {au}.",
        hint="1 or 0 for active or inactive; a degree is a letter, A (trace) to E (maximum); None "
        "where it is not coded",
    )
