"""Finds the words of descriptions that depend on what is described.

Among all texts that could be said of one action unit, most words are determined by the words before
them: after "One or both lip", "corners" follows whatever the image shows. A decision word is a word
in whose place another text continues otherwise, so that the image decides.
"""

from collections.abc import Sequence

import numpy as np


def decision_words(texts: Sequence[Sequence[int]]) -> list[np.ndarray]:
    """Return which tokens of some texts are not determined by the tokens before them.

    Args:
        texts: the token ids of all texts that could be said in one place, such as the descriptions
            of one action unit, each with a start token and <eos>. Equal texts may be repeated.

    Returns:
        For each text, bool [tokens]: True where another of the texts begins with the same tokens
        and goes on with another one. The start token is never a decision word; if texts begin with
        different start tokens (paraphrases), only those with the same one are compared.
    """
    if not texts:
        return []
    longest = max(map(len, texts))
    ids = np.full((len(texts), longest), -1, np.int64)
    for row, text in zip(ids, texts, strict=True):
        row[: len(text)] = text
    order = np.lexsort(ids.T[::-1])
    ids = ids[order]
    decides = np.zeros(ids.shape, bool)
    # Texts that share the first tokens are consecutive rows: `same` says it of a row and the last.
    same = np.ones(len(ids) - 1, bool)
    for at in range(longest):
        equal = ids[1:, at] == ids[:-1, at]
        branches = np.concatenate([[False], same & ~equal])
        groups = np.cumsum(np.concatenate([[True], ~same])) - 1
        branching = np.bincount(groups, branches) > 0
        decides[:, at] = branching[groups] & (ids[:, at] >= 0) & (at > 0)
        same &= equal
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    return [row[: len(text)].copy() for row, text in zip(decides[back], texts, strict=True)]
