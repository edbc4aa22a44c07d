"""A GPU without hardware: its tensors have shapes but no values, and waits for it are recorded.

Tensors on the CPU are ordinary ones. Those on "cuda" are PyTorch's fake tensors: operations on them
compute only shapes, types and devices. Whatever needs a value of such a tensor (`.item()`,
`nonzero`, a mask as an index), and every copy between CPU and GPU that a program would wait for, is
recorded by `FakeGpu`.
"""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensor,
    FakeTensorMode,
    unset_fake_temporarily,
)
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

DEVICE = torch.device("cuda", 0)
_aten = torch.ops.aten
_ROOT = Path(__file__).resolve().parents[1]
# An environment with PyTorch may lie in the repository too.
_OWN = (_ROOT / "fauds", _ROOT / "tests")


class WaitsForGpu(AssertionError):
    """An operation needs the values of a tensor on the GPU."""


class FakeGpu(TorchDispatchMode):
    """Runs the operations that a GPU takes part in on fake tensors, and records what waits for it.

    Attributes:
        waits: the operations that wait until the GPU has done everything, with their callers.
        queued: for each wait for an event, the number of operations that the GPU still had to do
            behind the event: while there are some, it does not stand still.
        operations: the number of operations that the GPU was given.
    """

    def __init__(self) -> None:
        super().__init__()
        self._pinned: dict[int, Tensor] = {}
        self.waits: list[str] = []
        self.queued: list[int] = []
        self.operations = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        pin = bool(kwargs.pop("pin_memory", False))
        device = torch.device(kwargs.get("device") or "cpu")
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if device.type == "cpu" and not any(isinstance(tensor, FakeTensor) for tensor in tensors):
            with unset_fake_temporarily():
                return self._kept(func(*args, **kwargs), pin)
        if func.namespace == "prim":  # asks for the device of a tensor
            return func(*args, **kwargs)
        if torch.is_inference_mode_enabled():  # `to` arrives here before it has become `_to_copy`
            with self:
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return self._kept(result, pin)
        self.operations += 1
        if func is _aten.copy_.default and args[0].device != args[1].device:
            return self._copy(func, args[1], args[0], *args[2:])
        if func is _aten._to_copy.default and device.type != args[0].device.type == "cpu":
            self._check(func, args[0], kwargs.get("non_blocking", False))
            kwargs = {"dtype": kwargs.get("dtype", args[0].dtype), "device": device}
            return torch.empty(args[0].shape, **kwargs)
        try:
            result = func(*args, **kwargs)
        except (DataDependentOutputException, DynamicOutputShapeException) as error:
            raise self._wait(error.func) from error
        if not isinstance(result, FakeTensor) or result.device.type != "cpu":
            return result
        if func is _aten._to_copy.default:
            self._wait(func)
        with unset_fake_temporarily():
            return self._kept(torch.zeros(result.shape, dtype=result.dtype), pin)

    def _wait(self, func: Any) -> WaitsForGpu:
        self.waits.append(f"{func} in {_caller()}")
        return WaitsForGpu(self.waits[-1])

    def _check(self, func: Any, on_host: Tensor, non_blocking: bool) -> None:
        """Record a copy that waits: without `non_blocking`, or of memory that is not pinned."""
        if not non_blocking or _address(on_host) not in self._pinned:
            self._wait(func)

    def _copy(self, func: Any, source: Tensor, to: Tensor, non_blocking: bool = False) -> Tensor:
        """Copy a tensor to or from the GPU; values from there are 0, or every other one is True."""
        self._check(func, source if to.is_cuda else to, non_blocking)
        if not to.is_cuda:
            with unset_fake_temporarily():
                to.zero_()
                if to.dtype == torch.bool:
                    to.view(-1)[::2] = True
        return to

    def _kept(self, result: Any, pin: bool) -> Any:
        if pin:
            self._pinned[_address(result)] = result  # kept, so that no other gets this memory
        return result

    def pin(self, tensor: Tensor) -> Tensor:
        """Return a copy of a tensor on the CPU that counts as page-locked."""
        return self._kept(tensor.clone(), True)

    def move(self, model: nn.Module) -> nn.Module:
        """Give every parameter and buffer of a model on "meta" a place on the GPU."""
        for module in model.modules():
            for tensors in (module._parameters, module._buffers):
                for name, tensor in tensors.items():
                    if tensor is not None:
                        moved = torch.empty(tensor.shape, dtype=tensor.dtype, device=DEVICE)
                        if isinstance(tensor, nn.Parameter):
                            moved = nn.Parameter(moved, requires_grad=tensor.requires_grad)
                        tensors[name] = moved
        return model


def _address(tensor: Tensor) -> int:
    with unset_fake_temporarily():
        return tensor.untyped_storage().data_ptr()


@torch.no_grad()
def _backward(loss: Tensor) -> None:
    """Do what `Tensor.backward` does, whose engine refuses tensors on "cuda" without a driver."""
    waiting: dict[Any, int] = {}  # by node: the number of nodes whose gradients it waits for
    nodes = [loss.grad_fn]
    while nodes:
        for following, _ in nodes.pop().next_functions:
            if following is not None:
                if following not in waiting:
                    nodes.append(following)
                waiting[following] = waiting.get(following, 0) + 1
    gradients: dict[Any, list[Tensor | None]] = {loss.grad_fn: [torch.ones_like(loss)]}
    nodes = [loss.grad_fn]
    while nodes:
        node = nodes.pop()
        incoming = gradients.pop(node)
        if hasattr(node, "variable"):
            before = node.variable.grad
            node.variable.grad = incoming[0] if before is None else before + incoming[0]
            continue
        results = node(*incoming) if callable(node) else node.apply(*incoming)
        results = results if isinstance(results, tuple) else (results,)
        edges = node.next_functions
        if not callable(node):  # an autograd.Function, which has results for all of its arguments
            results = [
                r for r, needed in zip(results, node.needs_input_grad, strict=True) if needed
            ]
            edges = [edge for edge in edges if edge[0] is not None]
        for result, (following, place) in zip(results, edges, strict=True):
            if following is None:
                continue
            collected = gradients.setdefault(following, [None] * len(following._input_metadata))
            if result is not None:
                expected, before = following._input_metadata[place], collected[place]
                result = result.sum_to_size(expected.shape).to(expected.dtype)
                collected[place] = result if before is None else before + result
            waiting[following] -= 1
            if not waiting[following]:
                nodes.append(following)


def _caller() -> str:
    """Return the innermost lines of the project, its tests left out, that led to an operation."""
    frames = [
        f"{Path(frame.filename).relative_to(_ROOT)}:{frame.lineno}"
        for frame in traceback.extract_stack()
        if any(map(Path(frame.filename).is_relative_to, _OWN)) and frame.filename != __file__
    ]
    return " > ".join(frames[-3:])


@contextmanager
def fake_gpu(gpu: FakeGpu | None = None) -> Iterator[FakeGpu]:
    """Return a context manager in which tensors can be on "cuda", without a GPU.

    Args:
        gpu: what runs the operations; a new `FakeGpu` unless given.
    """
    gpu = gpu or FakeGpu()

    class Event:
        def record(self, stream: Any = None) -> None:
            self.number = gpu.operations

        def synchronize(self) -> None:
            gpu.queued.append(gpu.operations - self.number)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "Event", Event)
        patch.setattr(Tensor, "backward", _backward)
        # Fake parameters cannot be exchanged; `FakeGpu.move` has put them in their places.
        patch.setattr(nn.Module, "to", lambda module, device: module)
        patch.setattr(torch.cuda, "current_stream", lambda device: None)
        patch.setattr(Tensor, "pin_memory", lambda tensor: gpu.pin(tensor))
        patch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
        patch.setattr(torch.cuda, "is_bf16_supported", lambda **options: True)
        with FakeTensorMode(allow_non_fake_inputs=True), gpu:
            yield gpu
