"""Choosing fonts that have all letters of a text, and breaking text into lines.

Without this, figures and annotated images would show boxes in place of, for example, Chinese
letters.
"""

import logging
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

from fauds.errors import DataError

DEFAULT_FONT = "DejaVu Sans"
"""The default font. It comes with matplotlib and has Latin, Greek and Cyrillic letters."""

# Parts of the file names of fonts for Chinese text, the best first.
_CHINESE_FONTS = (
    "notosanscjk",
    "notosanssc",
    "sourcehan",
    "wqy",
    "pingfang",
    "msyh",
    "droidsansfallback",
)

_BEFORE = frozenset("，。、；：？！）》」』”’…,.;:?!)")
"""Punctuation marks that must not begin a line."""


def families(texts: Iterable[str]) -> list[str]:
    """Return the names of the font families to draw texts with, for matplotlib.

    The first is the default font. If that font lacks letters of the texts, the name of an installed
    font that has these letters follows.

    Raises:
        DataError: no installed font has all letters that the default font lacks.
    """
    missing = _visible_letters(texts) - _letters(plain_file())
    if not missing:
        return [DEFAULT_FONT]
    path = _best_font(missing)
    font_manager.fontManager.addfont(path)
    # Few of these fonts have a bold weight; matplotlib would warn about each font that lacks it.
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    return [DEFAULT_FONT, font_manager.FontProperties(fname=path).get_name()]


@lru_cache(maxsize=4096)
def font_file(text: str, bold: bool = False) -> str:
    """Return the path of a font file that has all letters of a text, preferably the default font.

    Args:
        text: the text to draw.
        bold: whether to use the bold weight of the default font; other fonts are not bold.

    Raises:
        DataError: no installed font has all letters of the text.
    """
    letters = _visible_letters([text])
    if letters <= _letters(plain_file(bold)):
        return plain_file(bold)
    return _best_font(letters)


@lru_cache(maxsize=4096)
def drawable(text: str) -> str:
    """Return a text, changed if necessary so that one installed font can draw all of it.

    If no font has all letters of the text, "?" replaces each letter that the default font lacks.
    """
    try:
        font_file(text)
    except DataError:
        plain = _letters(plain_file())
        return "".join(letter if ord(letter) in plain else "?" for letter in text)
    return text


@lru_cache(maxsize=2)
def plain_file(bold: bool = False) -> str:
    """Return the path of the file of the default font, in its normal or bold weight."""
    weight = "bold" if bold else "normal"
    return font_manager.findfont(font_manager.FontProperties(family=DEFAULT_FONT, weight=weight))


def line_break_pieces(text: str) -> Iterator[str]:
    """Yield the pieces of a text between which a line may be broken.

    A piece is a word with the blanks after it, or a single wide (for example Chinese) letter with
    the punctuation after it. The pieces, joined, are the whole text.
    """
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


def _visible_letters(texts: Iterable[str]) -> set[int]:
    return {ord(letter) for text in texts for letter in text if _is_visible(letter)}


def _is_visible(letter: str) -> bool:
    return not letter.isspace() and unicodedata.category(letter) not in ("Cc", "Cf")


def _best_font(letters: set[int]) -> str:
    """Return the path of the most suitable installed font that has all of the letters.

    Args:
        letters: the code points of the letters.

    Raises:
        DataError: no installed font has all of the letters.
    """
    candidates = _candidates()
    for path in candidates:
        if letters <= _letters(path):
            return path
    examples = "".join(map(chr, sorted(letters - _letters(plain_file()))[:8]))
    raise DataError(
        f"No installed font has all letters of the text, such as {examples}.",
        where=f"installed fonts ({len(candidates)} files)",
        hint="install a font, e.g. Noto Sans CJK for Chinese: apt install fonts-noto-cjk",
    )


def _candidates() -> list[str]:
    # matplotlib's cached list of fonts may lack a font that was installed recently.
    return sorted(font_manager.findSystemFonts(), key=lambda path: (_rank(path), path))


def _rank(path: str) -> tuple[int, bool]:
    name = Path(path).stem.lower().replace("-", "").replace("_", "")
    preference = next(
        (index for index, part in enumerate(_CHINESE_FONTS) if part in name), len(_CHINESE_FONTS)
    )
    return preference, not any(word in name for word in ("regular", "medium", "zenhei"))


@lru_cache(maxsize=64)
def _letters(path: str) -> frozenset[int]:
    """Return the code points of the letters in a font file.

    The result is empty if the file cannot be read, for example a bitmap font or a damaged file.
    """
    try:
        return frozenset(FT2Font(path).get_charmap())
    except (OSError, RuntimeError):
        return frozenset()
