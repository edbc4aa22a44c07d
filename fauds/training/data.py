"""The tables of a workspace as arrays that training reads: image paths, labels, caption codes."""

from collections.abc import Sequence
from dataclasses import dataclass
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
class FaceSet:
    """N frames with a face image each.

    Attributes:
        frame_ids: int64 [N], unique and lasting: augmentation is derived from them.
        images: str [N], paths.
        labels: int8 [N, A], 1 active, 0 inactive, -1 not coded.
        local: int32 [N, A] and global_: int32 [N], rows of `CaptionTokens`.
        subjects: str [N].
    """

    frame_ids: np.ndarray
    images: np.ndarray
    labels: np.ndarray
    local: np.ndarray
    global_: np.ndarray
    subjects: np.ndarray

    def __len__(self) -> int:
        return len(self.frame_ids)

    def where(self, rows: np.ndarray) -> "FaceSet":
        """Return the frames of a bool mask or of row numbers."""
        return FaceSet(**{name: getattr(self, name)[rows] for name in self.__dataclass_fields__})


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
    frames: pa.Table, captions: pa.Table, phrases: pa.Table, root: Path, aus: Sequence[str]
) -> FaceSet:
    """Join frames (all with an image) with the codes of their captions, row by row.

    Raises:
        DataError: a caption is not among the phrases.
    """
    prefix = str(root).rstrip("/") + "/"
    images = pc.binary_join_element_wise(prefix, frames["image"], "")
    labels = [frames[au].fill_null(-1).to_numpy() for au in aus]
    local = [_codes(captions[au], phrases, "local", au) for au in aus]
    return FaceSet(
        frame_ids=frames["frame_id"].to_numpy(),
        images=images.to_numpy(zero_copy_only=False).astype(str),
        labels=np.stack(labels, axis=1),
        local=np.stack(local, axis=1),
        global_=_codes(captions["face"], phrases, "global", None),
        subjects=frames["subject"].cast(pa.string()).to_numpy(zero_copy_only=False).astype(str),
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
    return np.array([*known, len(scoped)], dtype=np.int32)[codes]
