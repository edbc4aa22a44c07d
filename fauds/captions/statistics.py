"""Counts of what the captions of a dataset say, from its tables, a row group at a time."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fauds.captions.caption_tables import Built
from fauds.captions.phrases import NOTHING
from fauds.captions.vocabulary import SPECIALS
from fauds.facs import STATES
from fauds.tables import store
from fauds.tables.columns import to_numpy


@dataclass(frozen=True)
class AuCount:
    """How often an action unit is coded, active, and in each state that captions say.

    Attributes:
        au: canonical name.
        coded: frames in which it is coded.
        active: frames in which it occurs.
        states: frames by state; with degrees "A" to "E" among them.
    """

    au: str
    coded: int
    active: int
    states: dict[str, int]


@dataclass(frozen=True)
class Lengths:
    """Lengths of descriptions; all 0 where there are none."""

    least: int
    median: float
    mean: float
    most: int


@dataclass(frozen=True)
class Scope:
    """The local descriptions, or the global ones.

    Attributes:
        phrases: distinct descriptions that there are (local), or that frames have (global).
        used: distinct descriptions that frames have.
        by_variant: distinct descriptions of each paraphrase.
        said: how often frames have any; up to once a frame and action unit.
        tokens: lengths in tokens, punctuation among them, over all that frames have.
        words: lengths in tokens that are no punctuation.
        distinct_tokens: like `tokens`, every distinct description counted once.
        distinct_words: like `words`.
        token_histogram: how often frames have a description, by its tokens.
        vocabulary: its size, the special tokens among it.
        word_counts: how often frames say each word, in lower case, most frequent first; words
            that no frame says are last, with 0.
    """

    phrases: int
    used: int
    by_variant: tuple[int, ...]
    said: int
    tokens: Lengths
    words: Lengths
    distinct_tokens: Lengths
    distinct_words: Lengths
    token_histogram: dict[int, int]
    vocabulary: int
    word_counts: dict[str, int]


@dataclass(frozen=True)
class Combination:
    """Frames with exactly these action units active, and what is said of most of them."""

    aus: tuple[str, ...]
    frames: int
    text: str


@dataclass(frozen=True)
class Statistics:
    """What the captions of a dataset say.

    Attributes:
        dataset: its name.
        synthetic: whether it is made up.
        settings: how captions were made.
        frames: how many there are.
        subjects: how many there are.
        described: frames with a global description: every action unit is coded.
        aus: counts by action unit, in FACS order.
        local: the descriptions of action units.
        face: the global descriptions.
        at_once: frames by the number of action units active, of those described.
        combinations: all, the most frequent first.
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


def compute(built: Built) -> Statistics:
    """Return the statistics of a dataset's captions.

    Raises:
        DataError: the tables are of different frames.
    """
    counts = _Tallies(built)
    for part in built.read(["subject", *built.aus], [*built.aus, "face"]):
        counts.add(part)
    phrases = store.read_table(built.path("phrases")).to_pylist()
    vocabulary = store.read_table(built.path("vocabulary")).to_pylist()
    for phrase in phrases:
        phrase["frames"] = counts.said[phrase["au"] or "face"][phrase["text"]]
    face = [phrase for phrase in phrases if phrase["scope"] == "global"]
    combinations = _combinations(face)
    return Statistics(
        dataset=built.dataset,
        synthetic=built.synthetic,
        settings=built.settings,
        frames=built.rows,
        subjects=len(counts.subjects),
        described=counts.said["face"].total(),
        aus=tuple(_au_count(au, counts, phrases) for au in built.aus),
        local=_scope("local", phrases, vocabulary),
        face=_scope("global", phrases, vocabulary),
        at_once=_at_once(combinations),
        combinations=combinations,
    )


class _Tallies:
    """What is counted row by row: occurrence, and every distinct text."""

    def __init__(self, built: Built) -> None:
        self.subjects: set[str] = set()
        self.coded: Counter[str] = Counter()
        self.active: Counter[str] = Counter()
        self.said: dict[str, Counter[str]] = {name: Counter() for name in (*built.aus, "face")}

    def add(self, part: pa.Table) -> None:
        """Count some frames; see `Built.read`."""
        self.subjects |= set(part["subject"].unique().to_pylist())
        for name, texts in self.said.items():
            for text, frames in _tally(part[f"{name}_text"]).items():
                texts[text] += frames
            if name != "face":
                self.coded[name] += len(part) - part[name].null_count
                self.active[name] += pc.sum(part[name]).as_py() or 0


def _tally(column: pa.ChunkedArray) -> Counter[str]:
    """Return how often each value of a dictionary column is there, nulls left out."""
    found: Counter[str] = Counter()
    for chunk in column.chunks:
        codes = to_numpy(pa.chunked_array([chunk.indices.drop_null()]))
        counts = np.bincount(codes, minlength=len(chunk.dictionary))
        for text, frames in zip(chunk.dictionary.to_pylist(), counts.tolist(), strict=True):
            if frames:
                found[text] += frames
    return found


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
    scoped = [phrase for phrase in phrases if phrase["scope"] == name]
    known = [row for row in vocabulary if row["scope"] == name]
    is_word = np.array([_is_word(row["token"]) for row in sorted(known, key=lambda r: r["id"])])
    frames = np.array([phrase["frames"] for phrase in scoped], np.int64)
    # Without the begin and the end.
    tokens = np.array([len(phrase["tokens"]) - 2 for phrase in scoped], np.int64)
    words = np.array([is_word[phrase["tokens"]].sum() for phrase in scoped], np.int64)
    variants = Counter(phrase["variant"] for phrase in scoped)
    once = np.ones_like(frames)
    return Scope(
        phrases=len(scoped),
        used=int((frames > 0).sum()),
        by_variant=tuple(variants[at] for at in sorted(variants)),
        said=int(frames.sum()),
        tokens=_lengths(tokens, frames),
        words=_lengths(words, frames),
        distinct_tokens=_lengths(tokens, once),
        distinct_words=_lengths(words, once),
        token_histogram=_histogram(tokens, frames),
        vocabulary=len(known),
        word_counts=_word_counts(known),
    )


def _is_word(token: str) -> bool:
    return token not in SPECIALS and any(letter.isalnum() for letter in token)


def _lengths(lengths: np.ndarray, times: np.ndarray) -> Lengths:
    """Return the lengths of descriptions, each counted so many times."""
    total = int(times.sum())
    if not total:
        return Lengths(0, 0.0, 0.0, 0)
    order = np.argsort(lengths)
    lengths, ends = lengths[order], np.cumsum(times[order])
    # The middle one, or the mean of the two beside the middle.
    middle = np.searchsorted(ends, [(total - 1) // 2, total // 2], side="right")
    there = lengths[times[order] > 0]
    return Lengths(
        least=int(there[0]),
        median=float(lengths[middle].mean()),
        mean=float((lengths * times[order]).sum() / total),
        most=int(there[-1]),
    )


def _histogram(lengths: np.ndarray, times: np.ndarray) -> dict[int, int]:
    found: Counter[int] = Counter()
    for length, frames in zip(lengths.tolist(), times.tolist(), strict=True):
        if frames:
            found[length] += frames
    return dict(sorted(found.items()))


def _word_counts(known: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Return how often each word is said, in lower case, with a blank after it or not."""
    counts: Counter[str] = Counter()
    for row in known:
        if _is_word(row["token"]):
            counts[row["token"].lower()] += row["count"]
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _combinations(face: Iterable[Mapping[str, Any]]) -> tuple[Combination, ...]:
    frames: Counter[tuple[str, ...]] = Counter()
    most: dict[tuple[str, ...], Mapping[str, Any]] = {}
    for phrase in face:
        # Sexes and paraphrases may be said alike, combinations never: state names the one.
        said = phrase["state"].partition(":")[2]
        aus = () if said == NOTHING else tuple(said.split("+"))
        frames[aus] += phrase["frames"]
        if aus not in most or phrase["frames"] > most[aus]["frames"]:
            most[aus] = phrase
    ordered = sorted(frames.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Combination(aus, count, most[aus]["text"]) for aus, count in ordered)


def _at_once(combinations: Iterable[Combination]) -> dict[int, int]:
    found: Counter[int] = Counter()
    for combination in combinations:
        found[len(combination.aus)] += combination.frames
    most = max(found, default=0)
    return {number: found[number] for number in range(most + 1)}
