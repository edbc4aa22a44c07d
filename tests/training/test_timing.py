"""The measured times of training steps, and the synthetic batches that they are measured on."""

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fauds.errors import UsageError
from fauds.nn import MODELS, presets
from fauds.nn.base import Batch, Model
from fauds.nn.presets import run_settings
from fauds.settings import RunSettings
from fauds.training import timing
from fauds.training.device import make_accelerator
from fauds.training.loop import build_model
from fauds.training.timing import StepTimes, measure, synthetic_batch
from tests.helpers import SMALL

NAMES = ("AU01", "AU02", "AU04")


class Clock:
    """A clock that only moves when it is told to, in place of the clock of the measurement."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(timing.time, "perf_counter", lambda: self.now)


class Slow(Model):
    """A model whose passes take a known time: 4 ms a face in training, and 2 ms in testing.

    Attributes:
        clock: the clock that its passes move.
        overhead: the additional seconds of every pass.
        batches: the number of faces in each training pass.
    """

    needs = frozenset()
    terms = ("loss",)

    def __init__(self, clock: Clock, overhead: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.clock, self.overhead = clock, overhead
        self.batches: list[int] = []

    @classmethod
    def build(cls, settings: Any, spec: Any) -> "Slow":
        raise NotImplementedError

    def forward(self, batch: Batch) -> torch.Tensor:
        self.batches.append(len(batch.images))
        self.clock.now += self.overhead + 0.004 * len(batch.images)
        return self.weight.sum()

    def counts(self, batch: Batch) -> dict[str, torch.Tensor]:
        return {"loss": torch.tensor(float(len(batch.rows)))}

    def loss(self, output: torch.Tensor, batch: Batch, weights: Any) -> dict[str, torch.Tensor]:
        return {"loss": output}

    def scores(self, images: torch.Tensor) -> torch.Tensor:
        self.clock.now += 0.002 * len(images)
        return torch.zeros(len(images), len(NAMES))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def settings_of(batch: int, accumulate: int = 1) -> RunSettings:
    changes = (f"training.batch_size={batch}", f"training.accumulate={accumulate}")
    return run_settings("linear", "tiny", ("training.device=cpu", "model.image_size=32", *changes))


def test_the_times_are_those_that_a_face_takes(clock):
    model, settings = Slow(clock), settings_of(32)
    times = measure(model, settings, make_accelerator(settings), NAMES, "multilabel")
    assert times.gradients == pytest.approx(0.004)
    assert times.testing == pytest.approx(0.002)
    assert times.update == 0
    # Whole micro-batches take so little time that they can be measured, three times.
    assert model.batches == [2, 2, 2, 32, 32, 32]


def test_a_slow_model_is_measured_on_a_few_faces_only(clock):
    model, settings = Slow(clock, overhead=1.5), settings_of(64)
    times = measure(model, settings, make_accelerator(settings), NAMES, "multilabel")
    assert times.gradients == pytest.approx((1.5 + 2 * 0.004) / 2)
    assert set(model.batches) == {2}
    assert len(model.batches) == 2


def test_the_shortest_repetition_counts(clock):
    """The first one loads libraries; in others, the machine may have been busy."""
    model, settings = Slow(clock), settings_of(1)
    delays = iter([0.9, 0.2, 0.5])

    def delay(*_):
        clock.now += next(delays)

    model.register_forward_pre_hook(delay)
    times = measure(model, settings, make_accelerator(settings), NAMES, "multilabel")
    assert times.gradients == pytest.approx(0.204)


def test_a_step_takes_the_time_of_its_faces_and_of_one_update():
    assert StepTimes(0.5, 1.0, 0.1).step(16) == 9.0


def test_a_face_that_is_also_tested_mirrored_takes_twice_as_long(clock):
    settings = settings_of(32)
    inference = settings.inference.model_copy(update={"flip": True})
    settings = settings.model_copy(update={"inference": inference})
    times = measure(Slow(clock), settings, make_accelerator(settings), NAMES, "multilabel")
    assert times.testing == pytest.approx(2 * 0.002)


@pytest.mark.parametrize("model", [*MODELS])
def test_every_model_can_be_timed(model):
    changes = SMALL if model == "vlfau" else ("model.image_size=56", "training.device=cpu")
    settings = run_settings(model, "tiny", changes)
    sizes, folder = timing.ASSUMED_VOCABULARY, presets.folder(model)
    form, names = "multilabel", [f"AU{number:02}" for number in range(12)]
    if model == "au-cues":
        form, names = "multiclass", ["happiness", "anger", "neutral"]
    built = build_model(MODELS[model], settings.model.untrained(), names, form, sizes, folder)
    times = measure(built, settings, make_accelerator(settings), names, form)
    assert min(times.gradients, times.update, times.testing) > 0


def test_too_many_faces_for_the_gpu_are_an_error_that_says_how_to_divide_them(clock, monkeypatch):
    def too_large(self, batch):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9.00 GiB.")

    monkeypatch.setattr(Slow, "forward", too_large)
    settings = settings_of(64, accumulate=2)
    with pytest.raises(UsageError, match="too small for 32 faces at once") as raised:
        measure(Slow(clock), settings, make_accelerator(settings), NAMES, "multilabel")
    assert "--set training.accumulate=4" in raised.value.hint


def test_a_synthetic_batch_has_what_a_model_needs():
    everything = frozenset({"captions", "landmarks", "subjects"})
    batch = synthetic_batch(5, 32, 3, "multilabel", everything)
    assert batch.images.shape == (5, 3, 32, 32) and batch.images.dtype == torch.uint8
    assert batch.labels.shape == (5, 3) and set(batch.labels.unique().tolist()) == {0, 1}
    assert batch.landmarks.shape == (5, 68, 2) and batch.landmarks.max() == 31
    assert batch.subjects.shape == batch.rows.shape == (5,)
    assert batch.views.shape == (5, 2, 3)
    for tokens, size in ((batch.local, 300), (batch.global_, 300)):
        assert (tokens[..., 0] == 1).all() and (tokens[..., -1] == 2).all()
        assert 3 < tokens[..., 1:-1].min() <= tokens.max() < size
    assert batch.local.shape == (5, 3, 33) and batch.global_.shape == (5, 65)
    plain = synthetic_batch(5, 32, 3, "multiclass", frozenset())
    assert plain.labels.tolist() == [0, 1, 2, 0, 1]
    assert plain.local is plain.global_ is plain.landmarks is plain.subjects is None


def test_random_numbers_are_as_if_nothing_had_been_measured():
    def numbers():
        return random.random(), np.random.random(), torch.rand(1).item()

    def begin():
        random.seed(1)
        np.random.seed(1)
        torch.manual_seed(1)

    begin()
    expected = numbers()
    begin()
    with timing.random_state_kept(torch.device("cpu")):
        numbers()
    assert numbers() == expected
    begin()
    with pytest.raises(ValueError), timing.random_state_kept(torch.device("cpu")):
        numbers()
        raise ValueError
    assert numbers() == expected
