"""Face images to batches. Every random choice comes from (seed, epoch, frame): nothing to restore.

Training: a random crop, flip and cutout. Testing: the centre crop.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from fauds.errors import DataError
from fauds.faces.decode import decode
from fauds.settings import RunSettings, TrainingSettings
from fauds.training.data import CaptionTokens, FaceSet


@dataclass(frozen=True)
class Batch:
    """B frames.

    Attributes:
        rows: [B] long, rows of the `FaceSet`; none for a stand-in.
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
    return scaled(decode(_read(path), path), size)


def scaled(image: np.ndarray, size: int) -> np.ndarray:
    """Return an image, uint8 [H, W, 3], with its shorter side scaled to 8/7 of `size`."""
    scale = round(size * 8 / 7) / min(image.shape[:2])
    if scale != 1:
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=way)
    return image


def _read(path: str) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read()
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


def augment(
    image: np.ndarray,
    settings: RunSettings,
    rng: np.random.Generator,
    into: np.ndarray | None = None,
) -> np.ndarray:
    """Return a random crop, flipped and cut out by chance (DeVries and Taylor 2017, grey fill).

    Args:
        into: uint8 [S, S, 3] that takes it; a new array unless given.
    """
    size, training = settings.model.image_size, settings.training
    top, left = (int(rng.integers(side - size + 1)) for side in image.shape[:2])
    image = image[top : top + size, left : left + size]
    view = np.empty_like(image, order="C") if into is None else into
    if training.flip and rng.random() < 0.5:
        cv2.flip(image, 1, dst=view)  # in a tenth of the time that NumPy takes
    else:
        view[:] = image
    if rng.random() < training.cutout_chance:
        half = training.cutout * size / 2
        y, x = (int(rng.integers(size)) for _ in range(2))
        # The square's centre may lie anywhere, so that it may stick out, as in the source.
        rows = slice(max(0, int(y - half)), int(y + half))
        view[rows, max(0, int(x - half)) : int(x + half)] = 127
    return view


class _Faces(Dataset):
    """Fills one of its slots with the images of a pass; an item is the first failure, or none.

    The slots are used in turn, in memory that the loader's processes share. A new piece of such
    memory for every pass would cost half as much as decoding its images does.

    Args:
        slots: [L, B, S, S, 3] uint8.
        epoch: None for testing.
    """

    def __init__(
        self, faces: FaceSet, settings: RunSettings, slots: Tensor, epoch: int | None
    ) -> None:
        self._faces, self._settings, self._epoch = faces, settings, epoch
        self._slots = slots

    def __getitem__(self, numbered: tuple[int, np.ndarray]) -> DataError | None:
        number, rows = numbered
        try:
            for row, into in zip(rows, self.images(number).numpy(), strict=False):
                self._load(int(row), into)
        except DataError as error:
            # Raised in a loader's process it would come back as a traceback in a string.
            return error
        return None

    def images(self, number: int) -> Tensor:
        """The slot of the pass of this number."""
        return self._slots[number % len(self._slots)]

    def _load(self, row: int, into: np.ndarray) -> None:
        size = self._settings.model.image_size
        image = load_face(str(self._faces.images[row]), size)
        if self._epoch is None:
            into[:] = centre_crop(image, size)
            return
        seed = [self._settings.training.seed, self._epoch, int(self._faces.frame_ids[row])]
        augment(image, self._settings, np.random.default_rng(seed), into)


class _Order(Sampler):
    """The rows of each pass, numbered.

    Attributes:
        passes: rows, one array a pass.
        stand_ins: bool a pass: whether its frame is there only because no other was left.
    """

    def __init__(self, shares: list[np.ndarray], spare: list[int]) -> None:
        self.stand_ins = [not len(rows) for rows in shares]
        pairs = zip(shares, spare, strict=True)
        self.passes = [rows if len(rows) else np.array([row]) for rows, row in pairs]

    def __iter__(self) -> Iterator[tuple[int, np.ndarray]]:
        return iter(enumerate(self.passes))

    def __len__(self) -> int:
        return len(self.passes)


def _training_order(
    rows: int, settings: TrainingSettings, epoch: int, rank: int, world: int
) -> _Order:
    order = np.random.default_rng([settings.seed, epoch]).permutation(rows)
    cuts = np.arange(settings.batch_size, rows, settings.batch_size)
    passes = settings.accumulate
    mine = slice(rank * passes, (rank + 1) * passes)
    whole = np.split(order, cuts)
    shares = [share for batch in whole for share in np.array_split(batch, world * passes)[mine]]
    spare = [int(batch[0]) for batch in whole for _ in range(passes)]
    return _Order(shares, spare)


def _testing_order(rows: int, size: int, rank: int, world: int) -> _Order:
    shares = np.split(np.arange(rows), np.arange(size, rows, size))[rank::world]
    return _Order(shares, [0] * len(shares))


def batches(
    faces: FaceSet,
    tokens: CaptionTokens,
    settings: RunSettings,
    *,
    epoch: int | None,
    workers: int,
    rank: int = 0,
    world: int = 1,
    pin: bool = False,
) -> Iterator[Batch]:
    """Yield the batches of one epoch.

    Training: each step's batch is shared out among `world` processes, and each share again among
    ``training.accumulate`` passes; a process gets so many passes for every step. Where a last
    batch has too few frames, a pass holds a stand-in: a face without labels and captions, and no
    rows. Testing: all frames in order, centre crops; whole batches are dealt round the processes.

    Args:
        epoch: from 0; None for testing.
        workers: loader processes; 0 loads in this one.
        rank, world: this process's number, and how many there are.
        pin: in page-locked memory, for a GPU.
    """
    size = settings.inference.batch_size
    if epoch is None:
        order = _testing_order(len(faces), size, rank, world)
    else:
        order = _training_order(len(faces), settings.training, epoch, rank, world)
    loaded = _Faces(faces, settings, _slots(order, settings.model.image_size, workers), epoch)
    loader = DataLoader(
        loaded,
        sampler=order,
        batch_size=None,
        collate_fn=_as_it_is,
        num_workers=workers,
        prefetch_factor=_AHEAD if workers else None,
    )
    # No variable may hold the loader's iterator: an error keeps its frame's variables, and with
    # them the loader's processes.
    for number, (failure, rows, stand_in) in enumerate(
        zip(loader, order.passes, order.stand_ins, strict=True)
    ):
        if failure is not None:
            raise failure
        images = _copied(loaded.images(number)[: len(rows)], pin)
        batch = _batch(faces, tokens, rows, images)
        yield _without_content(batch) if stand_in else batch


_AHEAD = 2
"""Passes that each loader process is ahead of the training."""


def _slots(order: _Order, size: int, workers: int) -> Tensor:
    """One slot for each pass under way, and one for that which is being taken out."""
    largest = max(map(len, order.passes), default=0)
    slots = torch.empty(_AHEAD * workers + 1, largest, size, size, 3, dtype=torch.uint8)
    return slots.share_memory_() if workers else slots


def _copied(images: Tensor, pin: bool) -> Tensor:
    if pin:
        return torch.empty_like(images, pin_memory=True).copy_(images)
    # NumPy asks Linux for large pages, which to clear takes a third of the time.
    return torch.from_numpy(images.numpy().copy())


def _as_it_is(item: DataError | None) -> DataError | None:
    return item


def _batch(faces: FaceSet, tokens: CaptionTokens, at: np.ndarray, images: Tensor) -> Batch:
    return Batch(
        rows=torch.from_numpy(at),
        images=images.permute(0, 3, 1, 2),
        labels=torch.from_numpy(faces.labels[at].astype(np.int64)),
        local=torch.from_numpy(_trim(tokens.local[faces.local[at]])),
        global_=torch.from_numpy(_trim(tokens.global_[faces.global_[at]])),
    )


def _without_content(batch: Batch) -> Batch:
    return Batch(
        rows=batch.rows[:0],
        images=batch.images,
        labels=torch.full_like(batch.labels, -1),
        local=torch.zeros_like(batch.local),
        global_=torch.zeros_like(batch.global_),
    )


def _trim(tokens: np.ndarray) -> np.ndarray:
    used = np.flatnonzero((tokens != 0).any(axis=tuple(range(tokens.ndim - 1))))
    return tokens[..., : used[-1] + 1 if len(used) else 1]
