"""Layers that classify AUs as active or inactive, and their class-weighted loss."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fauds.settings import AULoss

AU_STATES = 2
"""The number of states of an AU: 0 is inactive, 1 is active."""


def stacked_uniform(*shape: int, fan_in: int) -> nn.Parameter:
    """Return a parameter with random values: the weights of one layer, stacked for all AUs.

    The values are sampled in the same way as the weights of nn.Linear.

    Args:
        shape: the shape of the parameter.
        fan_in: the number of inputs that each output of the layer has, which sets the range of the
            values.
    """
    bound = 1 / math.sqrt(fan_in)
    return nn.Parameter(torch.empty(*shape).uniform_(-bound, bound))


class BranchHeads(nn.Module):
    """One linear layer for each AU, which classifies the AU as inactive or active.

    Section 3.3 of the VL-FAU paper (ACM Multimedia 2024) says "one fully connected layer with
    SoftMax"; one layer for each AU is the reading of fauds.

    Args:
        num_aus: A, the number of AUs.
        dim: d, the number of features of an AU.
    """

    def __init__(self, num_aus: int, dim: int) -> None:
        super().__init__()
        self.weight = stacked_uniform(num_aus, dim, AU_STATES, fan_in=dim)
        self.bias = stacked_uniform(num_aus, AU_STATES, fan_in=dim)

    def forward(self, features: Tensor) -> Tensor:
        """Return the logits of inactive and active, [B, A, 2].

        Args:
            features: the features of each AU, [B, A, d].
        """
        return torch.einsum("bad,ads->bas", features, self.weight) + self.bias


class GlobalHead(nn.Module):
    """Predicts which AUs are active from what the decoder of global captions attends to.

    Its input is the image feature that the decoder attends to, averaged over the words of the
    reference caption, which exists only in training and in teacher-forced evaluation. The logits
    therefore contain what the caption says about the AUs. They are used for the loss L_Gau alone
    (VL-FAU paper, section 3.3), and must not be reported as predictions.

    Args:
        num_aus: A, the number of AUs.
        dim: d, the number of channels of the image feature.
    """

    def __init__(self, num_aus: int, dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, num_aus * AU_STATES)

    def forward(self, feature: Tensor) -> Tensor:
        """Return the logits of inactive and active, [B, A, 2].

        Args:
            feature: the image feature that the decoder attends to, averaged over words, [B, d].
        """
        logits: Tensor = self.linear(feature).unflatten(-1, (-1, AU_STATES))
        return logits


def class_counts(labels: Tensor) -> Tensor:
    """Return the number of coded labels, a float scalar; -1 marks labels that are not coded."""
    return (labels >= 0).sum().float()


def focus(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the factors that make cross-entropy the asymmetric loss of ME-GraphAU, [B, A].

    The factor is 1 for an active AU, and for an inactive AU the predicted probability that it is
    active. An AU that is easily seen to be inactive thus counts little, so that the many inactive
    AUs do not outweigh the few active ones. No gradient flows through the factors.

    Source: Luo et al., "Learning Multi-dimensional Edge Feature-based AU Relation Graph for Facial
    Action Unit Recognition" (IJCAI 2022), the weighted asymmetric loss.

    Args:
        logits: [B, A, 2], inactive and active.
        targets: [B, A], 1 active and 0 inactive.
    """
    active = logits.detach().softmax(dim=-1)[..., 1]
    return torch.where(targets == 1, torch.ones_like(active), active)


def weighted_entropy(
    logits: Tensor, labels: Tensor, weights: Tensor, au_loss: AULoss = "entropy"
) -> Tensor:
    """Return the class-weighted cross-entropy summed over coded labels, a scalar in nats.

    Args:
        logits: [B, A, 2], inactive and active, for A action units; or [B, A] for A classes that
            exclude each other.
        labels: long, -1 where not coded: [B, A], 1 active and 0 inactive; or [B], the index of the
            true class.
        weights: the class weights [A], which multiply the loss of each AU, or of the frames of
            each class.
        au_loss: "entropy", or for action units "asymmetric": the cross-entropy times `focus`.

    Raises:
        ValueError: the asymmetric loss is asked for of classes that exclude each other.
    """
    coded, targets = labels >= 0, labels.clamp(min=0)
    entropy = F.cross_entropy(logits.float().movedim(-1, 1), targets, reduction="none")
    weighted = entropy * (weights if labels.dim() == 2 else weights[targets])
    if au_loss == "asymmetric":
        if labels.dim() != 2:
            raise ValueError("the asymmetric loss is about action units, not about classes")
        weighted = weighted * focus(logits.float(), targets)
    return (weighted * coded).sum()
