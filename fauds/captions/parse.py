"""From a text back to what it asserts of each action unit.

A text of the templates is inverted exactly: the longest known fragment first, and only glue
between fragments. What is left over, as in a text that a decoder wrote, is compared with all
fragments word by word; a near one counts if its negations are the same and nothing else that is
as near says otherwise. What remains is returned as not understood. Needs no spaCy.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path

from rapidfuzz import process
from rapidfuzz.distance import Indel

from fauds.captions.known import Known, Meaning, Words, is_mark
from fauds.captions.templates import Templates, load
from fauds.facs import INTENSITIES, au_name

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
        gaps: list[tuple[int, int]] = []
        for start, stop, kind in self._pieces(words):
            if kind == "gap":
                gaps.append((start, stop))
            elif kind != "glue":
                self._guess(words, gaps, heard)
                gaps = []
            if kind == "fragment":
                heard.meanings.append(self.known.fragments[words[start:stop]])
        self._guess(words, gaps, heard)
        return _parsed(heard)

    def _pieces(self, words: Words) -> Iterator[tuple[int, int, str]]:
        """Yield (start, stop, kind): a fragment, glue, a stop, or a gap of unknown words."""
        at, open_ = 0, True
        while at < len(words):
            length, kind = self._fragment(words, at) if open_ else 0, "fragment"
            if not length and is_mark(words[at]):
                length, kind = 1, "stop" if words[at] in self.known.stops else "glue"
            if not length:
                length, kind = self._longest_glue(words, at), "glue"
            open_ = bool(length)
            start = at
            while not length:
                at += 1
                if at == len(words) or is_mark(words[at]) or self._longest_glue(words, at):
                    length, kind = at - start, "gap"
            at = start + length
            yield start, at, kind

    def _fragment(self, words: Words, at: int) -> int:
        """Return the length of the longest fragment here that ends where one can end, or 0."""
        for length in self.known.fragment_lengths:
            if words[at : at + length] in self.known.fragments and self._ends(words, at + length):
                return length
        return 0

    def _ends(self, words: Words, at: int) -> bool:
        if at >= len(words):
            return at == len(words)
        if is_mark(words[at]) or self._longest_glue(words, at):
            return True
        lengths = self.known.fragment_lengths
        return any(words[at : at + length] in self.known.fragments for length in lengths)

    def _longest_glue(self, words: Words, at: int) -> int:
        for length in self.known.glue_lengths:
            if words[at : at + length] in self.known.glue:
                return length
        return 0

    def _guess(self, words: Words, gaps: list[tuple[int, int]], heard: _Heard) -> None:
        """Understand the gaps of one sentence: as one fragment, or each as its own."""
        if not gaps:
            return
        whole = self._nearest(words[gaps[0][0] : gaps[-1][1]])
        if whole:
            heard.meanings.append(whole)
            return
        for start, stop in gaps:
            meaning = self._nearest(words[start:stop]) if len(gaps) > 1 else None
            if meaning:
                heard.meanings.append(meaning)
            else:
                heard.unknown.append(self.known.text(words[start:stop]))

    def _nearest(self, words: Words) -> Meaning | None:
        """Return what the nearest fragments agree on; None where there are none or they do not."""
        turned = self.known.turned(words)
        near = [
            (score, choice)
            for choice, score, _ in process.extract(
                words, self._choices, scorer=Indel.normalized_similarity,
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
    def _choices(self) -> list[Words]:
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
