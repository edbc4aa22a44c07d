"""Trainings of several stages, batches that a model mixes, and the views of augmented images."""

import numpy as np
import pytest
import torch
from torch import nn

from fauds.errors import UsageError
from fauds.facs import MIRRORED_POINTS
from fauds.nn.base import Batch, Model, Stage
from fauds.training import loop
from fauds.training.batches import Sampling, batches, map_landmarks, sample
from tests.training.helpers import AUS


class Staged(Model):
    """A model with two numbers for each AU, which are trained in two stages."""

    terms = ("square",)

    def __init__(self, lengths: tuple[int, int]) -> None:
        super().__init__()
        self.first, self.second = (nn.Parameter(torch.zeros(AUS)) for _ in range(2))
        self.noise = nn.Dropout(0.2)
        self.lengths, self.random_numbers, self.initial = lengths, [], {}

    @classmethod
    def build(cls, settings, spec):
        raise NotImplementedError

    def stages(self, epochs):
        return (Stage("first", self.lengths[0]), Stage("second", self.lengths[1]))

    def begin(self, stage):
        self.initial[stage.name] = self.first.detach().clone(), self.second.detach().clone()
        self.first.requires_grad = stage.name == "first"
        self.second.requires_grad = stage.name == "second"

    def mix(self, batch, generator):
        self.random_numbers.append(int(torch.randint(1_000_000, (1,), generator=generator)))
        return batch

    def scores(self, images):
        mean = images.mean(dim=(1, 2, 3))[:, None]
        return torch.sigmoid(self.noise(self.first + self.second) * mean)

    def forward(self, batch):
        return self.scores(batch.images)

    def counts(self, batch):
        return {"square": (batch.labels >= 0).sum().float()}

    def loss(self, output, batch, weights):
        return {"square": ((output - batch.labels) ** 2 * (batch.labels >= 0)).sum()}


def train(faces, settings, folder, lengths=(1, 2), **changes):
    folder.mkdir(exist_ok=True)
    model = Staged(lengths)
    changed = settings.training.model_copy(update={"learning_rate": 0.1, **changes})
    run = settings.model_copy(update={"training": changed})
    lines = []
    trained = loop.train(model, faces, np.ones(AUS), run, folder, {"aus": AUS}, say=lines.append)
    return trained, lines


def test_each_stage_trains_only_its_own_parameters(faces, settings, tmp_path):
    trained, lines = train(faces, settings, tmp_path / "run")
    assert [line for line in lines if line.startswith("stage")] == [
        "stage first: epochs 1 to 1",
        "stage second: epochs 2 to 3",
    ]
    first, second = trained.initial["second"]
    assert first.abs().sum() > 0
    assert not second.any()
    assert torch.equal(trained.first, first)
    assert trained.second.abs().sum() > 0


@pytest.mark.parametrize("ema", [None, 0.9])
@pytest.mark.parametrize("epochs_done", [1, 2])
def test_a_stop_between_stages_or_within_one_does_not_change_the_result(
    faces, settings, tmp_path, monkeypatch, ema, epochs_done
):
    whole, _ = train(faces, settings, tmp_path / "whole", ema=ema)
    save_checkpoint = loop.checkpoint.save_checkpoint

    def stop(folder, state, meta, epochs):
        save_checkpoint(folder, state, meta, epochs)
        if epochs == epochs_done:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop.checkpoint, "save_checkpoint", stop)
        with pytest.raises(KeyboardInterrupt):
            train(faces, settings, tmp_path / "stopped", ema=ema)
    resumed, _ = train(faces, settings, tmp_path / "stopped", ema=ema)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
    # Earlier stages are begun again before a later one is resumed.
    assert list(resumed.initial) == ["first", "second"]
    steps = len(whole.random_numbers) // 3
    assert resumed.random_numbers == whole.random_numbers[epochs_done * steps :]
    assert len(set(whole.random_numbers)) == len(whole.random_numbers)


def test_stages_that_do_not_add_up_are_refused(faces, settings, tmp_path):
    for lengths in ((1, 1), (0, 3), (3, 3)):
        with pytest.raises(UsageError, match="3 epochs do not match the stages"):
            train(faces, settings, tmp_path / "run", lengths)


def pixels(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return the colours at whole coordinates [n, 2], x right, y down."""
    x, y = np.rint(points).astype(int).T
    return image[y, x]


@pytest.mark.parametrize("size", [56, 112])
def test_a_view_maps_stored_pixels_to_those_of_the_sample(faces, size):
    """A dot that is drawn at a landmark is at the mapped landmark of the augmented image."""
    import cv2

    rng = np.random.default_rng(0)
    path = str(faces.images[0]) + ".dots.png"
    points = rng.permutation(np.stack(np.meshgrid(*[np.arange(10, 54, 4)] * 2), -1).reshape(-1, 2))
    points = points[:68].astype(np.float32)
    mirrored = 0
    for epoch in range(12):
        image = np.zeros((64, 64, 3), np.uint8)
        sampling = Sampling(size, seed=1, cutout_chance=0.0)
        cv2.imwrite(path, image)
        _, view = sample(path, 7, sampling, epoch)
        (mapped,) = map_landmarks(points[None], view[None])
        mirrored += view[0, 0] < 0
        order = np.array(MIRRORED_POINTS) if view[0, 0] < 0 else np.arange(68)
        for place in (0, 20, 41, 67):
            dotted = image.copy()
            x, y = points[order[place]].astype(int)
            dotted[y - 1 : y + 2, x - 1 : x + 2] = 255
            cv2.imwrite(path, dotted)
            sampled, same_view = sample(path, 7, sampling, epoch)
            assert np.array_equal(view, same_view)
            inside = (mapped[place] > 2).all() and (mapped[place] < size - 3).all()
            if inside:
                rows, columns = np.nonzero(sampled[..., 0] > 60)
                centre = np.array([columns.mean(), rows.mean()])
                assert np.abs(centre - mapped[place]).max() < 0.6
    assert 0 < mirrored < 12


def test_a_batch_has_landmarks_and_subjects_if_the_model_needs_them(faces, settings):
    rng = np.random.default_rng(0)
    points = rng.uniform(5, 60, (len(faces), 68, 2)).astype(np.float32)
    points[3] = np.nan
    with_landmarks = type(faces)(
        faces.frame_ids, faces.images, faces.labels, faces.subjects, None, points
    )
    needs = ("landmarks", "subjects")
    for batch in batches(with_landmarks, settings, epoch=1, workers=0, needs=needs):
        assert isinstance(batch, Batch)
        assert batch.local is None
        assert torch.equal(
            batch.subjects, torch.from_numpy(with_landmarks.subject_codes)[batch.rows]
        )
        for place, row in enumerate(batch.rows.tolist()):
            expected = map_landmarks(points[row][None], batch.views[place].numpy()[None])[0]
            assert np.array_equal(batch.landmarks[place].numpy(), expected, equal_nan=True)
    plain = next(iter(batches(with_landmarks, settings, epoch=1, workers=0)))
    assert plain.landmarks is None
    assert plain.subjects is None
