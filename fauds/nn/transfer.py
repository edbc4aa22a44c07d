"""Copies of tensors between the CPU and a GPU that do not wait for the GPU.

A GPU works through a queue of operations, to which the program adds while the GPU works. An
ordinary copy to or from the GPU, however, waits until the whole queue is done, and then the GPU has
nothing to do until the program has added more.
"""

import torch
from torch import Tensor


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor on a device, copied without waiting for what the device still has to do.

    Args:
        tensor: a tensor, on the CPU or already on the device.
        device: the device. A tensor on the CPU that is sent to a GPU is first put into page-locked
            memory, without which the copy would wait.
    """
    if device.type == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


class HostCopy:
    """A copy of a tensor on the CPU, which a GPU makes while the program goes on.

    The copy is queued behind the operations that the GPU has been given so far, and `read` waits
    for these alone, not for operations that are queued later.

    Args:
        tensor: the tensor. One that is on the CPU is not copied, so that it must not be changed
            before `read` is called.
    """

    def __init__(self, tensor: Tensor) -> None:
        tensor = tensor.detach()
        self._copied: torch.cuda.Event | None = None
        if not tensor.is_cuda:
            self._tensor = tensor.cpu()
            return
        self._tensor = torch.empty_like(tensor, device="cpu", pin_memory=True)
        self._tensor.copy_(tensor, non_blocking=True)
        self._copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
        self._copied.record(torch.cuda.current_stream(tensor.device))

    def read(self) -> Tensor:
        """Return the copy, after waiting until the GPU has made it."""
        if self._copied is not None:
            self._copied.synchronize()
        return self._tensor
