"""Fonts that have the letters of a text: figures never show boxes in their place."""

import logging
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

from fauds.errors import DataError

PLAIN = "DejaVu Sans"
"""Comes with matplotlib; has the Latin, Greek and Cyrillic letters, among others."""

# Parts of file names of fonts that have Chinese letters and suit running text, best first.
_LIKELY = ("notosanscjk", "notosanssc", "sourcehan", "wqy", "pingfang", "msyh", "droidsansfallback")


def families(texts: Iterable[str]) -> list[str]:
    """Return the families to draw texts with: the plain one, and one for letters it lacks.

    Raises:
        DataError: no installed font has all these letters.
    """
    letters = {ord(letter) for text in texts for letter in text if _is_drawn(letter)}
    lacking = letters - _letters(font_manager.findfont(PLAIN))
    if not lacking:
        return [PLAIN]
    for path in _candidates():
        if lacking <= _letters(path):
            font_manager.fontManager.addfont(path)
            # Few of these fonts come in bold: that the one weight stands in is no news.
            logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
            return [PLAIN, font_manager.FontProperties(fname=path).get_name()]
    some = "".join(map(chr, sorted(lacking)[:8]))
    raise DataError(
        f"No installed font has all the letters of the texts, such as {some}.",
        where=f"fonts of this machine ({len(_candidates())} files)",
        hint="install one, for Chinese Noto Sans CJK: apt install fonts-noto-cjk",
    )


def _is_drawn(letter: str) -> bool:
    return not letter.isspace() and unicodedata.category(letter) not in ("Cc", "Cf")


def _candidates() -> list[str]:
    # Asked of the system each time: matplotlib's own list may be older than a new font.
    return sorted(font_manager.findSystemFonts(), key=lambda path: (_rank(path), path))


def _rank(path: str) -> tuple[int, bool]:
    name = Path(path).stem.lower().replace("-", "").replace("_", "")
    likely = next((at for at, part in enumerate(_LIKELY) if part in name), len(_LIKELY))
    return likely, not any(word in name for word in ("regular", "medium", "zenhei"))


def _letters(path: str) -> set[int]:
    """Return the letters of a font; none where it cannot be read (bitmaps, damaged files)."""
    try:
        return set(FT2Font(path).get_charmap())
    except (OSError, RuntimeError):
        return set()
