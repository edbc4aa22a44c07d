"""fauds: facial action unit labels as language, and models measured on it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from PIL import Image

    from fauds.explanation.types import Explanation

__version__ = "0.1.0"


def explain(
    image: "Path | str | Image.Image | np.ndarray",
    weights: "Path | str | None" = None,
    *,
    detector: str | None = None,
    aligned: bool = False,
    device: str = "auto",
) -> "Explanation":
    """Return the action units of the largest face of a picture, in probabilities and in words.

    The model that was used last is kept, so that further calls are quick.

    Args:
        image: an image file, a PIL image, or a NumPy array, uint8 [H, W, 3] in RGB.
        weights: a weights file, a run's folder, or one of its folds' (``RUN/fold2``); None for
            those that fauds ships, which have only ever seen drawn faces: what they say of a
            photograph means nothing yet. Of a run with several folds, the first is used.
        detector: finds the face, as ``fauds explain --detector`` takes it; None for "cascade",
            or for none where the weights were trained on whole pictures.
        aligned: the picture is a crop already, made as those that the weights were trained on.
        device: "auto", "cpu" or "cuda".

    Raises:
        UsageError: the picture is of another kind, or there are no such weights, detector or
            device.
        DataError: the picture cannot be read or shows no face, or the weights are damaged.
    """
    from fauds.explanation.api import explain as of_picture

    return of_picture(image, weights, detector=detector, aligned=aligned, device=device)
