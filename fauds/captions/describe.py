"""One description at a time."""

from collections.abc import Collection
from pathlib import Path

from fauds.captions.templates import canonical, load, state_name, subject
from fauds.facs import au_name


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
