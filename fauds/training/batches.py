"""Face images to batches. Every random choice comes from (seed, epoch, frame): nothing to restore.

Training: a random crop, flip and cutout. Testing: the centre crop.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from fauds.errors import DataError
from fauds.faces.decode import decode
from fauds.settings import RunSettings
from fauds.training.data import CaptionTokens, FaceSet


@dataclass(frozen=True)
class Batch:
    """B frames.

    Attributes:
        rows: [B] long, rows of the `FaceSet`.
        images: [B, 3, S, S] uint8, RGB.
        labels: [B, A] long, -1 where not coded.
        local: [B, A, T] long and global_: [B, T'] long, cut to the longest caption of the batch.
    """

    rows: Tensor
    images: Tensor
    labels: Tensor
    local: Tensor
    global_: Tensor


def load_face(path: str, size: int) -> np.ndarray:
    """Read an image as RGB uint8 [H, W, 3], its shorter side scaled to 8/7 of `size`.

    8/7 leaves an eighth of the side for the random crop: 256 to 224, 128 to 112.

    Raises:
        DataError: the file is missing or cannot be decoded.
    """
    return scaled(decode(_read(Path(path)), path), size)


def scaled(image: np.ndarray, size: int) -> np.ndarray:
    """Return an image, uint8 [H, W, 3], with its shorter side scaled to 8/7 of `size`."""
    scale = round(size * 8 / 7) / min(image.shape[:2])
    if scale != 1:
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=way)
    return image


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"The image cannot be read: {error.strerror}.",
            where=path,
            hint="if the images have moved, read them again: --root FOLDER, or --faces DIR",
        ) from error


def centre_crop(image: np.ndarray, size: int) -> np.ndarray:
    """Return the middle of an image, [size, size, 3]."""
    top, left = ((side - size) // 2 for side in image.shape[:2])
    return image[top : top + size, left : left + size]


def augment(image: np.ndarray, settings: RunSettings, rng: np.random.Generator) -> np.ndarray:
    """Return a random crop, flipped and cut out by chance (DeVries and Taylor 2017, grey fill)."""
    size, training = settings.model.image_size, settings.training
    top, left = (int(rng.integers(side - size + 1)) for side in image.shape[:2])
    image = image[top : top + size, left : left + size]
    if training.flip and rng.random() < 0.5:
        image = image[:, ::-1]
    image = np.ascontiguousarray(image)
    if rng.random() < training.cutout_chance:
        half = training.cutout * size / 2
        y, x = rng.integers(size, size=2)
        # The square's centre may lie anywhere, so that it may stick out, as in the source.
        rows = slice(max(0, int(y - half)), int(y + half))
        image[rows, max(0, int(x - half)) : int(x + half)] = 127
    return image


class _Faces(Dataset):
    """Items by (epoch, row), as uint8 [3, S, S]; epoch -1 is testing."""

    def __init__(self, faces: FaceSet, settings: RunSettings) -> None:
        self._faces = faces
        self._settings = settings

    def __getitem__(self, key: tuple[int, int]) -> tuple[int, np.ndarray | DataError]:
        epoch, row = key
        size = self._settings.model.image_size
        try:
            image = load_face(str(self._faces.images[row]), size)
        except DataError as error:
            # Raised in a loader's process it would come back as a traceback in a string.
            return row, error
        if epoch < 0:
            image = centre_crop(image, size)
        else:
            seed = [self._settings.training.seed, epoch, int(self._faces.frame_ids[row])]
            image = augment(image, self._settings, np.random.default_rng(seed))
        return row, image.transpose(2, 0, 1)


class _Order(Sampler):
    """Batches of (epoch, row); shuffled by (seed, epoch) in training, in order in testing."""

    def __init__(self, rows: int, batch_size: int, seed: int, epoch: int) -> None:
        shuffled = np.random.default_rng([seed, epoch]).permutation(rows) if epoch >= 0 else None
        order = np.arange(rows) if shuffled is None else shuffled
        cuts = range(0, rows, batch_size)
        self._batches = [[(epoch, int(row)) for row in order[i : i + batch_size]] for i in cuts]

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        return iter(self._batches)

    def __len__(self) -> int:
        return len(self._batches)


def batches(
    faces: FaceSet, tokens: CaptionTokens, settings: RunSettings, *, epoch: int | None, workers: int
) -> Iterator[Batch]:
    """Yield the batches of one epoch.

    Args:
        epoch: from 0; None for testing: all frames in order, centre crops, larger batches.
        workers: loader processes; 0 loads in this one.
    """
    testing = epoch is None
    size = settings.inference.batch_size if testing else settings.training.batch_size
    order = _Order(len(faces), size, settings.training.seed, -1 if testing else epoch)
    loader = DataLoader(
        _Faces(faces, settings), batch_sampler=order, num_workers=workers, collate_fn=_stack
    )
    for loaded in loader:
        if isinstance(loaded, DataError):
            raise loaded
        rows, images = loaded
        at = rows.numpy()
        yield Batch(
            rows=rows,
            images=images,
            labels=torch.from_numpy(faces.labels[at].astype(np.int64)),
            local=torch.from_numpy(_trim(tokens.local[faces.local[at]])),
            global_=torch.from_numpy(_trim(tokens.global_[faces.global_[at]])),
        )


def _stack(items: list[tuple[int, np.ndarray | DataError]]) -> tuple[Tensor, Tensor] | DataError:
    rows, images = zip(*items, strict=True)
    broken = [image for image in images if isinstance(image, DataError)]
    return broken[0] if broken else (torch.tensor(rows), torch.from_numpy(np.stack(images)))


def _trim(tokens: np.ndarray) -> np.ndarray:
    used = np.flatnonzero((tokens != 0).any(axis=tuple(range(tokens.ndim - 1))))
    return tokens[..., : used[-1] + 1 if len(used) else 1]
