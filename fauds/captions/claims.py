"""Finds what texts claim about where parts of a face are, and claims that cannot both be true.

Action units can pull one part of a face in opposite directions at the same time: in AU12 and AU15
together, the lip corner is pulled up and pulled down. Texts about both are true as long as they
name the pulls. A text that says where the part has ended up ("the lip corner is raised")
contradicts one that says the opposite. Which action units pull which part where is data, in
templates/facs.yaml (`fauds.facs.moves`); by which words texts say so is data of each language, in
its language.yaml.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations

from fauds.captions.fragments import Language
from fauds.captions.lexicon import Lexicon, normalise
from fauds.facs import AUS, moves, opposites

_CLAUSE_ENDS = re.compile(r"[,;:.!?，；：。！？、]")


@dataclass(frozen=True, order=True)
class Claim:
    """What a text claims about one part of a face.

    Attributes:
        part: the part, such as "lip corner"; see `fauds.facs.moves`.
        direction: where the part is, such as "up".
        asserted: True if the text says that the part is there, False if it says that it is not.
    """

    part: str
    direction: str
    asserted: bool

    def __str__(self) -> str:
        return f"{self.part} {'' if self.asserted else 'not '}{self.direction}"


def cannot_both_be_true(first: Claim, second: Claim) -> bool:
    """Return whether two claims about a face contradict each other.

    They do if they put one part in opposite places, or if one denies what the other asserts.
    """
    if first.part != second.part:
        return False
    if first.direction == second.direction:
        return first.asserted != second.asserted
    both = first.asserted and second.asserted
    return both and frozenset((first.direction, second.direction)) in opposites()


def contradictions(claims: Iterable[Claim]) -> list[tuple[Claim, Claim]]:
    """Return all pairs of claims about one face that cannot both be true, sorted."""
    pairs = combinations(sorted(set(claims)), 2)
    return [pair for pair in pairs if cannot_both_be_true(*pair)]


@cache
def impossible_pairs() -> tuple[tuple[str, Claim, str, Claim], ...]:
    """Return the claims that texts about two action units may not make beside each other.

    Returns:
        For each pair of action units that can move a part in opposite directions: the first action
        unit, the claim that its movement leads to, the second action unit, and its claim.
    """
    return tuple(
        (au, Claim(*movement, True), other, Claim(*other_movement, True))
        for au, other in combinations(AUS, 2)
        for movement in sorted(moves(au))
        for other_movement in sorted(moves(other))
        if cannot_both_be_true(Claim(*movement, True), Claim(*other_movement, True))
    )


class ClaimReader:
    """Reads from texts of one language what they claim about parts of a face.

    A clause claims that a part is somewhere if it has a word for the part and one for the place,
    such as "raised", and no hedge, such as "may"; words for pulls, such as "pulled up", claim no
    place. Clauses end at punctuation marks and at the words that join fragments.

    Args:
        language: the content of the language's language.yaml. Without parts and results in it, no
            claims are found.
        lexicon: the language's fragments and the words that join them, which end clauses, too.
    """

    def __init__(self, language: Language, lexicon: Lexicon) -> None:
        self._spaced = lexicon.spaced
        # Single words such as "the" also stand within clauses.
        joins = [words for words in lexicon.connectors if len(words) > 1]
        self._joins = self._pattern([lexicon.text(words) for words in joins])
        self.hedges = self._pattern(language.hedges)
        self._named = self._pattern(language.named)
        self.negations = self._pattern(
            [f"*{word[1:]}" if word[0] == "-" else word for word in language.negations]
        )
        self._parts = {part: self._pattern(nouns) for part, nouns in language.parts.items()}
        nouns = [noun for listed in language.parts.values() for noun in listed]
        self._nouns = self._pattern(nouns)
        self._results = {name: self._pattern(words) for name, words in language.results.items()}
        known = {movement for au in AUS for movement in moves(au)}
        turned = {
            (part, other)
            for part, direction in known
            for pair in opposites()
            if direction in pair
            for other in pair
        }
        self._known = known | turned

    def clauses(self, text: str) -> list[str]:
        """Return the clauses of a text that hold a word, in lower case.

        The expressions under "named" in language.yaml are left out.
        """
        text = normalise(text)
        if self._named is not None:
            text = self._named.sub(" ", text)
        if self._joins is not None:
            text = self._joins.sub(",", text)
        pieces = _CLAUSE_ENDS.split(text)
        return [piece.strip() for piece in pieces if piece.strip()]

    def claims(self, text: str) -> frozenset[Claim]:
        """Return what a text claims about parts of a face."""
        return frozenset(
            claim for clause in self.clauses(text) for claim in self._of_clause(clause)
        )

    def is_hedged(self, clause: str) -> bool:
        """Return whether a clause holds a word that leaves it open, such as "may"."""
        return self.hedges is not None and bool(self.hedges.search(clause))

    def words(self, words: Sequence[str]) -> re.Pattern[str] | None:
        """Return a pattern of some words of language.yaml; None if there are none."""
        return self._pattern(words)

    def _of_clause(self, clause: str) -> Iterator[Claim]:
        if self.is_hedged(clause):
            return
        denied = self.negations is not None and bool(self.negations.search(clause))
        # "lower" is a place in "the lip corner is lower", and none in "the lower lip".
        rest = clause if self._nouns is None else self._nouns.sub(" ", clause)
        places = [name for name, words in self._results.items() if words and words.search(rest)]
        for part, nouns in self._parts.items():
            if nouns is not None and places and nouns.search(clause):
                for direction in places:
                    if (part, direction) in self._known:
                        yield Claim(part, direction, not denied)

    def _pattern(self, words: Sequence[str]) -> re.Pattern[str] | None:
        if not words:
            return None
        longest_first = sorted((normalise(word) for word in words), key=len, reverse=True)
        if not self._spaced:
            return re.compile("|".join(map(re.escape, longest_first)))
        forms = []
        for word in longest_first:
            start = "" if word.startswith("*") else r"\b"
            end = r"\w*" if word.endswith("-") else r"\b"
            forms.append(start + re.escape(word.strip("*-")) + end)
        return re.compile("|".join(forms))
