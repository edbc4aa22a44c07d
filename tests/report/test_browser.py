"""The page in a real browser: filters by hand and by keyboard, no error, no network."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fauds.captions import describe, describe_face
from fauds.report.html import write_html
from tests.report.browser import PROGRAM, Browser
from tests.report.runs import AUS, row, write_gallery, write_run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PROGRAM, reason="there is no Chromium on this machine"),
]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("page") / "synthetic" / "runs"
    extra = [row("f1", 0.9, selection="best_test_epoch")]
    folder = write_run(runs / "one", extra=extra)
    smile = describe("AU12", "active")
    write_gallery(folder, {0: (smile, describe_face([], sex="F"))})
    other = write_run(runs / "two", switches=(True, False, False))
    return write_html([folder, other])


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as started:
        yield started


CARDS = """[...document.querySelectorAll(".card")].map(
    (card) => ({...card.dataset, shown: card.checkVisibility()}))"""


def choose(browser: Browser, name: str, value: object) -> None:
    """Set a filter and tell the page, as a click does."""
    changed = "dispatchEvent(new Event('change', {bubbles: true}))"
    if name == "verdict":
        browser.run(f"document.querySelector('[name=verdict][value=\"{value}\"]').click()")
    elif name == "au":
        browser.run(
            f"(e => {{e.value = '{value}'; e.{changed}}})(document.querySelector('select'))"
        )
    else:
        browser.run("document.getElementById('filter-contradicted').click()")


def test_nothing_goes_wrong_and_nothing_is_fetched(browser, page):
    for dark in (False, True):
        browser.open(page, dark=dark)
        assert browser.requests == [page.resolve().as_uri()]
        assert browser.complaints == []


def test_filters_leave_the_faces_that_they_name(browser, page):
    browser.open(page)
    total = browser.run("document.querySelectorAll('.card').length")
    assert total == 32
    for au in ("", AUS[2]):
        for verdict in ("", "right", "wrong"):
            choose(browser, "au", au)
            choose(browser, "verdict", verdict)
            shown = 0
            for card in browser.run(CARDS):
                wrong = au in card["wrong"].split() if au else bool(card["wrong"])
                fits = au in card["active"] and verdict in ("", "wrong" if wrong else "right")
                assert card["shown"] == fits, (au, verdict, card)
                shown += fits
            assert 0 < shown <= total
            status = browser.run("document.querySelector('[role=status]').textContent")
            assert status == f"{shown} of {total} faces"


def test_contradictions_can_be_chosen(browser, page):
    browser.open(page)
    choose(browser, "contradicted", True)
    shown = [card for card in browser.run(CARDS) if card["shown"]]
    assert [card["contradicted"] for card in shown] == ["AU12"]


def test_the_filters_work_by_keyboard(browser, page):
    browser.open(page)
    browser.run("document.getElementById('filter-au').focus()")
    browser.press("Tab", 9)
    assert browser.run("document.activeElement.name") == "verdict"
    for value in ("right", "wrong"):
        browser.press("ArrowDown", 40)
        assert browser.run("document.activeElement.value") == value
    wrong = browser.run("document.querySelectorAll('.card:not([hidden])').length")
    assert wrong == sum(bool(card["wrong"]) for card in browser.run(CARDS))
    browser.press("Tab", 9)
    browser.press(" ", 32, " ")
    assert browser.run("document.getElementById('filter-contradicted').checked")


def test_choosing_an_action_unit_shows_its_attention_map_on_the_face(browser, page):
    browser.open(page)
    choose(browser, "au", AUS[0])
    veils = ".card:not([hidden]) > .photo img"
    assert browser.run(f"document.querySelectorAll('{veils}').length") > 0
    choose(browser, "au", "")
    assert browser.run("document.querySelectorAll('.card > .photo img').length") == 0


def test_a_phone_scrolls_tables_and_not_the_page(browser, page):
    for width in (320, 1200):
        browser.open(page, width=width)
        browser.run("document.querySelectorAll('details').forEach(d => { d.open = true })")
        wide = browser.run("document.documentElement.scrollWidth")
        assert wide <= width
    scrolled = "[...document.querySelectorAll('.scroll')]"
    browser.open(page, width=320)
    assert browser.run(f"{scrolled}.some(e => e.scrollWidth > e.clientWidth)")
    assert browser.run(f"{scrolled}.every(e => e.tabIndex === 0 && e.ariaLabel)")


def test_text_stands_out_in_light_and_in_dark(browser, page):
    light = """(() => {
        const [r, g, b] = getComputedStyle(document.body)[WHICH].match(/\\d+/g).map(Number)
            .map((c) => c / 255)
            .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    })()"""
    brightness = {}
    for dark in (False, True):
        browser.open(page, dark=dark)
        paper, ink = (
            browser.run(light.replace("WHICH", f"'{which}'"))
            for which in ("backgroundColor", "color")
        )
        low, high = sorted((paper, ink))
        assert (high + 0.05) / (low + 0.05) >= 7
        brightness[dark] = paper
    assert brightness[False] > 0.9
    assert brightness[True] < 0.1
