"""The processes of a run, and their division into groups, each of which trains one fold at a time.

Without ``--parallel folds`` there is one group, which has all processes. The processes of a group
exchange gradients and predictions (see `fauds.training.processes`). The groups exchange a few
values only, through the key-value store at which the processes of torchrun meet.
"""

import pickle
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

from fauds import launcher
from fauds.errors import UsageError
from fauds.training import processes

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

Shared = TypeVar("Shared")

_PAUSE = 0.2
"""The seconds between two looks at the store while waiting, in which signals are handled."""


class Groups:
    """All processes of a run: one, or as many as torchrun started.

    The first process prepares tables, evaluates and reports. All processes must call the methods in
    the same order.

    Args:
        by_fold: whether to divide the processes into groups, each of which trains a fold of its
            own; otherwise all processes train each fold together.

    Attributes:
        processes: the number of processes.
        count: the number of groups; 1 until `divide` was called.

    Raises:
        UsageError: there is one process only, so that it cannot be divided, or the environment
            variables describe processes that no launcher started.
    """

    def __init__(self, *, by_fold: bool = False) -> None:
        processes.check_launched()
        self.processes = launcher.world_size()
        if by_fold and self.processes == 1:
            raise UsageError(
                "The folds cannot be trained at the same time by one process.",
                where="--parallel folds",
                hint="start a process for each GPU, for example three: torchrun --nproc-per-node 3 "
                "-m fauds bench ... --parallel folds",
            )
        self._by_fold = by_fold
        self._store = _meeting_store(self.processes)
        self._calls = 0
        self.count = 1

    @property
    def is_first(self) -> bool:
        """Whether this process is the first of all, which prepares, evaluates and reports."""
        return launcher.rank() == 0

    def share(self, value: Shared) -> Shared:
        """Return the value that the first process passed, in every process.

        Args:
            value: the value; those of all processes but the first are not used.
        """
        key = self._new_key()
        if self.is_first:
            # The text is hexadecimal, since the store takes no bytes.
            self._store.set(key, pickle.dumps(value).hex() if self.processes > 1 else "")
            return value
        self._wait_for(key)
        shared: Shared = pickle.loads(bytes.fromhex(self._store.get(key).decode()))
        return shared

    def wait(self) -> None:
        """Wait until all processes have reached this point."""
        key = self._new_key()
        if self._store.add(f"{key}/arrived", 1) == self.processes:
            self._store.set(key, "")
        self._wait_for(key)

    def divide(self, folds: int, cpu: bool) -> None:
        """Divide the processes into groups if the user asked for it, and join this one's group.

        There are as many groups as folds, or, with fewer processes, as many as processes. All have
        the same number of processes.

        Args:
            folds: the number of folds of the run.
            cpu: whether to use the CPU even if there is a GPU.

        Raises:
            UsageError: there are more processes than folds, but not a multiple of them, or there
                are more processes than GPUs.
        """
        count = min(folds, self.processes) if self._by_fold else 1
        size, rest = divmod(self.processes, count)
        if rest:
            raise UsageError(
                f"{self.processes} processes cannot be divided evenly among {folds} folds.",
                where="--nproc-per-node",
                hint=f"start {size * count} processes, or leave --parallel folds out",
            )
        self.count = count
        number, rank = divmod(launcher.rank(), size)
        own = processes.Group(number, rank, size, self._store) if count > 1 else None
        processes.join_group(cpu, own)

    def in_turn(self, folds: Sequence[int]) -> Iterator[int]:
        """Yield the folds that this process's group trains.

        Whenever a group has finished a fold, it takes the next one that no group has taken yet.

        Args:
            folds: the numbers of all folds to train, the same in all processes.
        """
        key = self._new_key()
        while True:
            taken = self._store.add(key, 1) - 1 if processes.is_leader() else None
            place = processes.broadcast(taken)
            if place >= len(folds):
                return
            yield folds[place]

    def _new_key(self) -> str:
        self._calls += 1
        return f"fauds/{self._calls}"

    def _wait_for(self, key: str) -> None:
        # A method of the store that waits itself would not be interrupted by Ctrl-C or SIGTERM.
        while not self._store.check([key]):
            time.sleep(_PAUSE)


def _meeting_store(count: int) -> "Store":
    """Return the key-value store of all processes; for one process, a store of its own."""
    from torch import distributed
    from torch.distributed.rendezvous import rendezvous

    store: Store
    if count == 1:
        # A documented class, which torch's types do not export.
        store = distributed.HashStore()  # type: ignore[attr-defined]
    else:
        store, _, _ = next(rendezvous("env://"))
    return store


@contextmanager
def process_groups(*, by_fold: bool = False) -> Iterator[Groups]:
    """Return a context manager that gives the processes of a run, and leaves the group on exit.

    Without an error, it first waits until all processes have reached the exit. The reason is that a
    launcher such as torchrun, when one process fails, ends all others, even those that are done.

    Args:
        by_fold: whether each group of processes trains a fold of its own; see `Groups`.

    Raises:
        UsageError: see `Groups`.
    """
    groups = Groups(by_fold=by_fold)
    finished = False
    try:
        yield groups
        # If another process is gone, it or the launcher has already reported the reason.
        with suppress(RuntimeError):
            groups.wait()
            finished = True
    finally:
        processes.leave_group(finished)
