"""Collects the tokens of descriptions in vocabularies, and converts texts to token ids and back."""

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
    """The vocabulary of the local descriptions (of single AUs) or of the global ones (of faces).

    A token's id is its index in `tokens`. A token that occurs both with and without a blank after
    it has two ids.

    Attributes:
        tokens: the tokens; the special tokens (`SPECIALS`, such as <eos>) are the first ones.
        spaces: for each token, whether a blank follows it.
    """

    tokens: tuple[str, ...]
    spaces: tuple[bool, ...]

    @classmethod
    def of(cls, texts: Iterable[str], tokenise: Tokeniser) -> "Words":
        """Return the vocabulary of some texts.

        The special tokens come first, then the tokens of the texts in alphabetical order. A token
        that occurs both with and without a blank after it is listed twice.
        """
        pairs = sorted({pair for text in texts for pair in tokenise(text)})
        tokens, spaces = zip(*pairs, strict=True) if pairs else ((), ())
        return cls((*SPECIALS, *tokens), (False,) * len(SPECIALS) + spaces)

    @classmethod
    def from_table(cls, vocabulary: pa.Table, scope: str) -> "Words":
        """Return one of the two vocabularies that a vocabulary table holds.

        Args:
            vocabulary: the vocabulary table.
            scope: "local" for the descriptions of single action units, "global" for those of whole
                faces.
        """
        rows = sorted(
            (row["id"], row["token"], row["space"])
            for row in vocabulary.to_pylist()
            if row["scope"] == scope
        )
        return cls(tuple(row[1] for row in rows), tuple(row[2] for row in rows))

    def __len__(self) -> int:
        return len(self.tokens)

    def index(self) -> dict[Token, int]:
        """Return the id of every token except special ones, such as <eos>.

        The keys are pairs of a token and whether a blank follows it.
        """
        pairs = list(zip(self.tokens, self.spaces, strict=True))
        return {pair: at for at, pair in enumerate(pairs) if at >= len(SPECIALS)}

    def text(self, ids: Iterable[int]) -> str:
        """Return the text that token ids represent, up to <eos> and without special tokens."""
        pieces = []
        for at in ids:
            if at == EOS:
                break
            if at >= len(SPECIALS):
                pieces.append(self.tokens[at] + " " * self.spaces[at])
        return "".join(pieces).rstrip()


def detokenise(ids: Iterable[int], vocabulary: pa.Table | Words, scope: str = "global") -> str:
    """Return the text that token ids represent, such as the ids that a decoder generates.

    Args:
        ids: the token ids; <pad>, <bos> and <unk> are left out, and <eos> ends the text.
        vocabulary: the vocabulary table. For many texts, call `Words.from_table` once and pass its
            result instead of the table.
        scope: which descriptions of the table the ids belong to, "local" (of single action units)
            or "global" (of whole faces).
    """
    words = vocabulary if isinstance(vocabulary, Words) else Words.from_table(vocabulary, scope)
    return words.text(ids)


def local_texts(
    aus: Sequence[str], templates: Templates, states: Sequence[str], variants: int = 1
) -> list[str]:
    """Return all descriptions of single action units: one per action unit, state and paraphrase.

    Args:
        aus: the canonical names of the action units.
        templates: the language's templates.
        states: the states to describe, such as "inactive" and "active".
        variants: the number of paraphrases of each state.
    """
    return [
        templates.local(au, state, variant)
        for au in aus
        for state in states
        for variant in range(variants)
    ]


def global_texts(aus: Sequence[str], templates: Templates, variants: int = 1) -> Iterator[str]:
    """Yield descriptions of faces that together contain every token of all possible descriptions.

    Rendering all combinations of action units would take too long: 17 action units have 131,072
    combinations. A few combinations per fragment (the text about one or a few action units) are
    enough, because a token depends only on its fragment, on what follows the fragment in the
    sentence (a comma, "and", or the end), and on the words for the subject. Users' own templates
    may not follow this rule; for them, all combinations are rendered if there are at most 12 action
    units.

    Args:
        aus: the canonical names of the action units.
        templates: the language's templates.
        variants: the number of paraphrases of each description.
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
    """Return a small set of combinations of action units, for `global_texts`.

    A group is one or several action units that the templates describe in one piece of text. The
    combinations are: no action unit, all of them, every group alone, every pair of action units,
    and all action units without one group.
    """
    whole = frozenset(aus)
    units = _units_within(whole, templates)
    pairs = map(frozenset, combinations(aus, 2))
    return {frozenset(), whole, *units, *pairs, *(whole - unit for unit in units)}


def _neighbouring_combinations(aus: Sequence[str], templates: Templates) -> set[frozenset[str]]:
    """Return more combinations of action units, for `global_texts`.

    A group is one or several action units that the templates describe in one piece of text. The
    combinations are: every group with each action unit, every group with two action units that are
    neighbours in `aus`, and all triples of action units.
    """
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
    """Return the token ids of a text, with <bos> before and <eos> after them.

    Args:
        text: the text.
        index: the ids of the vocabulary's tokens, from `Words.index`; any other token gets the id
            of <unk>.
        tokenise: the tokeniser of the text's language.
    """
    return [BOS, *(index.get(token, UNK) for token in tokenise(text)), EOS]
