"""Colour jitter, which changes brightness, contrast and saturation of a training image."""

import cv2
import numpy as np


def jitter_colours(image: np.ndarray, strength: float, rng: np.random.Generator) -> None:
    """Change brightness, contrast and saturation of an image at random, in random order.

    Each is multiplied by a factor that is drawn uniformly from 1 - `strength` to 1 + `strength`, as
    torchvision's ``ColorJitter`` does; the hue stays. The public code of ME-GraphAU (Luo et al.,
    IJCAI 2022; CVI-SZU/ME-GraphAU, utils.py) trains with a strength of 0.4.

    Args:
        image: uint8 [H, W, 3] RGB; it is changed in place.
        strength: the largest relative change, 0 to 1.
        rng: the source of the random choices, from which four values are taken: the three factors,
            for brightness, contrast and saturation in this order, and the order of the changes.
    """
    factors = rng.uniform(1 - strength, 1 + strength, len(_CHANGES))
    for place in rng.permutation(len(_CHANGES)).tolist():
        image[:] = _CHANGES[place](image, float(factors[place]))


def _brightness(image: np.ndarray, factor: float) -> np.ndarray:
    return _towards(image, 0, factor)


def _contrast(image: np.ndarray, factor: float) -> np.ndarray:
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return _towards(image, round(float(grey.mean())), factor)


def _saturation(image: np.ndarray, factor: float) -> np.ndarray:
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return np.asarray(cv2.addWeighted(image, factor, grey, 1 - factor, 0))


def _towards(image: np.ndarray, level: int, factor: float) -> np.ndarray:
    """Return an image whose distance from a level of brightness is multiplied by a factor.

    Args:
        image: uint8 [H, W, 3].
        level: the level, 0 to 255.
        factor: the factor; with 0 the whole image has this level.
    """
    levels = np.clip(np.rint(level + factor * (np.arange(256) - level)), 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(image, levels))


_CHANGES = (_brightness, _contrast, _saturation)
