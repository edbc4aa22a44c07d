"""The training of one fold: begins or resumes it, saves checkpoints and the trained weights."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fauds.errors import UsageError
from fauds.nn.base import Model, Spec, Stage
from fauds.settings import BackboneSettings, ModelSettings, RunSettings
from fauds.tables.paths import WEIGHTS
from fauds.training import checkpoint, processes
from fauds.training.backbone_file import load_backbone
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
    say: Callable[[str], None] = lambda line: None,
) -> Model:
    """Build a model from its settings, and load the backbone's weights if the settings name a file.

    Args:
        family: the class of the model.
        settings: the architecture, an instance of the family's own `Settings`.
        names: the action units or classes that the model scores.
        form: "multilabel" for AUs, "multiclass" for classes that exclude each other.
        vocabulary: maps each kind of caption, "local" (of one AU) and "global" (of the whole
            face), to the number of words in its vocabulary; empty without captions.
        folder: the folder that a relative path in ``backbone.weights`` refers to.
        say: called with a line for the user about the tensors of that file, if one is loaded.

    Raises:
        UsageError: the family does not support this task or these settings.
        DataError: weights are not available, or do not fit the backbone.
    """
    spec = Spec(tuple(names), form, vocabulary, settings.image_size, settings.mean, settings.std)
    model = family.build(settings, spec)
    backbone = getattr(settings, "backbone", None)
    if isinstance(backbone, BackboneSettings) and backbone.weights is not None:
        say(load_backbone(model, folder / backbone.weights))
    return model


def train(
    model: Model,
    faces: FaceSet,
    class_weights: np.ndarray,
    settings: RunSettings[Any],
    folder: Path,
    meta: dict[str, Any],
    *,
    advance: Callable[[int], None] = lambda steps: None,
    say: Callable[[str], None] = lambda line: None,
    after_epoch: Callable[[Model, int], None] | None = None,
    tensorboard: bool = False,
) -> Model:
    """Train a model on one fold, resuming from the newest undamaged checkpoint if there is one.

    With several processes, each process takes its share of every batch, and the first process
    writes the files. All means are over the whole batch, so that the result differs from that of
    one process only by the order of sums and by the random numbers of dropout and drop path.

    Args:
        model: the model, with its initial weights.
        faces: the frames to train on.
        class_weights: the weight of each AU or class in the loss, float [A].
        settings: the settings of the run.
        folder: the folder for checkpoints, log.jsonl and, at the end, the weights.
        meta: the metadata that are written into the header of the weights file.
        advance: called with the number of steps that were finished since the last call, for a
            progress bar.
        say: called with each line of text for the user.
        after_epoch: called after every epoch, before its checkpoint, with the model as it would be
            saved now and the number of the epoch, from 1.
        tensorboard: whether to write TensorBoard event files too.

    Returns:
        The trained model.

    Raises:
        DataError: the loss is not finite (the message names images of the batch), or an image
            cannot be read.
        UsageError: TensorBoard is requested but not installed, or there are too few epochs for the
            stages of the model.
    """
    epochs = settings.training.epochs
    stages = _checked_stages(model, epochs)
    resumed = checkpoint.load_newest(folder, meta, say)
    epochs_done = 0 if resumed is None else int(resumed[1]["epochs_done"])
    # The first process must not change files before all others have read them.
    processes.wait_for_all()
    if processes.is_leader():
        checkpoint.remove_temporary_files(folder)
    end, trained = 0, model
    with _open_log(folder, epochs_done, model.terms, tensorboard) as log:
        for note in log.notes if log is not None else ():
            say(note)
        for number, stage in enumerate(stages):
            start, end = end, end + stage.epochs
            # Finished stages are begun again too, since a stage may rely on earlier ones.
            model.begin(stage)
            if end <= epochs_done and number < len(stages) - 1:
                continue
            if len(stages) > 1:
                say(f"stage {stage.name}: epochs {start + 1} to {end}")
            training = Training(model, faces, class_weights, settings, start, stage.epochs)
            with closing(training):
                if resumed is not None:
                    training.restore(*resumed, same_stage=epochs_done > start)
                    resumed = None
                    advance(epochs_done * training.steps_an_epoch)
                for epoch in range(max(epochs_done, start), end):
                    figures = training.epoch(epoch, log, advance)
                    say(_epoch_line(epoch + 1, epochs, figures))
                    if after_epoch is not None:
                        with training.as_saved() as model_as_saved:
                            after_epoch(model_as_saved, epoch + 1)
                    if log is not None:
                        log.epoch(epoch + 1, figures)
                        state, header = training.state()
                        checkpoint.save_checkpoint(folder, state, {**meta, **header}, epoch + 1)
                trained = training.finish()
    if processes.is_leader():
        checkpoint.save(folder / WEIGHTS, dict(trained.state_dict()), meta)
        checkpoint.remove_checkpoints(folder)
    processes.wait_for_all()
    return trained


def _checked_stages(model: Model, epochs: int) -> Sequence[Stage]:
    """Return the stages of a model's training, after checking that their epochs add up.

    Args:
        model: the model, which defines the stages.
        epochs: the number of epochs of the whole training.

    Raises:
        UsageError: the epochs of the stages do not add up to `epochs`, or a stage has no epoch.
    """
    stages = model.stages(epochs)
    if sum(stage.epochs for stage in stages) != epochs or any(s.epochs < 1 for s in stages):
        listed = ", ".join(f"{stage.name} {stage.epochs}" for stage in stages)
        raise UsageError(
            f"{epochs} epochs do not match the stages of this model, which take these numbers of "
            f"epochs: {listed}.",
            where="training.epochs",
            hint=f"set training.epochs to {len(stages)} or more: every stage needs an epoch",
        )
    return stages


def _open_log(
    folder: Path, epochs_done: int, terms: Sequence[str], tensorboard: bool
) -> AbstractContextManager[TrainingLog | None]:
    """Return a context manager that gives the training log, or None in all but the first process.

    Only the first process writes a log. See `TrainingLog` for the arguments.
    """
    if not processes.is_leader():
        return nullcontext()
    return TrainingLog(folder, terms=terms, epochs_done=epochs_done, tensorboard=tensorboard)


def _epoch_line(epoch: int, epochs: int, figures: dict[str, float]) -> str:
    return (
        f"epoch {epoch} of {epochs}: loss {figures['total']:.3f}, "
        f"{figures['frames_per_second']:.0f} frames a second"
    )
