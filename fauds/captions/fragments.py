"""Reads and checks a language's YAML files: local/AU*.yaml, global.yaml and language.yaml.

Functions named read_* return the content of a file, or raise the first problem in it; functions
named *_problems yield all problems in a file, for ``fauds captions lint``.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from fauds.captions.template_files import TemplateFile
from fauds.captions.yamlread import Text, broken, parse
from fauds.errors import DataError
from fauds.facs import AUS, INTENSITIES, STATES

SUBJECT_WORDS = ("F", "M", "unknown")
"""The sexes of subjects for which global.yaml has words such as "a woman's".

"unknown" stands for a sex that is null in the frames table.
"""

CERTAINTIES = ("very probable", "probable", "undecided")
"""The names of the words for action units that a model predicts with some probability."""

States = dict[str, list[list[Text]]]
"""The texts of one action unit: for each state, a list of paraphrases.

The states are "inactive", "active" and "A" to "E" (intensities). A paraphrase is a list of
sentences.
"""

Degrees = dict[str, list[Text]]
"""Paraphrases of some words for each degree, "A" to "E"."""


@dataclass(frozen=True)
class AuUnit:
    """One or several action units that descriptions of faces mention in one piece of text.

    The piece of text is called a fragment. For example, the entry AU12+AU15 of global.yaml has a
    fragment for lip corners that are pulled two ways, which replaces those for AU12 and AU15.

    Attributes:
        aus: the names of the action units.
        region: the region of the face that the fragment is about, one of `FaceFragments.regions`.
        paraphrases: the paraphrases of the fragment.
        line: the line of the entry in global.yaml, from 1.
        how: the kind of words that give the action unit's degree, a key of `FaceFragments.how`;
            None if the fragment takes no degree.
    """

    aus: frozenset[str]
    region: str
    paraphrases: tuple[Text, ...]
    line: int
    how: str | None = None


@dataclass(frozen=True)
class FaceFragments:
    """The content of a language's global.yaml: the texts that describe whole faces.

    Attributes:
        subjects: the words for the subject, by sex (one of `SUBJECT_WORDS`) and then by the name of
            the word. The names are the language's own. In English, the words for a woman are
            "a woman's" for "whose" (where a description first mentions her) and "her" for "their".
        nothing: the paraphrases of the text for a face on which no coded action unit is active.
        regions: the names of the regions of the face, in the order in which they are described.
        units: the entries for single action units and for groups of action units, in the order of
            the file.
        at_most: the words after a text that denies an action, where intensities up to a degree,
            "A" to "D", also count as inactive.
        how: for each kind of action, the words after a fragment that give its degree.
        certainty: the words for predicted action units, by the names in `CERTAINTIES`.
        report: the words of full reports: "code" (a pair of brackets with the blanks around
            them), "unseen" and "uncoded".
    """

    subjects: dict[str, dict[str, Text]]
    nothing: tuple[Text, ...]
    regions: tuple[str, ...]
    units: tuple[AuUnit, ...]
    at_most: Degrees
    how: dict[str, Degrees]
    certainty: dict[str, Text]
    report: dict[str, Any]


@dataclass(frozen=True)
class Language:
    """The content of a language's language.yaml.

    The lists after `negations` are used by `fauds.captions.lint` only, and may be empty. A word in
    them that ends with a hyphen is the beginning of words.

    Attributes:
        name: the language's name, such as "English".
        negations: the words that negate a statement, such as "not". An entry that begins with a
            hyphen, such as "-n't", is the end of a word.
        hedges: the words that leave a clause open, such as "may".
        signs: the words for what skin forms on some faces only, such as "wrinkle".
        named: expressions that contain such a word but name a place, such as "nasolabial furrow".
        order: the words that say what came first, such as "after".
        both_sides: the words that assert an action on both sides of a face, such as "both eyes".
        two_sided: the action units to which `both_sides` does not apply.
        parts: how texts call parts of the face; the keys are parts in `fauds.facs.moves`.
        results: the words that say where a part is, such as "raised"; the keys are directions.
    """

    name: str
    negations: tuple[str, ...]
    hedges: tuple[str, ...] = ()
    signs: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    both_sides: tuple[str, ...] = ()
    two_sided: tuple[str, ...] = ()
    parts: dict[str, list[str]] = field(default_factory=dict)
    results: dict[str, list[str]] = field(default_factory=dict)


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
        AuUnit(
            frozenset(str(key).split("+")),
            entry["region"],
            tuple(entry["say"]),
            key.line,
            entry.get("how"),
        )
        for key, entry in table["says"].items()
    )
    return FaceFragments(
        table["subjects"],
        tuple(table["nothing"]),
        tuple(table["regions"]),
        tuple(units),
        *(table.get(key, {}) for key in ("at_most", "how", "certainty", "report")),
    )


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
    yield from _word_problems(source, table)
    if not {"says", "regions"} & set(missing):
        yield from _unit_problems(source, table)


def _word_problems(source: TemplateFile, table: dict[str, Any]) -> Iterator[DataError]:
    """Yield an error for every problem in the words that a global.yaml may leave out."""
    for key in ("at_most", "how", "certainty", "report"):
        if not isinstance(table.get(key, {}), dict):
            yield broken(source, f"{key!r} must be a mapping.")
            return
    kinds = {"at_most": table.get("at_most", {}), **table.get("how", {})}
    for kind, by_degree in kinds.items():
        letters = INTENSITIES[:-1] if kind == "at_most" else INTENSITIES
        if by_degree and (
            not isinstance(by_degree, dict)
            or sorted(by_degree) != list(letters)
            or not all(_texts(texts, depth=1) for texts in by_degree.values())
        ):
            yield broken(
                source,
                f"{kind!r} must have a list of texts for each degree, {letters[0]} to "
                f"{letters[-1]}.",
                getattr(kind, "line", None),
            )
    certainty, report = table.get("certainty", {}), table.get("report", {})
    if certainty and not all(isinstance(certainty.get(name), str) for name in CERTAINTIES):
        yield broken(source, f"'certainty' must have a text for {', '.join(CERTAINTIES)}.")
    if report and not (
        _texts(report.get("code"), depth=1)
        and len(report["code"]) == 2
        and all(isinstance(report.get(name), str) for name in ("unseen", "uncoded"))
    ):
        yield broken(
            source, "'report' must have the texts unseen and uncoded, and a pair of texts, code."
        )


def _subject_problems(source: TemplateFile, subjects: dict[Any, Any]) -> Iterator[DataError]:
    lines = {key: getattr(key, "line", None) for key in subjects}
    words_by_sex: dict[str, dict[Any, Any]] = {}
    for sex in SUBJECT_WORDS:
        words = subjects.get(sex)
        words_by_sex[sex] = words if isinstance(words, dict) else {}
        if not words_by_sex[sex]:
            what = f"'subjects' must have words for {sex!r}."
            yield broken(source, what, lines.get(sex))
    names = {name for words in words_by_sex.values() for name in words}
    for name in sorted(names, key=str):
        if not (isinstance(name, str) and name.isidentifier()):
            yield broken(source, f"Under 'subjects', {name!r} is not the name of a word.")
            continue
        for sex, words in words_by_sex.items():
            if words and not isinstance(words.get(name), str):
                what = f"Under 'subjects', {sex!r} has no word {name!r}."
                yield broken(source, what, lines.get(sex))


def _unit_problems(source: TemplateFile, table: dict[str, Any]) -> Iterator[DataError]:
    entries, regions, kinds = table["says"], table["regions"], table.get("how", {})
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
        elif "how" in entry and (entry["how"] not in kinds or len(names) > 1):
            what = f"The entry {key} has a 'how' that is no key of 'how', or several action units."
            yield broken(source, what, line)


def read_language(source: TemplateFile) -> Language:
    """Return the content of a language.yaml: the language's name and its negations.

    Raises:
        DataError: the file does not have the required form; the message names file and line.
    """
    table = parse(source)
    _raise_first(language_problems(source, table))
    lists: dict[str, Any] = {key: tuple(table.get(key, ())) for key in _LISTS}
    mappings: dict[str, Any] = {key: table.get(key, {}) for key in _MAPPINGS}
    return Language(table["name"], **lists, **mappings)


_LISTS = ("negations", "hedges", "signs", "named", "order", "both_sides", "two_sided")
_MAPPINGS = ("parts", "results")


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
    for key in _LISTS[1:]:
        if key in table and not _texts(table[key], depth=1):
            yield broken(source, f"{key!r} must be a list of texts (no and yes need quotes).")
    for key in _MAPPINGS:
        value = table.get(key, {})
        if not isinstance(value, dict) or not all(_texts(item, 1) for item in value.values()):
            yield broken(source, f"{key!r} must be a mapping of lists of texts.")


def _raise_first(problems: Iterator[DataError]) -> None:
    for problem in problems:
        raise problem


def _texts(value: Any, depth: int) -> bool:
    if depth == 0:
        return isinstance(value, str)
    return (
        isinstance(value, list) and bool(value) and all(_texts(item, depth - 1) for item in value)
    )
