"""Tokens by spaCy's blank pipelines; spaCy is imported when the first text is tokenised."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spacy.language import Language

Token = tuple[str, bool]
"""A token and whether a blank follows it."""


class Tokeniser:
    """Splits texts of one language into tokens that join into the exact text.

    spaCy cuts a text at blanks first and then each piece on its own, and templates make few
    distinct pieces, so every piece is given to spaCy once.

    Args:
        language: a language's code that spaCy knows.

    Raises:
        DataError: spaCy has no such language.
    """

    def __init__(self, language: str) -> None:
        self._pipeline = _pipeline(language)
        self._pieces: dict[str, tuple[Token, ...]] = {}

    def __call__(self, text: str) -> list[Token]:
        """Return the tokens of a text whose blanks are single and inside."""
        pieces = text.split(" ")
        tokens = [token for piece in pieces[:-1] for token in self._piece(piece, True)]
        return tokens + list(self._piece(pieces[-1], False))

    def _piece(self, piece: str, blank: bool) -> tuple[Token, ...]:
        known = self._pieces.get(piece if not blank else piece + " ")
        if known is None:
            words = [word.text for word in self._pipeline.make_doc(piece)]
            for follows, key in ((False, piece), (True, piece + " ")):
                inner = [(word, False) for word in words[:-1]]
                self._pieces[key] = (*inner, *((word, follows) for word in words[-1:]))
            known = self._pieces[piece if not blank else piece + " "]
        return known


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
            hint="name the folder by a code of spacy.io/usage/models, or install what spaCy "
            f"needs for it ({str(error).splitlines()[0]})",
        ) from error


# What spaCy's machine learning library (thinc) imports when it can, to wrap its modules.
_UNWANTED = ("torch", "cupy")


@contextmanager
def without_frameworks() -> Iterator[None]:
    """Hide deep learning frameworks while spaCy is imported.

    Splitting text needs none of them, and torch alone costs more than a second and 200 MB.
    An entry of None in sys.modules makes ``import torch`` fail, which thinc expects. What is
    loaded already is left alone: it costs nothing more. The entries go whatever happens, so
    that later imports work.
    """
    hidden = [name for name in _UNWANTED if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in hidden:
            if sys.modules.get(name, ...) is None:
                del sys.modules[name]
