"""Scores generated descriptions by what they assert and by their similarity to references.

A local text describes one AU and asserts whether this AU is active; statements about other AUs are
ignored, so a text that describes the wrong AU asserts nothing. A global text describes the whole
face: it asserts the states of the AUs that it mentions, and that all other AUs are inactive. A text
that cannot be parsed asserts nothing, and a text that calls an AU both active and inactive asserts
nothing about this AU. A text that asserts nothing about an AU counts as not detecting the AU, and
as neither agreeing with the model's prediction of the AU nor contradicting another text.

Each distinct text is parsed and compared once, not once for each frame, to save time.
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
    """The metrics of the descriptions that were generated for a fold's test frames.

    Names of metrics begin with "local" for texts that describe one of A AUs, and with "global" for
    texts that describe the whole face. There are no metrics for a kind of text that the model does
    not generate.

    Attributes:
        by_au: by metric, the values (float64 [A], NaN where undefined) and the numbers of coded
            frames (int64 [A]). `local_text_f1` and `global_text_f1`: the F1, against the labels, of
            the states that the texts assert.
        overall: by metric, the value and the number n of texts, pairs or faces that it is computed
            from. `*_bleu4` and `*_rouge_l`: the similarity of n texts to their references.
            `*_text_agreement_with_head`: the share of n (face, AU) pairs for which the text
            asserts the same state as the model's AU prediction. `local_unparsed`: the share of n
            local texts that assert nothing about their AU. `global_unparsed`: the share of n
            global texts that assert nothing about any AU. `text_contradictions`: the share of n
            faces (with local and global texts) whose local and global text assert different states
            of an AU.
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
    """Score the descriptions that were generated for a fold's test frames.

    Args:
        predictions: a table with a column of probabilities for each AU, and the generated texts in
            AUxx_text and face_text, null where a frame is not described. The columns of texts
            that the model does not generate may be missing.
        truth: a table of the same frames in the same order: the labels AUxx, int8, null where not
            coded, and the reference descriptions AUxx_caption and face_caption.
        aus: the AUs that the benchmark scores.
        threshold: the probability from which an AU counts as active.
        occurrence_at: the lowest intensity, 1 to 5, at which an AU counts as active. It decides
            whether the description of an intensity from A (trace) to E (maximum) is that of an
            active AU. None if the dataset codes occurrence directly.
        language: the language of the descriptions, such as "en".
        templates: the folder of the templates that the references follow; None for the templates
            that ship with fauds.

    Raises:
        UsageError: there are no templates in this language.
        DataError: a reference does not describe the AUs of its frame as they are labelled.
    """
    parser = _TextParser(aus, occurrence_at, language, templates)
    labels = np.stack([_filled(truth[au]) for au in aus], axis=1)
    decisions = np.stack([predictions[au].to_numpy() for au in aus], axis=1)
    decisions = occurrence.decide(decisions, threshold)
    by_au: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    overall: dict[str, tuple[float, int]] = {}
    assertions = {scope: parser.assertions(predictions, scope, "text") for scope in SCOPES}
    for scope, texts in assertions.items():
        if not texts.present.any():
            continue
        references = parser.assertions(truth, scope, "caption")
        _refuse_other_references(references, labels, aus)
        coded = np.where(texts.present, labels, -1)
        counts = occurrence.count(coded, texts.states == 1)
        by_au[f"{scope}_text_f1"] = occurrence.f1(counts), (coded >= 0).sum(axis=0)
        overall[f"{scope}_text_agreement_with_head"] = _share(
            texts.states == decisions, texts.present
        )
        overall[f"{scope}_unparsed"] = _unparsed(texts, scope)
        overall |= _similarity(references, texts, scope, Tokeniser(language))
    contradicting, with_both = _contradictions(assertions)
    if with_both.any():
        overall["text_contradictions"] = _share(np.any(contradicting, axis=1), with_both)
    return TextFigures(by_au, overall)


@dataclass(frozen=True)
class _TextColumn:
    """A column of N texts, in which each distinct text is stored once.

    Attributes:
        texts: the distinct texts.
        places: for each row, the index of its text in `texts`, int [N]; -1 if it has no text.
    """

    texts: list[str]
    places: np.ndarray


@dataclass(frozen=True)
class _Assertions:
    """What texts assert about each of A AUs in each of N frames.

    The texts are either local, with one text for each AU, or global, with one text for each face.

    Attributes:
        columns: the columns of texts: one for each AU, or one for the face.
        present: whether the frame has a text about the AU (local) or the face (global), bool
            [N, A].
        states: the state of the AU that the text asserts, int8 [N, A]: 1 active, 0 inactive, -1 if
            the text asserts nothing about the AU.
    """

    columns: list[_TextColumn]
    present: np.ndarray
    states: np.ndarray


class _TextParser:
    """Parses columns of texts for the AU states that they assert.

    Every distinct text is parsed only once. For the arguments see `text_figures`.
    """

    def __init__(
        self, aus: Sequence[str], occurrence_at: int | None, language: str, templates: Path | None
    ) -> None:
        self._aus, self._occurrence_at = list(aus), occurrence_at
        # The parser of the shipped templates is cached for the whole process.
        own = None if templates is None else Parser(load(language, templates))
        self._parse: Callable[[str], Parsed] = cache(own or partial(parse, language=language))

    def assertions(self, table: pa.Table, scope: str, suffix: str) -> _Assertions:
        """Return what the local or the global texts of a table assert about each AU.

        Args:
            table: the table of texts. If one of the needed columns is missing, the result is that
                of frames without texts.
            scope: "local" for texts about single AUs, "global" for texts about the whole face.
            suffix: the suffix of the columns' names: "text" or "caption".
        """
        names = self._aus if scope == "local" else ["face"]
        names = [f"{name}_{suffix}" for name in names]
        if not set(names) <= set(table.column_names):
            shape = (len(table), len(self._aus))
            return _Assertions([], np.zeros(shape, bool), np.full(shape, _NOTHING, np.int8))
        columns = [_column(table[name]) for name in names]
        present = np.stack([column.places >= 0 for column in columns], axis=1)
        if scope == "local":
            by_au = [
                self._states(column, [au]) for au, column in zip(self._aus, columns, strict=True)
            ]
            return _Assertions(columns, present, np.concatenate(by_au, axis=1))
        states = self._states(columns[0], self._aus, others=False)
        return _Assertions(columns, np.broadcast_to(present, states.shape), states)

    def _states(
        self, column: _TextColumn, aus: list[str], others: bool | None = None
    ) -> np.ndarray:
        """Return the states of AUs that the text of each row asserts.

        Args:
            column: the texts of N rows.
            aus: the AUs whose states are returned.
            others: the state that a parsed text asserts of AUs that the text does not mention: True
                for active, False for inactive, None if it asserts nothing about such AUs.

        Returns:
            The states, int8 [N, len(aus)]: 1 active, 0 inactive, -1 if nothing is asserted.
        """
        states = [self._asserted_states(self._parse(text), aus, others) for text in column.texts]
        # Rows without a text have the place -1, which indexes the last entry.
        of_texts = np.array([*states, [_NOTHING] * len(aus)], np.int8)
        of_rows: np.ndarray = of_texts[column.places]
        return of_rows

    def _asserted_states(self, parsed: Parsed, aus: list[str], others: bool | None) -> list[int]:
        states = (parsed.asserts(au, self._occurrence_at, others=others) for au in aus)
        return [_NOTHING if state is None else int(state) for state in states]


def _column(column: pa.ChunkedArray) -> _TextColumn:
    if not pa.types.is_dictionary(column.type):
        column = column.cast(pa.string()).dictionary_encode()
    whole = column.unify_dictionaries().combine_chunks()
    return _TextColumn(whole.dictionary.to_pylist(), pc.fill_null(whole.indices, -1).to_numpy())


def _filled(labels: pa.ChunkedArray) -> np.ndarray:
    filled: np.ndarray = pc.fill_null(labels, -1).to_numpy()
    return filled


def _refuse_other_references(
    references: _Assertions, labels: np.ndarray, aus: Sequence[str]
) -> None:
    """Raise an error if a reference does not describe the AUs of its frame as they are labelled.

    Metrics that compare texts with such references would be meaningless.
    """
    wrong = references.present & (labels >= 0) & (references.states != labels)
    if wrong.any():
        row, au = np.argwhere(wrong)[0].tolist()
        column = references.columns[au if len(references.columns) > 1 else 0]
        raise DataError(
            f"A reference description does not say that {aus[au]} is "
            f"{'active' if labels[row, au] else 'inactive'}, as it is labelled: "
            f"{column.texts[column.places[row]]!r}.",
            where=f"captions, row {row}",
            hint="use the language and the templates that the captions were built with, or build "
            "the captions again; fauds captions lint lists templates that cannot be parsed",
        )


def _share(correct: np.ndarray, among: np.ndarray) -> tuple[float, int]:
    """Return the share of True among the selected values, and the number of selected values.

    Args:
        correct: the values, bool.
        among: a mask that selects values, bool, of the same shape.
    """
    return float(correct[among].mean()), int(among.sum())


def _unparsed(texts: _Assertions, scope: str) -> tuple[float, int]:
    nothing = texts.states == _NOTHING
    if scope == "global":
        return _share(nothing.all(axis=1), texts.present[:, 0])
    return _share(nothing, texts.present)


def _contradictions(assertions: Mapping[str, _Assertions]) -> tuple[np.ndarray, np.ndarray]:
    """Find the faces whose local texts contradict their global text.

    Local texts describe single AUs, and a global text the whole face.

    Returns:
        Whether the local and the global text assert different states of an AU, bool [N, A], and
        whether a face has both kinds of text, bool [N].
    """
    local, face = (assertions[scope] for scope in SCOPES)
    both_assert = (local.states != _NOTHING) & (face.states != _NOTHING)
    with_both: np.ndarray = np.any(local.present, axis=1) & np.any(face.present, axis=1)
    return both_assert & (local.states != face.states), with_both


def _similarity(
    references: _Assertions, texts: _Assertions, scope: str, tokenise: Tokeniser
) -> dict[str, tuple[float, int]]:
    """Compute BLEU-4 and ROUGE-L of the local or the global texts that have a reference.

    Returns:
        By metric, such as "local_bleu4", the value and the number of texts that were compared.
    """
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


def _distinct_pairs(references: _TextColumn, texts: _TextColumn) -> Iterator[tuple[str, str, int]]:
    """Yield every distinct pair of a reference and a text, and the number of rows with this pair.

    Rows without a reference or without a text are left out.
    """
    present = (references.places >= 0) & (texts.places >= 0)
    codes = references.places[present].astype(np.int64) * len(texts.texts) + texts.places[present]
    distinct, times = np.unique(codes, return_counts=True)
    for code, count in zip(distinct.tolist(), times.tolist(), strict=True):
        reference, text = divmod(code, len(texts.texts))
        yield references.texts[reference], texts.texts[text], count
