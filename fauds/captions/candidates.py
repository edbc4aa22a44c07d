"""Lists the texts that could describe a face whose action units' states are given.

All candidates assert exactly these states; they differ in what the states leave open: the person's
sex and the paraphrase. A model that gives the likelihood of texts chooses among them.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fauds.captions.build import highest_inactive
from fauds.captions.templates import SUBJECT_WORDS, load, template_hash
from fauds.captions.tokens import Tokeniser
from fauds.captions.vocabulary import UNK, Encoder, Words
from fauds.errors import DataError
from fauds.facs import beside

WORDING = ("language", "style", "degrees", "variants", "occurrence_at", "templates")
"""The settings of captions on which the candidates depend, see `fauds.captions.build.Captions`."""


@dataclass(frozen=True)
class Candidate:
    """A text that could describe an action unit or a face.

    Attributes:
        text: the text.
        tokens: its token ids in the vocabulary: a start token, words, <eos>.
    """

    text: str
    tokens: tuple[int, ...]


class Candidates:
    """The candidates of a model that was trained on captions of one wording.

    Args:
        aus: the names of the A action units that the model describes, in its order.
        words: the vocabularies of "local" and "global" descriptions.
        wording: the settings of the captions (`WORDING`) that the model was trained on.
    """

    def __init__(
        self, aus: Sequence[str], words: Mapping[str, Words], wording: Mapping[str, Any]
    ) -> None:
        self._aus = tuple(aus)
        self._templates = load(wording["language"])
        tokenise = Tokeniser(wording["language"])
        self._encode = {scope: Encoder(known, tokenise) for scope, known in words.items()}
        self._composed = wording["style"] == "composed"
        self._variants = range(int(wording["variants"]))
        self._at_most = highest_inactive(wording["occurrence_at"])
        self._local: dict[tuple[str, str, tuple[str, ...]], list[Candidate]] = {}
        self._face: dict[tuple[str, ...], list[Candidate]] = {}

    def local(self, active: Collection[str]) -> list[tuple[list[Candidate], list[Candidate]]]:
        """Return the descriptions of every action unit on a face with these active ones.

        Args:
            active: the names of the active action units.

        Returns:
            For each action unit, its descriptions as inactive and as active, one per paraphrase.
        """
        pairs = []
        for au in self._aus:
            near = tuple(name for name in beside(au, self._aus) if name in active)
            near = near if self._composed else ()
            pairs.append((self._of_au(au, "inactive", near), self._of_au(au, "active", near)))
        return pairs

    def face(self, active: Collection[str]) -> list[Candidate]:
        """Return the descriptions of a face with exactly these active action units.

        There is one for each paraphrase and each sex (or none), unless a word of it is not in the
        vocabulary.

        Raises:
            DataError: there is none.
        """
        key = tuple(au for au in self._aus if au in active)
        if key not in self._face:
            texts = [
                (self._templates.face(key, sex, variant, at_most=self._at_most), variant)
                for variant in self._variants
                for sex in SUBJECT_WORDS
            ]
            candidates = [self._candidate(text, "global", variant) for text, variant in texts]
            known = [candidate for candidate in candidates if UNK not in candidate.tokens]
            if not known:
                raise DataError(
                    "The model's vocabulary lacks a word of every description of "
                    f"{', '.join(key) or 'a face without active action units'}.",
                    hint="train it on captions of these templates, or describe freely: "
                    "inference.words=free",
                )
            self._face[key] = known
        return self._face[key]

    def _of_au(self, au: str, state: str, near: tuple[str, ...]) -> list[Candidate]:
        key = (au, state, near)
        if key not in self._local:
            at_most = self._at_most
            self._local[key] = [
                self._candidate(
                    self._templates.composed(au, state, near, variant, at_most=at_most)
                    if self._composed
                    else self._templates.local(au, state, variant, at_most=at_most),
                    "local",
                    variant,
                )
                for variant in self._variants
            ]
        return self._local[key]

    def _candidate(self, text: str, scope: str, variant: int) -> Candidate:
        return Candidate(text, tuple(self._encode[scope](text, variant)))


def reason_against(wording: Mapping[str, Any] | None) -> str | None:
    """Return why there are no candidates for captions of a wording, as text; None if there are.

    Args:
        wording: the settings of the captions that a model was trained on; None if not known.
    """
    if wording is None:
        return "the weights do not say what descriptions the model was trained on"
    if wording["degrees"]:
        return "the model was trained on descriptions with degrees, which it does not predict"
    if wording["templates"] != template_hash(wording["language"]):
        return "the model was trained on descriptions of other templates than those of this fauds"
    return None
