"""Fonts that have the letters of a text, and where its lines may be broken.

Figures and annotated pictures never show boxes in the place of letters.
"""

import logging
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

from fauds.errors import DataError

PLAIN = "DejaVu Sans"
"""Comes with matplotlib; has the Latin, Greek and Cyrillic letters, among others."""

# Parts of file names of fonts that have Chinese letters and suit running text, best first.
_LIKELY = ("notosanscjk", "notosanssc", "sourcehan", "wqy", "pingfang", "msyh", "droidsansfallback")

_BEFORE = frozenset("，。、；：？！）》」』”’…,.;:?!)")
"""Marks that never begin a line."""


def families(texts: Iterable[str]) -> list[str]:
    """Return the families to draw texts with: the plain one, and one for letters it lacks.

    Raises:
        DataError: no installed font has all these letters.
    """
    lacking = _drawn(texts) - _letters(plain_file())
    if not lacking:
        return [PLAIN]
    path = _having(lacking)
    font_manager.fontManager.addfont(path)
    # Few of these fonts come in bold: that the one weight stands in is no news.
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    return [PLAIN, font_manager.FontProperties(fname=path).get_name()]


@lru_cache(maxsize=4096)
def font_file(text: str, bold: bool = False) -> str:
    """Return the path of one font that has all letters of a text: the plain one if it does.

    Raises:
        DataError: no installed font has all its letters.
    """
    letters = _drawn([text])
    if letters <= _letters(plain_file(bold)):
        return plain_file(bold)
    return _having(letters)


@lru_cache(maxsize=4096)
def drawable(text: str) -> str:
    """Return a text, such as a file's name, with "?" for the letters that cannot be drawn."""
    try:
        font_file(text)
    except DataError:
        plain = _letters(plain_file())
        return "".join(letter if ord(letter) in plain else "?" for letter in text)
    return text


@lru_cache(maxsize=2)
def plain_file(bold: bool = False) -> str:
    """Return the path of the plain font."""
    weight = "bold" if bold else "normal"
    return font_manager.findfont(font_manager.FontProperties(family=PLAIN, weight=weight))


def pieces(text: str) -> Iterator[str]:
    """Yield what lines may be broken between: words with their blanks, or wide letters."""
    piece = ""
    for letter in text:
        ends = piece.endswith((" ", "/")) or _is_wide(piece[-1:]) or _is_wide(letter)
        if piece and ends and letter not in _BEFORE and letter != " ":
            yield piece
            piece = ""
        piece += letter
    if piece:
        yield piece


def _is_wide(letter: str) -> bool:
    return bool(letter) and unicodedata.east_asian_width(letter) in "WF"


def _drawn(texts: Iterable[str]) -> set[int]:
    return {ord(letter) for text in texts for letter in text if _is_drawn(letter)}


def _is_drawn(letter: str) -> bool:
    return not letter.isspace() and unicodedata.category(letter) not in ("Cc", "Cf")


def _having(letters: set[int]) -> str:
    """Return the path of the font that suits best among those with these letters."""
    candidates = _candidates()
    for path in candidates:
        if letters <= _letters(path):
            return path
    some = "".join(map(chr, sorted(letters - _letters(plain_file()))[:8]))
    raise DataError(
        f"No installed font has all the letters of the texts, such as {some}.",
        where=f"fonts of this machine ({len(candidates)} files)",
        hint="install one, for Chinese Noto Sans CJK: apt install fonts-noto-cjk",
    )


def _candidates() -> list[str]:
    # Asked of the system each time: matplotlib's own list may be older than a new font.
    return sorted(font_manager.findSystemFonts(), key=lambda path: (_rank(path), path))


def _rank(path: str) -> tuple[int, bool]:
    name = Path(path).stem.lower().replace("-", "").replace("_", "")
    likely = next((at for at, part in enumerate(_LIKELY) if part in name), len(_LIKELY))
    return likely, not any(word in name for word in ("regular", "medium", "zenhei"))


@lru_cache(maxsize=64)
def _letters(path: str) -> frozenset[int]:
    """Return the letters of a font; none where it cannot be read (bitmaps, damaged files)."""
    try:
        return frozenset(FT2Font(path).get_charmap())
    except (OSError, RuntimeError):
        return frozenset()
