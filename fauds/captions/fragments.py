"""What a language's YAML files hold: descriptions by state, units of a face, facts of the language.

Every check here yields all that is wrong, so that a linter can list it; reading raises the first.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fauds.captions.template_files import TemplateFile
from fauds.captions.yamlread import Text, broken, parse
from fauds.errors import DataError
from fauds.facs import AUS, STATES

SUBJECT_WORDS = ("F", "M", "unknown")
"""Sexes that a global description knows; a null sex is "unknown"."""

WORDS = ("first", "again", "their")
"""What a language says for the subject: opening a description, later, and as a possessive."""

States = dict[str, list[list[Text]]]
"""State -> paraphrases -> sentences."""


@dataclass(frozen=True)
class AuUnit:
    """Action units that a global description says in one fragment; `say` are its paraphrases."""

    aus: frozenset[str]
    region: str
    say: tuple[Text, ...]
    line: int


@dataclass(frozen=True)
class FaceFragments:
    """global.yaml: the subjects' words, what is said of nothing, regions in order, units."""

    subjects: dict[str, dict[str, Text]]
    nothing: tuple[Text, ...]
    regions: tuple[str, ...]
    units: tuple[AuUnit, ...]


@dataclass(frozen=True)
class Language:
    """language.yaml: the language's own name, and the words that turn a statement round."""

    name: str
    negations: tuple[str, ...]


def read_states(source: TemplateFile) -> States:
    """Return what a local/AU12.yaml says.

    Raises:
        DataError: it is not what it should be; names file and line.
    """
    table = parse(source)
    _raise_first(state_problems(source, table))
    return table


def state_problems(source: TemplateFile, table: dict[Any, Any]) -> Iterator[DataError]:
    """Yield what is wrong with the form of a local/AU12.yaml."""
    for state, paraphrases in table.items():
        line = getattr(state, "line", None)
        if state not in STATES:
            known = ", ".join(STATES)
            yield broken(source, f"{state!r} is not a state: they are {known}.", line)
        elif not _texts(paraphrases, depth=2):
            what = (
                f"{state}: not a list of paraphrases, each a list of sentences (one with a colon "
                "needs quotes, and none may be empty)."
            )
            yield broken(source, what, line)


def read_face(source: TemplateFile) -> FaceFragments:
    """Return what a global.yaml says; errors as in `read_states`."""
    table = parse(source)
    _raise_first(face_problems(source, table))
    units = (
        AuUnit(frozenset(str(key).split("+")), entry["region"], tuple(entry["say"]), key.line)
        for key, entry in table["says"].items()
    )
    regions, nothing = tuple(table["regions"]), tuple(table["nothing"])
    return FaceFragments(table["subjects"], nothing, regions, tuple(units))


def face_problems(source: TemplateFile, table: dict[str, Any]) -> Iterator[DataError]:
    """Yield what is wrong with the form of a global.yaml."""
    kinds = {"subjects": dict, "nothing": list, "regions": list, "says": dict}
    lacking = [key for key, kind in kinds.items() if not isinstance(table.get(key) or None, kind)]
    for key in lacking:
        yield broken(source, f"{source.name} lacks {key!r}, a {kinds[key].__name__}.")
    if "subjects" not in lacking:
        yield from _subject_problems(source, table["subjects"])
    for key in ("nothing", "regions"):
        if key not in lacking and not _texts(table[key], depth=1):
            lacking.append(key)
            yield broken(source, f"{key!r} is not a list of texts.")
    if not {"says", "regions"} & set(lacking):
        yield from _unit_problems(source, table["says"], table["regions"])


def _subject_problems(source: TemplateFile, subjects: dict[Any, Any]) -> Iterator[DataError]:
    lines = {key: getattr(key, "line", None) for key in subjects}
    for sex in SUBJECT_WORDS:
        words = subjects.get(sex)
        for name in WORDS:
            if not isinstance(words, dict) or not isinstance(words.get(name), str):
                what = f"The subject {sex!r} has no word {name!r}."
                yield broken(source, what, lines.get(sex))
        for name in words if isinstance(words, dict) else ():
            if name not in WORDS:
                known = ", ".join(WORDS)
                what = f"The subject {sex!r} has a word {name!r}: there are {known}."
                yield broken(source, what, lines.get(sex))


def _unit_problems(source: TemplateFile, says: dict[Any, Any], regions: Any) -> Iterator[DataError]:
    seen: dict[frozenset[str], str] = {}
    for key, entry in says.items():
        names, line = str(key).split("+"), getattr(key, "line", None)
        for name in names:
            if name not in AUS:
                yield broken(source, f"{name!r} is not an action unit that fauds knows.", line)
        first = seen.setdefault(frozenset(names), key)
        if first is not key or len(set(names)) != len(names):
            yield broken(source, f"{key} says the action units of {first} again.", line)
        if not isinstance(entry, dict) or not _texts(entry.get("say"), depth=1):
            yield broken(source, f"{key}: 'say' is not a list of texts.", line)
        elif entry.get("region") not in regions:
            yield broken(source, f"{key}: its region is not one of 'regions'.", line)


def read_language(source: TemplateFile) -> Language:
    """Return what a language.yaml says; errors as in `read_states`."""
    table = parse(source)
    _raise_first(language_problems(source, table))
    return Language(table["name"], tuple(table["negations"]))


def language_problems(source: TemplateFile, table: dict[str, Any]) -> Iterator[DataError]:
    """Yield what is wrong with the form of a language.yaml."""
    if not isinstance(table.get("name"), str):
        yield broken(source, "The language has no 'name', a text.")
    if not _texts(table.get("negations"), depth=1):
        yield broken(source, "'negations' is not a list of texts (no and yes need quotes).")


def _raise_first(problems: Iterator[DataError]) -> None:
    for problem in problems:
        raise problem


def _texts(value: Any, depth: int) -> bool:
    if depth == 0:
        return isinstance(value, str)
    return isinstance(value, list) and bool(value) and all(_texts(v, depth - 1) for v in value)
