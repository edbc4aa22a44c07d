"""Captions, phrases and vocabulary tables, compared with a plain loop over frames."""

import random
import subprocess
import sys
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from fauds.captions import (
    SPECIALS,
    Style,
    Words,
    build,
    build_settings,
    detokenise,
    languages,
    load,
)
from fauds.captions.templates import SUBJECT_WORDS
from fauds.captions.tokens import Tokeniser
from fauds.captions.vocabulary import global_texts, local_texts
from fauds.errors import DataError, UsageError
from fauds.facs import STATES
from fauds.tables import schemas

from .helpers import BOTH, BP4D, DISFA, make_frames


def rows_of(vocabulary: pa.Table, scope: str) -> list[dict]:
    return [row for row in vocabulary.to_pylist() if row["scope"] == scope]


def test_captions_equal_those_of_a_plain_loop_over_frames() -> None:
    frames = make_frames(BP4D, 200, nulls=0.01)
    captions = build(frames, BP4D).captions
    templates = load()
    for row, caption_row in zip(frames.to_pylist(), captions.to_pylist(), strict=True):
        assert caption_row["frame_id"] == row["frame_id"]
        for au in BP4D:
            expected = None if row[au] is None else templates.local(au, STATES[row[au]])
            assert caption_row[au] == expected
        if any(row[au] is None for au in BP4D):
            assert caption_row["face"] is None
        else:
            active = [au for au in BP4D if row[au]]
            assert caption_row["face"] == templates.face(active, row["sex"])


def test_tables_have_their_schemas_and_record_their_settings() -> None:
    made = build(make_frames(DISFA, 50), DISFA[::-1])
    assert made.captions.schema.equals(schemas.captions_schema(DISFA))
    assert made.phrases.schema.equals(schemas.PHRASES_SCHEMA)
    assert made.vocabulary.schema.equals(schemas.VOCABULARY_SCHEMA)
    assert made.settings["language"] == "en" and made.settings["aus"] == DISFA
    assert len(made.settings["templates"]) == 64
    assert made.settings == build_settings(DISFA)


def test_phrases_hold_every_text_with_its_tokens() -> None:
    made = build(make_frames(BP4D, 3000), BP4D)
    words = {scope: Words.from_table(made.vocabulary, scope) for scope in ("local", "global")}
    rows = made.phrases.to_pylist()
    assert [row["phrase_id"] for row in rows] == list(range(len(rows)))
    assert len({(row["scope"], row["au"], row["state"]) for row in rows}) == len(rows)
    assert len({(row["scope"], row["au"], row["text"]) for row in rows}) == len(rows)
    for row in rows:
        assert row["tokens"][0] == 1 and row["tokens"][-1] == 2
        assert not {0, 1, 2, 3} & set(row["tokens"][1:-1])
        assert words[row["scope"]].text(row["tokens"]) == row["text"]
    states = {row["state"] for row in rows if row["scope"] == "global"}
    assert {state.split(":")[0] for state in states} == set(SUBJECT_WORDS)
    assert set(made.captions["face"].to_pylist()) <= {row["text"] for row in rows}


def test_vocabulary_counts_equal_those_of_all_captions() -> None:
    frames = make_frames(DISFA, 120, nulls=0.02)
    made = build(frames, DISFA)
    tokenise = Tokeniser("en")
    for scope, columns in (("local", DISFA), ("global", ["face"])):
        texts = [t for c in columns for t in made.captions[c].to_pylist() if t is not None]
        expected = Counter(token for text in texts for token in tokenise(text))
        for row in rows_of(made.vocabulary, scope):
            if row["token"] in ("<bos>", "<eos>"):
                assert row["count"] == len(texts)
            else:
                assert row["count"] == expected[row["token"], row["space"]]


def test_the_vocabulary_does_not_depend_on_labels() -> None:
    columns = ["scope", "id", "token", "space"]
    vocabularies = [build(make_frames(BP4D, n, seed=n), BP4D).vocabulary for n in (1, 300)]
    assert vocabularies[0].select(columns).equals(vocabularies[1].select(columns))
    assert tuple(row["token"] for row in rows_of(vocabularies[0], "global")[:4]) == SPECIALS


@pytest.mark.slow
@pytest.mark.parametrize("aus", [BP4D, DISFA, BOTH], ids=["bp4d", "disfa", "both"])
@pytest.mark.parametrize("language", languages())
def test_the_vocabulary_covers_every_combination(language: str, aus: list[str]) -> None:
    templates, tokenise = load(language), Tokeniser(language)
    known = set(Words.of(global_texts(aus, templates), tokenise).index())
    rng = random.Random(1)
    codes = range(1 << len(aus)) if len(aus) <= 12 else rng.sample(range(1 << len(aus)), 12_000)
    tokens = set()
    for code in codes:
        active = [au for bit, au in enumerate(aus) if code >> bit & 1]
        sexes = SUBJECT_WORDS if len(aus) <= 12 else [SUBJECT_WORDS[code % 3]]
        for sex in sexes:
            tokens |= set(tokenise(templates.face(active, sex)))
    assert tokens <= known
    if len(aus) <= 12:
        assert tokens == known  # and no token that no face has


@pytest.mark.parametrize("language", languages())
def test_tokens_equal_those_of_spacy_and_join_into_the_text(language: str) -> None:
    import spacy

    whole = spacy.blank(language)
    templates, tokenise = load(language), Tokeniser(language)
    for text in [*local_texts(BOTH, templates, STATES, 3), *global_texts(DISFA, templates)]:
        tokens = tokenise(text)
        assert tokens == [(word.text, bool(word.whitespace_)) for word in whole.make_doc(text)]
        assert "".join(token + " " * space for token, space in tokens) == text


def test_detokenise_stops_at_the_end_and_skips_special_tokens() -> None:
    made = build(make_frames(DISFA, 20), DISFA)
    row = made.phrases.to_pylist()[-1]
    ids = np.array([*row["tokens"][:2], 3, *row["tokens"][2:], 0, 7, 8])
    assert detokenise(ids, made.vocabulary, row["scope"]) == row["text"]


def test_no_frames_and_frames_without_codes_can_be_captioned() -> None:
    empty = build(make_frames(DISFA, 0), DISFA)
    assert len(empty.captions) == 0 and len(empty.phrases) == 2 * len(DISFA)
    null = build(make_frames(DISFA, 5, nulls=1.1), DISFA).captions
    for name in (*DISFA, "face"):
        assert null[name].to_pylist() == [None] * 5


def test_chunks_of_frames_may_have_different_dictionaries() -> None:
    parts = [make_frames(DISFA, 40, seed=seed) for seed in (1, 2)]
    joined = build(pa.concat_tables(parts), DISFA).captions["face"].to_pylist()
    assert joined == [t for part in parts for t in build(part, DISFA).captions["face"].to_pylist()]


def test_frames_with_missing_columns_or_invalid_values_are_errors() -> None:
    frames = make_frames(DISFA, 10)
    with pytest.raises(DataError, match="no column AU17"):
        build(frames, [*DISFA, "AU17"])
    with pytest.raises(DataError, match="no column sex"):
        build(frames.drop_columns("sex"), DISFA)
    at = frames.column_names.index("AU12")
    nine = frames.set_column(at, "AU12", pa.array([9] * 10, pa.int8()))
    with pytest.raises(DataError, match="AU12 is 9"):
        build(nine, DISFA)
    lower_case = frames.set_column(
        frames.column_names.index("sex"), "sex", pa.array(["f"] * 10).dictionary_encode()
    )
    with pytest.raises(DataError, match="sex is 'f'"):
        build(lower_case, DISFA)
    with pytest.raises(UsageError, match="at least one"):
        build(frames, [])
    with pytest.raises(UsageError, match="choose from: en, zh"):
        build(frames, DISFA, Style("klingon"))


@pytest.mark.slow
def test_building_captions_loads_no_torch_and_torch_stays_importable() -> None:
    code = """
import sys
import fauds.captions as captions
heavy = {"torch", "spacy", "pandas"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
from fauds.tables.columns import category, from_numpy
import numpy as np, pyarrow as pa
one = np.ones(1)
frames = {"frame_id": from_numpy(one, pa.int64()), "AU12": from_numpy(one, pa.int8())}
frames = pa.table(frames | {"sex": category(np.zeros(1), ["F"])})
assert captions.build(frames, ["AU12"]).captions["face"][0].as_py()
assert "spacy" in sys.modules and not {"torch", "pandas"} & set(sys.modules)
import torch
assert torch.ones(1).item() == 1
"""
    subprocess.run([sys.executable, "-c", code], check=True)
