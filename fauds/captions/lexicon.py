"""All that a language's templates can say, as words: fragments with their meaning, and glue.

A text is cut into words at blanks; in a language whose fragments have no blanks (Chinese) every
character is one. Glue is what the templates put between fragments ("A woman", "and"); it is found
by rendering them with a mark in the place of every fragment, so that it needs no list by hand.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import cached_property
from itertools import combinations

from fauds.captions.fragments import SUBJECT_WORDS
from fauds.captions.template_files import local_name
from fauds.captions.templates import Templates
from fauds.facs import AUS, STATES

WordTuple = tuple[str, ...]
Meaning = tuple[tuple[str, str], ...]
"""What a fragment asserts: pairs of action unit and state; each state is one of STATES."""

_MARK = "\ue000"
_MOST = 3  # fragments a region that glue is looked for between
_WORD = re.compile(r"\w+(?:'\w+)*|[^\w\s]")


def normalise(text: str) -> str:
    """Return a text in one spelling: compatibility forms, case, quotes and blanks made alike."""
    return " ".join(unicodedata.normalize("NFKC", text).replace("’", "'").casefold().split())


def is_mark(word: str) -> bool:
    """Whether a word is punctuation."""
    return len(word) == 1 and unicodedata.category(word).startswith("P")


class Known:
    """The fragments and the glue of a language.

    Attributes:
        spaced: whether blanks divide words: most fragments have one.
        fragments: by words, without punctuation at their end. Of two that are alike the first
            counts; `fauds.captions.lint` finds them.
        of_faces: those that say something of a whole face.
        glue: sequences of words that stand between fragments.
        marks: punctuation that does.
        stops: punctuation that ends a sentence.
    """

    def __init__(self, templates: Templates) -> None:
        self._templates = templates
        local, faces = list(said_of_aus(templates)), list(said_of_faces(templates))
        texts = [text.strip() for text, _ in (*local, *faces)]
        self.spaced = sum(" " in text for text in texts) > len(texts) / 2
        self.fragments: dict[WordTuple, Meaning] = {}
        self.marks: set[str] = set()
        self.stops: set[str] = set()
        for text, meaning in (*local, *faces):
            self.fragments.setdefault(self.trimmed(text), meaning)
        self.of_faces = [self.trimmed(text) for text, _ in faces]
        self._negations = [normalise(word) for word in templates.about.negations]
        self.glue = self._glue()

    def words(self, text: str) -> WordTuple:
        """Return the words and punctuation of a text, in one spelling."""
        text = normalise(text)
        return tuple(_WORD.findall(text) if self.spaced else text.replace(" ", ""))

    def text(self, words: WordTuple) -> str:
        """Return words as a text."""
        return (" " if self.spaced else "").join(words)

    def trimmed(self, text: str) -> WordTuple:
        """Return the words of a fragment without the punctuation at its end."""
        words = self.words(text)
        while words and is_mark(words[-1]):
            self.stops.add(words[-1])
            words = words[:-1]
        return words

    def turned(self, words: WordTuple) -> int:
        """Return how many negations some words hold; one like -n't is the end of a word."""
        if not self.spaced:
            text = "".join(words)
            return sum(text.count(negation) for negation in self._negations)
        return sum(
            word.endswith(negation[1:]) if negation[0] == "-" else word == negation
            for negation in self._negations
            for word in words
        )

    @cached_property
    def fragment_lengths(self) -> list[int]:
        """Lengths of fragments in words, the longest first."""
        return sorted({len(words) for words in self.fragments}, reverse=True)

    @cached_property
    def glue_lengths(self) -> list[int]:
        """Lengths of glue in words, the longest first."""
        return sorted({len(words) for words in self.glue}, reverse=True)

    def _glue(self) -> frozenset[WordTuple]:
        found: set[WordTuple] = set()
        for rendered in (*self._marked_locals(), *self._marked_faces()):
            for piece in rendered.split(_MARK):
                run: list[str] = []
                for word in (*self.words(piece), None):
                    if word is not None and not is_mark(word):
                        run.append(word)
                        continue
                    found |= {tuple(run)} if run else set()
                    self.marks |= {word} if word else set()
                    run = []
            ends = self.words(rendered)[-1:]
            self.stops |= {word for word in ends if is_mark(word)}
        return frozenset(found)

    def _marked_locals(self) -> Iterator[str]:
        render = self._templates.renderer.file
        for au in described(self._templates):
            for state, paraphrases in self._templates.states(au).items():
                for count in sorted({len(sentences) for sentences in paraphrases}):
                    yield render("local.j2", fragments=[_MARK] * count, au=au, state=state)

    def _marked_faces(self) -> Iterator[str]:
        render, names = self._templates.renderer.file, self._templates.whole.regions
        groups = [g for n in range(len(names) + 1) for g in combinations(names, n)]
        for sex in SUBJECT_WORDS:
            words = self._templates.words(sex)
            for group in groups:
                for count in range(1, _MOST + 1):
                    regions = {name: [_MARK] * count * (name in group) for name in names}
                    yield render("global.j2", regions=regions, nothing=_MARK, **words)


def described(templates: Templates) -> list[str]:
    """Return the action units that a language has a file for."""
    return [au for au in AUS if local_name(au) in templates.files]


def said_of_aus(templates: Templates) -> Iterator[tuple[str, Meaning]]:
    """Yield every sentence of local descriptions as rendered, with its meaning."""
    for au in described(templates):
        for state, paraphrases in templates.states(au).items():
            for variant in range(len(paraphrases)):
                for sentence in templates.sentences(au, state, variant):
                    yield sentence, ((au, state),)


def said_of_faces(templates: Templates) -> Iterator[tuple[str, Meaning]]:
    """Yield every fragment of global descriptions, in every sex, with its meaning."""
    nothing = tuple((au, STATES[0]) for au in AUS)
    for sex in SUBJECT_WORDS:
        for variant in range(len(templates.whole.nothing)):
            yield templates.said(templates.whole.nothing, sex, variant), nothing
        for unit in templates.units:
            meaning = tuple((au, STATES[1]) for au in sorted(unit.aus))
            for variant in range(len(unit.say)):
                yield templates.said(unit.say, sex, variant), meaning
