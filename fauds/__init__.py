"""fauds: a toolkit for datasets, descriptions in words and benchmarks of facial action units.

This module holds the public functions of the package; docs/python.md has examples. Large libraries
are imported when a function is called, so that importing fauds is quick.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

from fauds.version import VERSION

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import pandas as pd
    from PIL import Image

    from fauds.annotation.events import By
    from fauds.captions import Description, Parsed
    from fauds.datasets.codes import Scale
    from fauds.evaluation.results import Results
    from fauds.explanation.explained import Explanation
    from fauds.facs import FacsCode
    from fauds.pipeline.dataset import Dataset

__version__ = VERSION

__all__ = ["describe", "evaluate", "events", "explain", "open", "parse"]


def open(folder: "Path | str") -> "Dataset":
    """Open the folder of a dataset that a fauds command has read before.

    Args:
        folder: the path of the dataset's folder, for example ``fauds-work/bp4d``.

    Returns:
        The dataset, with its tables as pandas DataFrames and its faces as a torch Dataset.

    Raises:
        DataError: the folder holds no dataset that fauds has read.
    """
    from fauds.pipeline.dataset import Dataset

    return Dataset(folder)


@overload
def describe(
    codes: "Mapping[int | str, FacsCode | int | str | None] | Mapping[str, FacsCode]",
    sex: str | None = None,
    language: str = "en",
    *,
    variant: int = 0,
    templates: "Path | None" = None,
    style: str | None = None,
) -> "Description": ...


@overload
def describe(
    codes: "Path | pd.DataFrame",
    sex: Literal["F", "M"] | None = None,
    language: str = "en",
    *,
    templates: "Path | None" = None,
    degrees: bool = False,
    by: "By | None" = None,
    threshold: float | None = None,
    columns: Mapping[str, str] | None = None,
    scale: "Scale | None" = None,
    min_confidence: float | None = None,
    face: str | None = None,
    fps: float | None = None,
    aus: Sequence[int | str] | None = None,
    say: Callable[[str], None] = ...,
) -> "pd.DataFrame": ...


@overload
def describe(
    codes: str, sex: Literal["F", "M"] | None = None, language: str = "en", **options: Any
) -> Any: ...


def describe(
    codes: Any,
    sex: Any = None,
    language: str = "en",
    *,
    variant: int = 0,
    templates: "Path | None" = None,
    style: str | None = None,
    degrees: bool = False,
    by: "By | None" = None,
    threshold: float | None = None,
    say: Callable[[str], None] = lambda line: None,
    **reading: Any,
) -> Any:
    """Return descriptions in words, of one face or of every frame of a table.

    Args:
        codes: the codes of one face: in FACS notation, such as ``"1C+2C+L12B"``, or by action unit
            (AU), such as ``{"AU06": 1, "AU12": "C"}``: 1 (active), 0 (inactive), a FACS intensity
            from "A" (trace) to "E" (maximum), or None if the AU is not coded, or what
            `fauds.facs.parse_codes` returns. The name of an AU may have any common spelling, such
            as 6, "au6" or "AU06". Or a table of AUs, as for `fauds.events`: a text with a dot or a
            slash is the path of a file, not notation.
        sex: the sex of the person, "F" or "M"; None if it is not known.
        language: the code of the language: "en", "zh", or a language of the user's templates.
        variant: which of the paraphrases of each sentence to use, counted from 0; 0 for a table.
        templates: a folder with the user's sentence templates, which override those of fauds;
            None for the templates of fauds only.
        style: the style of the descriptions of single AUs, "plain" or "composed" (which also say
            which neighbouring AUs are active); None for the default style.
        degrees: for a table, whether descriptions say intensities, A to E.
        by: for a table, what decides whether an AU is active; None for the program's decisions,
            then probabilities, then intensities.
        threshold: for a table, the value from which an AU is active; None for probability 0.5, or
            intensity 2 (B).
        say: for a table, called with each line of text about the table.
        reading: for a table, how it is read, as for `fauds.events`: columns, scale, min_confidence,
            face, fps and aus.

    Returns:
        For one face, a description of each AU, and one of the whole face, which also comes as a
        FACS string, as one sentence, and as a report with codes in brackets; AUs on one side of the
        face are described with their side. For a table, a DataFrame with one row a frame: source,
        subject, clip, frame and time as far as they are known, codes (FACS notation), face_text,
        and for each AU 1 or 0, the intensity if there is one, and the text if it is active.

    Raises:
        UsageError: an AU, a code, the sex, the style or the language is unknown, or an AU is given
            twice.
        DataError: the templates or the table are invalid, or a sentence has no paraphrase number
            `variant`.
    """
    from fauds.facs import FacsCode, parse_codes

    if isinstance(codes, str) and not any(mark in codes for mark in "./\\"):
        codes = parse_codes(codes)
    if not isinstance(codes, Mapping):
        from fauds.annotation.api import describe_table, reading_options

        return describe_table(
            codes,
            reading_options(sex=sex, **reading),
            by=by,
            threshold=threshold,
            language=language,
            degrees=degrees,
            templates=templates,
            say=say,
        )
    if any(isinstance(code, FacsCode) for code in codes.values()):
        from fauds.annotation.api import describe_notation

        return describe_notation(codes, sex, language, variant, templates, style)
    from fauds.captions import describe_codes

    return describe_codes(codes, sex, language, variant=variant, templates=templates, style=style)


def events(
    table: "Path | pd.DataFrame | str",
    *,
    by: "By | None" = None,
    begin: float | None = None,
    end: float | None = None,
    shortest: float = 0.1,
    gap: float = 0.1,
    apart: float = 0.2,
    language: str = "en",
    degrees: bool = False,
    templates: "Path | None" = None,
    columns: Mapping[str, str] | None = None,
    scale: "Scale | None" = None,
    min_confidence: float | None = None,
    face: str | None = None,
    fps: float | None = None,
    aus: Sequence[int | str] | None = None,
    sex: Literal["F", "M"] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> "pd.DataFrame":
    """Return the events of action units (AUs) in a table: when each begins, is strongest and ends.

    Args:
        table: a table of AUs that OpenFace, py-feat or another program wrote, or of hand-coded AUs:
            a file, a folder of files, or a DataFrame with the same columns (docs/describe.md).
        by: what decides whether an AU is active, "intensity", "probability" or "decision"; None
            for the first of these that the table has.
        begin: the value at which an event begins; None for intensity 2 (B) or probability 0.5.
        end: the value below which it ends; None for `begin`.
        shortest: the shortest event, in seconds.
        gap: the longest interruption that does not end an event, in seconds.
        apart: the time between two beginnings, in seconds, from which the text of several AUs says
            which came first.
        language: the language of the texts.
        degrees: whether the texts say the intensity at the peak, A to E.
        templates: a folder with the user's sentence templates; None for those of fauds only.
        columns: the names of columns by what they hold, where they are not the usual ones, such as
            ``{"frame": "Bildnummer"}``.
        scale: the scale of numbers whose columns do not say it: "occurrence", "probability", "0-5",
            "0-1" or "0-100".
        min_confidence: the lowest confidence at which a frame counts; None for any.
        face: the face where frames show several: "largest", "all", or the program's id.
        fps: the frames per second, from which times are computed; None for the table's times.
        aus: the AUs to read; None for all.
        sex: the sex of the person, for the texts.
        say: called with each line of text about the table.

    Returns:
        A DataFrame with one row an event: kind is "AU" for an event of one AU and "face" for a
        stretch in which the same AUs are active together; onset, apex and offset are in seconds
        (and in frames), offset being the time at which the last active frame ends.

    Raises:
        UsageError: the table has no times and `fps` is not given, an AU is in no table, or the
            scale of its numbers is not known.
        DataError: the table cannot be read, or a value is out of range; the message names the line.
    """
    from fauds.annotation.api import find_events, reading_options
    from fauds.annotation.events import EventSettings

    return find_events(
        table,
        reading_options(
            columns=columns,
            scale=scale,
            min_confidence=min_confidence,
            face=face,
            fps=fps,
            aus=aus,
            sex=sex,
        ),
        EventSettings(by, begin, end, shortest, gap, apart),
        language=language,
        degrees=degrees,
        templates=templates,
        say=say,
    )


def parse(text: str, language: str = "en", *, templates: "Path | None" = None) -> "Parsed":
    """Return the state of each action unit, such as "active", according to a description in words.

    Args:
        text: the description of an action unit or of a face. It may have been generated by a model
            and differ from the sentence templates of fauds.
        language: the code of the language of the text, such as "en".
        templates: a folder with the user's sentence templates, which override those of fauds;
            None for the templates of fauds only.

    Raises:
        UsageError: the language is unknown.
        DataError: the templates are invalid.
    """
    from fauds.captions import parse as parse_text

    return parse_text(text, language, templates=templates)


def evaluate(
    predictions: "pd.DataFrame | Path | str",
    dataset: "Dataset | Path | str",
    *,
    name: str | None = None,
    missing: Literal["refuse", "drop", "inactive"] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> "Results":
    """Evaluate predictions by the protocol (folds and metric) of a dataset, as `fauds score` does.

    Args:
        predictions: a DataFrame with the columns subject, task and frame, and a column of scores
            for each predicted action unit (AU) or class; or the path of a prediction file, of a
            folder of such files, or of a run of fauds.
        dataset: the dataset, or the path of its folder, such as ``fauds-work/bp4d``.
        name: the name of the model in the results; None for the name of the file or run.
        missing: what to do with frames that have no prediction: raise an error ("refuse"), leave
            out these frames ("drop"), or count all AUs or classes as inactive in these frames
            ("inactive"); None for the choice that the protocol states.
        say: a function that is called with the text of each message about the predictions.

    Raises:
        UsageError: the name is invalid, or the path does not exist.
        DataError: the predictions do not match the protocol; the message says how they differ.
    """
    from fauds.pipeline.dataset import evaluate as evaluate_predictions

    return evaluate_predictions(predictions, dataset, name=name, missing=missing, say=say)


def explain(
    image: "Path | str | Image.Image | np.ndarray",
    weights: "Path | str | None" = None,
    *,
    detector: str | None = None,
    aligned: bool = False,
    device: str = "auto",
) -> "Explanation":
    """Predict the action units of the largest face in an image, as probabilities and in words.

    The model stays in memory, so that further calls with the same weights are quick.

    Args:
        image: the path of an image file, a PIL image, or a NumPy array, uint8 [H, W, 3] in RGB.
        weights: a weights file, the folder of a training run, or the folder of one of its folds
            (``RUN/fold2``); for a run with several folds, the model of its first fold is used.
            None for the weights that fauds ships, which were trained on synthetic faces only and
            give no meaningful results for photographs.
        detector: the face detector, as in ``fauds explain --detector``; None for "dlib" if it is
            installed and "cascade" otherwise, or for no detector if the weights were trained on
            whole images.
        aligned: whether the image is already an aligned crop of a face, like the crops that the
            weights were trained on.
        device: the device to run on, "auto", "cpu" or "cuda".

    Raises:
        UsageError: the image has none of the types above, or the weights, the detector or the
            device does not exist.
        DataError: the image cannot be read or shows no face, or the weights are damaged.
    """
    from fauds.explanation.api import explain as explain_image

    return explain_image(image, weights, detector=detector, aligned=aligned, device=device)
