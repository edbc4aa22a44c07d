"""One step of training: a batch's micro-batches, their gradients, the optimiser, the figures."""

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

from fauds.errors import DataError
from fauds.nn.base import Batch, Model, means
from fauds.settings import RunSettings
from fauds.training import checkpoint, processes
from fauds.training.batches import batches
from fauds.training.device import loader_workers, make_accelerator, on_device
from fauds.training.face_set import FaceSet
from fauds.training.log import TrainingLog
from fauds.training.optimiser import Average, optimiser, rate_at

_JOURNAL_EVERY = 20
"""Steps from one line of the journal to the next."""


@dataclass(frozen=True)
class _TrainingStep:
    """What became of a step.

    Attributes:
        number: from 0, over all epochs; epoch: likewise.
        losses: the model's terms and their total; this process's, whose mean over processes counts.
        norm: of the gradient, before it was clipped.
        skipped: whether float16's scale was too large, and the weights stayed as they were.
        rate: the learning rate.
        faces: of all processes.
        rows: those of this process, to name them.
    """

    number: int
    epoch: int
    losses: Tensor
    norm: Tensor
    skipped: bool
    rate: float
    faces: int
    rows: Tensor


class Training:
    """A model in one stage of its training, with its optimiser and the average of its weights.

    Args:
        weights: class weights, float [A].
        first: the first epoch of the stage, from 0.
        epochs: of the stage.

    Attributes:
        bare: the model, without what spreads it over processes.
        steps_an_epoch: optimiser steps of one epoch.
    """

    def __init__(
        self,
        model: Model,
        faces: FaceSet,
        weights: np.ndarray,
        settings: RunSettings[Any],
        first: int,
        epochs: int,
    ) -> None:
        training = settings.training
        self._accelerator = make_accelerator(settings)
        if training.compile and model.backbone is not None:
            model.backbone.compile()
        self._terms = (*model.terms, "total")
        self._model, self._optimiser = self._accelerator.prepare(model, optimiser(model, training))
        self.bare: Model = self._accelerator.unwrap_model(self._model)
        self._average = None if training.ema is None else Average(self.bare, training.ema)
        self._gamma = torch.tensor(weights, dtype=torch.float32, device=self._accelerator.device)
        self._faces, self._settings = faces, settings
        self.steps_an_epoch = math.ceil(len(faces) / training.batch_size)
        self._first, self._steps = first * self.steps_an_epoch, epochs * self.steps_an_epoch

    def restore(self, tensors: dict[str, Tensor], header: dict[str, Any], *, whole: bool) -> None:
        """Take up a state of `state`.

        Args:
            whole: False takes up the model's weights alone, where a new stage begins.
        """
        average = checkpoint.part_of(tensors, "average.")
        if not whole:
            # A stage begins with the weights that the one before it left: their average, if any.
            self.bare.load_state_dict(average or checkpoint.part_of(tensors, "model."))
            if self._average is not None:
                self._average.restore(self.bare.state_dict(), 0)
            return
        checkpoint.restore(tensors, self.bare, self._optimiser.optimizer)
        if self._average is not None:
            self._average.restore(average, header["averaged"])
        if self._accelerator.scaler is not None:
            self._accelerator.scaler.load_state_dict(header["scaler"])

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return everything that training needs to go on: tensors, and figures beside them."""
        tensors = checkpoint.training_state(self.bare, self._optimiser.optimizer)
        header: dict[str, Any] = {}
        if self._average is not None:
            tensors |= {f"average.{name}": t for name, t in self._average.weights.items()}
            header["averaged"] = self._average.steps
        if self._accelerator.scaler is not None:
            header["scaler"] = self._accelerator.scaler.state_dict()
        return tensors, header

    def finish(self) -> Model:
        """Return the model with the weights that are kept: its own, or their average."""
        if self._average is not None:
            self.bare.load_state_dict(self._average.weights)
        # What casts the outputs for this stage must not be wrapped again by the next one.
        model: Model = self._accelerator.unwrap_model(self._model, keep_fp32_wrapper=False)
        return model

    @contextmanager
    def as_kept(self) -> Iterator[Model]:
        """Give the model with the weights that would be kept now; then training goes on."""
        if self._average is None:
            yield self.bare
            return
        own = {name: tensor.clone() for name, tensor in self.bare.state_dict().items()}
        self.bare.load_state_dict(self._average.weights)
        try:
            yield self.bare
        finally:
            self.bare.load_state_dict(own)

    def epoch(
        self, epoch: int, journal: TrainingLog | None, advance: Callable[[int], None]
    ) -> dict[str, float]:
        """Go once through the faces; return the mean losses, the rate and the speed.

        Raises:
            DataError: a loss is not finite, or an image cannot be read.
        """
        # Dropout and drop path draw from torch's generator: an epoch's draws depend on it alone,
        # and on the process where there are several.
        seed, rank = self._settings.training.seed, self._accelerator.process_index
        torch.manual_seed(seed * 1_000_003 + epoch + 10_007 * rank)
        began = time.perf_counter()
        self._model.train()
        figures = _RunningMeans(self._accelerator.reduce, len(self._faces), self._terms, journal)
        last: _TrainingStep | None = None
        for number, passes in enumerate(self._passes(epoch)):
            step = self._step(number, epoch, passes)
            # One step late, so that a GPU is not kept waiting for its own figures.
            self._take(last, figures)
            last = step
            advance(1)
        if last is None:
            raise ValueError("there are no faces to train on")
        self._take(last, figures)
        self._share_buffers()
        took = time.perf_counter() - began
        return {
            **figures.means(),
            "learning_rate": last.rate,
            "frames_per_second": len(self._faces) / took,
            "seconds": took,
        }

    def _passes(self, epoch: int) -> Iterator[list[Batch]]:
        """Yield the micro-batches of every step."""
        accelerator = self._accelerator
        loaded: Iterable[Batch] = batches(
            self._faces,
            self._settings,
            epoch=epoch,
            workers=loader_workers(self._settings, accelerator),
            needs=self.bare.needs,
            rank=accelerator.process_index,
            world=accelerator.num_processes,
            pin=accelerator.device.type == "cuda",
        )
        if type(self.bare).mix is not Model.mix:
            loaded = self._mixed(loaded, epoch)
        return _grouped(loaded, self._settings.training.accumulate)

    def _mixed(self, loaded: Iterable[Batch], epoch: int) -> Iterator[Batch]:
        """Yield batches as the model mixes them; what is random depends on their place alone."""
        seed, rank = self._settings.training.seed, self._accelerator.process_index
        for number, batch in enumerate(loaded):
            state = np.random.SeedSequence([seed, epoch, number, rank]).generate_state(1)
            yield self.bare.mix(batch, torch.Generator().manual_seed(int(state[0])))

    def _step(self, number: int, epoch: int, passes: list[Batch]) -> _TrainingStep:
        training, accelerator = self._settings.training, self._accelerator
        overall = epoch * self.steps_an_epoch + number
        factor = rate_at(overall - self._first, self._steps, training.warmup, training.schedule)
        for group in self._optimiser.param_groups:
            group["lr"] = group["base"] * factor
        # Every mean is over the whole batch, of all micro-batches and processes.
        counts = torch.stack([self._counts(batch) for batch in passes]).sum(dim=0)
        counts = accelerator.reduce(counts.to(accelerator.device)) / accelerator.num_processes
        losses = [
            self._pass(batch, counts, last=place == len(passes))
            for place, batch in enumerate(passes, start=1)
        ]
        clip = training.gradient_clip or math.inf
        norm = accelerator.clip_grad_norm_(self._model.parameters(), clip)
        self._optimiser.step()
        if self._average is not None and not self._optimiser.step_was_skipped:
            self._average.update()
        self._optimiser.zero_grad()
        return _TrainingStep(
            number=overall,
            epoch=epoch,
            losses=torch.stack(losses).sum(dim=0),
            norm=norm,
            skipped=self._optimiser.step_was_skipped,
            rate=training.learning_rate * factor,
            faces=min(training.batch_size, len(self._faces) - number * training.batch_size),
            rows=torch.cat([batch.rows for batch in passes]),
        )

    def _counts(self, batch: Batch) -> Tensor:
        """Return what each of the model's losses is a mean over, float32 [terms]."""
        counts = self.bare.counts(batch)
        return torch.stack([counts[term] for term in self.bare.terms])

    def _pass(self, batch: Batch, counts: Tensor, *, last: bool) -> Tensor:
        """Add the gradients of a micro-batch; return its share of the losses [terms + 1]."""
        accelerator, model = self._accelerator, self.bare
        batch = on_device(batch, accelerator.device, self._settings.model)
        by_term = dict(zip(model.terms, counts, strict=True))
        # Gradients of several processes meet once a step.
        with nullcontext() if last else accelerator.no_sync(self._model):
            with accelerator.autocast():
                output = self._model(batch)
            losses = means(model.loss(output, batch, self._gamma), by_term)
            accelerator.backward(losses["total"])
        return torch.stack([losses[term].detach() for term in self._terms])

    def _share_buffers(self) -> None:
        """Give all processes the leader's buffers: batch norm's are of each one's own faces."""
        for buffer in self.bare.buffers():
            broadcast(buffer)
        if self._average is not None:
            self._average.take_buffers()

    def _take(self, step: _TrainingStep | None, figures: "_RunningMeans") -> None:
        if step is not None and not figures.take(step):
            raise _not_finite(step, self._faces, self.steps_an_epoch, self._terms)


class _RunningMeans:
    """Sums an epoch's losses up, and passes every so many steps' on to the journal.

    Args:
        reduce: brings processes' figures of a step together.
        faces: of an epoch.
        terms: names of the losses.
    """

    def __init__(
        self,
        reduce: Callable[..., Tensor],
        faces: int,
        terms: tuple[str, ...],
        journal: TrainingLog | None,
    ) -> None:
        self._reduce = reduce
        self._faces = faces
        self._terms = terms
        self._journal = journal
        self._sums = torch.zeros(len(terms), dtype=torch.float64)
        self._since, self._seen = time.perf_counter(), 0

    def take(self, step: _TrainingStep) -> bool:
        """Count a step's figures; return whether its losses and their gradient are finite."""
        losses = step.losses.cpu()
        self._sums += losses.double() * (step.faces / self._faces)
        self._seen += step.faces
        # The last gradient of an epoch would otherwise be seen after its checkpoint.
        told = [losses] if step.skipped else [losses, step.norm.cpu()]
        if not all(bool(figure.isfinite().all()) for figure in told):
            return False
        if (step.number + 1) % _JOURNAL_EVERY == 0:
            self._write(step)
        return True

    def _write(self, step: _TrainingStep) -> None:
        losses = self._reduce(step.losses, "mean").tolist()
        now = time.perf_counter()
        if self._journal is not None:
            figures = {
                "epoch": step.epoch + 1,
                **dict(zip(self._terms, losses, strict=True)),
                "learning_rate": step.rate,
                "gradient_norm": float(step.norm),
                "frames_per_second": self._seen / (now - self._since),
            }
            self._journal.step(step.number + 1, figures)
        self._since, self._seen = now, 0

    def means(self) -> dict[str, float]:
        """Return the losses' means over the epoch."""
        # Processes that have a GPU reduce no tensor that is not on it.
        shares = processes.gathered(self._sums.tolist())
        return dict(zip(self._terms, np.mean(shares, axis=0).tolist(), strict=True))


def _grouped(loaded: Iterable[Batch], size: int) -> Iterator[list[Batch]]:
    loaded = iter(loaded)
    while group := list(islice(loaded, size)):
        yield group


def _not_finite(
    step: _TrainingStep, faces: FaceSet, steps_an_epoch: int, terms: tuple[str, ...]
) -> DataError:
    named = [str(path) for path in faces.images[step.rows.numpy()][:3]]
    values = zip(terms, step.losses.tolist(), strict=True)
    batch = step.number - step.epoch * steps_an_epoch + 1
    return DataError(
        f"The loss or its gradient is not finite "
        f"({', '.join(f'{term} {value:g}' for term, value in values)}, gradient "
        f"{float(step.norm):g}) in epoch {step.epoch + 1}, batch {batch}.",
        where=", ".join(named) + " ...",
        hint="lower training.learning_rate or training.gradient_clip, or look at these images",
    )
