"""The reasons why PyTorch cannot use an NVIDIA GPU, in each situation that a machine may be in.

Files take the place of /proc/driver/nvidia, /dev and /sys/bus/pci, and functions that of the parts
of torch.cuda that ask the driver.
"""

import re
from pathlib import Path

import pytest
import torch

from fauds.training import nvidia

PROPRIETARY = """\
NVRM version: NVIDIA UNIX x86_64 Kernel Module  {}  Wed Oct 27 21:21:55 UTC 2021
GCC version:  gcc version 9.3.0 (Ubuntu 9.3.0-17ubuntu1~20.04)
"""
OPEN = """\
NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  {}  Release Build  (dvs-builder@U22)
GCC version:  gcc version 12.3.0 (Ubuntu 12.3.0-1ubuntu1~22.04)
"""
ROOT = Path(__file__).parents[2]


class Machine:
    """A machine whose GPU, driver and device files are made one by one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self._monkeypatch = monkeypatch
        self._folder = folder
        (folder / "pci").mkdir()
        (folder / "dev").mkdir()
        monkeypatch.setattr(nvidia, "_VERSION", folder / "version")
        monkeypatch.setattr(nvidia, "_PCI_DEVICES", folder / "pci")
        monkeypatch.setattr(nvidia, "_DEVICE_FILES", folder / "dev")
        monkeypatch.setattr(torch, "__version__", "2.15.0+cu132")
        monkeypatch.setattr(torch.version, "cuda", "13.2")
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        self.torch()

    def torch(
        self, available: bool = False, devices: int = 0, error: str = "No CUDA GPUs are available"
    ) -> None:
        def init() -> None:
            raise RuntimeError(error)

        self._monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
        self._monkeypatch.setattr(torch.cuda, "device_count", lambda: devices)
        self._monkeypatch.setattr(torch.cuda, "init", init)

    def card(self, vendor: str = "0x10de", kind: str = "0x030200") -> None:
        card = self._folder / "pci" / f"0000:0{len([*(self._folder / 'pci').iterdir()])}:00.0"
        card.mkdir()
        (card / "vendor").write_text(f"{vendor}\n")
        (card / "class").write_text(f"{kind}\n")

    def driver(self, version: str, text: str = PROPRIETARY) -> None:
        (self._folder / "version").write_text(text.format(version))

    def device_file(self) -> None:
        (self._folder / "dev" / "nvidia0").touch()


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    return Machine(monkeypatch, tmp_path)


def test_a_machine_without_an_nvidia_gpu_has_nothing_to_report(machine):
    machine.card(vendor="0x1002")  # a GPU by AMD
    machine.card(kind="0x020000")  # a network card by NVIDIA
    assert nvidia.reason_unused() is None


def test_a_gpu_that_pytorch_uses_has_nothing_to_report(machine):
    machine.card()
    machine.driver("580.65.06")
    machine.torch(available=True, devices=1)
    assert nvidia.reason_unused() is None


@pytest.mark.parametrize("text", [PROPRIETARY, OPEN])
def test_a_driver_that_is_too_old_is_named_with_the_one_that_is_needed(machine, text):
    machine.card()
    machine.driver("470.82.01", text)
    machine.device_file()
    machine.torch(devices=1)  # NVML counts the GPU all the same
    assert nvidia.driver_version() == "470.82.01"
    assert nvidia.reason_unused() == (
        "its driver 470.82.01 is too old: PyTorch 2.15.0+cu132 has CUDA 13.2, which needs driver "
        "580 or later"
    )


def test_a_driver_that_only_torch_sees_is_reported_in_its_words(machine):
    machine.torch(
        devices=1,
        error="The NVIDIA driver on your system is too old (found version 11040). Please update "
        "your GPU driver by downloading and installing a new version.",
    )
    reason = nvidia.reason_unused()
    assert reason.startswith("The NVIDIA driver on your system is too old (found version 11040);")
    assert reason.endswith("which needs driver 580 or later")


def test_a_gpu_without_a_driver_is_reported(machine):
    machine.card(kind="0x030000")
    assert nvidia.reason_unused().startswith("no NVIDIA driver is loaded; PyTorch 2.15.0+cu132")


def test_a_container_without_the_gpu_is_told_how_to_get_it(machine):
    machine.driver("580.65.06", OPEN)
    assert "docker run --gpus all" in nvidia.reason_unused()


@pytest.mark.parametrize("value", ["", "-1", "NoDevFiles"])
def test_a_gpu_that_the_environment_hides_is_reported(machine, monkeypatch, value):
    machine.driver("580.65.06")
    machine.device_file()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert nvidia.reason_unused() == (
        f"the environment variable CUDA_VISIBLE_DEVICES={value!r} hides it"
    )


def test_a_pytorch_without_cuda_is_reported(machine, monkeypatch):
    machine.driver("580.65.06")
    machine.device_file()
    monkeypatch.setattr(torch.version, "cuda", None)
    assert nvidia.reason_unused() == "PyTorch 2.15.0+cu132 was built without CUDA"


def test_an_error_of_a_driver_that_is_new_enough_is_passed_on(machine):
    machine.driver("580.65.06")
    machine.device_file()
    machine.torch(
        devices=1,
        error="Unexpected error from cudaGetDeviceCount(). Did you run some cuda functions before "
        "calling NumCudaDevices()? Error 802: system not yet initialized",
    )
    assert nvidia.reason_unused().startswith("Error 802: system not yet initialized; PyTorch")


def test_the_readme_names_the_driver_of_the_pinned_pytorch():
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    cuda = re.search(r"^cuda-toolkit==(\S+)$", pins, re.MULTILINE)[1]
    oldest = nvidia.oldest_driver(cuda)
    assert oldest is not None
    assert f"driver {oldest} or later" in (ROOT / "README.md").read_text(encoding="utf-8")
