"""Class maps: where in an image a classifier finds the evidence for each class.

The classifier is a linear layer on features that are averaged over positions. For such a network
the maps of Grad-CAM and its relatives have closed forms, because the gradient of a logit with
respect to a feature map is the same at every position: the weight of the linear layer, divided by
the number of positions. No backward pass is needed, and maps of all classes cost one product.
"""

from typing import Literal, get_args

import torch
from torch import Tensor

from fauds.registry import unknown_name_error

MapMethod = Literal["cam", "gradcam", "gradcam++", "layercam"]
"""The ways of making class maps; see `class_maps`."""


def class_maps(features: Tensor, weight: Tensor, way: MapMethod) -> Tensor:
    """Return a map for each class, whose negative values are set to 0.

    The ways are:

    - "cam": the features, summed with the weights of the class (Zhou et al., "Learning deep
      features for discriminative localization", CVPR 2016);
    - "gradcam": the features, summed with the gradients of the logit, averaged over positions
      (Selvaraju et al., "Grad-CAM", ICCV 2017). In this network it is "cam" but for a factor, as
      the authors show;
    - "gradcam++": the features, summed with positive gradients that are weighted by equation 19 of
      Chattopadhyay et al., "Grad-CAM++" (WACV 2018);
    - "layercam": the features, multiplied by positive gradients at every position (Jiang et al.,
      "LayerCAM", IEEE TIP 2021).

    Args:
        features: the features that are averaged over positions, [B, K, h, w].
        weight: the weights of the linear layer, [C, K].
        way: how the maps are made.

    Returns:
        The maps, [B, C, h, w], 0 or more, without a common scale.

    Raises:
        UsageError: the way is unknown.
    """
    if way not in get_args(MapMethod):
        raise unknown_name_error("explanation", way, list(get_args(MapMethod)))
    if way in ("cam", "gradcam"):
        return torch.einsum("bkhw,ck->bchw", features, weight).relu()
    if way == "layercam":
        return torch.einsum("bkhw,ck->bchw", features, weight.relu()).relu()
    gradient = weight / (features.shape[-2] * features.shape[-1])
    total = features.sum((2, 3))[:, None]  # [B, 1, K]
    denominator = 2 + gradient * total
    # Features below 0, which networks without ReLU have, can make it 0.
    share = torch.where(denominator.abs() > torch.finfo(features.dtype).eps, 1 / denominator, 0)
    return torch.einsum("bkhw,bck->bchw", features, share * gradient.relu()).relu()
