"""Statistics of captions, compared with a plain computation over the rows of the tables."""

import statistics as plain
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from fauds.captions import Style
from fauds.captions import caption_tables as built
from fauds.captions.caption_tables import BuiltCaptions
from fauds.captions.statistics import Lengths, caption_statistics
from fauds.captions.tokens import Tokeniser
from fauds.tables import store

from .built import write_built
from .helpers import BP4D, DISFA, make_frames

STYLES = {
    "plain": Style(),
    "degrees": Style(degrees=True),
    "paraphrases": Style(variants=3, seed=4),
    "chinese": Style("zh", degrees=True, variants=2),
}


@pytest.fixture(params=STYLES)
def made(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> BuiltCaptions:
    # Small row groups and parts, whose dictionaries differ.
    monkeypatch.setattr(store, "ROW_GROUP", 90)
    monkeypatch.setattr(built, "ROWS_AT_ONCE", 40)
    frames = make_frames(DISFA, 500, nulls=0.02, intensities=True)
    return write_built(tmp_path, frames, DISFA, STYLES[request.param], rows_at_once=60)


def rows_of(made: BuiltCaptions, table: str) -> list[dict[str, Any]]:
    return pq.read_table(made.path(table)).to_pylist()


def expected_lengths(values: list[int]) -> Lengths:
    return Lengths(min(values), plain.median(values), plain.mean(values), max(values))


def equal(results: Lengths, values: list[int]) -> bool:
    expected = expected_lengths(values)
    return (results.least, results.median, results.most) == (
        expected.least,
        expected.median,
        expected.most,
    ) and results.mean == pytest.approx(expected.mean)


def test_action_units_are_counted_by_state(made: BuiltCaptions) -> None:
    frames, captions = rows_of(made, "frames"), rows_of(made, "captions")
    phrases = {(row["au"], row["text"]): row["state"] for row in rows_of(made, "phrases")}
    results = caption_statistics(made)
    assert (results.frames, results.subjects) == (500, 3)
    for au in results.aus:
        values = [row[au.au] for row in frames if row[au.au] is not None]
        assert (au.coded, au.active) == (len(values), sum(values))
        states = Counter(phrases[au.au, row[au.au]] for row in captions if row[au.au])
        assert {state: count for state, count in au.states.items() if count} == states
        assert len(au.states) == (7 if made.settings["degrees"] else 2)


def test_lengths_words_and_distinct_descriptions_are_counted(made: BuiltCaptions) -> None:
    captions, tokenise = rows_of(made, "captions"), Tokeniser(made.settings["language"])
    results = caption_statistics(made)
    for scope, columns, name in (
        (results.local, DISFA, "local"),
        (results.face, ["face"], "global"),
    ):
        phrases = [row for row in rows_of(made, "phrases") if row["scope"] == name]
        texts = [row[column] for row in captions for column in columns if row[column]]
        assert scope.count == len(texts)
        assert scope.phrases == len(phrases)
        assert scope.used == len(set(texts))
        variants = Counter(row["variant"] for row in phrases)
        assert scope.by_variant == tuple(variants[at] for at in range(len(variants)))
        tokens = {text: [token for token, _ in tokenise(text)] for text in set(texts)}
        words = {text: sum(map(is_word, texts)) for text, texts in tokens.items()}
        assert equal(scope.tokens, [len(tokens[text]) for text in texts])
        assert equal(scope.words, [words[text] for text in texts])
        distinct = [[token for token, _ in tokenise(row["text"])] for row in phrases]
        assert equal(scope.distinct_tokens, list(map(len, distinct)))
        assert equal(scope.distinct_words, [sum(map(is_word, tokens)) for tokens in distinct])
        assert scope.token_histogram == Counter(len(tokens[text]) for text in texts)
        counts = Counter(t.lower() for text in texts for t in tokens[text] if is_word(t))
        assert {word: count for word, count in scope.word_counts.items() if count} == counts
        assert list(scope.word_counts.values()) == sorted(scope.word_counts.values())[::-1]
        vocabulary = [row for row in rows_of(made, "vocabulary") if row["scope"] == name]
        assert scope.vocabulary == len(vocabulary)


def is_word(token: str) -> bool:
    return any(letter.isalnum() for letter in token)


def test_combinations_are_counted_with_their_most_frequent_text(made: BuiltCaptions) -> None:
    frames, captions = rows_of(made, "frames"), rows_of(made, "captions")
    combinations: dict[tuple[str, ...], Counter[str]] = {}
    for row, caption_row in zip(frames, captions, strict=True):
        if all(row[au] is not None for au in DISFA):
            active = tuple(au for au in DISFA if row[au])
            combinations.setdefault(active, Counter())[caption_row["face"]] += 1
    results = caption_statistics(made)
    assert results.described == sum(texts.total() for texts in combinations.values())
    assert {combination.aus: combination.frames for combination in results.combinations} == {
        aus: texts.total() for aus, texts in combinations.items()
    }
    for combination in results.combinations:
        assert combinations[combination.aus][combination.text] == max(
            combinations[combination.aus].values()
        )
    counts = [combination.frames for combination in results.combinations]
    assert counts == sorted(counts, reverse=True)
    at_once = Counter(
        number for aus, texts in combinations.items() for number in [len(aus)] * texts.total()
    )
    assert {number: count for number, count in results.at_once.items() if count} == at_once


def test_statistics_of_no_frames_and_of_uncoded_frames_are_zero(tmp_path: Path) -> None:
    results = caption_statistics(write_built(tmp_path / "none", make_frames(BP4D, 0), BP4D))
    assert (results.frames, results.subjects, results.described) == (0, 0, 0)
    assert results.combinations == () and results.at_once == {0: 0}
    assert results.face.tokens == Lengths(0, 0.0, 0.0, 0)
    nulls = caption_statistics(
        write_built(tmp_path / "null", make_frames(BP4D, 9, nulls=1.1), BP4D)
    )
    assert nulls.frames == 9 and nulls.described == 0
    assert {(au.coded, au.active) for au in nulls.aus} == {(0, 0)}
