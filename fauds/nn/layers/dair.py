"""DAIR, which refines image features for each AU by channel attention and spatial attention.

DAIR stands for "dual-level AU individual refinement", eq. 2 and 3 of the VL-FAU paper (ACM
Multimedia 2024).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fauds.nn.layers.heads import stacked_uniform


class DAIR(nn.Module):
    """A channel attention and a spatial attention for each AU (VL-FAU paper, eq. 2 and 3).

    Every AU has its own branch, in two steps. First, a two-layer MLP computes weights of the
    channels from the max-pooled and the average-pooled features of the face, V. Then, a 3 x 3
    convolution computes weights of the positions from two maps: the maximum and the mean over the
    weighted channels. There is no loop over AUs: the
    weights are stacked as [A, ...], the MLPs are batched matrix products, and the convolutions are
    one grouped convolution.

    Args:
        num_aus: A, the number of AUs, each of which has a branch.
        dim: d, the number of channels of V.
        reduction: d divided by the hidden width of the MLP (16, as in CBAM, which the paper
            follows).
        spatial_sigmoid: whether to apply a sigmoid to the spatial map. Eq. 3 has none, but CBAM
            has one.
    """

    def __init__(
        self, num_aus: int, dim: int, reduction: int = 16, spatial_sigmoid: bool = True
    ) -> None:
        super().__init__()
        hidden = max(1, dim // reduction)
        self.spatial_sigmoid = spatial_sigmoid
        self.squeeze_weight = stacked_uniform(num_aus, dim, hidden, fan_in=dim)
        self.squeeze_bias = stacked_uniform(num_aus, 1, hidden, fan_in=dim)
        self.excite_weight = stacked_uniform(num_aus, hidden, dim, fan_in=hidden)
        self.excite_bias = stacked_uniform(num_aus, 1, dim, fan_in=hidden)
        self.spatial_weight = stacked_uniform(num_aus, 2, 3, 3, fan_in=18)
        self.spatial_bias = stacked_uniform(num_aus, fan_in=18)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features of each AU's branch, and the branch's spatial attention map.

        Args:
            features: the features of the face, V in the paper, [B, h, w, d].

        Returns:
            The features V-hat, [B, A, h * w, d], and the maps, [B, A, h, w], which are between 0
            and 1 with the sigmoid and unbounded without it.
        """
        batch, height, width, dim = features.shape
        values = features.reshape(batch, 1, height * width, dim)
        channels = self.channel_attention(values[:, 0])
        refined = channels.unsqueeze(2) * values  # V-bar [B, A, P, d]
        pooled = torch.stack([refined.amax(dim=-1), refined.mean(dim=-1)], dim=2)
        maps = self.spatial_attention(pooled.reshape(batch, -1, height, width))
        return refined * maps.reshape(batch, -1, height * width, 1), maps

    def channel_attention(self, values: Tensor) -> Tensor:
        """Return the weight of each channel for each AU, [B, A, d], 0 to 1 (paper, eq. 2).

        Args:
            values: the features of the face at P positions, V in the paper, [B, P, d].
        """
        pooled = torch.cat([values.amax(dim=1), values.mean(dim=1)])  # [2B, d], shared by all AUs
        hidden = torch.relu(torch.matmul(pooled, self.squeeze_weight) + self.squeeze_bias)
        both = torch.matmul(hidden, self.excite_weight) + self.excite_bias  # [A, 2B, d]
        # With chunk(2), torch.export would fix the batch size of an exported model.
        batch = values.shape[0]
        maximum, average = both[:, :batch], both[:, batch:]
        return torch.sigmoid(maximum + average).transpose(0, 1)

    def spatial_attention(self, pooled: Tensor) -> Tensor:
        """Return the spatial attention map of each AU, [B, A, h, w] (paper, eq. 3).

        Args:
            pooled: for every AU, the maximum and the mean over channels, [B, 2A, h, w].
        """
        maps = F.conv2d(
            pooled, self.spatial_weight, self.spatial_bias, padding=1, groups=len(self.spatial_bias)
        )
        return torch.sigmoid(maps) if self.spatial_sigmoid else maps
