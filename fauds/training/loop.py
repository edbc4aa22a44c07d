"""The training of one fold: from its newest checkpoint, epoch by epoch, to weights."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fauds.errors import UsageError
from fauds.nn.base import Model, Spec, Stage
from fauds.settings import BackboneSettings, ModelSettings, RunSettings
from fauds.tables.paths import WEIGHTS
from fauds.training import checkpoint, processes
from fauds.training import checkpoint as resuming
from fauds.training.face_set import FaceSet
from fauds.training.log import TrainingLog
from fauds.training.trainer import Training


def build_model(
    family: type[Model],
    settings: ModelSettings,
    names: Sequence[str],
    form: Literal["multilabel", "multiclass"],
    vocabulary: Mapping[str, int],
    folder: Path,
) -> Model:
    """Make the model of some settings, its backbone's weights loaded where they name some.

    Args:
        settings: of the family's own type.
        names, form, vocabulary: see `fauds.nn.base.Spec`.
        folder: where a relative ``backbone.weights`` is looked up.
    """
    spec = Spec(tuple(names), form, vocabulary, settings.image_size, settings.mean, settings.std)
    model = family.build(settings, spec)
    backbone = getattr(settings, "backbone", None)
    if isinstance(backbone, BackboneSettings) and backbone.weights is not None:
        checkpoint.load_backbone(model, folder / backbone.weights)
    return model


def train(
    model: Model,
    faces: FaceSet,
    weights: np.ndarray,
    settings: RunSettings[Any],
    folder: Path,
    meta: dict[str, Any],
    *,
    advance: Callable[[int], None] = lambda steps: None,
    say: Callable[[str], None] = lambda line: None,
    watch: Callable[[Model, int], None] | None = None,
    tensorboard: bool = False,
) -> Model:
    """Train a model on one fold's training part, going on from its newest whole checkpoint.

    With several processes each takes its share of every batch, and the first one writes. All means
    are over the whole batch, so that nothing but the order of sums, and what dropout and drop path
    draw, differs from one process's.

    Args:
        weights: class weights, float [A].
        folder: takes a checkpoint per epoch, log.jsonl, and at the end the weights.
        meta: written into the weights' header.
        advance: called with the number of steps done, for a progress bar.
        say: called with lines for people.
        watch: called after every epoch, before its checkpoint, with the model as it would be kept
            and the epoch's number from 1.
        tensorboard: write TensorBoard's event files too.

    Raises:
        DataError: the loss is not finite; the batch's frames are named.
        UsageError: TensorBoard is asked for and not installed, or there are too few epochs for the
            model's stages.
    """
    epochs = settings.training.epochs
    stages = _stages(model, epochs)
    resumed = resuming.newest(folder, meta, say)
    done = 0 if resumed is None else int(resumed[1]["epochs_done"])
    # The first process writes only what all others have read.
    processes.wait()
    if processes.leads():
        resuming.sweep(folder)
    end, trained = 0, model
    with _journal(folder, done, model.terms, tensorboard) as journal:
        for note in journal.notes if journal is not None else ():
            say(note)
        for place, stage in enumerate(stages):
            start, end = end, end + stage.epochs
            # A stage may build on what the ones before it have set.
            model.begin(stage)
            if end <= done and place < len(stages) - 1:
                continue
            if len(stages) > 1:
                say(f"stage {stage.name}: epochs {start + 1} to {end}")
            training = Training(model, faces, weights, settings, start, stage.epochs)
            if resumed is not None:
                training.restore(*resumed, whole=done > start)
                resumed = None
                advance(done * training.steps_an_epoch)
            for epoch in range(max(done, start), end):
                figures = training.epoch(epoch, journal, advance)
                say(_line(epoch + 1, epochs, figures))
                if watch is not None:
                    with training.as_kept() as model_now:
                        watch(model_now, epoch + 1)
                if journal is not None:
                    journal.epoch(epoch + 1, figures)
                    state, header = training.state()
                    resuming.keep(folder, state, {**meta, **header}, epoch + 1)
            trained = training.finish()
    if processes.leads():
        checkpoint.save(folder / WEIGHTS, dict(trained.state_dict()), meta)
        resuming.clear(folder)
    processes.wait()
    return trained


def _stages(model: Model, epochs: int) -> Sequence[Stage]:
    """Return the model's stages, each with an epoch at least, which add up to `epochs`."""
    stages = model.stages(epochs)
    if sum(stage.epochs for stage in stages) != epochs or any(s.epochs < 1 for s in stages):
        listed = ", ".join(f"{stage.name} {stage.epochs}" for stage in stages)
        raise UsageError(
            f"{epochs} epochs do not make the stages of this model: {listed}.",
            where="training.epochs",
            hint=f"every stage takes one epoch at least: train for {len(stages)} or more",
        )
    return stages


def _journal(
    folder: Path, done: int, terms: Sequence[str], tensorboard: bool
) -> AbstractContextManager[TrainingLog | None]:
    """Return the leader's journal; the others keep none."""
    if not processes.leads():
        return nullcontext()
    return TrainingLog(folder, terms=terms, epochs_done=done, tensorboard=tensorboard)


def _line(epoch: int, epochs: int, figures: dict[str, float]) -> str:
    return (
        f"epoch {epoch} of {epochs}: loss {figures['total']:.3f}, "
        f"{figures['frames_per_second']:.0f} frames a second"
    )
