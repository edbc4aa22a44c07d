"""Templates of one language: what they say of an action unit, and of a whole face."""

from collections.abc import Collection, Iterable, Sequence
from functools import cache, cached_property
from pathlib import Path

from fauds.captions.child import ChildSandbox
from fauds.captions.fragments import (
    SUBJECT_WORDS,
    AuUnit,
    FaceFragments,
    Language,
    States,
    read_face,
    read_language,
    read_states,
)
from fauds.captions.sandbox import Sandbox
from fauds.captions.template_files import (
    TemplateFile,
    hash_of,
    languages,
    local_name,
    sources,
    template_hash,
)
from fauds.captions.yamlread import Text, broken
from fauds.errors import DataError, UsageError
from fauds.facs import AUS, STATES, au_name

__all__ = [
    "SUBJECT_WORDS",
    "AuUnit",
    "Templates",
    "canonical",
    "languages",
    "load",
    "state_name",
    "subject",
    "template_hash",
]


class Templates:
    """The descriptions that a language's templates make.

    Args:
        language: the language's code.
        files: its files, from `fauds.captions.template_files.sources`.
        trusted: whether fauds ships all of them; what others wrote is rendered in a child
            process with limits of time and memory.

    Raises:
        DataError: a file is not what it should be; names file and line.
    """

    def __init__(self, language: str, files: dict[str, TemplateFile], trusted: bool) -> None:
        self.language = language
        self.files = files
        self.trusted = trusted
        self.hash = hash_of(files)
        self.renderer = Sandbox(files) if trusted else ChildSandbox(files)
        self._states: dict[str, States] = {}
        self._words: dict[str, dict[str, str]] = {}
        self._fragments: dict[tuple[str, str], str] = {}

    @cached_property
    def whole(self) -> FaceFragments:
        """What global.yaml says."""
        return read_face(self.files["global.yaml"])

    @cached_property
    def about(self) -> Language:
        """What language.yaml says."""
        return read_language(self.files["language.yaml"])

    @property
    def units(self) -> tuple[AuUnit, ...]:
        """What a face's description is made of, in order."""
        return self.whole.units

    def states(self, au: str) -> States:
        """Return the states of one action unit that there are descriptions of.

        Raises:
            DataError: the language does not describe it.
        """
        if au not in self._states:
            name = local_name(au)
            if name not in self.files:
                raise DataError(
                    f"The language {self.language!r} does not describe {au}.",
                    where=self.files["global.yaml"].path.parent / name,
                    hint="write the file; the one of the same name in templates/en/ shows the form",
                )
            self._states[au] = read_states(self.files[name])
        return self._states[au]

    def sentences(self, au: str, state: str, variant: int = 0) -> list[str]:
        """Return the rendered sentences of a description, in order; errors as in `local`."""
        paraphrases = self.states(au).get(state)
        source = self.files[local_name(au)]
        if not paraphrases or variant >= len(paraphrases):
            what = f"paraphrase {variant + 1} of " if paraphrases else ""
            raise broken(source, f"{source.name} has no {what}state {state!r}.")
        return [
            self.renderer.fragment(text, source.at(text.line), au=au, state=state)
            for text in paraphrases[variant]
        ]

    def local(self, au: str, state: str, variant: int = 0) -> str:
        """Return the description of one action unit in one state.

        Args:
            au: canonical name.
            state: one of `STATES`.
            variant: which paraphrase, from 0.

        Raises:
            DataError: the templates do not have it, or cannot be rendered.
        """
        said = self.sentences(au, state, variant)
        return self.renderer.file("local.j2", fragments=said, au=au, state=state)

    def face(self, aus: Collection[str], sex: str | None = None, variant: int = 0) -> str:
        """Return the description of a face on which exactly these action units are active.

        Args:
            aus: canonical names.
            sex: "F", "M", or None or "unknown" where it is not known.
            variant: which paraphrase, from 0.

        Raises:
            DataError: the templates do not have an action unit, or cannot be rendered.
        """
        sex = sex or "unknown"
        regions: dict[str, list[str]] = {name: [] for name in self.whole.regions}
        for unit in self.split(aus):
            regions[unit.region].append(self.said(unit.say, sex, variant))
        nothing = self.said(self.whole.nothing, sex, variant)
        return self.renderer.file("global.j2", regions=regions, nothing=nothing, **self.words(sex))

    def split(self, aus: Collection[str]) -> list[AuUnit]:
        """Return the units that say exactly these action units, in global.yaml's order."""
        left, chosen = set(aus), []
        for unit in self.units:
            if unit.aus <= left:
                chosen.append(unit)
                left -= unit.aus
        if left:
            source = self.files["global.yaml"]
            raise broken(source, f"{source.name} says nothing of {', '.join(sorted(left))} alone.")
        return chosen

    def words(self, sex: str) -> dict[str, str]:
        """Return the subject's words: first, again, their."""
        if sex not in self._words:
            source = self.files["global.yaml"]
            self._words[sex] = {
                name: self.renderer.fragment(text, source.at(text.line))
                for name, text in self.whole.subjects[sex].items()
            }
        return self._words[sex]

    def said(self, paraphrases: Sequence[Text], sex: str, variant: int = 0) -> str:
        """Return one of a unit's paraphrases with the subject's words.

        Raises:
            DataError: there are fewer, or it cannot be rendered.
        """
        source = self.files["global.yaml"]
        if variant >= len(paraphrases):
            line = paraphrases[0].line
            raise broken(source, f"There is no paraphrase {variant + 1} of this text.", line)
        text = paraphrases[variant]
        if (text, sex) not in self._fragments:
            rendered = self.renderer.fragment(text, source.at(text.line), **self.words(sex))
            self._fragments[text, sex] = rendered
        return self._fragments[text, sex]

    def paraphrases(self, aus: Iterable[str], states: Sequence[str]) -> int:
        """Return how many paraphrases every text of an AU set has, at the least."""
        names = frozenset(aus)
        local = [len(self.states(au).get(state, ())) for au in names for state in states]
        units = [len(unit.say) for unit in self.units if unit.aus <= names]
        return min([len(self.whole.nothing), *local, *units])


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
    return Templates(language, sources(language, templates), trusted=False)


@cache
def _shipped(language: str) -> Templates:
    return Templates(language, sources(language), trusted=True)


def canonical(aus: Collection[int | str]) -> list[str]:
    """Return canonical names in FACS order, each once; errors as in `fauds.facs.au_name`."""
    names = {au_name(au) for au in aus}
    return [au for au in AUS if au in names]


def subject(sex: str | None) -> str:
    """Return the key of a sex among `SUBJECT_WORDS`.

    Raises:
        UsageError: it is none of them.
    """
    if sex is None:
        return "unknown"
    if sex not in SUBJECT_WORDS:
        raise UsageError(f"{sex!r} is not a sex.", hint="F, M, or nothing where it is not known")
    return sex


def state_name(state: str) -> str:
    """Return the state, checked.

    Raises:
        UsageError: it is none of `STATES`.
    """
    if state not in STATES:
        raise UsageError(f"{state!r} is not a state.", hint=f"there is: {', '.join(STATES)}")
    return state
