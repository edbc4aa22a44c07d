"""Word top-k accuracy that needs no image: how much a closed set of captions gives away."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

TokenisedCaptions = Iterable[tuple[Sequence[int], int]]
"""Captions as (words with <bos> first and <eos> last, how many frames have it)."""

_ORDER = 4


class NoImageWords:
    """The best guess of the next word from the words before it alone, without any image.

    It ranks next words by their count in the training captions after exactly the same beginning,
    and, where that beginning was never seen, after the longest ending of at most four words that
    was. On captions seen in training this is the best that any decoder without an image can do.

    Args:
        captions: the training part's captions.
        k: how many ranked words count as a hit.
    """

    def __init__(self, captions: TokenisedCaptions, k: int = 5) -> None:
        self._children: dict[tuple[int, int], int] = {}
        beginnings: dict[int, Counter[int]] = defaultdict(Counter)
        endings: dict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
        for words, times in captions:
            node = 0
            for i in range(1, len(words)):
                node = self._children.setdefault((node, words[i - 1]), len(self._children) + 1)
                beginnings[node][words[i]] += times
                for order in range(min(i, _ORDER) + 1):
                    endings[tuple(words[i - order : i])][words[i]] += times
        self._beginnings = {node: _best(counts, k) for node, counts in beginnings.items()}
        self._endings = {context: _best(counts, k) for context, counts in endings.items()}

    def hits(self, words: Sequence[int]) -> int:
        """Return how many words after <bos>, <eos> included, are among the k best guesses."""
        node: int | None = 0
        found = 0
        for i in range(1, len(words)):
            node = None if node is None else self._children.get((node, words[i - 1]))
            found += words[i] in self._guess(node, words[:i])
        return found

    def _guess(self, node: int | None, before: Sequence[int]) -> frozenset[int]:
        if node in self._beginnings:
            return self._beginnings[node]
        for order in range(min(len(before), _ORDER), -1, -1):
            context = tuple(before[len(before) - order :])
            if context in self._endings:
                return self._endings[context]
        return frozenset()

    def accuracy(self, captions: TokenisedCaptions) -> float:
        """Return top-k accuracy over all words of all frames' captions; NaN for none."""
        hits = total = 0
        for words, times in captions:
            hits += self.hits(words) * times
            total += (len(words) - 1) * times
        return hits / total if total else float("nan")


def _best(counts: Counter[int], k: int) -> frozenset[int]:
    return frozenset(sorted(counts, key=lambda word: (-counts[word], word))[:k])
