"""Reads and checks a language's YAML files: local/AU*.yaml, global.yaml and language.yaml.

Functions named read_* return the content of a file, or raise the first problem in it; functions
named *_problems yield all problems in a file, for ``fauds captions lint``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fauds.captions.template_files import TemplateFile
from fauds.captions.yamlread import Text, broken, parse
from fauds.errors import DataError
from fauds.facs import AUS, STATES

SUBJECT_WORDS = ("F", "M", "unknown")
"""The sexes of subjects for which global.yaml has words such as "A woman".

"unknown" stands for a sex that is null in the frames table.
"""

WORDS = ("first", "again", "their")
"""The names of the words that a language has for subjects of each sex.

In English, the words for a woman are "A woman" for "first" (at the start of a description), "She"
for "again" (later in the description) and "her" for "their".
"""

States = dict[str, list[list[Text]]]
"""The texts of one action unit: for each state, a list of paraphrases.

The states are "inactive", "active" and "A" to "E" (intensities). A paraphrase is a list of
sentences.
"""


@dataclass(frozen=True)
class AuUnit:
    """One or several action units that descriptions of faces mention in one piece of text.

    The piece of text is called a fragment. For example, the entry AU06+AU12 of global.yaml has a
    fragment for a smile, which replaces the fragment for AU06 and the fragment for AU12.

    Attributes:
        aus: the names of the action units.
        region: the region of the face that the fragment is about, one of `FaceFragments.regions`.
        paraphrases: the paraphrases of the fragment.
        line: the line of the entry in global.yaml, from 1.
    """

    aus: frozenset[str]
    region: str
    paraphrases: tuple[Text, ...]
    line: int


@dataclass(frozen=True)
class FaceFragments:
    """The content of a language's global.yaml: the texts that describe whole faces.

    Attributes:
        subjects: the words for the subject, by sex (one of `SUBJECT_WORDS`) and then by the name of
            the word (one of `WORDS`), such as "A woman" for "F" and "first".
        nothing: the paraphrases of the text for a face on which no action unit is active.
        regions: the names of the regions of the face, in the order in which they are described.
        units: the entries for single action units and for groups of action units, in the order of
            the file.
    """

    subjects: dict[str, dict[str, Text]]
    nothing: tuple[Text, ...]
    regions: tuple[str, ...]
    units: tuple[AuUnit, ...]


@dataclass(frozen=True)
class Language:
    """The content of a language's language.yaml.

    Attributes:
        name: the language's name, such as "English".
        negations: the words that negate a statement, such as "not". An entry that begins with a
            hyphen, such as "-n't", is the end of a word.
    """

    name: str
    negations: tuple[str, ...]


def read_states(source: TemplateFile) -> States:
    """Return the texts of one action unit, by state, from a file such as local/AU12.yaml.

    Raises:
        DataError: the file does not have the required form; the message names file and line.
    """
    table = parse(source)
    _raise_first(state_problems(source, table))
    return table


def state_problems(source: TemplateFile, table: dict[Any, Any]) -> Iterator[DataError]:
    """Yield an error for every problem in the form of a file such as local/AU12.yaml.

    Args:
        source: the file, for the place of each problem.
        table: the content of the file: by state, lists of paraphrases.
    """
    for state, paraphrases in table.items():
        line = getattr(state, "line", None)
        if state not in STATES:
            known = ", ".join(STATES)
            yield broken(source, f"{state!r} is not a state: the states are {known}.", line)
        elif not _texts(paraphrases, depth=2):
            what = (
                f"The state {state!r} must have a list of paraphrases, each of which is a list of "
                "sentences (no list may be empty, and a sentence with a colon needs quotes)."
            )
            yield broken(source, what, line)


def read_face(source: TemplateFile) -> FaceFragments:
    """Return the content of a global.yaml, the texts that describe whole faces.

    Raises:
        DataError: the file does not have the required form; the message names file and line.
    """
    table = parse(source)
    _raise_first(face_problems(source, table))
    units = (
        AuUnit(frozenset(str(key).split("+")), entry["region"], tuple(entry["say"]), key.line)
        for key, entry in table["says"].items()
    )
    regions, nothing = tuple(table["regions"]), tuple(table["nothing"])
    return FaceFragments(table["subjects"], nothing, regions, tuple(units))


def face_problems(source: TemplateFile, table: dict[str, Any]) -> Iterator[DataError]:
    """Yield an error for every problem in the form of a global.yaml.

    Args:
        source: the file, for the place of each problem.
        table: the content of the file.
    """
    kinds = {"subjects": dict, "nothing": list, "regions": list, "says": dict}
    missing = [key for key, kind in kinds.items() if not isinstance(table.get(key) or None, kind)]
    for key in missing:
        yield broken(source, f"{source.name} needs {key!r}, a {kinds[key].__name__} with content.")
    if "subjects" not in missing:
        yield from _subject_problems(source, table["subjects"])
    for key in ("nothing", "regions"):
        if key not in missing and not _texts(table[key], depth=1):
            missing.append(key)
            yield broken(source, f"{key!r} must be a list of texts.")
    if not {"says", "regions"} & set(missing):
        yield from _unit_problems(source, table["says"], table["regions"])


def _subject_problems(source: TemplateFile, subjects: dict[Any, Any]) -> Iterator[DataError]:
    lines = {key: getattr(key, "line", None) for key in subjects}
    for sex in SUBJECT_WORDS:
        words = subjects.get(sex)
        for name in WORDS:
            if not isinstance(words, dict) or not isinstance(words.get(name), str):
                what = f"Under 'subjects', {sex!r} has no word {name!r}."
                yield broken(source, what, lines.get(sex))
        for name in words if isinstance(words, dict) else ():
            if name not in WORDS:
                known = ", ".join(WORDS)
                what = f"Under 'subjects', {sex!r} has a word {name!r}; the words are {known}."
                yield broken(source, what, lines.get(sex))


def _unit_problems(
    source: TemplateFile, entries: dict[Any, Any], regions: Any
) -> Iterator[DataError]:
    first_keys: dict[frozenset[str], str] = {}
    for key, entry in entries.items():
        names, line = str(key).split("+"), getattr(key, "line", None)
        for name in names:
            if name not in AUS:
                yield broken(source, f"{name!r} is not an action unit that fauds knows.", line)
        first = first_keys.setdefault(frozenset(names), key)
        if first is not key or len(set(names)) != len(names):
            yield broken(source, f"The entry {key} repeats the action units of {first}.", line)
        if not isinstance(entry, dict) or not _texts(entry.get("say"), depth=1):
            yield broken(source, f"The entry {key} needs 'say' with a list of texts.", line)
        elif entry.get("region") not in regions:
            yield broken(source, f"The region of the entry {key} is not listed in 'regions'.", line)


def read_language(source: TemplateFile) -> Language:
    """Return the content of a language.yaml: the language's name and its negations.

    Raises:
        DataError: the file does not have the required form; the message names file and line.
    """
    table = parse(source)
    _raise_first(language_problems(source, table))
    return Language(table["name"], tuple(table["negations"]))


def language_problems(source: TemplateFile, table: dict[str, Any]) -> Iterator[DataError]:
    """Yield an error for every problem in the form of a language.yaml.

    Args:
        source: the file, for the place of each problem.
        table: the content of the file.
    """
    if not isinstance(table.get("name"), str):
        yield broken(source, f"{source.name} needs 'name', a text such as English.")
    if not _texts(table.get("negations"), depth=1):
        yield broken(source, "'negations' must be a list of texts (no and yes need quotes).")


def _raise_first(problems: Iterator[DataError]) -> None:
    for problem in problems:
        raise problem


def _texts(value: Any, depth: int) -> bool:
    if depth == 0:
        return isinstance(value, str)
    return (
        isinstance(value, list) and bool(value) and all(_texts(item, depth - 1) for item in value)
    )
