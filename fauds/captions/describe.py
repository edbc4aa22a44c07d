"""One description at a time."""

from collections.abc import Collection
from pathlib import Path

from fauds.captions.templates import STATES, canonical, load, subject
from fauds.errors import UsageError
from fauds.facs import au_name


def describe(
    au: int | str, state: str = "active", language: str = "en", *, templates: Path | None = None
) -> str:
    """Return the description of one action unit, for example ``describe("AU12", "active")``.

    Args:
        au: any common spelling.
        state: "inactive" or "active".
        language: a language's code.
        templates: a folder whose files override the shipped templates.

    Raises:
        UsageError: no such action unit, state or language.
        DataError: the templates are broken.
    """
    if state not in STATES:
        raise UsageError(f"{state!r} is not a state.", hint=f"there is: {', '.join(STATES)}")
    return load(language, templates).local(au_name(au), state)


def describe_face(
    aus: Collection[int | str],
    sex: str | None = None,
    language: str = "en",
    *,
    templates: Path | None = None,
) -> str:
    """Return the description of a face on which exactly these action units are active.

    Args:
        aus: any common spellings; none gives the sentence for a face without movement.
        sex: "F", "M", or None where it is not known.
        language: a language's code.
        templates: a folder whose files override the shipped templates.

    Raises:
        UsageError: no such action unit, sex or language.
        DataError: the templates are broken.
    """
    return load(language, templates).face(canonical(aus), subject(sex))
