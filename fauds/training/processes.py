"""The processes of a run: one, or as many as torchrun started.

The first process is the leader: it prepares tables, writes all files and prints messages. The
other processes take part in training and testing only. `fauds.training.batches` divides the batches
among the processes.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from itertools import zip_longest
from typing import Any

from fauds import launcher
from fauds.errors import UsageError

_TIMEOUT = timedelta(days=7)
"""How long the other processes wait for the leader, which may first crop faces for hours."""


def is_leader() -> bool:
    """Return whether this process is the leader, which writes files and prints messages."""
    return launcher.rank() == 0


def join_group(cpu: bool) -> None:
    """Connect this process with the other processes of the run, and choose its device.

    Args:
        cpu: whether to use the CPU even if there is a GPU.

    Raises:
        UsageError: there are more processes than GPUs, or the environment variables describe a
            process group that no launcher started.
    """
    import torch
    from accelerate import PartialState

    number, count = launcher.rank(), launcher.world_size()
    if count > 1 and not launcher.is_launched():
        raise _not_launched(number, count)
    # With a driver that is too old for CUDA, torch counts GPUs that it cannot use.
    gpus = 0 if cpu or not torch.cuda.is_available() else torch.cuda.device_count()
    if count > 1 and 0 < gpus <= launcher.local_rank():
        raise UsageError(
            f"There are more processes than GPUs on this machine, which has {gpus}.",
            where="--nproc-per-node",
            hint="start one process for each GPU, or train on the CPU: --set training.device=cpu",
        )
    # Without a GPU, accelerate connects the processes only if it is told to use the CPU.
    state = PartialState(cpu=cpu or (count > 1 and not gpus), timeout=_TIMEOUT)
    if (state.process_index, state.num_processes) != (number, count):
        raise _not_launched(number, count)


def _not_launched(number: int, count: int) -> UsageError:
    return UsageError(
        f"The environment says that this is process {number} of {count}, but no launcher "
        "started it.",
        where=f"RANK={number}, WORLD_SIZE={count}",
        hint="unset RANK and WORLD_SIZE, or start fauds with torchrun",
    )


@contextmanager
def process_group() -> Iterator[None]:
    """Return a context manager that, on exit, closes the connection that `join_group` opened.

    Without an error, it first waits until all processes have reached the exit. The reason is that a
    launcher such as torchrun, when one process fails, ends all others, even those that are done.
    """
    from torch import distributed

    finished = False
    try:
        yield
        if distributed.is_initialized():
            # If another process is gone, it or the launcher has already reported the reason.
            with suppress(RuntimeError):
                wait_for_all()
                finished = True
    finally:
        # If the group were left open, a thread of gloo could abort at the exit of Python. NCCL,
        # unlike gloo, could wait forever for a process that failed.
        if distributed.is_initialized() and (finished or distributed.get_backend() == "gloo"):
            distributed.destroy_process_group()


def wait_for_all() -> None:
    """Wait until all processes have reached this point."""
    from accelerate import PartialState

    PartialState().wait_for_everyone()


def broadcast(value: Any) -> Any:
    """Return the value that the leader (the first process) passed, in every process."""
    from accelerate.utils import broadcast_object_list

    return broadcast_object_list([value])[0]


def gather(value: Any) -> list[Any]:
    """Return the values that all processes passed, in the order of the processes' numbers."""
    from accelerate.utils import gather_object

    values: list[Any] = gather_object([value])
    return values


def interleave(shares: Sequence[Sequence[Any]]) -> list[Any]:
    """Return the items of all processes, which took the items in turn, in their original order.

    Args:
        shares: the items of each process. With two processes, the first process has the items 0, 2,
            4 and so on, and the second one the items 1, 3, 5 and so on.
    """
    missing = object()
    turns = zip_longest(*shares, fillvalue=missing)
    return [item for turn in turns for item in turn if item is not missing]
