"""NVIDIA GPUs that are in this machine but cannot be used by PyTorch, and the reason."""

import os
import re
from pathlib import Path

import torch

_DRIVERS = {11: 450, 12: 525, 13: 580}
"""The oldest NVIDIA driver, as the first part of its version, for each major version of CUDA.

Source: NVIDIA, CUDA Compatibility, table 1 of "Minor Version Compatibility",
https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html
"""

_VERSION = Path("/proc/driver/nvidia/version")
_PCI_DEVICES = Path("/sys/bus/pci/devices")
_DEVICE_FILES = Path("/dev")
_VENDOR, _DISPLAY = "0x10de", "0x03"
"""In the PCI bus: the number of NVIDIA, and the first digits of the class of all GPUs."""


def oldest_driver(cuda: str) -> int | None:
    """Return the oldest NVIDIA driver that works with a version of CUDA on Linux.

    Args:
        cuda: the version of CUDA, such as "13.2".

    Returns:
        The first part of the driver's version, such as 580; None for a CUDA that is newer than
        this table.
    """
    return _DRIVERS.get(int(cuda.split(".")[0]))


def driver_version() -> str | None:
    """Return the version of the loaded NVIDIA driver, such as "470.82.01"; None without one."""
    try:
        text = _VERSION.read_text(encoding="utf-8")
    except OSError:
        return None
    version = re.search(r"\b\d{3,}\.\d+(\.\d+)?\b", text)
    return version and version[0]


def reason_unused() -> str | None:
    """Return why PyTorch cannot use the NVIDIA GPU of this machine, as part of a sentence.

    Returns:
        The reason, such as "its driver 470.82.01 is too old: ..."; None if PyTorch can use a GPU,
        or if the machine has none by NVIDIA.
    """
    if torch.cuda.is_available() or not _is_present():
        return None
    if torch.version.cuda is None:
        return f"PyTorch {torch.__version__} was built without CUDA"
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0")
    if not re.match(r"\s*(\d|GPU|MIG)", visible):
        return f"the environment variable CUDA_VISIBLE_DEVICES={visible!r} hides it"
    version, oldest = driver_version(), oldest_driver(torch.version.cuda)
    needed = f"PyTorch {torch.__version__} has CUDA {torch.version.cuda}"
    if oldest is not None:
        needed += f", which needs driver {oldest} or later"
    if version is None and not torch.cuda.device_count():
        return f"no NVIDIA driver is loaded; {needed}"
    if version is not None and oldest is not None and int(version.split(".")[0]) < oldest:
        return f"its driver {version} is too old: {needed}"
    if version is not None and not any(_DEVICE_FILES.glob("nvidia[0-9]*")):
        return (
            f"there is no /dev/nvidia0: a container gets GPUs with docker run --gpus all; {needed}"
        )
    return f"{_error_of_cuda()}; {needed}"


def _is_present() -> bool:
    """Return whether this machine has an NVIDIA GPU, whether or not PyTorch can use it."""
    # NVML, which counts the devices for torch, works with a driver that is too old for CUDA.
    return _VERSION.exists() or torch.cuda.device_count() > 0 or any(map(_is_gpu, _pci_devices()))


def _pci_devices() -> list[Path]:
    return [*_PCI_DEVICES.iterdir()] if _PCI_DEVICES.is_dir() else []


def _is_gpu(device: Path) -> bool:
    try:
        vendor, kind = ((device / name).read_text() for name in ("vendor", "class"))
    except OSError:
        return False
    return vendor.strip() == _VENDOR and kind.startswith(_DISPLAY)


def _error_of_cuda() -> str:
    """Return the reason that PyTorch gives if CUDA cannot be initialised, without its advice."""
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except (RuntimeError, AssertionError) as error:
        numbered = re.search(r"Error \d+: .*", str(error))
        reason = numbered[0] if numbered else str(error).split(". ")[0].splitlines()[0]
        return reason.rstrip(".")
    return "PyTorch finds no CUDA device"
