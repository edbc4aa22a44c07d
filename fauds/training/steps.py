"""What one step of training is: a batch's passes, their gradients, the optimiser, the figures."""

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
from fauds.nn.losses import PARTS, loss_counts, vlfau_loss
from fauds.nn.vlfau import VLFAU
from fauds.settings import RunSettings
from fauds.training import checkpoint, processes
from fauds.training.batches import Batch, batches
from fauds.training.data import CaptionTokens, FaceSet
from fauds.training.device import loader_workers, make_accelerator, normalise
from fauds.training.journal import Journal
from fauds.training.optimiser import Average, optimiser, rate_at

TERMS = (*PARTS, "total")
_JOURNAL_EVERY = 20
"""Steps from one line of the journal to the next."""


@dataclass(frozen=True)
class _Step:
    """What became of a step.

    Attributes:
        number: from 0, over all epochs; epoch: likewise.
        losses: [5], in the order of `TERMS`; this process's, whose mean over processes counts.
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
    """A model being trained, and what is learnt beside it.

    Args:
        weights: gamma of eq. 9, float [A].

    Attributes:
        bare: the model, without what spreads it over processes.
        steps_an_epoch: as it says.
    """

    def __init__(
        self,
        model: VLFAU,
        faces: FaceSet,
        tokens: CaptionTokens,
        weights: np.ndarray,
        settings: RunSettings,
    ) -> None:
        training = settings.training
        self._accelerator = make_accelerator(settings)
        if training.compile:
            model.stem.body.compile()
        self._model, self._optimiser = self._accelerator.prepare(model, optimiser(model, training))
        self.bare: VLFAU = self._accelerator.unwrap_model(self._model)
        self._average = None if training.ema is None else Average(self.bare, training.ema)
        self._gamma = torch.tensor(weights, dtype=torch.float32, device=self._accelerator.device)
        self._faces, self._tokens, self._settings = faces, tokens, settings
        self.steps_an_epoch = math.ceil(len(faces) / training.batch_size)

    def restore(self, tensors: dict[str, Tensor], header: dict[str, Any]) -> None:
        """Take up a state of `state`."""
        checkpoint.restore(tensors, self.bare, self._optimiser.optimizer)
        if self._average is not None:
            prefix = "average."
            kept = {k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)}
            self._average.restore(kept, header["averaged"])
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

    def finish(self) -> VLFAU:
        """Return the model with the weights that are kept: its own, or their average."""
        if self._average is not None:
            self.bare.load_state_dict(self._average.weights)
        return self.bare

    @contextmanager
    def as_kept(self) -> Iterator[VLFAU]:
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
        self, epoch: int, journal: Journal | None, advance: Callable[[int], None]
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
        figures = _Figures(self._accelerator.reduce, len(self._faces), journal)
        last: _Step | None = None
        for number, passes in enumerate(self._passes(epoch)):
            step = self._step(number, epoch, passes)
            # One step late, so that a GPU is not kept waiting for its own figures.
            self._take(last, figures)
            last = step
            advance(1)
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
        """Yield the passes of every step."""
        accelerator = self._accelerator
        loaded = batches(
            self._faces,
            self._tokens,
            self._settings,
            epoch=epoch,
            workers=loader_workers(self._settings, accelerator),
            rank=accelerator.process_index,
            world=accelerator.num_processes,
            pin=accelerator.device.type == "cuda",
        )
        return _grouped(loaded, self._settings.training.accumulate)

    def _step(self, number: int, epoch: int, passes: list[Batch]) -> _Step:
        training, accelerator = self._settings.training, self._accelerator
        overall = epoch * self.steps_an_epoch + number
        steps = training.epochs * self.steps_an_epoch
        factor = rate_at(overall, steps, training.warmup, training.schedule)
        for group in self._optimiser.param_groups:
            group["lr"] = group["base"] * factor
        # Every mean is over the whole batch, of all passes and processes.
        counts = sum(loss_counts(batch.labels, batch.local, batch.global_) for batch in passes)
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
        return _Step(
            number=overall,
            epoch=epoch,
            losses=torch.stack(losses).sum(dim=0),
            norm=norm,
            skipped=self._optimiser.step_was_skipped,
            rate=training.learning_rate * factor,
            faces=min(training.batch_size, len(self._faces) - number * training.batch_size),
            rows=torch.cat([batch.rows for batch in passes]),
        )

    def _pass(self, batch: Batch, counts: Tensor, *, last: bool) -> Tensor:
        """Add the gradients of a part of a batch; return its share of the losses [5]."""
        accelerator, device = self._accelerator, self._accelerator.device
        images, local, whole, labels = (
            tensor.to(device, non_blocking=True)
            for tensor in (batch.images, batch.local, batch.global_, batch.labels)
        )
        # Gradients of several processes meet once a step.
        with nullcontext() if last else accelerator.no_sync(self._model):
            with accelerator.autocast():
                output = self._model(normalise(images, self._settings.model), local, whole)
            losses = vlfau_loss(output, labels, self._gamma, counts)
            accelerator.backward(losses["total"])
        return torch.stack([losses[term].detach() for term in TERMS])

    def _share_buffers(self) -> None:
        """Give all processes the leader's buffers: batch norm's are of each one's own faces."""
        for buffer in self.bare.buffers():
            broadcast(buffer)
        if self._average is not None:
            self._average.take_buffers()

    def _take(self, step: _Step | None, figures: "_Figures") -> None:
        if step is not None and not figures.take(step):
            raise _not_finite(step, self._faces, self.steps_an_epoch)


class _Figures:
    """Sums an epoch's losses up, and passes every so many steps' on to the journal.

    Args:
        reduce: brings processes' figures of a step together.
        faces: of an epoch.
    """

    def __init__(self, reduce: Callable[..., Tensor], faces: int, journal: Journal | None) -> None:
        self._reduce = reduce
        self._faces = faces
        self._journal = journal
        self._sums = torch.zeros(len(TERMS), dtype=torch.float64)
        self._since, self._seen = time.perf_counter(), 0

    def take(self, step: _Step) -> bool:
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

    def _write(self, step: _Step) -> None:
        losses = self._reduce(step.losses, "mean").tolist()
        now = time.perf_counter()
        if self._journal is not None:
            figures = {
                "epoch": step.epoch + 1,
                **dict(zip(TERMS, losses, strict=True)),
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
        return dict(zip(TERMS, np.mean(shares, axis=0).tolist(), strict=True))


def _grouped(loaded: Iterable[Batch], size: int) -> Iterator[list[Batch]]:
    loaded = iter(loaded)
    while group := list(islice(loaded, size)):
        yield group


def _not_finite(step: _Step, faces: FaceSet, steps_an_epoch: int) -> DataError:
    named = [str(path) for path in faces.images[step.rows.numpy()][:3]]
    values = zip(TERMS, step.losses.tolist(), strict=True)
    batch = step.number - step.epoch * steps_an_epoch + 1
    return DataError(
        f"The loss or its gradient is not finite "
        f"({', '.join(f'{term} {value:g}' for term, value in values)}, gradient "
        f"{float(step.norm):g}) in epoch {step.epoch + 1}, batch {batch}.",
        where=", ".join(named) + " ...",
        hint="lower training.learning_rate or training.gradient_clip, or look at these images",
    )
