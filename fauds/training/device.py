"""The device, precision and processes of a run, by accelerate; and faces brought there."""

import os
from dataclasses import replace
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from fauds.errors import UsageError
from fauds.nn.base import Batch
from fauds.settings import ModelSettings, RunSettings
from fauds.training import processes

_NAMES = {"no": "float32", "bf16": "bfloat16", "fp16": "float16"}


def make_accelerator(settings: RunSettings[Any]) -> Accelerator:
    """Return the device and precision that the settings ask for.

    Raises:
        UsageError: the device does not have the precision.
    """
    training = settings.training
    processes.join(cpu=training.device == "cpu")
    cpu = training.device == "cpu" or not torch.cuda.is_available()
    precision = precision_on("cpu" if cpu else "cuda", training.precision)
    if cpu and precision == "fp16":
        raise UsageError(
            "A CPU does not train in float16.",
            where="training.precision",
            hint="--set training.precision=bf16, or no for float32; or train on a GPU",
        )
    return Accelerator(cpu=training.device == "cpu", mixed_precision=precision)


def precision_on(device: str, asked: str) -> str:
    """Return the precision, "no", "bf16" or "fp16", that a setting means on a type of device."""
    if asked != "auto":
        return asked
    return "bf16" if device == "cuda" and torch.cuda.is_bf16_supported() else "no"


def computed_on(accelerator: Accelerator) -> str:
    """Return device, precision and processes in words, for results."""
    device = accelerator.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    count = accelerator.num_processes
    several = f", {count} processes" if count > 1 else ""
    return f"{name}, {_NAMES[accelerator.mixed_precision]}{several}"


def loader_workers(settings: RunSettings[Any], accelerator: Accelerator) -> int:
    """Return how many loader processes to use: none beside a CPU that computes, else up to 8."""
    if settings.training.workers is not None:
        return settings.training.workers
    if accelerator.device.type == "cpu":
        return 0
    share: int = min(8, (os.cpu_count() or 1) // accelerator.num_processes)
    return share


def on_device(batch: Batch, device: torch.device, settings: ModelSettings) -> Batch:
    """Return a loaded batch on a device, its images float and normalised."""
    moved = batch.to(device)
    return replace(moved, images=normalise(moved.images, settings))


def normalise(images: Tensor, settings: ModelSettings) -> Tensor:
    """Turn uint8 images [B, 3, S, S] into floats with the backbone's mean and deviation."""
    mean, std = (images.new_tensor(v, dtype=torch.float32) for v in (settings.mean, settings.std))
    return (images.float() / 255 - mean[:, None, None]) / std[:, None, None]
