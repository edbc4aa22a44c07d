"""Classification heads of the AU branches, and the initial values of stacked weights."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

AU_STATES = 2
"""The number of states of an AU: 0 is inactive, 1 is active."""


def stacked_uniform(*shape: int, fan_in: int) -> nn.Parameter:
    """Return a parameter with the weights of all branches, initialised as nn.Linear does.

    Args:
        shape: the shape of the parameter.
        fan_in: the number of inputs of each output, which sets the range of the values.
    """
    bound = 1 / math.sqrt(fan_in)
    return nn.Parameter(torch.empty(*shape).uniform_(-bound, bound))


class BranchHeads(nn.Module):
    """One fully connected layer for each AU branch, with two outputs (paper, section 3.3).

    Args:
        num_aus: A, the number of AUs.
        dim: d, the number of channels of the features.
    """

    def __init__(self, num_aus: int, dim: int) -> None:
        super().__init__()
        self.weight = stacked_uniform(num_aus, dim, AU_STATES, fan_in=dim)
        self.bias = stacked_uniform(num_aus, AU_STATES, fan_in=dim)

    def forward(self, features: Tensor) -> Tensor:
        """Return the logits [B, A, 2] of inactive and active from branch features [B, A, d]."""
        return torch.einsum("bad,ads->bas", features, self.weight) + self.bias


class GlobalHead(nn.Module):
    """Predicts AU states from the mean attended feature of the global decoder (section 3.3).

    Its logits are for the loss L_Gau alone. The mean is over the words of the reference caption,
    which exists only in training and in teacher-forced evaluation. The logits therefore contain
    what the caption says about the AUs, and must not be reported as predictions.

    Args:
        num_aus: A, the number of AUs.
        dim: d, the number of channels of the attended feature.
    """

    def __init__(self, num_aus: int, dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, num_aus * AU_STATES)

    def forward(self, feature: Tensor) -> Tensor:
        """Return logits [B, A, 2] from the mean attended feature [B, d]."""
        logits: Tensor = self.linear(feature).unflatten(-1, (-1, AU_STATES))
        return logits


def class_counts(labels: Tensor) -> Tensor:
    """Return the number of coded labels, a float scalar; -1 marks labels that are not coded."""
    return (labels >= 0).sum().float()


def weighted_entropy(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Return the class-weighted cross-entropy summed over coded labels, a scalar in nats.

    Args:
        logits: [B, A, 2] of inactive and active, or [B, A] of classes that exclude each other.
        labels: long [B, A], 1, 0 or -1 where not coded; or [B], the index of the class or -1.
        weights: the class weights [A], which multiply the loss of each name, or of the frames of
            each class.
    """
    coded, targets = labels >= 0, labels.clamp(min=0)
    entropy = F.cross_entropy(logits.float().movedim(-1, 1), targets, reduction="none")
    weighted = entropy * (weights if labels.dim() == 2 else weights[targets])
    return (weighted * coded).sum()
