"""The training loop of one fold: AdamW, warm-up and cosine, a checkpoint per epoch."""

import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from fauds.errors import DataError
from fauds.nn.losses import PARTS, vlfau_loss
from fauds.nn.vlfau import VLFAU
from fauds.settings import ModelSettings, RunSettings
from fauds.training import checkpoint
from fauds.training.batches import Batch, batches
from fauds.training.data import CaptionTokens, FaceSet

CHECKPOINT = "checkpoint.safetensors"
WEIGHTS = "weights.safetensors"
LOG = "log.jsonl"


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


def make_accelerator(settings: RunSettings) -> Accelerator:
    """Return the device and precision that the settings ask for."""
    training = settings.training
    return Accelerator(cpu=training.device == "cpu", mixed_precision=training.precision)


def loader_workers(settings: RunSettings, accelerator: Accelerator) -> int:
    """Return how many loader processes to use: none beside a CPU that computes, else up to 8."""
    if settings.training.workers is not None:
        return settings.training.workers
    return 0 if accelerator.device.type == "cpu" else min(8, os.cpu_count() or 1)


def normalise(images: Tensor, settings: ModelSettings) -> Tensor:
    """Turn uint8 images [B, 3, S, S] into floats with the backbone's mean and deviation."""
    mean, std = (images.new_tensor(v, dtype=torch.float32) for v in (settings.mean, settings.std))
    return (images.float() / 255 - mean[:, None, None]) / std[:, None, None]


def rate_at(step: int, steps: int, warmup: float) -> float:
    """Return the learning rate's factor: linear warm-up, then half a cosine down to 0."""
    rising = max(1, round(warmup * steps))
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


def _optimizer(model: VLFAU, settings: RunSettings) -> torch.optim.AdamW:
    training = settings.training
    stem = list(model.stem.parameters())
    ours = {id(parameter) for parameter in stem}
    rest = [parameter for parameter in model.parameters() if id(parameter) not in ours]
    rate = training.learning_rate
    groups = [
        {"params": stem, "base": rate * training.backbone_rate},
        {"params": rest, "base": rate},
    ]
    return torch.optim.AdamW(
        groups, lr=rate, betas=training.betas, weight_decay=training.weight_decay, fused=True
    )


def train(
    model: VLFAU,
    faces: FaceSet,
    tokens: CaptionTokens,
    weights: np.ndarray,
    settings: RunSettings,
    folder: Path,
    meta: dict[str, Any],
    advance: Callable[[int], None] = lambda steps: None,
) -> VLFAU:
    """Train a model on one fold's training part, going on from its newest checkpoint.

    Args:
        weights: gamma of eq. 9, float [A].
        folder: takes a checkpoint per epoch, log.jsonl, and at the end the weights.
        meta: written into the weights' header.
        advance: called with the number of steps done, for a progress bar.

    Raises:
        DataError: the loss is not finite; the batch's frames are named.
    """
    accelerator = make_accelerator(settings)
    optimizer = _optimizer(model, settings)
    model, optimizer = accelerator.prepare(model, optimizer)
    bare = accelerator.unwrap_model(model)
    first = _resume(folder, bare, optimizer)
    per_epoch = math.ceil(len(faces) / settings.training.batch_size)
    advance(first * per_epoch)
    gamma = torch.tensor(weights, dtype=torch.float32, device=accelerator.device)
    for epoch in range(first, settings.training.epochs):
        # Dropout and drop path draw from torch's generator: an epoch's draws depend on it alone.
        torch.manual_seed(settings.training.seed * 1_000_003 + epoch)
        began = time.perf_counter()
        losses = _epoch(
            accelerator, model, optimizer, faces, tokens, gamma, settings, epoch, advance
        )
        _log(folder, {"epoch": epoch + 1, **losses, "seconds": time.perf_counter() - began})
        state = checkpoint.training_state(bare, optimizer)
        checkpoint.save(folder / CHECKPOINT, state, {**meta, "epochs_done": epoch + 1})
    checkpoint.save(folder / WEIGHTS, dict(bare.state_dict()), meta)
    (folder / CHECKPOINT).unlink(missing_ok=True)
    return bare


def _resume(folder: Path, model: VLFAU, optimizer: torch.optim.Optimizer) -> int:
    path = folder / CHECKPOINT
    if not path.exists():
        return 0
    tensors, meta = checkpoint.load(path)
    checkpoint.restore(tensors, model, getattr(optimizer, "optimizer", optimizer))
    return meta["epochs_done"]


def _log(folder: Path, line: dict[str, Any]) -> None:
    rounded = {k: round(v, 6) if isinstance(v, float) else v for k, v in line.items()}
    with (folder / LOG).open("a", encoding="utf-8") as file:
        file.write(json.dumps(rounded) + "\n")


def _epoch(
    accelerator: Accelerator,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    faces: FaceSet,
    tokens: CaptionTokens,
    gamma: Tensor,
    settings: RunSettings,
    epoch: int,
    advance: Callable[[int], None],
) -> dict[str, float]:
    training = settings.training
    per_epoch = math.ceil(len(faces) / training.batch_size)
    workers = loader_workers(settings, accelerator)
    model.train()
    sums = dict.fromkeys((*PARTS, "total"), 0.0)
    loaded = batches(faces, tokens, settings, epoch=epoch, workers=workers)
    for number, batch in enumerate(loaded):
        factor = rate_at(epoch * per_epoch + number, training.epochs * per_epoch, training.warmup)
        for group in optimizer.param_groups:
            group["lr"] = group["base"] * factor
        losses = _step(accelerator, model, optimizer, batch, gamma, settings)
        if not math.isfinite(losses["total"]):
            raise _not_finite(losses, faces, batch, epoch, number)
        for part, value in losses.items():
            sums[part] += value * len(batch.rows) / len(faces)
        advance(1)
    return sums


def _step(
    accelerator: Accelerator,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    gamma: Tensor,
    settings: RunSettings,
) -> dict[str, float]:
    device = accelerator.device
    images = normalise(batch.images.to(device), settings.model)
    with accelerator.autocast():
        output = model(images, batch.local.to(device), batch.global_.to(device))
    losses = vlfau_loss(output, batch.labels.to(device), gamma)
    accelerator.backward(losses["total"])
    accelerator.clip_grad_norm_(model.parameters(), settings.training.gradient_clip)
    optimizer.step()
    optimizer.zero_grad()
    return {part: value.item() for part, value in losses.items()}


def _not_finite(
    losses: dict[str, float], faces: FaceSet, batch: Batch, epoch: int, number: int
) -> DataError:
    named = [str(path) for path in faces.images[batch.rows.numpy()][:3]]
    values = ", ".join(f"{part} {value:g}" for part, value in losses.items())
    return DataError(
        f"The loss is not finite ({values}) in epoch {epoch + 1}, batch {number + 1}.",
        where=", ".join(named) + " ...",
        hint="lower training.learning_rate or training.gradient_clip, or look at these images",
    )
