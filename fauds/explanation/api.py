"""``fauds.explain``: applies a trained model to the largest face of one image."""

from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from fauds.errors import DataError, UsageError
from fauds.explanation import media as sources
from fauds.explanation.engine import Explainer
from fauds.explanation.explained import Explanation, MediaFrame
from fauds.explanation.face_cropping import cropper_for
from fauds.explanation.run import explain_crops
from fauds.explanation.weights import locate, open_weights
from fauds.faces.base import Position
from fauds.faces.image_decoding import pixels_of


def explain(
    image: Path | str | Image.Image | np.ndarray,
    weights: Path | str | None = None,
    *,
    detector: str | None = None,
    aligned: bool = False,
    device: str = "auto",
) -> Explanation:
    """Apply a trained model to the largest face of an image; see `fauds.explain` for arguments."""
    frame = _frame(image)
    path, _ = locate(weights)
    explainer = _explainer(path, path.stat().st_mtime_ns, device)
    cropper = cropper_for(explainer.weights, detector, aligned=aligned)
    at = Position(Path(frame.source).name, frame.number)
    return explain_crops(frame, cropper.crop(frame.pixels, at)[:1], explainer)[0]


@lru_cache(maxsize=1)
def _explainer(path: Path, modified: int, device: str) -> Explainer:
    """Return the model of a weights file; the model is cached until the file is modified.

    Args:
        path: the weights file.
        modified: the time of the file's last modification in nanoseconds.
        device: "cpu", "cuda", or "auto" for a GPU if one is available.
    """
    return Explainer(open_weights(path), device=device)


def _frame(image: Path | str | Image.Image | np.ndarray) -> MediaFrame:
    if isinstance(image, Path | str):
        return _frame_of_file(Path(image).expanduser())
    if isinstance(image, Image.Image):
        image = _pixels(image)
    if not isinstance(image, np.ndarray):
        raise UsageError(
            f"An object of type {type(image).__name__} is not an image.", hint=_ACCEPTED
        )
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise UsageError(
            f"The array must be uint8 [H, W, 3], not {image.dtype} {list(image.shape)}.",
            hint=_ACCEPTED,
        )
    return MediaFrame("image", 1, None, None, image)


def _frame_of_file(path: Path) -> MediaFrame:
    if path.is_dir() or sources.is_video(path):
        raise UsageError(
            "The function fauds.explain takes one image file, not a folder or a video.",
            where=path,
            hint="use the command fauds explain for folders and videos",
        )
    (frame,) = sources.frames(sources.find_media([path]))
    if isinstance(frame.image, DataError):
        raise frame.image
    return frame


def _pixels(image: Image.Image) -> np.ndarray:
    """Return the pixels of a PIL image, uint8 [H, W, 3] RGB.

    The image is turned upright according to its EXIF data, as it is when an image file is read.
    """
    try:
        upright = ImageOps.exif_transpose(image)
    except (OSError, SyntaxError) as error:
        raise DataError(f"The image cannot be read: {error}.") from error
    return pixels_of(upright, "the PIL image")


_ACCEPTED = "give an image file, a PIL image, or a NumPy array, uint8 [H, W, 3] RGB"
