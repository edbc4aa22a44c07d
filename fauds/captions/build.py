"""Captions, phrases and vocabulary: three tables from a frames table, a part at a time."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from fauds.captions.phrases import FacePhrases, LocalPhrases, Phrase, column_of
from fauds.captions.templates import Templates, canonical, load
from fauds.captions.tokens import Tokeniser
from fauds.captions.vocabulary import UNK, Words, encode, global_texts, local_texts
from fauds.errors import DataError, UsageError
from fauds.facs import STATES, intensity_column
from fauds.tables.columns import category, from_numpy, from_strings, to_numpy
from fauds.tables.schemas import PHRASES_SCHEMA, VOCABULARY_SCHEMA, captions_schema


def draw(frames: pa.Table, count: int, seed: int) -> np.ndarray:
    """Return the paraphrase of every frame, int64 [frames], 0 to count - 1.

    A frame's does not depend on its labels, nor on which other frames or subjects are there.

    Args:
        frames: with subject and task (dictionaries of strings) and frame (int32).
        count: how many paraphrases there are.
        seed: chooses another assignment.
    """
    if count == 1:
        return np.zeros(len(frames), np.int64)
    subjects, subject_names = _codes(frames["subject"])
    tasks, task_names = _codes(frames["task"])
    sequences, rows = np.unique(subjects * len(task_names) + tasks, return_inverse=True)
    keys = [
        _key(seed, subject_names[code // len(task_names)], task_names[code % len(task_names)])
        for code in sequences.tolist()
    ]
    numbers = to_numpy(frames["frame"]).astype(np.uint64)
    return (_mixed(np.array(keys, np.uint64)[rows], numbers) % np.uint64(count)).astype(np.int64)


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
    """Return SplitMix64 (Steele et al. 2014) of each sequence's key moved on by the frame."""
    mixed = keys + numbers * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


@dataclass(frozen=True)
class Style:
    """How frames are described.

    Attributes:
        language: a code such as "en".
        degrees: whether an action unit's intensity is said, A (trace) to E (maximum).
        variants: paraphrases a state; which one a frame gets depends on seed, subject, task and
            frame. 1 is the paper's fixed description.
        seed: of the paraphrases.
        templates: a folder laid out like templates/ whose files override the shipped ones.

    Raises:
        UsageError: variants or seed are out of range.
    """

    language: str = "en"
    degrees: bool = False
    variants: int = 1
    seed: int = 0
    templates: Path | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.variants <= 127:
            raise UsageError(f"variants is {self.variants}.", hint="1 to 127")
        if self.seed < 0:
            raise UsageError(f"The seed is {self.seed}.", hint="0 or more")

    @property
    def states(self) -> tuple[str, ...]:
        """The states that are said apart."""
        return STATES if self.degrees else STATES[:2]


@dataclass(frozen=True)
class Captions:
    """What `build` makes.

    Attributes:
        phrases: schema `fauds.tables.schemas.PHRASES_SCHEMA`.
        captions: schema `fauds.tables.schemas.captions_schema`, a row a frame, in their order.
        vocabulary: schema `fauds.tables.schemas.VOCABULARY_SCHEMA`.
        settings: what made them: language, AUs, degrees, variants, seed, the templates' hash.
    """

    phrases: pa.Table
    captions: pa.Table
    vocabulary: pa.Table
    settings: dict[str, Any]


class Builder:
    """Describes frames part by part; its memory depends on the distinct phrases only.

    Args:
        aus: the benchmark's AU set; the order does not matter.
        style: how.
        from_intensity: whether the benchmark makes occurrence from intensity (DISFA). Then every
            intensity above 0 has its degree; else occurrence decides whether there is one.

    Raises:
        UsageError: no such language or action unit.
        DataError: a template is broken (names file and line), or has too few paraphrases.
    """

    def __init__(
        self, aus: Sequence[int | str], style: Style | None = None, from_intensity: bool = False
    ) -> None:
        style = style or Style()
        names = canonical(aus)
        if not names:
            raise UsageError("Captions need at least one action unit.")
        templates = load(style.language, style.templates)
        _check_paraphrases(names, style, templates)
        tokenise = Tokeniser(style.language)
        self.settings = _settings(names, style, templates)
        self._local = {
            au: LocalPhrases(au, templates, style.states, style.variants, from_intensity)
            for au in names
        }
        self._face = FacePhrases(names, templates, style.variants)
        self._style, self._tokenise = style, tokenise
        said = local_texts(names, templates, style.states, style.variants)
        faces = global_texts(names, templates, style.variants)
        self._words = {"local": Words.of(said, tokenise), "global": Words.of(faces, tokenise)}

    def columns(self, there: Sequence[str]) -> list[str]:
        """Return the columns, of those that frames have, that captions are made from.

        Raises:
            DataError: degrees are asked for, and no intensity is there.
        """
        aus = self.settings["aus"]
        wanted = [intensity_column(au) for au in aus] if self._style.degrees else []
        graded = [name for name in wanted if name in there]
        if wanted and not graded:
            raise DataError(
                "These frames have no intensity: there is no degree to say.",
                where="frames table",
                hint="leave --degrees out, or read a distribution with intensity codes",
            )
        return ["frame_id", "subject", "task", "frame", "sex", *aus, *graded]

    @property
    def schema(self) -> pa.Schema:
        """The schema of captions."""
        return captions_schema(self.settings["aus"])

    def captions(self, frames: pa.Table) -> pa.Table:
        """Return a part's captions, one row a frame, and count its phrases.

        Args:
            frames: with frame_id, sex and a column per action unit, with degrees their
                intensities; with paraphrases subject, task and frame.

        Raises:
            DataError: the frames lack a column or hold a value that they must not.
        """
        drawn = draw(frames, self._style.variants, self._style.seed)
        columns = {"frame_id": column_of(frames, "frame_id")}
        columns |= {au: local.column(frames, drawn) for au, local in self._local.items()}
        columns["face"] = self._face.column(frames, drawn)
        return pa.table(columns, schema=self.schema)

    def tables(self) -> tuple[pa.Table, pa.Table]:
        """Return phrases and vocabulary, with the counts of all parts so far."""
        local = [phrase for each in self._local.values() for phrase in each.phrases()]
        said = {"local": local, "global": self._face.phrases()}
        ids = {
            scope: _encode(phrases, self._words[scope], self._tokenise)
            for scope, phrases in said.items()
        }
        vocabulary = pa.concat_tables(
            _vocabulary(scope, self._words[scope], phrases, ids[scope])
            for scope, phrases in said.items()
        )
        return _phrases(list(chain(*said.values())), list(chain(*ids.values()))), vocabulary


def build(
    frames: pa.Table,
    aus: Sequence[int | str],
    style: Style | None = None,
    from_intensity: bool = False,
) -> Captions:
    """Describe frames that are in memory; arguments and errors as in `Builder`."""
    builder = Builder(aus, style, from_intensity)
    captions = builder.captions(frames)
    phrases, vocabulary = builder.tables()
    return Captions(phrases, captions, vocabulary, builder.settings)


def build_settings(aus: Sequence[int | str], style: Style | None = None) -> dict[str, Any]:
    """Return the settings that `build` would record, without building; errors as there.

    Templates that fauds does not ship are tried out, so that a broken one is heard of before
    hours of reading.
    """
    style, names = style or Style(), canonical(aus)
    templates = load(style.language, style.templates)
    _check_paraphrases(names, style, templates)
    if not templates.trusted:
        local_texts(names, templates, style.states, style.variants)
        templates.face(names)
    return _settings(names, style, templates)


def _settings(names: list[str], style: Style, templates: Templates) -> dict[str, Any]:
    """Return what tables record of how they were made."""
    return {
        "language": style.language,
        "aus": names,
        "degrees": style.degrees,
        "variants": style.variants,
        "seed": style.seed if style.variants > 1 else None,
        "templates": templates.hash,
    }


def _check_paraphrases(names: Sequence[str], style: Style, templates: Templates) -> None:
    there = templates.paraphrases(names, style.states)
    # A state that is not there at all is named, with its file, when it is rendered.
    if style.variants > max(there, 1):
        raise UsageError(
            f"The templates of {style.language!r} have {there} paraphrases of every text, "
            f"not {style.variants}.",
            where=templates.files["global.yaml"].path.parent,
            hint=f"ask for --variants {there}, or write more; fauds captions lint lists what lacks",
        )


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
        from_numpy(np.array([phrase.variant for phrase in phrases]), pa.int8()),
        from_strings([phrase.text for phrase in phrases]),
        pa.ListArray.from_arrays(from_numpy(ends, pa.int32()), from_numpy(flat, pa.int32())),
    ]
    return pa.table(columns, schema=PHRASES_SCHEMA)


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
