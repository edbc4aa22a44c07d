"""The fragments of a language's templates, with their meanings, and the connectors between them.

A fragment is a piece of text from the YAML files that asserts the state of some action units, such
as "raises the cheeks". A connector is a sequence of words that the .j2 files put before or between
fragments, such as "and her". Connectors are collected by rendering the templates with a
placeholder for every fragment, so no list of connectors has to be kept by hand. Texts are split
into words at blanks, or into characters in a language whose fragments have no blanks (Chinese).
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import cached_property
from itertools import combinations, product

from fauds.captions.fragments import CERTAINTIES, SUBJECT_WORDS
from fauds.captions.template_files import COMPOSED, local_name
from fauds.captions.templates import Templates
from fauds.facs import AUS, STATES

WordTuple = tuple[str, ...]
Meaning = tuple[tuple[str, str], ...]
"""What a fragment of text asserts: pairs of an action unit and its state.

For example, ``(("AU12", "active"),)``; states are those of `fauds.facs.STATES`. `CODED` in the
place of an action unit stands for all that are coded.
"""

CODED = "coded"

_PLACEHOLDER = "\ue000"
_MOST_FRAGMENTS = 3  # in a list, when connectors are collected
_WORD = re.compile(r"\w+(?:'\w+)*|[^\w\s]")


def normalise(text: str) -> str:
    """Return a text in normalised form: NFKC, lower case, straight quotes and single blanks."""
    return " ".join(unicodedata.normalize("NFKC", text).replace("’", "'").casefold().split())


def is_punctuation(word: str) -> bool:
    """Return whether a word is a punctuation mark."""
    return len(word) == 1 and unicodedata.category(word).startswith("P")


class Lexicon:
    """The fragments and the connectors of a language's templates.

    A fragment is a piece of text that asserts the state of some action units. A connector is a
    sequence of words that the templates put before or between fragments, such as "and her".

    Attributes:
        spaced: whether blanks separate the words of the language; True if more than half of the
            fragments contain a blank.
        fragments: the meaning of every fragment (the states that the fragment asserts); the keys
            are the words of the fragments, without punctuation at the end. Of equal fragments, only
            the first is kept; `fauds.captions.lint` reports the others.
        face_fragments: the words of each fragment that descriptions of whole faces consist of.
        connectors: the connectors, each as a tuple of words.
        punctuation: the punctuation marks between fragments.
        stops: the punctuation marks that end a sentence.
    """

    def __init__(self, templates: Templates) -> None:
        self._templates = templates
        local, faces = list(local_fragments(templates)), list(face_fragments(templates))
        texts = [text.strip() for text, _ in (*local, *faces)]
        self.spaced = sum(" " in text for text in texts) > len(texts) / 2
        self.fragments: dict[WordTuple, Meaning] = {}
        self.punctuation: set[str] = set()
        self.stops: set[str] = set()
        for text, meaning in (*local, *faces):
            self.fragments.setdefault(self.trimmed(text), meaning)
        self.face_fragments = [self.trimmed(text) for text, _ in faces]
        self._negations = [normalise(word) for word in templates.language_file.negations]
        self.connectors = self._collect_connectors()

    def words(self, text: str) -> WordTuple:
        """Return the words and punctuation marks of a text, as normalised by `normalise`."""
        text = normalise(text)
        return tuple(_WORD.findall(text) if self.spaced else text.replace(" ", ""))

    def text(self, words: WordTuple) -> str:
        """Join words into a text, with blanks between them unless the language has no blanks."""
        return (" " if self.spaced else "").join(words)

    def trimmed(self, text: str) -> WordTuple:
        """Return the words of a fragment without the punctuation marks at its end.

        The removed marks are added to `stops`.
        """
        words = self.words(text)
        while words and is_punctuation(words[-1]):
            self.stops.add(words[-1])
            words = words[:-1]
        return words

    def negation_count(self, words: WordTuple) -> int:
        """Return the number of negations, such as "not", among some words.

        A negation that begins with a hyphen, such as "-n't", is counted at the end of words.
        """
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
        """The distinct lengths of fragments, in words, in decreasing order."""
        return sorted({len(words) for words in self.fragments}, reverse=True)

    @cached_property
    def connector_lengths(self) -> list[int]:
        """The distinct lengths of connectors, in words, in decreasing order."""
        return sorted({len(words) for words in self.connectors}, reverse=True)

    def _collect_connectors(self) -> frozenset[WordTuple]:
        connectors: set[WordTuple] = set()
        for rendered in (*self._local_patterns(), *self._face_patterns()):
            for piece in rendered.split(_PLACEHOLDER):
                run: list[str] = []
                for word in (*self.words(piece), None):
                    if word is not None and not is_punctuation(word):
                        run.append(word)
                        continue
                    connectors |= {tuple(run)} if run else set()
                    self.punctuation |= {word} if word else set()
                    run = []
            ends = self.words(rendered)[-1:]
            self.stops |= {word for word in ends if is_punctuation(word)}
        return frozenset(connectors)

    def _local_patterns(self) -> Iterator[str]:
        templates = self._templates
        render = templates.renderer.file
        for au in described_aus(templates):
            for state, paraphrases in templates.states(au).items():
                for count in sorted({len(sentences) for sentences in paraphrases}):
                    yield render("local.j2", fragments=[_PLACEHOLDER] * count, au=au, state=state)
        # The words after a denial, where a degree also counts as inactive, join nothing.
        for texts in templates.face_file.at_most.values():
            for variant in range(len(texts)):
                yield templates.face_fragment(texts, "unknown", variant)
        if COMPOSED in templates.files:
            counts = range(_MOST_FRAGMENTS + 1)
            for variant, active in product(range(self._variants), (True, False)):
                for beside, against, detail in product(counts, counts, ("", _PLACEHOLDER)):
                    yield render(
                        COMPOSED,
                        said=_PLACEHOLDER,
                        active=active,
                        beside=[_PLACEHOLDER] * beside,
                        against=[_PLACEHOLDER] * against,
                        detail=detail,
                        variant=variant,
                    )

    def _face_patterns(self) -> Iterator[str]:
        render, face = self._templates.renderer.file, self._templates.face_file
        # What is said of an undecided action unit asserts nothing: its words join no fragments.
        likely = [word for name, word in face.certainty.items() if name != CERTAINTIES[-1]]
        none: dict[str, list[str]] = {name: [] for name in face.regions}
        lists = [
            {**none, **dict.fromkeys(group, [_PLACEHOLDER] * count)}
            for size, most in ((1, _MOST_FRAGMENTS), (2, 1), (len(face.regions), _MOST_FRAGMENTS))
            for group in combinations(face.regions, size)
            for count in range(1, most + 1)
        ]
        for sex, variant, single in product(SUBJECT_WORDS, range(self._variants), (False, True)):
            words = self._templates.words(sex)
            settings = {
                "variant": variant,
                "single": single,
                "nothing": _PLACEHOLDER,
                "side": "",
                "mentioned": False,
            }
            settings |= words
            yield render("global.j2", regions=none, guesses=[], **settings)
            for regions in lists:
                yield render("global.j2", regions=regions, guesses=[], **settings)
            for certain, regions in product((none, lists[-1]), lists if likely else ()):
                guesses = [[word, regions] for word in likely]
                yield render("global.j2", regions=certain, guesses=guesses, **settings)

    @property
    def _variants(self) -> int:
        """The number of paraphrases of texts about faces."""
        return len(self._templates.face_file.nothing)


def described_aus(templates: Templates) -> list[str]:
    """Return the names of the action units for which a language has a file local/AU*.yaml."""
    return [au for au in AUS if local_name(au) in templates.files]


def local_fragments(templates: Templates) -> Iterator[tuple[str, Meaning]]:
    """Yield every rendered sentence that describes one action unit in one state, and its meaning.

    The meaning is a tuple with one pair: the action unit, and the state that the sentence asserts.
    """
    for au in described_aus(templates):
        for state, paraphrases in templates.states(au).items():
            for variant in range(len(paraphrases)):
                for sentence in templates.sentences(au, state, variant):
                    yield sentence, ((au, state),)


def face_fragments(templates: Templates) -> Iterator[tuple[str, Meaning]]:
    """Yield every rendered fragment of the descriptions of faces, for every sex, and its meaning.

    A fragment is a piece of text from global.yaml. Its meaning is a tuple of pairs: an action unit,
    and the state that the fragment asserts. The text for a face without active action units asserts
    that all coded action units are inactive, whichever these are.
    """
    nothing = ((CODED, STATES[0]),)
    for sex in SUBJECT_WORDS:
        for variant in range(len(templates.face_file.nothing)):
            yield templates.face_fragment(templates.face_file.nothing, sex, variant), nothing
        for unit in templates.units:
            meaning = tuple((au, STATES[1]) for au in sorted(unit.aus))
            for variant in range(len(unit.paraphrases)):
                yield templates.face_fragment(unit.paraphrases, sex, variant), meaning
                for degree in templates.face_file.how.get(unit.how or "", ()):
                    graded = templates.graded_fragment(unit, sex, variant, degree)
                    yield graded, ((meaning[0][0], degree),)
