"""Renders the descriptions of action units and of whole faces from a language's templates."""

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
    """The templates of one language, and the descriptions rendered from them.

    Args:
        language: the language's code, such as "en".
        files: the language's template files, by name; see `fauds.captions.template_files.sources`.
        trusted: whether fauds ships all of the files. If False, the templates are rendered in a
            child process with limits on time and memory.

    Raises:
        DataError: a file is broken; raised when it is first used. The message names file and line.
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
    def face_file(self) -> FaceFragments:
        """The content of global.yaml: the texts that describe whole faces."""
        return read_face(self.files["global.yaml"])

    @cached_property
    def language_file(self) -> Language:
        """The content of language.yaml: the language's name and its words for negation."""
        return read_language(self.files["language.yaml"])

    @property
    def units(self) -> tuple[AuUnit, ...]:
        """The entries of global.yaml that descriptions of faces are joined from, in file order.

        Each entry has the texts for one action unit, or for several action units that are described
        together.
        """
        return self.face_file.units

    def states(self, au: str) -> States:
        """Return the texts of one action unit as they are written in its YAML file, not rendered.

        Returns:
            For each state ("inactive", "active", "A" to "E"), a list of paraphrases, each of which
            is a list of sentences.

        Raises:
            DataError: the language has no file for this action unit, or the file is broken.
        """
        if au not in self._states:
            name = local_name(au)
            if name not in self.files:
                raise DataError(
                    f"The language {self.language!r} does not describe {au}.",
                    where=self.files["global.yaml"].path.parent / name,
                    hint=f"write this file; templates/en/{name} shows the form",
                )
            self._states[au] = read_states(self.files[name])
        return self._states[au]

    def sentences(self, au: str, state: str, variant: int = 0) -> list[str]:
        """Return the rendered sentences that describe one action unit in one state, in order.

        Arguments and errors are those of `local`, which joins the sentences into one text.
        """
        paraphrases = self.states(au).get(state)
        source = self.files[local_name(au)]
        if not paraphrases or variant >= len(paraphrases):
            missing = f"paraphrase {variant + 1} of the " if paraphrases else ""
            raise broken(source, f"{source.name} has no {missing}state {state!r}.")
        return [
            self.renderer.fragment(text, source.at(text.line), au=au, state=state)
            for text in paraphrases[variant]
        ]

    def local(self, au: str, state: str, variant: int = 0) -> str:
        """Return the description of one action unit in one state.

        Args:
            au: the action unit's canonical name.
            state: "inactive", "active", or a degree (intensity), "A" (trace) to "E" (maximum).
            variant: the number of the paraphrase, from 0.

        Raises:
            DataError: the templates have no text for this action unit, state and paraphrase, or are
                broken.
        """
        fragments = self.sentences(au, state, variant)
        return self.renderer.file("local.j2", fragments=fragments, au=au, state=state)

    def face(self, aus: Collection[str], sex: str | None = None, variant: int = 0) -> str:
        """Return the description of a face on which exactly these action units are active.

        Args:
            aus: the canonical names of the action units.
            sex: the subject's sex, "F" or "M"; None or "unknown" if not known.
            variant: the number of the paraphrase, from 0.

        Raises:
            DataError: the templates do not describe an action unit, have no paraphrase with this
                number, or are broken.
        """
        sex = sex or "unknown"
        regions: dict[str, list[str]] = {name: [] for name in self.face_file.regions}
        for unit in self.split(aus):
            regions[unit.region].append(self.face_fragment(unit.paraphrases, sex, variant))
        nothing = self.face_fragment(self.face_file.nothing, sex, variant)
        return self.renderer.file("global.j2", regions=regions, nothing=nothing, **self.words(sex))

    def split(self, aus: Collection[str]) -> list[AuUnit]:
        """Return the entries of global.yaml that together describe exactly these action units.

        An entry can describe several action units together, such as AU06+AU12. Entries are chosen
        in the order of the file, and no action unit is described twice.

        Args:
            aus: the canonical names of the action units.

        Raises:
            DataError: global.yaml has no entry for one of the action units.
        """
        left, chosen = set(aus), []
        for unit in self.units:
            if unit.aus <= left:
                chosen.append(unit)
                left -= unit.aus
        if left:
            source = self.files["global.yaml"]
            raise broken(
                source,
                f"{source.name} has no fragment for {', '.join(sorted(left))} alone under 'says'.",
            )
        return chosen

    def words(self, sex: str) -> dict[str, str]:
        """Return the rendered words for a subject of this sex.

        Args:
            sex: the subject's sex, one of `SUBJECT_WORDS`.

        Returns:
            The words by name, such as "A woman" for "first" (at the start of a description), "She"
            for "again" (later in it) and "her" for "their".
        """
        if sex not in self._words:
            source = self.files["global.yaml"]
            self._words[sex] = {
                name: self.renderer.fragment(text, source.at(text.line))
                for name, text in self.face_file.subjects[sex].items()
            }
        return self._words[sex]

    def face_fragment(self, paraphrases: Sequence[Text], sex: str, variant: int = 0) -> str:
        """Return a fragment (a piece of a face's description), rendered for a subject of one sex.

        Args:
            paraphrases: all paraphrases of the fragment, from global.yaml.
            sex: the subject's sex, one of `SUBJECT_WORDS`.
            variant: the number of the paraphrase, from 0.

        Raises:
            DataError: the fragment has no paraphrase with this number, or is broken.
        """
        source = self.files["global.yaml"]
        if variant >= len(paraphrases):
            line = paraphrases[0].line
            raise broken(source, f"This text lacks paraphrase {variant + 1}.", line)
        text = paraphrases[variant]
        if (text, sex) not in self._fragments:
            rendered = self.renderer.fragment(text, source.at(text.line), **self.words(sex))
            self._fragments[text, sex] = rendered
        return self._fragments[text, sex]

    def paraphrase_count(self, aus: Iterable[str], states: Sequence[str]) -> int:
        """Return the smallest number of paraphrases that a text about some action units has.

        The texts are those of single action units and those of faces. The number is 0 if a state
        has no text.

        Args:
            aus: the canonical names of the action units.
            states: the states in which each single action unit is described.
        """
        names = frozenset(aus)
        local = [len(self.states(au).get(state, ())) for au in names for state in states]
        units = [len(unit.paraphrases) for unit in self.units if unit.aus <= names]
        return min([len(self.face_file.nothing), *local, *units])


def load(language: str = "en", templates: Path | None = None) -> Templates:
    """Return the templates of a language; the shipped ones are read only once per process.

    Args:
        language: the language's code, such as "en".
        templates: a folder laid out like templates/, whose files override the shipped ones.

    Raises:
        UsageError: the language is unknown; the hint lists the known languages.
        DataError: a file cannot be read, is missing, or has an unknown name.
    """
    if templates is None:
        return _shipped(language)
    return Templates(language, sources(language, templates), trusted=False)


@cache
def _shipped(language: str) -> Templates:
    return Templates(language, sources(language), trusted=True)


def canonical(aus: Collection[int | str]) -> list[str]:
    """Return the distinct canonical names of action units, in FACS order.

    Args:
        aus: the action units, in any common spelling.

    Raises:
        UsageError: an action unit is unknown.
    """
    names = {au_name(au) for au in aus}
    return [au for au in AUS if au in names]


def subject(sex: str | None) -> str:
    """Return the word for a subject's sex in templates: "F", "M", or "unknown" for None.

    Raises:
        UsageError: the sex is not "F", "M", "unknown" or None.
    """
    if sex is None:
        return "unknown"
    if sex not in SUBJECT_WORDS:
        raise UsageError(
            f"The sex must be F or M, not {sex!r}.", hint="leave the sex out if it is not known"
        )
    return sex


def state_name(state: str) -> str:
    """Check that an AU's state exists, and return its name unchanged.

    The states are "inactive", "active" and "A" to "E"; see `fauds.facs.STATES`.

    Raises:
        UsageError: the state is unknown.
    """
    if state not in STATES:
        raise UsageError(
            f"{state!r} is not a state of an action unit.", hint=f"choose from: {', '.join(STATES)}"
        )
    return state
