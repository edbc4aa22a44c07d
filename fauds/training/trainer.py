"""The steps of a training: gradients of micro-batches, the optimiser, and the logged values."""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from accelerate.utils import broadcast
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from fauds.errors import DataError
from fauds.nn.base import Batch, Model, means
from fauds.nn.transfer import HostCopy, send
from fauds.settings import RunSettings
from fauds.training import checkpoint, processes
from fauds.training.batches import BatchLoader, frames_an_epoch, steps_an_epoch
from fauds.training.device import loader_workers, make_accelerator, on_device
from fauds.training.face_set import FaceSet
from fauds.training.log import TrainingLog
from fauds.training.optimiser import WeightAverage, make_optimiser, rate_at

_LOG_EVERY = 20
"""The number of steps between two lines of the log."""


@dataclass(frozen=True)
class _TrainingStep:
    """The results of one optimiser step, such as losses, gradient norm and learning rate.

    Attributes:
        number: the number of the step, from 0, counted through all epochs.
        epoch: the epoch, from 0.
        losses: this process's values of the model's losses and of their total, in one tensor, on
            its way to the CPU.
        shared_losses: the mean of `losses` over all processes, which has the losses of the whole
            batch; None for a step that the log has no line for.
        norm: the norm of the gradient before clipping, on its way to the CPU.
        scaled: whether the loss was scaled for float16. A gradient that is not finite then means
            only that the scale was too large: the optimiser leaves the weights as they are, and the
            scale falls.
        rate: the learning rate.
        faces: the number of faces in the batch of all processes.
        rows: the rows of this process's faces, for error messages.
    """

    number: int
    epoch: int
    losses: HostCopy
    shared_losses: HostCopy | None
    norm: HostCopy
    scaled: bool
    rate: float
    faces: int
    rows: Tensor


class Training:
    """One stage of the training of a model, with its optimiser and the average of its weights.

    Args:
        model: the model.
        faces: the frames to train on.
        class_weights: the weight of each AU or class in the loss, float [A].
        settings: the settings of the run.
        first: the number of the stage's first epoch, from 0.
        epochs: the number of epochs of the stage.

    Attributes:
        unwrapped: the model without the wrapper that distributes it over processes.
        steps_an_epoch: the number of optimiser steps in one epoch.
    """

    def __init__(
        self,
        model: Model,
        faces: FaceSet,
        class_weights: np.ndarray,
        settings: RunSettings[Any],
        first: int,
        epochs: int,
    ) -> None:
        training = settings.training
        self._accelerator = make_accelerator(settings)
        model.check_au_loss(training.au_loss)
        model.check_loss_weights(training.loss_weights)
        model.au_loss = training.au_loss
        if training.compile and model.backbone is not None:
            model.backbone.compile()
        self._terms = (*model.terms, "total")
        self._model, self._optimiser = self._accelerator.prepare(
            model, make_optimiser(model, training)
        )
        if isinstance(self._model, DistributedDataParallel):
            # In every forward pass, all buffers would be copied from the first process to the
            # others, constant ones too. `_share_buffers` does it once an epoch, which is enough for
            # the statistics of batch norm: training does not read them.
            self._model.broadcast_buffers = False
        self.unwrapped: Model = self._accelerator.unwrap_model(self._model)
        self._average = (
            None if training.ema is None else WeightAverage(self.unwrapped, training.ema)
        )
        self._class_weights = torch.tensor(
            class_weights, dtype=torch.float32, device=self._accelerator.device
        )
        self._faces, self._settings = faces, settings
        self._loader = BatchLoader(
            faces,
            settings,
            training=True,
            workers=loader_workers(settings, self._accelerator),
            needs=model.needs,
            rank=self._accelerator.process_index,
            world=self._accelerator.num_processes,
            pin=self._accelerator.device.type == "cuda",
        )
        self._frames_an_epoch = frames_an_epoch(len(faces), training)
        self.steps_an_epoch = steps_an_epoch(len(faces), training)
        self._first, self._steps = first * self.steps_an_epoch, epochs * self.steps_an_epoch

    def restore(
        self, tensors: dict[str, Tensor], header: dict[str, Any], *, same_stage: bool
    ) -> None:
        """Restore a saved state of the training, as `state` returned it.

        Args:
            tensors: the saved tensors by name.
            header: the saved values that are not tensors, such as the scale of float16 losses.
            same_stage: True if the state was saved during this stage of the training; False if it
                was saved at the end of the previous stage. If False, only the weights of the model
                are restored.
        """
        average = checkpoint.part_of(tensors, "average.")
        if not same_stage:
            # A stage begins with the result of the one before: the average, if there is one.
            self.unwrapped.load_state_dict(average or checkpoint.part_of(tensors, "model."))
            if self._average is not None:
                self._average.restore(self.unwrapped.state_dict(), 0)
            return
        checkpoint.restore(tensors, self.unwrapped, self._optimiser.optimizer)
        if self._average is not None:
            self._average.restore(average, header["averaged"])
        if self._accelerator.scaler is not None:
            self._accelerator.scaler.load_state_dict(header["scaler"])

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return what a resumed training needs: tensors by name, and other values for JSON."""
        tensors = checkpoint.training_state(self.unwrapped, self._optimiser.optimizer)
        header: dict[str, Any] = {}
        if self._average is not None:
            tensors |= {f"average.{name}": t for name, t in self._average.weights.items()}
            header["averaged"] = self._average.steps
        if self._accelerator.scaler is not None:
            header["scaler"] = self._accelerator.scaler.state_dict()
        return tensors, header

    def close(self) -> None:
        """End the processes that load images; they last from epoch to epoch."""
        self._loader.close()

    def finish(self) -> Model:
        """Return the trained model; its weights are their moving average if one was kept."""
        if self._average is not None:
            self.unwrapped.load_state_dict(self._average.weights)
        # The wrapper that casts outputs must be removed, since the next stage adds its own.
        model: Model = self._accelerator.unwrap_model(self._model, keep_fp32_wrapper=False)
        return model

    @contextmanager
    def as_saved(self) -> Iterator[Model]:
        """Return a context manager that gives the model the weights that would be saved now.

        The saved weights are the moving average of the weights, if one is kept. On exit, the
        weights that are being trained are put back.
        """
        if self._average is None:
            yield self.unwrapped
            return
        own = {name: tensor.clone() for name, tensor in self.unwrapped.state_dict().items()}
        self.unwrapped.load_state_dict(self._average.weights)
        try:
            yield self.unwrapped
        finally:
            self.unwrapped.load_state_dict(own)

    def epoch(
        self, epoch: int, log: TrainingLog | None, advance: Callable[[int], None]
    ) -> dict[str, float]:
        """Train for one epoch.

        Args:
            epoch: the epoch, from 0.
            log: the log; None if this process writes none.
            advance: called with 1 after every step, for a progress bar.

        Returns:
            The losses, averaged over the epoch, under their names, and ``learning_rate``,
            ``frames_per_second`` and ``seconds``.

        Raises:
            DataError: a loss is not finite, or an image cannot be read.
        """
        # Dropout and drop path draw the same numbers in a resumed training: they depend only on
        # the seed, the epoch and the process.
        seed, rank = self._settings.training.seed, self._accelerator.process_index
        torch.manual_seed(seed * 1_000_003 + epoch + 10_007 * rank)
        start = time.perf_counter()
        self._model.train()
        figures = _RunningMeans(self._frames_an_epoch, self._terms, log)
        last: _TrainingStep | None = None
        for number, micro_batches in enumerate(self._micro_batches(epoch)):
            step = self._step(number, epoch, micro_batches)
            # Values are read one step late, when the GPU has the next step to work on.
            self._add_figures(last, figures)
            last = step
            advance(1)
        if last is None:
            raise ValueError("there are no faces to train on")
        self._add_figures(last, figures)
        self._share_buffers()
        seconds = time.perf_counter() - start
        return {
            **figures.means(),
            "learning_rate": last.rate,
            "frames_per_second": self._frames_an_epoch / seconds,
            "seconds": seconds,
        }

    def _micro_batches(self, epoch: int) -> Iterator[list[Batch]]:
        """Yield, for every optimiser step of an epoch, the list of its micro-batches."""
        loaded: Iterable[Batch] = self._loader.epoch(epoch)
        if type(self.unwrapped).mix is not Model.mix:
            loaded = self._mixed(loaded, epoch)
        return _group(loaded, self._settings.training.accumulate)

    def _mixed(self, loaded: Iterable[Batch], epoch: int) -> Iterator[Batch]:
        """Yield batches after the model's `mix`, an augmentation that needs several images.

        Args:
            loaded: the batches of this process as loaded.
            epoch: the epoch, from 0; it seeds the random numbers together with the number of the
                batch.
        """
        seed, rank = self._settings.training.seed, self._accelerator.process_index
        for number, batch in enumerate(loaded):
            state = np.random.SeedSequence([seed, epoch, number, rank]).generate_state(1)
            yield self.unwrapped.mix(batch, torch.Generator().manual_seed(int(state[0])))

    def _step(self, number: int, epoch: int, micro_batches: list[Batch]) -> _TrainingStep:
        training, accelerator = self._settings.training, self._accelerator
        overall = epoch * self.steps_an_epoch + number
        factor = rate_at(overall - self._first, self._steps, training.warmup, training.schedule)
        for group in self._optimiser.param_groups:
            group["lr"] = group["base"] * factor
        # Means are over the whole batch, that is over all micro-batches and processes.
        counts = torch.stack([self._counts(batch) for batch in micro_batches]).sum(dim=0)
        counts = accelerator.reduce(send(counts, accelerator.device)) / accelerator.num_processes
        parts = [
            self._backward(batch, counts, last=number_in_step == len(micro_batches))
            for number_in_step, batch in enumerate(micro_batches, start=1)
        ]
        losses = torch.stack(parts).sum(dim=0)
        clip = training.gradient_clip or math.inf
        norm = accelerator.clip_grad_norm_(self._model.parameters(), clip)
        self._optimiser.step()
        if self._average is not None:
            self._average.update()
        self._optimiser.zero_grad()
        logged = (overall + 1) % _LOG_EVERY == 0
        return _TrainingStep(
            number=overall,
            epoch=epoch,
            losses=HostCopy(losses),
            shared_losses=HostCopy(accelerator.reduce(losses, "mean")) if logged else None,
            norm=HostCopy(norm),
            # A fused optimiser itself leaves a step out, which accelerate does not notice.
            scaled=accelerator.scaler is not None,
            rate=training.learning_rate * factor,
            faces=min(training.batch_size, self._frames_an_epoch - number * training.batch_size),
            rows=torch.cat([batch.rows for batch in micro_batches]),
        )

    def _counts(self, batch: Batch) -> Tensor:
        """Return the number of items, such as coded labels, over which each loss is averaged.

        The result is a float32 tensor with one number for each loss, in the order of their names.
        """
        counts = self.unwrapped.counts(batch)
        return torch.stack([counts[term] for term in self.unwrapped.terms])

    def _backward(self, batch: Batch, counts: Tensor, *, last: bool) -> Tensor:
        """Add the gradients of a micro-batch, and return its share of each loss and of their total.

        Args:
            batch: the micro-batch, as loaded.
            counts: for each loss, the number of items in the whole batch, by which it is divided.
            last: whether this micro-batch is the last of the step.
        """
        accelerator, model = self._accelerator, self.unwrapped
        batch = on_device(batch, accelerator.device, self._settings.model)
        by_term = dict(zip(model.terms, counts, strict=True))
        # The processes exchange gradients once a step, in its last micro-batch.
        with nullcontext() if last else accelerator.no_sync(self._model):
            with accelerator.autocast():
                output = self._model(batch)
            sums = model.loss(output, batch, self._class_weights)
            losses = means(sums, by_term, self._settings.training.loss_weights)
            accelerator.backward(losses["total"])
        return torch.stack([losses[term].detach() for term in self._terms])

    def _share_buffers(self) -> None:
        """Copy the buffers of the model from the leader (the first process) to all processes.

        Buffers such as the statistics of batch norm differ, since each process has its own faces.
        """
        for buffer in self.unwrapped.buffers():
            broadcast(buffer)
        if self._average is not None:
            self._average.take_buffers()

    def _add_figures(self, step: _TrainingStep | None, figures: "_RunningMeans") -> None:
        if step is not None and not figures.add(step):
            raise _not_finite(step, self._faces, self.steps_an_epoch, self._terms)


class _RunningMeans:
    """Averages the losses of an epoch, and writes values to the log at regular intervals.

    Args:
        faces: the number of faces (frames) in an epoch.
        terms: the names of the losses.
        log: the log; None if this process writes none.
    """

    def __init__(self, faces: int, terms: tuple[str, ...], log: TrainingLog | None) -> None:
        self._faces = faces
        self._terms = terms
        self._log = log
        self._sums = torch.zeros(len(terms), dtype=torch.float64)
        self._last_time, self._faces_since = time.perf_counter(), 0

    def add(self, step: _TrainingStep) -> bool:
        """Add the losses of a step to the means.

        Returns:
            Whether the losses and the gradient of the step are finite.
        """
        losses = step.losses.read()
        self._sums += losses.double() * (step.faces / self._faces)
        self._faces_since += step.faces
        # Without the gradient's norm, a bad last step would be noticed after the checkpoint.
        figures = [losses] if step.scaled else [losses, step.norm.read()]
        if not all(bool(figure.isfinite().all()) for figure in figures):
            return False
        if step.shared_losses is not None:
            self._write(step, step.shared_losses.read().tolist())
        return True

    def _write(self, step: _TrainingStep, losses: list[float]) -> None:
        now = time.perf_counter()
        if self._log is not None:
            figures = {
                "epoch": step.epoch + 1,
                **dict(zip(self._terms, losses, strict=True)),
                "learning_rate": step.rate,
                "gradient_norm": float(step.norm.read()),
                "frames_per_second": self._faces_since / (now - self._last_time),
            }
            self._log.step(step.number + 1, figures)
        self._last_time, self._faces_since = now, 0

    def means(self) -> dict[str, float]:
        """Return each loss, averaged over the epoch and all processes, by name."""
        # `reduce` works only for tensors on the GPU, but these sums are on the CPU.
        shares = processes.gather(self._sums.tolist())
        return dict(zip(self._terms, np.mean(shares, axis=0).tolist(), strict=True))


def _group(loaded: Iterable[Batch], size: int) -> Iterator[list[Batch]]:
    loaded = iter(loaded)
    while group := list(islice(loaded, size)):
        yield group


def _not_finite(
    step: _TrainingStep, faces: FaceSet, steps_an_epoch: int, terms: tuple[str, ...]
) -> DataError:
    named = [str(path) for path in faces.images[step.rows.numpy()][:3]]
    values = zip(terms, step.losses.read().tolist(), strict=True)
    batch = step.number - step.epoch * steps_an_epoch + 1
    return DataError(
        f"The loss or its gradient is not finite "
        f"({', '.join(f'{term} {value:g}' for term, value in values)}, gradient "
        f"{float(step.norm.read()):g}) in epoch {step.epoch + 1}, batch {batch}.",
        where=", ".join(named) + " ...",
        hint="lower training.learning_rate or training.gradient_clip, or check these images",
    )
