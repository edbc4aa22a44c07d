"""The processes that train and test a fold together: one, or a group of those of torchrun.

The first process of a group is the leader: it writes the files of the fold. The other processes
take part in training and testing only. `fauds.training.batches` divides the batches among the
processes. `fauds.training.groups` divides the processes of a run into groups.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from fauds import launcher
from fauds.errors import UsageError

if TYPE_CHECKING:
    from accelerate import PartialState
    from torch.distributed.distributed_c10d import Store

_TIMEOUT = timedelta(days=7)
"""How long the processes of a group wait for each other: the leader may describe faces for hours.

A process that ends with an error ends the others, so that they do not wait for it.
"""


@dataclass(frozen=True)
class Group:
    """The processes that train and test a fold together, as one of them sees it.

    Attributes:
        number: the number of the group, from 0.
        rank: the number, from 0, of this process among those of the group.
        size: the number of processes of the group.
        store: the key-value store at which the processes of the group meet; None for the one that
            torchrun names in the environment.
    """

    number: int
    rank: int
    size: int
    store: "Store | None" = None


_group: Group | None = None
"""The group of this process if the processes of torchrun are divided; None if they are not."""


def own_group() -> Group:
    """Return the group of this process, which has all processes of torchrun unless divided."""
    return _group or Group(0, launcher.rank(), launcher.world_size())


def is_leader() -> bool:
    """Return whether this process is the leader of its group, which writes the fold's files."""
    return own_group().rank == 0


def join_group(cpu: bool, group: Group | None = None) -> None:
    """Connect this process with the other processes of its group, and choose its device.

    Calls after the first one change nothing.

    Args:
        cpu: whether to use the CPU even if there is a GPU.
        group: the group of this process if the processes of torchrun are divided; None for the
            group that was joined before, or else the group of all processes.

    Raises:
        UsageError: there are more processes than GPUs, or the environment variables describe a
            process group that no launcher started.
    """
    global _group
    import torch

    check_launched()
    # With a driver that is too old for CUDA, torch counts GPUs that it cannot use.
    gpus = 0 if cpu or not torch.cuda.is_available() else torch.cuda.device_count()
    if launcher.world_size() > 1 and 0 < gpus <= launcher.local_rank():
        raise UsageError(
            f"There are more processes than GPUs on this machine, which has {gpus}.",
            where="--nproc-per-node",
            hint="start one process for each GPU, or train on the CPU: --set training.device=cpu",
        )
    if group is not None:
        _group = group
    own = own_group()
    if own.size == 1 < launcher.world_size():
        state = _join_alone(cpu, gpus)
    else:
        state = _join_others(cpu, gpus, own)
    if (state.process_index, state.num_processes) != (own.rank, own.size):
        raise _not_launched()


def _join_alone(cpu: bool, gpus: int) -> "PartialState":
    """Choose the device of a process of torchrun that is a group of its own."""
    import torch
    from accelerate import PartialState
    from accelerate.utils import patch_environment

    if gpus:
        # accelerate, which takes this process for the only one, would use the first GPU.
        torch.cuda.set_device(launcher.local_rank())
    with patch_environment(LOCAL_RANK=-1, WORLD_SIZE=1):
        return PartialState(cpu=cpu)


def _join_others(cpu: bool, gpus: int, group: Group) -> "PartialState":
    """Connect this process with the other processes of its group; there may be none."""
    from accelerate import PartialState
    from torch import distributed
    from torch.distributed.distributed_c10d import PrefixStore

    if group.store is not None and not distributed.is_initialized():
        # accelerate uses a process group that exists already.
        distributed.init_process_group(
            "nccl" if gpus else "gloo",
            store=PrefixStore(f"group{group.number}", group.store),
            rank=group.rank,
            world_size=group.size,
            timeout=_TIMEOUT,
        )
    # Without a GPU, accelerate connects the processes only if it is told to use the CPU.
    return PartialState(cpu=cpu or (group.size > 1 and not gpus), timeout=_TIMEOUT)


def leave_group(finished: bool) -> None:
    """Close the connection that `join_group` opened; without a connection, do nothing.

    Args:
        finished: whether all processes are at the end of their work, without an error.
    """
    global _group
    from torch import distributed

    _group = None
    # If the group were left open, a thread of gloo could abort at the exit of Python. NCCL,
    # unlike gloo, could wait forever for a process that failed.
    if distributed.is_initialized() and (finished or distributed.get_backend() == "gloo"):
        distributed.destroy_process_group()


def check_launched() -> None:
    """Check that a launcher such as torchrun started this process if there are several.

    Raises:
        UsageError: the environment variables describe a process group that no launcher started.
    """
    if launcher.world_size() > 1 and not launcher.is_launched():
        raise _not_launched()


def _not_launched() -> UsageError:
    number, count = launcher.rank(), launcher.world_size()
    return UsageError(
        f"The environment says that this is process {number} of {count}, but no launcher "
        "started it.",
        where=f"RANK={number}, WORLD_SIZE={count}",
        hint="unset RANK and WORLD_SIZE, or start fauds with torchrun",
    )


def wait_for_all() -> None:
    """Wait until all processes of the group have reached this point."""
    from accelerate import PartialState

    PartialState().wait_for_everyone()


def broadcast(value: Any) -> Any:
    """Return the value that the leader of the group passed, in every process of the group."""
    from accelerate.utils import broadcast_object_list

    return broadcast_object_list([value])[0]


def gather(value: Any) -> list[Any]:
    """Return the values that all processes of the group passed, in the order of their numbers."""
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
