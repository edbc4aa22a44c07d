"""A torch Dataset of aligned faces with labels and captions, for users' own training loops.

Its images are loaded like those of ``fauds bench``, by `fauds.training.batches.sample`.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from fauds.training.batches import Sampling, map_landmarks, sample
from fauds.training.face_set import FaceSet


class Samples(Dataset[dict[str, Any]]):
    """N faces; an item is a dict that PyTorch's default collation puts into batches.

    Keys of an item:
        image: uint8 [3, S, S], RGB, or the result of `transform`.
        labels: int64, -1 where not coded: for AUs [A], 1 active and 0 inactive; for classes that
            exclude each other a scalar, the index of the class.
        key: the unique id of the frame, for example "F001/T1/2440" (subject, task, frame).
        texts: a dict of the descriptions of the frame: one for each AU under its name, and one for
            the whole face under "face"; "" where a description is missing. Only with captions.
        local_tokens: int64 [A, T], the descriptions of the AUs as tokens: <bos>, words, <eos>, then
            <pad>; only with captions.
        face_tokens: int64 [T'], the description of the face, laid out like a row of
            `local_tokens`; only with captions.
        landmarks: float32 [68, 2], pixels of the image, NaN where the frame has none; only if the
            dataset has landmarks.

    Args:
        faces: the frames.
        keys: the unique ids of the frames, str [N].
        sampling: the size and the augmentation of the images.
        train: whether to augment images; otherwise they are centre crops.
        texts: the distinct descriptions as text, in the order of the rows of their tokens, under
            "local" (of an AU) and "global" (of the whole face).
        names: the names of the AUs that have descriptions.
        transform: a function that is called with the image, uint8 [3, S, S]; its result replaces
            the image.
    """

    def __init__(
        self,
        faces: FaceSet,
        keys: np.ndarray,
        sampling: Sampling,
        *,
        train: bool,
        texts: dict[str, list[str]] | None = None,
        names: tuple[str, ...] = (),
        transform: Any = None,
    ) -> None:
        self.faces, self.keys, self.sampling = faces, keys, sampling
        self._train, self._texts, self._names = train, texts, names
        self._transform = transform
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the number of the epoch, from 0, from which the random augmentation is derived.

        Call it before iterating over the DataLoader. With ``persistent_workers``, the loader's
        processes keep the epoch that they began with.
        """
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self.faces)

    def __getitem__(self, row: int) -> dict[str, Any]:
        faces = self.faces
        epoch = self._epoch if self._train else None
        image, view = sample(
            str(faces.images[row]), int(faces.frame_ids[row]), self.sampling, epoch
        )
        pixels = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
        item: dict[str, Any] = {
            "image": pixels if self._transform is None else self._transform(pixels),
            "labels": torch.from_numpy(np.asarray(faces.labels[row], np.int64)),
            "key": str(self.keys[row]),
        }
        if faces.captions is not None:
            item |= self._captions(row)
        if faces.landmarks is not None:
            points = map_landmarks(faces.landmarks[row : row + 1], view[None])[0]
            item["landmarks"] = torch.from_numpy(points)
        return item

    def _captions(self, row: int) -> dict[str, Any]:
        captions = self.faces.captions
        if captions is None:
            return {}
        local, face = captions.local[row], int(captions.global_[row])
        item: dict[str, Any] = {
            "local_tokens": _tensor(captions.tokens.local[local]),
            "face_tokens": _tensor(captions.tokens.global_[face]),
        }
        if self._texts is not None:
            # The row after the last text stands for a missing description.
            of_local, of_face = [*self._texts["local"], ""], [*self._texts["global"], ""]
            names = zip(self._names, local.tolist(), strict=True)
            item["texts"] = {name: of_local[place] for name, place in names}
            item["texts"]["face"] = of_face[face]
        return item


def _tensor(tokens: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(tokens))
