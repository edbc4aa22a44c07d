"""How near texts come to their references, token by token: BLEU-4 and ROUGE-L.

Both take pairs with the number of times that each is there: descriptions are few and repeat, so
every distinct pair is compared once. Tokens are compared as they are, punctuation and case too.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from rapidfuzz.distance import LCSseq
from scipy import sparse

TokenSequence = Sequence[str]
Pairs = Sequence[tuple[TokenSequence, TokenSequence, int]]
"""Pairs as (reference, candidate, how often the two are there together)."""

_ORDER = 4
_STEP = 16 * 1024  # pairs at once; some 30 MB


def bleu4(pairs: Pairs) -> float:
    """Return BLEU-4 of a corpus with one reference a text (Papineni et al. 2002), 0 to 1.

    Matches and lengths are summed over all pairs first; then come the geometric mean of the
    four precisions and the brevity penalty. There is no smoothing: a corpus that matches no
    sequence of four tokens scores 0.

    Returns:
        NaN where no reference has four tokens: then none can be matched.
    """
    places: dict[tuple[str, ...], int] = {}
    rows = [[places.setdefault(tuple(text), len(places)) for text in pair[:2]] for pair in pairs]
    meant, said = np.array(rows, np.int64).reshape(-1, 2).T
    times = np.array([pair[2] for pair in pairs], np.int64)
    lengths = np.array([len(text) for text in places], np.int64)
    if not (lengths[meant] >= _ORDER).any():
        return float("nan")
    matched = np.array([_matched(counts, meant, said, times) for counts in _sequences([*places])])
    if not matched.all():
        return 0.0
    offered = [times @ np.maximum(lengths[said] - shorter, 0) for shorter in range(_ORDER)]
    brevity = min(0.0, 1 - times @ lengths[meant] / (times @ lengths[said]))
    return float(np.exp(np.log(matched / offered).mean() + brevity))


def rouge_l(pairs: Pairs) -> float:
    """Return the mean ROUGE-L F of texts with one reference each (Lin 2004, beta 1), 0 to 1.

    F is twice the longest common subsequence over the tokens of both texts. NaN for no texts.
    """
    total = texts = 0.0
    for reference, candidate, times in pairs:
        common = LCSseq.similarity(reference, candidate)
        total += times * 2 * common / max(len(reference) + len(candidate), 1)
        texts += times
    return total / texts if texts else float("nan")


def _sequences(texts: Sequence[TokenSequence]) -> Iterator[sparse.csr_array]:
    """Yield, for 1 to 4 tokens, how often each text has each sequence, int64 [texts, sequences]."""
    words: dict[str, int] = {}
    tokens = np.array(
        [words.setdefault(token, len(words)) for text in texts for token in text], np.int64
    )
    owners = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
    starts, sequences = np.arange(len(tokens)), tokens
    for order in range(_ORDER):
        if order:
            longer = starts + order < len(tokens)
            longer[longer] = owners[starts[longer]] == owners[starts[longer] + order]
            starts = starts[longer]
            pairs = sequences[longer] * len(words) + tokens[starts + order]
            sequences = np.unique(pairs, return_inverse=True)[1]
        shape = (len(texts), sequences.max(initial=0) + 1)
        once = np.ones(len(starts), np.int64)
        yield sparse.csr_array((once, (owners[starts], sequences)), shape)


def _matched(
    counts: sparse.csr_array, meant: np.ndarray, said: np.ndarray, times: np.ndarray
) -> int:
    """Return how many sequences of the candidates are matched, each of a reference once."""
    parts = (slice(begin, begin + _STEP) for begin in range(0, len(times), _STEP))
    return sum(
        int(times[part] @ counts[meant[part]].minimum(counts[said[part]]).sum(axis=1))
        for part in parts
    )
