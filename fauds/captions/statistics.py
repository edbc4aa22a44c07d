"""Computes statistics of a dataset's captions: counts, lengths, words and AU combinations.

The tables are read in pieces, so that they need not fit in memory.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fauds.captions.caption_tables import BuiltCaptions
from fauds.captions.phrases import active_aus
from fauds.captions.vocabulary import is_special
from fauds.facs import STATES
from fauds.tables import store
from fauds.tables.columns import to_numpy


@dataclass(frozen=True)
class AuCount:
    """Numbers of frames in which an action unit is coded, active, and described in each state.

    Attributes:
        au: the action unit's canonical name.
        coded: the number of frames in which the action unit is coded.
        active: the number of frames in which the action unit occurs.
        states: the number of frames whose captions describe the action unit in each state; the
            keys are "inactive", "active", and "A" to "E" (intensities) if captions have degrees.
    """

    au: str
    coded: int
    active: int
    states: dict[str, int]


@dataclass(frozen=True)
class Lengths:
    """The least, median, mean and greatest length of some descriptions, in tokens or words.

    All values are 0 if there are no descriptions.
    """

    least: int
    median: float
    mean: float
    most: int


@dataclass(frozen=True)
class Scope:
    """Statistics of the local descriptions (of single AUs) or of the global ones (of whole faces).

    Attributes:
        phrases: the number of distinct descriptions in the phrases table.
        used: the number of distinct descriptions that at least one frame has.
        by_variant: the number of distinct descriptions with paraphrase number 0, 1 and so on.
        count: the number of descriptions over all frames: one per frame (global), or one per frame
            and coded action unit (local).
        tokens: lengths in tokens, with punctuation, over the descriptions of all frames.
        words: lengths in tokens without punctuation, over the descriptions of all frames.
        distinct_tokens: like `tokens`, with every distinct description counted once.
        distinct_words: like `words`, with every distinct description counted once.
        token_histogram: the number of descriptions over all frames of each length in tokens; the
            keys are the lengths.
        vocabulary: the number of tokens in the vocabulary, including special ones such as <eos>.
        word_counts: the number of occurrences of each word, in lower case, over the descriptions
            of all frames, sorted by decreasing count; words that do not occur are last, with 0.
    """

    phrases: int
    used: int
    by_variant: tuple[int, ...]
    count: int
    tokens: Lengths
    words: Lengths
    distinct_tokens: Lengths
    distinct_words: Lengths
    token_histogram: dict[int, int]
    vocabulary: int
    word_counts: dict[str, int]


@dataclass(frozen=True)
class Combination:
    """The frames on which exactly the same action units are active.

    Attributes:
        aus: the names of all active action units.
        frames: the number of frames on which exactly these action units are active.
        text: the most frequent description of the face in these frames.
    """

    aus: tuple[str, ...]
    frames: int
    text: str


@dataclass(frozen=True)
class Statistics:
    """Statistics of a dataset's captions.

    Attributes:
        dataset: the dataset's name.
        synthetic: whether the dataset is synthetic.
        settings: the settings of the captions; see `fauds.captions.caption_tables.BuiltCaptions`.
        frames: the number of frames.
        subjects: the number of subjects.
        described: the number of frames with a global description (of the whole face); these are the
            frames in which every action unit is coded.
        aus: the counts of each action unit, in FACS order.
        local: the statistics of the local descriptions (of one action unit).
        face: the statistics of the global descriptions.
        at_once: the number of frames with a global description in which 0, 1, 2 and so on action
            units are active; the keys are the numbers of active action units.
        combinations: all combinations of active action units, the most frequent first.
    """

    dataset: str
    synthetic: bool
    settings: dict[str, Any]
    frames: int
    subjects: int
    described: int
    aus: tuple[AuCount, ...]
    local: Scope
    face: Scope
    at_once: dict[int, int]
    combinations: tuple[Combination, ...]


def caption_statistics(built: BuiltCaptions) -> Statistics:
    """Return the statistics of a dataset's captions: counts, lengths, words and combinations.

    Args:
        built: the dataset's caption tables.

    Raises:
        DataError: the frames and captions tables hold different frames.
    """
    counts = _Tallies(built)
    for part in built.read(["subject", *built.aus], [*built.aus, "face"]):
        counts.add(part)
    phrases = store.read_table(built.path("phrases")).to_pylist()
    vocabulary = store.read_table(built.path("vocabulary")).to_pylist()
    for phrase in phrases:
        phrase["frames"] = counts.texts[phrase["au"] or "face"][phrase["text"]]
    face = [phrase for phrase in phrases if phrase["scope"] == "global"]
    combinations = _combinations(face)
    return Statistics(
        dataset=built.dataset,
        synthetic=built.synthetic,
        settings=built.settings,
        frames=built.rows,
        subjects=len(counts.subjects),
        described=counts.texts["face"].total(),
        aus=tuple(_au_count(au, counts, phrases) for au in built.aus),
        local=_scope("local", phrases, vocabulary),
        face=_scope("global", phrases, vocabulary),
        at_once=_at_once(combinations),
        combinations=combinations,
    )


class _Tallies:
    """Counts over the frames read so far.

    Attributes:
        subjects: the names of the subjects.
        coded: the number of frames in which each action unit is coded.
        active: the number of frames in which each action unit occurs.
        texts: for each action unit and for "face", the number of frames with each description.
    """

    def __init__(self, built: BuiltCaptions) -> None:
        self.subjects: set[str] = set()
        self.coded: Counter[str] = Counter()
        self.active: Counter[str] = Counter()
        self.texts: dict[str, Counter[str]] = {name: Counter() for name in (*built.aus, "face")}

    def add(self, part: pa.Table) -> None:
        """Add the counts of some frames, a table that `BuiltCaptions.read` yields."""
        self.subjects |= set(part["subject"].unique().to_pylist())
        for name, counts in self.texts.items():
            for text, frames in _tally(part[f"{name}_text"]).items():
                counts[text] += frames
            if name != "face":
                self.coded[name] += len(part) - part[name].null_count
                self.active[name] += pc.sum(part[name]).as_py() or 0


def _tally(column: pa.ChunkedArray) -> Counter[str]:
    """Return how often each value occurs in a dictionary column; nulls are not counted."""
    tallies: Counter[str] = Counter()
    for chunk in column.chunks:
        values = to_numpy(pa.chunked_array([chunk.indices.drop_null()]))
        counts = np.bincount(values, minlength=len(chunk.dictionary))
        for text, frames in zip(chunk.dictionary.to_pylist(), counts.tolist(), strict=True):
            if frames:
                tallies[text] += frames
    return tallies


def _au_count(au: str, counts: _Tallies, phrases: Iterable[Mapping[str, Any]]) -> AuCount:
    states: Counter[str] = Counter()
    for phrase in phrases:
        if phrase["au"] == au:
            states[phrase["state"]] += phrase["frames"]
    in_order = {state: states[state] for state in STATES if state in states}
    return AuCount(au, counts.coded[au], counts.active[au], in_order)


def _scope(
    name: str, phrases: Iterable[Mapping[str, Any]], vocabulary: Iterable[Mapping[str, Any]]
) -> Scope:
    scope_phrases = [phrase for phrase in phrases if phrase["scope"] == name]
    rows = [row for row in vocabulary if row["scope"] == name]
    is_word = np.array([_is_word(row["token"]) for row in sorted(rows, key=lambda r: r["id"])])
    frames = np.array([phrase["frames"] for phrase in scope_phrases], np.int64)
    # <bos> and <eos> do not count.
    tokens = np.array([len(phrase["tokens"]) - 2 for phrase in scope_phrases], np.int64)
    words = np.array([is_word[phrase["tokens"]].sum() for phrase in scope_phrases], np.int64)
    variants = Counter(phrase["variant"] for phrase in scope_phrases)
    once = np.ones_like(frames)
    return Scope(
        phrases=len(scope_phrases),
        used=int((frames > 0).sum()),
        by_variant=tuple(variants[at] for at in sorted(variants)),
        count=int(frames.sum()),
        tokens=_lengths(tokens, frames),
        words=_lengths(words, frames),
        distinct_tokens=_lengths(tokens, once),
        distinct_words=_lengths(words, once),
        token_histogram=_histogram(tokens, frames),
        vocabulary=len(rows),
        word_counts=_word_counts(rows),
    )


def _is_word(token: str) -> bool:
    return not is_special(token) and any(letter.isalnum() for letter in token)


def _lengths(lengths: np.ndarray, counts: np.ndarray) -> Lengths:
    """Return the least, median, mean and greatest of some lengths.

    Args:
        lengths: the lengths of descriptions, in tokens or words, int [n].
        counts: the number of times to count each of the lengths, int [n].
    """
    total = int(counts.sum())
    if not total:
        return Lengths(0, 0.0, 0.0, 0)
    order = np.argsort(lengths)
    lengths, ends = lengths[order], np.cumsum(counts[order])
    # The median is the middle length, or the mean of the two lengths in the middle.
    middle = np.searchsorted(ends, [(total - 1) // 2, total // 2], side="right")
    present = lengths[counts[order] > 0]
    return Lengths(
        least=int(present[0]),
        median=float(lengths[middle].mean()),
        mean=float((lengths * counts[order]).sum() / total),
        most=int(present[-1]),
    )


def _histogram(lengths: np.ndarray, counts: np.ndarray) -> dict[int, int]:
    histogram: Counter[int] = Counter()
    for length, count in zip(lengths.tolist(), counts.tolist(), strict=True):
        if count:
            histogram[length] += count
    return dict(sorted(histogram.items()))


def _word_counts(vocabulary: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Return how often each word (the key, in lower case) occurs, the most frequent word first.

    Args:
        vocabulary: rows of the vocabulary table, where a word can have several rows: in
            upper and lower case, with and without a blank after the word.
    """
    counts: Counter[str] = Counter()
    for row in vocabulary:
        if _is_word(row["token"]):
            counts[row["token"].lower()] += row["count"]
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _combinations(face: Iterable[Mapping[str, Any]]) -> tuple[Combination, ...]:
    frames: Counter[tuple[str, ...]] = Counter()
    most_frequent: dict[tuple[str, ...], Mapping[str, Any]] = {}
    for phrase in face:
        # Sexes and paraphrases may share a text, combinations never: the state names its AUs.
        aus = active_aus(phrase["state"])
        frames[aus] += phrase["frames"]
        if aus not in most_frequent or phrase["frames"] > most_frequent[aus]["frames"]:
            most_frequent[aus] = phrase
    ordered = sorted(frames.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Combination(aus, count, most_frequent[aus]["text"]) for aus, count in ordered)


def _at_once(combinations: Iterable[Combination]) -> dict[int, int]:
    counts: Counter[int] = Counter()
    for combination in combinations:
        counts[len(combination.aus)] += combination.frames
    most = max(counts, default=0)
    return {number: counts[number] for number in range(most + 1)}
