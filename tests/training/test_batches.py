"""Batches hold the pixels of the image files, and do not change while more are loaded."""

import multiprocessing

import cv2
import numpy as np
import pytest
import torch

from fauds.errors import DataError
from fauds.nn.presets import run_settings
from fauds.training import batches as loading
from fauds.training.batches import BatchLoader, Sampling, augment, batches
from fauds.training.face_set import FaceSet
from tests.helpers import SMALL

FRAMES, SIDE = 26, 56


@pytest.fixture(scope="module")
def settings():
    few = ("training.batch_size=2", "inference.batch_size=2", "training.cutout_chance=0.5")
    return run_settings("vlfau", "tiny", (*SMALL, *few))


@pytest.fixture
def faces(tmp_path):
    rng = np.random.default_rng(0)
    paths = [str(tmp_path / f"{number}.png") for number in range(FRAMES)]
    for path in paths:
        cv2.imwrite(path, rng.integers(0, 255, (64, 64, 3), dtype=np.uint8))
    return FaceSet(
        frame_ids=np.arange(FRAMES) * 7,
        images=np.array(paths),
        labels=np.zeros((FRAMES, 1), np.int8),
        subjects=np.full(FRAMES, "S1"),
    )


def load(faces, settings, **options):
    return list(batches(faces, settings, **options))


def stored(faces, row):
    """Return the pixels of a stored image, RGB."""
    return cv2.imread(str(faces.images[row]))[..., ::-1]


@pytest.mark.parametrize("workers", [0, 2])
def test_earlier_batches_are_not_overwritten_by_later_ones(faces, settings, workers):
    loaded = load(faces, settings, epoch=None, workers=workers)
    assert len(loaded) == FRAMES // 2
    images = torch.cat([batch.images for batch in loaded])
    for row, image in enumerate(images.numpy()):
        assert np.array_equal(image.transpose(1, 2, 0), stored(faces, row)[4:60, 4:60])


@pytest.mark.parametrize("workers", [0, 2])
def test_a_training_image_is_a_crop_that_may_be_mirrored_and_have_a_cutout(
    faces, settings, workers
):
    for batch in load(faces, settings, epoch=3, workers=workers):
        for row, image in zip(batch.rows.tolist(), batch.images.numpy(), strict=True):
            rng = np.random.default_rng([settings.training.seed, 3, 7 * row])
            top, left = rng.integers(9), rng.integers(9)
            expected = stored(faces, row)[top : top + SIDE, left : left + SIDE]
            expected = (expected[:, ::-1] if rng.random() < 0.5 else expected).copy()
            if rng.random() < 0.5:
                y, x = rng.integers(SIDE), rng.integers(SIDE)
                expected[max(0, y - 7) : y + 7, max(0, x - 7) : x + 7] = 127
            assert np.array_equal(image.transpose(1, 2, 0), expected)


def with_jitter(settings, strength):
    training = settings.training.model_copy(update={"colour_jitter": strength})
    return settings.model_copy(update={"training": training})


def recoloured(image, strength, rng):
    """Return an image, float [H, W, 3], after the changes that colour jitter draws, unrounded."""
    factors = rng.uniform(1 - strength, 1 + strength, 3)
    pixels = image.astype(float)
    for change in rng.permutation(3):
        grey = pixels @ (0.299, 0.587, 0.114)
        towards = (np.zeros(()), grey.mean(), grey[..., None])[change]
        pixels = np.clip(towards + factors[change] * (pixels - towards), 0, 255)
    return pixels


def test_colour_jitter_changes_brightness_contrast_and_saturation_and_leaves_the_cutout_grey(
    faces, settings
):
    jittered = load(faces, with_jitter(settings, 0.4), epoch=3, workers=0)
    squares = 0
    for batch in jittered:
        for row, image in zip(batch.rows.tolist(), batch.images.numpy(), strict=True):
            rng = np.random.default_rng([settings.training.seed, 3, 7 * row])
            top, left = rng.integers(9), rng.integers(9)
            expected = stored(faces, row)[top : top + SIDE, left : left + SIDE]
            expected = expected[:, ::-1] if rng.random() < 0.5 else expected
            cutout = rng.random() < 0.5
            y, x = (rng.integers(SIDE), rng.integers(SIDE)) if cutout else (0, 0)
            expected = recoloured(expected, 0.4, rng)
            if cutout:
                expected[max(0, y - 7) : y + 7, max(0, x - 7) : x + 7] = 127
                squares += 1
            # Each of the three changes rounds to whole levels.
            assert np.abs(image.transpose(1, 2, 0) - expected).max() < 3
    assert 0 < squares < FRAMES


def test_colour_jitter_changes_no_other_random_choice(faces, settings):
    plain = load(faces, settings, epoch=3, workers=0)
    jittered = load(faces, with_jitter(settings, 0.4), epoch=3, workers=0)
    for one, other in zip(plain, jittered, strict=True):
        assert torch.equal(one.rows, other.rows)
        assert torch.equal(one.views, other.views)
        assert not torch.equal(one.images, other.images)
    again = load(faces, with_jitter(settings, 0.4), epoch=3, workers=2)
    for one, other in zip(jittered, again, strict=True):
        assert torch.equal(one.images, other.images)
    tested, plain_tested = (
        load(faces, with_jitter(settings, strength), epoch=None, workers=0)
        for strength in (0.4, 0.0)
    )
    assert torch.equal(tested[0].images, plain_tested[0].images)


def test_augmentation_does_not_change_its_input(faces, settings):
    image = stored(faces, 0).copy()
    before = image.copy()
    sampling = Sampling.from_settings(with_jitter(settings, 0.4))
    for seed in range(8):
        augment(image, sampling, np.random.default_rng(seed))
    assert np.array_equal(image, before)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("content", [b"not an image", None])
def test_the_error_names_a_damaged_or_missing_image(faces, settings, workers, content, tmp_path):
    path = tmp_path / "11.png"
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(DataError, match=r"11\.png"):
        load(faces, settings, epoch=0, workers=workers)
    # The loader's processes have ended, although the error still exists.
    assert not multiprocessing.active_children()


def test_loader_processes_last_from_epoch_to_epoch_and_end_when_closed(faces, settings):
    loader = BatchLoader(faces, settings, training=True, workers=2)
    running = []
    for epoch in (0, 1, 4):
        alone = load(faces, settings, epoch=epoch, workers=0)
        for batch, expected in zip(loader.epoch(epoch), alone, strict=True):
            assert torch.equal(batch.rows, expected.rows)
            assert torch.equal(batch.images, expected.images)
        running.append({process.pid for process in multiprocessing.active_children()})
    assert len(running[0]) == 2
    assert running == [running[0]] * 3
    # An epoch that is left early has no effect on the next one.
    next(loader.epoch(2))
    first = load(faces, settings, epoch=3, workers=0)[0]
    assert torch.equal(next(loader.epoch(3)).images, first.images)
    loader.close()
    assert not multiprocessing.active_children()
    with pytest.raises(ValueError, match="closed"):
        next(loader.epoch(0))


@pytest.mark.parametrize("step", [1, 3])
@pytest.mark.parametrize(("size", "accumulate", "world"), [(8, 1, 1), (9, 2, 1), (9, 1, 2)])
def test_steps_and_the_largest_micro_batch_are_those_of_the_loader(
    faces, settings, size, accumulate, world, step
):
    changes = {"batch_size": size, "accumulate": accumulate, "frame_step": step}
    training = settings.training.model_copy(update=changes)
    changed = settings.model_copy(update={"training": training})
    loaders = [
        BatchLoader(faces, changed, training=True, workers=0, rank=rank, world=world)
        for rank in range(world)
    ]
    sizes = [[len(batch.rows) for batch in loader.epoch(0)] for loader in loaders]
    assert max(map(max, sizes)) == loading.largest_micro_batch(training, world)
    assert len(sizes[0]) == accumulate * loading.steps_an_epoch(len(faces), training)


MB = 10**6
SLOT = 64 * 224 * 224 * 3  # bytes: 9.6 MB


@pytest.mark.parametrize(
    ("free", "world", "workers"),
    [
        (64 * 1024**2, 1, 2),  # Docker's default: five slots of 9.6 MB are 48 MB
        (64 * 1024**2, 4, 0),
        (200 * MB, 1, 8),
        (200 * MB, 2, 4),
        (30 * MB, 1, 0),
        (10**12, 1, 8),
    ],
)
def test_no_more_loader_processes_are_started_than_shared_memory_has_room_for(
    monkeypatch, free, world, workers
):
    monkeypatch.setattr(loading, "free_space", lambda folder: free)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(world))
    assert loading.fitting_workers(8, 64, 224) == workers
    # Each process loads two micro-batches in advance, and one more is being copied.
    assert workers == 0 or (2 * workers + 1) * SLOT * world < free


@pytest.mark.parametrize("free", [64 * 1024**2, 20_000, 0])
def test_too_little_shared_memory_changes_no_image(monkeypatch, faces, settings, free):
    plenty = load(faces, settings, epoch=1, workers=2)
    monkeypatch.setattr(loading, "free_space", lambda folder: free)
    for batch, other in zip(load(faces, settings, epoch=1, workers=2), plenty, strict=True):
        assert torch.equal(batch.rows, other.rows) and torch.equal(batch.images, other.images)
