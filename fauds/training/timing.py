"""Times the steps of a training on its device, to estimate how long a run will take.

A few steps of the real model and optimiser are run on synthetic batches. No weights are kept, and
no random number of the run changes.
"""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from fauds.errors import UsageError
from fauds.nn.base import Batch, Model, Need, mean_with_mirrored, means
from fauds.settings import RunSettings
from fauds.training.batches import largest_micro_batch
from fauds.training.device import on_device
from fauds.training.optimiser import make_optimiser

ASSUMED_VOCABULARY = {"local": 300, "global": 300}
"""The sizes of vocabularies for which models are timed before captions exist.

The sizes, and the numbers of words below, are those of VL-FAU's model card.
"""

_WORDS = {"local": 32, "global": 64}
"""The number of words of the local captions (of one AU) and the global captions (of the face)."""

_SECONDS_A_REPETITION = 0.5
"""How many seconds one repetition on a CPU should take, unless two faces already take longer."""

_REPEATS, _LIMIT = 3, 2.0
"""How often something is measured, and after how many seconds in all it is not repeated."""


@dataclass(frozen=True)
class StepTimes:
    """How long the steps of a training take in one process on this machine.

    Attributes:
        gradients: the seconds that the forward and the backward pass take for a face.
        update: the seconds that the optimiser takes to change the weights, once a step.
        testing: the seconds that testing takes for a face.
    """

    gradients: float
    update: float
    testing: float

    def step(self, faces: int) -> float:
        """Return the seconds of a training step in which a process has this number of faces."""
        return self.gradients * faces + self.update


def measure(
    model: Model,
    settings: RunSettings[Any],
    accelerator: Accelerator,
    names: Sequence[str],
    form: Literal["multilabel", "multiclass"],
) -> StepTimes:
    """Return how long training and testing a model take, measured in a few seconds.

    On a GPU, whole micro-batches are measured, since the time does not grow with every face; on a
    CPU, as many faces as take about half a second.

    Args:
        model: the model, whose weights are changed.
        settings: the settings of the run.
        accelerator: the device and the precision.
        names: the action units or classes that the model scores.
        form: "multilabel" for AUs, "multiclass" for classes that exclude each other.

    Raises:
        UsageError: the memory of the GPU is too small for a micro-batch.
    """
    most = largest_micro_batch(settings.training, accelerator.num_processes)
    try:
        trial = _Trial(model, settings, accelerator, names, form)
        on_gpu = accelerator.device.type == "cuda"
        faces = most if on_gpu else min(most, 2)  # two, since batch norm cannot train on one
        gradients = trial.gradients(faces)
        quick = min(most, int(faces * _SECONDS_A_REPETITION / gradients))
        if quick > faces:
            faces, gradients = quick, trial.gradients(quick)
        return StepTimes(gradients / faces, trial.update(), trial.testing(faces) / faces)
    except torch.OutOfMemoryError as error:
        raise UsageError(
            f"The memory of the GPU is too small for {most} faces at once.",
            where=f"training.batch_size={settings.training.batch_size}, "
            f"training.accumulate={settings.training.accumulate}",
            hint="divide the batch into more micro-batches, which takes less memory and changes "
            f"no result: --set training.accumulate={2 * settings.training.accumulate}",
        ) from error


@contextmanager
def random_state_kept(device: torch.device) -> Iterator[None]:
    """Return a context manager after which all random numbers are as if it had not been entered.

    Args:
        device: the device, whose own random numbers are kept too.
    """
    own, arrays = random.getstate(), np.random.get_state()
    devices = [device] if device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        random.setstate(own)
        np.random.set_state(arrays)


class _Trial:
    """A model that is trained and tested on synthetic batches; see `measure` for the arguments."""

    def __init__(
        self,
        model: Model,
        settings: RunSettings[Any],
        accelerator: Accelerator,
        names: Sequence[str],
        form: Literal["multilabel", "multiclass"],
    ) -> None:
        self._model = model.to(accelerator.device)
        self._optimiser = make_optimiser(model, settings.training)
        self._settings, self._accelerator = settings, accelerator
        self._names, self._form = names, form

    def gradients(self, faces: int) -> float:
        """Return the seconds that the gradients of a micro-batch take."""
        self._model.train()
        batch = self._batch(faces)
        weights = torch.ones(len(self._names), device=self._accelerator.device)

        def run() -> None:
            counts = {name: n.to(weights.device) for name, n in self._model.counts(batch).items()}
            moved = on_device(batch, weights.device, self._settings.model)
            with self._accelerator.autocast():
                output = self._model(moved)
            losses = means(self._model.loss(output, moved, weights), counts)
            self._accelerator.backward(losses["total"])

        return self._seconds(run)

    def update(self) -> float:
        """Return the seconds that a change of all weights takes."""
        return self._seconds(self._optimiser.step)

    def testing(self, faces: int) -> float:
        """Return the seconds that testing a batch takes."""
        self._model.eval()
        batch = self._batch(faces)

        def run() -> None:
            with torch.inference_mode(), self._accelerator.autocast():
                moved = on_device(batch, self._accelerator.device, self._settings.model)
                outputs = self._model.test_step(moved)
                if self._settings.inference.flip:
                    mean_with_mirrored(self._model, moved.images, outputs.scores)

        return self._seconds(run)

    def _seconds(self, run: Callable[[], Any]) -> float:
        """Return the fewest seconds that a function takes in a few repetitions.

        The first time, libraries are loaded and memory is allocated; later, other programs may
        interfere.
        """
        times: list[float] = []
        while len(times) < _REPEATS and sum(times) < _LIMIT:
            self._wait()
            start = time.perf_counter()
            run()
            self._wait()
            times.append(time.perf_counter() - start)
        return min(times)

    def _wait(self) -> None:
        if self._accelerator.device.type == "cuda":
            torch.cuda.synchronize(self._accelerator.device)

    def _batch(self, faces: int) -> Batch:
        size = self._settings.model.image_size
        return synthetic_batch(faces, size, len(self._names), self._form, self._model.needs)


def synthetic_batch(
    faces: int,
    size: int,
    names: int,
    form: Literal["multilabel", "multiclass"],
    needs: frozenset[Need],
) -> Batch:
    """Return a batch of grey images, whose labels, captions and landmarks mean nothing.

    Args:
        faces: B, the number of images.
        size: the side of the images in pixels.
        names: A, the number of action units or classes.
        form: "multilabel" for AUs, "multiclass" for classes that exclude each other.
        needs: what the batch must hold besides images and labels.
    """
    rows = torch.arange(faces)
    classes = rows % names
    states = (rows[:, None] + torch.arange(names)) % 2
    points = torch.linspace(0, size - 1, 68)
    return Batch(
        images=torch.full((faces, 3, size, size), 127, dtype=torch.uint8),
        labels=classes if form == "multiclass" else states,
        rows=rows,
        views=torch.eye(2, 3).expand(faces, 2, 3),
        local=_captions("local", faces, names) if "captions" in needs else None,
        global_=_captions("global", faces) if "captions" in needs else None,
        landmarks=torch.stack([points, points], 1).expand(faces, 68, 2)
        if "landmarks" in needs
        else None,
        subjects=rows if "subjects" in needs else None,
    )


def _captions(scope: str, *shape: int) -> Tensor:
    """Return captions of equal length: <bos>, words that end with <eos>; long [*shape, words + 1].

    Args:
        scope: "local" for captions of one AU, "global" for captions of the face.
        shape: the shape of the captions, without the words.
    """
    tokens = torch.full((*shape, _WORDS[scope] + 1), ASSUMED_VOCABULARY[scope] - 1)
    tokens[..., 0], tokens[..., -1] = 1, 2
    return tokens
