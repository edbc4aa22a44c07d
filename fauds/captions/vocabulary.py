"""Vocabularies: all tokens that a language's templates can make, and texts from token ids."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import pyarrow as pa

from fauds.captions.templates import SUBJECT_WORDS, Templates
from fauds.captions.tokens import Token, Tokeniser

SPECIALS = ("<pad>", "<bos>", "<eos>", "<unk>")
PAD, BOS, EOS, UNK = range(len(SPECIALS))
_EXHAUSTIVE = 12


@dataclass(frozen=True)
class Words:
    """One scope's vocabulary: token and following blank by id, `SPECIALS` first."""

    tokens: tuple[str, ...]
    spaces: tuple[bool, ...]

    @classmethod
    def of(cls, texts: Iterable[str], tokenise: Tokeniser) -> "Words":
        """Return the vocabulary of texts: their distinct (token, blank) pairs, sorted."""
        pairs = sorted({pair for text in texts for pair in tokenise(text)})
        tokens, spaces = zip(*pairs, strict=True) if pairs else ((), ())
        return cls((*SPECIALS, *tokens), (False,) * len(SPECIALS) + spaces)

    @classmethod
    def from_table(cls, vocabulary: pa.Table, scope: str) -> "Words":
        """Return one scope ("local" or "global") of a vocabulary table."""
        rows = sorted(
            (row["id"], row["token"], row["space"])
            for row in vocabulary.to_pylist()
            if row["scope"] == scope
        )
        return cls(tuple(row[1] for row in rows), tuple(row[2] for row in rows))

    def __len__(self) -> int:
        return len(self.tokens)

    def index(self) -> dict[Token, int]:
        """Return the id of every (token, blank) pair; specials are not among them."""
        pairs = list(zip(self.tokens, self.spaces, strict=True))
        return {pair: at for at, pair in enumerate(pairs) if at >= len(SPECIALS)}

    def text(self, ids: Iterable[int]) -> str:
        """Return the exact text of token ids; stops at <eos>, leaves the other specials out."""
        said = []
        for at in ids:
            if at == EOS:
                break
            if at >= len(SPECIALS):
                said.append(self.tokens[at] + " " * self.spaces[at])
        return "".join(said).rstrip()


def detokenise(ids: Iterable[int], vocabulary: pa.Table | Words, scope: str = "global") -> str:
    """Return the text of token ids, such as a decoder generates.

    Args:
        ids: token ids; <pad>, <bos> and <unk> are left out, <eos> ends the text.
        vocabulary: a vocabulary table; for many texts `Words.from_table`, made once.
        scope: which vocabulary of the table, "local" or "global".
    """
    words = vocabulary if isinstance(vocabulary, Words) else Words.from_table(vocabulary, scope)
    return words.text(ids)


def local_texts(
    aus: Sequence[str], templates: Templates, states: Sequence[str], variants: int = 1
) -> list[str]:
    """Return all local descriptions of an AU set in these states and paraphrases."""
    return [
        templates.local(au, state, variant)
        for au in aus
        for state in states
        for variant in range(variants)
    ]


def global_texts(aus: Sequence[str], templates: Templates, variants: int = 1) -> Iterator[str]:
    """Yield face descriptions that hold every token that any combination of an AU set makes.

    All combinations would do, but 17 action units have 131,072. A token depends on its
    fragment, on what follows the fragment in its sentence (a comma, "and", or the end) and on
    the subject's words, so the fragments that say one unit are shown in few surroundings.
    Templates that fauds does not ship may not keep to that: of up to 12 action units they show
    all combinations.
    """
    if not templates.trusted and len(aus) <= _EXHAUSTIVE:
        few = {frozenset(c) for n in range(len(aus) + 1) for c in combinations(aus, n)}
        many = few
    else:
        few = _few(aus, templates)
        many = few | _surroundings(aus, templates)
    for variant in range(variants):
        for sex in SUBJECT_WORDS:
            # What surrounds a fragment does not depend on the subject: one sex shows it.
            for active in many if sex == "F" else few:
                yield templates.face(active, sex, variant)


def _few(aus: Sequence[str], templates: Templates) -> set[frozenset[str]]:
    """Return every unit alone, every pair of action units, and all but a unit."""
    whole = frozenset(aus)
    units = _said(whole, templates)
    pairs = map(frozenset, combinations(aus, 2))
    return {frozenset(), whole, *units, *pairs, *(whole - unit for unit in units)}


def _surroundings(aus: Sequence[str], templates: Templates) -> set[frozenset[str]]:
    """Return every unit with one and with two neighbours, and all triples."""
    units = _said(frozenset(aus), templates)
    beside = [
        *map(frozenset, combinations(aus, 1)),
        *map(frozenset, pairwise(aus)),
    ]
    return {unit | more for unit in units for more in beside} | set(
        map(frozenset, combinations(aus, 3))
    )


def _said(whole: frozenset[str], templates: Templates) -> list[frozenset[str]]:
    return [unit.aus for unit in templates.units if unit.aus <= whole]


def encode(text: str, index: dict[Token, int], tokenise: Tokeniser) -> list[int]:
    """Return the token ids of a text, with begin and end; unknown tokens become <unk>."""
    return [BOS, *(index.get(token, UNK) for token in tokenise(text)), EOS]
