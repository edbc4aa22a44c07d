"""Measures of how well attention maps agree with AU maps: where a network looks on a face.

The measures are those of weakly supervised localisation: the cosine between two maps, the share of
a map inside a region, and whether the highest value lies inside it (the pointing game of Zhang et
al., "Top-down neural attention by excitation backprop", IJCV 2018).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from fauds.nn.layers.au_map import au_maps

REGION_SIZE = 56
"""The side, in cells, of the regions that `inside` and `pointing` are measured with."""


def cosine(maps: Tensor, others: Tensor) -> Tensor:
    """Return the cosine between maps, as vectors of their cells, [...], -1 to 1.

    Args:
        maps, others: the maps, [..., h, w]. A map of zeros has the cosine 0 with every map.
    """
    return F.cosine_similarity(maps.flatten(-2), others.flatten(-2), dim=-1)


def au_regions(landmarks: Tensor, active: Tensor, image_size: int, aus: tuple[str, ...]) -> Tensor:
    """Return the regions of action units (AUs): where at least one of the active AUs is visible.

    An AU is visible where its map (`au_maps`) is 1/2 or more, which is inside its ellipses.

    Args:
        landmarks: [B, 68, 2], pixels of the image.
        active: [B, N, A], 1 for the AUs of each of N regions and 0 for others.
        image_size: the side of the image in pixels.
        aus: the names of the A AUs.

    Returns:
        [B, N, REGION_SIZE, REGION_SIZE], bool.
    """
    inside = au_maps(landmarks, REGION_SIZE, image_size, aus) >= 0.5
    counts = torch.bmm(active.to(landmarks.dtype), inside.flatten(2).to(landmarks.dtype))
    return torch.unflatten(counts, 2, (REGION_SIZE, REGION_SIZE)) > 0


def agreement(maps: Tensor, cues: Tensor, regions: Tensor) -> dict[str, Tensor]:
    """Return how well maps agree with AU maps.

    Args:
        maps: the maps of a network, [B, N, h, w], 0 or more where they show something.
        cues: the AU maps to compare them with, [B, N, h, w].
        regions: the regions of these AUs, bool [B, N, s, s], of the whole image like the maps.

    Returns:
        Three measures [B, N], NaN where the AU map is zero: "cos", the cosine between the maps, -1
        to 1; "inside", the share of the map, 0 to 1, inside the region, where values below 0 count
        as 0; "pointing", 1 if the highest value of the map lies inside the region, otherwise 0. For
        the last two, the maps are interpolated to the resolution of the regions.
    """
    size = regions.shape[-2:]
    large = F.interpolate(maps, size=size, mode="bilinear", align_corners=False)
    inside, positive = regions.flatten(2), large.flatten(2).relu()
    total = positive.sum(2)
    highest = inside.gather(2, large.flatten(2).argmax(2, keepdim=True))[..., 0]
    values = {
        "cos": cosine(maps, cues),
        "inside": (positive * inside).sum(2) / total.clamp_min(torch.finfo(total.dtype).tiny),
        "pointing": highest.to(maps),
    }
    known = (cues.amax((2, 3)) > 0) & inside.any(2)
    return {name: torch.where(known, value, torch.nan) for name, value in values.items()}
