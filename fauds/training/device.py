"""The device and precision of a run, set up by accelerate, and batches moved to the device."""

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
    """Return an accelerator with the device and precision of the settings.

    Raises:
        UsageError: the device does not support the precision.
    """
    training = settings.training
    processes.join_group(cpu=training.device == "cpu")
    cpu = training.device == "cpu" or not torch.cuda.is_available()
    precision = precision_on("cpu" if cpu else "cuda", training.precision)
    if cpu and precision == "fp16":
        raise UsageError(
            "Training in float16 needs a GPU.",
            where="training.precision",
            hint="give --set training.precision=bf16, or no for float32; or train on a GPU",
        )
    return Accelerator(cpu=training.device == "cpu", mixed_precision=precision)


def precision_on(device: str, setting: str) -> str:
    """Return the precision of a setting on a type of device: "no" (float32), "bf16" or "fp16".

    Args:
        device: the type of the device, "cpu" or "cuda".
        setting: the setting ``training.precision``, which may be "auto".
    """
    if setting != "auto":
        return setting
    return "bf16" if device == "cuda" and torch.cuda.is_bf16_supported() else "no"


def device_description(accelerator: Accelerator) -> str:
    """Return the device, precision and number of processes in words, for results."""
    device = accelerator.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    count = accelerator.num_processes
    processes_text = f", {count} processes" if count > 1 else ""
    return f"{name}, {_NAMES[accelerator.mixed_precision]}{processes_text}"


def loader_workers(settings: RunSettings[Any], accelerator: Accelerator) -> int:
    """Return the number of loader processes: none if the CPU computes, else up to 8."""
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
    """Return uint8 images [B, 3, S, S] as float32, normalised by the settings' mean and std."""
    mean, std = (images.new_tensor(v, dtype=torch.float32) for v in (settings.mean, settings.std))
    return (images.float() / 255 - mean[:, None, None]) / std[:, None, None]
