"""Renders the descriptions of action units and of whole faces from a language's templates."""

import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path
from types import MappingProxyType

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
    COMPOSED,
    TemplateFile,
    hash_of,
    languages,
    local_name,
    sources,
    template_hash,
)
from fauds.captions.yamlread import Text, broken
from fauds.errors import DataError, UsageError
from fauds.facs import AUS, INTENSITIES, STATES, au_name, opposed

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

_PLACE = "~"


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

    def local(self, au: str, state: str, variant: int = 0, *, at_most: str | None = None) -> str:
        """Return the description of one action unit in one state, in the plain style.

        Args:
            au: the action unit's canonical name.
            state: "inactive", "active", or a degree (intensity), "A" (trace) to "E" (maximum).
            variant: the number of the paraphrase, from 0.
            at_most: the highest degree that also counts as inactive, such as "A" for DISFA's
                "intensity >= 2"; None if only the absence of the action unit does. It changes the
                text of the state "inactive" only.

        Raises:
            DataError: the templates have no text for this action unit, state and paraphrase, or are
                broken.
        """
        fragments = self.sentences(au, state, variant)
        if state == STATES[0]:
            fragments[-1] = self._up_to(fragments[-1], at_most, variant)
        return self.renderer.file("local.j2", fragments=fragments, au=au, state=state)

    def composed(
        self,
        au: str,
        state: str,
        neighbours: Collection[str] = (),
        variant: int = 0,
        *,
        at_most: str | None = None,
    ) -> str:
        """Return the description of one action unit in one state, in the composed style.

        Args:
            au: see `local`.
            state: see `local`.
            neighbours: the active action units next to this one, some of `fauds.facs.beside`.
            variant: see `local`.
            at_most: see `local`.

        Raises:
            DataError: see `local`; or the language has no composed style.
        """
        if COMPOSED not in self.files:
            raise DataError(
                f"The language {self.language!r} has no composed style.",
                where=self.files["local.j2"].path.parent / COMPOSED,
                hint=f"write this file; templates/en/{COMPOSED} shows the form, or use the plain "
                "style",
            )
        first, *more = self.sentences(au, state, variant)
        beginning, _ = split_stop(
            self._up_to(first, at_most if state == STATES[0] else None, variant)
        )
        clauses: dict[bool, list[str]] = {False: [], True: []}
        for unit in self.split(neighbours):
            pulls_back = any(opposed(au, name) for name in unit.aus)
            clauses[pulls_back].append(self.face_fragment(unit.paraphrases, "unknown", variant))
        return self.renderer.file(
            COMPOSED,
            said=beginning,
            active=state != STATES[0],
            beside=clauses[False],
            against=clauses[True],
            detail=more[0] if more and state in INTENSITIES else "",
            variant=variant,
        )

    def _up_to(self, text: str, at_most: str | None, variant: int) -> str:
        """Return a denial with the words for the degrees that also count as inactive."""
        if at_most is None:
            return text
        words = self.face_file.at_most.get(at_most)
        source = self.files["global.yaml"]
        if not words:
            raise broken(
                source,
                f"{source.name} has no words under 'at_most' for inactive action units that may "
                f"have the degree {at_most}.",
            )
        body, stop = split_stop(text)
        return body + self.face_fragment(words, "unknown", variant) + stop

    def face(
        self,
        aus: Collection[str],
        sex: str | None = None,
        variant: int = 0,
        *,
        degrees: Mapping[str, str] = MappingProxyType({}),
        at_most: str | None = None,
        guesses: Mapping[str, Collection[str]] = MappingProxyType({}),
        codes: Mapping[str, str] = MappingProxyType({}),
        single: bool = False,
        side: str = "",
        again: bool = False,
    ) -> str:
        """Return the description of a face on which exactly these action units are active.

        Args:
            aus: the canonical names of the action units.
            sex: the subject's sex, "F" or "M"; None or "unknown" if not known.
            variant: the number of the paraphrase, from 0.
            degrees: the degree (intensity), "A" to "E", of some of the action units.
            at_most: the highest degree that also counts as inactive; see `local`. It changes the
                text of a face without active action units only.
            guesses: more action units, by how certain they are, one of
                `fauds.captions.fragments.CERTAINTIES`.
            codes: for some of the action units, a code that is added in brackets.
            single: whether to write one sentence.
            side: the words for the side of the face on which the action units were coded, such as
                "on her left"; "" if the side is not coded.
            again: whether another text about the same person stands before this one.

        Raises:
            DataError: the templates do not describe an action unit, lack the words for a degree,
                have no paraphrase with this number, or are broken.
        """
        sex = sex or "unknown"
        words = self.words(sex)
        nothing = self._up_to(
            self.face_fragment(self.face_file.nothing, sex, variant), at_most, variant
        )
        return self.renderer.file(
            "global.j2",
            regions=self._regions(aus, sex, variant, degrees, codes),
            nothing=nothing,
            guesses=[
                [self._certainty(name), self._regions(guessed, sex, variant, {}, codes)]
                for name, guessed in guesses.items()
                if guessed
            ],
            variant=variant,
            single=single,
            side=side,
            mentioned=again,
            **(words | {"whose": words["their"]} if again else words),
        )

    def _regions(
        self,
        aus: Collection[str],
        sex: str,
        variant: int,
        degrees: Mapping[str, str],
        codes: Mapping[str, str],
    ) -> dict[str, list[str]]:
        """Return the fragments that together describe some action units, by region."""
        regions: dict[str, list[str]] = {name: [] for name in self.face_file.regions}
        for unit in self.split(aus, {*degrees, *codes}):
            degree = next((degrees[au] for au in unit.aus if au in degrees), None)
            text = self.graded_fragment(unit, sex, variant, degree)
            for au in unit.aus & codes.keys():
                opening, closing = self.face_file.report["code"]
                text += f"{opening}{codes[au]}{closing}"
            regions[unit.region].append(text)
        return regions

    def graded_fragment(
        self, unit: AuUnit, sex: str, variant: int = 0, degree: str | None = None
    ) -> str:
        """Return the fragment of an entry of global.yaml, with a degree if one is given.

        Args:
            unit: the entry; with a degree, one for a single action unit.
            sex: the subject's sex, one of `SUBJECT_WORDS`.
            variant: the number of the paraphrase, from 0.
            degree: the degree of the action unit, "A" to "E"; None for no degree.

        Raises:
            DataError: the templates lack the words for the degree, or are broken.
        """
        if degree is None:
            return self.face_fragment(unit.paraphrases, sex, variant)
        words = self.face_file.how.get(unit.how or "", {}).get(degree)
        if words is None:
            source = self.files["global.yaml"]
            names = "+".join(sorted(unit.aus))
            raise broken(source, f"{source.name} has no degree words for {names}.", unit.line)
        text, how = (self._fragment(one, sex, variant) for one in (unit.paraphrases, words))
        blank = " " if " " in text else ""
        if how.startswith(_PLACE):
            return text.replace(_PLACE, how[1:] + blank)
        return text.replace(_PLACE, "") + blank + how

    def _certainty(self, name: str) -> str:
        if name not in self.face_file.certainty:
            source = self.files["global.yaml"]
            raise broken(source, f"{source.name} has no words under 'certainty' for {name!r}.")
        return self.face_file.certainty[name]

    def split(self, aus: Collection[str], alone: Collection[str] = ()) -> list[AuUnit]:
        """Return the entries of global.yaml that together describe exactly these action units.

        An entry can describe several action units together, such as AU12+AU15. Entries are chosen
        in the order of the file, and no action unit is described twice.

        Args:
            aus: the canonical names of the action units.
            alone: the action units that are not described together with others.

        Raises:
            DataError: global.yaml has no entry for one of the action units.
        """
        left, chosen = set(aus), []
        for unit in self.units:
            if unit.aus <= left and (len(unit.aus) == 1 or unit.aus.isdisjoint(alone)):
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
            The words by name, such as "a woman's" for "whose" (where a description mentions her
            first) and "her" for "their" (later in it).
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
        return self._fragment(paraphrases, sex, variant).replace(_PLACE, "")

    def _fragment(self, paraphrases: Sequence[Text], sex: str, variant: int) -> str:
        """Return a rendered fragment with the mark for the place of words for a degree, if any.

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
        kinds = (self.face_file.at_most, *self.face_file.how.values())
        words = [len(texts) for by_degree in kinds for texts in by_degree.values()]
        return min([len(self.face_file.nothing), *local, *units, *words])


def split_stop(text: str) -> tuple[str, str]:
    """Return a sentence without its final punctuation mark, and the mark; "" if it has none."""
    text = text.rstrip()
    at = len(text)
    while at and unicodedata.category(text[at - 1]).startswith("P"):
        at -= 1
    return text[:at], text[at:]


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
