"""Batches of face images with their labels and captions.

Training images get a random crop, flip, cutout and change of colour, test images the centre crop.
Every random choice is derived from (seed, epoch, frame), so that a resumed training has no state to
restore.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from fauds import launcher
from fauds.errors import DataError
from fauds.faces.image_decoding import decode
from fauds.facs import MIRRORED_POINTS
from fauds.nn.base import Batch, Need
from fauds.settings import RunSettings, TrainingSettings
from fauds.tables.disk import free_space
from fauds.training.colour_jitter import jitter_colours
from fauds.training.face_set import FaceSet


@dataclass(frozen=True)
class Sampling:
    """Settings of the crop and the augmentation of face images.

    Attributes:
        size: the side of the square image in pixels.
        seed: the seed of the random augmentation, used together with the epoch and the frame's id.
        flip: whether half of the training images are mirrored.
        cutout: the side of the grey square that hides a part of the image (cutout), as a share of
            the side of the image, 0 to 1.
        cutout_chance: the share of training images that get a grey square, 0 to 1.
        colour_jitter: the largest relative change of brightness, contrast and saturation of a
            training image, 0 to 1; 0 for no change.
    """

    size: int
    seed: int = 0
    flip: bool = True
    cutout: float = 0.25
    cutout_chance: float = 0.5
    colour_jitter: float = 0.0

    @classmethod
    def from_settings(cls, settings: RunSettings[Any]) -> "Sampling":
        """Return the crop and augmentation that the settings of a run describe."""
        training = settings.training
        return cls(
            settings.model.image_size,
            training.seed,
            training.flip,
            training.cutout,
            training.cutout_chance,
            training.colour_jitter,
        )


def sample(
    path: str, frame_id: int, sampling: Sampling, epoch: int | None, into: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Load a face image, cropped and augmented for training or cropped for testing.

    Args:
        path: the file of the stored image.
        frame_id: the id of the frame; the augmentation depends only on it, the seed and the epoch.
        sampling: the size and the augmentation.
        epoch: the epoch, from 0; None for testing, which takes the centre crop.
        into: uint8 [S, S, 3], the array to write the image into; a new array unless given.

    Returns:
        The image, uint8 [S, S, 3] RGB; and its view, float32 [2, 3], the affine map from pixels of
        the stored image to pixels of the returned image.

    Raises:
        DataError: the file is missing or cannot be decoded.
    """
    stored = decode(_read(path), path)
    image = scale_shorter_side(stored, sampling.size)
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
    """Return the affine map from pixels of a stored image to pixels of its crop, float32 [2, 3].

    The stored image is scaled, then cropped, then possibly mirrored.

    Args:
        scales: the scaling factors along x and y.
        left, top: the corner of the crop in pixels of the scaled image.
        mirrored: the width of the crop in pixels if it is mirrored; otherwise None.
    """
    # Whole coordinates are pixel centres, but scaling keeps the position of pixel edges.
    x = [scales[0], 0.0, (scales[0] - 1) / 2 - left]
    y = [0.0, scales[1], (scales[1] - 1) / 2 - top]
    if mirrored is not None:
        x = [-x[0], 0.0, mirrored - 1 - x[2]]
    return np.array([x, y], np.float32)


_MIRRORED = np.array(MIRRORED_POINTS)


def map_landmarks(landmarks: np.ndarray, views: np.ndarray) -> np.ndarray:
    """Return the landmarks of faces in pixels of their cropped, possibly mirrored images.

    In a mirrored image, points of the left and the right side of the face are exchanged, so that
    the order of the 68 points stays that of iBUG.

    Args:
        landmarks: float [B, 68, 2], x and y in pixels of the stored images.
        views: float [B, 2, 3], the affine maps from pixels of the stored images to pixels of the
            cropped images.

    Returns:
        float32 [B, 68, 2], x and y in pixels of the cropped images.
    """
    points = np.einsum("bij,bpj->bpi", views[:, :, :2], landmarks) + views[:, None, :, 2]
    mirrored = views[:, 0, 0] < 0
    points[mirrored] = points[mirrored][:, _MIRRORED]
    mapped: np.ndarray = points.astype(np.float32)
    return mapped


def load_face(path: str, size: int) -> np.ndarray:
    """Read an image as RGB uint8 [H, W, 3], with its shorter side scaled to 8/7 of `size`.

    The scaled image is larger than the crop that is taken from it later, so that there is room for
    a random position: the shorter side has 256 pixels for a crop of 224 pixels, 128 for 112.

    Args:
        path: the file of the image.
        size: the side of the later crop in pixels.

    Raises:
        DataError: the file is missing or cannot be decoded.
    """
    return scale_shorter_side(decode(_read(path), path), size)


def scale_shorter_side(image: np.ndarray, size: int) -> np.ndarray:
    """Return an image, uint8 [H, W, 3], with its shorter side scaled to 8/7 of `size` pixels."""
    scale = round(size * 8 / 7) / min(image.shape[:2])
    if scale != 1:
        interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=interpolation)
    return image


def _read(path: str) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read()
    except OSError as error:
        raise DataError(
            f"The image cannot be read: {error.strerror}.",
            where=path,
            hint="if the images have moved, give their folder: --root FOLDER, or --faces DIR",
        ) from error


def centre_crop(image: np.ndarray, size: int) -> np.ndarray:
    """Return the square in the middle of an image, with a side of `size` pixels.

    Args:
        image: the image, [H, W, 3].
        size: the side of the square in pixels.
    """
    top, left = ((side - size) // 2 for side in image.shape[:2])
    return image[top : top + size, left : left + size]


def augment(
    image: np.ndarray,
    sampling: Sampling,
    rng: np.random.Generator,
    into: np.ndarray | None = None,
) -> tuple[np.ndarray, int, int, bool]:
    """Return a random crop of an image, mirrored, recoloured and with a grey square at random.

    The grey square (cutout) follows DeVries and Taylor (2017).

    Args:
        image: the image, uint8 [H, W, 3]; it is not changed.
        sampling: the size of the crop, the probabilities of mirroring and cutout, and the strength
            of the colour jitter.
        rng: the source of the random choices.
        into: uint8 [S, S, 3], the array to write the crop into; a new array unless given.

    Returns:
        The crop; the position of its left and of its top edge in `image`, in pixels; and whether
        the crop is mirrored.
    """
    size = sampling.size
    top, left = (int(rng.integers(side - size + 1)) for side in image.shape[:2])
    image = image[top : top + size, left : left + size]
    view = np.empty_like(image, order="C") if into is None else into
    mirrored = bool(sampling.flip and rng.random() < 0.5)
    if mirrored:
        cv2.flip(image, 1, dst=view)  # ten times as fast as NumPy
    else:
        view[:] = image
    hidden: tuple[slice, slice] | None = None
    if rng.random() < sampling.cutout_chance:
        half = sampling.cutout * size / 2
        y, x = (int(rng.integers(size)) for _ in range(2))
        # As in the paper, the square's centre may be anywhere, so that it may exceed the image.
        rows = slice(max(0, int(y - half)), int(y + half))
        hidden = rows, slice(max(0, int(x - half)), int(x + half))
    # Drawn last, so that the setting changes no other choice; done first, so that grey stays grey.
    if sampling.colour_jitter:
        jitter_colours(view, sampling.colour_jitter, rng)
    if hidden is not None:
        view[hidden] = 127
    return view, left, top, mirrored


class _Slots:
    """Memory for the images of micro-batches, shared by the processes that load images.

    A slot holds the images of one micro-batch and their views, which are affine maps from pixels of
    the stored image to pixels of the loaded image. The slots are used in turn, since allocating
    shared memory for every micro-batch would take half as much time as decoding its images.

    Args:
        count: the number of slots.
        largest: the number of frames of the largest micro-batch.
        size: the side of the images in pixels.
        shared: whether other processes fill the slots.
    """

    def __init__(self, count: int, largest: int, size: int, *, shared: bool) -> None:
        self._images = torch.empty(count, largest, size, size, 3, dtype=torch.uint8)
        self._views = torch.empty(count, largest, 2, 3)
        if shared:
            # torch gives share_memory_ no types.
            self._images.share_memory_()  # type: ignore[no-untyped-call]
            self._views.share_memory_()  # type: ignore[no-untyped-call]

    def images(self, number: int) -> Tensor:
        """Return the memory for the images of a micro-batch, uint8 [B, S, S, 3].

        Args:
            number: the number of the micro-batch in the epoch, from 0.
        """
        return self._images[number % len(self._images)]

    def views(self, number: int) -> Tensor:
        """Return the memory for the views of a micro-batch, float32 [B, 2, 3].

        A view is the affine map from pixels of the stored image to pixels of the loaded image.

        Args:
            number: the number of the micro-batch in the epoch, from 0.
        """
        return self._views[number % len(self._views)]


class _FaceDataset(Dataset[DataError | None]):
    """Loads the images of micro-batches into memory that processes share.

    Getting an item loads one micro-batch. The item itself is the first error, or None if all images
    could be loaded.

    Args:
        faces: the frames whose images are loaded.
        sampling: the size and the augmentation of the images.
        slots: the memory into which images are loaded.
    """

    def __init__(self, faces: FaceSet, sampling: Sampling, slots: _Slots) -> None:
        self._faces, self._sampling, self._slots = faces, sampling, slots

    def __getitem__(self, micro_batch: "_MicroBatch") -> DataError | None:
        epoch, number, rows = micro_batch
        images, views = self._slots.images(number).numpy(), self._slots.views(number).numpy()
        try:
            for index, row in enumerate(rows.tolist()):
                _, views[index] = sample(
                    str(self._faces.images[row]),
                    int(self._faces.frame_ids[row]),
                    self._sampling,
                    epoch,
                    images[index],
                )
        except DataError as error:
            # If it were raised, the loader would turn it into a traceback in a string.
            return error
        return None


class _MicroBatch(NamedTuple):
    """What a loader process needs to know to load the images of one micro-batch.

    Attributes:
        epoch: the epoch, from 0; None for testing.
        number: the number of the micro-batch in the epoch, from 0.
        rows: the row numbers of its frames.
    """

    epoch: int | None
    number: int
    rows: np.ndarray


class _Order:
    """The frames of each micro-batch of an epoch.

    An empty micro-batch gets one frame as a placeholder, whose labels are removed later.

    Args:
        shares: the row numbers of the frames of each micro-batch, which may be none.
        placeholder_rows: for each micro-batch, the row number of the frame that is loaded if it has
            no frames.

    Attributes:
        micro_batches: the row numbers of the frames of each micro-batch, at least one.
        placeholders: for each micro-batch, whether its only frame is a placeholder.
    """

    def __init__(self, shares: list[np.ndarray], placeholder_rows: list[int]) -> None:
        self.placeholders = [not len(rows) for rows in shares]
        pairs = zip(shares, placeholder_rows, strict=True)
        self.micro_batches = [rows if len(rows) else np.array([row]) for rows, row in pairs]


class _EpochSampler(Sampler[_MicroBatch]):
    """Yields the micro-batches of the epoch that `begin` was last told."""

    def begin(self, order: _Order, epoch: int | None) -> None:
        """Set the order and the number of the epoch that is iterated over next."""
        self._order, self._epoch = order, epoch

    def __iter__(self) -> Iterator[_MicroBatch]:
        for number, rows in enumerate(self._order.micro_batches):
            yield _MicroBatch(self._epoch, number, rows)

    def __len__(self) -> int:
        return len(self._order.micro_batches)


def frames_an_epoch(frames: int, training: TrainingSettings) -> int:
    """Return the number of frames that one epoch trains on, which is the same in every epoch.

    Args:
        frames: the number of all training frames.
        training: the settings of training, of which `frame_step` counts.
    """
    return -(-frames // training.frame_step)


def steps_an_epoch(frames: int, training: TrainingSettings) -> int:
    """Return the number of optimiser steps in an epoch.

    Args:
        frames: the number of all training frames.
        training: the settings of training.
    """
    return -(-frames_an_epoch(frames, training) // training.batch_size)


def largest_micro_batch(training: TrainingSettings, world: int) -> int:
    """Return the largest number of faces that one of `world` processes trains on at once."""
    return -(-training.batch_size // (world * training.accumulate))


def epoch_rows(frames: int, training: TrainingSettings, epoch: int) -> np.ndarray:
    """Return the row numbers of the frames that an epoch trains on, int64.

    They are every n-th row, where n is ``training.frame_step``. Rows are in the order of
    frames.parquet, in which the frames of a sequence follow each other. Successive epochs begin at
    rows 0, 1, ... n - 1 in turn, and thus together take every row. An epoch that begins later and
    would have a row fewer than the first gets one more from the beginning.

    Args:
        frames: the number of all training frames.
        training: the settings of training.
        epoch: the epoch, from 0.
    """
    step = training.frame_step
    return (epoch % step + step * np.arange(frames_an_epoch(frames, training))) % frames


def _training_order(
    frames: int, settings: TrainingSettings, epoch: int, rank: int, world: int
) -> _Order:
    rows = epoch_rows(frames, settings, epoch)
    order = rows[np.random.default_rng([settings.seed, epoch]).permutation(len(rows))]
    cuts = np.arange(settings.batch_size, len(rows), settings.batch_size)
    accumulate = settings.accumulate
    own = slice(rank * accumulate, (rank + 1) * accumulate)
    step_batches = np.split(order, cuts)
    shares = [
        share for batch in step_batches for share in np.array_split(batch, world * accumulate)[own]
    ]
    placeholder_rows = [int(batch[0]) for batch in step_batches for _ in range(accumulate)]
    return _Order(shares, placeholder_rows)


def _testing_order(rows: int, size: int, rank: int, world: int) -> _Order:
    shares = np.split(np.arange(rows), np.arange(size, rows, size))[rank::world]
    return _Order(shares, [0] * len(shares))


class BatchLoader:
    """Loads the batches of this process, epoch after epoch, with the same loader processes.

    In training, an epoch takes the frames of `epoch_rows`. The batch of each step is divided among
    `world` processes, and the share of each process is divided into ``training.accumulate``
    micro-batches, each of which is yielded. If the last batch of the epoch has too few frames, some
    micro-batches hold a placeholder: a frame without labels and captions, with empty `rows`.

    In testing, all frames are taken in order as centre crops, and the processes take whole batches
    in turn.

    Args:
        faces: the frames.
        settings: the settings of the run, for batch sizes, seed and augmentation.
        training: whether the frames are trained on; otherwise they are tested.
        workers: the number of loader processes; fewer are started if shared memory has no room for
            their images (`fitting_workers`), and with 0 images are loaded in this process. They
            start with the first epoch, and end with `close`.
        needs: what a batch must hold besides images and labels: "captions", "landmarks" or
            "subjects". Captions and landmarks are added only if `faces` has them.
        rank: the number of this process, from 0.
        world: the number of processes.
        pin: whether to put images into page-locked memory, from which a GPU copies faster.
    """

    def __init__(
        self,
        faces: FaceSet,
        settings: RunSettings[Any],
        *,
        training: bool,
        workers: int,
        needs: Collection[Need] = (),
        rank: int = 0,
        world: int = 1,
        pin: bool = False,
    ) -> None:
        self._faces, self._settings, self._training = faces, settings, training
        self._needs, self._pin = needs, pin
        self._rank, self._world = rank, world
        largest = settings.inference.batch_size
        if training:
            largest = largest_micro_batch(settings.training, world)
        sampling = Sampling.from_settings(settings)
        largest = min(largest, len(faces))
        workers = fitting_workers(workers, largest, sampling.size)
        # One slot for each micro-batch that is being loaded, and one for the one that is copied.
        self._slots = _Slots(_PREFETCH * workers + 1, largest, sampling.size, shared=workers > 0)
        self._sampler = _EpochSampler()
        self._loader: DataLoader[DataError | None] | None = DataLoader(
            _FaceDataset(faces, sampling, self._slots),
            sampler=self._sampler,
            batch_size=None,
            # Without a batch size, single items are passed, which torch's types do not cover.
            collate_fn=_identity,  # type: ignore[arg-type]
            num_workers=workers,
            prefetch_factor=_PREFETCH if workers else None,
            persistent_workers=workers > 0,
            generator=torch.Generator(),
        )

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """Yield the batches of one epoch, with uint8 images.

        Args:
            epoch: the epoch, from 0, from which order and augmentation are derived in training. In
                testing it makes no difference.

        Raises:
            DataError: an image is missing or cannot be decoded.
        """
        if self._loader is None:
            raise ValueError("the loader is closed")
        # PyTorch's loader takes a random number when its processes start, which used to be in every
        # epoch. Dropout follows, and must not differ from that of earlier versions.
        torch.empty((), dtype=torch.int64).random_()
        shares = self._rank, self._world
        if self._training:
            order = _training_order(len(self._faces), self._settings.training, epoch, *shares)
        else:
            size = self._settings.inference.batch_size
            order = _testing_order(len(self._faces), size, *shares)
        self._sampler.begin(order, epoch if self._training else None)
        # The loader's iterator must not be kept in a variable: after an error, the traceback would
        # keep it and its processes alive.
        for number, (error, rows, placeholder) in enumerate(
            zip(self._loader, order.micro_batches, order.placeholders, strict=True)
        ):
            if error is not None:
                raise error
            images = _copy_images(self._slots.images(number)[: len(rows)], self._pin)
            views = self._slots.views(number)[: len(rows)].clone()
            batch = _batch(self._faces, rows, images, views, self._needs)
            yield _without_content(batch) if placeholder else batch

    def close(self) -> None:
        """End the loader processes."""
        self._loader = None


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
    """Yield the batches of this process in one epoch, with uint8 images.

    Args:
        faces, settings, workers, needs, rank, world, pin: see `BatchLoader`.
        epoch: the epoch, from 0; None for testing.

    Raises:
        DataError: an image is missing or cannot be decoded.
    """
    loader = BatchLoader(
        faces,
        settings,
        training=epoch is not None,
        workers=workers,
        needs=needs,
        rank=rank,
        world=world,
        pin=pin,
    )
    try:
        yield from loader.epoch(epoch or 0)
    finally:
        loader.close()


_PREFETCH = 2
"""The number of micro-batches that each loader process loads in advance."""

SHARED_MEMORY = Path("/dev/shm")
"""The file system whose files are memory that processes share; Docker gives it 64 MB."""

_USABLE = 0.9
"""The share of the free shared memory that images may take; NCCL and others need some too."""


def fitting_workers(workers: int, faces: int, size: int) -> int:
    """Return the number of loader processes whose images fit into shared memory.

    All processes that torchrun started on this machine share the memory, also those that train
    other folds.

    Args:
        workers: the number of processes that are wanted.
        faces: the number of faces of the largest micro-batch.
        size: the side of the images in pixels.

    Returns:
        At most `workers`; 0 if the images do not even fit for one process, so that they have to be
        loaded without loader processes.
    """
    if not workers or not faces:
        return workers
    own_share = int(_USABLE * free_space(SHARED_MEMORY) / launcher.local_world_size())
    slots = own_share // (faces * size * size * 3)
    return max(0, min(workers, (slots - 1) // _PREFETCH))


def _copy_images(images: Tensor, pin: bool) -> Tensor:
    if pin:
        return torch.empty_like(images, pin_memory=True).copy_(images)
    # NumPy asks Linux for large memory pages, which take a third of the time to clear.
    return torch.from_numpy(images.numpy().copy())


def _identity(item: DataError | None) -> DataError | None:
    return item


def _batch(
    faces: FaceSet, rows: np.ndarray, images: Tensor, views: Tensor, needs: Collection[Need]
) -> Batch:
    optional: dict[str, Any] = {}
    if "captions" in needs and faces.captions is not None:
        captions, tokens = faces.captions, faces.captions.tokens
        local, global_ = captions.local[rows], captions.global_[rows]
        optional["local"] = torch.from_numpy(_trim(tokens.local[local]))
        optional["global_"] = torch.from_numpy(_trim(tokens.global_[global_]))
        for name, codes, decides in (
            ("local", local, tokens.local_decides),
            ("global_", global_, tokens.global_decides),
        ):
            if decides is not None:
                kept = decides[codes][..., : optional[name].shape[-1]]
                optional[f"{name.strip('_')}_decides"] = torch.from_numpy(kept)
    if "landmarks" in needs and faces.landmarks is not None:
        optional["landmarks"] = torch.from_numpy(
            map_landmarks(faces.landmarks[rows], views.numpy())
        )
    if "subjects" in needs:
        optional["subjects"] = torch.from_numpy(faces.subject_codes[rows])
    return Batch(
        images=images.permute(0, 3, 1, 2),
        labels=torch.from_numpy(faces.labels[rows].astype(np.int64)),
        rows=torch.from_numpy(rows),
        views=views,
        **optional,
    )


def _without_content(batch: Batch) -> Batch:
    """Return a batch as a placeholder: with its images, and with all other content marked missing.

    Labels become -1, captions <pad>, landmarks NaN, and the row numbers are empty.
    """
    empty: dict[str, Any] = {
        name: torch.zeros_like(tokens)
        for name, tokens in (("local", batch.local), ("global_", batch.global_))
        if tokens is not None
    }
    for name in ("local_decides", "global_decides"):
        if (decides := getattr(batch, name)) is not None:
            empty[name] = torch.zeros_like(decides)
    if batch.landmarks is not None:
        empty["landmarks"] = torch.full_like(batch.landmarks, torch.nan)
    return replace(batch, rows=batch.rows[:0], labels=torch.full_like(batch.labels, -1), **empty)


def _trim(tokens: np.ndarray) -> np.ndarray:
    used = np.flatnonzero((tokens != 0).any(axis=tuple(range(tokens.ndim - 1))))
    return tokens[..., : used[-1] + 1 if len(used) else 1]
