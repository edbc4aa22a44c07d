"""Captions as tokens without padding, and the logits that a decoder predicts for their words."""

from dataclasses import dataclass

import torch
from torch import Tensor

from fauds.nn.transfer import send

PAD, BOS, EOS, UNK = 0, 1, 2, 3


@dataclass(frozen=True)
class PackedWords:
    """The N words of R captions without padding, for teacher forcing.

    The first words of all captions are stored before all second words, and so on. Words at the
    same place in their captions are ordered by the length of the caption, the longest first.
    So the captions that still have a word at time t are always the first `steps[t]` captions in
    this order. Captions without words are left out.

    Attributes:
        order: [R'] long, the row numbers of the captions with words, the longest caption first.
        steps: the number of captions that have a word at time 0, at time 1, and so on; the sum
            is N.
        inputs: [N] long, the words that are fed, <bos> included.
        targets: [N] long, the words to predict, that is the word after each input, <eos> included.
        rows: [N] long, the row number of the caption that each word belongs to.
        lengths: [R] long, the number of words to predict in each caption, 0 if it is all padding.
        decides: [N] bool, whether each target is a decision word, which the words before it do not
            determine (see `fauds.captions.decisions`); None if not known.
        decisions: the number of decision words.
    """

    order: Tensor
    steps: tuple[int, ...]
    inputs: Tensor
    targets: Tensor
    rows: Tensor
    lengths: Tensor
    decides: Tensor | None = None
    decisions: int = 0

    def to(self, device: torch.device) -> "PackedWords":
        """Return the words on a device, copied without waiting for it."""
        inputs, targets, rows, lengths = (
            send(tensor, device) for tensor in (self.inputs, self.targets, self.rows, self.lengths)
        )
        decides = None if self.decides is None else send(self.decides, device)
        order = send(self.order, device)
        return PackedWords(
            order, self.steps, inputs, targets, rows, lengths, decides, self.decisions
        )


def pack_words(tokens: Tensor, decides: Tensor | None = None) -> PackedWords:
    """Return the words of R captions without their padding.

    The number of words is needed on the CPU. Pack captions before they are moved to a GPU, as
    `fauds.nn.base.Batch.packed` does: with `tokens` on a GPU, this function waits for it several
    times.

    Args:
        tokens: [R, T] long, one caption in each row: <bos>, words, <eos>, then <pad>; a row of
            <pad> alone has no caption.
        decides: [R, T] bool, which tokens are decision words; None if not known.
    """
    targets = tokens[:, 1:]
    lengths = (targets != PAD).sum(dim=1)
    order = torch.argsort(lengths, descending=True, stable=True)
    on_host = lengths.cpu()
    longest = int(on_host.max()) if len(on_host) else 0
    steps = tuple((on_host > torch.arange(longest)[:, None]).sum(dim=1).tolist())
    order = order[: steps[0] if steps else 0]
    times = torch.arange(longest, device=tokens.device)
    present = times[:, None] < lengths[order]  # [T', R']
    decided = None if decides is None else decides[:, 1:][order, :longest].t()[present]
    return PackedWords(
        order=order,
        steps=steps,
        inputs=tokens[order, :longest].t()[present],
        targets=targets[order, :longest].t()[present],
        rows=order.expand(longest, -1)[present],
        lengths=lengths,
        decides=decided,
        decisions=0 if decided is None else int(decided.sum()),
    )


@dataclass(frozen=True)
class WordLogits:
    """The predictions for the N words of R captions, without padding; V words in the vocabulary.

    Attributes:
        logits: [N, V], the logits over the vocabulary at the place of each word.
        targets: [N] long, the words of the reference captions, <eos> included.
        rows: [N] long, 0..R-1, the caption that each word belongs to. The row of a local caption
            is image * A + AU.
        lengths: [R] long, the number of words of each caption, 0 if it is missing.
        decides, decisions: see `PackedWords`.
    """

    logits: Tensor
    targets: Tensor
    rows: Tensor
    lengths: Tensor
    decides: Tensor | None = None
    decisions: int = 0

    def mean_per_row(self, values: Tensor) -> Tensor:
        """Return the mean of values over the words of each caption.

        Args:
            values: [N, ...], one number or array for each word.

        Returns:
            [R, ...], one mean for each caption, 0 where a caption is missing.
        """
        total = values.new_zeros(len(self.lengths), *values.shape[1:])
        share = self.lengths.clamp(min=1).to(values.dtype).reciprocal()
        return total.index_add(0, self.rows, values) * share.view(-1, *[1] * (values.dim() - 1))

    def hits(self, k: int = 5) -> Tensor:
        """Return whether each reference word is among the k most probable words, bool [N]."""
        k = min(k, self.logits.shape[1])
        return (self.logits.topk(k, dim=1).indices == self.targets[:, None]).any(dim=1)

    def padded(self) -> Tensor:
        """Return the logits of all words on a padded grid [R, T, V], zero where there is no word.

        R is the number of captions and T the length of the longest. This method loops over
        captions: use it for small batches and tests.
        """
        longest = int(self.lengths.max()) if len(self.lengths) else 0
        grid = self.logits.new_zeros(len(self.lengths), longest, self.logits.shape[1])
        times = torch.zeros_like(self.rows)
        for row in range(len(self.lengths)):
            in_row = self.rows == row
            times[in_row] = torch.arange(int(in_row.sum()), device=times.device)
        return grid.index_put((self.rows, times), self.logits)
