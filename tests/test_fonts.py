"""Choosing fonts that have all letters of a text, and breaking text into lines."""

from pathlib import Path

import matplotlib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fauds import fonts
from fauds.errors import DataError
from fauds.explanation.drawing import Board

STIX = Path(matplotlib.get_data_path(), "fonts", "ttf", "STIXGeneral.ttf")
RARE = "\u1d8d"  # a letter that the default font lacks and STIX has


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    paths = [str(STIX)]
    monkeypatch.setattr(fonts.font_manager, "findSystemFonts", lambda: paths)
    fonts.font_file.cache_clear()
    fonts.drawable.cache_clear()
    return paths


def test_the_default_font_is_used_if_it_has_all_letters() -> None:
    assert fonts.font_file("lip corner, ночь") == fonts.plain_file()
    assert Path(fonts.font_file("lip corner", bold=True)).stem.endswith("Bold")


def test_a_font_with_all_letters_is_used_or_it_is_an_error(installed: list[str]) -> None:
    assert fonts.font_file(f"AU12 {RARE}") == str(STIX)
    board = Board(60, 30)
    empty = board.pixels().copy()
    board.write(RARE, 5, 5, 16)
    assert (board.pixels() != empty).any()
    installed.clear()
    assert fonts.font_file(f"AU12 {RARE}") == str(STIX)  # from the cache
    fonts.font_file.cache_clear()
    with pytest.raises(DataError, match="No installed font") as error:
        fonts.font_file(f"AU12 {RARE}")
    assert RARE in str(error.value)


def test_letters_without_a_font_are_replaced_by_question_marks() -> None:
    assert fonts.drawable("a\udce9b.png") == "a?b.png"
    assert fonts.drawable("脸 1.png") == "? 1.png"
    assert fonts.drawable(f"{RARE}.png") == f"{RARE}.png"


@given(st.text())
def test_the_pieces_of_a_text_together_are_the_text(text: str) -> None:
    assert "".join(fonts.line_break_pieces(text)) == text


def test_lines_break_at_blanks_and_between_wide_letters_but_not_before_marks() -> None:
    assert list(fonts.line_break_pieces("the lip corners, up")) == [
        "the ",
        "lip ",
        "corners, ",
        "up",
    ]
    assert list(fonts.line_break_pieces("嘴角，上扬")) == ["嘴", "角，", "上", "扬"]
