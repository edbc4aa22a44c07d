"""The composed style: what it says of neighbours, how many texts it has, and in captions tables."""

from collections import Counter
from itertools import product
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from fauds.captions import (
    DEFAULT_STYLE,
    STYLES,
    Style,
    build,
    decision_words,
    describe,
    describe_codes,
    languages,
    load,
)
from fauds.captions.vocabulary import subsets
from fauds.errors import DataError
from fauds.facs import AUS, MOST_BESIDE, STATES, beside, opposed

from .helpers import BP4D, DISFA, make_frames

COMPOSED = Style(style="composed")


def test_a_composed_text_says_which_neighbours_are_active_and_how_they_pull() -> None:
    clauses = {"AU06": "cheek is raised", "AU15": "lip corner is pulled down"}
    alone = describe(12, style="composed", neighbours=[])
    assert not any(words in alone for words in clauses.values())
    both = describe(12, style="composed", neighbours=[6, 15])
    assert both.startswith(alone.rstrip("."))
    assert ", and with it the cheek is raised" in both
    assert ", while the lip corner is pulled down" in both
    instead = describe(12, "inactive", style="composed", neighbours=[6, 14])
    assert ", but the cheek is raised; instead, the lip corner is tightened inwards." in instead
    assert describe(12, style="composed", neighbours=[6, 43]) == describe(
        12, style="composed", neighbours=[6]
    )


def test_a_degree_comes_last() -> None:
    text = describe(12, "D", style="composed", neighbours=[6])
    first, second = load().sentences("AU12", "D")
    assert text.startswith(first.rstrip(".")) and text.endswith(second)


@pytest.mark.parametrize("language", languages())
@pytest.mark.parametrize("aus", [BP4D, DISFA], ids=["bp4d", "disfa"])
def test_the_number_of_distinct_texts_is_that_of_states_and_neighbours(
    language: str, aus: list[str]
) -> None:
    made = build(make_frames(aus, 20), aus, Style(language, variants=2, style="composed"))
    counts = Counter(row["au"] for row in made.phrases.to_pylist() if row["au"])
    for au in aus:
        assert counts[au] == 2 * 2 ** len(beside(au, aus)) * 2
    assert max(counts.values()) <= 2 * 2**MOST_BESIDE * 2
    if aus is BP4D:
        assert counts["AU12"] == 2 * 2**4 * 2
    texts = [row["text"] for row in made.phrases.to_pylist()]
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("occurrence_at", [None, 2])
@pytest.mark.parametrize("style", [COMPOSED, Style("zh", degrees=True, style="composed")])
def test_captions_equal_those_of_a_plain_loop_over_frames(
    style: Style, occurrence_at: int | None
) -> None:
    frames = make_frames(DISFA, 300, nulls=0.1, intensities=True)
    made = build(frames, DISFA, style, occurrence_at)
    templates = load(style.language)
    at_most = "A" if occurrence_at == 2 and not style.degrees else None
    phrases = {(row["au"], row["text"]): row for row in made.phrases.to_pylist()}
    for row, caption_row in zip(frames.to_pylist(), made.captions.to_pylist(), strict=True):
        for au in DISFA:
            if row[au] is None:
                assert caption_row[au] is None
                continue
            state, intensity = STATES[row[au]], row[f"{au}_intensity"]
            if style.degrees and intensity and (row[au] or occurrence_at):
                state = "ABCDE"[intensity - 1]
            # A neighbour that is not coded is not mentioned, nor is one that is inactive.
            active = [name for name in beside(au, DISFA) if row[name] == 1]
            text = templates.composed(au, state, active, at_most=at_most)
            assert caption_row[au] == text
            assert phrases[au, text]["state"] == state
            assert phrases[au, text]["beside"] == "+".join(active)


def test_plain_phrases_have_no_neighbours() -> None:
    rows = build(make_frames(DISFA, 20), DISFA, Style(style="plain")).phrases.to_pylist()
    assert {row["beside"] for row in rows} == {None}


def test_descriptions_of_codes_can_be_composed() -> None:
    codes = {"AU06": 1, "AU12": "C", "AU15": 0, "AU25": None}
    made = describe_codes(codes, style="composed")
    assert "the cheek is raised" in made.local["AU12"] and "lips" not in made.local["AU12"]
    assert made.local["AU06"] != describe_codes(codes, style="plain").local["AU06"]
    assert made.face == describe_codes(codes, style="plain").face
    assert DEFAULT_STYLE in STYLES
    assert describe_codes(codes).local == describe_codes(codes, style=DEFAULT_STYLE).local


def test_a_trace_below_the_threshold_is_no_active_neighbour() -> None:
    text = describe_codes({6: "A", 12: "C"}, style="composed", occurrence_at=2).local["AU12"]
    assert "cheek is" not in text
    assert "cheek is" in describe_codes({6: "A", 12: "C"}, style="composed").local["AU12"]


def test_a_language_without_the_style_is_an_error_that_names_the_file(own_templates) -> None:
    root: Path = own_templates("local.j2", new="{{ fragments | join(' ') }}")
    (root / "xx").mkdir()
    for name in ("language.yaml", "global.yaml", "global.j2", "local.j2"):
        (root / "xx" / name).write_text((root / "en" / name).read_text("utf-8"), "utf-8")
    (root / "xx" / "local").mkdir()
    source = root / "en" / "local" / "AU12.yaml"
    (root / "xx" / "local" / "AU12.yaml").write_text(source.read_text("utf-8"), "utf-8")
    assert describe(12, language="xx", style="plain", templates=root)
    with pytest.raises(DataError, match="has no composed style") as caught:
        describe(12, language="xx", style="composed", templates=root)
    assert caught.value.where == str(root / "xx" / "composed.j2")


def plain_decisions(texts: list[list[int]]) -> list[list[bool]]:
    """Return the decision words by comparing every text with every other one."""
    return [
        [
            at > 0 and any(other[:at] == text[:at] and other[at : at + 1] != text[at : at + 1]
                           for other in texts if len(other) > at)
            for at in range(len(text))
        ]
        for text in texts
    ]  # fmt: skip


def test_decision_words_are_where_texts_with_the_same_beginning_differ() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        texts = [[1, *rng.integers(3, 6, rng.integers(0, 6)).tolist(), 2] for _ in range(20)]
        made = [marks.tolist() for marks in decision_words(texts)]
        assert made == plain_decisions(texts)
    assert decision_words([]) == []
    assert decision_words([[1, 5, 2]])[0].tolist() == [False] * 3


@pytest.mark.parametrize("style", [Style(), COMPOSED, Style(variants=3)])
def test_phrases_say_which_of_their_words_the_labels_decide(style: Style) -> None:
    rows = build(make_frames(DISFA, 400), DISFA, style).phrases.to_pylist()
    for scope, au in product(("local", "global"), (*DISFA, None)):
        same = [row for row in rows if (row["scope"], row["au"]) == (scope, au)]
        expected = plain_decisions([row["tokens"] for row in same])
        assert [row["decides"] for row in same] == expected


def test_more_words_of_composed_texts_depend_on_the_image() -> None:
    shares = {}
    for style in STYLES:
        rows = build(make_frames(BP4D, 10), BP4D, Style(style=style)).phrases.to_pylist()
        marks = [mark for row in rows if row["au"] for mark in row["decides"][1:]]
        shares[style] = np.mean(marks)
    assert shares["plain"] < 0.07 and shares["composed"] > 2 * shares["plain"]


def test_neighbours_that_pull_against_an_au_are_told_apart_from_the_others() -> None:
    templates = load()
    for au in AUS:
        for other in beside(au, AUS):
            text = templates.composed(au, "active", [other])
            assert (", while the " in text) == bool(opposed(au, other)), text


def test_subsets_are_numbered_by_their_bits() -> None:
    assert subsets(["a", "b"]) == [(), ("a",), ("b",), ("a", "b")]
    assert pa.array(map(len, subsets(list("abcd")))).value_counts().to_pylist()[0]["counts"] == 1
