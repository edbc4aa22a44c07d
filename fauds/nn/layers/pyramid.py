"""A simple feature pyramid: four feature maps made from the last map of a plain transformer."""

import math

from timm.layers.norm import LayerNorm2d
from torch import Tensor, nn

FINEST_STRIDE = 4
"""The nominal stride of the first map in pixels; each further map has twice the stride."""


class FeaturePyramid(nn.Module):
    """Makes feature maps of several scales from the one map of a plain vision transformer.

    It follows the simple feature pyramid of ViTDet (Li et al., "Exploring Plain Vision Transformer
    Backbones for Object Detection", ECCV 2022, section 3): the last feature map alone is enlarged
    by deconvolutions or reduced by max pooling. A deconvolution doubles the side of the map and
    halves the number of channels; a LayerNorm over channels and a GELU lie between two of them.
    ViTDet's 1 x 1 and 3 x 3 convolutions of each scale are left out, since the layers that read
    the maps begin with a convolution of their own.

    That models such as VL-FAU read a plain transformer in this way is a choice of fauds, not of
    their papers.

    Args:
        channels: C, the number of channels of the transformer's map.
        stride: the stride of that map in pixels, which is the side of a patch. With patches of 16
            pixels the strides of the results are 4, 8, 16 and 32. With patches of 14 pixels, they
            are 3.5, 7, 14 and 28. Patches of 8 and 32 pixels give 4 to 32 as well.
        count: the number of maps. If it is 1, the result is only the map of the largest stride.

    Attributes:
        channels: the number of channels of each result, from the largest map to the smallest.
    """

    def __init__(self, channels: int, stride: int, count: int = 4) -> None:
        super().__init__()
        doublings = round(math.log2(stride / FINEST_STRIDE))
        each = [doublings - scale for scale in range(4)][-count:]
        self.channels = [channels >> max(0, steps) for steps in each]
        self.scales = nn.ModuleList(_scale(channels, steps) for steps in each)

    def forward(self, features: Tensor) -> list[Tensor]:
        """Return the feature maps, from the largest map to the smallest.

        Args:
            features: the last map of the transformer, [B, C, h, w].

        Returns:
            With patches of 14 or 16 pixels, for example, [B, C / 4, 4 h, 4 w],
            [B, C / 2, 2 h, 2 w], [B, C, h, w] and [B, C, h / 2, w / 2]; odd sides are rounded up.
        """
        return [scale(features) for scale in self.scales]


def _scale(channels: int, doublings: int) -> nn.Module:
    """Return the layers that make one map of the pyramid.

    Args:
        channels: the number of channels of the transformer's map.
        doublings: how often its side is doubled, or halved if negative.
    """
    if doublings < 0:
        side = 2**-doublings
        # Without rounding up, the last patches of an odd number of patches would not be read.
        return nn.MaxPool2d(side, side, ceil_mode=True)
    layers: list[nn.Module] = []
    for step in range(doublings):
        width, half = channels >> step, channels >> (step + 1)
        if step:
            layers += [LayerNorm2d(width), nn.GELU()]
        layers.append(nn.ConvTranspose2d(width, half, 2, stride=2))
    return nn.Sequential(*layers)
