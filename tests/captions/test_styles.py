"""Captions with degrees and paraphrases and captions built in parts, compared with plain code."""

import hashlib
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from fauds.captions import SPECIALS, Builder, Style, Words, build, load
from fauds.captions.build import draw
from fauds.errors import DataError, UsageError

from .helpers import BP4D, DISFA, make_frames

DEGREES = Style(degrees=True)


def plain_state(occurs: int | None, intensity: int | None, from_intensity: bool) -> str | None:
    """Return the state that captions give for a label."""
    if occurs is None:
        return None
    if intensity and (occurs or from_intensity):
        return "ABCDE"[intensity - 1]
    return "active" if occurs else "inactive"


def plain_variant(seed: int, row: dict, count: int) -> int:
    """Return the number of a frame's paraphrase, computed with Python integers."""
    name = f"{seed}/{row['subject']}/{row['task']}".encode()
    key = int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "little")
    word = (1 << 64) - 1
    mixed = (key + row["frame"] * 0x9E3779B97F4A7C15) & word
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & word
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & word
    return (mixed ^ (mixed >> 31)) % count


@pytest.mark.parametrize("occurrence_at", [None, 2])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_degrees_follow_occurrence_or_intensity(language: str, occurrence_at: int | None) -> None:
    frames = make_frames(DISFA, 300, nulls=0.05, intensities=True)
    made = build(frames, DISFA, Style(language, degrees=True), occurrence_at)
    templates, counts = load(language), Counter()
    for row, caption_row in zip(frames.to_pylist(), made.captions.to_pylist(), strict=True):
        for au in DISFA:
            state = plain_state(row[au], row[f"{au}_intensity"], occurrence_at is not None)
            assert caption_row[au] == (None if state is None else templates.local(au, state))
            counts[au, state] += 1
    states = Counter((row["au"], row["state"]) for row in made.phrases.to_pylist() if row["au"])
    assert set(states.values()) == {1} and len(states) == 7 * len(DISFA)
    assert len({state for _, state in counts}) == 8


def test_a_trace_on_disfa_is_inactive_without_degrees_and_a_trace_with_them() -> None:
    frames = make_frames(["AU12"], 1)
    none = frames.set_column(frames.column_names.index("AU12"), "AU12", pa.array([0], pa.int8()))
    trace = none.append_column("AU12_intensity", pa.array([1], pa.int8()))
    templates = load()
    without, graded = (build(trace, ["AU12"], style, 2).captions for style in (None, DEGREES))
    assert without["AU12"][0].as_py() == templates.local("AU12", "inactive", at_most="A")
    assert graded["AU12"][0].as_py() == templates.local("AU12", "A")
    sex = frames["sex"][0].as_py()
    assert without["face"][0].as_py() == templates.face([], sex, at_most="A")
    assert graded["face"][0].as_py() == templates.face(["AU12"], sex, degrees={"AU12": "A"})
    assert "barely" in graded["face"][0].as_py() and "trace" in without["face"][0].as_py()


@pytest.mark.parametrize(("occurrence_at", "words"), [(1, None), (2, "trace"), (3, "slight")])
def test_inactive_texts_leave_open_what_the_threshold_counts_as_inactive(
    occurrence_at: int, words: str | None
) -> None:
    made = build(make_frames(["AU12"], 40), ["AU12"], None, occurrence_at)
    denied = [row for row in made.phrases.to_pylist() if row["state"] in ("inactive", "F:none")]
    assert {row["scope"] for row in denied} == {"local", "global"}
    for row in denied:
        assert (words is None and "apart from" not in row["text"]) or words in row["text"]
    assert made.settings["occurrence_at"] == occurrence_at


@pytest.mark.parametrize("occurrence_at", [None, 2])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_faces_tell_the_degrees_that_are_coded(language: str, occurrence_at: int | None) -> None:
    frames = make_frames(DISFA, 200, intensities=True).drop_columns("AU04_intensity")
    made = build(frames, DISFA, Style(language, degrees=True), occurrence_at)
    templates = load(language)
    states = {row["text"]: row["state"] for row in made.phrases.to_pylist()}
    for row, caption_row in zip(frames.to_pylist(), made.captions.to_pylist(), strict=True):
        own = {
            au: plain_state(row[au], row.get(f"{au}_intensity"), occurrence_at is not None)
            for au in DISFA
        }
        degrees = {au: state for au, state in own.items() if state in tuple("ABCDE")}
        seen = [au for au, state in own.items() if state != "inactive"]
        assert caption_row["face"] == templates.face(seen, row["sex"], degrees=degrees)
        _, active, *below = states[caption_row["face"]].split(":")
        names = [au + degrees.get(au, "") for au in DISFA if row[au]]
        assert active == ("+".join(names) or "none")
        assert below == (["+".join(au + degrees[au] for au in degrees if not row[au])]
                         if set(degrees) - {au for au in DISFA if row[au]} else [])  # fmt: skip


def test_aus_without_intensities_are_described_without_degree() -> None:
    frames = make_frames(["AU04", "AU12"], 60, intensities=True).drop_columns("AU04_intensity")
    states = {
        row["text"]: row["state"] for row in build(frames, [4, 12], DEGREES).phrases.to_pylist()
    }
    described = {
        states[text] for text in build(frames, [4, 12], DEGREES).captions["AU04"].to_pylist()
    }
    assert described == {"inactive", "active"}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_all_texts_of_a_frame_have_the_same_paraphrase_number(language: str) -> None:
    frames = make_frames(BP4D, 400, nulls=0.01)
    made = build(frames, BP4D, Style(language, variants=3, seed=7))
    templates = load(language)
    for row, caption_row in zip(frames.to_pylist(), made.captions.to_pylist(), strict=True):
        variant = plain_variant(7, row, 3)
        for au in BP4D:
            state = plain_state(row[au], None, False)
            assert caption_row[au] == (state and templates.local(au, state, variant))
        if all(row[au] is not None for au in BP4D):
            active = [au for au in BP4D if row[au]]
            assert caption_row["face"] == templates.face(active, row["sex"], variant)
    assert {row["variant"] for row in made.phrases.to_pylist()} == {0, 1, 2}
    local = [row for row in made.phrases.to_pylist() if row["scope"] == "local"]
    assert len(local) == len(BP4D) * 2 * 3


def test_paraphrases_are_equally_frequent_and_depend_on_the_frame_alone() -> None:
    frames = make_frames(["AU12"], 9000)
    variants = draw(frames, 3, seed=0)
    assert (np.abs(np.bincount(variants) - 3000) < 200).all()
    rows_of_subject = np.flatnonzero(np.array(frames["subject"].to_pylist()) == "F002")
    assert np.array_equal(draw(frames.take(rows_of_subject), 3, seed=0), variants[rows_of_subject])
    assert not np.array_equal(draw(frames, 3, seed=1), variants)
    assert not draw(frames, 1, seed=1).any()


def test_one_paraphrase_is_the_default_whatever_the_seed() -> None:
    frames = make_frames(DISFA, 50)
    first, again = (build(frames, DISFA, Style(seed=seed)) for seed in (0, 5))
    assert first.captions.equals(again.captions) and first.settings == again.settings


COMPOSED = Style("zh", degrees=True, variants=2, style="composed")


@pytest.mark.parametrize(
    "style", [Style(), Style(degrees=True, variants=3), COMPOSED], ids=["plain", "all", "composed"]
)
def test_building_in_parts_gives_the_same_tables(style: Style) -> None:
    frames = make_frames(DISFA, 500, nulls=0.02, intensities=True)
    whole = build(frames, DISFA, style)
    builder = Builder(DISFA, style)
    parts = [builder.captions(frames.slice(at, 130)) for at in range(0, 500, 130)]
    assert pa.concat_tables(parts).to_pylist() == whole.captions.to_pylist()
    phrases, vocabulary = builder.tables()
    assert phrases.equals(whole.phrases) and vocabulary.equals(whole.vocabulary)


@pytest.mark.parametrize("style", [Style(), Style("zh"), Style(degrees=True, variants=2), COMPOSED])
def test_vocabulary_counts_equal_those_of_all_captions(style: Style) -> None:
    frames = make_frames(DISFA, 150, nulls=0.02, intensities=True)
    made = build(frames, DISFA, style)
    texts = {row["text"]: row["tokens"] for row in made.phrases.to_pylist()}
    for scope, columns in (("local", DISFA), ("global", ["face"])):
        captions = [t for c in columns for t in made.captions[c].to_pylist() if t is not None]
        expected = Counter(token for text in captions for token in texts[text])
        rows = [row for row in made.vocabulary.to_pylist() if row["scope"] == scope]
        assert {row["id"]: row["count"] for row in rows if row["count"]} == expected


def test_more_paraphrases_than_the_templates_have_are_an_error() -> None:
    with pytest.raises(UsageError, match="3 paraphrases of every text, but 4"):
        build(make_frames(DISFA, 5), DISFA, Style(variants=4))
    with pytest.raises(UsageError, match="from 1 to 127, not 0"):
        Style(variants=0)


def test_texts_of_a_paraphrase_begin_with_its_start_token() -> None:
    made = build(make_frames(DISFA, 300), DISFA, Style(variants=3))
    for scope in ("local", "global"):
        words = Words.from_table(made.vocabulary, scope)
        assert words.tokens[:6] == (*SPECIALS, "<bos-2>", "<bos-3>")
        rows = [row for row in made.phrases.to_pylist() if row["scope"] == scope]
        assert {(row["variant"], row["tokens"][0]) for row in rows} == {(0, 1), (1, 4), (2, 5)}
        for row in rows:
            assert words.text(row["tokens"]) == row["text"]
            assert not {4, 5} & set(row["tokens"][1:])


def test_phrases_hold_every_paraphrase_of_what_is_said_of_a_frame() -> None:
    made = build(make_frames(DISFA, 300), DISFA, Style(variants=3))
    faces = [row for row in made.phrases.to_pylist() if row["scope"] == "global"]
    variants = Counter(row["state"] for row in faces)
    assert set(variants.values()) == {3}
    counts = Counter(made.captions["face"].to_pylist())
    assert sum(counts[row["text"]] for row in faces) == 300
    assert any(counts[row["text"]] == 0 for row in faces)


def test_an_unknown_style_is_an_error() -> None:
    with pytest.raises(UsageError, match="choose from: plain, composed"):
        Style(style="florid")


def test_intensities_above_5_are_an_error() -> None:
    frames = make_frames(["AU12"], 5, intensities=True)
    at = frames.column_names.index("AU12_intensity")
    invalid = frames.set_column(at, "AU12_intensity", pa.array([0, 1, 9, 2, 3], pa.int8()))
    with pytest.raises(DataError, match="AU12_intensity is 9"):
        build(invalid, ["AU12"], DEGREES)
