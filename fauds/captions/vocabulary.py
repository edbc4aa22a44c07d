"""Collects the tokens of descriptions in vocabularies, and converts texts to token ids and back."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise, product

import pyarrow as pa

from fauds.captions.templates import SUBJECT_WORDS, Templates
from fauds.captions.tokens import Token, Tokeniser
from fauds.facs import INTENSITIES, beside

SPECIALS = ("<pad>", "<bos>", "<eos>", "<unk>")
PAD, BOS, EOS, UNK = range(len(SPECIALS))
_START = "<bos-"
_MOST_AUS_EXHAUSTIVE = 12


def is_special(token: str) -> bool:
    """Return whether a token of a vocabulary is no word: one of `SPECIALS` or a start token."""
    return token in SPECIALS or token.startswith(_START)


def start_token(variant: int) -> int:
    """Return the id of the token that begins texts of a paraphrase, and so announces the wording.

    It is <bos> for the first paraphrase, and the token <bos-2>, <bos-3> and so on for the others,
    which follow `SPECIALS` in the vocabulary.

    Args:
        variant: the number of the paraphrase, from 0.
    """
    return len(SPECIALS) + variant - 1 if variant else BOS


@dataclass(frozen=True)
class Words:
    """The vocabulary of the local descriptions (of single AUs) or of the global ones (of faces).

    A token's id is its index in `tokens`. A token that occurs both with and without a blank after
    it has two ids.

    Attributes:
        tokens: the tokens; the special tokens (`SPECIALS`, such as <eos>, and the start tokens of
            paraphrases, see `start_token`) are the first ones.
        spaces: for each token, whether a blank follows it.
    """

    tokens: tuple[str, ...]
    spaces: tuple[bool, ...]

    @classmethod
    def of(cls, texts: Iterable[str], tokenise: Tokeniser, variants: int = 1) -> "Words":
        """Return the vocabulary of some texts.

        The special tokens come first, then the tokens of the texts in alphabetical order. A token
        that occurs both with and without a blank after it is listed twice.

        Args:
            texts: the texts.
            tokenise: the tokeniser of their language.
            variants: the number of paraphrases, each of which has a start token.
        """
        special = (*SPECIALS, *(f"{_START}{number}>" for number in range(2, variants + 1)))
        pairs = sorted({pair for text in texts for pair in tokenise(text)})
        tokens, spaces = zip(*pairs, strict=True) if pairs else ((), ())
        return cls((*special, *tokens), (False,) * len(special) + spaces)

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
        return {pair: at for at, pair in enumerate(pairs) if not is_special(pair[0])}

    def text(self, ids: Iterable[int]) -> str:
        """Return the text that token ids represent, up to <eos> and without special tokens."""
        pieces = []
        for at in ids:
            if at == EOS:
                break
            if not is_special(self.tokens[at]):
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
    aus: Sequence[str],
    templates: Templates,
    states: Sequence[str],
    variants: int = 1,
    *,
    style: str = "plain",
    at_most: str | None = None,
) -> list[str]:
    """Return all descriptions of single action units: one per action unit, state and paraphrase.

    In the composed style there is one for every combination of active neighbours, too: up to 16.

    Args:
        aus: the canonical names of the action units.
        templates: the language's templates.
        states: the states to describe, such as "inactive" and "active".
        variants: the number of paraphrases of each state.
        style: "plain" or "composed".
        at_most: the highest degree that also counts as inactive; see `Templates.local`.
    """
    texts = []
    for au, state, variant in product(aus, states, range(variants)):
        if style == "plain":
            texts.append(templates.local(au, state, variant, at_most=at_most))
        else:
            texts += [
                templates.composed(au, state, active, variant, at_most=at_most)
                for active in subsets(beside(au, aus))
            ]
    return texts


def subsets(names: Sequence[str]) -> list[tuple[str, ...]]:
    """Return all subsets of some names.

    The place of a subset in the list is the sum of 2 ** i for the places i of its names.
    """
    return [
        tuple(name for bit, name in enumerate(names) if code >> bit & 1)
        for code in range(1 << len(names))
    ]


def global_texts(
    aus: Sequence[str],
    templates: Templates,
    variants: int = 1,
    *,
    degrees: bool = False,
    at_most: str | None = None,
) -> Iterator[str]:
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
        degrees: whether descriptions also give degrees, "A" to "E".
        at_most: the highest degree that also counts as inactive; see `Templates.face`.
    """
    if not templates.trusted and len(aus) <= _MOST_AUS_EXHAUSTIVE:
        few = {
            frozenset(combination)
            for size in range(len(aus) + 1)
            for combination in combinations(aus, size)
        }
        more = few
    else:
        few = {frozenset(), frozenset(aus), *map(frozenset, _windows(aus, templates))}
        more = few | _combinations_of_groups(aus, templates)
    for variant in range(variants):
        for sex in SUBJECT_WORDS:
            # The words around a fragment do not depend on the subject, so one sex is enough.
            for active in more if sex == "F" else few:
                yield templates.face(active, sex, variant, at_most=at_most)
        for degree in INTENSITIES if degrees else ():
            for graded in [*_windows(aus, templates), tuple(aus)]:
                degrees_of = dict.fromkeys(graded, degree)
                yield templates.face(graded, "F", variant, degrees=degrees_of)
        if degrees:
            # A group without degrees beside an action unit that would be in another group.
            for unit, au in product(_units_within(frozenset(aus), templates), aus):
                if len(unit) > 1 and au not in unit:
                    yield templates.face(unit | {au}, "F", variant, degrees={au: "A"})


def _windows(aus: Sequence[str], templates: Templates) -> list[tuple[str, ...]]:
    """Return combinations in which each action unit stands in every place of a list.

    They are one to three action units that follow each other in descriptions.
    """
    regions = templates.face_file.regions
    single = {au: unit for unit in templates.units for au in unit.aus if len(unit.aus) == 1}
    places = {au: (regions.index(unit.region), unit.line) for au, unit in single.items()}
    in_order = sorted((au for au in aus if au in places), key=lambda au: places[au])
    return [
        tuple(in_order[at : at + size])
        for size in (1, 2, 3)
        for at in range(len(in_order) - size + 1)
    ]


def _combinations_of_groups(aus: Sequence[str], templates: Templates) -> set[frozenset[str]]:
    """Return more combinations of action units, for `global_texts`.

    A group is one or several action units that the templates describe in one piece of text. The
    combinations are: every pair of action units, all action units without one group, and every
    group with each action unit and with two action units that are neighbours in `aus`.
    """
    whole = frozenset(aus)
    units = _units_within(whole, templates)
    neighbours = [*combinations(aus, 1), *pairwise(aus)]
    return {
        *map(frozenset, combinations(aus, 2)),
        *(whole - unit for unit in units),
        *(unit | set(others) for unit in units for others in neighbours),
    }


def _units_within(aus: frozenset[str], templates: Templates) -> list[frozenset[str]]:
    return [unit.aus for unit in templates.units if unit.aus <= aus]


class Encoder:
    """Converts texts to token ids, with a start token before and <eos> after them.

    Descriptions have few distinct pieces between blanks, so the ids of each are computed only once.

    Args:
        words: the vocabulary; a token outside it gets the id of <unk>.
        tokenise: the tokeniser of the texts' language.
    """

    def __init__(self, words: Words, tokenise: Tokeniser) -> None:
        self._index, self._tokenise = words.index(), tokenise
        self._pieces: dict[str, list[int]] = {}

    def __call__(self, text: str, variant: int = 0) -> list[int]:
        """Return the token ids of a text.

        Args:
            text: the text, without blanks at its ends and with single blanks between words.
            variant: the number of the paraphrase, from 0, which decides the start token.
        """
        ids, pieces = [start_token(variant)], text.split(" ")
        for piece in pieces[:-1]:
            ids += self._ids(piece + " ")
        return [*ids, *self._ids(pieces[-1]), EOS]

    def _ids(self, piece: str) -> list[int]:
        ids = self._pieces.get(piece)
        if ids is None:
            tokens = self._tokenise.piece(piece.rstrip(" "), piece.endswith(" "))
            ids = self._pieces[piece] = [self._index.get(token, UNK) for token in tokens]
        return ids
