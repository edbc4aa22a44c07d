"""Time the loader of fauds against a bare loop that decodes and crops the same JPEG files."""

import multiprocessing
import random
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from fauds.nn.presets import run_settings
from fauds.training.batches import batches
from fauds.training.face_set import CaptionTokens, FaceSet, FrameCaptions

IMAGES, FILE_SIDE, SIDE, AUS, BATCH = 1_000, 256, 224, 12, 64


def write_images(folder: Path) -> list[str]:
    """Write smooth images, whose files are about as large as face crops; return their paths."""
    rng = np.random.default_rng(0)
    paths = []
    for number in range(IMAGES):
        image = np.zeros((FILE_SIDE, FILE_SIDE, 3), np.float32)
        for grid, share in ((4, 0.55), (12, 0.25), (36, 0.2)):
            coarse = rng.uniform(0, 255, (grid, grid, 3)).astype(np.float32)
            size = (FILE_SIDE, FILE_SIDE)
            image += share * cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)
        paths.append(str(folder / f"{number:04d}.jpg"))
        pixels = np.clip(image, 0, 255).astype(np.uint8)
        cv2.imwrite(paths[-1], pixels, (cv2.IMWRITE_JPEG_QUALITY, 95))
    return paths


def face_set(images: list[str]) -> FaceSet:
    """Return a face set of these images with random labels and captions."""
    rng = np.random.default_rng(1)
    count = len(images)
    labels = rng.integers(0, 2, (count, AUS)).astype(np.int8)
    local, whole = rng.integers(0, 100, (count, AUS)), rng.integers(0, 1_000, count)
    words = (rng.integers(4, 300, shape) for shape in ((101, 33), (1_001, 65)))
    return FaceSet(
        frame_ids=np.arange(count),
        images=np.array(images),
        labels=labels,
        subjects=np.full(count, "S1"),
        captions=FrameCaptions(CaptionTokens(*words, 300, 300), local, whole),
    )


def _decode_and_crop(paths: list[str], seed: int) -> None:
    """Do what every loader must: decode, crop, flip, and copy into the batch's array."""
    rng = random.Random(seed)
    batch = np.empty((BATCH, SIDE, SIDE, 3), np.uint8)
    for number, path in enumerate(paths):
        top, left = (rng.randrange(FILE_SIDE - SIDE + 1) for _ in range(2))
        crop = cv2.imread(path)[top : top + SIDE, left : left + SIDE]
        place = batch[number % BATCH]
        if rng.random() < 0.5:
            cv2.flip(crop, 1, dst=place)
        else:
            place[:] = crop


def bare_loop(paths: list[str], workers: int) -> None:
    """Run the loop in `workers` processes, each with its share of the files."""
    context = multiprocessing.get_context("fork")
    shares = [paths[worker::workers] for worker in range(workers)]
    running = [
        context.Process(target=_decode_and_crop, args=(share, seed))
        for seed, share in enumerate(shares)
    ]
    for process in running:
        process.start()
    for process in running:
        process.join()
        if process.exitcode:
            raise RuntimeError("the bare loop failed")


def compare(
    turns: int, workers: int, clock: Callable[[], float], passes: int = 16
) -> tuple[list[float], list[float], int]:
    """Time the bare loop and an epoch of the loader in turns.

    Both times include the start of the processes. Every image is read `passes` times in an epoch.

    Returns:
        The seconds of the bare loop, those of the loader, and the number of faces in each.
    """
    # Set before any process starts: a thread pool does not survive a fork.
    cv2.setNumThreads(1)
    settings = run_settings("vlfau", "full", (f"training.batch_size={BATCH}",))
    bare, library = [], []
    with tempfile.TemporaryDirectory() as folder:
        paths = write_images(Path(folder)) * passes
        faces = face_set(paths)
        for turn in range(turns + 1):
            start = clock()
            bare_loop(paths, workers)
            between = clock()
            loaded = batches(faces, settings, epoch=turn, workers=workers, needs=("captions",))
            if sum(len(batch.rows) for batch in loaded) != len(faces):
                raise RuntimeError("the loader left faces out")
            if turn:
                bare.append(between - start)
                library.append(clock() - between)
    return bare, library, len(paths)
