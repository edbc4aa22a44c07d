"""Face images to batches. Every random choice comes from (seed, epoch, frame): nothing to restore.

Training: a random crop, flip and cutout. Testing: the centre crop.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from fauds.errors import DataError
from fauds.faces.image_decoding import decode
from fauds.nn.base import Batch, Need
from fauds.settings import RunSettings, TrainingSettings
from fauds.training.face_set import FaceSet


@dataclass(frozen=True)
class Sampling:
    """How a stored face becomes a sample.

    Attributes:
        size: side of the square image in pixels.
        seed: of the augmentation, with the epoch and the frame.
        flip: whether half of the training images are mirrored.
        cutout: side of the grey square as a share of the image's.
        cutout_chance: share of training images that get one.
    """

    size: int
    seed: int = 0
    flip: bool = True
    cutout: float = 0.25
    cutout_chance: float = 0.5

    @classmethod
    def of(cls, settings: RunSettings[Any]) -> "Sampling":
        """Return how a run samples."""
        training = settings.training
        return cls(
            settings.model.image_size,
            training.seed,
            training.flip,
            training.cutout,
            training.cutout_chance,
        )


def sample(
    path: str, frame_id: int, sampling: Sampling, epoch: int | None, into: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Load a face as training or testing sees it: what one sample is, in one place.

    Args:
        path: the stored image.
        frame_id: of the frame; what is random depends on it, the seed and the epoch alone.
        epoch: from 0; None for testing: the centre crop.
        into: uint8 [S, S, 3] that takes the image; a new array unless given.

    Returns:
        The image, uint8 [S, S, 3] RGB, and its view [2, 3], see `fauds.nn.base.Batch`.

    Raises:
        DataError: the file is missing or cannot be decoded.
    """
    stored = decode(_read(path), path)
    image = scaled(stored, sampling.size)
    scales = image.shape[1] / stored.shape[1], image.shape[0] / stored.shape[0]
    if epoch is not None:
        rng = np.random.default_rng([sampling.seed, epoch, frame_id])
        image, left, top, mirrored = augment(image, sampling, rng, into)
        return image, _view(scales, left, top, sampling.size if mirrored else None)
    top, left = ((side - sampling.size) // 2 for side in image.shape[:2])
    view = _view(scales, left, top, None)
    if into is None:
        return centre_crop(image, sampling.size), view
    into[:] = centre_crop(image, sampling.size)
    return into, view


def _view(scales: tuple[float, float], left: int, top: int, mirrored: int | None) -> np.ndarray:
    """Return the map of stored pixels to pixels of the sample, float32 [2, 3].

    Args:
        mirrored: the sample's width where it is mirrored.
    """
    # A pixel's middle is at whole numbers: scaling moves edges, not middles.
    x = [scales[0], 0.0, (scales[0] - 1) / 2 - left]
    y = [0.0, scales[1], (scales[1] - 1) / 2 - top]
    if mirrored is not None:
        x = [-x[0], 0.0, mirrored - 1 - x[2]]
    return np.array([x, y], np.float32)


MIRRORED = np.array(
    [
        *range(16, -1, -1),
        *range(26, 16, -1),
        *range(27, 31),
        *range(35, 30, -1),
        *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),
        *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55),
        *(64, 63, 62, 61, 60, 67, 66, 65),
    ]
)
"""The place of each of iBUG's 68 points in a mirrored face, int [68]."""


def viewed(landmarks: np.ndarray, views: np.ndarray) -> np.ndarray:
    """Return landmarks as a view shows them: in a mirrored one, left points are right ones.

    Args:
        landmarks: float [B, 68, 2], pixels of the stored images.
        views: float [B, 2, 3].

    Returns:
        float32 [B, 68, 2], pixels of the samples.
    """
    points = np.einsum("bij,bpj->bpi", views[:, :, :2], landmarks) + views[:, None, :, 2]
    mirrored = views[:, 0, 0] < 0
    points[mirrored] = points[mirrored][:, MIRRORED]
    shown: np.ndarray = points.astype(np.float32)
    return shown


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
    sampling: Sampling,
    rng: np.random.Generator,
    into: np.ndarray | None = None,
) -> tuple[np.ndarray, int, int, bool]:
    """Crop an image at random, mirror it and cut a square out by chance.

    The square is grey (DeVries and Taylor, 2017).

    Args:
        into: uint8 [S, S, 3] that takes it; a new array unless given.

    Returns:
        The image, the left and top edge of the crop, and whether it is mirrored.
    """
    size = sampling.size
    top, left = (int(rng.integers(side - size + 1)) for side in image.shape[:2])
    image = image[top : top + size, left : left + size]
    view = np.empty_like(image, order="C") if into is None else into
    mirrored = bool(sampling.flip and rng.random() < 0.5)
    if mirrored:
        cv2.flip(image, 1, dst=view)  # in a tenth of the time that NumPy takes
    else:
        view[:] = image
    if rng.random() < sampling.cutout_chance:
        half = sampling.cutout * size / 2
        y, x = (int(rng.integers(size)) for _ in range(2))
        # The square's centre may lie anywhere, so that it may stick out, as in the source.
        rows = slice(max(0, int(y - half)), int(y + half))
        view[rows, max(0, int(x - half)) : int(x + half)] = 127
    return view, left, top, mirrored


class _Slots:
    """Images and views of micro-batches, in memory that the loader's processes share.

    The slots are used in turn. New memory of this kind for every micro-batch would cost half as
    much as decoding its images does.

    Args:
        count: slots; largest: frames of the largest micro-batch; size: side in pixels.
        shared: whether other processes fill them.
    """

    def __init__(self, count: int, largest: int, size: int, *, shared: bool) -> None:
        self._images = torch.empty(count, largest, size, size, 3, dtype=torch.uint8)
        self._views = torch.empty(count, largest, 2, 3)
        if shared:
            # torch gives share_memory_ no types.
            self._images.share_memory_()  # type: ignore[no-untyped-call]
            self._views.share_memory_()  # type: ignore[no-untyped-call]

    def images(self, number: int) -> Tensor:
        """Return the images [B, S, S, 3] of the micro-batch of this number."""
        return self._images[number % len(self._images)]

    def views(self, number: int) -> Tensor:
        """Return the views [B, 2, 3] of the micro-batch of this number."""
        return self._views[number % len(self._views)]


class _FaceDataset(Dataset[DataError | None]):
    """Fills a slot with the images of a micro-batch; an item is the first failure, or none.

    Args:
        epoch: None for testing.
    """

    def __init__(
        self, faces: FaceSet, sampling: Sampling, slots: _Slots, epoch: int | None
    ) -> None:
        self._faces, self._sampling, self._epoch = faces, sampling, epoch
        self._slots = slots

    def __getitem__(self, numbered: tuple[int, np.ndarray]) -> DataError | None:
        number, rows = numbered
        images, views = self._slots.images(number).numpy(), self._slots.views(number).numpy()
        try:
            for place, row in enumerate(rows.tolist()):
                _, views[place] = sample(
                    str(self._faces.images[row]),
                    int(self._faces.frame_ids[row]),
                    self._sampling,
                    self._epoch,
                    images[place],
                )
        except DataError as error:
            # Raised in a loader's process it would come back as a traceback in a string.
            return error
        return None


class _Order(Sampler[tuple[int, np.ndarray]]):
    """The rows of each micro-batch, numbered.

    Attributes:
        passes: rows, one array a micro-batch.
        placeholders: bool a micro-batch: whether its only frame is a placeholder.
    """

    def __init__(self, shares: list[np.ndarray], spare: list[int]) -> None:
        self.placeholders = [not len(rows) for rows in shares]
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
    settings: RunSettings[Any],
    *,
    epoch: int | None,
    workers: int,
    needs: Collection[Need] = (),
    rank: int = 0,
    world: int = 1,
    pin: bool = False,
) -> Iterator[Batch]:
    """Yield the batches of one epoch, images uint8.

    Training: each step's batch is shared out among `world` processes, and each share again among
    ``training.accumulate`` micro-batches; a process gets so many for every step. Where a last
    batch has too few frames, a micro-batch holds a placeholder: a frame without labels and
    captions, and no rows.
    Testing: all frames in order, centre crops; whole batches are dealt round the processes.

    Args:
        epoch: from 0; None for testing.
        workers: loader processes; 0 loads in this one.
        needs: what a batch must hold besides images and labels, and `faces` has.
        rank, world: this process's number, and how many there are.
        pin: in page-locked memory, for a GPU.
    """
    size = settings.inference.batch_size
    if epoch is None:
        order = _testing_order(len(faces), size, rank, world)
    else:
        order = _training_order(len(faces), settings.training, epoch, rank, world)
    sampling = Sampling.of(settings)
    # One slot for each micro-batch under way, and one for that which is being taken out.
    largest = max(map(len, order.passes), default=0)
    slots = _Slots(_AHEAD * workers + 1, largest, sampling.size, shared=workers > 0)
    loader = DataLoader(
        _FaceDataset(faces, sampling, slots, epoch),
        sampler=order,
        batch_size=None,
        # Without a batch size it is given single items, which torch's types leave out.
        collate_fn=_as_it_is,  # type: ignore[arg-type]
        num_workers=workers,
        prefetch_factor=_AHEAD if workers else None,
    )
    # No variable may hold the loader's iterator: an error keeps its frame's variables, and with
    # them the loader's processes.
    for number, (failure, rows, placeholder) in enumerate(
        zip(loader, order.passes, order.placeholders, strict=True)
    ):
        if failure is not None:
            raise failure
        images = _copied(slots.images(number)[: len(rows)], pin)
        views = slots.views(number)[: len(rows)].clone()
        batch = _batch(faces, rows, images, views, needs)
        yield _without_content(batch) if placeholder else batch


_AHEAD = 2
"""Micro-batches that each loader process is ahead of the training."""


def _copied(images: Tensor, pin: bool) -> Tensor:
    if pin:
        return torch.empty_like(images, pin_memory=True).copy_(images)
    # NumPy asks Linux for large pages, which to clear takes a third of the time.
    return torch.from_numpy(images.numpy().copy())


def _as_it_is(item: DataError | None) -> DataError | None:
    return item


def _batch(
    faces: FaceSet, at: np.ndarray, images: Tensor, views: Tensor, needs: Collection[Need]
) -> Batch:
    more: dict[str, Tensor] = {}
    if "captions" in needs and faces.captions is not None:
        captions, tokens = faces.captions, faces.captions.tokens
        more["local"] = torch.from_numpy(_trim(tokens.local[captions.local[at]]))
        more["global_"] = torch.from_numpy(_trim(tokens.global_[captions.global_[at]]))
    if "landmarks" in needs and faces.landmarks is not None:
        more["landmarks"] = torch.from_numpy(viewed(faces.landmarks[at], views.numpy()))
    if "subjects" in needs:
        more["subjects"] = torch.from_numpy(faces.subject_codes[at])
    return Batch(
        images=images.permute(0, 3, 1, 2),
        labels=torch.from_numpy(faces.labels[at].astype(np.int64)),
        rows=torch.from_numpy(at),
        views=views,
        **more,
    )


def _without_content(batch: Batch) -> Batch:
    """Return a batch whose frames count for nothing."""
    empty = {
        name: torch.zeros_like(tokens)
        for name, tokens in (("local", batch.local), ("global_", batch.global_))
        if tokens is not None
    }
    if batch.landmarks is not None:
        empty["landmarks"] = torch.full_like(batch.landmarks, torch.nan)
    return replace(batch, rows=batch.rows[:0], labels=torch.full_like(batch.labels, -1), **empty)


def _trim(tokens: np.ndarray) -> np.ndarray:
    used = np.flatnonzero((tokens != 0).any(axis=tuple(range(tokens.ndim - 1))))
    return tokens[..., : used[-1] + 1 if len(used) else 1]
