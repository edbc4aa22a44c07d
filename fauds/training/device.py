"""Sets up the device and precision of a run with accelerate, and moves batches to the device."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from fauds import launcher
from fauds.errors import UsageError
from fauds.nn.base import Batch
from fauds.settings import ModelSettings, RunSettings
from fauds.training import processes

_NAMES = {"no": "float32", "bf16": "bfloat16", "fp16": "float16"}


def make_accelerator(settings: RunSettings[Any]) -> Accelerator:
    """Return accelerate's `Accelerator`, which runs a model on a device, in a precision.

    The settings ``training.device`` and ``training.precision`` choose the device and the
    floating-point precision.

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
            hint="give --set training.precision=bf16, or training.precision=no for float32; or "
            "train on a GPU",
        )
    return Accelerator(cpu=training.device == "cpu", mixed_precision=precision)


def precision_on(device: str, setting: str) -> str:
    """Return the floating-point precision to use: "no" for float32, "bf16" or "fp16".

    "auto" becomes "bf16" on a GPU that computes in bfloat16 itself, which NVIDIA's do since Ampere,
    otherwise "no". Older ones, such as Turing's, emulate it and take longer than in float32.

    Args:
        device: the type of the device, "cpu" or "cuda".
        setting: the setting ``training.precision``, which may be "auto".
    """
    if setting != "auto":
        return setting
    if device == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return "bf16"
    return "no"


def device_description(accelerator: Accelerator) -> str:
    """Return the device, precision and number of processes as text, such as "CPU, float32"."""
    device = accelerator.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    count = accelerator.num_processes
    processes_text = f", {count} processes" if count > 1 else ""
    return f"{name}, {_NAMES[accelerator.mixed_precision]}{processes_text}"


def loader_workers(settings: RunSettings[Any], accelerator: Accelerator) -> int:
    """Return the number of processes that load images.

    The number is the setting ``training.workers`` if this has a value; otherwise 0 if the model
    runs on the CPU, and if it runs on a GPU, up to 8: the processor cores that this process may
    use, divided by the number of processes.
    """
    if settings.training.workers is not None:
        return settings.training.workers
    if accelerator.device.type == "cpu":
        return 0
    # All processes on this machine share the cores, not only those that train the same fold.
    share: int = min(8, launcher.cores() // launcher.local_world_size())
    return share


def on_device(batch: Batch, device: torch.device, settings: ModelSettings) -> Batch:
    """Return a loaded batch, moved to a device, with its uint8 images made float and normalised.

    Its captions are packed before they are moved (`Batch.packed`). Nothing waits for the device.

    Args:
        batch: the batch as loaded.
        device: the device.
        settings: the settings of the model, with the mean and standard deviation of pixels.
    """
    moved = batch.packed().to(device)
    return replace(moved, images=normalise(moved.images, settings))


def normalise(images: Tensor, settings: ModelSettings) -> Tensor:
    """Return images as float32, scaled to 0 to 1, then normalised by mean and standard deviation.

    Args:
        images: uint8 [B, 3, S, S] RGB.
        settings: the settings of the model, with the mean and standard deviation of each channel.
    """
    mean, std = (_by_channel(values, images.device) for values in (settings.mean, settings.std))
    return (images.float() / 255 - mean) / std


def _by_channel(values: Sequence[float], device: torch.device) -> Tensor:
    """Return one value for each channel as a float32 tensor [C, 1, 1], made on the device itself.

    A tensor that is made on the CPU and copied would wait for all that a GPU still has to do.
    """
    return torch.stack(
        [torch.full((1, 1), value, dtype=torch.float32, device=device) for value in values]
    )
