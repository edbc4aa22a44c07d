"""Fonts that have a text's letters, and where lines may be broken."""

from pathlib import Path

import matplotlib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fauds import fonts
from fauds.errors import DataError
from fauds.explanation.drawing import Board

STIX = Path(matplotlib.get_data_path(), "fonts", "ttf", "STIXGeneral.ttf")
RARE = "\u1d8d"  # a letter that the plain font lacks and this one has


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found = [str(STIX)]
    monkeypatch.setattr(fonts.font_manager, "findSystemFonts", lambda: found)
    fonts.font_file.cache_clear()
    fonts.drawable.cache_clear()
    return found


def test_the_plain_font_is_taken_where_it_has_the_letters() -> None:
    assert fonts.font_file("lip corner, ночь") == fonts.plain_file()
    assert Path(fonts.font_file("lip corner", bold=True)).stem.endswith("Bold")


def test_one_font_has_all_letters_of_a_line(installed: list[str]) -> None:
    assert fonts.font_file(f"AU12 {RARE}") == str(STIX)
    board = Board(60, 30)
    empty = board.pixels().copy()
    board.write(RARE, 5, 5, 16)
    assert (board.pixels() != empty).any()
    installed.clear()
    assert fonts.font_file(f"AU12 {RARE}") == str(STIX)  # is remembered
    fonts.font_file.cache_clear()
    with pytest.raises(DataError, match="No installed font") as error:
        fonts.font_file(f"AU12 {RARE}")
    assert RARE in str(error.value)


def test_names_are_drawn_as_far_as_they_can_be() -> None:
    assert fonts.drawable("a\udce9b.png") == "a?b.png"
    assert fonts.drawable("脸 1.png") == "? 1.png"
    assert fonts.drawable(f"{RARE}.png") == f"{RARE}.png"


@given(st.text())
def test_pieces_are_the_whole_text(text: str) -> None:
    assert "".join(fonts.pieces(text)) == text


def test_lines_break_at_blanks_and_between_wide_letters_but_not_before_marks() -> None:
    assert list(fonts.pieces("the lip corners, up")) == ["the ", "lip ", "corners, ", "up"]
    assert list(fonts.pieces("嘴角，上扬")) == ["嘴", "角，", "上", "扬"]
