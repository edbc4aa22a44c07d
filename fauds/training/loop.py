"""The training of one fold: from its newest checkpoint, epoch by epoch, to weights."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from fauds.nn.vlfau import VLFAU
from fauds.settings import ModelSettings, RunSettings
from fauds.training import checkpoint, processes, resuming
from fauds.training.data import CaptionTokens, FaceSet
from fauds.training.journal import Journal
from fauds.training.steps import Training

WEIGHTS = "weights.safetensors"


def build_model(
    settings: ModelSettings, num_aus: int, tokens: CaptionTokens, presets: Path
) -> VLFAU:
    """Make the model of some settings, its backbone's weights loaded where they name some.

    Args:
        presets: the folder that a relative ``backbone.weights`` is looked up in.
    """
    stem = settings.backbone
    keywords = settings.model_dump(exclude={"backbone", "mean", "std"})
    model = VLFAU(
        backbone=stem.name,
        backbone_args=dict(stem.args),
        pretrained=stem.pretrained and stem.weights is None,
        num_aus=num_aus,
        local_vocab=tokens.local_vocabulary,
        global_vocab=tokens.global_vocabulary,
        **keywords,
    )
    if stem.weights is not None:
        checkpoint.load_backbone(model, presets / stem.weights)
    return model


def train(
    model: VLFAU,
    faces: FaceSet,
    tokens: CaptionTokens,
    weights: np.ndarray,
    settings: RunSettings,
    folder: Path,
    meta: dict[str, Any],
    *,
    advance: Callable[[int], None] = lambda steps: None,
    say: Callable[[str], None] = lambda line: None,
    watch: Callable[[VLFAU, int], None] | None = None,
    tensorboard: bool = False,
) -> VLFAU:
    """Train a model on one fold's training part, going on from its newest whole checkpoint.

    With several processes each takes its share of every batch, and the first one writes. All means
    are over the whole batch, so that nothing but the order of sums, and what dropout and drop path
    draw, differs from one process's.

    Args:
        weights: gamma of eq. 9, float [A].
        folder: takes a checkpoint per epoch, log.jsonl, and at the end the weights.
        meta: written into the weights' header.
        advance: called with the number of steps done, for a progress bar.
        say: called with lines for people.
        watch: called after every epoch, before its checkpoint, with the model as it would be kept
            and the epoch's number from 1.
        tensorboard: write TensorBoard's event files too.

    Raises:
        DataError: the loss is not finite; the batch's frames are named.
        UsageError: TensorBoard is asked for and not installed.
    """
    training = Training(model, faces, tokens, weights, settings)
    done = 0
    found = resuming.newest(folder, meta, say)
    if found is not None:
        tensors, header = found
        training.restore(tensors, header)
        done = header["epochs_done"]
    # The first process writes only what all others have read.
    processes.wait()
    if processes.leads():
        resuming.sweep(folder)
    advance(done * training.steps_an_epoch)
    epochs = settings.training.epochs
    with _journal(folder, done, tensorboard) as journal:
        for note in journal.notes if journal is not None else ():
            say(note)
        for epoch in range(done, epochs):
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


def _journal(folder: Path, done: int, tensorboard: bool) -> AbstractContextManager[Journal | None]:
    """Return the leader's journal; the others keep none."""
    if not processes.leads():
        return nullcontext()
    return Journal(folder, epochs_done=done, tensorboard=tensorboard)


def _line(epoch: int, epochs: int, figures: dict[str, float]) -> str:
    return (
        f"epoch {epoch} of {epochs}: loss {figures['total']:.3f}, "
        f"{figures['frames_per_second']:.0f} frames a second"
    )
