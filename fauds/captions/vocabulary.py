"""Vocabularies of all tokens in a language's descriptions, and texts from token ids."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import pyarrow as pa

from fauds.captions.templates import SUBJECT_WORDS, Templates
from fauds.captions.tokens import Token, Tokeniser

SPECIALS = ("<pad>", "<bos>", "<eos>", "<unk>")
PAD, BOS, EOS, UNK = range(len(SPECIALS))
_MOST_AUS_EXHAUSTIVE = 12


@dataclass(frozen=True)
class Words:
    """The vocabulary of the local or of the global descriptions.

    Attributes:
        tokens: the tokens by id, `SPECIALS` first.
        spaces: whether a blank follows each token.
    """

    tokens: tuple[str, ...]
    spaces: tuple[bool, ...]

    @classmethod
    def of(cls, texts: Iterable[str], tokenise: Tokeniser) -> "Words":
        """Return the vocabulary of some texts: their distinct (token, blank) pairs, sorted."""
        pairs = sorted({pair for text in texts for pair in tokenise(text)})
        tokens, spaces = zip(*pairs, strict=True) if pairs else ((), ())
        return cls((*SPECIALS, *tokens), (False,) * len(SPECIALS) + spaces)

    @classmethod
    def from_table(cls, vocabulary: pa.Table, scope: str) -> "Words":
        """Return the vocabulary of one scope, "local" or "global", of a vocabulary table."""
        rows = sorted(
            (row["id"], row["token"], row["space"])
            for row in vocabulary.to_pylist()
            if row["scope"] == scope
        )
        return cls(tuple(row[1] for row in rows), tuple(row[2] for row in rows))

    def __len__(self) -> int:
        return len(self.tokens)

    def index(self) -> dict[Token, int]:
        """Return the id of every (token, blank) pair, without special tokens."""
        pairs = list(zip(self.tokens, self.spaces, strict=True))
        return {pair: at for at, pair in enumerate(pairs) if at >= len(SPECIALS)}

    def text(self, ids: Iterable[int]) -> str:
        """Return the text of token ids up to <eos>, without special tokens."""
        pieces = []
        for at in ids:
            if at == EOS:
                break
            if at >= len(SPECIALS):
                pieces.append(self.tokens[at] + " " * self.spaces[at])
        return "".join(pieces).rstrip()


def detokenise(ids: Iterable[int], vocabulary: pa.Table | Words, scope: str = "global") -> str:
    """Return the text of token ids, such as those that a decoder generates.

    Args:
        ids: the token ids; <pad>, <bos> and <unk> are left out, and <eos> ends the text.
        vocabulary: the vocabulary table. For many texts, create `Words.from_table` once and pass
            it instead.
        scope: the scope to use of the table, "local" or "global".
    """
    words = vocabulary if isinstance(vocabulary, Words) else Words.from_table(vocabulary, scope)
    return words.text(ids)


def local_texts(
    aus: Sequence[str], templates: Templates, states: Sequence[str], variants: int = 1
) -> list[str]:
    """Return all local descriptions of an AU set.

    Args:
        aus: the canonical names of the action units.
        templates: the language's templates.
        states: the states to describe.
        variants: the number of paraphrases of each state.
    """
    return [
        templates.local(au, state, variant)
        for au in aus
        for state in states
        for variant in range(variants)
    ]


def global_texts(aus: Sequence[str], templates: Templates, variants: int = 1) -> Iterator[str]:
    """Yield descriptions of faces that together hold every token of all combinations of AUs.

    Rendering all combinations would take too long: 17 action units have 131,072. A token depends on
    its fragment, on what follows the fragment in its sentence (a comma, "and", or the end), and on
    the words for the subject, so a few combinations around every fragment are enough. Users' own
    templates may not follow these rules, so all combinations of up to 12 action units are rendered.

    Args:
        aus: the canonical names of the action units.
        templates: the language's templates.
        variants: the number of paraphrases of each face.
    """
    if not templates.trusted and len(aus) <= _MOST_AUS_EXHAUSTIVE:
        few = {
            frozenset(combination)
            for size in range(len(aus) + 1)
            for combination in combinations(aus, size)
        }
        more = few
    else:
        few = _small_combinations(aus, templates)
        more = few | _neighbouring_combinations(aus, templates)
    for variant in range(variants):
        for sex in SUBJECT_WORDS:
            # The words around a fragment do not depend on the subject, so one sex is enough.
            for active in more if sex == "F" else few:
                yield templates.face(active, sex, variant)


def _small_combinations(aus: Sequence[str], templates: Templates) -> set[frozenset[str]]:
    """Return every unit alone, every pair of action units, and the whole set without each unit."""
    whole = frozenset(aus)
    units = _units_within(whole, templates)
    pairs = map(frozenset, combinations(aus, 2))
    return {frozenset(), whole, *units, *pairs, *(whole - unit for unit in units)}


def _neighbouring_combinations(aus: Sequence[str], templates: Templates) -> set[frozenset[str]]:
    """Return every unit together with one and with two neighbours, and all triples."""
    units = _units_within(frozenset(aus), templates)
    neighbours = [
        *map(frozenset, combinations(aus, 1)),
        *map(frozenset, pairwise(aus)),
    ]
    return {unit | others for unit in units for others in neighbours} | set(
        map(frozenset, combinations(aus, 3))
    )


def _units_within(aus: frozenset[str], templates: Templates) -> list[frozenset[str]]:
    return [unit.aus for unit in templates.units if unit.aus <= aus]


def encode(text: str, index: dict[Token, int], tokenise: Tokeniser) -> list[int]:
    """Return the token ids of a text between <bos> and <eos>, with <unk> for unknown tokens."""
    return [BOS, *(index.get(token, UNK) for token in tokenise(text)), EOS]
