"""Captions without their padding: which words there are, and what was predicted for them."""

from dataclasses import dataclass

import torch
from torch import Tensor

PAD, BOS, EOS, UNK = 0, 1, 2, 3


@dataclass(frozen=True)
class PackedWords:
    """The real words of a batch of teacher-forcing sequences, time by time, longest row first.

    At time t the first `steps[t]` of the sorted rows still have a word; N = sum(steps). Rows
    without any word are not there at all.

    Attributes:
        order: [R'] long, the row of each sorted place.
        steps: rows that have a word at time 0, 1, ..
        inputs: [N] long, the word that is fed.
        targets: [N] long, the word that is to be predicted, end of sentence included.
        rows: [N] long, the row that each word belongs to.
        lengths: [R] long, words to predict per row, 0 where the row is all padding.
    """

    order: Tensor
    steps: tuple[int, ...]
    inputs: Tensor
    targets: Tensor
    rows: Tensor
    lengths: Tensor


def pack_words(tokens: Tensor) -> PackedWords:
    """Pack sequences [R, T] of <bos> words <eos> <pad>.. ; a row of <pad> alone has no caption."""
    targets = tokens[:, 1:]
    lengths = (targets != PAD).sum(dim=1)
    order = torch.argsort(lengths, descending=True, stable=True)
    on_host = lengths.cpu()  # the only wait for the device
    longest = int(on_host.max()) if len(on_host) else 0
    steps = tuple((on_host > torch.arange(longest)[:, None]).sum(dim=1).tolist())
    order = order[: steps[0] if steps else 0]
    times = torch.arange(longest, device=tokens.device)
    present = times[:, None] < lengths[order]  # [T', R']
    return PackedWords(
        order=order,
        steps=steps,
        inputs=tokens[order, :longest].t()[present],
        targets=targets[order, :longest].t()[present],
        rows=order.expand(longest, -1)[present],
        lengths=lengths,
    )


@dataclass(frozen=True)
class WordLogits:
    """Word predictions of R captions, on their N real words only.

    Attributes:
        logits: [N, V], logits.
        targets: [N] long, the word that stands there; <eos> is in, <pad> is not.
        rows: [N] long, 0..R-1, the caption that each word belongs to. Local captions are folded
            as image * A + AU.
        lengths: [R] long, words per caption, 0 where there is none.
    """

    logits: Tensor
    targets: Tensor
    rows: Tensor
    lengths: Tensor

    def mean_per_row(self, values: Tensor) -> Tensor:
        """Per-word values [N, ..] -> their mean per caption [R, ..]; 0 where there is none."""
        total = values.new_zeros(len(self.lengths), *values.shape[1:])
        share = self.lengths.clamp(min=1).to(values.dtype).reciprocal()
        return total.index_add(0, self.rows, values) * share.view(-1, *[1] * (values.dim() - 1))

    def hits(self, k: int = 5) -> Tensor:
        """Whether each real word is among the k most probable: [N] bool (top-k accuracy)."""
        k = min(k, self.logits.shape[1])
        return (self.logits.topk(k, dim=1).indices == self.targets[:, None]).any(dim=1)

    def padded(self) -> Tensor:
        """The logits as [R, T, V], zero where there is no word. For small batches and tests."""
        longest = int(self.lengths.max()) if len(self.lengths) else 0
        grid = self.logits.new_zeros(len(self.lengths), longest, self.logits.shape[1])
        times = torch.zeros_like(self.rows)
        for row in range(len(self.lengths)):
            mine = self.rows == row
            times[mine] = torch.arange(int(mine.sum()), device=times.device)
        return grid.index_put((self.rows, times), self.logits)
