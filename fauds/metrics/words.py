"""Top-k accuracy of predicting a caption's next word without an image: a baseline for decoders."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

TokenisedCaptions = Iterable[tuple[Sequence[int], int]]
"""Captions as (word ids from <bos> to <eos>, number of frames with this caption)."""

_ORDER = 4


class NoImageBaseline:
    """Predicts the next word of a caption from the previous words, without an image.

    Candidates for the next word are ranked by how often they follow the same beginning of a caption
    in training. If no training caption has this beginning, they are ranked by how often they follow
    the longest sequence of at most four previous words that the training captions contain. On the
    training captions themselves, no decoder without an image can reach a higher accuracy.

    Args:
        captions: the captions of the training frames, as tuples of the word ids from <bos> to <eos>
            and the number of frames with this caption.
        k: the number of highest-ranked words to consider; the prediction is right (a hit) if the
            next word is one of these k words.
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
        self._beginnings = {node: _most_frequent(counts, k) for node, counts in beginnings.items()}
        self._endings = {context: _most_frequent(counts, k) for context, counts in endings.items()}

    def hits(self, words: Sequence[int], counted: Sequence[bool] | None = None) -> int:
        """Return how many words of a caption are predicted correctly.

        A word is predicted correctly if it is one of the k words that are ranked highest after the
        words before it. All words after <bos> are predicted, also <eos>.

        Args:
            words: the ids of the caption's words, from <bos> to <eos>.
            counted: for each of the ids, whether a hit counts; None to count all.
        """
        node: int | None = 0
        count = 0
        for i in range(1, len(words)):
            node = None if node is None else self._children.get((node, words[i - 1]))
            if counted is None or counted[i]:
                count += words[i] in self._predicted(node, words[:i])
        return count

    def _predicted(self, node: int | None, before: Sequence[int]) -> frozenset[int]:
        if node in self._beginnings:
            return self._beginnings[node]
        for order in range(min(len(before), _ORDER), -1, -1):
            context = tuple(before[len(before) - order :])
            if context in self._endings:
                return self._endings[context]
        return frozenset()

    def accuracy(self, captions: TokenisedCaptions) -> float:
        """Return the share of words of some captions that are predicted correctly, 0 to 1.

        A word is predicted correctly if it is one of the k words that are ranked highest. The share
        is NaN if there are no captions.

        Args:
            captions: tuples of the word ids of a caption, from <bos> to <eos>, and the number of
                frames with this caption.
        """
        hits = total = 0
        for words, times in captions:
            hits += self.hits(words) * times
            total += (len(words) - 1) * times
        return hits / total if total else float("nan")


def _most_frequent(counts: Counter[int], k: int) -> frozenset[int]:
    return frozenset(sorted(counts, key=lambda word: (-counts[word], word))[:k])
