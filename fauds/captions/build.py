"""Builds the captions, phrases and vocabulary tables from a frames table.

A frames table has one row per frame (subject, task, frame number, sex, AU labels). The table can be
passed in several pieces, so that it need not fit in memory.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from fauds.captions.decisions import decision_words
from fauds.captions.phrases import (
    FacePhrases,
    LocalPhrases,
    Phrase,
    au_states,
    column_of,
    sexes_of,
)
from fauds.captions.styles import DEFAULT_STYLE, style_name
from fauds.captions.templates import Templates, canonical, load
from fauds.captions.tokens import Tokeniser
from fauds.captions.vocabulary import UNK, Encoder, Words, global_texts, local_texts
from fauds.errors import DataError, UsageError
from fauds.facs import INTENSITIES, STATES, beside, intensity_column
from fauds.tables.columns import category, from_numpy, from_strings, to_numpy
from fauds.tables.schemas import PHRASES_SCHEMA, VOCABULARY_SCHEMA, captions_schema


def draw(frames: pa.Table, count: int, seed: int) -> np.ndarray:
    """Choose at random which paraphrase describes each frame, and return the paraphrase numbers.

    The choice depends only on the seed and on the frame's subject, task and number. It depends
    neither on the AU labels nor on the other frames and subjects in the table.

    Args:
        frames: a table with the columns subject and task (dictionaries of strings) and frame
            (int32).
        count: the number of paraphrases to choose from.
        seed: the seed of the random choice.

    Returns:
        The number of each frame's paraphrase, int64 [frames], from 0 to count - 1.
    """
    if count == 1:
        return np.zeros(len(frames), np.int64)
    subjects, subject_names = _codes(frames["subject"])
    tasks, task_names = _codes(frames["task"])
    sequences, sequence_of_row = np.unique(subjects * len(task_names) + tasks, return_inverse=True)
    keys = [
        _key(seed, subject_names[code // len(task_names)], task_names[code % len(task_names)])
        for code in sequences.tolist()
    ]
    numbers = to_numpy(frames["frame"]).astype(np.uint64)
    return (_mixed(np.array(keys, np.uint64)[sequence_of_row], numbers) % np.uint64(count)).astype(
        np.int64
    )


def _codes(column: pa.ChunkedArray) -> tuple[np.ndarray, list[str]]:
    encoded = column.unify_dictionaries()
    if not encoded.num_chunks:
        return np.empty(0, np.int64), [""]
    indices = pa.chunked_array([chunk.indices for chunk in encoded.chunks])
    return to_numpy(indices).astype(np.int64), encoded.chunk(0).dictionary.to_pylist()


def _key(seed: int, subject: str, task: str) -> int:
    digest = hashlib.blake2b(f"{seed}/{subject}/{task}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def _mixed(keys: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Return a pseudo-random number, uint64 [frames], for every frame.

    The numbers are those of the generator SplitMix64 (Steele et al. 2014), seeded with the key of
    the frame's sequence (a hash of subject and task) and advanced by the frame number.

    Args:
        keys: the key of each frame's sequence, uint64 [frames].
        numbers: the frame numbers, uint64 [frames].
    """
    mixed = keys + numbers * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


@dataclass(frozen=True)
class Style:
    """Options for the wording of captions.

    Attributes:
        language: the language's code, such as "en".
        degrees: whether descriptions include the intensity of action units, A (trace) to E
            (maximum).
        variants: the number of paraphrases of each text, 1 to 127. Which paraphrase a frame gets
            depends on the seed and on the frame's subject, task and number. With 1, every state of
            an action unit has one fixed description, as in the VL-FAU paper.
        seed: the seed of the random choice of paraphrases, 0 or more.
        templates: a folder laid out like templates/, whose files override the shipped ones.
        style: the style of local descriptions, "plain" or "composed"; see
            `fauds.captions.styles`.

    Raises:
        UsageError: `variants` or `seed` is out of range, or the style is unknown.
    """

    language: str = "en"
    degrees: bool = False
    variants: int = 1
    seed: int = 0
    templates: Path | None = None
    style: str = DEFAULT_STYLE

    def __post_init__(self) -> None:
        style_name(self.style)
        if not 1 <= self.variants <= 127:
            raise UsageError(
                f"The number of paraphrases must be from 1 to 127, not {self.variants}.",
                hint="choose another value of variants (--variants)",
            )
        if self.seed < 0:
            raise UsageError(
                f"The seed must be 0 or more, not {self.seed}.",
                hint="choose another seed (--seed)",
            )

    @property
    def states(self) -> tuple[str, ...]:
        """The states of an action unit that have descriptions of their own.

        They are "inactive" and "active", and also the intensities "A" to "E" if `degrees` is True.
        """
        return STATES if self.degrees else STATES[:2]


@dataclass(frozen=True)
class Captions:
    """The tables that `build` returns.

    Attributes:
        phrases: the distinct descriptions; its schema is `fauds.tables.schemas.PHRASES_SCHEMA`.
        captions: one row per frame, in the order of the frames; its schema is
            `fauds.tables.schemas.captions_schema`.
        vocabulary: the tokens of all descriptions; its schema is
            `fauds.tables.schemas.VOCABULARY_SCHEMA`.
        settings: the settings with which the tables were built: language, style, aus, degrees,
            variants, seed, occurrence_at, and templates (the hash of the template files).
    """

    phrases: pa.Table
    captions: pa.Table
    vocabulary: pa.Table
    settings: dict[str, Any]


class Builder:
    """Builds the captions of a frames table that is passed in several pieces.

    Call `captions` with each piece, then `tables` once. The memory in use grows with the number of
    distinct descriptions, not with the number of frames.

    Args:
        aus: the benchmark's AU set, in any order.
        style: the wording of the captions; `Style()` if None.
        occurrence_at: the lowest intensity, 1 to 5, that counts as occurring, if the benchmark
            derives occurrence from intensity (2 on DISFA); None if occurrence is coded by itself
            (BP4D). Without `Style.degrees`, texts then leave open whether an inactive AU has a
            lower intensity; with them, each AU whose intensity is above 0 is described with its
            degree, also below this threshold. If it is None, only AUs that occur have a degree.

    Raises:
        UsageError: the language or an action unit is unknown, or the templates have fewer
            paraphrases than `style` asks for.
        DataError: a template is broken; the message names file and line.
    """

    def __init__(
        self,
        aus: Sequence[int | str],
        style: Style | None = None,
        occurrence_at: int | None = None,
    ) -> None:
        style = style or Style()
        names = canonical(aus)
        if not names:
            raise UsageError(
                "Captions need at least one action unit.", hint="name action units, such as AU12"
            )
        templates = load(style.language, style.templates)
        _check_paraphrases(names, style, templates)
        tokenise = Tokeniser(style.language)
        self.settings = _settings(names, style, templates, occurrence_at)
        at_most = None if style.degrees else highest_inactive(occurrence_at)
        self._local = {
            au: LocalPhrases(
                au,
                templates,
                style.states,
                style.variants,
                beside(au, names) if style.style == "composed" else None,
                at_most,
            )
            for au in names
        }
        self._face = FacePhrases(names, templates, style.variants, at_most)
        self._style, self._tokenise, self._occurrence_at = style, tokenise, occurrence_at
        local = (phrase.text for one in self._local.values() for phrase in one.phrases())
        faces = global_texts(
            names, templates, style.variants, degrees=style.degrees, at_most=at_most
        )
        self._words = {
            scope: Words.of(texts, tokenise, style.variants)
            for scope, texts in (("local", local), ("global", faces))
        }

    def columns(self, available: Sequence[str]) -> list[str]:
        """Return the names of the columns of the frames table that captions are built from.

        Args:
            available: the column names of the frames table.

        Raises:
            DataError: captions with degrees need intensities, but the frames table has none.
        """
        aus = self.settings["aus"]
        intensities = [intensity_column(au) for au in aus] if self._style.degrees else []
        present = [name for name in intensities if name in available]
        if intensities and not present:
            raise DataError(
                "The frames have no intensities, so captions cannot include degrees (A to E).",
                where="frames table",
                hint="leave --degrees out, or read a release whose labels have intensities",
            )
        return ["frame_id", "subject", "task", "frame", "sex", *aus, *present]

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema of the captions table."""
        return captions_schema(self.settings["aus"])

    def captions(self, frames: pa.Table) -> pa.Table:
        """Return the captions of some frames, and update the number of frames per description.

        `tables` uses these numbers.

        Args:
            frames: a piece of the frames table with the columns frame_id, sex and one per action
                unit; for captions with degrees, also the intensity of each action unit; with more
                than one paraphrase, also subject, task and frame.

        Returns:
            A table with one row per frame, whose schema is `schema`.

        Raises:
            DataError: the frames lack a column or hold an invalid value.
        """
        variants = draw(frames, self._style.variants, self._style.seed)
        states = {
            au: au_states(
                frames,
                au,
                degrees=self._style.degrees,
                from_intensity=self._occurrence_at is not None,
            )
            for au in self._local
        }
        columns = {"frame_id": column_of(frames, "frame_id")}
        columns |= {au: local.column(states, variants) for au, local in self._local.items()}
        columns["face"] = self._face.column(sexes_of(frames), states, variants)
        return pa.table(columns, schema=self.schema)

    def tables(self) -> tuple[pa.Table, pa.Table]:
        """Return the phrases table and the vocabulary table.

        The vocabulary table holds how often each token occurs in the captions of all frames that
        `captions` was called with so far.
        """
        local = [phrase for au_phrases in self._local.values() for phrase in au_phrases.phrases()]
        phrases_by_scope = {"local": local, "global": self._face.phrases()}
        ids = {
            scope: _encode(phrases, self._words[scope], self._tokenise)
            for scope, phrases in phrases_by_scope.items()
        }
        vocabulary = pa.concat_tables(
            _vocabulary(scope, self._words[scope], phrases, ids[scope])
            for scope, phrases in phrases_by_scope.items()
        )
        return _phrases(
            list(chain(*phrases_by_scope.values())), list(chain(*ids.values()))
        ), vocabulary


def build(
    frames: pa.Table,
    aus: Sequence[int | str],
    style: Style | None = None,
    occurrence_at: int | None = None,
) -> Captions:
    """Return the captions, phrases and vocabulary tables of a whole frames table.

    Args:
        frames: the frames table, with the columns that `Builder.columns` returns.
        aus: see `Builder`.
        style: see `Builder`.
        occurrence_at: see `Builder`.

    Raises:
        UsageError: see `Builder`.
        DataError: a template is broken; or the frames lack a column or hold an invalid value.
    """
    builder = Builder(aus, style, occurrence_at)
    captions = builder.captions(frames)
    phrases, vocabulary = builder.tables()
    return Captions(phrases, captions, vocabulary, builder.settings)


def build_settings(
    aus: Sequence[int | str], style: Style | None = None, occurrence_at: int | None = None
) -> dict[str, Any]:
    """Return the settings of captions (see `Captions`) without building the captions.

    Users' own templates are rendered once here, so that a broken template is reported before the
    dataset's files are read, which can take hours. Arguments and errors are those of `Builder`.
    """
    style, names = style or Style(), canonical(aus)
    templates = load(style.language, style.templates)
    _check_paraphrases(names, style, templates)
    if not templates.trusted:
        at_most = None if style.degrees else highest_inactive(occurrence_at)
        local_texts(
            names, templates, style.states, style.variants, style=style.style, at_most=at_most
        )
        templates.face(names, degrees=dict.fromkeys(names, "A") if style.degrees else {})
        templates.face((), at_most=at_most)
    return _settings(names, style, templates, occurrence_at)


def highest_inactive(occurrence_at: int | None) -> str | None:
    """Return the highest degree that does not count as occurring; None if any degree does.

    Args:
        occurrence_at: the lowest intensity, 1 to 5, that counts as occurring; None if occurrence
            is coded by itself.
    """
    return INTENSITIES[occurrence_at - 2] if occurrence_at and occurrence_at > 1 else None


def _settings(
    names: list[str], style: Style, templates: Templates, occurrence_at: int | None
) -> dict[str, Any]:
    """Return the settings of captions as a dict, as the caption tables record them."""
    return {
        "language": style.language,
        "style": style.style,
        "aus": names,
        "degrees": style.degrees,
        "variants": style.variants,
        "seed": style.seed if style.variants > 1 else None,
        "occurrence_at": occurrence_at,
        "templates": templates.hash,
    }


def _check_paraphrases(names: Sequence[str], style: Style, templates: Templates) -> None:
    available = templates.paraphrase_count(names, style.states)
    # For a state without any text, rendering raises an error that names the file.
    if style.variants > max(available, 1):
        raise UsageError(
            f"The templates of the language {style.language!r} have {available} paraphrases of "
            f"every text, but {style.variants} are needed.",
            where=templates.files["global.yaml"].path.parent,
            hint=f"use --variants {max(available, 1)}, or write more paraphrases; fauds captions "
            "lint lists the texts that need them",
        )


def _encode(phrases: list[Phrase], words: Words, tokenise: Tokeniser) -> list[list[int]]:
    encode = Encoder(words, tokenise)
    ids = [encode(phrase.text, phrase.variant) for phrase in phrases]
    for phrase, tokens in zip(phrases, ids, strict=True):
        if UNK in tokens:
            raise DataError(
                f"A word of the text {phrase.text!r} is not in the vocabulary.",
                where=f"templates, {phrase.scope} description of {phrase.state}",
                hint="change the templates: what a text says about an action unit may not depend "
                "on other action units; words that connect two action units may depend on these "
                "two only",
            )
    return ids


def _decides(phrases: list[Phrase], ids: list[list[int]]) -> list[np.ndarray]:
    """Return which tokens of each phrase depend on the labels; see `decision_words`."""
    decides: list[np.ndarray] = [np.empty(0, bool)] * len(phrases)
    for key in {(phrase.scope, phrase.au) for phrase in phrases}:
        rows = [row for row, one in enumerate(phrases) if (one.scope, one.au) == key]
        for row, words in zip(rows, decision_words([ids[row] for row in rows]), strict=True):
            decides[row] = words
    return decides


def _phrases(phrases: list[Phrase], ids: list[list[int]]) -> pa.Table:
    ends = np.cumsum([0, *map(len, ids)])
    flat = np.fromiter(chain.from_iterable(ids), np.int32, ends[-1])
    marks = np.concatenate([np.empty(0, bool), *_decides(phrases, ids)])
    decides = from_numpy(marks, pa.int8()).cast(pa.bool_())
    columns = [
        from_numpy(np.arange(len(phrases)), pa.int32()),
        from_strings([phrase.scope for phrase in phrases]),
        _with_nulls([phrase.au for phrase in phrases]),
        from_strings([phrase.state for phrase in phrases]),
        from_numpy(np.array([phrase.variant for phrase in phrases]), pa.int8()),
        from_strings([phrase.text for phrase in phrases]),
        pa.ListArray.from_arrays(from_numpy(ends, pa.int32()), from_numpy(flat, pa.int32())),
        _with_nulls([phrase.beside for phrase in phrases]),
        pa.ListArray.from_arrays(from_numpy(ends, pa.int32()), decides),
    ]
    return pa.table(columns, schema=PHRASES_SCHEMA)


def _with_nulls(texts: list[str | None]) -> pa.Array:
    names = sorted({text for text in texts if text is not None})
    places = {name: at for at, name in enumerate(names)}
    codes = np.array([-1 if text is None else places[text] for text in texts], np.int64)
    return category(codes, names).dictionary_decode()


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
    return pa.table(columns, schema=VOCABULARY_SCHEMA)
