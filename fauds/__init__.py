"""fauds: facial action unit labels as language, and models measured on it.

The public names of the package are here; docs/python.md shows them at work. Nothing heavy is
imported until one is called.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal

from fauds.version import VERSION

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import pandas as pd
    from PIL import Image

    from fauds.captions import Description, Parsed
    from fauds.evaluation.results import Results
    from fauds.explanation.explained import Explanation
    from fauds.pipeline.dataset import Dataset

__version__ = VERSION

__all__ = ["describe", "evaluate", "explain", "open", "parse"]


def open(folder: "Path | str") -> "Dataset":
    """Open a dataset's folder in a workdir: its tables as pandas, its faces as a torch Dataset.

    Args:
        folder: for example ``fauds-work/bp4d``.

    Raises:
        DataError: nothing was read into this folder yet.
    """
    from fauds.pipeline.dataset import Dataset

    return Dataset(folder)


def describe(
    codes: "Mapping[int | str, int | str | None]",
    sex: str | None = None,
    language: str = "en",
    *,
    variant: int = 0,
    templates: "Path | None" = None,
) -> "Description":
    """Return the descriptions of one face from its codes: ``{"AU06": 1, "AU12": "C"}``.

    Args:
        codes: action units, in any common spelling, to 1 (active), 0 (inactive), a FACS degree
            "A" (trace) to "E" (maximum), or None where it is not coded.
        sex: "F", "M", or None where it is not known.
        language: a language's code: "en" or "zh", or one of the user's own.
        variant: which paraphrase, from 0.
        templates: a folder whose files override the shipped templates.

    Raises:
        UsageError: no such action unit, code, sex or language; or an action unit comes twice.
        DataError: the templates are broken, or have no such paraphrase.
    """
    from fauds.captions import describe_codes

    return describe_codes(codes, sex, language, variant=variant, templates=templates)


def parse(text: str, language: str = "en", *, templates: "Path | None" = None) -> "Parsed":
    """Return what a description, of one action unit or of a face, asserts of each action unit.

    Args:
        text: of the templates, or imperfect, as a model writes it.
        language: a language's code.
        templates: a folder whose files override the shipped templates.

    Raises:
        UsageError: there is no such language.
        DataError: the templates are broken.
    """
    from fauds.captions import parse as of_text

    return of_text(text, language, templates=templates)


def evaluate(
    predictions: "pd.DataFrame | Path | str",
    dataset: "Dataset | Path | str",
    *,
    name: str | None = None,
    missing: Literal["refuse", "drop", "inactive"] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> "Results":
    """Score predictions by a dataset's protocol; the same results as `fauds score` writes.

    Args:
        predictions: a DataFrame with the columns subject, task and frame and one for every name
            that is predicted; or a file, a folder or a run, as `fauds score` takes them.
        dataset: see `open`.
        name: what made the predictions.
        missing: what becomes of frames without a prediction; None for the protocol's rule.
        say: takes what was read, and what was not, line by line.

    Raises:
        UsageError: a name that cannot be one, or no file to read.
        DataError: the predictions are not of this protocol; what differs is said.
    """
    from fauds.pipeline.dataset import evaluate as of_predictions

    return of_predictions(predictions, dataset, name=name, missing=missing, say=say)


def explain(
    image: "Path | str | Image.Image | np.ndarray",
    weights: "Path | str | None" = None,
    *,
    detector: str | None = None,
    aligned: bool = False,
    device: str = "auto",
) -> "Explanation":
    """Return the action units of the largest face of an image, in probabilities and in words.

    The model that was used last is kept, so that further calls are quick.

    Args:
        image: an image file, a PIL image, or a NumPy array, uint8 [H, W, 3] in RGB.
        weights: a weights file, a run's folder, or one of its folds' (``RUN/fold2``); None for
            those that fauds ships, which have only ever seen drawn faces: what they say of a
            photograph means nothing yet. Of a run with several folds, the first is used.
        detector: finds the face, as ``fauds explain --detector`` takes it; None for "cascade",
            or for none where the weights were trained on whole pictures.
        aligned: the image is a crop already, made as those that the weights were trained on.
        device: "auto", "cpu" or "cuda".

    Raises:
        UsageError: the image is of another kind, or there are no such weights, detector or
            device.
        DataError: the image cannot be read or shows no face, or the weights are damaged.
    """
    from fauds.explanation.api import explain as of_picture

    return of_picture(image, weights, detector=detector, aligned=aligned, device=device)
