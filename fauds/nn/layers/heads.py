"""Classification heads of the AU branches, and how stacked branch weights begin."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

AU_STATES = 2
"""States of an AU: 0 inactive, 1 active."""


def stacked_uniform(*shape: int, fan_in: int) -> nn.Parameter:
    """Weights of all branches in one tensor, each begun as nn.Linear begins its own."""
    bound = 1 / math.sqrt(fan_in)
    return nn.Parameter(torch.empty(*shape).uniform_(-bound, bound))


class BranchHeads(nn.Module):
    """One fully connected layer per AU branch, two states each (paper, section 3.3)."""

    def __init__(self, num_aus: int, dim: int) -> None:
        super().__init__()
        self.weight = stacked_uniform(num_aus, dim, AU_STATES, fan_in=dim)
        self.bias = stacked_uniform(num_aus, AU_STATES, fan_in=dim)

    def forward(self, features: Tensor) -> Tensor:
        """Branch features [B, A, d] -> logits [B, A, 2] (inactive, active)."""
        return torch.einsum("bad,ads->bas", features, self.weight) + self.bias


class GlobalHead(nn.Module):
    """AU states from the global decoder's mean attended feature, for L_Gau (section 3.3).

    The mean is over the real words of the gold caption, which exists in training and in
    teacher-forced evaluation only: these logits carry what the caption gives away, and are no
    prediction.
    """

    def __init__(self, num_aus: int, dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, num_aus * AU_STATES)

    def forward(self, feature: Tensor) -> Tensor:
        """Mean attended feature [B, d] -> logits [B, A, 2]."""
        logits: Tensor = self.linear(feature).unflatten(-1, (-1, AU_STATES))
        return logits


def class_counts(labels: Tensor) -> Tensor:
    """Return how many labels are coded, a scalar: of any shape, -1 where not coded."""
    return (labels >= 0).sum().float()


def weighted_entropy(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Return the class-weighted cross-entropy summed over coded labels, a scalar in nats.

    Args:
        logits: [B, A, 2] of inactive and active, or [B, A] of classes that exclude each other.
        labels: long [B, A], 1, 0 or -1 where not coded; or [B], the class or -1.
        weights: class weights [A]: of each name's term, or of the frames of each class.
    """
    coded, targets = labels >= 0, labels.clamp(min=0)
    entropy = F.cross_entropy(logits.float().movedim(-1, 1), targets, reduction="none")
    weighted = entropy * (weights if labels.dim() == 2 else weights[targets])
    return (weighted * coded).sum()
