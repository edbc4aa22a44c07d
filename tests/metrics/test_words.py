"""The no-image word baseline, compared with a plain count over all training captions."""

from collections import Counter

import numpy as np

from fauds.metrics.words import NoImageBaseline

BOS, EOS = 1, 2


def plain_hits(train, words, k):
    """Count hits by going through all training captions for every word."""
    hits = 0
    for i in range(1, len(words)):
        counts = Counter()
        for caption, times in train:
            if len(caption) > i and caption[:i] == words[:i]:
                counts[caption[i]] += times
        for order in range(min(i, 4), -1, -1):
            if counts:
                break
            ending = words[i - order : i]
            for caption, times in train:
                for j in range(1, len(caption)):
                    if j >= order and caption[j - order : j] == ending:
                        counts[caption[j]] += times
        best = sorted(counts, key=lambda word: (-counts[word], word))[:k]
        hits += words[i] in best
    return hits


def random_captions(rng, n):
    return [
        ([BOS, *rng.integers(3, 9, rng.integers(0, 8)).tolist(), EOS], int(rng.integers(1, 5)))
        for _ in range(n)
    ]


def test_hits_equal_those_of_a_plain_count():
    rng = np.random.default_rng(0)
    for k in (1, 2, 5):
        train, test = random_captions(rng, 12), random_captions(rng, 12)
        guesser = NoImageBaseline(train, k)
        for words, _ in test + train:
            assert guesser.hits(words) == plain_hits(train, words, k)


def test_accuracy_weights_captions_by_their_frames():
    guesser = NoImageBaseline([([1, 5, 2], 1)], k=1)
    assert guesser.accuracy([([1, 5, 2], 3), ([1, 6, 2], 1)]) == (3 * 2 + 1) / 8
    assert np.isnan(guesser.accuracy([]))


def test_five_guesses_always_hit_if_there_are_only_two_captions():
    captions = [([1, 5, 6, 7, 2], 9), ([1, 5, 8, 2], 1)]
    assert NoImageBaseline(captions).accuracy(captions) == 1
