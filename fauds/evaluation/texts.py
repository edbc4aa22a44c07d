"""Figures of generated descriptions: what they assert, and how near their references they come.

A local text asserts the state of its own AU; what it says of others does not count, so a text
that describes the wrong AU asserts nothing. A face's text asserts that the AUs it mentions are
in the state that it says, and that all others are inactive. Nothing is asserted by a text that
reads back to no state at all, nor of an AU that it calls both active and inactive. Such a text
does not find an AU that is active, does not agree with any decision, and contradicts nothing.

Texts are read, and compared with references, once for each distinct one, never frame by frame.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fauds.captions import Parsed, Parser, load, parse
from fauds.captions.tokens import Tokeniser
from fauds.errors import DataError
from fauds.metrics import occurrence
from fauds.metrics.texts import bleu4, rouge_l

SCOPES = ("local", "global")
_NOTHING = -1


@dataclass(frozen=True)
class TextFigures:
    """The figures of a fold's descriptions; those of a scope that has no texts are not there.

    Attributes:
        by_au: metric to (values float64 [A], NaN where undefined; coded frames int64 [A]).
            `local_text_f1`, `global_text_f1`: AUs that texts assert active, against the labels.
        overall: metric to (value, n). `*_bleu4` and `*_rouge_l`: n texts with a reference.
            `*_text_agreement_with_head`: share of n (face, AU) pairs whose text asserts the
            head's decision. `local_unparsed`: share of n local texts that assert nothing of their
            AU; `global_unparsed`: share of n face texts that assert nothing of any.
            `text_contradictions`: share of n faces with texts of both scopes on which the two
            assert different states of an AU.
    """

    by_au: Mapping[str, tuple[np.ndarray, np.ndarray]]
    overall: Mapping[str, tuple[float, int]]


def text_figures(
    predictions: pa.Table,
    truth: pa.Table,
    aus: Sequence[str],
    *,
    threshold: float,
    occurrence_at: int | None,
    language: str,
    templates: Path | None = None,
) -> TextFigures:
    """Measure a fold's generated descriptions.

    Args:
        predictions: a column of probabilities for each AU; AUxx_text and face_text, null where
            not described; a column that no branch of the model writes may lack.
        truth: the same frames in the same order: AUxx int8, null where not coded; AUxx_caption
            and face_caption, the reference descriptions.
        aus: the benchmark's.
        threshold: probability from which an AU is predicted.
        occurrence_at: the benchmark's, which tells what a degree says of occurrence.
        language: the descriptions'.
        templates: the folder, if any, that the references were made with.

    Raises:
        UsageError: there is no such language.
        DataError: the references do not read back to the labels.
    """
    reader = _TextReader(aus, occurrence_at, language, templates)
    labels = np.stack([_filled(truth[au]) for au in aus], axis=1)
    decisions = np.stack([predictions[au].to_numpy() for au in aus], axis=1)
    decisions = occurrence.decide(decisions, threshold)
    by_au: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    overall: dict[str, tuple[float, int]] = {}
    said = {scope: reader.said(predictions, scope, "text") for scope in SCOPES}
    for scope, texts in said.items():
        if not texts.there.any():
            continue
        references = reader.said(truth, scope, "caption")
        _refuse_other_references(references, labels, aus)
        coded = np.where(texts.there, labels, -1)
        counts = occurrence.count(coded, texts.states == 1)
        by_au[f"{scope}_text_f1"] = occurrence.f1(counts), (coded >= 0).sum(axis=0)
        overall[f"{scope}_text_agreement_with_head"] = _share(
            texts.states == decisions, texts.there
        )
        overall[f"{scope}_unparsed"] = _unparsed(texts, scope)
        overall |= _likeness(references, texts, scope, Tokeniser(language))
    apart, both = _contradicting(said)
    if both.any():
        overall["text_contradictions"] = _share(np.any(apart, axis=1), both)
    return TextFigures(by_au, overall)


@dataclass(frozen=True)
class _Column:
    """A column of texts: the distinct ones, and each row's place among them, -1 where null."""

    texts: list[str]
    places: np.ndarray


@dataclass(frozen=True)
class _Assertions:
    """What the texts of one scope say.

    Attributes:
        columns: of texts: one an AU, or the face's.
        there: where there is a text, bool [N, A].
        states: what it asserts, int8 [N, A]: 1 active, 0 inactive, -1 nothing.
    """

    columns: list[_Column]
    there: np.ndarray
    states: np.ndarray


class _TextReader:
    """Reads columns of texts, every distinct text once."""

    def __init__(
        self, aus: Sequence[str], occurrence_at: int | None, language: str, templates: Path | None
    ) -> None:
        self._aus, self._occurrence_at = list(aus), occurrence_at
        # The reader of the shipped templates is made once a process.
        own = None if templates is None else Parser(load(language, templates))
        self._parse: Callable[[str], Parsed] = cache(own or partial(parse, language=language))

    def said(self, table: pa.Table, scope: str, suffix: str) -> _Assertions:
        """Return what the texts of a scope assert; nothing where the table has no such columns."""
        names = self._aus if scope == "local" else ["face"]
        names = [f"{name}_{suffix}" for name in names]
        if not set(names) <= set(table.column_names):
            shape = (len(table), len(self._aus))
            return _Assertions([], np.zeros(shape, bool), np.full(shape, _NOTHING, np.int8))
        columns = [_column(table[name]) for name in names]
        there = np.stack([column.places >= 0 for column in columns], axis=1)
        if scope == "local":
            by_au = [
                self._states(column, [au]) for au, column in zip(self._aus, columns, strict=True)
            ]
            return _Assertions(columns, there, np.concatenate(by_au, axis=1))
        states = self._states(columns[0], self._aus, others=False)
        return _Assertions(columns, np.broadcast_to(there, states.shape), states)

    def _states(self, column: _Column, aus: list[str], others: bool | None = None) -> np.ndarray:
        """Return what every row's text asserts of some AUs, int8 [N, len(aus)].

        Args:
            others: what a text that was understood asserts of an AU that it does not mention.
        """
        read = [self._asserted(self._parse(text), aus, others) for text in column.texts]
        # Rows without a text have the place -1: the last.
        of_texts = np.array([*read, [_NOTHING] * len(aus)], np.int8)
        of_rows: np.ndarray = of_texts[column.places]
        return of_rows

    def _asserted(self, read: Parsed, aus: list[str], others: bool | None) -> list[int]:
        said = (read.asserts(au, self._occurrence_at, others=others) for au in aus)
        return [_NOTHING if state is None else int(state) for state in said]


def _column(column: pa.ChunkedArray) -> _Column:
    if not pa.types.is_dictionary(column.type):
        column = column.cast(pa.string()).dictionary_encode()
    whole = column.unify_dictionaries().combine_chunks()
    return _Column(whole.dictionary.to_pylist(), pc.fill_null(whole.indices, -1).to_numpy())


def _filled(labels: pa.ChunkedArray) -> np.ndarray:
    filled: np.ndarray = pc.fill_null(labels, -1).to_numpy()
    return filled


def _refuse_other_references(
    references: _Assertions, labels: np.ndarray, aus: Sequence[str]
) -> None:
    """Raise where references do not assert the labels: every figure would be of something else."""
    wrong = references.there & (labels >= 0) & (references.states != labels)
    if wrong.any():
        row, au = np.argwhere(wrong)[0].tolist()
        column = references.columns[au if len(references.columns) > 1 else 0]
        raise DataError(
            f"A reference description does not read back to the label of {aus[au]}, "
            f"{'active' if labels[row, au] else 'inactive'}: "
            f"{column.texts[column.places[row]]!r}.",
            where=f"captions, row {row}",
            hint="read the descriptions with the language and the templates that made them, or "
            "build them again; fauds captions lint names templates that cannot be read back",
        )


def _share(right: np.ndarray, among: np.ndarray) -> tuple[float, int]:
    """Return the share of True, and of how many."""
    return float(right[among].mean()), int(among.sum())


def _unparsed(texts: _Assertions, scope: str) -> tuple[float, int]:
    nothing = texts.states == _NOTHING
    if scope == "global":
        return _share(nothing.all(axis=1), texts.there[:, 0])
    return _share(nothing, texts.there)


def _contradicting(said: Mapping[str, _Assertions]) -> tuple[np.ndarray, np.ndarray]:
    """Return where the two scopes assert different states, bool [N, A], and faces with both."""
    local, face = (said[scope] for scope in SCOPES)
    stated = (local.states != _NOTHING) & (face.states != _NOTHING)
    both: np.ndarray = np.any(local.there, axis=1) & np.any(face.there, axis=1)
    return stated & (local.states != face.states), both


def _likeness(
    references: _Assertions, texts: _Assertions, scope: str, tokenise: Tokeniser
) -> dict[str, tuple[float, int]]:
    """Return BLEU-4 and ROUGE-L over all texts that have a reference."""
    words = cache(lambda text: tuple(token for token, _ in tokenise(text)))
    pairs = [
        (words(reference), words(text), times)
        for columns in zip(references.columns, texts.columns, strict=True)
        for reference, text, times in _distinct_pairs(*columns)
    ]
    compared = sum(times for _, _, times in pairs)
    return {
        f"{scope}_bleu4": (bleu4(pairs), compared),
        f"{scope}_rouge_l": (rouge_l(pairs), compared),
    }


def _distinct_pairs(references: _Column, texts: _Column) -> Iterator[tuple[str, str, int]]:
    """Yield every distinct pair of a reference and a text, and how many rows have it."""
    there = (references.places >= 0) & (texts.places >= 0)
    codes = references.places[there].astype(np.int64) * len(texts.texts) + texts.places[there]
    distinct, times = np.unique(codes, return_counts=True)
    for code, count in zip(distinct.tolist(), times.tolist(), strict=True):
        reference, text = divmod(code, len(texts.texts))
        yield references.texts[reference], texts.texts[text], count
