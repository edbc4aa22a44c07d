"""Estimate a training step on a GPU from the operators that it runs, without a GPU.

Operators run on fake tensors, which have shapes but no values. Each one takes the longer of two
times, that of its floating-point operations (matrix products, convolutions and attention) and that
of reading its inputs and writing its outputs once, at a share of what the GPU's data sheet states.
The program must also start every operator: a step takes the time of all operators or of all starts,
whichever is longer.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry, mm_flop
from vlfau_steps import Size, TrainingSteps

from tests.fake_gpu import FakeGpu, fake_gpu

SHARE_OF_PEAK, SHARE_OF_BANDWIDTH, START = 0.5, 0.75, 6e-6
"""The shares of the data sheet's figures that are reached, and the seconds of starting an operator.

They are assumptions, of the order that is usual for PyTorch without compilation.
"""

_aten = torch.ops.aten
_NO_KERNEL = {_aten.empty, _aten.empty_like, _aten.new_empty, _aten.empty_strided, _aten.detach}
_PRODUCTS = {
    **flop_registry,
    # The loop over words writes products into memory that exists, which torch does not count.
    _aten.addmm_: lambda there, a, b, **options: mm_flop(a.shape, b.shape),
    _aten.mv: lambda matrix, vector, **options: 2 * matrix.numel(),
}


@dataclass(frozen=True)
class Card:
    """The figures of a GPU's data sheet.

    Attributes:
        name: the name of the GPU.
        bfloat16: dense bfloat16 operations a second.
        float32: float32 operations a second, outside tensor cores.
        bandwidth: bytes of memory a second.
    """

    name: str
    bfloat16: float
    float32: float
    bandwidth: float


CARDS = (
    Card("A100 80 GB", 312e12, 19.5e12, 2.04e12),
    Card("H100 SXM", 989e12, 67e12, 3.35e12),
)


@dataclass(frozen=True)
class Work:
    """The work of one operator: floating-point operations, their precision, and bytes moved."""

    operations: int
    half: bool
    bytes: int

    def seconds(self, card: Card) -> float:
        """Return how long the operator takes on a GPU."""
        rate = card.bfloat16 if self.half else card.float32
        computing = self.operations / (SHARE_OF_PEAK * rate)
        return max(computing, self.bytes / (SHARE_OF_BANDWIDTH * card.bandwidth))


class CountingGpu(FakeGpu):
    """A GPU without hardware that counts the work of every operator, in `work`."""

    def __init__(self) -> None:
        super().__init__()
        self.work: list[Work] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        before = self.operations
        result = super().__torch_dispatch__(func, types, args, kwargs)
        packet = getattr(func, "overloadpacket", None)
        if self.operations == before or func.is_view or packet in _NO_KERNEL:
            return result
        leaves = tree_leaves((args, kwargs or {}, result))
        tensors = {id(leaf): leaf for leaf in leaves if isinstance(leaf, FakeTensor)}.values()
        count = _PRODUCTS.get(packet)
        self.work.append(
            Work(
                operations=count(*args, **(kwargs or {}), out_val=result) if count else 0,
                half=any(tensor.dtype == torch.bfloat16 for tensor in tensors),
                bytes=sum(tensor.numel() * tensor.element_size() for tensor in tensors),
            )
        )
        return result


class FakeSteps(TrainingSteps):
    """Training steps on a GPU without hardware."""

    gpu: CountingGpu

    def _placed(self, make: Callable[[], nn.Module]) -> nn.Module:
        with torch.device("meta"):
            model = make()
        return self.gpu.move(model)


def estimates(size: Size, batch: int) -> dict[str, dict[str, float]]:
    """Return the estimates of a training step in bfloat16, by kind of step and then by figure.

    Args:
        size: the model and the size of its images.
        batch: the number of images.
    """
    results = {}
    for name in ("bare", "full", "plain"):
        with fake_gpu(CountingGpu()) as gpu:
            FakeSteps.gpu = gpu
            step = getattr(FakeSteps(size, batch, "cuda", False), name)(True)
            gpu.work.clear()
            step()
            results[name] = {
                "operators": len(gpu.work),
                "operations": sum(work.operations for work in gpu.work),
                "bytes": sum(work.bytes for work in gpu.work),
                "starts": len(gpu.work) * START,
                **{card.name: math.fsum(w.seconds(card) for w in gpu.work) for card in CARDS},
            }
    return results


def show(size: Size, batch: int) -> None:
    """Print the estimates of a training step."""
    print(f"Training step: {size.title}, batch {batch}, bfloat16, estimated from operators")
    for name, figures in estimates(size, batch).items():
        print(
            f"  {name:6s}{figures['operators']:7,.0f} operators, "
            f"{figures['operations'] / 1e12:6.2f} TFLOP, {figures['bytes'] / 1e9:6.1f} GB, "
            f"starts {figures['starts'] * 1e3:5.0f} ms"
        )
        for card in CARDS:
            seconds = max(figures[card.name], figures["starts"])
            print(
                f"        {card.name:12s}{figures[card.name] * 1e3:7.0f} ms of work,"
                f" {batch / seconds:5.0f} images a second"
            )
