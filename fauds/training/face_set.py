"""The arrays that training reads: image paths, labels, and captions as tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fauds.errors import DataError
from fauds.tables.frames import sampling_units

PAD = 0


@dataclass(frozen=True)
class CaptionTokens:
    """The distinct captions of a dataset as padded tokens.

    Attributes:
        local: int64 [L, T], the local captions, which are about one AU: <bos>, words, <eos>, then
            <pad>. The last row is all <pad> and stands for a missing caption.
        global_: int64 [G, T'], the global captions, which are about the whole face, laid out like
            `local`.
        local_vocabulary: the size of the vocabulary of local captions.
        global_vocabulary: the size of the vocabulary of global captions.
        local_decides: bool, shaped like `local`: which tokens are decision words, which the words
            before them do not determine (see `fauds.captions.decisions`); None if the tables are of
            an older version that did not know them.
        global_decides: the same of `global_`.
    """

    local: np.ndarray
    global_: np.ndarray
    local_vocabulary: int
    global_vocabulary: int
    local_decides: np.ndarray | None = None
    global_decides: np.ndarray | None = None


@dataclass(frozen=True)
class FrameCaptions:
    """The captions of N frames: one local caption for each AU, one global caption for the face.

    Attributes:
        tokens: the distinct captions, to which the other attributes refer.
        local: int32 [N, A], the row of each local caption in `tokens.local`.
        global_: int32 [N], the row of each global caption in `tokens.global_`.
    """

    tokens: CaptionTokens
    local: np.ndarray
    global_: np.ndarray

    def select(self, rows: np.ndarray) -> "FrameCaptions":
        """Return the captions of some frames.

        Args:
            rows: the frames, as a bool mask [N] or as row numbers.
        """
        return FrameCaptions(self.tokens, self.local[rows], self.global_[rows])


@dataclass(frozen=True)
class FaceSet:
    """N frames, each with a face image.

    Attributes:
        frame_ids: int64 [N], unique ids that never change, from which the augmentation is derived.
        images: str [N], the paths of the face images.
        labels: int8, -1 where not coded: for AUs [N, A], 1 active and 0 inactive; for classes that
            exclude each other [N], the index of the true class.
        subjects: str [N], the name of the subject (person) in each frame; the frame's key where the
            subject is unknown, so that every such image counts as another person.
        captions: the captions of the frames; None if the model needs none.
        landmarks: float32 [N, 68, 2], the 68 iBUG points in pixels of the stored images (x right,
            y down), NaN where a frame has no landmarks and for points that its landmarks lack (of
            49 or 66 points); None if no frame has landmarks.
    """

    frame_ids: np.ndarray
    images: np.ndarray
    labels: np.ndarray
    subjects: np.ndarray
    captions: FrameCaptions | None = None
    landmarks: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.frame_ids)

    @cached_property
    def subject_codes(self) -> np.ndarray:
        """The subject of each frame as a number, the same for frames of the same person: int64 [N].

        The numbers count the subjects from 0 in alphabetical order.
        """
        return np.unique(self.subjects, return_inverse=True)[1].astype(np.int64)

    def select(self, rows: np.ndarray) -> "FaceSet":
        """Return some of the frames.

        Args:
            rows: the frames, as a bool mask [N] or as row numbers.
        """
        return FaceSet(
            self.frame_ids[rows],
            self.images[rows],
            self.labels[rows],
            self.subjects[rows],
            self.captions and self.captions.select(rows),
            None if self.landmarks is None else self.landmarks[rows],
        )


def caption_tokens(phrases: pa.Table, vocabulary: pa.Table) -> CaptionTokens:
    """Return the distinct captions as padded tokens, in the order of phrases.parquet.

    Local captions (about one AU) and global captions (about the whole face) are in separate arrays.

    Args:
        phrases: the table phrases.parquet, which has one row for each distinct caption.
        vocabulary: the table vocabulary.parquet, which has one row for each word.
    """
    sizes = {
        scope: pc.sum(pc.equal(vocabulary["scope"], scope)).as_py() for scope in ("local", "global")
    }
    scoped = [phrases.filter(pc.equal(phrases["scope"], scope)) for scope in ("local", "global")]
    padded = [_pad(rows["tokens"].to_pylist()) for rows in scoped]
    decides: list[np.ndarray | None] = [None, None]
    if "decides" in phrases.column_names:
        decides = [_pad(rows["decides"].to_pylist()).astype(bool) for rows in scoped]
    return CaptionTokens(
        padded[0], padded[1], sizes["local"], sizes["global"], decides[0], decides[1]
    )


def _pad(sentences: Sequence[Sequence[int]]) -> np.ndarray:
    longest = max((len(sentence) for sentence in sentences), default=0)
    padded = np.full((len(sentences) + 1, longest), PAD, dtype=np.int64)
    for row, sentence in zip(padded, sentences, strict=False):
        row[: len(sentence)] = sentence
    return padded


def face_set(
    frames: pa.Table,
    root: Path,
    labels: np.ndarray,
    captions: FrameCaptions | None = None,
    landmarks: np.ndarray | None = None,
) -> FaceSet:
    """Return frames as the arrays that training reads.

    Args:
        frames: a table with the columns frame_id, image (a path relative to `root`, never null) and
            subject; and key, if a subject is unknown.
        root: the folder of the images.
        labels: the labels of the frames; see `FaceSet`.
        captions: the captions of the frames; see `FaceSet`.
        landmarks: the landmarks of the frames; see `FaceSet`.
    """
    prefix = str(root).rstrip("/") + "/"
    images = pc.binary_join_element_wise(prefix, frames["image"], "")
    return FaceSet(
        frame_ids=frames["frame_id"].to_numpy(),
        images=images.to_numpy(zero_copy_only=False).astype(str),
        labels=labels,
        subjects=sampling_units(frames),
        captions=captions,
        landmarks=landmarks,
    )


def captions_of(
    captions: pa.Table, phrases: pa.Table, vocabulary: pa.Table, names: Sequence[str]
) -> FrameCaptions:
    """Return the captions of frames as tokens.

    Args:
        captions: the rows of captions.parquet for the frames, in the order of the frames.
        phrases: the table phrases.parquet, which has one row for each distinct caption.
        vocabulary: the table vocabulary.parquet, which has one row for each word.
        names: the columns of `captions` that hold local captions, one for each AU.

    Raises:
        DataError: a caption is missing in phrases.parquet.
    """
    local = [_codes(captions[name], phrases, "local", name) for name in names]
    return FrameCaptions(
        tokens=caption_tokens(phrases, vocabulary),
        local=np.stack(local, axis=1),
        global_=_codes(captions["face"], phrases, "global", None),
    )


def _codes(column: pa.ChunkedArray, phrases: pa.Table, scope: str, au: str | None) -> np.ndarray:
    """Return, for each frame, the row number of its caption among the distinct captions.

    A missing caption gets the number after the last row.

    Args:
        column: the caption of each of N frames, dictionary-encoded text.
        phrases: the table phrases.parquet, which has one row for each distinct caption.
        scope: "local" for captions of an AU, "global" for captions of the whole face.
        au: the AU that the local captions are about; None for global captions.

    Returns:
        int32 [N], the row numbers, counted among the captions of the same scope.
    """
    scoped = phrases.filter(pc.equal(phrases["scope"], scope))
    rows = zip(scoped["au"].to_pylist(), scoped["text"].to_pylist(), strict=True)
    row_of_text = {text: row for row, (owner, text) in enumerate(rows) if owner == au}
    encoded = column.combine_chunks()
    try:
        phrase_rows = [row_of_text[text] for text in encoded.dictionary.to_pylist()]
    except KeyError as error:
        raise DataError(
            f"A caption of captions.parquet is missing in phrases.parquet: {error.args[0]!r}.",
            where=f"captions.parquet, column {au or 'face'}",
            hint="run fauds build-captions again",
        ) from error
    codes = encoded.indices.fill_null(len(phrase_rows)).to_numpy()
    caption_rows: np.ndarray = np.array([*phrase_rows, len(scoped)], dtype=np.int32)[codes]
    return caption_rows
