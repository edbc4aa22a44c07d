"""Splits texts into tokens with spaCy, which is imported when the first text is tokenised."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spacy.language import Language

Token = tuple[str, bool]
"""A token (a word or a punctuation mark), and whether a blank follows the token."""


class Tokeniser:
    """Splits texts of one language into tokens, from which the exact text can be restored.

    spaCy first splits a text at blanks, and then splits every piece on its own. Descriptions have
    few distinct pieces, so the tokens of each piece are computed only once.

    Args:
        language: the code of a language that spaCy has a blank pipeline for.

    Raises:
        DataError: spaCy does not have the language.
    """

    def __init__(self, language: str) -> None:
        self._pipeline = _pipeline(language)
        self._pieces: dict[str, tuple[Token, ...]] = {}

    def __call__(self, text: str) -> list[Token]:
        """Return the tokens of a text as pairs: the token, and whether a blank follows it.

        Args:
            text: the text, without blanks at its ends and with single blanks between words.
        """
        pieces = text.split(" ")
        tokens = [token for piece in pieces[:-1] for token in self.piece(piece, True)]
        return tokens + list(self.piece(pieces[-1], False))

    def piece(self, piece: str, blank: bool) -> tuple[Token, ...]:
        """Return the tokens of a piece of text that holds no blank.

        Args:
            piece: the piece.
            blank: whether a blank follows it.
        """
        tokens = self._pieces.get(piece if not blank else piece + " ")
        if tokens is None:
            words = [word.text for word in self._pipeline.make_doc(piece)]
            for follows, key in ((False, piece), (True, piece + " ")):
                inner = [(word, False) for word in words[:-1]]
                self._pieces[key] = (*inner, *((word, follows) for word in words[-1:]))
            tokens = self._pieces[piece if not blank else piece + " "]
        return tokens


@cache
def _pipeline(language: str) -> "Language":
    from fauds.errors import DataError

    with without_frameworks():
        import spacy
    try:
        return spacy.blank(language)
    except ImportError as error:
        raise DataError(
            f"spaCy has no tokeniser for the language {language!r}.",
            where=f"templates/{language}",
            hint="name the folder by a code listed at spacy.io/usage/models, or install what spaCy "
            f"needs for the language ({str(error).splitlines()[0]})",
        ) from error


# Frameworks that thinc, the machine learning library of spaCy, imports if they are installed.
_FRAMEWORKS = ("torch", "cupy")


@contextmanager
def without_frameworks() -> Iterator[None]:
    """Hide deep learning frameworks while spaCy is imported.

    Tokenising needs no such framework, and importing torch alone takes more than a second and
    200 MB. An entry None in sys.modules makes ``import torch`` fail, which spaCy's library thinc
    can handle. Frameworks that are already loaded are not hidden, since importing them again costs
    nothing. The entries None are removed even after an error, so that later imports work.
    """
    hidden = [name for name in _FRAMEWORKS if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in hidden:
            if sys.modules.get(name, ...) is None:
                del sys.modules[name]
