"""How near texts come to their references, token by token: BLEU-4 (sacrebleu) and ROUGE-L.

Both take pairs with the number of times that each is there: descriptions are few and repeat, so
every distinct pair is compared once. Tokens are compared as they are, punctuation and case too.
"""

from collections.abc import Sequence

import numpy as np
from rapidfuzz.distance import LCSseq

TokenSequence = Sequence[str]
Pairs = Sequence[tuple[TokenSequence, TokenSequence, int]]
"""Pairs as (reference, candidate, how often the two are there together)."""

_ORDER = 4


def bleu4(pairs: Pairs) -> float:
    """Return BLEU-4 of a corpus with one reference a text (Papineni et al. 2002), 0 to 1.

    Matches and lengths are summed over all pairs first; then come the geometric mean of the
    four precisions and the brevity penalty. There is no smoothing: a corpus that matches no
    sequence of four tokens scores 0.

    Returns:
        NaN where no reference has four tokens: then none can be matched.
    """
    # Loaded where texts are compared, and only there.
    from sacrebleu.metrics.bleu import BLEU

    if not any(len(reference) >= _ORDER for reference, _, _ in pairs):
        return float("nan")
    scorer = BLEU(tokenize="none", effective_order=True, max_ngram_order=_ORDER)
    # Matches and offered sequences of 1 to 4 tokens, then the tokens of candidate and reference.
    sums = np.zeros(2 * _ORDER + 2, np.int64)
    for reference, candidate, times in pairs:
        found = scorer.sentence_score(" ".join(candidate), [" ".join(reference)])
        sums += times * np.array([*found.counts, *found.totals, found.sys_len, found.ref_len])
    matched, offered, (said, meant) = np.split(sums, (_ORDER, 2 * _ORDER))
    score = BLEU.compute_bleu(
        matched.tolist(), offered.tolist(), int(said), int(meant), smooth_method="none"
    )
    # Equal texts come out a rounding error above 1.
    return min(float(score.score) / 100, 1.0)


def rouge_l(pairs: Pairs) -> float:
    """Return the mean ROUGE-L F of texts with one reference each (Lin 2004, beta 1), 0 to 1.

    The figures are those of the package rouge-score with the same tokens; its own tokeniser drops
    every letter that is not Latin.

    F is twice the longest common subsequence over the tokens of both texts. NaN for no texts.
    """
    total = texts = 0.0
    for reference, candidate, times in pairs:
        common = LCSseq.similarity(reference, candidate)
        total += times * 2 * common / max(len(reference) + len(candidate), 1)
        texts += times
    return total / texts if texts else float("nan")
