"""The processes of a run: one, or as many as torchrun started. The first one leads.

The leader prepares tables, writes all files and speaks; the others follow it through training and
testing. What each of them does with its share of a batch is in `fauds.training.loop`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from itertools import zip_longest
from typing import Any

from fauds import launcher
from fauds.errors import UsageError

_PATIENCE = timedelta(days=7)
"""How long followers wait: the leader may crop faces for hours first."""


def leads() -> bool:
    """Whether this process prepares, writes and speaks."""
    return launcher.rank() == 0


def join(cpu: bool) -> None:
    """Meet the other processes; of one process, choose the device.

    Args:
        cpu: whether to use the CPU even where there is a GPU.

    Raises:
        UsageError: there are more processes than GPUs, or this one is of a group that no
            launcher started.
    """
    import torch
    from accelerate import PartialState

    number, count = launcher.rank(), launcher.world_size()
    if count > 1 and not launcher.launched():
        raise _alone(number, count)
    gpus = 0 if cpu else torch.cuda.device_count()
    if count > 1 and 0 < gpus <= launcher.local_rank():
        raise UsageError(
            f"There are more processes than GPUs here: {gpus}.",
            where="--nproc-per-node",
            hint="start no more, or train on the CPU: --set training.device=cpu",
        )
    # accelerate leaves processes by themselves that find no GPU, unless it is told of the CPU.
    state = PartialState(cpu=cpu or (count > 1 and not gpus), timeout=_PATIENCE)
    if (state.process_index, state.num_processes) != (number, count):
        raise _alone(number, count)


def _alone(number: int, count: int) -> UsageError:
    return UsageError(
        f"By its environment this is process {number} of {count}, but no launcher started it.",
        where=f"RANK={number}, WORLD_SIZE={count}",
        hint="unset RANK and WORLD_SIZE, or start it with torchrun",
    )


@contextmanager
def together() -> Iterator[None]:
    """End the group that `join` forms within: when all are done, or at once on an error.

    A launcher ends all processes when one fails, even one that was done. So each that is done stays
    until the leader has done what it does within.
    """
    from torch import distributed

    met = False
    try:
        yield
        if distributed.is_initialized():
            # Nobody is needed any more: why another one is gone, it or the launcher tells.
            with suppress(RuntimeError):
                wait()
                met = True
    finally:
        # Left to the end of Python, a thread of gloo may then ask for the interpreter, and abort.
        # NCCL could wait for ever for a process that failed; gloo sees that it is gone.
        if distributed.is_initialized() and (met or distributed.get_backend() == "gloo"):
            distributed.destroy_process_group()


def wait() -> None:
    """Wait until all processes are here."""
    from accelerate import PartialState

    PartialState().wait_for_everyone()


def agreed(value: Any) -> Any:
    """Return the leader's value in every process."""
    from accelerate.utils import broadcast_object_list

    return broadcast_object_list([value])[0]


def gathered(value: Any) -> list[Any]:
    """Return every process's value, in the order of their numbers."""
    from accelerate.utils import gather_object

    values: list[Any] = gather_object([value])
    return values


def dealt_back(hands: Sequence[Sequence[Any]]) -> list[Any]:
    """Return what was dealt round, card by card, in its first order."""
    nothing = object()
    turns = zip_longest(*hands, fillvalue=nothing)
    return [card for turn in turns for card in turn if card is not nothing]
