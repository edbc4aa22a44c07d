"""Templates of one language: what they say of an action unit, and of a whole face."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from fauds.captions.sandbox import Sandbox
from fauds.captions.sources import Source, hash_of, languages, sources, template_hash
from fauds.captions.yamlread import broken, parse
from fauds.errors import UsageError
from fauds.facs import AUS, au_name

__all__ = [
    "STATES",
    "SUBJECTS",
    "Templates",
    "Unit",
    "languages",
    "load",
    "template_hash",
]

STATES = ("inactive", "active")
"""States of a local description; the position is the occurrence label."""

SUBJECTS = ("F", "M", "unknown")
"""Sexes that a global description knows; a null sex is "unknown"."""


@dataclass(frozen=True)
class Unit:
    """Action units that a global description says in one fragment."""

    aus: frozenset[str]
    region: str
    say: tuple[str, ...]


class Templates:
    """The descriptions that a language's templates make.

    Args:
        language: the language's code.
        files: its files, from `fauds.captions.sources.sources`.

    Raises:
        DataError: a file is not what it should be; names file and line.
    """

    def __init__(self, language: str, files: dict[str, Source]) -> None:
        self.language = language
        self.hash = hash_of(files)
        self._files = files
        self._sandbox = Sandbox(files)
        self._local = _local(files["local.yaml"])
        self._global = parse(files["global.yaml"])
        self.units = _units(files["global.yaml"], self._global)
        self._words: dict[str, dict[str, str]] = {}
        self._fragments: dict[tuple[str, str], str] = {}

    def local(self, au: str, state: str, variant: int = 0) -> str:
        """Return the description of one action unit in one state.

        Raises:
            DataError: the templates do not have it, or cannot be rendered.
        """
        source = self._files["local.yaml"]
        variants = self._local.get(au, {}).get(state)
        if not variants:
            raise broken(source, f"{source.name} has no text for {au}, state {state!r}.")
        fragments = variants[variant % len(variants)]
        said = [self._sandbox.fragment(text, source, au=au, state=state) for text in fragments]
        return self._sandbox.file("local.j2", fragments=said, au=au, state=state)

    def face(self, aus: Collection[str], sex: str | None = None, variant: int = 0) -> str:
        """Return the description of a face on which exactly these action units are active.

        Args:
            aus: canonical names.
            sex: "F", "M", or None or "unknown" where it is not known.
            variant: which paraphrase.

        Raises:
            DataError: the templates do not have an action unit, or cannot be rendered.
        """
        sex = sex or "unknown"
        words = self.words(sex)
        regions: dict[str, list[str]] = {name: [] for name in self._global["regions"]}
        for unit in self.split(aus):
            regions[unit.region].append(self._say(unit.say, sex, variant))
        nothing = self._say(self._global["nothing"], sex, variant)
        return self._sandbox.file("global.j2", regions=regions, nothing=nothing, **words)

    def split(self, aus: Collection[str]) -> list[Unit]:
        """Return the units that say exactly these action units, in global.yaml's order."""
        left, chosen = set(aus), []
        for unit in self.units:
            if unit.aus <= left:
                chosen.append(unit)
                left -= unit.aus
        if left:
            source = self._files["global.yaml"]
            raise broken(source, f"{source.name} says nothing of {', '.join(sorted(left))} alone.")
        return chosen

    def words(self, sex: str) -> dict[str, str]:
        """Return the subject's words: first, again, their."""
        if sex not in self._words:
            source = self._files["global.yaml"]
            words = self._global["subjects"].get(sex)
            if not isinstance(words, dict):
                raise broken(source, f"{source.name} has no words for the subject {sex!r}.")
            self._words[sex] = {
                name: self._sandbox.fragment(text, source) for name, text in words.items()
            }
        return self._words[sex]

    def _say(self, variants: Sequence[str], sex: str, variant: int) -> str:
        text = variants[variant % len(variants)]
        if (text, sex) not in self._fragments:
            source = self._files["global.yaml"]
            rendered = self._sandbox.fragment(text, source, **self.words(sex))
            self._fragments[text, sex] = rendered
        return self._fragments[text, sex]


def load(language: str = "en", templates: Path | None = None) -> Templates:
    """Return the templates of a language; those that fauds ships are read once a process.

    Args:
        language: a code such as "en".
        templates: a folder laid out like templates/ whose files override the shipped ones.

    Raises:
        UsageError: there is no such language; lists what there is.
        DataError: a file is broken; names file and line.
    """
    if templates is None:
        return _shipped(language)
    return Templates(language, sources(language, templates))


@cache
def _shipped(language: str) -> Templates:
    return Templates(language, sources(language))


def _local(source: Source) -> dict[str, dict[str, list[list[str]]]]:
    """Check local.yaml: action unit -> state -> variants -> fragments."""
    table = parse(source)
    for au, states in table.items():
        _known(au, source)
        if not isinstance(states, dict):
            raise broken(source, f"{au} has no states.", au.line)
        for state in STATES:
            if state not in states:
                raise broken(source, f"{au} lacks the state {state!r}.", au.line)
        for state, variants in states.items():
            if not _texts(variants, depth=2):
                raise broken(
                    source, f"{au}, {state}: not a list of variants, each a list of texts.",
                    state.line,
                )  # fmt: skip
    return table


def _units(source: Source, table: dict[str, Any]) -> tuple[Unit, ...]:
    """Check global.yaml and return its entries, in order."""
    for key, kind in {"subjects": dict, "nothing": list, "regions": list, "says": dict}.items():
        if not isinstance(table.get(key), kind) or not table[key]:
            raise broken(source, f"{source.name} lacks {key!r}, a {kind.__name__}.")
    if not _texts(table["nothing"], depth=1):
        raise broken(source, f"{source.name}: 'nothing' is not a list of texts.")
    units = []
    for key, entry in table["says"].items():
        if not isinstance(entry, dict) or not _texts(entry.get("say"), depth=1):
            raise broken(source, f"{key}: 'say' is not a list of texts.", key.line)
        if entry.get("region") not in table["regions"]:
            raise broken(source, f"{key}: its region is not one of 'regions'.", key.line)
        aus = frozenset(_known(name, source, key) for name in key.split("+"))
        units.append(Unit(aus, entry["region"], tuple(entry["say"])))
    return tuple(units)


def _known(name: Any, source: Source, key: Any = None) -> str:
    if name not in AUS:
        line = getattr(name if key is None else key, "line", None)
        raise broken(source, f"{name!r} is not an action unit that fauds knows.", line)
    return name


def _texts(value: Any, depth: int) -> bool:
    if depth == 0:
        return isinstance(value, str)
    return isinstance(value, list) and bool(value) and all(_texts(v, depth - 1) for v in value)


def canonical(aus: Collection[int | str]) -> list[str]:
    """Return canonical names in FACS order, each once; errors as in `fauds.facs.au_name`."""
    names = {au_name(au) for au in aus}
    return [au for au in AUS if au in names]


def subject(sex: str | None) -> str:
    """Return the key of a sex among `SUBJECTS`.

    Raises:
        UsageError: it is none of them.
    """
    if sex is None:
        return "unknown"
    if sex not in SUBJECTS:
        raise UsageError(f"{sex!r} is not a sex.", hint="F, M, or nothing where it is not known")
    return sex
