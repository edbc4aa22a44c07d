"""Captions, phrases and vocabulary: three tables from a frames table, in memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from fauds.captions.phrases import Phrase, column_of, global_phrases, local_phrases
from fauds.captions.templates import Templates, canonical, load
from fauds.captions.tokens import Tokeniser
from fauds.captions.vocabulary import UNK, Words, encode, global_texts, local_texts
from fauds.columns import category, from_numpy, from_strings
from fauds.errors import DataError, UsageError
from fauds.store import PHRASES, VOCABULARY, captions_schema


@dataclass(frozen=True)
class Captions:
    """What `build` makes.

    Attributes:
        phrases: schema `fauds.store.PHRASES`.
        captions: schema `fauds.store.captions_schema`, one row a frame, in the frames' order.
        vocabulary: schema `fauds.store.VOCABULARY`.
        settings: what made them: language, AUs, degrees, variants, the templates' hash.
    """

    phrases: pa.Table
    captions: pa.Table
    vocabulary: pa.Table
    settings: dict[str, Any]


def build_settings(
    aus: Sequence[int | str], *, language: str = "en", templates: Path | None = None
) -> dict[str, Any]:
    """Return the settings that `build` would record, without building; errors as there."""
    return _settings(canonical(aus), load(language, templates))


def build(
    frames: pa.Table,
    aus: Sequence[int | str],
    *,
    language: str = "en",
    templates: Path | None = None,
) -> Captions:
    """Describe every frame: each action unit's state, and the whole face.

    Args:
        frames: a frames table with frame_id, sex and a column per action unit.
        aus: the benchmark's AU set; the order does not matter.
        language: a code such as "en".
        templates: a folder laid out like templates/ whose files override the shipped ones.

    Raises:
        UsageError: no such language or action unit.
        DataError: the frames lack a column or hold a value that they must not; a template is
            broken (names file and line).
    """
    names = canonical(aus)
    if not names:
        raise UsageError("Captions need at least one action unit.")
    texts = load(language, templates)
    tokenise = Tokeniser(language)
    local, columns = [], {"frame_id": column_of(frames, "frame_id")}
    for au in names:
        phrases, columns[au] = local_phrases(frames, au, texts)
        local += phrases
    face, columns["face"] = global_phrases(frames, names, texts)
    words = {
        "local": Words.of(local_texts(names, texts), tokenise),
        "global": Words.of(global_texts(names, texts, templates is not None), tokenise),
    }
    ids = {scope: _encode(phrases, words[scope], tokenise)
           for scope, phrases in (("local", local), ("global", face))}  # fmt: skip
    return Captions(
        phrases=_phrases([*local, *face], [*ids["local"], *ids["global"]]),
        captions=pa.table(columns, schema=captions_schema(names)),
        vocabulary=pa.concat_tables(
            _vocabulary(scope, words[scope], phrases, ids[scope])
            for scope, phrases in (("local", local), ("global", face))
        ),
        settings=_settings(names, texts),
    )


def _settings(names: list[str], texts: Templates) -> dict[str, Any]:
    return {
        "language": texts.language,
        "aus": names,
        "degrees": False,
        "variants": 1,
        "templates": texts.hash,
    }


def _encode(phrases: list[Phrase], words: Words, tokenise: Tokeniser) -> list[list[int]]:
    index = words.index()
    ids = [encode(phrase.text, index, tokenise) for phrase in phrases]
    for phrase, tokens in zip(phrases, ids, strict=True):
        if UNK in tokens:
            raise DataError(
                f"The vocabulary lacks a word of {phrase.text!r}.",
                where=f"templates, {phrase.scope} {phrase.state}",
                hint="a fragment's words may depend only on its own action units, and joining "
                "words only on what stands next to them",
            )
    return ids


def _phrases(phrases: list[Phrase], ids: list[list[int]]) -> pa.Table:
    aus = sorted({phrase.au for phrase in phrases if phrase.au})
    au_codes = np.array([aus.index(phrase.au) if phrase.au else -1 for phrase in phrases])
    ends = np.cumsum([0, *map(len, ids)])
    flat = np.fromiter(chain.from_iterable(ids), np.int32, ends[-1])
    columns = [
        from_numpy(np.arange(len(phrases)), pa.int32()),
        from_strings([phrase.scope for phrase in phrases]),
        category(au_codes, aus).dictionary_decode(),
        from_strings([phrase.state for phrase in phrases]),
        from_numpy(np.zeros(len(phrases)), pa.int8()),
        from_strings([phrase.text for phrase in phrases]),
        pa.ListArray.from_arrays(from_numpy(ends, pa.int32()), from_numpy(flat, pa.int32())),
    ]
    return pa.table(columns, schema=PHRASES)


def _vocabulary(scope: str, words: Words, phrases: list[Phrase], ids: list[list[int]]) -> pa.Table:
    counts = np.zeros(len(words), np.int64)
    for phrase, tokens in zip(phrases, ids, strict=True):
        np.add.at(counts, tokens, phrase.frames)
    columns = [
        from_strings([scope] * len(words)),
        from_numpy(np.arange(len(words)), pa.int32()),
        from_strings(words.tokens),
        from_numpy(np.array(words.spaces), pa.int8()).cast(pa.bool_()),
        from_numpy(counts, pa.int64()),
    ]
    return pa.table(columns, schema=VOCABULARY)
