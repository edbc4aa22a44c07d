"""From a text back to what it asserts of each action unit.

A text of the templates is inverted exactly: the longest known fragment first, and only glue
between fragments. What is left over, as in a text that a decoder wrote, is compared with all
fragments word by word; a near one counts if its negations are the same and nothing else that is
as near says otherwise. What remains is returned as not understood. Needs no spaCy.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import groupby
from pathlib import Path

from rapidfuzz import process
from rapidfuzz.distance import Indel

from fauds.captions.lexicon import Known, Meaning, WordTuple, is_mark
from fauds.captions.templates import Templates, load
from fauds.facs import INTENSITIES, au_name, occurs

NEAR = 0.8
"""Similarity above which a fragment may be meant: twice the common words over all words."""

_TIE = 0.05  # similarities closer than this do not decide between fragments


@dataclass(frozen=True)
class Parsed:
    """What a text asserts.

    Attributes:
        states: by action unit, "active" or "inactive"; one that is not there is not mentioned.
            "No visible movement" asserts that all are inactive.
        degrees: by action unit, "A" (trace) to "E" (maximum), where a degree is said.
        contradicted: action units that are said to be both, and so are not in `states`.
        unknown: pieces of the text that were not understood, in normalised spelling.
    """

    states: Mapping[str, str]
    degrees: Mapping[str, str]
    contradicted: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def active(self) -> tuple[str, ...]:
        """The action units that are said to be active, sorted."""
        return tuple(sorted(au for au, state in self.states.items() if state == "active"))

    def state(self, au: int | str) -> str:
        """Return "active", "inactive", "contradicted" or "not mentioned", of any spelling."""
        name = au_name(au)
        if name in self.contradicted:
            return "contradicted"
        return self.states.get(name, "not mentioned")

    def asserts(
        self, au: str, occurrence_at: int | None = None, *, others: bool | None = None
    ) -> bool | None:
        """Return whether the text asserts that an action unit occurs; None where it does not say.

        Args:
            au: as in `states`.
            occurrence_at: the lowest intensity that counts as occurring, where degrees are said.
            others: what a text that was understood asserts of an action unit that it does not
                mention: False of a face's description, which names all that is active.
        """
        if not self.states or au in self.contradicted:
            return None
        if au not in self.states:
            return others
        return occurs(self.degrees.get(au, self.states[au]), occurrence_at)


def parse(text: str, language: str = "en", *, templates: Path | None = None) -> Parsed:
    """Return what a description, local or global, asserts of each action unit.

    Args:
        text: of the templates, or imperfect, as a decoder writes it.
        language: a code such as "en".
        templates: a folder whose files override the shipped ones; for many texts make a
            `Parser` once.

    Raises:
        UsageError: there is no such language.
        DataError: the templates are broken.
    """
    if templates is None:
        return _shipped(language)(text)
    return Parser(load(language, templates))(text)


@cache
def _shipped(language: str) -> "Parser":
    return Parser(load(language))


Piece = tuple[int, int, str]
"""First word, word after the last, and what they are: fragment, glue, gap or stop."""


@dataclass
class _Heard:
    """What was understood so far, and what was not."""

    meanings: list[Meaning] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


class Parser:
    """Reads the texts of one language; see `parse`."""

    def __init__(self, templates: Templates) -> None:
        self.known = Known(templates)

    def __call__(self, text: str) -> Parsed:
        """Return what a text asserts."""
        words, heard = self.known.words(text), _Heard()
        sentence: list[Piece] = []
        for piece in self._pieces(words):
            if piece[2] == "stop":
                self._hear(words, sentence, heard)
                sentence = []
            else:
                sentence.append(piece)
        self._hear(words, sentence, heard)
        return _parsed(heard)

    def _pieces(self, words: WordTuple) -> Iterator[Piece]:
        """Cut words into fragments, the glue between them, stops, and gaps of other words."""
        at, begins = 0, True
        while at < len(words):
            length = self._fragment(words, at) if begins else 0
            kind = "fragment"
            if not length:
                length, kind = self._joining(words, at)
            begins = bool(length)
            if not length:
                length, kind = self._gap(words, at), "gap"
            yield at, at + length, kind
            at += length

    def _joining(self, words: WordTuple, at: int) -> tuple[int, str]:
        """Return how many words here are punctuation or glue, and whether a stop or glue."""
        if is_mark(words[at]):
            return 1, "stop" if words[at] in self.known.stops else "glue"
        return self._longest_glue(words, at), "glue"

    def _gap(self, words: WordTuple, at: int) -> int:
        """Return how many words from here, one at least, are neither punctuation nor glue."""
        stop = at + 1
        while stop < len(words) and not self._joining(words, stop)[0]:
            stop += 1
        return stop - at

    def _fragment(self, words: WordTuple, at: int) -> int:
        """Return the length of the longest fragment here that ends where one can end, or 0."""
        for length in self.known.fragment_lengths:
            if words[at : at + length] in self.known.fragments and self._ends(words, at + length):
                return length
        return 0

    def _ends(self, words: WordTuple, at: int) -> bool:
        if at >= len(words):
            return at == len(words)
        if is_mark(words[at]) or self._longest_glue(words, at):
            return True
        lengths = self.known.fragment_lengths
        return any(words[at : at + length] in self.known.fragments for length in lengths)

    def _longest_glue(self, words: WordTuple, at: int) -> int:
        for length in self.known.glue_lengths:
            if words[at : at + length] in self.known.glue:
                return length
        return 0

    def _hear(self, words: WordTuple, sentence: list[Piece], heard: _Heard) -> None:
        """Understand one sentence: its fragments, and what its gaps come near to."""
        meanings: list[Meaning] = []
        left: list[tuple[int, int]] = []
        for is_fragment, pieces in groupby(sentence, lambda piece: piece[2] == "fragment"):
            if is_fragment:
                meanings += [self.known.fragments[words[a:b]] for a, b, _ in pieces]
            else:
                self._guess(
                    words, [(a, b) for a, b, kind in pieces if kind == "gap"], meanings, left
                )
        # A negation that was not understood may turn round all that was.
        if any(self.known.turned(words[start:stop]) for start, stop in left):
            left, meanings = [(sentence[0][0], sentence[-1][1])], []
        heard.meanings += meanings
        heard.unknown += [self.known.text(words[start:stop]) for start, stop in left]

    def _guess(
        self,
        words: WordTuple,
        gaps: list[tuple[int, int]],
        meanings: list[Meaning],
        left: list[tuple[int, int]],
    ) -> None:
        """Understand gaps with nothing known between them: as one sentence, or as a list."""
        if not gaps:
            return
        whole = self._nearest(words[gaps[0][0] : gaps[-1][1]], self._sentences)
        if whole:
            meanings.append(whole)
            return
        for start, stop in gaps:
            # Half a local sentence says less than a whole one: only faces are said in lists.
            meaning = self._nearest(words[start:stop], self.known.of_faces)
            if meaning:
                meanings.append(meaning)
            else:
                left.append((start, stop))

    def _nearest(self, words: WordTuple, among: list[WordTuple]) -> Meaning | None:
        """Return what the nearest of some fragments agree on; None where they do not."""
        turned = self.known.turned(words)
        near = [
            (score, choice)
            for choice, score, _ in process.extract(
                words, among, scorer=Indel.normalized_similarity,
                processor=None, score_cutoff=NEAR, limit=None,
            )
            if score > NEAR and self.known.turned(choice) == turned
        ]  # fmt: skip
        if not near:
            return None
        best = max(score for score, _ in near)
        meanings = {self.known.fragments[choice] for score, choice in near if score > best - _TIE}
        if len(meanings) == 1:
            return meanings.pop()
        blunt = {tuple((au, _occurs(state)) for au, state in meaning) for meaning in meanings}
        return blunt.pop() if len(blunt) == 1 else None

    @cached_property
    def _sentences(self) -> list[WordTuple]:
        return list(self.known.fragments)


def _occurs(state: str) -> str:
    return "active" if state in INTENSITIES else state


def _parsed(heard: _Heard) -> Parsed:
    states: dict[str, set[str]] = {}
    degrees: dict[str, set[str]] = {}
    for meaning in heard.meanings:
        for au, state in meaning:
            states.setdefault(au, set()).add(_occurs(state))
            if state in INTENSITIES:
                degrees.setdefault(au, set()).add(state)
    both = {au for au, said in states.items() if len(said) > 1}
    return Parsed(
        states={au: next(iter(said)) for au, said in sorted(states.items()) if au not in both},
        degrees={
            au: next(iter(said))
            for au, said in sorted(degrees.items())
            if au not in both and len(said) == 1
        },
        contradicted=tuple(sorted(both)),
        unknown=tuple(heard.unknown),
    )
