"""The schemas of the tables that fauds writes, that is, the names and types of their columns."""

from collections.abc import Sequence

import pyarrow as pa

from fauds.facs import intensity_column

_CATEGORY = pa.dictionary(pa.int32(), pa.string())

SPLIT = "split"
"""The optional column of frames.parquet with the part of the release's own split: train or test."""


def frames_schema(aus: Sequence[str], intensity_aus: Sequence[str] = ()) -> pa.Schema:
    """Return the schema of frames.parquet, the table with one row per labelled frame.

    The label of an action unit (AU) that is not coded in a frame is null. The column key has a
    unique text for each frame, such as F001/T1/2440; tables that older versions of fauds wrote lack
    this column. In datasets of single images, subject, task and frame are null where they are not
    known. A dataset with a training and a test part of its own has one more column, `SPLIT`.

    Args:
        aus: the names of the AUs that have a column of occurrence.
        intensity_aus: the names of the AUs that have a column of intensity.
    """
    return pa.schema(
        [
            ("frame_id", pa.int64()),
            ("key", pa.string()),
            ("subject", _CATEGORY),
            ("task", _CATEGORY),
            ("frame", pa.int32()),
            ("sex", _CATEGORY),
            ("image", pa.string()),
            *((au, pa.int8()) for au in aus),
            *((intensity_column(au), pa.int8()) for au in intensity_aus),
        ]
    )


def captions_schema(aus: Sequence[str]) -> pa.Schema:
    """Return the schema of captions.parquet, the table with the descriptions of each frame.

    A row has a description of each action unit (AU), and in the column face one of the whole face.

    Args:
        aus: the names of the AUs.
    """
    return pa.schema(
        [("frame_id", pa.int64()), *((au, _CATEGORY) for au in aus), ("face", _CATEGORY)]
    )


PHRASES_SCHEMA = pa.schema(
    [
        ("phrase_id", pa.int32()),
        ("scope", pa.string()),
        ("au", pa.string()),
        ("state", pa.string()),
        ("variant", pa.int8()),
        ("text", pa.string()),
        ("tokens", pa.list_(pa.int32())),
        ("beside", pa.string()),
        ("decides", pa.list_(pa.bool_())),
    ]
)
"""The schema of phrases.parquet, the table with one row per distinct description.

The column beside names the active neighbours that a local description in the composed style
mentions, such as AU06+AU15; it is null for other descriptions. The column decides has, for each
token, whether the labels decide it, given the tokens before it; tables that older versions of fauds
wrote lack both columns.
"""
VOCABULARY_SCHEMA = pa.schema(
    [
        ("scope", pa.string()),
        ("id", pa.int32()),
        ("token", pa.string()),
        ("space", pa.bool_()),
        ("count", pa.int64()),
    ]
)
FOLDS_SCHEMA = pa.schema(
    [("subject", pa.string()), ("fold", pa.int16()), ("protocol", pa.string())]
)
FOLD_STATISTICS_SCHEMA = pa.schema(
    [
        ("fold", pa.int16()),
        ("au", pa.string()),
        ("train_frames", pa.int64()),
        ("train_positives", pa.int64()),
        ("test_frames", pa.int64()),
        ("test_positives", pa.int64()),
        ("weight", pa.float64()),
    ]
)


def predictions_schema(names: Sequence[str], texts: Sequence[str] = ()) -> pa.Schema:
    """Return the schema of predictions.parquet, the table with one row per predicted frame.

    Args:
        names: the names of the action units or classes, each with a column of scores.
        texts: the names of the columns with generated texts, such as AU01_text.
    """
    return pa.schema(
        [
            ("key", pa.string()),
            ("subject", _CATEGORY),
            ("task", _CATEGORY),
            ("frame", pa.int32()),
            ("frame_id", pa.int64()),
            ("fold", pa.int16()),
            *((name, pa.float32()) for name in names),
            *((name, pa.string()) for name in texts),
        ]
    )


def faces_schema() -> pa.Schema:
    """Return the schema of faces.parquet, the table with the face crop of each labelled frame.

    The path of the crop is null for a frame without a crop. The column landmarks names the origin
    of the landmarks; the landmarks themselves are in the column points: x and y of iBUG's 68
    points, one after the other, in pixels of the crop, null for points that are not known. Tables
    that older versions of fauds wrote lack the column points.
    """
    return pa.schema(
        [
            ("frame_id", pa.int64()),
            ("path", pa.string()),
            ("status", _CATEGORY),
            ("transform", pa.list_(pa.float64(), 6)),
            ("inter_ocular", pa.float32()),
            ("eyes", pa.list_(pa.float32(), 4)),
            ("landmarks", _CATEGORY),
            ("points", pa.list_(pa.float32(), 2 * 68)),
            ("outside", pa.bool_()),
            ("eyes_crossed", pa.bool_()),
            ("jump", pa.bool_()),
        ]
    )
