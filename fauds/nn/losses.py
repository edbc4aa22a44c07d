"""The four losses of VL-FAU (paper, eq. 8, 10, 11 and 12)."""

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from fauds.nn.words import WordLogits

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
        counts: [4], what each mean divides by, instead of `loss_counts` of this batch: with
            several processes, the counts of all over the number of processes, so that averaged
            gradients are those of the whole batch.

    Returns:
        ``fau``, ``lgen``, ``ggen``, ``gau`` and their sum ``total``: scalars, in nats.
    """
    if counts is None:
        counts = loss_counts(output, labels)
    coded = labels >= 0
    sums = {
        "fau": _au_sum(output.au_logits, labels, weights, coded),
        "lgen": _word_sum(output.local_logits, coded.flatten()),
        "ggen": _word_sum(output.global_logits, None),
        "gau": _au_sum(output.global_au_logits, labels, weights, coded & _described(output)),
    }
    counts = torch.where(counts > 0, counts, 1)
    empty = output.au_logits.new_zeros(())
    losses = {
        part: empty if value is None else value / counts[place]
        for place, (part, value) in enumerate(sums.items())
    }
    return {**losses, "total": sum(losses.values())}


def loss_counts(output: "VLFAUOutput", labels: Tensor) -> Tensor:
    """How many things each of the four means is over: [4] float32, in the order of `PARTS`.

    Coded (image, AU) pairs; coded pairs with a local caption; global captions; coded pairs of
    images with a global caption. 0 for a part that the model does not have.
    """
    coded = labels >= 0
    none = coded.new_zeros((), dtype=torch.long)
    local, whole = output.local_logits, output.global_logits
    return torch.stack(
        [
            coded.sum(),
            none if local is None else (coded.flatten() & (local.lengths > 0)).sum(),
            none if whole is None else (whole.lengths > 0).sum(),
            none if whole is None else (coded & _described(output)).sum(),
        ]
    ).float()


def _described(output: "VLFAUOutput") -> Tensor | bool:
    """Images that have a global caption [B, 1]."""
    whole = output.global_logits
    return True if whole is None else (whole.lengths > 0).unsqueeze(1)


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
