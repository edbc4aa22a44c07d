"""Token-based similarity of texts to their references: BLEU-4 (by sacrebleu) and ROUGE-L.

Both metrics take the distinct pairs of a reference and a candidate text, with the number of times
that each pair occurs. There are few distinct descriptions, and so few pairs to compare. Tokens are
compared as they are, with punctuation and case.
"""

from collections.abc import Sequence

import numpy as np
from rapidfuzz.distance import LCSseq

TokenSequence = Sequence[str]
Pairs = Sequence[tuple[TokenSequence, TokenSequence, int]]
"""Pairs of texts as (reference, candidate, number of occurrences of the pair)."""

_ORDER = 4


def bleu4(pairs: Pairs) -> float:
    """Return BLEU-4 of a corpus with one reference per text (Papineni et al. 2002).

    BLEU-4 is the geometric mean of the precisions of sequences of one to four tokens, times the
    brevity penalty; matches and lengths are summed over all pairs first. There is no smoothing: if
    no sequence of four tokens matches, BLEU-4 is 0.

    Args:
        pairs: tuples of the tokens of a reference, the tokens of the candidate text, and the number
            of times that this pair occurs.

    Returns:
        BLEU-4, 0 to 1; NaN if no reference has four tokens, so that nothing could match.
    """
    # sacrebleu takes long to import, and most users of this package do not compare texts.
    from sacrebleu.metrics.bleu import BLEU

    if not any(len(reference) >= _ORDER for reference, _, _ in pairs):
        return float("nan")
    scorer = BLEU(tokenize="none", effective_order=True, max_ngram_order=_ORDER)
    # Matches and candidate sequences of 1 to 4 tokens, then the lengths of candidate and reference.
    sums = np.zeros(2 * _ORDER + 2, np.int64)
    for reference, candidate, times in pairs:
        result = scorer.sentence_score(" ".join(candidate), [" ".join(reference)])
        sums += times * np.array([*result.counts, *result.totals, result.sys_len, result.ref_len])
    matched, candidate_ngrams, (candidate_tokens, reference_tokens) = np.split(
        sums, (_ORDER, 2 * _ORDER)
    )
    score = BLEU.compute_bleu(
        matched.tolist(),
        candidate_ngrams.tolist(),
        int(candidate_tokens),
        int(reference_tokens),
        smooth_method="none",
    )
    # Due to rounding, equal texts score slightly above 1.
    return min(float(score.score) / 100, 1.0)


def rouge_l(pairs: Pairs) -> float:
    """Return the mean ROUGE-L F score of texts with one reference each (Lin 2004, beta 1).

    The F score of a pair is twice the length of the longest common subsequence of tokens, divided
    by the sum of the numbers of tokens of both texts. The package rouge-score gives the same values
    for the same tokens, but its own tokeniser removes all letters that are not Latin.

    Args:
        pairs: tuples of the tokens of a reference, the tokens of the candidate text, and the number
            of times that this pair occurs.

    Returns:
        The mean F score, 0 to 1, over pairs weighted by how often they occur; NaN for no pairs.
    """
    total = texts = 0.0
    for reference, candidate, times in pairs:
        common = LCSseq.similarity(reference, candidate)
        total += times * 2 * common / max(len(reference) + len(candidate), 1)
        texts += times
    return total / texts if texts else float("nan")
