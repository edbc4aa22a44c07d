"""The arrays that training reads: image paths, labels, captions as tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fauds.errors import DataError

PAD = 0


@dataclass(frozen=True)
class CaptionTokens:
    """Distinct captions as padded tokens.

    Attributes:
        local: int64 [L, T], global_: int64 [G, T']; <bos> words <eos> <pad>.. The last row of
            each is all padding: the caption of a frame that has none.
        local_vocabulary, global_vocabulary: their sizes.
    """

    local: np.ndarray
    global_: np.ndarray
    local_vocabulary: int
    global_vocabulary: int


@dataclass(frozen=True)
class FrameCaptions:
    """The captions of N frames.

    Attributes:
        tokens: the distinct captions.
        local: int32 [N, A] and global_: int32 [N], rows of `tokens`.
    """

    tokens: CaptionTokens
    local: np.ndarray
    global_: np.ndarray

    def where(self, rows: np.ndarray) -> "FrameCaptions":
        """Return the captions of a bool mask or of row numbers."""
        return FrameCaptions(self.tokens, self.local[rows], self.global_[rows])


@dataclass(frozen=True)
class FaceSet:
    """N frames with a face image each.

    Attributes:
        frame_ids: int64 [N], unique and lasting: augmentation is derived from them.
        images: str [N], paths.
        labels: int8, -1 where not coded: [N, A], 1 active and 0 inactive; or [N], the class.
        subjects: str [N].
        captions: None where no model needs them.
        landmarks: float32 [N, 68, 2], pixels of the stored images (x right, y down) in iBUG's
            order, NaN where a frame has none; None where there are none at all.
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
        """The same number for frames of the same subject, int64 [N]."""
        return np.unique(self.subjects, return_inverse=True)[1].astype(np.int64)

    def where(self, rows: np.ndarray) -> "FaceSet":
        """Return the frames of a bool mask or of row numbers."""
        return FaceSet(
            self.frame_ids[rows],
            self.images[rows],
            self.labels[rows],
            self.subjects[rows],
            self.captions and self.captions.where(rows),
            None if self.landmarks is None else self.landmarks[rows],
        )


def caption_tokens(phrases: pa.Table, vocabulary: pa.Table) -> CaptionTokens:
    """Return the distinct captions of phrases.parquet, in its order within each scope."""
    sizes = {
        scope: pc.sum(pc.equal(vocabulary["scope"], scope)).as_py() for scope in ("local", "global")
    }
    padded = {
        scope: _pad(phrases.filter(pc.equal(phrases["scope"], scope))["tokens"].to_pylist())
        for scope in ("local", "global")
    }
    return CaptionTokens(padded["local"], padded["global"], sizes["local"], sizes["global"])


def _pad(sentences: Sequence[Sequence[int]]) -> np.ndarray:
    longest = max((len(sentence) for sentence in sentences), default=0)
    padded = np.full((len(sentences) + 1, longest), PAD, dtype=np.int64)
    for row, sentence in zip(padded, sentences, strict=False):
        row[: len(sentence)] = sentence
    return padded


def face_set(
    frames: pa.Table, root: Path, labels: np.ndarray, captions: FrameCaptions | None = None
) -> FaceSet:
    """Return frames, all with an image, as arrays.

    Args:
        frames: frame_id, image (relative to `root`) and subject.
        labels, captions: see `FaceSet`.
    """
    prefix = str(root).rstrip("/") + "/"
    images = pc.binary_join_element_wise(prefix, frames["image"], "")
    return FaceSet(
        frame_ids=frames["frame_id"].to_numpy(),
        images=images.to_numpy(zero_copy_only=False).astype(str),
        labels=labels,
        subjects=frames["subject"].cast(pa.string()).to_numpy(zero_copy_only=False).astype(str),
        captions=captions,
    )


def captions_of(
    captions: pa.Table, phrases: pa.Table, vocabulary: pa.Table, names: Sequence[str]
) -> FrameCaptions:
    """Return the captions of frames, row by row.

    Args:
        captions: rows of captions.parquet; phrases, vocabulary: the tables beside it.
        names: the columns of local captions.

    Raises:
        DataError: a caption is not among the phrases.
    """
    local = [_codes(captions[name], phrases, "local", name) for name in names]
    return FrameCaptions(
        tokens=caption_tokens(phrases, vocabulary),
        local=np.stack(local, axis=1),
        global_=_codes(captions["face"], phrases, "global", None),
    )


def _codes(column: pa.ChunkedArray, phrases: pa.Table, scope: str, au: str | None) -> np.ndarray:
    """Return each frame's row in the scope's phrases, the one past the end for a null."""
    scoped = phrases.filter(pc.equal(phrases["scope"], scope))
    rows = zip(scoped["au"].to_pylist(), scoped["text"].to_pylist(), strict=True)
    place = {text: row for row, (owner, text) in enumerate(rows) if owner == au}
    encoded = column.combine_chunks()
    try:
        known = [place[text] for text in encoded.dictionary.to_pylist()]
    except KeyError as error:
        raise DataError(
            f"A caption is not in phrases.parquet: {error.args[0]!r}.",
            hint="run fauds build-captions again",
        ) from error
    codes = encoded.indices.fill_null(len(known)).to_numpy()
    phrase_rows: np.ndarray = np.array([*known, len(scoped)], dtype=np.int32)[codes]
    return phrase_rows
