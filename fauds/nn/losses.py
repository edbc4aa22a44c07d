"""The four losses of VL-FAU (paper, eq. 8, 10, 11 and 12)."""

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from fauds.nn.words import PAD, WordLogits

if TYPE_CHECKING:
    from fauds.nn.vlfau import VLFAUOutput

PARTS = ("fau", "lgen", "ggen", "gau")
"""L_Fau, L_Lgen, L_Ggen and L_Gau."""


def vlfau_loss(
    output: "VLFAUOutput", labels: Tensor, weights: Tensor, counts: Tensor | None = None
) -> dict[str, Tensor]:
    """Eq. 12: the sum of four losses, each a mean over what there is.

    A null AU (label -1) takes no part in L_Fau, L_Lgen or L_Gau, an absent caption none in the
    losses of words, and an absent global caption none in L_Gau. A part with nothing in it is 0.

    Args:
        output: of the model.
        labels: occurrence [B, A], 1, 0, or -1 where not coded.
        weights: [A], gamma of eq. 9.
        counts: [4], what each mean divides by, instead of this batch's own (see `loss_counts`):
            with several passes or processes, the counts of all of them, over the number of those
            whose gradients are averaged, so that the gradients are those of the whole batch.

    Returns:
        ``fau``, ``lgen``, ``ggen``, ``gau`` and their sum ``total``: scalars, in nats.
    """
    coded = labels >= 0
    local, whole = output.local_logits, output.global_logits
    described = None if whole is None else whole.lengths > 0
    if counts is None:
        told = None if local is None else (local.lengths > 0).view_as(labels)
        counts = _counts(coded, told, described)
    seen = coded if described is None else coded & described.unsqueeze(1)
    sums = {
        "fau": _au_sum(output.au_logits, labels, weights, coded),
        "lgen": _word_sum(local, coded.flatten()),
        "ggen": _word_sum(whole, None),
        "gau": _au_sum(output.global_au_logits, labels, weights, seen),
    }
    counts = torch.where(counts > 0, counts, 1)
    empty = output.au_logits.new_zeros(())
    losses = {
        part: empty if value is None else value / counts[place]
        for place, (part, value) in enumerate(sums.items())
    }
    return {**losses, "total": sum(losses.values())}


def loss_counts(
    labels: Tensor, local_tokens: Tensor | None = None, global_tokens: Tensor | None = None
) -> Tensor:
    """How many things each of the four means is over, before any forward pass.

    Coded (image, AU) pairs; coded pairs with a local caption; global captions; coded pairs of
    images with a global caption. The counts of a batch's parts add up to those of the batch.

    Args:
        labels: occurrence [B, A], -1 where not coded.
        local_tokens: long [B, A, T], <bos> words <eos> <pad>..; a caption is there where a word
            follows <bos>. None: there are none.
        global_tokens: long [B, T], likewise.

    Returns:
        Counts [4], float32, in the order of `PARTS`.
    """
    return _counts(labels >= 0, _captioned(local_tokens), _captioned(global_tokens))


def _captioned(tokens: Tensor | None) -> Tensor | None:
    return None if tokens is None else (tokens[..., 1:] != PAD).any(dim=-1)


def _counts(coded: Tensor, told: Tensor | None, described: Tensor | None) -> Tensor:
    """The counts [4], given which labels [B, A], local [B, A] and global captions [B] there are."""
    none = coded.new_zeros((), dtype=torch.long)
    return torch.stack(
        [
            coded.sum(),
            none if told is None else (coded & told).sum(),
            none if described is None else described.sum(),
            none if described is None else (coded & described.unsqueeze(1)).sum(),
        ]
    ).float()


def _au_sum(logits: Tensor | None, labels: Tensor, weights: Tensor, there: Tensor) -> Tensor | None:
    """Eq. 8 before its mean: weighted cross-entropy over the pairs that are there."""
    if logits is None:
        return None
    targets = labels.clamp(min=0).long()
    entropy = F.cross_entropy(_at_least_float32(logits).movedim(-1, 1), targets, reduction="none")
    return (entropy * weights * there).sum()


def _word_sum(words: WordLogits | None, there: Tensor | None) -> Tensor | None:
    """Eq. 10 and 11 before their mean over captions: per caption, the mean over its words."""
    if words is None:
        return None
    entropy = _WordEntropy.apply(_at_least_float32(words.logits), words.targets)
    share = words.lengths.clamp(min=1).to(entropy.dtype).reciprocal()
    if there is not None:
        share = share * there
    return (entropy * share[words.rows]).sum()


class _WordEntropy(torch.autograd.Function):
    """-log p of each target: [N, V] -> [N]. One [N, V] tensor less than torch's each way."""

    @staticmethod
    def forward(ctx, logits, targets):
        log_p = logits.log_softmax(dim=1)
        ctx.save_for_backward(log_p, targets)
        return -log_p.gather(1, targets[:, None])[:, 0]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        log_p, targets = ctx.saved_tensors
        to_logits = log_p.exp().mul_(grad[:, None])
        return to_logits.scatter_add_(1, targets[:, None], -grad[:, None]), None


def _at_least_float32(logits: Tensor) -> Tensor:
    return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
